"""The part of the fold that tells of heads, of what was left over, of what is gone everywhere, and of tampering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from drorch.domain import layout
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.instant import from_compact
from drorch.domain.model import Oddity, RecoveryPoint
from drorch.domain.record import RecordType
from drorch.domain.retention import FUTURE


@dataclass(frozen=True, slots=True)
class Head:
    """What was live when it was signed: vault -> point -> digest of the record that says so.

    `lost` are those that had been missing already, `host` is who wrote it, `digest` its own, `have` who holds it.
    """

    at: datetime
    written: datetime
    seq: int
    host: str
    digest: str
    path: str
    live: Mapping[str, Mapping[str, str]]
    lost: Mapping[str, Mapping[str, str]]
    have: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Data of a point in a vault that holds no manifest of it. `expired`: a signed mark says that it was let go."""

    vault: str
    resource: str
    point: str
    cut_at: datetime
    paths: tuple[str, ...]
    expired: bool


@dataclass(frozen=True, slots=True)
class Bygone:
    """The records in a vault of a point that was let go everywhere; `since` is when the last of it was."""

    vault: str
    resource: str
    point: str
    since: datetime
    paths: tuple[str, ...]


def newest_heads(seen: Iterable[SeenRecord], now: datetime) -> tuple[Head | None, Head | None]:
    """Of the signed heads the latest; and of those of the future, which a wrong clock wrote, the latest of them."""
    heads = [s for s in seen if s.record.type == RecordType.HEAD and s.trust is Trust.SIGNED]
    limit = now + FUTURE
    return _newest([s for s in heads if s.record.at <= limit]), _newest([s for s in heads if s.record.at > limit])


def _newest(heads: Sequence[SeenRecord]) -> Head | None:
    """By its number, then its time."""
    if not heads:
        return None
    newest = max(heads, key=lambda s: (s.record.body["seq"], s.record.at, s.digest))
    same = [s for s in heads if s.digest == newest.digest]
    body = newest.record.body
    return Head(
        at=newest.record.at,
        written=max(s.written for s in same),
        seq=body["seq"],
        host=newest.record.text("host"),
        digest=newest.digest,
        path=newest.path,
        live=body.get("live", {}),
        lost=body.get("lost", {}),
        have=frozenset(s.vault for s in same),
    )


def told_ids(head: Head | None) -> set[str]:
    """Ids that a head speaks of: a point that somebody removed everywhere is not made again under its own name."""
    told = (head.live, head.lost) if head is not None else ()
    return {point for vaults in told for points in vaults.values() for point in points}


def digests(seen: Iterable[SeenRecord], points: Iterable[RecoveryPoint]) -> dict[tuple[str, str], str]:
    """Of every usable copy the digest of its manifest, or of the latest native record that speaks of it."""
    found: dict[tuple[str, str], tuple[datetime, str]] = {}
    for entry in seen:
        record = entry.record
        if entry.trust is not Trust.SIGNED or record.type not in (RecordType.MANIFEST, RecordType.NATIVE):
            continue
        vault = record.text("vault") if record.type == RecordType.NATIVE else entry.vault
        where, candidate = (vault, record.point), (record.at, entry.digest)
        found[where] = max(candidate, found.get(where, candidate))
    usable = {(copy.vault, point.id) for point in points for copy in point.copies if copy.usable}
    return {where: digest for where, (_, digest) in found.items() if where in usable}


def leftovers(
    application: str, vaults: Sequence[VaultView], seen: Iterable[SeenRecord], going: Iterable[LetGo]
) -> Iterator[Leftover]:
    """Data folders without a manifest, of whatever signature, in the same vault."""
    committed = {(s.vault, s.record.point) for s in seen if s.record.type == RecordType.MANIFEST}
    expired = {(entry.vault, entry.point) for entry in going if entry.gone}
    for view in vaults:
        folders: dict[tuple[str, str], list[str]] = {}
        for path in view.objects:
            named = layout.of_data(path)
            if named is not None and named[0] == application:
                folders.setdefault((named[1], named[2]), []).append(path)
        for (resource, folder), paths in sorted(folders.items()):
            at, _, point = folder.partition("-")
            try:
                cut_at = from_compact(at)
            except ValueError:
                continue
            where = (view.vault.name, point)
            if where not in committed:
                yield Leftover(view.vault.name, resource, point, cut_at, tuple(sorted(paths)), where in expired)


def bygone(
    records: Mapping[tuple[str, str], Sequence[SeenRecord]], left: Set[str], going: Iterable[LetGo]
) -> Iterator[Bygone]:
    """Points of which every copy was let go: no copy is left anywhere, and each vault that had one says why."""
    ended: dict[str, datetime] = {}
    let: dict[str, set[str]] = {}
    for entry in going:
        if entry.gone:
            ended[entry.point] = max(entry.ended, ended.get(entry.point, entry.ended))
            let.setdefault(entry.point, set()).add(entry.vault)
    for (resource, point), group in sorted(records.items()):
        if point in left or point not in ended or any(seen.trust is not Trust.SIGNED for seen in group):
            continue
        had = {s.record.text("vault") for s in group if s.record.type == RecordType.NATIVE}
        if not had <= let[point]:
            continue
        for vault in sorted({seen.vault for seen in group}):
            paths = tuple(sorted(seen.path for seen in group if seen.vault == vault))
            yield Bygone(vault, resource, point, ended[point], paths)


def tampered(application: str, vaults: Sequence[VaultView]) -> Iterator[Oddity]:
    for view in vaults:
        for path, what in sorted(view.tampered.items()):
            parts = path.split("/")
            if len(parts) > 5 and parts[3] == application:
                yield Oddity(view.vault.name, f"{path}: {what}", parts[4], parts[5].partition("-")[2], "tampering")


def own_uploads(application: str, uploads: Mapping[str, datetime]) -> dict[str, datetime]:
    named = ((path, layout.of_data(path)) for path in uploads)
    return {path: uploads[path] for path, data in named if data is not None and data[0] == application}
