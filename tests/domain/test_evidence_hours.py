"""Counting hours: nothing is counted twice, nothing is lost, and what is unknown is not met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.evidence_hours import ONE, Period, Told, by_application, gaps, held, policies, spans
from drorch.domain.instant import to_text
from drorch.domain.journal import ApplicationHour, Figure, Held, Hour

START = datetime(2026, 11, 29, tzinfo=UTC)
HOURS = [START + n * ONE for n in range(72)]
FIGURES = st.builds(Figure, st.none() | st.just(3600), st.none() | st.integers(0, 9000), st.none() | st.booleans())
KNOWN = st.dictionaries(st.sampled_from(HOURS), st.none() | FIGURES)


def told(known: dict[datetime, Figure | None]) -> dict[datetime, Told]:
    made = {}
    for number, (start, figure) in enumerate(known.items(), 1):
        of_application = ApplicationHour()
        of_application.saw({} if figure is None else {"region": figure}, valid=True)
        made[start] = Told(of_application, [number])
    return made


@given(KNOWN)
def test_every_hour_is_met_missed_or_unknown_and_days_add_up_to_months(known: dict[datetime, Figure | None]) -> None:
    hours = told(known)
    sums: dict[str, dict[str, int]] = {}
    for name, width in (("day", 10), ("month", 7)):
        found = spans(hours, HOURS, name, lambda start, width=width: to_text(start)[:width])  # type: ignore[misc]
        assert sum(span["hours"] for span in found) == len(HOURS)
        assert sum(span["hours_told"] for span in found) == len(known)
        promises = [span["levels"]["region"]["rpo"] for span in found if "region" in span["levels"]]
        promises = [promise for promise in promises if promise is not None]
        assert all(p["met"] + p["missed"] + p["unknown"] == p["hours"] for p in promises)
        assert all(p["unknown"] >= 0 for p in promises)
        sums[name] = {what: sum(promise[what] for promise in promises) for what in ("met", "missed")}
    assert sums["day"] == sums["month"]
    assert sums["day"]["met"] == sum(f is not None and f.rpo is not None and f.rpo_met is True for f in known.values())


@given(KNOWN)
def test_gaps_are_exactly_the_hours_that_nothing_tells_of(known: dict[datetime, Figure | None]) -> None:
    found = gaps(told(known), HOURS)
    assert sum(gap["hours"] for gap in found) == len(HOURS) - len(known)
    assert all(one["to"] < other["from"] for one, other in pairwise(found))


def test_hours_that_cannot_be_told_of_yet_are_not_expected() -> None:
    period = Period(START + timedelta(minutes=30), START + timedelta(hours=10))
    assert period.hours(START + timedelta(days=1)) == HOURS[1:10]
    assert period.hours(START + timedelta(hours=4, minutes=59)) == HOURS[1:3]
    assert period.hours(START + timedelta(hours=5)) == HOURS[1:4]
    assert period.hours(START - timedelta(days=1)) == []


def test_two_hosts_of_one_hour_are_taken_together_at_worst() -> None:
    one, other = Hour.begun(START), Hour.begun(START)
    one.of_application("shop").saw({"region": Figure(rpo=60, rpo_attained=10, rpo_met=True)}, valid=True)
    other.of_application("shop").saw({"region": Figure(rpo=60, rpo_attained=90, rpo_met=False)}, valid=False)
    (found,) = by_application([(one, 1), (other, 2)])["shop"].values()
    assert found.hour.levels["region"] == Figure(rpo=60, rpo_attained=90, rpo_met=False)
    assert (found.hour.valid, found.sources) == (False, [1, 2])


def test_a_policy_is_told_from_the_first_to_the_last_hour_of_its_text() -> None:
    hours = {start: Told(ApplicationHour(policy="a" if n < 3 else "b"), [n]) for n, start in enumerate(HOURS[:5])}
    first, second = policies(hours, HOURS)
    assert (first["digest"], first["from"], first["to"]) == ("a", to_text(HOURS[0]), to_text(HOURS[3]))
    assert (second["digest"], second["to"], second["sources"]) == ("b", to_text(HOURS[5]), [3])


def test_a_deletion_that_is_held_for_hours_is_one_line() -> None:
    hours = told(dict.fromkeys(HOURS[:4]))
    for start in HOURS[1:4]:
        hours[start].hour.hold([Held("eu", "p1", "orders", "mark", f"as of {start.hour}")])
    (row,) = held(hours, HOURS)
    assert (row["at"], row["until"], row["reason"]) == (to_text(HOURS[1]), to_text(HOURS[4]), "as of 3")
    assert row["sources"] == [2, 3, 4]
