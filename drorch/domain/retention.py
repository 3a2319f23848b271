"""Retention: which points a vault keeps, and why; which it would let go, and why. Per vault, pure.

The rules have restic's meaning: `last` n points; the newest point of each of the n newest hours, days, ISO weeks,
months and years that have one; `within` a span before the newest point. Everything is anchored at the newest usable
point, never at the present: a backup that stopped does not eat its own history. A data time that lies in the future
(clock trouble) anchors nothing: such a point is kept, and the others are judged as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from drorch.domain.duration import duration_text
from drorch.domain.policy import Keep

FUTURE = timedelta(minutes=5)
"""A data time further ahead of this host's clock is implausible: it counts for nothing, and nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One usable point in one vault, as retention sees it. `held` says why something else needs it now.

    `verified` speaks of the copy in this vault, `proved` of the point in any; `frozen` of what a newer, suspect point
    keeps from being let go.
    """

    point: str
    cut_at: datetime
    pinned: bool = False
    manual: bool = False
    verified: bool = False
    proved: bool = False
    frozen: str = ""
    duplicate: bool = False
    held: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Kept or expirable, with every reason, the deciding one first."""

    candidate: Candidate
    kept: bool
    reasons: tuple[str, ...]


_BUCKETS: tuple[tuple[str, str, Callable[[datetime], tuple[int, ...]]], ...] = (
    ("hourly", "hour", lambda t: (t.year, t.month, t.day, t.hour, int((t.utcoffset() or timedelta()).total_seconds()))),
    ("daily", "day", lambda t: (t.year, t.month, t.day)),
    ("weekly", "week", lambda t: tuple(t.isocalendar()[:2])),
    ("monthly", "month", lambda t: (t.year, t.month)),
    ("yearly", "year", lambda t: (t.year,)),
)


def keep(
    rules: Keep,
    candidates: Iterable[Candidate],
    *,
    zone: ZoneInfo,
    floor: int,
    keep_manual: timedelta,
    now: datetime,
) -> tuple[Verdict, ...]:
    """A verdict for every candidate, newest first. `now` ends manual points' own lifetime and tells the implausible."""
    ordered = sorted(candidates, key=lambda c: (c.cut_at, c.point), reverse=True)
    plausible = [c for c in ordered if c.cut_at <= now + FUTURE]
    regular = [c for c in plausible if not c.manual and not c.duplicate]
    reasons: dict[str, list[str]] = {c.point: [] for c in ordered}
    for candidate in ordered[: len(ordered) - len(plausible)]:
        reasons[candidate.point].append("its data time lies in the future: never let go, never counted")
    _by_rules(rules, regular, zone, reasons)
    _by_order(ordered, plausible, floor, reasons)
    for candidate in ordered:
        if candidate.manual and now < candidate.cut_at + keep_manual:
            reasons[candidate.point].append(f"manual point, kept {duration_text(keep_manual)}")
    return tuple(
        Verdict(candidate, bool(reasons[candidate.point]), tuple(reasons[candidate.point]) or (_why_not(candidate),))
        for candidate in ordered
    )


def _by_rules(rules: Keep, regular: Sequence[Candidate], zone: ZoneInfo, reasons: dict[str, list[str]]) -> None:
    for number, candidate in enumerate(regular[: rules.last], start=1):
        reasons[candidate.point].append(f"last {number} of {rules.last}")
    for name, unit, bucket_of in _BUCKETS:
        wanted = getattr(rules, name)
        seen: list[tuple[int, ...]] = []
        for candidate in regular if wanted else ():
            bucket = bucket_of(candidate.cut_at.astimezone(zone))
            if bucket not in seen[-1:] and len(seen) < wanted:
                seen.append(bucket)
                reasons[candidate.point].append(f"newest of its {unit}, {name} {len(seen)} of {wanted}")
    if rules.within is not None and regular:
        limit = regular[0].cut_at - rules.within
        for candidate in regular:
            if candidate.cut_at >= limit:
                reasons[candidate.point].append(f"within {duration_text(rules.within)} of the newest point")


def _by_order(
    ordered: Sequence[Candidate], plausible: Sequence[Candidate], floor: int, reasons: dict[str, list[str]]
) -> None:
    """What no rule may take away: pins, what is in use, the floor, the newest verified point."""
    for candidate in ordered:
        if candidate.pinned:
            reasons[candidate.point].append("pinned")
        for why in (candidate.held, candidate.frozen):
            if why:
                reasons[candidate.point].append(why)
    for candidate in [c for c in plausible if not c.duplicate][:floor]:
        reasons[candidate.point].append(f"floor: the newest {floor} usable points of a vault always stay")
    if floor and plausible and plausible[0].duplicate:
        reasons[plausible[0].point].append("the newest usable point of a vault always stays, a duplicate or not")
    verified = next((c for c in plausible if c.verified), None)
    if verified is not None:
        reasons[verified.point].append("the newest point that a drill has verified")
    proved = next((c for c in plausible if c.proved), None)
    if proved is not None and proved is not verified:
        reasons[proved.point].append("the newest point that a drill from another vault has verified")


def _why_not(candidate: Candidate) -> str:
    if candidate.duplicate:
        return "a duplicate: another point fills its slot"
    if candidate.manual:
        return "a manual point whose time is over"
    return "no keep rule keeps it"
