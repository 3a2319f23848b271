"""How long every point is kept at the least: the sum, and that retention itself never lets one go earlier."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from drorch.domain.keep_span import shortest_keep
from drorch.domain.policy import Keep
from drorch.domain.retention import Candidate, keep
from drorch.domain.schedule import Cron, Every, Schedule

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHTLY = Cron("15 3 * * *", "Europe/Berlin")
MONTHLY = Cron("0 4 1 * *", "UTC")

CASES: list[tuple[Keep, int, Schedule, timedelta | None, timedelta]] = [
    (Keep(last=3), 1, Every(DAY), None, 2 * DAY),
    (Keep(last=1), 1, Every(DAY), None, 0 * DAY),
    (Keep(last=1), 4, Every(DAY), None, 3 * DAY),
    (Keep(within="30d"), 2, Every(HOUR), None, 30 * DAY),
    (Keep(within="1h"), 2, Every(DAY), None, DAY),
    (Keep(daily=14), 2, Every(6 * HOUR), None, 6 * HOUR),
    (Keep(daily=14), 2, Every(DAY), None, 13 * DAY),
    (Keep(daily=14), 2, Every(6 * HOUR), DAY, 13 * DAY),
    (Keep(hourly=48), 2, Every(HOUR), None, 47 * HOUR),
    (Keep(weekly=5), 2, Every(7 * DAY), None, 28 * DAY),
    (Keep(weekly=5), 2, Every(5 * DAY), None, 5 * DAY),
    (Keep(monthly=5), 2, Every(30 * DAY), None, 30 * DAY),
    (Keep(daily=5), 2, Every(7 * DAY), None, 28 * DAY),
    (Keep(daily=35), 2, NIGHTLY, None, 34 * DAY - HOUR),
    (Keep(last=2, monthly=12), 2, MONTHLY, None, 334 * DAY),
    (Keep(yearly=4), 2, MONTHLY, None, 28 * DAY),
    (Keep(last=3), 2, Cron("0 9,10 * * *", "UTC"), None, 24 * HOUR),
]


@pytest.mark.parametrize(("rules", "floor", "schedule", "every", "least"), CASES)
def test_the_rule_that_keeps_every_point_for_the_longest_counts(
    rules: Keep, floor: int, schedule: Schedule, every: timedelta | None, least: timedelta
) -> None:
    assert shortest_keep(rules, floor, schedule, every) == least


@pytest.mark.parametrize(
    ("rules", "schedule"), [(Keep(last=10**12), Every(DAY)), (Keep(last=1), Every(900_000_000 * DAY))]
)
def test_what_is_kept_beyond_every_calendar_is_kept_for_ever(rules: Keep, schedule: Schedule) -> None:
    assert shortest_keep(rules, 2, schedule, None) == timedelta.max


def cuts(schedule: Schedule, every: timedelta | None) -> Iterator[datetime]:
    """The points of a vault, without end: the first of each slot of `every`."""
    when = schedule.next_after(datetime(2026, 3, 1, tzinfo=UTC))
    slot = None
    while True:
        if every is None or (here := Every(every).slot_at(when)) != slot:
            slot = None if every is None else here
            yield when
        when = schedule.next_after(when)


@pytest.mark.parametrize(("rules", "floor", "schedule", "every", "least"), CASES)
@pytest.mark.parametrize("late", [timedelta(), timedelta(minutes=50)], ids=["prompt", "late"])
def test_retention_never_lets_a_point_go_earlier(
    rules: Keep, floor: int, schedule: Schedule, every: timedelta | None, least: timedelta, late: timedelta
) -> None:
    """Every third point is cut late: it is younger when its successors come."""
    held: list[Candidate] = []
    ages = []
    for number, slot in zip(range(80), cuts(schedule, every), strict=False):
        now = slot + (late if number % 3 == 0 else timedelta())
        held.append(Candidate(str(number), now))
        verdicts = keep(rules, held, zone=schedule.zone, floor=floor, keep_manual=DAY, now=now)
        ages += [now - verdict.candidate.cut_at for verdict in verdicts if not verdict.kept]
        held = [verdict.candidate for verdict in verdicts if verdict.kept]
    assert not ages or min(ages) >= least
    assert ages or least >= 30 * DAY, "nothing was let go: the case proves nothing"
