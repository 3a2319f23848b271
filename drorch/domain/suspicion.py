"""Points that are usable and not believed to be everything: a dump that shrank, lost tables or compresses as never
before. A cut that goes wrong at the source is whole, signed and restorable; only comparing it with the last good one
shows it (a dump of an emptied database, of the wrong one, of one that was encrypted by somebody else). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, Mark
from drorch.domain.model import RecoveryPoint
from drorch.domain.policy import ResourcePolicy
from drorch.domain.record import MarkType
from drorch.domain.retention import FUTURE

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

RATIO_JUMP = 3
"""By how much the ratio of ciphertext to source may change from one point to the next: encrypted or emptied columns
change it by more, a week of ordinary work by less.
"""


def plan_suspicion(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """A mark `suspect` for every new point that needs one, and an alarm while the newest that was judged is suspect."""
    points = [
        p for p in observed.catalogue.of(resource.name) if p.usable and not (p.cut_at and p.cut_at > now + FUTURE)
    ]
    for point in points:
        if point.suspect:
            good = last_unsuspicious(points)
            kept = f"the last unsuspicious one is {good.id}" if good else "there is no unsuspicious one"
            why = f"{point.suspect}; {kept}; nothing older is let go until it is cleared (drorch clear) or has expired"
            yield Hold(application, resource.name, "", point.id, why, "suspect")
            break
        if point.judged:
            break
    if not observed.writable or observed.skewed:
        return  # a mark signed by a clock that is ahead could not be cleared until that time comes
    for number, point in enumerate(points):
        if point.judged or point.suspect or point.manual:
            continue
        before = last_unsuspicious(points[number + 1 :])
        why = suspicion(point, before) if before is not None else ""
        if why:
            yield Mark(application, resource.name, "", point.id, why, MarkType.SUSPECT.value, observed.writable)


def last_unsuspicious(points: Sequence[RecoveryPoint]) -> RecoveryPoint | None:
    """The newest usable point (of points sorted newest first) that nobody doubts."""
    return next((point for point in points if point.usable and not point.suspect), None)


def suspicion(point: RecoveryPoint, before: RecoveryPoint) -> str:
    """Why a point is suspect beside the one `before` it; "" when it is not, or when there is nothing to compare."""
    now, then = _totals(point), _totals(before)
    if now is None or then is None:
        return ""
    found = []
    tables, tables_then = now.get("tables", 0), then.get("tables", 0)
    if tables < tables_then:
        found.append(f"{tables_then - tables} of {tables_then} tables are gone")
    if now.get("uncounted", 0) <= then.get("uncounted", 0) and 2 * now.get("rows", 0) < then.get("rows", 0):
        found.append(f"{now.get('rows', 0)} rows, {then['rows']} in the point before")
    if 2 * now.get("bytes", 0) < then.get("bytes", 0) and "bytes" in now:
        found.append(f"a source of {now['bytes']} bytes, {then['bytes']} in the point before")
    if all(totals.get(key, 0) > _TOO_SMALL for totals in (now, then) for key in ("bytes", "cipher_bytes")):
        left, right = now["cipher_bytes"] * then["bytes"], then["cipher_bytes"] * now["bytes"]
        if left > RATIO_JUMP * right or right > RATIO_JUMP * left:
            found.append("its compression ratio jumped")
    return f"suspect beside point {before.id}: {', '.join(found)}" if found else ""


_TOO_SMALL = 1 << 20
"""Below this size the encryption's own overhead and a server's catalogues say more than the data."""


def _totals(point: RecoveryPoint) -> dict[str, int] | None:
    totals = point.facts.get("totals")
    if not isinstance(totals, dict):
        return None
    return {key: value for key, value in totals.items() if isinstance(value, int)}
