"""How long retention keeps every point of a vault at the least. A lock that lasts longer keeps it from letting go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from drorch.domain.policy import Keep
from drorch.domain.schedule import Every, Schedule

_BUCKETS: dict[str, Callable[[datetime], object]] = {
    "hourly": lambda t: (t.date(), t.hour, t.utcoffset()),
    "daily": lambda t: t.date(),
    "weekly": lambda t: t.isocalendar()[:2],
    "monthly": lambda t: (t.year, t.month),
    "yearly": lambda t: t.year,
}
_MANY = 2000
_YEARS = timedelta(days=8 * 366)
_FROM = datetime(2026, 2, 15, tzinfo=UTC)
"""Before a change of the clock, north and south: grids of an hour or more have one among their `_MANY` instants."""


def shortest_keep(rules: Keep, floor: int, schedule: Schedule, every: timedelta | None) -> timedelta:
    """The age below which no point of `schedule` is let go in a vault that takes the first of each slot of `every`.

    A point goes when no rule keeps it any more, so the rule that keeps every point for the longest counts:

    - ``last: n`` and `floor` keep it until n newer ones are there: for n - 1 slots, were it cut a whole slot late;
    - ``within: d`` keeps it for d, counted from the newest point;
    - ``daily: n`` and its like do as ``last: n`` where every point of the grid has a day of its own. Where two share
      one, the older goes as soon as the newer comes: the rule promises nothing to every point, and counts for nothing.

    Not counted: pins, proofs, manual points, and a point cut so late that it falls into the bucket of the next one.
    """
    points = _points(schedule, every)  # type: ignore[arg-type]  # the grids are frozen values, and hashable
    if len(points) < 2:
        return timedelta.max  # the calendar ends before a second point comes
    zone = schedule.zone
    counts = [rules.last, floor]
    for name, bucket_of in _BUCKETS.items():
        wanted = getattr(rules, name)
        if wanted and all(a != b for a, b in pairwise(bucket_of(when.astimezone(zone)) for when in points)):
            counts.append(wanted)
    return max(_shortest_span(points, max(counts) - 1), rules.within or timedelta())


def _shortest_span(points: tuple[datetime, ...], slots: int) -> timedelta:
    """The shortest time that so many slots of the grid take together."""
    if slots < len(points):
        return min(later - earlier for earlier, later in zip(points, points[slots:], strict=False))
    gap = min(later - earlier for earlier, later in pairwise(points))
    return timedelta.max if slots > timedelta.max // gap else slots * gap


@lru_cache(maxsize=256)
def _points(schedule: Schedule, every: timedelta | None) -> tuple[datetime, ...]:
    """Instants of the grid as the vault gets them: `_MANY`, or those of eight years if they are fewer.

    Two at the least, unless the calendar ends before.
    """
    slots = None if every is None else Every(every)

    def following(when: datetime) -> datetime:
        start = when if slots is None else max(when, slots.next_after(when) - timedelta(seconds=1))
        return schedule.next_after(start)

    found: list[datetime] = []
    with suppress(OverflowError):
        while len(found) < _MANY and (len(found) < 2 or found[-1] < _FROM + _YEARS):
            found.append(following(found[-1] if found else _FROM))
    return tuple(found)
