"""`window:`: when a dump may start, on every day of the year, and what it does to cuts, promises and policies."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import NOW, OFF
from planning import SLOT, alarms, dumped, hours, only, orders, planned, point, seen, the_cut
from policy_words import policy_of, read

from drorch.domain.action import Cut, Hold
from drorch.domain.feasibility import feasibility
from drorch.domain.model import FailureDomain
from drorch.domain.plan import Failure
from drorch.domain.schedule import Cron, Every
from drorch.domain.window import Window

MINUTE = timedelta(minutes=1)
BERLIN = "Europe/Berlin"
NIGHT = Window(20 * 60, 6 * 60, BERLIN)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
WINDOWS = st.builds(
    lambda opens, length, zone, days: Window(opens, (opens + length) % 1440, zone, days),
    st.integers(0, 1439),
    st.integers(1, 1439),
    ZONES,
    st.frozensets(st.integers(0, 6), min_size=1),
)
INSTANTS = st.integers(0, 700 * 86400).map(lambda after: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- on the clock ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-20 18:59:59", False),
        ("2026-11-20 19:00", True),
        ("2026-11-20 23:30", True),
        ("2026-11-21 04:59:59", True),
        ("2026-11-21 05:00", False),
        ("2026-07-20 18:00", True),
        ("2026-07-21 04:00", False),
    ],
)
def test_a_window_past_midnight_is_open_from_the_one_to_the_other_by_the_local_clock(at: str, is_open: bool) -> None:
    assert NIGHT.open_at(utc(at)) is is_open


def test_days_are_those_on_which_it_opens() -> None:
    weekend = Window(20 * 60, 6 * 60, "UTC", frozenset({5, 6}))
    assert not weekend.open_at(utc("2026-11-20 21:00")), "a Friday"
    assert weekend.open_at(utc("2026-11-21 21:00"))
    assert weekend.open_at(utc("2026-11-23 05:00")), "Monday morning is Sunday's night"
    assert not weekend.open_at(utc("2026-11-23 21:00"))
    assert weekend.opens_after(utc("2026-11-23 21:00")) == utc("2026-11-28 20:00")


def test_the_days_the_clock_changes_begin_and_end_where_the_clock_says() -> None:
    early = Window(150, 360, BERLIN)
    assert early.opens_after(utc("2026-03-29 00:00")) == utc("2026-03-29 01:00"), "02:30 is skipped: it opens at 03:00"
    assert early.opens_after(utc("2026-10-25 00:00")) == utc("2026-10-25 00:30"), "the first 02:30 of two"
    assert early.open_at(utc("2026-10-25 01:15")), "02:15 for the second time lies within"
    skipped = Window(130, 170, BERLIN)
    assert skipped.opens_after(utc("2026-03-28 12:00")) == utc("2026-03-30 00:10"), "02:10 to 02:50 never came"


@given(WINDOWS, INSTANTS)
def test_it_opens_at_a_boundary_and_nowhere_between(window: Window, now: datetime) -> None:
    opens = window.opens_after(now)
    assert now < opens <= now + timedelta(days=15)
    assert window.open_at(opens)
    if not window.open_at(now):
        between = [now + (opens - now) * part / 7 for part in range(7)]
        assert not any(window.open_at(when) for when in between)
        assert not window.open_at(opens - timedelta(seconds=1))
        assert opens - now <= window.longest_closed()


@given(WINDOWS, st.dates(date(2026, 1, 1), date(2027, 6, 1)), st.integers(0, 1439))
def test_on_days_without_a_clock_change_the_wall_decides(window: Window, day: date, minute: int) -> None:
    zone = ZoneInfo(window.timezone)
    around = [datetime.combine(day + timedelta(days=n), time(), zone).utcoffset() for n in (-1, 0, 1, 2)]
    if len(set(around)) > 1:
        return
    wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
    ends = window.closes if window.closes > window.opens else window.closes + 1440
    yesterday = (day.weekday() - 1) % 7
    expected = (window.opens <= minute < ends and day.weekday() in window.days) or (
        minute + 1440 < ends and yesterday in window.days
    )
    assert window.open_at(wall.astimezone(UTC)) is expected


@pytest.mark.parametrize(
    ("window", "schedule", "slot"),
    [
        (NIGHT, Cron("0 20 * * *", BERLIN), None),
        (NIGHT, Cron("59 5 * * *", BERLIN), None),
        (NIGHT, Cron("0 6 * * *", BERLIN), "2026-01-02 05:00"),
        (NIGHT, Every(hours(24), hours(4)), "2026-03-29 04:00"),
        (NIGHT, Every(hours(24), hours(3)), None),
        (NIGHT, Every(hours(6)), "2026-01-02 06:00"),
        (Window(120, 180, BERLIN), Cron("30 2 * * *", BERLIN), "2026-03-29 01:00"),
        (Window(0, 1440, "UTC", frozenset({5, 6})), Cron("0 3 * * sat", "UTC"), None),
        (Window(0, 1440, "UTC", frozenset({5, 6})), Cron("0 3 * * fri", "UTC"), "2026-01-09 03:00"),
        (Window(60, 120, "UTC"), Cron("0 3 29 2 *", "UTC"), "2028-02-29 03:00"),
    ],
)
def test_the_first_slot_outside_is_found_the_days_of_clock_change_included(
    window: Window, schedule: Cron | Every, slot: str | None
) -> None:
    assert window.outside(schedule) == (None if slot is None else utc(slot))


def test_the_longest_closed_time_knows_weekends_and_clock_changes() -> None:
    assert NIGHT.longest_closed() == hours(14)
    assert Window(60, 180, BERLIN).longest_closed() == hours(22)
    assert Window(240, 300, BERLIN).longest_closed() == hours(24), "a day of 25 hours"
    assert Window(0, 1440, "UTC", frozenset({5, 6})).longest_closed() == timedelta(days=5)


# --- in a plan -------------------------------------------------------------------------------------------------------

CLOSED = Window(20 * 60, 6 * 60, "UTC")
OPEN = Window(9 * 60, 10 * 60, "UTC")


def test_a_due_cut_waits_for_the_window_and_says_until_when() -> None:
    (hold,) = only(planned(seen(), orders(OFF, window=CLOSED)), Hold)
    assert isinstance(hold, Hold)
    assert (hold.resource, hold.alarm) == ("orders", "")
    assert hold.reason == (f"slot {SLOT} is due, held until its window 20:00-06:00 UTC opens at 2026-11-20T20:00:00Z")
    assert the_cut(planned(seen(), orders(OFF, window=OPEN))).slot == SLOT


def test_a_slot_that_was_missed_is_filled_when_the_window_opens() -> None:
    daily = orders(OFF, window=CLOSED, schedule=Every(hours(24), hours(1)))
    assert not only(planned(seen(), daily), Cut)
    later = planned(seen(), daily, now=utc("2026-11-20 20:00"))
    assert the_cut(later).slot == "2026-11-20T01:00Z"


def test_a_cut_that_failed_stays_an_alarm_while_the_window_is_closed() -> None:
    key = the_cut(planned(seen(), orders(OFF))).key
    failures = {key: Failure(NOW - hours(4), 2, "denied")}
    actions = planned(seen(failures=failures), orders(OFF, window=CLOSED))
    assert alarms(actions) == ["cut-failed"]
    assert only(actions, Hold)[0].reason.endswith("; cut failed 2 times: denied")


def test_nothing_but_cuts_waits_for_a_window() -> None:
    actions = planned(seen(point(SLOT, dumped(OFF), of="orders")), orders(window=CLOSED))
    assert {action.name for action in actions} >= {"ship"}


# --- in a policy -----------------------------------------------------------------------------------------------------


def dump(window: str, schedule: str = "{cron: '0 21 * * *', timezone: Europe/Berlin}", rpo: str = "2d") -> str:
    return (
        "version: 1\napplication: shop\nhome: {account: prod, region: us-east-1}\n"
        f"objectives: {{region: {{rpo: {rpo}}}}}\nresources:\n"
        "  - name: orders\n    kind: postgres\n    connection: {host: db}\n"
        f"    schedule: {schedule}\n    vaults: [gcs-eu]\n    keep: {{last: 3}}\n    window: {window}\n"
    )


@pytest.mark.parametrize(
    ("window", "schedule", "means"),
    [
        ('{from: "20:00", to: "06:00"}', None, NIGHT),
        ("{from: 20:00, to: 06:00}", None, NIGHT),
        ('{from: "20:00", to: "06:00", timezone: UTC}', "{cron: '0 23 * * *', timezone: Europe/Berlin}", CLOSED),
        ('{from: "20:00", to: "06:00"}', "{every: 1d}", CLOSED),
        (
            '{from: "00:00", to: "24:00", days: [sat, sun]}',
            "{cron: '0 3 * * sun', timezone: UTC}",
            Window(0, 1440, "UTC", frozenset({5, 6})),
        ),
    ],
)
def test_a_window_is_read_in_its_own_time_zone_or_the_schedules(
    window: str, schedule: str | None, means: Window
) -> None:
    made = policy_of(dump(window, schedule, "30d") if schedule else dump(window))
    assert made.resources[0].window == means


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (
            '{from: "06:00", to: "20:00"}',
            "slot 2026-01-01T20:00Z of the schedule begins outside the window 06:00-20:00",
        ),
        ('{from: "20:00", to: "20:00"}', "the window never closes"),
        ('{from: "00:00", to: "24:00"}', "the window never closes"),
        ('{from: "20:00"}', "to is missing"),
        ('{from: "8pm", to: "06:00"}', "'8pm' is no time of day"),
        ('{from: "20:00", to: "06:00", timezone: Mars}', "unknown time zone 'Mars'"),
        ('{from: "20:00", to: "06:00", days: [funday]}', "must be one of mon, tue"),
        ('{from: "20:00", to: "06:00", days: []}', "must not be empty"),
        ("night", "must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_window_is_one_clear_error(window: str, message: str) -> None:
    made, findings = read(dump(window))
    assert made is None
    assert len(findings) == 1, [str(finding) for finding in findings]
    assert message in str(findings[0])


def test_a_window_is_for_dumps() -> None:
    snapshot = (
        "  - name: data\n    kind: ebs\n    select: {tags: {a: b}}\n    schedule: {every: 6h}\n    keep: {last: 3}\n"
        '    copies: [{region: us-west-2}]\n    window: {from: "20:00", to: "06:00"}\n'
    )
    text = dump('{from: "20:00", to: "06:00"}').partition("  - name")[0] + snapshot
    made, findings = read(text)
    assert made is None
    assert "window is not for kind ebs" in str(findings[0])


@pytest.mark.parametrize(("rpo", "told"), [("40h", True), ("2d", False)])
def test_the_arithmetic_says_where_one_failed_cut_would_cost_the_promise(rpo: str, told: bool) -> None:
    made = policy_of(dump('{from: "20:00", to: "06:00"}', rpo=rpo))
    (line,) = feasibility(made, {"gcs-eu": FailureDomain("gcp", "europe-west1")})
    assert line.feasible
    assert ("; missed once a cut fails and waits up to 14h for its window" in line.sum) is told
