"""The slot grid: anchors, cron's unix meaning, days on which the clock changes; against a look at every minute."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drorch.domain.schedule import Cron, Every, Schedule

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- every ---------------------------------------------------------------------------------------------------------


def test_a_week_begins_on_monday_midnight_utc() -> None:
    weekly = Every(timedelta(weeks=1))
    assert weekly.slot_at(utc("2026-11-20T09:12")) == utc("2026-11-16T00:00")
    assert utc("2026-11-16T00:00").weekday() == 0


def test_an_offset_shifts_the_grid() -> None:
    shifted = Every(timedelta(hours=4), timedelta(minutes=30))
    assert shifted.slot_at(utc("2026-11-20T04:29:59")) == utc("2026-11-20T00:30")
    assert shifted.slot_at(utc("2026-11-20T04:30")) == utc("2026-11-20T04:30")
    assert shifted.next_after(utc("2026-11-20T04:30")) == utc("2026-11-20T08:30")


def test_the_grid_reaches_back_before_its_anchor() -> None:
    assert Every(timedelta(hours=7)).slot_at(utc("1970-01-04T23:00")) == utc("1970-01-04T17:00")


def test_equal_slots_are_counted_in_utc() -> None:
    every = Every(timedelta(hours=5))
    assert every.longest_gap() == timedelta(hours=5)
    assert every.zone == ZoneInfo("UTC")
    assert str(every) == "every 5h"
    assert str(Every(timedelta(hours=5), timedelta(hours=1))) == "every 5h offset 1h"


@pytest.mark.parametrize(
    ("period", "offset"),
    [
        (timedelta(seconds=30), timedelta()),
        (timedelta(seconds=90), timedelta()),
        (timedelta(), timedelta()),
        (timedelta(hours=-1), timedelta()),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=1), timedelta(minutes=-1)),
        (timedelta(hours=1), timedelta(seconds=1)),
    ],
)
def test_a_grid_needs_whole_minutes_and_an_offset_inside_its_period(period: timedelta, offset: timedelta) -> None:
    with pytest.raises(ValueError, match="hint: "):
        Every(period, offset)


@given(
    period=st.integers(1, 100_000),
    offset=st.integers(0, 99_999),
    seconds=st.integers(-10 * 365 * 86400, 130 * 365 * 86400),
)
def test_every_instant_lies_in_exactly_one_slot(period: int, offset: int, seconds: int) -> None:
    grid = Every(period * MINUTE, offset % period * MINUTE)
    instant = utc("1970-01-01") + timedelta(seconds=seconds)
    start = grid.slot_at(instant)
    assert start <= instant < grid.next_after(instant)
    assert grid.slot_at(start) == start
    assert grid.next_after(start) - start == grid.period


# --- cron against an oracle ----------------------------------------------------------------------------------------

WINDOW = 5 * DAY
CLOCK_CHANGES = {
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "America/Santiago": ["2026-04-05T03:00", "2026-09-06T04:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "America/Goose_Bay": ["2010-03-14T04:01", "2010-11-07T03:01"],
    "Pacific/Apia": ["2011-12-30T10:00", "2020-04-04T14:00"],
    "Africa/Casablanca": ["2026-02-15T02:00", "2026-03-22T02:00"],
    "Asia/Kolkata": ["2026-06-01T00:00"],
}


@dataclass(frozen=True)
class Written:
    """A cron expression and, independently of how it is parsed, the numbers that it means."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int] | None
    dates: frozenset[int] | None
    weekdays: frozenset[int] | None

    def matches(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if self.dates is not None and self.weekdays is not None:
            return day.day in self.dates or weekday in self.weekdays
        return (self.dates is None or day.day in self.dates) and (self.weekdays is None or weekday in self.weekdays)


MINUTES = {"0": {0}, "30": {30}, "59": {59}, "*/15": {0, 15, 30, 45}, "1,31": {1, 31}, "10-12": {10, 11, 12}}
HOURS = {
    "*": None,
    "0": {0},
    "2": {2},
    "23": {23},
    "1-3": {1, 2, 3},
    "*/6": {0, 6, 12, 18},
    "*/1": set(range(24)),
    "0-23/2": set(range(0, 24, 2)),
}
DATES = {"*": None, "1": {1}, "*/2": set(range(1, 32, 2)), "28-31": {28, 29, 30, 31}}
WEEKDAYS = {"*": None, "7": {0}, "0": {0}, "Sun": {0}, "mon-fri": {1, 2, 3, 4, 5}, "5-7": {5, 6, 0}, "sat": {6}}


def frozen(numbers: set[int] | None) -> frozenset[int] | None:
    return None if numbers is None else frozenset(numbers)


@st.composite
def expressions(draw: st.DrawFn) -> Written:
    minute, hour = draw(st.sampled_from(sorted(MINUTES))), draw(st.sampled_from(sorted(HOURS)))
    day, weekday = draw(st.sampled_from(sorted(DATES))), draw(st.sampled_from(sorted(WEEKDAYS)))
    return written(f"{minute} {hour} {day} * {weekday}")


def written(text: str) -> Written:
    minute, hour, day, _, weekday = text.split()
    return Written(text, frozenset(MINUTES[minute]), frozen(HOURS[hour]), frozen(DATES[day]), frozen(WEEKDAYS[weekday]))


@lru_cache(maxsize=32)
def clock(zone: str, around: str) -> tuple[tuple[datetime, datetime], ...]:
    """Every minute of the window: the instant, and what the clock on the wall shows."""
    local = ZoneInfo(zone)
    start = utc(around) - WINDOW
    minutes = (start + MINUTE * number for number in range(2 * WINDOW // MINUTE))
    return tuple((when, when.astimezone(local).replace(tzinfo=None, fold=0)) for when in minutes)


def fires(cron: Written, zone: str, around: str) -> list[datetime]:
    """All firing instants of the window, found by looking at every minute of it."""
    shown = clock(zone, around)
    if cron.hours is None:
        return [when for when, wall in shown if wall.minute in cron.minutes and cron.matches(wall.date())]
    found: set[datetime] = set()
    first_shown: dict[datetime, datetime] = {}
    for when, wall in shown:
        first_shown.setdefault(wall, when)
    gaps = [(a[1], b[1], b[0]) for a, b in pairwise(shown) if b[1] - a[1] > MINUTE]
    begin, end = shown[0][1], shown[-1][1]
    for number in range((end - begin) // MINUTE + 1):
        wall = begin + MINUTE * number
        if wall.minute in cron.minutes and wall.hour in cron.hours and cron.matches(wall.date()):
            skipped = [after for before, behind, after in gaps if before < wall < behind]
            found.add(skipped[0] if skipped else first_shown[wall])
    return sorted(found)


places = st.sampled_from([(zone, around) for zone, arounds in CLOCK_CHANGES.items() for around in arounds])


@settings(max_examples=300, deadline=None)
@given(cron=expressions(), place=places, minutes=st.integers(-3 * 1440, 3 * 1440), seconds=st.integers(0, 59))
@example(written("30 2 * * *"), ("Europe/Berlin", "2026-03-29T01:00"), 0, 0)
@example(written("30 2 * * *"), ("Europe/Berlin", "2026-10-25T01:00"), 45, 0)
@example(written("*/15 * * * 7"), ("America/Goose_Bay", "2010-11-07T03:01"), 30, 0)
@example(written("*/15 * * * sat"), ("America/Goose_Bay", "2010-11-07T03:01"), -1, 30)
@example(written("0 * * * *"), ("Australia/Lord_Howe", "2026-10-03T15:30"), -10, 0)
@example(written("0 0 * * *"), ("America/Santiago", "2026-09-06T04:00"), 0, 0)
@example(written("30 0 * * *"), ("Pacific/Apia", "2011-12-30T10:00"), -1, 0)
def test_cron_agrees_with_a_look_at_every_minute(
    cron: Written, place: tuple[str, str], minutes: int, seconds: int
) -> None:
    zone, around = place
    schedule = Cron(cron.text, zone)
    now = utc(around) + MINUTE * minutes + timedelta(seconds=seconds)
    expected = fires(cron, zone, around)
    at = bisect_right(expected, now)
    slot, following = schedule.slot_at(now), schedule.next_after(now)
    window = (clock(zone, around)[0][0], clock(zone, around)[-1][0])
    assert slot == expected[at - 1] if at else slot < window[0]
    assert following == expected[at] if at < len(expected) else following > window[1]


@settings(max_examples=150, deadline=None)
@given(cron=expressions(), place=places, minutes=st.integers(-3 * 1440, 3 * 1440))
def test_slots_follow_each_other_without_gap_or_overlap(cron: Written, place: tuple[str, str], minutes: int) -> None:
    zone, around = place
    schedule = Cron(cron.text, zone)
    now = utc(around) + MINUTE * minutes
    slot, following = schedule.slot_at(now), schedule.next_after(now)
    assert slot <= now < following
    assert schedule.slot_at(slot) == slot
    assert schedule.next_after(slot) == following
    assert schedule.slot_at(following) == following
    assert schedule.slot_at(following - timedelta(microseconds=1)) == slot


@settings(max_examples=60, deadline=None)
@given(cron=expressions(), zone=st.sampled_from(["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"]))
def test_no_slot_is_longer_than_the_longest_gap(cron: Written, zone: str) -> None:
    schedule = Cron(cron.text, zone)
    for around in CLOCK_CHANGES[zone]:
        when, end = schedule.slot_at(utc(around) - 2 * DAY), utc(around) + 2 * DAY
        while when < end:
            following = schedule.next_after(when)
            assert following - when <= schedule.longest_gap()
            when = following


# --- cron by example -----------------------------------------------------------------------------------------------


def series(schedule: Schedule, start: str, count: int) -> list[str]:
    found, when = [], utc(start)
    for _ in range(count):
        when = schedule.next_after(when)
        found.append(when.strftime("%Y-%m-%dT%H:%M"))
    return found


def test_a_fixed_hour_that_is_skipped_fires_when_the_gap_ends() -> None:
    berlin = Cron("30 2 * * *", "Europe/Berlin")
    assert series(berlin, "2026-03-27T12:00", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_fixed_hour_that_is_doubled_fires_at_its_first_occurrence() -> None:
    berlin = Cron("30 2 * * *", "Europe/Berlin")
    assert series(berlin, "2026-10-24T12:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_a_wildcard_hour_runs_in_real_time_through_both_changes() -> None:
    berlin = Cron("30 * * * *", "Europe/Berlin")
    assert series(berlin, "2026-03-28T23:45", 3) == ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]
    assert series(berlin, "2026-10-24T23:45", 3) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]


def test_a_step_over_all_hours_counts_as_fixed() -> None:
    """Were it a wildcard, the doubled hour 02 would fire twice."""
    berlin = Cron("0 */2 * * *", "Europe/Berlin")
    assert series(berlin, "2026-10-24T21:30", 4) == [
        "2026-10-24T22:00",
        "2026-10-25T00:00",
        "2026-10-25T03:00",
        "2026-10-25T05:00",
    ]


def test_day_of_month_or_weekday_when_both_are_restricted() -> None:
    either = Cron("0 0 13 * fri", "UTC")
    assert series(either, "2026-11-10T00:00", 4) == [
        "2026-11-13T00:00",
        "2026-11-20T00:00",
        "2026-11-27T00:00",
        "2026-12-04T00:00",
    ]
    assert series(Cron("0 0 13 * *", "UTC"), "2026-11-13T00:00", 1) == ["2026-12-13T00:00"]


def test_zero_and_seven_are_sunday() -> None:
    expected = ["2026-11-22T00:00", "2026-11-29T00:00"]
    for sunday in ("0", "7", "sun", "SUN"):
        assert series(Cron(f"0 0 * * {sunday}", "UTC"), "2026-11-20T00:00", 2) == expected


def test_months_by_name_and_the_leap_day() -> None:
    assert series(Cron("0 0 1 jan,JUL *", "UTC"), "2026-11-20T00:00", 2) == ["2027-01-01T00:00", "2027-07-01T00:00"]
    leap = Cron("0 0 29 2 *", "UTC")
    assert series(leap, "2095-01-01T00:00", 2) == ["2096-02-29T00:00", "2104-02-29T00:00"]
    assert leap.slot_at(utc("2103-12-31T00:00")) == utc("2096-02-29T00:00")


def test_its_zone_is_the_zone_of_its_days() -> None:
    assert Cron("0 0 * * *", "Europe/Berlin").zone == ZoneInfo("Europe/Berlin")
    assert str(Cron("0 0 * * *", "Europe/Berlin")) == "cron 0 0 * * * Europe/Berlin"


@pytest.mark.parametrize(
    ("expression", "zone", "gap"),
    [
        ("15 */6 * * *", "Europe/Berlin", timedelta(hours=7)),
        ("0 3 * * *", "Europe/Berlin", timedelta(hours=25)),
        ("0 3 * * *", "UTC", timedelta(hours=24)),
        ("0 1,4,12 * * *", "Europe/Berlin", timedelta(hours=13)),
        ("0 5,7 * * *", "Europe/Berlin", timedelta(hours=23)),
        ("0 * * * *", "Europe/Berlin", timedelta(hours=1)),
        ("0 * * * *", "Australia/Lord_Howe", timedelta(minutes=90)),
        ("* * * * *", "Europe/Berlin", timedelta(minutes=1)),
        ("30 2 * * 7", "Europe/Berlin", timedelta(days=7, hours=1)),
        ("0 3 * * mon-fri", "America/Santiago", timedelta(days=3, hours=1)),
        ("0 0 31 * *", "UTC", timedelta(days=61)),
        ("0 0 1 1,7 *", "Europe/Berlin", timedelta(days=184, hours=1)),
        ("0 0 1 1,7 *", "America/Santiago", timedelta(days=183, hours=23)),
        ("0 0 29 2 *", "UTC", timedelta(days=8 * 365 + 1)),
    ],
)
def test_the_longest_gap_includes_the_days_of_clock_change(expression: str, zone: str, gap: timedelta) -> None:
    assert Cron(expression, zone).longest_gap() == gap


@pytest.mark.parametrize(
    ("expression", "fragment"),
    [
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 * *", "has 4 fields, not five"),
        ("0 0 0 * * *", "has 6 fields, not five"),
        ("@daily", "has 1 fields, not five"),
        ("", "has 0 fields, not five"),
        ("60 * * * *", "minute '60' is not 0-59"),
        ("* 24 * * *", "hour '24' is not 0-23"),
        ("* * 0 * *", "day of month '0' is not 1-31"),
        ("* * * 13 *", "month '13' is not 1-12 or jan-dec"),
        ("* * * * 8", "weekday '8' is not 0-7 or sun-sat"),
        ("* * * * noday", "weekday 'noday' is not"),
        ("*/0 * * * *", "step of zero"),
        ("5/15 * * * *", "write 5-59/15"),
        ("30-10 * * * *", "runs backwards"),
        ("* * * * fri-sun", "Sunday is 0 and 7"),
        ("* * L * *", "day of month 'L'"),
        ("* * ? * *", "not understood"),
        ("1,,2 * * * *", "not understood"),
        ("-1 * * * *", "not understood"),
        ("٣ * * * *", "not understood"),
    ],
)
def test_refuses_what_is_not_cron_or_never_fires(expression: str, fragment: str) -> None:
    with pytest.raises(ValueError, match="cron") as caught:
        Cron(expression, "UTC")
    assert fragment in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "europe/berlin", "../etc/passwd", "Europe", "CEST+1"])
def test_refuses_a_zone_that_the_database_does_not_have(zone: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        Cron("0 0 * * *", zone)


def test_a_year_of_slots_is_found_without_scanning_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rarest schedule asks for few days: counted by the days whose instants are computed."""
    from drorch.domain import cron

    asked: list[date] = []
    original: Callable[..., tuple[datetime, ...]] = cron.fires_on

    def counting(expression: str, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
        asked.append(day)
        return original(expression, zone, day)

    monkeypatch.setattr(cron, "fires_on", counting)
    rare = Cron("17 4 29 2 *", "Europe/Berlin")
    rare.slot_at(utc("2027-11-20T00:00"))
    rare.next_after(utc("2027-11-20T00:00"))
    assert len(asked) == 2
