"""A cloud in memory: regions with what lies in them, and what can happen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock

from drorch.domain.catalogue_native import TAG_POINT, TAG_SOURCE
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.kms import KmsKey
from drorch.domain.model import LockMode, ObjectLock, native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, Source
from drorch.domain.native_restore import Made

NO_SUCH_KEY = "Given key ID is not accessible"
"""EC2's StateMessage of a copy whose key cannot be used (packer#6737)."""


@dataclass(slots=True)
class Held:
    """One snapshot, and what is to become of it."""

    snapshot: NativeSnapshot
    doom: str = ""
    seen: int = 0
    source: Held | None = None
    protected: str = ""
    lock: ObjectLock | None = None
    shared: frozenset[str] = frozenset()
    """The accounts that may copy it, beside its own."""


@dataclass(slots=True)
class Restored:
    """One thing that was made of a snapshot: by which restore, and how often it was looked at since."""

    made: Made
    tags: Mapping[str, str]
    part: str
    looks: int = 0


@dataclass(slots=True)
class Place:
    """One service in one account and region."""

    sources: dict[str, Source] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    points: dict[str, dict[str, None]] = field(default_factory=dict)
    pending: dict[str, None] = field(default_factory=dict)
    restored: list[Restored] = field(default_factory=list)


class MemoryCloud:
    """Regions, sources, keys and snapshots. `now` gives the present; nothing here reads a clock of its own.

    A snapshot is shown as pending by `pending_for` listings (None: until `finish`) and as usable from then on.
    `copy_places` limits the copies pending in a destination region, per account and service, as AWS does;
    `most_snapshots` limits the snapshots of each kind in a region, as RDS does those of its own.
    `foreign_copies` says how many of those places are taken there by copies that are not drorch's.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        pending_for: int | None = 1,
        copy_places: dict[str, int] | None = None,
    ) -> None:
        self.now = now
        self.pending_for = pending_for
        self.copy_places = dict(copy_places or {})
        self.foreign_copies: dict[str, int] = {}
        self.most_snapshots: dict[str, int] = {}
        self.lock = RLock()
        self._places: dict[tuple[str, str, str], Place] = {}
        self._lost: set[str] = set()
        self._keys: dict[tuple[str, str, str], KmsKey] = {}
        self._made = 0

    # --- what happens to the world

    def put_sources(self, service: str, account: str, region: str, sources: Iterable[Source]) -> None:
        """The sources that are there from now on; earlier ones are gone, their snapshots stay."""
        with self.lock:
            self._place(service, account, region).sources = {source.source_id: source for source in sources}

    def put_key(
        self, account: str, region: str, key: str, *, state: str = "Enabled", manager: str = "CUSTOMER"
    ) -> None:
        """A key of the region, or what becomes of it; copies may use it while it is `Enabled`.

        One that is not when a copy under it would become usable lets it fail.
        """
        self._keys[account, region, key] = KmsKey(key, state, manager=manager)

    def lose(self, region: str) -> None:
        """Every call to the region is Unavailable from now on."""
        self._lost.add(region)

    def give_back(self, region: str) -> None:
        """The region answers again, with what it held."""
        self._lost.discard(region)

    def finish(self) -> None:
        """Everything pending is usable from now on."""
        with self.lock:
            for place in self._places.values():
                for native_id in list(place.pending):
                    self._settle(place, native_id, self._doom(place.held[native_id]))

    def fail(self, snapshot: NativeSnapshot, why: str) -> None:
        """The snapshot ends in an error, as a copy under a wrong key does minutes after it was accepted."""
        with self.lock:
            place = self._place(snapshot.service, snapshot.account, snapshot.region)
            self._settle(place, snapshot.native_id, why)

    def protect(self, snapshot: NativeSnapshot, why: str) -> None:
        """The provider does not let the snapshot go (an image uses it, a lock stands); with `why` empty it does."""
        with self.lock:
            self._place(snapshot.service, snapshot.account, snapshot.region).held[snapshot.native_id].protected = why

    def unlock(self, snapshot: NativeSnapshot) -> None:
        """Somebody takes the lock off. Refused in compliance mode."""
        with self.lock:
            held = self._place(snapshot.service, snapshot.account, snapshot.region).held[snapshot.native_id]
            if held.lock is not None and held.lock.mode is LockMode.COMPLIANCE and self.now() < held.lock.until:
                raise Refused("the lock is in compliance mode", operation="unlock", resource=snapshot.native_id)
            held.lock = None

    def attack(self, snapshot: NativeSnapshot) -> None:
        """Somebody who holds every right in the account takes its lock off, if it can be, and deletes the snapshot.

        Refused while it cannot.
        """
        self.unlock(snapshot)
        self.remove(snapshot)

    def remove(self, snapshot: NativeSnapshot) -> None:
        """Somebody deletes the snapshot. The copies of it that are pending fail, the worst that AWS may do."""
        with self.lock:
            place = self._place(snapshot.service, snapshot.account, snapshot.region)
            held = place.held.pop(snapshot.native_id)
            place.pending.pop(snapshot.native_id, None)
            for other in self._places.values():
                for copied in [other.held[native_id] for native_id in other.pending]:
                    if copied.source is held:
                        copied.doom = copied.doom or "the source was deleted before its copy was complete"
            place.points.get(held.snapshot.tags.get(TAG_POINT, ""), {}).pop(snapshot.native_id, None)

    def forbid(self, held: Held, account: str) -> None:
        """The copies of it that an account has under way fail."""
        for other in self._places.values():
            for copied in [other.held[native_id] for native_id in other.pending]:
                if copied.source is held and copied.snapshot.account == account:
                    copied.doom = copied.doom or "the source was not shared any more before its copy was complete"

    def snapshots(self) -> tuple[NativeSnapshot, ...]:
        """Everything that is held anywhere, lost regions included; looking here changes nothing."""
        with self.lock:
            return tuple(held.snapshot for place in self._places.values() for held in place.held.values())

    def shared_ids(self) -> tuple[str, ...]:
        """What any other account may copy."""
        with self.lock:
            return tuple(name for place in self._places.values() for name, held in place.held.items() if held.shared)

    # --- what the kinds ask of it

    def reach(self, service: str, account: str, region: str, operation: str) -> Place:
        """The place, or Unavailable while its region is lost."""
        if region in self._lost:
            raise Unavailable(
                "the region does not answer", operation=operation, vault=native_vault_name(account, region)
            )
        return self._place(service, account, region)

    def has_key(self, account: str, region: str, key: str) -> bool:
        """Whether the key is there and enabled."""
        found = self._keys.get((account, region, key))
        return found is not None and found.state == "Enabled"

    def key(self, account: str, region: str, key: str) -> KmsKey:
        """The key that was put there. NotFound when there is none."""
        if (account, region, key) not in self._keys:
            vault = native_vault_name(account, region)
            raise NotFound("there is no such key", operation="key", resource=key, vault=vault, cause="NotFound")
        return self._keys[account, region, key]

    def next_id(self) -> str:
        """A snapshot id that was never given."""
        self._made += 1
        return f"snap-{self._made:017x}"

    def add(self, place: Place, snapshot: NativeSnapshot, doom: str = "", source: Held | None = None) -> NativeSnapshot:
        """Hold a new snapshot, pending; with a `doom` it fails for that reason when it would have become usable."""
        place.held[snapshot.native_id] = Held(snapshot, doom, source=source)
        place.pending[snapshot.native_id] = None
        place.points.setdefault(snapshot.tags.get(TAG_POINT, ""), {})[snapshot.native_id] = None
        return snapshot

    def observe(self, place: Place) -> list[NativeSnapshot]:
        """One listing: what it shows, after pending snapshots have moved on."""
        for native_id in list(place.pending):
            held = place.held[native_id]
            held.seen += 1
            if self.pending_for is not None and held.seen > self.pending_for:
                self._settle(place, native_id, self._doom(held))
        return [held.snapshot for held in place.held.values()]

    def copies_under_way(self, place: Place, region: str) -> list[PendingCopy]:
        """The copies that take places in a destination region: those held here, and others'."""
        own = [native_id for native_id in place.pending if TAG_SOURCE in place.held[native_id].snapshot.tags]
        others = [f"other-{number}" for number in range(self.foreign_copies.get(region, 0))]
        return [PendingCopy(name) for name in (*own, *others)]

    def _place(self, service: str, account: str, region: str) -> Place:
        return self._places.setdefault((service, account, region), Place())

    def _doom(self, held: Held) -> str:
        """A copy needs its key until it is done."""
        s = held.snapshot
        lost = held.source is not None and s.kms_key and not self.has_key(s.account, s.region, s.kms_key)
        return held.doom or (NO_SUCH_KEY if lost else "")

    def _settle(self, place: Place, native_id: str, why: str) -> None:
        held = place.held[native_id]
        held.snapshot = replace(held.snapshot, state="failed" if why else "usable", why=why, progress=0 if why else 100)
        place.pending.pop(native_id, None)
