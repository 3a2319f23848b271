"""The ports of a simulated site: the product's own in-memory store and cloud, with outages on order and a ledger.

What a port really holds is told to the ledger (`bench.ledger`) at the very call that changes it, beside the product.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from bench.year.clock import Clocks
from bench.year.ledger import Ledger
from drorch.domain import layout
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_POINT, TAG_RESOURCE, TAG_SLOT, TAG_SOURCE
from drorch.domain.errors import Busy, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native import NativeSnapshot
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.ports import CopyOrder, CutOrder, ObjectInfo, ObjectVersion, StoreLimits
from drorch.stores.memory import MemoryStore

_T = TypeVar("_T")

_DEPTH = 4
"""``drorch/v1/records/APPLICATION``: the journal of changes is kept by the first so many parts of paths."""
_FOLDER = 6
"""``drorch/v1/records/APPLICATION/RESOURCE/POINT/``: objects are indexed by their point's folder."""


@dataclass
class Weather:
    """What is wrong with the world now, shared by all ports of a site."""

    seed: int
    down: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    """Vaults that do everything but list."""
    throttled: float = 0.0
    """The share of calls that meet Busy or Unavailable."""
    refused: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  the same year for the same seed

    def meet(self, vault: str, operation: str) -> None:
        """Raise what a call meets now."""
        if vault in self.down:
            raise Unavailable("the vault does not answer", operation=operation, vault=vault)
        if self.throttled and self._random.random() < self.throttled:
            self.refused += 1
            kind = Busy if self._random.random() < 0.5 else Unavailable
            raise kind("too many requests", operation=operation, vault=vault)


class SimStore(MemoryStore):
    """A MemoryStore with an index by application, weather, and every committed or deleted copy in the ledger."""

    def __init__(self, vault: str, clocks: Clocks, weather: Weather, ledger: Ledger) -> None:
        super().__init__(vault, now=lambda: clocks.true + clocks.vaults[vault], limits=StoreLimits(part_bytes=1 << 20))
        clocks.vaults.setdefault(vault, clocks.host)
        self._weather = weather
        self._ledger = ledger
        self.changes = 0
        self._index: dict[str, dict[str, ObjectVersion]] = {}
        self._journal: dict[str, dict[str, int]] = {}

    def now(self) -> datetime:
        """By the vault's own clock."""
        self._weather.meet(self.vault, "now")
        return super().now()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As they were when the listing began."""
        self.look(prefix)
        return iter([ObjectInfo(v.path, v.size, v.modified) for v in self._below(prefix)])

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """One version of each."""
        self.look(prefix)
        return iter(self._below(prefix))

    def look(self, prefix: str) -> None:
        """Meet what a listing meets now."""
        try:
            self._weather.meet(self.vault, "list")
            if self.vault in self._weather.blind:
                raise Unavailable("not allowed to list", operation="list", vault=self.vault)
        except (Busy, Unavailable):
            if prefix in (layout.RECORDS, layout.DATA):
                self._ledger.listing_failed(self.vault)
            raise
        self._ledger.listing_done(self.vault)

    def folders(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Every folder below a prefix that ever held something, and the number of its last change."""
        parts = prefix.split("/")
        if len(parts) > _DEPTH:
            found = self._journal.get("/".join(parts[:_DEPTH]), {})
            return ((folder, at) for folder, at in found.items() if folder.startswith(prefix))
        below = [found for key, found in self._journal.items() if f"{key}/".startswith(prefix)]
        return ((folder, at) for found in below for folder, at in found.items())

    def _below(self, prefix: str) -> Sequence[ObjectVersion]:
        if prefix in self._index:
            return (*self._index[prefix].values(),)
        return [v for folder, _ in self.folders(prefix) for v in self._index.get(folder, {}).values()]

    def _changed(self, path: str) -> str:
        """Note a change; the folder in which it was: a point's, an application's heads, or all approvals."""
        parts = path.split("/")
        folder = "/".join(parts[: min(_FOLDER, len(parts) - 1)]) + "/"
        self.changes += 1
        self._journal.setdefault("/".join(parts[: min(_DEPTH, len(parts) - 1)]), {})[folder] = self.changes
        return folder

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts."""
        self._weather.meet(self.vault, "stat")
        return super().stat(path)

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """The bytes as they are now."""
        self._weather.meet(self.vault, "read")
        return super().read(path, start, length, version=version)

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Write it whole; the ledger is told of what commits, marks or proves."""
        self._weather.meet(self.vault, "put")
        super().put(path, body, overwrite=overwrite)
        if path.startswith(layout.RECORDS) and path.endswith(".json"):
            self._ledger.wrote(self.vault, path, body)

    def delete(self, path: str) -> None:
        """Remove it; the ledger judges whether that was right."""
        self._weather.meet(self.vault, "delete")
        if path in self.objects:
            self._ledger.deleting(self.vault, path)
        super().delete(path)
        self._unindex(path)

    def vanish(self, paths: Iterable[str]) -> int:
        """Somebody takes objects away, at once and without a word."""
        gone = [path for path in paths if self.objects.pop(path, None) is not None]
        for path in gone:
            self._unindex(path)
            self._ledger.taken(self.vault, path)
        return len(gone)

    def _write(self, path: str, body: bytes, *, locked: bool) -> None:
        super()._write(path, body, locked=locked)
        version = ObjectVersion(path, len(body), self.objects[path][1])
        self._index.setdefault(self._changed(path), {})[path] = version

    def _unindex(self, path: str) -> None:
        self._index.get(self._changed(path), {}).pop(path, None)


class SimCloud(MemoryCloud):
    """A MemoryCloud that tells the ledger what it holds. Snapshots are usable when they are first listed."""

    def __init__(self, clocks: Clocks, weather: Weather, ledger: Ledger) -> None:
        super().__init__(lambda: clocks.true, pending_for=0)
        self.weather = weather
        self._ledger = ledger

    def add(self, place: Any, snapshot: NativeSnapshot, *more: Any) -> NativeSnapshot:
        """Hold a new snapshot, and tell of it."""
        made = super().add(place, snapshot, *more)
        home = TAG_SOURCE not in made.tags
        self._ledger.snapshot(*_where(made), made.tags[TAG_SLOT], made.started if home else None)
        return made

    def _settle(self, place: Any, native_id: str, why: str) -> None:
        super()._settle(place, native_id, why)
        snapshot = place.held[native_id].snapshot
        if not why:
            self._ledger.usable(*_where(snapshot))

    def remove(self, snapshot: NativeSnapshot) -> None:
        """The product deletes it."""
        self._ledger.deleting_copy(*_where(snapshot))
        super().remove(snapshot)

    def vanish(self, snapshots: Iterable[NativeSnapshot]) -> int:
        """Somebody deletes snapshots."""
        gone = list(snapshots)
        for snapshot in gone:
            super().remove(snapshot)
            self._ledger.taken_copy(*_where(snapshot))
        return len(gone)


def _where(snapshot: NativeSnapshot) -> tuple[str, str, str, str]:
    """(vault, application, resource, point)."""
    tags = snapshot.tags
    vault = native_vault_name(snapshot.account, snapshot.region)
    return vault, tags[TAG_APPLICATION], tags[TAG_RESOURCE], tags[TAG_POINT]


class SimSnapshots(MemorySnapshots):
    """MemorySnapshots in bad weather."""

    cloud: SimCloud

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All snapshots of the site there, or none at all."""
        vault = native_vault_name(account, region)
        try:
            self.cloud.weather.meet(vault, "snapshots")
            if vault in self.cloud.weather.blind:
                raise Unavailable("not allowed to list", operation="snapshots", vault=vault)
            found = list(super().snapshots(account, region, site))
            self.cloud._ledger.listing_done(vault)
            yield from found
        except (Busy, Unavailable):
            self.cloud._ledger.listing_failed(vault)
            raise

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """A cut that may be refused."""
        return self._met(order.account, order.region, "cut", lambda: MemorySnapshots.cut(self, order, call))

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """A copy that may be refused."""
        return self._met(order.account, order.region, "copy", lambda: MemorySnapshots.copy(self, order))

    def _met(self, account: str, region: str, operation: str, then: Callable[[], _T]) -> _T:
        self.cloud.weather.meet(native_vault_name(account, region), operation)
        return then()
