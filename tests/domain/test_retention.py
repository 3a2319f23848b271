"""Retention: golden tables with restic's meaning, and what must hold for any points and rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.policy import KEEP_NOTHING, Keep
from drorch.domain.retention import FUTURE, Candidate, Verdict, keep

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
TWO_WEEKS = timedelta(days=14)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def candidates(*instants: str) -> list[Candidate]:
    """The instant's text is the point's name."""
    return [Candidate(text, at(text)) for text in instants]


def verdicts(
    rules: Keep,
    points: list[Candidate],
    *,
    zone: ZoneInfo = UTC_ZONE,
    floor: int = 1,
    now: datetime = NOW,
) -> dict[str, Verdict]:
    found = keep(rules, points, zone=zone, floor=floor, keep_manual=TWO_WEEKS, now=now)
    return {verdict.candidate.point: verdict for verdict in found}


def kept(rules: Keep, points: list[Candidate], **more: object) -> list[str]:
    return sorted(name for name, verdict in verdicts(rules, points, **more).items() if verdict.kept)  # type: ignore[arg-type]


HOURS = candidates(
    "2026-11-20T11:00", "2026-11-20T10:30", "2026-11-20T10:00", "2026-11-20T08:00", "2026-11-19T23:00",
    "2026-11-19T01:00", "2026-11-15T12:00", "2026-11-09T12:00", "2026-10-31T12:00", "2025-12-31T12:00",
    "2025-01-01T12:00",
)  # fmt: skip

GOLDEN = [
    (Keep(last=3), ["2026-11-20T11:00", "2026-11-20T10:30", "2026-11-20T10:00"]),
    (Keep(hourly=3), ["2026-11-20T11:00", "2026-11-20T10:30", "2026-11-20T08:00"]),
    (Keep(daily=3), ["2026-11-20T11:00", "2026-11-19T23:00", "2026-11-15T12:00"]),
    (Keep(weekly=3), ["2026-11-20T11:00", "2026-11-15T12:00", "2026-10-31T12:00"]),
    (Keep(monthly=3), ["2026-11-20T11:00", "2026-10-31T12:00", "2025-12-31T12:00"]),
    (Keep(yearly=3), ["2026-11-20T11:00", "2025-12-31T12:00"]),
    (Keep(within=timedelta(hours=3)), ["2026-11-20T11:00", "2026-11-20T10:30", "2026-11-20T10:00", "2026-11-20T08:00"]),
    (Keep(last=1, monthly=2), ["2026-11-20T11:00", "2026-10-31T12:00"]),
]


@pytest.mark.parametrize(("rules", "expected"), GOLDEN)
def test_golden(rules: Keep, expected: list[str]) -> None:
    assert kept(rules, HOURS) == sorted(expected)


@pytest.mark.parametrize(
    ("unit", "newer", "older"),
    [
        ("hourly", "2026-11-20T11:00", "2026-11-20T10:59"),
        ("hourly", "2026-11-20T11:00", "2026-11-19T11:30"),
        ("hourly", "2026-11-20T11:00", "2026-10-20T11:30"),
        ("hourly", "2026-11-20T11:00", "2025-11-20T11:30"),
        ("daily", "2026-11-20T00:00", "2026-11-19T23:59"),
        ("daily", "2026-11-20T11:00", "2026-10-20T11:30"),
        ("daily", "2026-11-20T11:00", "2025-11-20T11:30"),
        ("weekly", "2026-11-16T00:00", "2026-11-15T23:59"),
        ("weekly", "2026-11-20T11:00", "2025-11-21T11:30"),
        ("monthly", "2026-11-01T00:00", "2026-10-31T23:59"),
        ("monthly", "2026-11-20T11:00", "2025-11-20T11:30"),
        ("yearly", "2026-01-01T00:00", "2025-12-31T23:59"),
    ],
)
def test_points_of_two_buckets_are_both_kept(unit: str, newer: str, older: str) -> None:
    points = candidates(newer, older)
    assert kept(Keep(**{unit: 2}), points) == sorted([newer, older])


@pytest.mark.parametrize(
    ("unit", "newer", "older"),
    [
        ("hourly", "2026-11-20T11:59", "2026-11-20T11:00"),
        ("daily", "2026-11-19T23:59", "2026-11-19T00:00"),
        ("weekly", "2026-11-15T23:59", "2026-11-09T00:00"),
        ("monthly", "2026-10-31T23:59", "2026-10-01T00:00"),
        ("yearly", "2025-12-31T23:59", "2025-01-01T00:00"),
    ],
)
def test_of_one_bucket_the_newest_is_kept(unit: str, newer: str, older: str) -> None:
    assert kept(Keep(**{unit: 2}), candidates(newer, older)) == [newer]


def test_iso_weeks_not_calendar_weeks_at_the_turn_of_the_year() -> None:
    """2027-01-01 is a Friday of ISO week 53 of 2026, together with 2026-12-28."""
    points = candidates("2027-01-01T12:00", "2026-12-28T12:00", "2026-12-27T12:00")
    assert kept(Keep(weekly=2), points, now=at("2027-01-02T00:00")) == ["2026-12-27T12:00", "2027-01-01T12:00"]


def test_days_are_those_of_the_schedules_zone() -> None:
    points = candidates("2026-11-19T23:30", "2026-11-19T22:30")  # 00:30 and 23:30 in Berlin
    assert kept(Keep(daily=2), points) == ["2026-11-19T23:30"]
    assert kept(Keep(daily=2), points, zone=BERLIN) == ["2026-11-19T22:30", "2026-11-19T23:30"]


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """2026-10-25: 02:30 summer time is 00:30Z, 02:30 winter time 01:30Z."""
    points = candidates("2026-10-25T02:30", "2026-10-25T01:30", "2026-10-25T00:30")
    assert kept(Keep(hourly=3), points, zone=BERLIN) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]
    assert kept(Keep(daily=1), points, zone=BERLIN) == ["2026-10-25T02:30"]


def test_the_day_that_lacks_an_hour_is_one_day() -> None:
    points = candidates("2026-03-29T21:30", "2026-03-28T23:30", "2026-03-28T22:30")
    assert kept(Keep(daily=1), points, zone=BERLIN) == ["2026-03-29T21:30"]
    assert kept(Keep(daily=2), points, zone=BERLIN) == ["2026-03-28T22:30", "2026-03-29T21:30"]


def test_the_reasons_say_which_rule_and_the_rest_why_not() -> None:
    found = verdicts(Keep(last=1, daily=2), HOURS, floor=1)
    assert found["2026-11-20T11:00"].reasons[:2] == ("last 1 of 1", "newest of its day, daily 1 of 2")
    assert found["2026-11-19T23:00"].reasons == ("newest of its day, daily 2 of 2",)
    assert found["2025-01-01T12:00"].reasons == ("no keep rule keeps it",)


def test_every_rule_that_keeps_a_point_is_told_in_its_own_words() -> None:
    found = verdicts(Keep(last=1, hourly=1, daily=1, weekly=1, monthly=1, yearly=1), HOURS)
    units = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
    bucketed = [f"newest of its {unit}, {rule} 1 of 1" for rule, unit in units.items()]
    floor = "floor: the newest 1 usable points of a vault always stay"
    assert found[HOURS[0].point].reasons == ("last 1 of 1", *bucketed, floor)


def test_a_duplicate_is_never_what_is_kept_for_its_slot_nor_counted_for_the_floor() -> None:
    newest, older, oldest = candidates("2026-11-20T11:00", "2026-11-20T10:00", "2026-11-20T09:00")
    points = [newest, replace(older, duplicate=True), oldest]
    assert kept(Keep(last=2), points, floor=1) == [oldest.point, newest.point]
    assert kept(Keep(last=1), points, floor=2) == [oldest.point, newest.point]
    assert verdicts(Keep(last=1), points)[older.point].reasons == ("a duplicate: another point fills its slot",)


def test_the_newest_point_of_a_vault_stays_a_duplicate_or_not_and_takes_nobodys_place() -> None:
    newest, older, oldest = candidates("2026-11-20T11:00", "2026-11-20T10:00", "2026-11-20T09:00")
    points = [replace(newest, duplicate=True), older, oldest]
    assert kept(Keep(last=1), points, floor=2) == [oldest.point, older.point, newest.point]
    assert verdicts(Keep(last=1), points)[newest.point].reasons == (
        "the newest usable point of a vault always stays, a duplicate or not",
    )
    assert verdicts(Keep(last=1), points)[older.point].reasons[0] == "last 1 of 1"


def test_manual_points_fill_no_rule_and_live_their_own_time() -> None:
    manual = replace(candidates("2026-11-20T11:30")[0], manual=True)
    found = verdicts(Keep(last=1), [manual, *HOURS])
    assert found["2026-11-20T11:00"].reasons[0] == "last 1 of 1"
    assert (
        "manual point, kept 2w" in found[manual.point].reasons
        or "manual point, kept 14d" in found[manual.point].reasons
    )
    later = verdicts(Keep(last=1), [manual, *HOURS], now=NOW + TWO_WEEKS, floor=1)
    assert later[manual.point].kept, "it is the newest usable point: the floor"
    over = verdicts(Keep(last=1), [replace(manual, cut_at=at("2026-11-01T00:00")), *HOURS], now=NOW)
    assert over[manual.point].reasons == ("a manual point whose time is over",)


def test_a_point_of_the_future_is_kept_and_anchors_nothing() -> None:
    odd = Candidate("odd", NOW + timedelta(days=4000), verified=True)
    rules = Keep(last=1, within=timedelta(hours=3))
    found = verdicts(rules, [odd, *HOURS])
    assert found.pop("odd").reasons == ("its data time lies in the future: never let go, never counted",)
    assert found == verdicts(rules, HOURS)


def test_a_clock_that_is_far_behind_lets_nothing_go() -> None:
    assert len(kept(Keep(last=1), HOURS, now=at("2020-01-01T00:00"))) == len(HOURS)


def test_a_pin_and_a_use_are_told_and_keep_what_no_rule_keeps() -> None:
    old = candidates("2025-01-01T12:00")[0]
    for changes, reasons in (
        ({"pinned": True}, ("pinned",)),
        ({"held": "source of the pending copy to nas"}, ("source of the pending copy to nas",)),
        ({"frozen": "point x after it is suspect"}, ("point x after it is suspect",)),
        ({"pinned": True, "held": "a", "frozen": "b"}, ("pinned", "a", "b")),
        ({}, ("no keep rule keeps it",)),
    ):
        found = verdicts(Keep(last=1), [*HOURS[:2], replace(old, **changes)])[old.point]  # type: ignore[arg-type]
        assert (found.kept, found.reasons) == (bool(changes), reasons)


def test_the_newest_verified_point_and_the_newest_proved_elsewhere_stay_and_none_older() -> None:
    flags: list[dict[str, bool]] = [
        {},
        {"proved": True},
        {"proved": True},
        {"verified": True, "proved": True},
        {"verified": True},
    ]
    points = [replace(c, **changes) for c, changes in zip(HOURS, flags, strict=False)]
    found = verdicts(Keep(last=1), points)
    assert [v.candidate.point for v in found.values() if v.kept] == [HOURS[n].point for n in (0, 1, 3)]
    assert found[HOURS[1].point].reasons == ("the newest point that a drill from another vault has verified",)
    assert found[HOURS[3].point].reasons == ("the newest point that a drill has verified",)


def test_what_was_verified_here_is_not_told_twice() -> None:
    points = [HOURS[0], replace(HOURS[1], verified=True, proved=True)]
    assert verdicts(Keep(last=1), points)[HOURS[1].point].reasons == ("the newest point that a drill has verified",)


def test_a_duplicate_that_was_verified_stays() -> None:
    points = [HOURS[0], replace(HOURS[1], duplicate=True, verified=True), HOURS[2]]
    assert kept(Keep(last=2), points) == [HOURS[2].point, HOURS[1].point, HOURS[0].point]


def test_within_counts_back_from_the_newest_point_to_the_instant() -> None:
    found = verdicts(Keep(within=timedelta(hours=3)), HOURS)
    assert found["2026-11-20T08:00"].reasons == ("within 3h of the newest point",)
    shorter = verdicts(Keep(within=timedelta(hours=3) - timedelta(seconds=1)), HOURS)
    assert not shorter["2026-11-20T08:00"].kept
    far = verdicts(Keep(within=timedelta(hours=3)), HOURS, now=NOW + timedelta(days=900))
    assert far == found, "never from the present"


def test_manual_points_and_duplicates_anchor_no_span_and_fill_no_bucket() -> None:
    for odd in ({"manual": True}, {"duplicate": True}):
        newest = replace(Candidate("newest", at("2026-11-20T11:30")), **odd)  # type: ignore[arg-type]
        found = verdicts(Keep(last=1, hourly=1, within=timedelta(minutes=40)), [newest, *HOURS])
        assert found["2026-11-20T11:00"].reasons[:2] == ("last 1 of 1", "newest of its hour, hourly 1 of 1")
        assert found["2026-11-20T10:30"].reasons == ("within 40m of the newest point",)


@pytest.mark.parametrize(("over", "kept_"), [(-1, True), (0, False)])
def test_a_manual_point_lives_to_the_second(over: int, kept_: bool) -> None:
    manual = Candidate("manual", NOW - TWO_WEEKS - timedelta(seconds=over), manual=True)
    assert verdicts(Keep(last=1), [HOURS[0], manual])["manual"].kept is kept_


@pytest.mark.parametrize(("ahead", "plausible"), [(0, True), (1, False)])
def test_a_data_time_is_plausible_up_to_five_minutes_ahead(ahead: int, plausible: bool) -> None:
    near = Candidate("near", NOW + timedelta(minutes=5, seconds=ahead))
    found = verdicts(Keep(last=1), [near, *HOURS])
    assert (found["near"].reasons[0] == "last 1 of 1") is plausible
    assert found["2026-11-20T11:00"].kept is not plausible


def test_a_floor_of_none_is_for_what_has_left_and_keeps_nothing() -> None:
    newest = replace(HOURS[0], duplicate=True)
    assert kept(KEEP_NOTHING, [newest, *HOURS[1:]], floor=0) == []
    assert kept(KEEP_NOTHING, [newest, *HOURS[1:]], floor=1) == sorted([newest.point, HOURS[1].point])


def test_the_floor_says_how_many_it_keeps() -> None:
    found = verdicts(Keep(last=1), HOURS, floor=2)
    assert found[HOURS[1].point].reasons == ("floor: the newest 2 usable points of a vault always stay",)
    assert not found[HOURS[2].point].kept


# --- for any points and any rules ----------------------------------------------------------------------------------

_point = st.builds(
    lambda number, minutes, **flags: Candidate(f"p{number:04}", NOW - timedelta(minutes=minutes), **flags),
    number=st.integers(0, 9999),
    minutes=st.integers(0, 600_000),
    pinned=st.booleans(),
    manual=st.booleans(),
    verified=st.booleans(),
    duplicate=st.booleans(),
)
_points = st.lists(_point, max_size=30, unique_by=lambda c: c.point)
_counts = st.integers(0, 6)
_numbers = st.fixed_dictionaries(
    dict.fromkeys(("last", "hourly", "daily", "weekly", "monthly", "yearly"), _counts)
).filter(lambda numbers: any(numbers.values()))
_zone = st.sampled_from([UTC_ZONE, BERLIN, ZoneInfo("Pacific/Apia"), ZoneInfo("America/St_Johns")])
_floor = st.integers(1, 4)


def rules_of(numbers: dict[str, int], within: timedelta | None = None) -> Keep:
    return Keep(**{name: count for name, count in numbers.items() if count}, **({"within": within} if within else {}))


@given(_points, _numbers, _zone, _floor)
def test_the_floor_pins_and_the_newest_verified_one_always_stay(
    points: list[Candidate], numbers: dict[str, int], zone: ZoneInfo, floor: int
) -> None:
    names = set(kept(rules_of(numbers), points, zone=zone, floor=floor))
    real = [c for c in points if not c.duplicate]
    assert len(names & {c.point for c in real}) >= min(floor, len(real))
    assert {c.point for c in points if c.pinned} <= names
    verified = sorted((c for c in points if c.verified), key=lambda c: (c.cut_at, c.point))
    assert not verified or verified[-1].point in names


@given(_points, _numbers, _numbers, _zone, _floor)
def test_larger_rules_keep_a_superset(
    points: list[Candidate], numbers: dict[str, int], more: dict[str, int], zone: ZoneInfo, floor: int
) -> None:
    larger = {name: count + more[name] for name, count in numbers.items()}
    within = timedelta(days=9)
    assert set(kept(rules_of(numbers), points, zone=zone, floor=floor)) <= set(
        kept(rules_of(larger, within), points, zone=zone, floor=floor + 1)
    )


@given(_points, _numbers, _zone, _floor, st.integers(1, 10_000))
def test_time_alone_lets_nothing_go_but_manual_points(
    points: list[Candidate], numbers: dict[str, int], zone: ZoneInfo, floor: int, days: int
) -> None:
    """Anchored at the newest point: a backup that stopped does not eat its own history."""
    regular = [c for c in points if not c.manual]
    rules = rules_of(numbers, timedelta(days=30))
    later = NOW + timedelta(days=days)
    assert kept(rules, regular, zone=zone, floor=floor) == kept(rules, regular, zone=zone, floor=floor, now=later)


@given(_points, _numbers, _zone, _floor, st.integers(1, 100_000))
def test_a_newer_point_never_brings_back_what_was_let_go(
    points: list[Candidate], numbers: dict[str, int], zone: ZoneInfo, floor: int, minutes: int
) -> None:
    """And each of the rules that count loses one point to it at most."""
    rules = rules_of(numbers)
    later = NOW + timedelta(minutes=minutes)
    before = set(kept(rules, points, zone=zone, floor=floor, now=later))
    after = set(kept(rules, [*points, Candidate("new", later)], zone=zone, floor=floor, now=later))
    assert "new" in after
    assert after - {"new"} <= before
    assert len(before - after) <= sum(1 for count in numbers.values() if count) + 1


@given(_points, _numbers, _zone, _floor, st.data())
def test_what_is_kept_among_many_is_kept_among_fewer(
    points: list[Candidate], numbers: dict[str, int], zone: ZoneInfo, floor: int, data: st.DataObject
) -> None:
    """So that what a vault is owed, because the rules would keep it there, is not let go once it has come."""
    rules = rules_of(numbers, timedelta(days=30))
    fewer = [c for c in points if data.draw(st.booleans())]
    among_many = set(kept(rules, points, zone=zone, floor=floor))
    assert among_many & {c.point for c in fewer} <= set(kept(rules, fewer, zone=zone, floor=floor))


@given(_points, _numbers, _zone, _floor)
def test_letting_go_once_lets_nothing_more_go(
    points: list[Candidate], numbers: dict[str, int], zone: ZoneInfo, floor: int
) -> None:
    rules = rules_of(numbers, timedelta(days=30))
    names = kept(rules, points, zone=zone, floor=floor)
    left = [c for c in points if c.point in names]
    assert kept(rules, left, zone=zone, floor=floor) == names


@given(_points, _numbers)
def test_the_order_in_which_points_come_changes_nothing(points: list[Candidate], numbers: dict[str, int]) -> None:
    assert verdicts(rules_of(numbers), points) == verdicts(rules_of(numbers), points[::-1])


@given(_points, _numbers, st.integers(1, 10**6))
def test_points_of_the_future_change_no_verdict(points: list[Candidate], numbers: dict[str, int], minutes: int) -> None:
    odd = Candidate("odd", NOW + FUTURE + timedelta(minutes=minutes))
    found = verdicts(rules_of(numbers), [*points, odd])
    assert found.pop("odd").kept
    assert found == verdicts(rules_of(numbers), points)
