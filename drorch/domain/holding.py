"""How many points a keep rule holds at once when it has run for long, those in grace included. Pure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from drorch.domain.policy import Keep
from drorch.domain.schedule import Every, Schedule

_COUNTED = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_FROM = datetime(2026, 2, 15, tzinfo=UTC)
_MANY = 20_000


def most_held(rules: Keep, floor: int, schedule: Schedule, every: timedelta | None, grace: timedelta) -> int:
    """The points of one resource in one vault at the most: those that each rule keeps, as if no two kept the same one,
    and those that are let go of within one `grace`.

    Manual points, pins, proofs and what the brake holds come on top.
    """
    kept = sum(int(getattr(rules, name)) for name in _COUNTED)
    if rules.within is not None:
        kept += slots_within(rules.within, schedule, every)
    return max(kept, floor) + slots_within(grace, schedule, every)


def slots_within(span: timedelta, schedule: Schedule, every: timedelta | None) -> int:
    """How many points a vault gets in `span`, the first of each slot of `every` (None: all of them)."""
    grid = None if every is None else Every(every)
    found, when = 0, _FROM
    with suppress(OverflowError):
        while found < _MANY:
            start = when if grid is None else max(when, grid.next_after(when) - timedelta(seconds=1))
            when = schedule.next_after(start)
            if when > _FROM + span:
                break
            found += 1
    return found
