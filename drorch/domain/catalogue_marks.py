"""The part of the fold that reads marks and proofs: pins, what is expiring, what is suspect, verified or damaged.

Of marks that contradict each other the latest wins; on a tie the one that keeps. An unsigned pin, kept or suspect
keeps; no unsigned mark releases anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from drorch.domain.catalogue_seen import SeenRecord, Trust
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.record import MarkType, Record, RecordType

DAMAGED = "damaged"
INTACT = "intact"
"""Outcomes of a proof that read bytes and restored nothing (`drorch vault verify`, a repair)."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """One copy that was marked, counted once: at the first of the marks that led there. `gone` says that its deletion
    was begun, `ended` when the last of its marks was signed.
    """

    vault: str
    resource: str
    point: str
    cut_at: datetime
    at: datetime
    gone: bool
    ended: datetime


@dataclass(frozen=True, slots=True)
class _Going:
    """How marks stand on one copy: when it was marked first, last, from when the grace runs, when it was expired."""

    first: datetime
    marked: datetime | None
    since: datetime | None
    expired: datetime | None


def with_marks(point: RecoveryPoint, records: Sequence[SeenRecord], now: datetime) -> RecoveryPoint:
    """The point as its marks and proofs make it; `records` are those of the point alone."""
    if not any(record.record.type in (RecordType.MARK, RecordType.PROOF) for record in records):
        return point
    marks = [record for record in records if record.record.type == RecordType.MARK]
    pinned, until = _pin(marks, now)
    suspect, judged = _suspicion(marks)
    proofs = _proofs(records)
    copies = tuple(_copy(copy, marks, proofs.get(copy.vault, ())) for copy in point.copies)
    return replace(point, pinned=pinned, pin_until=until, suspect=suspect, judged=judged, copies=copies)


def let_go(records: Sequence[SeenRecord]) -> tuple[LetGo, ...]:
    """Every copy of one point whose deletion began and was not called off, whether anything of it is left or not."""
    marks = [record for record in records if record.record.type == RecordType.MARK]
    vaults = sorted({mark.record.text("vault") for mark in marks} - {""})
    found = []
    for vault in vaults:
        going = _going(vault, marks)
        record = next(mark.record for mark in marks if mark.record.text("vault") == vault)
        if going is not None and record.cut_at is not None:
            gone, ended = going.expired is not None, going.expired or going.first
            found.append(LetGo(vault, record.resource, record.point, record.cut_at, going.first, gone, ended))
    return tuple(found)


def _copy(copy: Copy, marks: Sequence[SeenRecord], proofs: Sequence[Record]) -> Copy:
    going = _going(copy.vault, marks)
    if going is not None:
        copy = replace(copy, marked_at=going.marked, expiring_since=going.since, expired_at=going.expired)
        if copy.state is CopyState.USABLE:
            copy = replace(copy, state=CopyState.EXPIRING)
    restored = [proof for proof in proofs if proof.text("outcome") not in (DAMAGED, INTACT)]
    # On a tie the failure counts: what failed since is not known to restore.
    last = max(restored, key=lambda p: (p.at, p.text("outcome") != "passed"), default=None)
    if last is not None and last.text("outcome") == "passed":
        copy = replace(copy, verified_at=last.at)
    read = max(
        (proof for proof in proofs if proof.text("outcome") in (DAMAGED, INTACT)),
        key=lambda p: (p.at, p.text("outcome") == DAMAGED),
        default=None,
    )
    if read is not None and read.text("outcome") == DAMAGED:
        why = read.text("why") or "a check of its bytes failed"
        copy = replace(copy, damaged=True, state=CopyState.FAILED, verified_at=None, why=why)
    return copy


def _proofs(records: Iterable[SeenRecord]) -> dict[str, list[Record]]:
    proofs: dict[str, list[Record]] = {}
    for seen in records:
        if seen.record.type == RecordType.PROOF and seen.trust is Trust.SIGNED:
            proofs.setdefault(seen.record.text("vault"), []).append(seen.record)
    return proofs


def _going(vault: str, marks: Sequence[SeenRecord]) -> _Going | None:
    """None when the copy is not being let go: no signed mark says so, or a later one (on a tie: any) keeps it."""
    of_vault = [mark for mark in marks if mark.record.text("vault") == vault]
    kept = max((m.record.at for m in of_vault if m.record.text("mark") == MarkType.KEPT), default=None)
    signed = [
        mark
        for mark in of_vault
        if mark.trust is Trust.SIGNED
        and mark.record.text("mark") in (MarkType.EXPIRING, MarkType.EXPIRED)
        and (kept is None or mark.record.at > kept)
    ]
    if not signed:
        return None
    expiring = [mark for mark in signed if mark.record.text("mark") == MarkType.EXPIRING]
    marked = max((mark.record.at for mark in expiring), default=None)
    # Signed by a host whose clock may lie, written into stores whose clocks may lie: the latest of all is waited for.
    since = max((max(m.record.at, m.written) for m in expiring if m.record.at == marked), default=None)
    expired = max((m.record.at for m in signed if m.record.text("mark") == MarkType.EXPIRED), default=None)
    return _Going(min(mark.record.at for mark in signed), marked, since, expired)


def _pin(marks: Sequence[SeenRecord], now: datetime) -> tuple[bool, datetime | None]:
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


def _suspicion(marks: Sequence[SeenRecord]) -> tuple[str, bool]:
    """Why the point is suspect ("" when it is not), and whether any mark has judged it."""
    votes = []
    for seen in marks:
        mark = seen.record.text("mark")
        if mark == MarkType.SUSPECT and seen.trust is not Trust.UNSUPPORTED:
            votes.append((seen.record.at, 1, seen.record.text("reason") or "it was marked as suspect"))
        elif mark == MarkType.CLEARED and seen.trust is Trust.SIGNED:
            votes.append((seen.record.at, 0, ""))
    return (max(votes, key=lambda vote: vote[:2])[2] if votes else ""), bool(votes)
