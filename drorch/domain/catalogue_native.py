"""The part of the fold that turns native snapshots and their records into points and copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from drorch.domain.instant import slot_start
from drorch.domain.model import Copy, CopyState, Member, Oddity, Vault
from drorch.domain.native import NativeSnapshot
from drorch.domain.record import Record

TAG_APPLICATION = "drorch:application"
TAG_RESOURCE = "drorch:resource"
TAG_SLOT = "drorch:slot"
TAG_POINT = "drorch:point"
TAG_SET = "drorch:set"
TAG_SOURCE = "drorch:source"
TAG_SITE = "drorch:site"


@dataclass(frozen=True, slots=True)
class NativeView:
    """One kind's snapshots of one account and region as last listed; `complete` speaks of this pass."""

    vault: Vault
    kind: str
    complete: bool
    snapshots: tuple[NativeSnapshot, ...] = ()
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PointSeen:
    """A native point as folded: what `RecoveryPoint` needs of it."""

    resource: str
    point: str
    kind: str
    slot: str
    cut_at: datetime | None
    copies: tuple[Copy, ...]
    note: str = ""


RecordsOf = Mapping[tuple[str, str], Sequence[tuple[str, Record]]]
"""(resource, point) -> the signed native records of the point, each with the object vault it was read in."""

ValidId = Callable[[str, str, str, str], bool]
"""(point id, application, resource, slot) -> whether the id was made with this site's key."""


def fold_native(
    application: str, natives: Sequence[NativeView], records: RecordsOf, valid_id: ValidId
) -> tuple[list[PointSeen], list[Oddity], set[str]]:
    """Points of the application's native snapshots, what does not fit, and every id borne by anything seen."""
    groups: dict[tuple[str, str, str], dict[str, list[NativeSnapshot]]] = {}
    oddities: list[Oddity] = []
    taken: set[str] = set()
    kinds: dict[str, str] = {}
    for view in natives:
        for snapshot in view.snapshots:
            tags = snapshot.tags
            if tags.get(TAG_APPLICATION) != application:
                continue
            point, resource, slot = tags.get(TAG_POINT, ""), tags.get(TAG_RESOURCE, ""), tags.get(TAG_SLOT, "")
            taken.add(point)
            if not valid_id(point, application, resource, slot):
                what = f"{snapshot.native_id} bears drorch's tags without a valid id: held, never touched"
                oddities.append(Oddity(view.vault.name, what, resource, point))
                continue
            kinds[point] = view.kind
            groups.setdefault((resource, point, slot), {}).setdefault(view.vault.name, []).append(snapshot)
    known = {(resource, point) for resource, point, _ in groups}
    for (resource, point), of_point in records.items():
        if of_point and (resource, point) not in known:
            groups[(resource, point, of_point[0][1].text("slot"))] = {}
    complete = {view.vault.name for view in natives if view.complete}
    unread = {view.vault.name for view in natives if not view.complete and view.at is not None}
    points = []
    for (resource, point, slot), by_vault in sorted(groups.items()):
        of_point = records.get((resource, point), ())
        copies, odd = _copies(by_vault, of_point, complete | unread)
        oddities.extend(replace(entry, resource=resource, point=point) for entry in odd)
        if copies:
            seen = [s for snapshots in by_vault.values() for s in snapshots]
            kind = next((r.text("kind") for _, r in of_point), "") or kinds.get(point, "")
            note = next((r.text("note") for _, r in of_point), "")
            points.append(PointSeen(resource, point, kind, slot, _cut_at(seen, of_point, slot), copies, note))
    return points, oddities, taken


def _cut_at(seen: Sequence[NativeSnapshot], records: Sequence[tuple[str, Record]], slot: str) -> datetime | None:
    """A signed record's word, else the earliest start of the cut's own members, else what the copies know.

    An EBS copy does not tell when its source was started; the slot's start is then taken, which is never later than
    the truth, so that an attained RPO is never better than it.
    """
    recorded = [record.cut_at for _, record in records if record.cut_at is not None]
    if recorded:
        return min(recorded)
    home = [s.started for s in seen if TAG_SOURCE not in s.tags and s.started is not None]
    if home:
        return min(home).replace(microsecond=0)
    origins = [s.origin for s in seen if s.origin is not None]
    if origins:
        return min(origins).replace(microsecond=0)
    try:
        return slot_start(slot)
    except ValueError:
        return None


def _copies(
    by_vault: Mapping[str, Sequence[NativeSnapshot]], records: Sequence[tuple[str, Record]], listed: set[str]
) -> tuple[tuple[Copy, ...], list[Oddity]]:
    copies: dict[str, Copy] = {}
    oddities: list[Oddity] = []
    for vault, snapshots in by_vault.items():
        recorded = [(where, record) for where, record in records if record.text("vault") == vault]
        copies[vault], odd = _copy(vault, snapshots, recorded)
        oddities.extend(odd)
    for vault in sorted({record.text("vault") for _, record in records} - set(copies)):
        recorded = [(where, record) for where, record in records if record.text("vault") == vault]
        copies[vault] = _recorded_copy(vault, recorded, gone=vault in listed)
    return tuple(copies[name] for name in sorted(copies)), oddities


def _copy(
    vault: str, snapshots: Sequence[NativeSnapshot], recorded: Sequence[tuple[str, Record]]
) -> tuple[Copy, list[Oddity]]:
    chosen: dict[str, NativeSnapshot] = {}
    oddities: list[Oddity] = []
    ordered = sorted(snapshots, key=lambda s: (s.state == "failed", str(s.started or ""), s.native_id))
    for snapshot in ordered:
        source = snapshot.tags.get(TAG_SOURCE) or snapshot.source_id
        if source not in chosen:
            chosen[source] = snapshot
        elif snapshot.state != "failed":
            kept = chosen[source].native_id
            what = f"{snapshot.native_id} is a second snapshot of {source} for one point (kept: {kept})"
            oddities.append(Oddity(vault, what))
    state, why = _state(tuple(chosen.values()))
    ids = {snapshot.native_id for snapshot in chosen.values()}
    matching = [
        (where, record) for where, record in recorded if {m["native_id"] for m in record.body["members"]} == ids
    ]
    members = tuple(
        Member(native_id=s.native_id, source_id=source, bytes=s.bytes) for source, s in sorted(chosen.items())
    )
    usable_at = min((t for _, r in matching if (t := r.time("usable_at"))), default=None)
    return (
        Copy(
            vault=vault,
            state=state,
            members=members,
            bytes=sum(member.bytes for member in members),
            usable_at=usable_at,
            recorded_in=frozenset(where for where, _ in matching),
            partial=state is CopyState.PENDING and bool(missing_calls(tuple(chosen.values()))),
            why=why,
        ),
        oddities,
    )


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
        return CopyState.PENDING, f"{len(waiting)} of {len(members)} not completed yet, slowest at {progress} %"
    return CopyState.USABLE, ""


def set_of(snapshot: NativeSnapshot) -> tuple[int, int, int]:
    """(I, N, M) of the tag ``drorch:set`` = ``I/N:M``; (1, 1, 1) where the tag is absent or not of that form."""
    try:
        call, _, rest = snapshot.tags.get(TAG_SET, "1/1:1").partition("/")
        calls, _, members = rest.partition(":")
        return int(call), int(calls), int(members)
    except ValueError:
        return 1, 1, 1


def missing_calls(members: Sequence[NativeSnapshot]) -> str:
    """What is not there yet of the point's creating calls, in words; empty when all members of all calls are."""
    if not members:
        return "nothing of it is there yet"
    calls = max(set_of(member)[1] for member in members)
    for call in range(1, calls + 1):
        present = [member for member in members if set_of(member)[0] == call]
        wanted = set_of(present[0])[2] if present else 1
        if len(present) < wanted:
            return f"creating call {call} of {calls}: {len(present)} of {wanted if present else 'its'} members seen"
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
        )
        for member in latest.body["members"]
    )
    return Copy(
        vault=vault,
        state=CopyState.FAILED if gone else CopyState.USABLE,
        members=members,
        bytes=sum(member.bytes for member in members),
        usable_at=latest.time("usable_at"),
        recorded_in=frozenset(where for where, record in recorded if record.at == latest.at),
        why="its records say it was usable, but its snapshots are gone" if gone else "as last recorded",
    )
