"""Reading what lies in a vault and comparing it with what was signed, without any key but public ones.

Of every point: the manifest's signature and path, sizes, SHA256SUMS, the leaf digests, and the chosen leaves. Damage is
what was read and is not what was signed; a vault that does not answer says nothing.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from drorch.app.leaves import folder_of, verified_leaves
from drorch.app.progress import Meter, ProgressSink, ignore
from drorch.app.reading import TrustedKey, check_sums, read_signed
from drorch.app.versions import ObjectDamaged
from drorch.crypto.minisign import BadSignature
from drorch.domain import layout
from drorch.domain.errors import Damaged, DrorchError, NotFound, NotInThisVersion, Refused, Unavailable
from drorch.domain.instant import from_compact, from_text, to_text
from drorch.domain.plan_care import TURNS
from drorch.domain.record import Record, StoredArtefact, artefacts_of
from drorch.ports import Clock, ObjectStore

_SILENT = 3
"""After so many points in a row that could not be read the vault is taken to be away: the others are not tried."""


# --- which leaves --------------------------------------------------------------------------------------------------

Select = Callable[[str, StoredArtefact], Sequence[int]]
"""(point, artefact) -> the leaves to be read, numbered from 0, rising."""


def whole(_point: str, artefact: StoredArtefact) -> Sequence[int]:
    """Every leaf."""
    return range(_leaves(artefact))


def by_turn(turn: int) -> Select:
    """The leaves of one turn. Every leaf belongs to exactly one of `TURNS`; where an artefact begins among them
    depends on its name and point, so that small ones are spread over the days.
    """

    def select(point: str, artefact: StoredArtefact) -> Sequence[int]:
        digest = hashlib.sha256(f"{point}\0{artefact.name}".encode()).digest()
        offset = int.from_bytes(digest[:8], "big")
        return range((turn - offset) % TURNS, _leaves(artefact), TURNS)

    return select


def by_sample(share: float, seed: str) -> Select:
    """A random share (0 to 1) of every artefact's leaves, at least one; the same for the same seed."""

    def select(point: str, artefact: StoredArtefact) -> Sequence[int]:
        count = _leaves(artefact)
        chance = random.Random(f"{seed}\0{point}\0{artefact.name}")  # noqa: S311 - no secret: nobody gains by guessing
        return sorted(chance.sample(range(count), min(count, max(1, math.ceil(count * share)))))

    return select


def _leaves(artefact: StoredArtefact) -> int:
    return artefact.leaves_bytes // 32


# --- which points, and what was found ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where one dump point lies in every vault."""

    application: str
    resource: str
    cut_at: datetime
    point: str

    @property
    def manifest_path(self) -> str:
        """Of the record that commits it."""
        return layout.manifest_path(self.application, self.resource, self.cut_at, self.point)

    def to_json(self) -> dict[str, str]:
        """As it goes through a pipe."""
        names = {"application": self.application, "resource": self.resource, "point": self.point}
        return {**names, "cut_at": to_text(self.cut_at)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Place:
        """The inverse of `to_json`."""
        return cls(**{**body, "cut_at": from_text(body["cut_at"])})


class State(StrEnum):
    """What reading a point came to. `unavailable` says nothing about the point."""

    OK = "ok"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNSIGNED = "unsigned"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Damage:
    """One object that is not what was signed. `leaf` counts from 1, `offset` is the byte of the object it begins at."""

    path: str
    cause: str
    leaf: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        return f"{self.path.rpartition('/')[2]}: {self.cause}"

    def to_json(self) -> dict[str, object]:
        """The stable fields of `drorch vault verify --json`."""
        return {"path": self.path, "cause": self.cause, "leaf": self.leaf, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class PointFound:
    """What reading one point in one vault came to. `bytes` and `leaves` are those that were read and are right.

    `shadowed` names objects whose oldest valid version was read, because something else lies over it.
    `absent` says that there was no manifest at all: whether there should be one, a listing tells.
    """

    place: Place
    vault: str
    state: State
    damage: tuple[Damage, ...] = ()
    why: str = ""
    leaves: int = 0
    bytes: int = 0
    shadowed: tuple[str, ...] = ()
    absent: bool = False

    @property
    def broken(self) -> bool:
        """Whether its copy in this vault is not what was signed. Without a manifest it is no copy (any more)."""
        return self.state in (State.DAMAGED, State.MISSING, State.UNSIGNED) and not self.absent

    def to_json(self) -> dict[str, object]:
        """The stable fields of `drorch vault verify --json`."""
        return {
            **self.place.to_json(),
            "vault": self.vault,
            "state": str(self.state),
            "why": self.why or None,
            "damage": [damage.to_json() for damage in self.damage],
            "shadowed": list(self.shadowed),
            "leaves": self.leaves,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What reading some points of one vault came to."""

    vault: str
    points: tuple[PointFound, ...]
    seconds: float

    @property
    def leaves(self) -> int:
        """That were read and are right."""
        return sum(point.leaves for point in self.points)

    @property
    def bytes(self) -> int:
        """Of those leaves."""
        return sum(point.bytes for point in self.points)

    @property
    def broken(self) -> tuple[PointFound, ...]:
        """The points that are not what was signed."""
        return tuple(point for point in self.points if point.broken)

    @property
    def unread(self) -> tuple[PointFound, ...]:
        """The points that could not be read."""
        return tuple(point for point in self.points if point.state is State.UNAVAILABLE)

    def to_json(self) -> dict[str, object]:
        """The stable fields of `drorch vault verify --json`."""
        seconds = math.ceil(self.seconds)
        counts = {"leaves": self.leaves, "bytes": self.bytes, "seconds": seconds}
        return {"vault": self.vault, **counts, "points": [point.to_json() for point in self.points]}


def _nobody(_found: PointFound) -> None:
    """Hears of each point where nobody wants to know."""


# --- reading -------------------------------------------------------------------------------------------------------


def verify_points(
    store: ObjectStore,
    places: Iterable[Place],
    keys: Sequence[TrustedKey],
    select: Select,
    *,
    site: str,
    clock: Clock,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    progress: ProgressSink = ignore,
    found: Callable[[PointFound], None] = _nobody,
    label: str = "",
) -> VerifyReport:
    """Read the selected leaves of every point, in bounded memory; `found` hears of each point as soon as it is read.

    A mismatch is read once more before it is damage. Raises Unavailable only when `cancel` is set: points that could
    not be read are told in the report.
    """
    began = monotonic()
    reading = _Reading(store, keys, select, site, clock, cancel)
    meter = Meter("verify", label or store.vault, None, clock.now())
    manifests: dict[Place, Record | PointFound] = {}
    for place in sorted(set(places)):
        manifests[place] = reading.manifest(place)
        progress(meter.at(clock.now()))
    total = sum(
        _bytes(artefact, select(place.point, artefact))
        for place, manifest in manifests.items()
        if isinstance(manifest, Record)
        for artefact in artefacts_of(manifest)
    )
    meter = Meter("verify", label or store.vault, total, clock.now())
    reading.passed = lambda count: progress(meter.advance(count, clock.now()))
    points: list[PointFound] = []
    for place, manifest in manifests.items():
        points.append(manifest if isinstance(manifest, PointFound) else reading.point(place, manifest))
        reading.passed(0)
        found(points[-1])
    return VerifyReport(store.vault, tuple(points), monotonic() - began)


@dataclass(slots=True)
class _Tally:
    """What was found in one point so far."""

    damage: list[Damage] = field(default_factory=list)
    missing: bool = False
    leaves: int = 0
    bytes: int = 0
    shadowed: dict[str, None] = field(default_factory=dict)

    def shadow(self, path: str) -> None:
        self.shadowed[path] = None


class _Reading:
    """Reads the points of one vault, one after the other."""

    def __init__(
        self,
        store: ObjectStore,
        keys: Sequence[TrustedKey],
        select: Select,
        site: str,
        clock: Clock,
        cancel: threading.Event | None,
    ) -> None:
        self._store, self._keys, self._select, self._site = store, keys, select, site
        self._clock, self._cancel = clock, cancel
        self._silent = 0
        self._shadowed: dict[Place, list[str]] = {}
        self.passed: Callable[[int], None] = lambda _count: None

    def manifest(self, place: Place) -> Record | PointFound:
        """The signed manifest, or what is wrong with it."""
        self._check_cancelled()
        if self._silent >= _SILENT:
            return self._unread(place, "the vault does not answer")
        shadowed = self._shadowed.setdefault(place, [])
        try:
            record = read_signed(self._store, place.manifest_path, self._keys, shadowed.append)
        except NotFound:
            damage = Damage(place.manifest_path, "it is missing")
            return self._found(place, State.MISSING, _Tally([damage]), absent=True)
        except (BadSignature, Damaged) as error:
            return self._found(place, State.UNSIGNED, _Tally([_damage(place.manifest_path, error)]))
        except DrorchError as error:
            self._silent += not isinstance(error, NotInThisVersion)
            return self._unread(place, str(error))
        self._silent = 0
        if record.site != self._site:
            damage = Damage(place.manifest_path, f"it is of site {record.site}")
            return self._found(place, State.UNSIGNED, _Tally([damage]))
        return record

    def point(self, place: Place, manifest: Record) -> PointFound:
        """Everything of the point but its manifest."""
        if self._silent >= _SILENT:
            return self._unread(place, "the vault does not answer")
        tally = _Tally(shadowed=dict.fromkeys(self._shadowed.pop(place, ())))
        checks: list[tuple[str, Callable[[], None]]] = [
            (folder_of(manifest) + layout.SUMS, lambda: check_sums(self._store, manifest, self._keys, tally.shadow))
        ]
        checks += [
            (folder_of(manifest) + artefact.name, self._artefact(manifest, artefact, tally))
            for artefact in artefacts_of(manifest)
        ]
        for path, check in checks:
            self._check_cancelled()
            try:
                check()
            except (BadSignature, Damaged) as error:
                tally.damage.append(_damage(path, error))
                tally.missing = tally.missing or (isinstance(error, ObjectDamaged) and error.missing)
            except DrorchError as error:
                # What was found before stands; a point of which nothing is wrong so far was not read.
                self._check_cancelled()
                self._silent += 1
                if not tally.damage:
                    return self._unread(place, str(error))
                break
            else:
                self._silent = 0
        if not tally.damage:
            return self._found(place, State.OK, tally)
        return self._found(place, State.MISSING if tally.missing else State.DAMAGED, tally, absent=self._went(place))

    def _went(self, place: Place) -> bool:
        """Whether the manifest is gone by now: the point was let go while it was read."""
        try:
            read_signed(self._store, place.manifest_path, self._keys)
        except NotFound:
            return True
        except DrorchError:
            return False
        return False

    def _artefact(self, manifest: Record, artefact: StoredArtefact, tally: _Tally) -> Callable[[], None]:
        def read() -> None:
            chosen = self._select(manifest.point, artefact)
            leaves = verified_leaves(
                self._store,
                folder_of(manifest),
                artefact,
                self._clock,
                self._cancel,
                chosen=chosen,
                shadowed=tally.shadow,
            )
            with closing(leaves):
                for leaf in leaves:
                    tally.leaves += 1
                    tally.bytes += len(leaf)
                    self.passed(len(leaf))

        return read

    def _found(self, place: Place, state: State, tally: _Tally, *, absent: bool = False) -> PointFound:
        return PointFound(
            place=place,
            vault=self._store.vault,
            state=state,
            damage=tuple(tally.damage),
            why="; ".join(str(damage) for damage in tally.damage),
            leaves=tally.leaves,
            bytes=tally.bytes,
            shadowed=tuple(tally.shadowed),
            absent=absent,
        )

    def _unread(self, place: Place, why: str) -> PointFound:
        return PointFound(place, self._store.vault, State.UNAVAILABLE, why=why)

    def _check_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Unavailable(
                "it was interrupted", operation="verify", vault=self._store.vault, hint="the next turn reads it again"
            )


def _damage(path: str, error: Refused) -> Damage:
    if isinstance(error, ObjectDamaged):
        return Damage(error.path, error.cause, error.leaf, error.offset)
    return Damage(path, f"{error.message}: {error.cause}" if error.cause else error.message)


def _bytes(artefact: StoredArtefact, chosen: Sequence[int]) -> int:
    if not chosen:
        return 0
    short = artefact.leaf_bytes * _leaves(artefact) - artefact.bytes if chosen[-1] == _leaves(artefact) - 1 else 0
    return artefact.leaf_bytes * len(chosen) - short


# --- where the points are ------------------------------------------------------------------------------------------


def committed_points(store: ObjectStore, application: str = "", resource: str = "") -> list[Place]:
    """Every dump point whose manifest lies (or, where versions are kept, ever lay) in the vault, in the order of paths.

    Raises what a listing raises.
    """
    below = "".join(f"{part}/" for part in (application, resource) if part)
    places: set[Place] = set()
    for found in store.history(layout.RECORDS + below):
        if not found.marker and (place := _place_of(found.path)) is not None:
            places.add(place)
    return sorted(places)


def _place_of(path: str) -> Place | None:
    parts = path.removeprefix(layout.RECORDS).split("/")
    if len(parts) != 4 or parts[3] != "manifest.json":
        return None
    cut_at, _, point = parts[2].partition("-")
    try:
        return Place(parts[0], parts[1], from_compact(cut_at), point)
    except ValueError:
        return None
