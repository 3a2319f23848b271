"""The catalogue: a fold over what vaults and providers show, for one application. Pure and stateless.

Records say what was committed, listings say what is there; a point is usable only where both agree. What could not be
read in this pass keeps its last known state, and its view says that it is incomplete: unknown is not absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from drorch.domain import layout
from drorch.domain.catalogue_marks import DAMAGED, INTACT, LetGo, let_go, with_marks
from drorch.domain.catalogue_native import NativeView, PointSeen, ValidId, fold_native
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.catalogue_upkeep import (
    Bygone,
    Head,
    Leftover,
    bygone,
    digests,
    leftovers,
    newest_heads,
    own_uploads,
    tampered,
    told_ids,
)
from drorch.domain.instant import from_text
from drorch.domain.model import Copy, CopyState, Oddity, RecoveryPoint
from drorch.domain.record import Record, RecordType, artefacts_of

__all__ = ["Catalogue", "Drilled", "Head", "Leftover", "Scattered", "SeenRecord", "Trust", "VaultView", "fold"]


@dataclass(frozen=True, slots=True)
class Drilled:
    """One proof: a drill of one point from one vault, passed or failed, with its seconds per phase."""

    resource: str
    vault: str
    point: str
    at: datetime
    cut_at: datetime
    passed: bool
    seconds: Mapping[str, int]
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Scattered:
    """A signed record that belongs in every object vault, and the vaults that have it."""

    path: str
    resource: str
    point: str
    have: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that is known of one application: points newest first, drills newest first, oddities, ids in use.

    `let_go` are the copies whose deletion began, `leftovers` data without a manifest, `head` the newest signed head.
    """

    application: str
    points: tuple[RecoveryPoint, ...] = ()
    drills: tuple[Drilled, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    taken: frozenset[str] = frozenset()
    scattered: tuple[Scattered, ...] = ()
    let_go: tuple[LetGo, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    head: Head | None = None
    ahead: Head | None = None
    """The newest head of the future: it says that a host with a wrong clock is at work, and nothing else."""
    digests: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(vault, point) -> digest of the signed record by which the copy counts: what a head says is live."""
    bygone: tuple[Bygone, ...] = ()
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uploads: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)

    def of(self, resource: str) -> tuple[RecoveryPoint, ...]:
        """The points of one resource, newest first."""
        return tuple(point for point in self.points if point.resource == resource)

    def find(self, point: str) -> RecoveryPoint | None:
        """The point with this id."""
        return next((candidate for candidate in self.points if candidate.id == point), None)


def fold(
    application: str,
    vaults: Sequence[VaultView],
    natives: Sequence[NativeView],
    valid_id: ValidId,
    now: datetime,
) -> Catalogue:
    """The catalogue of one application; `vaults` and `natives` may hold other applications' things, which are ignored.

    Raises nothing: what cannot be understood becomes an oddity.
    """
    seen = [record for view in vaults for record in view.records if record.record.application == application]
    records = _by_point(seen)
    going = tuple(entry for group in records.values() for entry in let_go(group))
    expired = {(entry.vault, entry.point): entry.ended for entry in going if entry.gone}
    native_points, oddities, taken = fold_native(application, natives, _native_records(records), valid_id, expired)
    head, ahead = newest_heads(seen, now)
    taken |= {point for _, point in records} | _data_ids(application, vaults) | told_ids(head)
    points: list[RecoveryPoint] = []
    for (resource, point), group in sorted(records.items()):
        manifests = [r for r in group if r.record.type == RecordType.MANIFEST]
        if manifests:
            made, odd = _dump_point(application, resource, point, manifests, vaults)
            points.append(made)
            oddities.extend(odd)
    points.extend(_recovery_point(application, native) for native in native_points)
    marked = [with_marks(point, records.get((point.resource, point.id), ()), now) for point in points]
    marked = [replaced for point in marked if (replaced := _without_gone(point)).copies]
    marked.sort(key=_newest_first, reverse=True)
    drills = sorted(_drills(seen), key=lambda drill: drill.at, reverse=True)
    oddities.extend(_not_believed(seen))
    oddities.extend(tampered(application, vaults))
    return Catalogue(
        application=application,
        points=tuple(marked),
        drills=tuple(drills),
        oddities=tuple(oddities),
        taken=frozenset(taken),
        scattered=_scattered(seen),
        let_go=going,
        leftovers=tuple(leftovers(application, vaults, seen, going)),
        head=head,
        ahead=ahead,
        digests=digests(seen, marked),
        bygone=tuple(bygone(records, {point.id for point in marked}, going)),
        heads={view.vault.name: view.heads for view in vaults if view.heads},
        uploads={view.vault.name: own_uploads(application, view.uploads) for view in vaults if view.uploads},
    )


def _without_gone(point: RecoveryPoint) -> RecoveryPoint:
    """Without native copies that were let go and of which nothing is left: only their records speak of them."""
    left = tuple(copy for copy in point.copies if not (copy.gone and copy.expired_at is not None))
    return point if len(left) == len(point.copies) else replace(point, copies=left)


def _by_point(seen: Iterable[SeenRecord]) -> dict[tuple[str, str], list[SeenRecord]]:
    groups: dict[tuple[str, str], list[SeenRecord]] = {}
    for record in seen:
        if record.record.point:
            groups.setdefault((record.record.resource, record.record.point), []).append(record)
    return groups


def _native_records(
    records: Mapping[tuple[str, str], Sequence[SeenRecord]],
) -> dict[tuple[str, str], list[tuple[str, Record]]]:
    return {
        key: [(r.vault, r.record) for r in group if r.record.type == RecordType.NATIVE and r.trust is Trust.SIGNED]
        for key, group in records.items()
    }


def _data_ids(application: str, vaults: Sequence[VaultView]) -> set[str]:
    """Ids of points whose data lie somewhere; objects that lie where no data do are not ours to read."""
    named = (layout.of_data(path) for view in vaults for path in view.objects)
    return {data[2].partition("-")[2] for data in named if data is not None and data[0] == application}


def _not_believed(seen: Iterable[SeenRecord]) -> Iterator[Oddity]:
    """Records that count for nothing. A manifest shows as a copy of its own state."""
    for entry in seen:
        record = entry.record
        if entry.trust is not Trust.SIGNED and record.type != RecordType.MANIFEST:
            what = f"the record {entry.path} counts for nothing: {entry.why or entry.trust}"
            yield Oddity(entry.vault, what, record.resource, record.point)


def _newest_first(point: RecoveryPoint) -> tuple[datetime, str]:
    return (point.cut_at or from_text("1970-01-01T00:00:00Z"), point.id)


def _scattered(seen: Iterable[SeenRecord]) -> tuple[Scattered, ...]:
    """Native records, marks and proofs; a manifest is shipped with its data, never alone."""
    have: dict[str, tuple[Record, set[str]]] = {}
    for entry in seen:
        if entry.trust is Trust.SIGNED and entry.record.type in (RecordType.NATIVE, RecordType.MARK, RecordType.PROOF):
            have.setdefault(entry.path, (entry.record, set()))[1].add(entry.vault)
    return tuple(
        Scattered(path, record.resource, record.point, frozenset(vaults))
        for path, (record, vaults) in sorted(have.items())
    )


# --- dump points ---------------------------------------------------------------------------------------------------


def _dump_point(
    application: str,
    resource: str,
    point: str,
    manifests: Sequence[SeenRecord],
    vaults: Sequence[VaultView],
) -> tuple[RecoveryPoint, list[Oddity]]:
    rank = {Trust.SIGNED: 0, Trust.UNSUPPORTED: 1, Trust.UNSIGNED: 2}
    ordered = sorted(manifests, key=lambda m: (rank[m.trust], m.record.cut_at or m.written, m.record.at, m.digest))
    chosen = ordered[0]
    copies: dict[str, Copy] = {}
    odd: list[Oddity] = []
    views = {view.vault.name: view for view in vaults}
    for manifest in ordered:
        if manifest.trust is Trust.SIGNED and manifest.digest != chosen.digest:
            odd.append(
                Oddity(manifest.vault, f"a second manifest of one point lies at {manifest.path}", resource, point)
            )
        elif manifest.vault not in copies:
            copies[manifest.vault] = _dump_copy(manifest, views[manifest.vault])
    body = chosen.record.body
    return (
        RecoveryPoint(
            id=point,
            application=application,
            resource=resource,
            kind=chosen.record.text("kind"),
            slot=chosen.record.text("slot"),
            cut_at=chosen.record.cut_at,
            copies=tuple(copies[name] for name in sorted(copies)),
            note=chosen.record.text("note"),
            identities=frozenset({chosen.record.text("identity")} - {""})
            if chosen.trust is Trust.SIGNED
            else frozenset(),
            facts=dict(body) if chosen.trust is Trust.SIGNED else {},
        ),
        odd,
    )


def _dump_copy(manifest: SeenRecord, view: VaultView) -> Copy:
    record = manifest.record
    folder = ""
    if record.cut_at is not None:
        folder = layout.data_folder(record.application, record.resource, record.cut_at, record.point)
    if manifest.trust is not Trust.SIGNED:
        state = CopyState.UNSIGNED if manifest.trust is Trust.UNSIGNED else CopyState.UNSUPPORTED
        return Copy(manifest.vault, state, path=folder, why=manifest.why)
    artefacts = artefacts_of(record)
    signed = {volume.object: volume.bytes for artefact in artefacts for volume in artefact.volumes}
    signed |= {artefact.name + layout.LEAVES: artefact.leaves_bytes for artefact in artefacts}
    wrong = [
        f"{name} is missing" if size is None else f"{name} has {size} of {expected} bytes"
        for name, expected in sorted(signed.items())
        if (size := view.objects.get(folder + name)) != expected
    ]
    lock = view.locks.get(record.point)
    return Copy(
        vault=manifest.vault,
        locked_until=lock.until if lock and lock.until > manifest.written else None,  # else there never was one
        lock_mode=lock.mode if lock else None,
        state=CopyState.FAILED if wrong else CopyState.USABLE,
        path=folder,
        bytes=sum(artefact.bytes for artefact in artefacts),
        usable_at=manifest.written,
        recorded_in=frozenset({manifest.vault}),
        why="; ".join(wrong),
    )


# --- native points, marks and proofs -------------------------------------------------------------------------------


def _recovery_point(application: str, native: PointSeen) -> RecoveryPoint:
    return RecoveryPoint(
        id=native.point,
        application=application,
        resource=native.resource,
        kind=native.kind,
        slot=native.slot,
        cut_at=native.cut_at,
        copies=native.copies,
        note=native.note,
        identities=native.identities,
    )


def _drills(seen: Iterable[SeenRecord]) -> list[Drilled]:
    drills: dict[str, Drilled] = {}
    for entry in seen:
        record = entry.record
        if record.type != RecordType.PROOF or entry.trust is not Trust.SIGNED or record.cut_at is None:
            continue
        if record.text("outcome") in (DAMAGED, INTACT):
            continue  # bytes were read, nothing was restored
        seconds = record.body.get("seconds")
        size = record.body.get("bytes")
        drills[entry.path] = Drilled(
            resource=record.resource,
            vault=record.text("vault"),
            point=record.point,
            at=record.at,
            cut_at=record.cut_at,
            passed=record.text("outcome") == "passed",
            seconds={k: v for k, v in seconds.items() if isinstance(v, int)} if isinstance(seconds, dict) else {},
            bytes=size if isinstance(size, int) else 0,
        )
    return list(drills.values())
