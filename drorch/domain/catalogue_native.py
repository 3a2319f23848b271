"""The part of the fold that turns native snapshots and their records into points and copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from drorch.domain.catalogue_locks import NEVER_LOCKED, with_locks
from drorch.domain.instant import slot_start
from drorch.domain.model import Copy, CopyState, Member, ObjectLock, Oddity, Vault
from drorch.domain.native import PART, SNAPSHOT, NativeSnapshot
from drorch.domain.record import Record

TAG_APPLICATION = "drorch:application"
TAG_RESOURCE = "drorch:resource"
TAG_SLOT = "drorch:slot"
TAG_POINT = "drorch:point"
TAG_SET = "drorch:set"
TAG_SOURCE = "drorch:source"
TAG_SITE = "drorch:site"
TAG_INTERMEDIATE = "drorch:intermediate"
"""On a copy that is only there to be copied on (`drorch.domain.intermediate`): the vault of that copy."""
TAG_IMAGE = "drorch:image"
"""On the snapshots of an image, from the creating call on: the image's name."""

AS_RECORDED = "as last recorded"
"""Why a copy counts whose vault was never listed."""


@dataclass(frozen=True, slots=True)
class NativeView:
    """One kind's snapshots of one account and region as last listed; `complete` speaks of this pass.

    `locks` are those of its snapshots by id, as last listed (None: nobody asked for them), `locks_why` says what kept
    them from being listed in this pass.
    """

    vault: Vault
    kind: str
    complete: bool
    snapshots: tuple[NativeSnapshot, ...] = ()
    at: datetime | None = None
    why: str = ""
    locks: Mapping[str, ObjectLock] | None = None
    locks_why: str = ""

    def locks_of(self, snapshot: NativeSnapshot) -> tuple[tuple[str, ObjectLock], ...]:
        """(id, lock) of the snapshot and of each part of an image, without one `NEVER_LOCKED`; nothing if not asked."""
        if self.locks is None:
            return ()
        ids = (snapshot.native_id, *(part.native_id for part in snapshot.parts))
        return tuple((native_id, self.locks.get(native_id, NEVER_LOCKED)) for native_id in ids)


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """One snapshot that bears the tags of a point, with a valid id, and what is known of its locks."""

    kind: str
    vault: str
    slot: str
    snapshot: NativeSnapshot
    locks: tuple[tuple[str, ObjectLock], ...] = ()


@dataclass(frozen=True, slots=True)
class PointSeen:
    """A native point as folded: what `RecoveryPoint` needs of it."""

    kind: str
    slot: str
    cut_at: datetime | None
    copies: tuple[Copy, ...]
    note: str = ""
    identities: frozenset[str] = frozenset()


ValidId = Callable[[str, str, str, str], bool]
"""(point id, application, resource, slot) -> whether the id was made with this site's key."""


def snapshots_of(
    application: str,
    natives: Sequence[NativeView],
    valid_id: ValidId,
    recorded: Set[tuple[str, str, str]] = frozenset(),
) -> tuple[dict[tuple[str, str], list[SnapshotSeen]], list[Oddity], set[str]]:
    """(resource, point) -> the snapshots that bear its tags; those without a valid id; every id borne by anything.

    `recorded` has the (resource, point, slot) of signed native records: a record vouches for its id as the key itself
    does, and goes on doing so when the key that made both was replaced.
    """
    groups: dict[tuple[str, str], list[SnapshotSeen]] = {}
    strangers: list[Oddity] = []
    taken: set[str] = set()
    for view in natives:
        for snapshot in view.snapshots:
            tags = snapshot.tags
            if tags.get(TAG_APPLICATION) != application:
                continue
            point, resource, slot = tags.get(TAG_POINT, ""), tags.get(TAG_RESOURCE, ""), tags.get(TAG_SLOT, "")
            taken.add(point)
            if (resource, point, slot) in recorded or valid_id(point, application, resource, slot):
                seen = SnapshotSeen(view.kind, view.vault.name, slot, snapshot, view.locks_of(snapshot))
                groups.setdefault((resource, point), []).append(seen)
            else:
                what = f"{snapshot.native_id} bears drorch's tags without a valid id: held, never touched"
                strangers.append(Oddity(view.vault.name, what, resource, point))
    return groups, strangers, taken


def points_of_snapshots(
    snapshots: Sequence[SnapshotSeen],
    records: Sequence[tuple[str, Record]],
    listed: Set[tuple[str, str]],
    expired: Mapping[str, datetime],
) -> tuple[list[PointSeen], list[Oddity]]:
    """One id's point (one for each slot that bears it), and what does not fit.

    `records` are its signed native records, each with the object vault it was read in, `listed` the (kind, vault) of
    every listing that was ever read completely; `expired` maps vaults to when the deletion of the copy was begun.
    """
    slots: dict[str, dict[str, list[NativeSnapshot]]] = {}
    for seen in snapshots:
        slots.setdefault(seen.slot, {}).setdefault(seen.vault, []).append(seen.snapshot)
    if records and not slots:
        slots[records[0][1].text("slot")] = {}
    points: list[PointSeen] = []
    oddities: list[Oddity] = []
    for slot, by_vault in sorted(slots.items()):
        ours, strays = _without_strays(by_vault, records, expired)
        copies, odd = _copies(ours, records, listed)
        locks = {(seen.vault, native_id): lock for seen in snapshots for native_id, lock in seen.locks}
        copies = tuple(with_locks(copy, locks) for copy in copies) if locks else copies
        oddities += odd + strays
        if copies:
            bearing = [seen.snapshot for seen in snapshots if seen.slot == slot]
            kind = next((r.text("kind") for _, r in records), "") or (snapshots[-1].kind if snapshots else "")
            note = next((r.text("note") for _, r in records), "")
            cut_at, who = _cut_at(bearing, records, slot), _identities(records)
            points.append(PointSeen(kind, slot, cut_at, copies, note, who))
    return points, oddities


def _without_strays(
    by_vault: Mapping[str, Sequence[NativeSnapshot]],
    records: Sequence[tuple[str, Record]],
    expired: Mapping[str, datetime],
) -> tuple[dict[str, Sequence[NativeSnapshot]], list[Oddity]]:
    """Of a copy that was let go, what its records do not list is no part of it: it takes its place neither as a copy
    nor in a deletion. What was begun later may be the copy made again.
    """
    ours: dict[str, Sequence[NativeSnapshot]] = {}
    strays: list[Oddity] = []
    for vault, snapshots in by_vault.items():
        at = expired.get(vault)
        of_vault = [record for _, record in records if record.text("vault") == vault]
        listed = {m["native_id"] for record in of_vault for m in record.body["members"]}
        if at is None or not listed:
            ours[vault] = snapshots
            continue
        own = [s for s in snapshots if s.native_id in listed or (s.started is not None and s.started > at)]
        what = "bears the tags of a point whose signed record does not list it"
        strays += [Oddity(vault, f"{s.native_id} {what}") for s in snapshots if s not in own]
        if own:
            ours[vault] = own
    return ours, strays


def _identities(records: Sequence[tuple[str, Record]]) -> frozenset[str]:
    """What the sources of the point's members said of themselves when their records were signed."""
    found = (member.get("identity") for _, record in records for member in record.body["members"])
    return frozenset(identity for identity in found if isinstance(identity, str) and identity)


def _cut_at(seen: Sequence[NativeSnapshot], records: Sequence[tuple[str, Record]], slot: str) -> datetime | None:
    """A signed record's word, else the earliest start of the cut's own members, else what the copies know.

    An EBS copy does not tell when its source was started; the slot's start is then taken, which is never later than
    the truth, so that an attained RPO is never better than it. The same where a copy was begun before the cut: it was
    made of an earlier one, which is gone and was never recorded, so that its id was free for the next.
    """
    recorded = [record.cut_at for _, record in records if record.cut_at is not None]
    if recorded:
        return min(recorded)
    home = [s.started for s in seen if TAG_SOURCE not in s.tags and s.started is not None]
    first = min(home).replace(microsecond=0) if home else None
    if first is not None and not any(_began_before(first, s) for s in seen):
        return first
    origins = [s.origin for s in seen if s.origin is not None]
    if origins:
        return min(origins).replace(microsecond=0)
    try:
        return slot_start(slot)
    except ValueError:
        return None


def _began_before(cut: datetime, snapshot: NativeSnapshot) -> bool:
    """Whether it is a copy that was begun before that cut, and so is not one of it."""
    copied = TAG_SOURCE in snapshot.tags and snapshot.role != PART and snapshot.state != "failed"
    return copied and snapshot.started is not None and snapshot.started < cut


def _copies(
    by_vault: Mapping[str, Sequence[NativeSnapshot]],
    records: Sequence[tuple[str, Record]],
    listed: Set[tuple[str, str]],
) -> tuple[tuple[Copy, ...], list[Oddity]]:
    """`listed` has (kind, vault) of every listing that was ever read completely: only those can say what is gone."""
    copies: dict[str, Copy] = {}
    oddities: list[Oddity] = []
    for vault, snapshots in by_vault.items():
        recorded = [(where, record) for where, record in records if record.text("vault") == vault]
        copies[vault], odd = _copy(vault, snapshots, recorded, _told(records))
        oddities.extend(odd)
    for vault in sorted({record.text("vault") for _, record in records} - set(copies)):
        recorded = [(where, record) for where, record in records if record.text("vault") == vault]
        copies[vault] = _recorded_copy(vault, recorded, gone=(recorded[0][1].text("kind"), vault) in listed)
    return tuple(copies[name] for name in sorted(copies)), oddities


def _told(records: Sequence[tuple[str, Record]]) -> set[str]:
    """The members and their sources in the point's latest signed record. A copy's source is a member of the cut."""
    if not records:
        return set()
    _, latest = max(records, key=lambda entry: entry[1].at)
    return {str(name) for m in latest.body["members"] for name in (m["native_id"], m.get("source_id")) if name}


def _copy(
    vault: str, snapshots: Sequence[NativeSnapshot], recorded: Sequence[tuple[str, Record]], told: set[str]
) -> tuple[Copy, list[Oddity]]:
    chosen, oddities, excess = _chosen(vault, [s for s in snapshots if s.role != PART], recorded, told)
    state, why = (CopyState.FAILED, excess) if excess else _state(tuple(chosen.values()))
    members = _members(chosen)
    ids = {member.native_id for member in members}
    matching = [
        (where, record) for where, record in recorded if {m["native_id"] for m in record.body["members"]} == ids
    ]
    if remains := [s for s in snapshots if s.role == PART]:
        left, odd = _remains(vault, remains, recorded, usable=state is CopyState.USABLE)
        members, oddities = (*members, *left), [*oddities, *odd]
        if not chosen:
            what = f"{len(remains)} of its snapshots are there without their image"
            state, why = (CopyState.FAILED if recorded else CopyState.PENDING), what
    usable_at = min((t for _, r in matching if (t := r.time("usable_at"))), default=None)
    failed = [s.started for s in snapshots if (excess or s.state == "failed") and s.started is not None]
    return (
        Copy(
            vault=vault,
            state=state,
            members=members,
            bytes=sum(member.bytes for member in members if not member.image),
            usable_at=usable_at,
            recorded_in=frozenset(where for where, _ in matching),
            partial=state is CopyState.PENDING and bool(missing_calls(tuple(chosen.values()))),
            kms_key=next((s.kms_key for s in chosen.values() if s.kms_key), ""),
            kms_keys=frozenset(s.kms_key for s in chosen.values() if s.kms_key),
            listed=frozenset(str(m["native_id"]) for _, record in recorded for m in record.body["members"]),
            why=why,
            failed_at=max(failed, default=None),
        ),
        oddities,
    )


def _members(chosen: Mapping[str, NativeSnapshot]) -> tuple[Member, ...]:
    """What the copy consists of: every object by its source, each image with its snapshots behind it."""
    members: list[Member] = []
    for source, found in sorted(chosen.items()):
        members.append(Member(native_id=found.native_id, source_id=source, role=found.role, bytes=found.bytes))
        members += [
            Member(part.native_id, part.source_id, SNAPSHOT, part.bytes, part.device, image=found.native_id)
            for part in sorted(found.parts)
        ]
    return tuple(members)


def _remains(
    vault: str, remains: Sequence[NativeSnapshot], recorded: Sequence[tuple[str, Record]], *, usable: bool
) -> tuple[list[Member], list[Oddity]]:
    """What is left of images that are gone: of the copy, so that a deletion cut short is ended, as far as records say.

    Of a copy that is whole (it was made again) they are no part.
    """
    images = {m["native_id"]: str(m.get("image") or "") for _, record in recorded for m in record.body["members"]}
    left: list[Member] = []
    oddities: list[Oddity] = []
    for snapshot in sorted(remains, key=lambda s: s.native_id):
        known = snapshot.native_id in images
        if not usable and (known or not recorded):
            image = images.get(snapshot.native_id, "")
            left.append(Member(snapshot.native_id, _source(snapshot), SNAPSHOT, snapshot.bytes, image=image))
        else:
            what = "is left of an image that is gone"
            if not known:
                what = "bears the tags of a point whose signed record does not list it"
            oddities.append(Oddity(vault, f"{snapshot.native_id} {what}"))
    return left, oddities


def _chosen(
    vault: str, snapshots: Sequence[NativeSnapshot], recorded: Sequence[tuple[str, Record]], told: set[str]
) -> tuple[dict[str, NativeSnapshot], list[Oddity], str]:
    """Source -> its snapshot; what does not fit; and why nobody can tell which are the point's own, "" if one can.

    A signed record's word, the latest whose members all exist; else the earliest of each source. What a record does
    not list cannot join the point later, whatever tags it bears.
    """
    alive = {snapshot.native_id: snapshot for snapshot in snapshots if snapshot.state != "failed"}
    there = alive.keys() | {part.native_id for snapshot in alive.values() for part in snapshot.parts}
    whole = [record for _, record in recorded if {m["native_id"] for m in record.body["members"]} <= there]
    if whole:
        latest = max(whole, key=lambda record: record.at)
        chosen = {_source(s): s for m in latest.body["members"] if (s := alive.pop(m["native_id"], None)) is not None}
        what = "bears the tags of a point whose signed record does not list it"
        return chosen, [Oddity(vault, f"{extra} {what}") for extra in sorted(alive)], ""
    chosen = {}
    oddities: list[Oddity] = []
    for snapshot in sorted(snapshots, key=lambda s: (s.state == "failed", str(s.started or ""), s.native_id)):
        source = _source(snapshot)
        if source not in chosen:
            chosen[source] = snapshot
        elif snapshot.state != "failed":
            kept = chosen[source].native_id
            what = f"{snapshot.native_id} is a second snapshot of {source} for one point (kept: {kept})"
            oddities.append(Oddity(vault, what))
    excess = _excess(tuple(chosen.values()))
    if not excess:
        return chosen, oddities, ""
    own = {source: s for source, s in chosen.items() if source in told or s.native_id in told}
    if own and not _excess(tuple(own.values())):
        strangers = sorted(s.native_id for source, s in chosen.items() if source not in own)
        what = "bears the tags of a point whose signed record does not list its source"
        return own, [*oddities, *(Oddity(vault, f"{stranger} {what}") for stranger in strangers)], ""
    names = ", ".join(sorted(s.native_id for s in chosen.values()))
    return chosen, [*oddities, Oddity(vault, f"{excess} ({names})")], excess


def _source(snapshot: NativeSnapshot) -> str:
    return snapshot.tags.get(TAG_SOURCE) or snapshot.source_id


def _state(members: Sequence[NativeSnapshot]) -> tuple[CopyState, str]:
    """Failed if a member is; pending until every creating call's members are there and completed."""
    failed = [member for member in members if member.state == "failed"]
    if failed:
        return CopyState.FAILED, "; ".join(f"{m.native_id}: {m.why or 'failed at the provider'}" for m in failed)
    missing = missing_calls(members)
    if missing:
        return CopyState.PENDING, missing
    waiting = [member for member in members if member.state != "usable"]
    if waiting:
        progress = min(member.progress for member in waiting)
        if told := "; ".join(member.why for member in waiting if member.why):
            return CopyState.PENDING, told
        return CopyState.PENDING, f"{len(waiting)} of {len(members)} not completed yet, slowest at {progress} %"
    return CopyState.USABLE, ""


def made_from(snapshot: NativeSnapshot) -> str:
    """What a copy of it bears as ``drorch:source``: the cut's own member, though it be a copy that is copied on."""
    return snapshot.tags.get(TAG_SOURCE) or snapshot.native_id


def set_of(snapshot: NativeSnapshot) -> tuple[int, int, int]:
    """(I, N, M) of the tag ``drorch:set`` = ``I/N:M``; (1, 1, 1) where the tag is absent or not of that form."""
    try:
        call, _, rest = snapshot.tags.get(TAG_SET, "1/1:1").partition("/")
        calls, _, members = rest.partition(":")
        found = int(call), int(calls), int(members)
    except ValueError:
        return 1, 1, 1
    return found if 1 <= found[0] <= found[1] and found[2] >= 1 else (1, 1, 1)


def missing_calls(members: Sequence[NativeSnapshot]) -> str:
    """What is not there yet of the point's creating calls, in words; empty when all members of all calls are."""
    if not members:
        return "nothing of it is there yet"
    sets = [set_of(member) for member in members]
    calls = max(of for _, of, _ in sets)
    seen = Counter(call for call, _, _ in sets)
    for call, wanted in sorted({(call, wanted) for call, _, wanted in sets}):
        if seen[call] < wanted:
            return f"creating call {call} of {calls}: {seen[call]} of {wanted} members seen"
    return "" if len(seen) >= calls else f"{len(seen)} of {calls} creating calls seen"


def _excess(members: Sequence[NativeSnapshot]) -> str:
    """Why there are more members, one of each source, than the point's creating calls made; "" when there are not.

    Tags can be written by whoever may tag, so a snapshot that drorch did not make can bear a point's valid ones. It
    cannot do so unseen: it is one too many for its call, or tells another number of members or of calls.
    """
    sets = [set_of(member) for member in members]
    divisions = sorted({calls for _, calls, _ in sets})
    if len(divisions) > 1:
        told = " and ".join(str(calls) for calls in divisions)
        return f"its members tell of {told} creating calls: {len(members)} snapshots claim to be of it"
    seen = Counter(call for call, _, _ in sets)
    for call in sorted(seen):
        made = min(wanted for number, _, wanted in sets if number == call)
        if seen[call] > made:
            count = f"creating call {call} has {seen[call]} members, {made} were made"
            return f"{count}: {len(members)} snapshots claim to be of it"
    return ""


def _recorded_copy(vault: str, recorded: Sequence[tuple[str, Record]], *, gone: bool) -> Copy:
    """A copy that only records speak of: gone when its vault was listed without it, else as last known."""
    _, latest = max(recorded, key=lambda entry: entry[1].at)
    members = tuple(
        Member(
            native_id=str(member["native_id"]),
            source_id=str(member.get("source_id") or ""),
            role=str(member.get("role") or "snapshot"),
            bytes=member["bytes"] if isinstance(member.get("bytes"), int) else 0,
            device=str(member.get("device") or ""),
            instance=str(member.get("instance") or ""),
            image=str(member.get("image") or ""),
        )
        for member in latest.body["members"]
    )
    return Copy(
        vault=vault,
        state=CopyState.FAILED if gone else CopyState.USABLE,
        members=members,
        bytes=sum(member.bytes for member in members if not member.image),
        usable_at=latest.time("usable_at"),
        recorded_in=frozenset(where for where, record in recorded if record.at == latest.at),
        why="its records say it was usable, but its snapshots are gone" if gone else AS_RECORDED,
        gone=gone,
    )
