"""The public fake: a cloud in memory and snapshots in it, faithful to the SnapshotKind port, fast, and turned by hand.

    cloud = MemoryCloud(now=clock.now)
    cloud.put_sources("ec2", "prod", "us-east-1", [Source("vol-1", tags={"app": "shop"})])
    kind = MemorySnapshots(cloud)                                              # as ebs: no identifier, several members
    kind = MemorySnapshots(cloud, "rds-instance", "rds", named=True)           # as RDS: the identifier is the key
    kind = MemorySnapshots(cloud, "rds-cluster", "rds", named=True, dated=False)

It selects by the options of the kind it stands for: `options.identifier`, else `options.select.tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import RLock

from drorch.domain.catalogue_native import TAG_POINT, TAG_SET, TAG_SITE, TAG_SOURCE
from drorch.domain.errors import AlreadyExists, Busy, NotFound, Refused, Unavailable
from drorch.domain.instant import floor_second, to_text
from drorch.domain.kms import KmsKey
from drorch.domain.model import LockMode, ObjectLock, native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.kinds import (
    carried_tags,
    check_copy,
    copied_tags,
    set_text,
    sets_by_instance,
)
from drorch.ports import CopyOrder, CutOrder

SHORTEST_LOCK = timedelta(days=1)
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
class Place:
    """One service in one account and region."""

    sources: dict[str, Source] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    points: dict[str, dict[str, None]] = field(default_factory=dict)
    pending: dict[str, None] = field(default_factory=dict)


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


class MemorySnapshots:
    """Snapshots in a MemoryCloud (SnapshotKind).

    `named`: the caller's identifier is the key, as in RDS. `dated`: a copy of such a one tells when its source was cut,
    as that of an instance does and that of a cluster does not.
    """

    def __init__(
        self, cloud: MemoryCloud, kind: str = "ebs", service: str = "ec2", *, named: bool = False, dated: bool = True
    ) -> None:
        self.cloud = cloud
        self._dated = named and dated
        self.kind = kind
        self.service = service
        self.repeatable_cut = self._named = named

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All snapshots of the site there; looking moves pending ones on."""
        with self.cloud.lock:
            shown = self.cloud.observe(self.cloud.reach(self.service, account, region, "snapshots"))
        yield from (snapshot for snapshot in shown if snapshot.tags.get(TAG_SITE) == site)

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """Every snapshot there that bears the point's id."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, account, region, "find")
            return tuple(place.held[native_id].snapshot for native_id in place.points.get(point, ()))

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """Everybody's copies that are pending there; looking changes nothing."""
        with self.cloud.lock:
            yield from self.cloud.copies_under_way(self.cloud.reach(self.service, account, region, "copies"), region)

    def snapshot_rooms(self, account: str, region: str) -> Mapping[str, SnapshotRoom]:
        """Of this kind alone, where `most_snapshots` limits it."""
        with self.cloud.lock:
            held = len(self.cloud.reach(self.service, account, region, "snapshot_rooms").held)
        most = self.cloud.most_snapshots.get(region) if self._named else None
        return {} if most is None else {self.kind: SnapshotRoom(held, most)}

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """The sources there that any of `options` selects."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, account, region, "sources")
            present = tuple(place.sources.values())
        yield from (source for source in present if any(_selects(option, source) for option in options))

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """Those of `sources` that the options select."""
        return tuple(source for source in sources if _selects(options, source))

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """One set per instance, then the others one by one."""
        return sets_by_instance(sources)

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """Make one set. NotFound when a source is gone; AlreadyExists when the identifier is taken."""
        calls = self.creating_calls(order.sources)
        vault = native_vault_name(order.account, order.region)
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.account, order.region, "cut")
            for source in calls[call]:
                if source.source_id not in place.sources:
                    raise NotFound("the source is gone", operation="cut", resource=source.source_id, vault=vault)
            self._take_room(place, order.region, vault, "cut")
            return tuple(self._make(place, order, call, calls, source) for source in calls[call])

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """Begin one copy. Busy when the destination's places are taken; Unavailable while the source is pending."""
        check_copy(order, "copy")
        vault = native_vault_name(order.account, order.region)
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.account, order.region, "copy")
            held = self._copyable(order)
            source = held.snapshot
            self._take_place(place, order.region, vault)
            self._take_room(place, order.region, vault, "copy")
            keyed = not order.kms_key or self.cloud.has_key(order.account, order.region, order.kms_key)
            if not keyed and self._named:
                self.check_key(order.account, order.region, order.kms_key)  # RDS refuses at once, EC2 fails later
            copied = replace(
                source,
                native_id=self._name(place, order.point, f"-{order.attempt}", vault),
                account=order.account,
                region=order.region,
                state="pending",
                progress=0,
                tags=copied_tags(order),
                source_id=source.source_id if self._named else "",
                started=floor_second(self.cloud.now()),
                encrypted=bool(order.kms_key),
                kms_key=order.kms_key,
                origin=source.started if self._dated else None,
            )
            return self.cloud.add(place, copied, "" if keyed else NO_SUCH_KEY, held)

    def share(self, order: CopyOrder) -> None:
        """Let the order's account copy the snapshot. NotFound when it is gone."""
        check_copy(order, "share")
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.from_account, order.from_region, "share")
            held = place.held.get(order.snapshot.native_id)
            if held is None:
                raise NotFound("the snapshot is gone", operation="share", resource=order.snapshot.native_id)
            held.shared |= {order.account}

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Take that back. Copies of it that are pending there fail, the worst that AWS may do."""
        with self.cloud.lock:
            held = self.cloud.reach(self.service, account, region, "unshare").held.get(native_id)
            if held is not None and other in held.shared:
                held.shared -= {other}
                self.cloud.forbid(held, other)

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:
        """The ids of the site's snapshots that `other` may copy."""
        with self.cloud.lock:
            there = self.cloud.reach(self.service, account, region, "shared").held.values()
            own = [h.snapshot for h in there if other in h.shared]
        yield from (snapshot.native_id for snapshot in own if snapshot.tags.get(TAG_SITE) == site)

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused unless `put_key` put the key there."""
        self.cloud.reach(self.service, account, region, "check_key")
        if not self.cloud.has_key(account, region, key):
            raise Refused(
                f"the KMS key {key} cannot be used in {region}",
                operation="check_key",
                resource=key,
                vault=native_vault_name(account, region),
                hint=f"create it in {region}",
            )

    def now(self, account: str, region: str) -> datetime:
        """By the cloud's clock; Unavailable while the region is lost."""
        self.cloud.reach(self.service, account, region, "now")
        return self.cloud.now()

    def expire(self, account: str, region: str, native_id: str) -> None:
        """Delete one snapshot, if it is there. Refused while it is protected, Unavailable while RDS still makes it."""
        said = {"operation": "expire", "resource": native_id, "vault": native_vault_name(account, region)}
        with self.cloud.lock:
            held = self.cloud.reach(self.service, account, region, "expire").held.get(native_id)
            if held is None:
                return
            if held.protected:
                raise Refused("the snapshot is not let go", cause=held.protected, **said)
            if held.lock is not None and self.cloud.now() < held.lock.until:
                told = f"until {to_text(held.lock.until)}"
                raise Refused(f"the snapshot is locked ({held.lock.mode})", cause=told, **said)
            if self._named and held.snapshot.state == "pending" and held.source is None:
                raise Unavailable("the snapshot is still being made", cause=held.snapshot.state, **said)
            self.cloud.remove(held.snapshot)

    def locks(self, account: str, region: str, native_ids: Sequence[str] = ()) -> Mapping[str, ObjectLock]:
        """What is or was locked there."""
        with self.cloud.lock:
            held = self.cloud.reach(self.service, account, region, "locks").held
            wanted = native_ids or held.keys()
            return {name: lock for name in wanted if name in held and (lock := held[name].lock) is not None}

    def lock(self, account: str, region: str, native_id: str, mode: LockMode, until: datetime) -> None:
        """Lock one snapshot. NotFound when it is gone; Refused in RDS, and for less than a compliance lock that is."""
        said = {"operation": "lock", "resource": native_id, "vault": native_vault_name(account, region)}
        with self.cloud.lock:
            held = self.cloud.reach(self.service, account, region, "lock").held.get(native_id)
            if held is None:
                raise NotFound("the snapshot is gone", **said)
            stands = held.lock is not None and self.cloud.now() < held.lock.until
            if self._named or until < self.cloud.now() + SHORTEST_LOCK:
                raise Refused("the snapshot cannot be locked so", **said)
            before = held.lock if stands and held.lock is not None else None
            weaker = before is not None and (mode is not LockMode.COMPLIANCE or until <= before.until)
            if before is not None and before.mode is LockMode.COMPLIANCE and weaker:
                raise Refused("a lock in compliance mode only becomes longer", cause=to_text(before.until), **said)
            held.lock = ObjectLock(mode, floor_second(until))

    def _make(
        self, place: Place, order: CutOrder, call: int, calls: Sequence[Sequence[Source]], source: Source
    ) -> NativeSnapshot:
        made = NativeSnapshot(
            native_id=self._name(place, order.point, "", native_vault_name(order.account, order.region)),
            account=order.account,
            region=order.region,
            service=self.service,
            state="pending",
            tags=carried_tags({**order.tags, TAG_SET: set_text(call, calls)}, source.tags),
            source_id=source.source_id,
            started=floor_second(self.cloud.now()),
            bytes=source.bytes,
            encrypted=source.encrypted,
            kms_key=source.kms_key,
        )
        return self.cloud.add(place, made)

    def _take_place(self, place: Place, region: str, vault: str) -> None:
        pending = len(self.cloud.copies_under_way(place, region))
        places = self.cloud.copy_places.get(region, pending + 1)
        if pending >= places:
            told = f"Too many snapshot copies in progress. The limit is {places} for this destination region."
            raise Busy("the destination's copy places are taken", operation="copy", vault=vault, cause=told)

    def _take_room(self, place: Place, region: str, vault: str, operation: str) -> None:
        most = self.cloud.most_snapshots.get(region) if self._named else None
        if most is not None and len(place.held) >= most:
            told = f"SnapshotQuotaExceeded: Cannot create more than {most} manual snapshots"
            raise Busy("there are as many snapshots as may be", operation=operation, vault=vault, cause=told)

    def _copyable(self, order: CopyOrder) -> Held:
        wanted = order.snapshot.native_id
        vault = native_vault_name(order.from_account, order.from_region)
        origin = self.cloud.reach(self.service, order.from_account, order.from_region, "copy")
        held = origin.held.get(wanted)
        if held is None or order.account not in {order.from_account, *held.shared}:
            raise NotFound("the snapshot is gone, or not shared", operation="copy", resource=wanted, vault=vault)
        if held.snapshot.state != "usable":
            raise Unavailable(
                "the snapshot cannot be copied yet",
                operation="copy",
                resource=wanted,
                vault=vault,
                cause=held.snapshot.state,
            )
        return held

    def _name(self, place: Place, point: str, suffix: str, vault: str) -> str:
        if not self._named:
            return self.cloud.next_id()
        name = f"drorch-{point}{suffix}"
        if name in place.held:
            raise AlreadyExists("the identifier is taken", resource=name, vault=vault)
        return name


def _selects(options: object, source: Source) -> bool:
    identifier = getattr(options, "identifier", None)
    if identifier is not None:
        return bool(source.source_id == identifier)
    tags: dict[str, str] = options.select.tags  # type: ignore[attr-defined]
    return all(source.tags.get(key) == value for key, value in tags.items())
