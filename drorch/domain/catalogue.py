"""The catalogue: a fold over what vaults and providers show, for one application. Pure and stateless.

Records say what was committed, listings say what is there; a point is usable only where both agree. What could not be
read in this pass keeps its last known state, and its view says that it is incomplete: unknown is not absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from drorch.domain import layout
from drorch.domain.catalogue_native import NativeView, PointSeen, ValidId, fold_native
from drorch.domain.instant import from_text
from drorch.domain.model import Copy, CopyState, Oddity, RecoveryPoint, Vault
from drorch.domain.record import MarkType, Record, RecordType, artefacts_of


class Trust(StrEnum):
    """What checking a record's signature gave. Only `signed` counts for anything that releases or promises."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """A record as it lies in one vault: its content, what its signature is worth, the store's own time of writing."""

    vault: str
    path: str
    record: Record
    trust: Trust
    written: datetime
    digest: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class VaultView:
    """One object vault as last listed. `objects` maps data paths to sizes; `at` is when it was last read completely."""

    vault: Vault
    complete: bool
    at: datetime | None = None
    records: tuple[SeenRecord, ...] = ()
    objects: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


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
    """All that is known of one application: points newest first, drills newest first, oddities, ids in use."""

    application: str
    points: tuple[RecoveryPoint, ...] = ()
    drills: tuple[Drilled, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    taken: frozenset[str] = frozenset()
    scattered: tuple[Scattered, ...] = ()

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
    native_points, oddities, taken = fold_native(application, natives, _native_records(records), valid_id)
    taken |= {point for _, point in records} | _data_ids(application, vaults)
    points: list[RecoveryPoint] = []
    for (resource, point), group in sorted(records.items()):
        manifests = [r for r in group if r.record.type == RecordType.MANIFEST]
        if manifests:
            made, odd = _dump_point(application, resource, point, manifests, vaults)
            points.append(made)
            oddities.extend(odd)
    points.extend(_recovery_point(application, native) for native in native_points)
    marked = [_with_marks(point, records.get((point.resource, point.id), ()), now) for point in points]
    marked.sort(key=_newest_first, reverse=True)
    drills = sorted(_drills(seen), key=lambda drill: drill.at, reverse=True)
    oddities.extend(_not_believed(seen))
    return Catalogue(application, tuple(marked), tuple(drills), tuple(oddities), frozenset(taken), _scattered(seen))


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
    return Copy(
        vault=manifest.vault,
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
    )


def _with_marks(point: RecoveryPoint, records: Sequence[SeenRecord], now: datetime) -> RecoveryPoint:
    if not any(record.record.type in (RecordType.MARK, RecordType.PROOF) for record in records):
        return point
    marks = [record for record in records if record.record.type == RecordType.MARK]
    pinned, until = _pin(marks, now)
    verified = _verified(records)
    copies = tuple(
        replace(copy, verified_at=verified.get(copy.vault), state=_state(copy, marks)) for copy in point.copies
    )
    return replace(point, pinned=pinned, pin_until=until, copies=copies)


def _verified(records: Sequence[SeenRecord]) -> dict[str, datetime]:
    """When the copy in each vault was proved. The newest proof decides: what failed since is not known to restore."""
    newest: dict[str, tuple[datetime, bool]] = {}
    for seen in records:
        proof = seen.record
        if proof.type == RecordType.PROOF and seen.trust is Trust.SIGNED:
            vault, found = proof.text("vault"), (proof.at, proof.text("outcome") == "passed")
            known = newest.get(vault, found)
            # On a tie the failure counts.
            newest[vault] = max(known, found, key=lambda entry: (entry[0], not entry[1]))
    return {vault: at for vault, (at, passed) in newest.items() if passed}


def _pin(marks: Sequence[SeenRecord], now: datetime) -> tuple[bool, datetime | None]:
    """The latest mark wins; on a tie the one that keeps. An unsigned pin keeps, an unsigned unpin releases nothing."""
    votes = []
    for seen in marks:
        mark = seen.record.text("mark")
        if mark == MarkType.PIN and seen.trust is not Trust.UNSUPPORTED:
            votes.append((seen.record.at, 1, seen.record.time("until")))
        elif mark == MarkType.UNPIN and seen.trust is Trust.SIGNED:
            votes.append((seen.record.at, 0, None))
    if not votes:
        return False, None
    _, keeps, until = max(votes, key=lambda vote: (vote[0], vote[1]))
    return bool(keeps) and (until is None or now < until), until


def _state(copy: Copy, marks: Sequence[SeenRecord]) -> CopyState:
    votes = []
    for seen in marks:
        mark, keeps = seen.record.text("mark"), seen.record.text("mark") == MarkType.KEPT
        if seen.record.text("vault") == copy.vault and (
            keeps or (mark == MarkType.EXPIRING and seen.trust is Trust.SIGNED)
        ):
            votes.append((seen.record.at, keeps))
    if copy.state is CopyState.USABLE and votes and not max(votes)[1]:
        return CopyState.EXPIRING
    return copy.state


def _drills(seen: Iterable[SeenRecord]) -> list[Drilled]:
    drills: dict[str, Drilled] = {}
    for entry in seen:
        record = entry.record
        if record.type != RecordType.PROOF or entry.trust is not Trust.SIGNED or record.cut_at is None:
            continue
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
