"""The fold of one point: what its records, its data and its native snapshots make of it. Pure and stateless.

All that speaks of a point is its evidence; equal evidence gives an equal fold, so that what has not changed since the
last pass need not be folded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from drorch.domain import layout
from drorch.domain.catalogue_marks import DAMAGED, INTACT, LetGo, let_go, with_marks
from drorch.domain.catalogue_native import PointSeen, SnapshotSeen, points_of_snapshots
from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.catalogue_upkeep import Bygone, Leftover, bygone, digests, leftovers
from drorch.domain.model import Copy, CopyState, ObjectLock, Oddity, RecoveryPoint
from drorch.domain.record import RecordType, artefacts_of

RESTORABLE = "restorable"
"""The outcome of a drill without probes: it was all made from the copy (formats: proof)."""
_EVERYWHERE = frozenset({RecordType.NATIVE, RecordType.MARK, RecordType.PROOF, RecordType.REWRAP})
"""The types of records of a point that belong in every object vault by themselves."""


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
    restorable: bool = False
    """All of it was made from the copy, and nobody asked what is in it."""
    audit: str = ""
    """The seed that picked it, where it was a random audit."""

    @property
    def well(self) -> bool:
        """Whether nothing was wrong: it passed, or as much as can be known without a question did."""
        return self.passed or self.restorable


@dataclass(frozen=True, slots=True)
class Scattered:
    """A signed record that belongs in every object vault, the vaults that have it, and until when it can be brought."""

    path: str
    resource: str
    point: str
    have: frozenset[str]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that speaks of one point of an application.

    `data` are (vault, path, size) of its objects, `locks` (vault, lock), `listed` (kind, vault) of every native listing
    that was ever read completely: only those can say what is gone.
    """

    application: str
    resource: str
    point: str
    records: tuple[SeenRecord, ...] = ()
    data: tuple[tuple[str, str, int], ...] = ()
    locks: tuple[tuple[str, ObjectLock], ...] = ()
    snapshots: tuple[SnapshotSeen, ...] = ()
    listed: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PointFold:
    """What the evidence makes of a point. `points` is empty where no copy of it is left and none is missed, and has two
    where one id is borne by a dump and by snapshots. `committed` are the vaults that hold a manifest, however signed.
    """

    points: tuple[RecoveryPoint, ...] = ()
    misfits: tuple[Oddity, ...] = ()
    unbelieved: tuple[Oddity, ...] = ()
    drills: tuple[Drilled, ...] = ()
    scattered: tuple[Scattered, ...] = ()
    let_go: tuple[LetGo, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    digests: Mapping[tuple[str, str], str] = field(default_factory=dict)
    bygone: tuple[Bygone, ...] = ()
    committed: frozenset[str] = frozenset()

    @property
    def timed(self) -> bool:
        """Whether it would be another one at another time: a pin runs out."""
        return any(point.pin_until is not None for point in self.points)


def fold_point(evidence: Evidence, now: datetime) -> PointFold:
    """`now` says whether a pin has run out, and nothing else. Raises nothing."""
    records = evidence.records
    going = let_go(records)
    points, misfits = _points(evidence, going)
    marked = (_without_gone(with_marks(point, records, now)) for point in points)
    left = tuple(point for point in marked if point.copies)
    return PointFold(
        points=left,
        misfits=tuple(misfits),
        unbelieved=tuple(not_believed(records)),
        drills=tuple(_drills(records)),
        scattered=_scattered(records),
        let_go=going,
        leftovers=tuple(leftovers(evidence.resource, evidence.point, evidence.data, going)),
        digests=digests(records, left),
        bygone=tuple(bygone(evidence.resource, evidence.point, records, going)),
        committed=frozenset(seen.vault for seen in records if seen.record.type == RecordType.MANIFEST),
    )


def _points(evidence: Evidence, going: Iterable[LetGo]) -> tuple[list[RecoveryPoint], list[Oddity]]:
    """Without their marks, and what does not fit."""
    points: list[RecoveryPoint] = []
    odd: list[Oddity] = []
    native = [
        (seen.vault, seen.record)
        for seen in evidence.records
        if seen.record.type == RecordType.NATIVE and seen.trust is Trust.SIGNED
    ]
    if native or evidence.snapshots:
        expired = {entry.vault: entry.ended for entry in going if entry.gone}
        seen, odd = points_of_snapshots(evidence.snapshots, native, evidence.listed, expired)
        points = [_native_point(evidence, point) for point in seen]
        odd = [replace(entry, resource=evidence.resource, point=evidence.point) for entry in odd]
    manifests = [seen for seen in evidence.records if seen.record.type == RecordType.MANIFEST]
    if manifests:
        dumped, more = _dump_point(evidence, manifests)
        points.append(dumped)
        odd += more
    return points, odd


def _without_gone(point: RecoveryPoint) -> RecoveryPoint:
    """Without native copies that were let go and of which nothing is left: only their records speak of them."""
    left = tuple(copy for copy in point.copies if not (copy.gone and copy.expired_at is not None))
    return point if len(left) == len(point.copies) else replace(point, copies=left)


def not_believed(seen: Iterable[SeenRecord]) -> Iterator[Oddity]:
    """Records that count for nothing. A manifest shows as a copy of its own state."""
    for entry in seen:
        record = entry.record
        if entry.trust is not Trust.SIGNED and record.type != RecordType.MANIFEST:
            what = f"the record {entry.path} counts for nothing: {entry.why or entry.trust}"
            yield Oddity(entry.vault, what, record.resource, record.point)


def _scattered(seen: Iterable[SeenRecord]) -> tuple[Scattered, ...]:
    """Native records, marks, proofs and rewraps; a manifest is shipped with its data, never alone."""
    have: dict[str, tuple[SeenRecord, set[str]]] = {}
    for entry in seen:
        if entry.trust is Trust.SIGNED and entry.record.type in _EVERYWHERE:
            have.setdefault(entry.path, (entry, set()))[1].add(entry.vault)
    return tuple(
        Scattered(path, seen.record.resource, seen.record.point, frozenset(vaults), seen.until)
        for path, (seen, vaults) in sorted(have.items(), key=lambda entry: entry[0])
    )


def _drills(seen: Iterable[SeenRecord]) -> Iterable[Drilled]:
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
            restorable=record.text("outcome") == RESTORABLE,
            seconds={k: v for k, v in seconds.items() if isinstance(v, int)} if isinstance(seconds, dict) else {},
            bytes=size if isinstance(size, int) else 0,
            audit=record.text("audit"),
        )
    return drills.values()


def _native_point(evidence: Evidence, native: PointSeen) -> RecoveryPoint:
    return RecoveryPoint(
        id=evidence.point,
        application=evidence.application,
        resource=evidence.resource,
        kind=native.kind,
        slot=native.slot,
        cut_at=native.cut_at,
        copies=native.copies,
        note=native.note,
        identities=native.identities,
    )


def _dump_point(evidence: Evidence, manifests: Sequence[SeenRecord]) -> tuple[RecoveryPoint, list[Oddity]]:
    rank = {Trust.SIGNED: 0, Trust.UNSUPPORTED: 1, Trust.UNSIGNED: 2}
    ordered = sorted(manifests, key=lambda m: (rank[m.trust], m.record.cut_at or m.written, m.record.at, m.digest))
    chosen = ordered[0]
    copies: dict[str, Copy] = {}
    odd: list[Oddity] = []
    sizes = {(vault, path): size for vault, path, size in evidence.data}
    locks = dict(evidence.locks)
    for manifest in ordered:
        if manifest.trust is Trust.SIGNED and manifest.digest != chosen.digest:
            what = f"a second manifest of one point lies at {manifest.path}"
            odd.append(Oddity(manifest.vault, what, evidence.resource, evidence.point))
        elif manifest.vault not in copies:
            copies[manifest.vault] = _dump_copy(manifest, sizes, locks.get(manifest.vault))
    signed, record = chosen.trust is Trust.SIGNED, chosen.record
    point = RecoveryPoint(
        id=evidence.point,
        application=evidence.application,
        resource=evidence.resource,
        kind=record.text("kind"),
        slot=record.text("slot"),
        cut_at=record.cut_at,
        copies=tuple(copies[name] for name in sorted(copies)),
        note=record.text("note"),
        identities=frozenset({record.text("identity")} - {""}) if signed else frozenset(),
        facts=dict(record.body) if signed else {},
    )
    return point, odd


def _dump_copy(manifest: SeenRecord, sizes: Mapping[tuple[str, str], int], lock: ObjectLock | None) -> Copy:
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
        if (size := sizes.get((manifest.vault, folder + name))) != expected
    ]
    return Copy(
        vault=manifest.vault,
        locked_until=lock.until if lock and lock.until > manifest.written else None,  # else there never was one
        lock_mode=lock.mode if lock else None,
        state=CopyState.FAILED if wrong else CopyState.USABLE,
        path=folder,
        bytes=sum(artefact.bytes for artefact in artefacts),
        usable_at=manifest.written,
        recorded_in=frozenset({manifest.vault}),
        carry_until=manifest.until,
        why="; ".join(wrong),
    )
