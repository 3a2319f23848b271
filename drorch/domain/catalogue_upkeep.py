"""The part of the fold that tells of heads, of what was left over, of what is gone everywhere, and of tampering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    resource: str, point: str, data: Iterable[tuple[str, str, int]], going: Iterable[LetGo]
) -> Iterator[Leftover]:
    """What the point's data, (vault, path, size) each, are where no manifest is: one for each folder.

    Whether there is a manifest is not asked here: one of any resource under this id is enough.
    """
    expired = {entry.vault for entry in going if entry.gone}
    folders: dict[tuple[str, str], list[str]] = {}
    for vault, path, _ in data:
        folders.setdefault((vault, path.rpartition("/")[0]), []).append(path)
    for (vault, folder), paths in sorted(folders.items()):
        try:
            cut_at = from_compact(folder.rpartition("/")[2].partition("-")[0])
        except ValueError:
            continue
        yield Leftover(vault, resource, point, cut_at, tuple(sorted(paths)), vault in expired)


def bygone(resource: str, point: str, records: Sequence[SeenRecord], going: Iterable[LetGo]) -> Iterator[Bygone]:
    """The records of a point of which every copy was let go: each vault that had one says why.

    Whether a copy is left is not asked here: one under this id anywhere is enough.
    """
    let = {entry.vault: entry.ended for entry in going if entry.gone}
    if not let or any(seen.trust is not Trust.SIGNED for seen in records):
        return
    had = {s.record.text("vault") for s in records if s.record.type == RecordType.NATIVE}
    if not had <= let.keys():
        return
    for vault in sorted({seen.vault for seen in records}):
        paths = tuple(sorted(seen.path for seen in records if seen.vault == vault))
        yield Bygone(vault, resource, point, max(let.values()), paths)


def tampered(application: str, vaults: Sequence[VaultView]) -> Iterator[Oddity]:
    for view in vaults:
        for path, what in sorted(view.tampered.items()):
            parts = path.split("/")
            if len(parts) > 5 and parts[3] == application:
                yield Oddity(view.vault.name, f"{path}: {what}", parts[4], parts[5].partition("-")[2], "tampering")


def own_uploads(application: str, uploads: Mapping[str, datetime]) -> dict[str, datetime]:
    named = ((path, layout.of_data(path)) for path in uploads)
    return {path: uploads[path] for path, data in named if data is not None and data[0] == application}
