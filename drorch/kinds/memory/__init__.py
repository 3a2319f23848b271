"""The public fake: a cloud in memory and snapshots in it, faithful to the SnapshotKind port, fast, and turned by hand.

    cloud = MemoryCloud(now=clock.now)
    cloud.put_sources("ec2", "prod", "us-east-1", [Source("vol-1", tags={"app": "shop"})])
    kind = MemorySnapshots(cloud)                                              # as ebs: no identifier, several members
    kind = MemorySnapshots(cloud, "rds-instance", "rds", named=True)           # as RDS: the identifier is the key
    kind = MemorySnapshots(cloud, "rds-cluster", "rds", named=True, dated=False)

It selects by the options of the kind it stands for: `options.identifier`, else `options.select.tags`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from drorch.domain.catalogue_native import TAG_SET, TAG_SITE
from drorch.domain.errors import AlreadyExists, Busy, NotFound, Refused, Unavailable
from drorch.domain.instant import floor_second, to_text
from drorch.domain.model import LockMode, ObjectLock, native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.kinds import (
    carried_tags,
    check_copy,
    copied_tags,
    set_text,
    sets_by_instance,
)
from drorch.kinds.memory.cloud import NO_SUCH_KEY, Held, Place
from drorch.kinds.memory.cloud import MemoryCloud as MemoryCloud
from drorch.kinds.memory.restores import MemoryRestores
from drorch.ports import CopyOrder, CutOrder

SHORTEST_LOCK = timedelta(days=1)


class MemorySnapshots(MemoryRestores):
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
