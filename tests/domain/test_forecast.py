"""How long a restore would take: measured and scaled, never invented; and when growth breaks the promise."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import DOMAINS, OFF, passed, planned, policy, resource

from drorch.daemon.publishing import alarms_of
from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.forecast import Rate, bytes_to_load, growth, measured
from drorch.domain.model import Copy, CopyState, FailureLevel, RecoveryPoint
from drorch.domain.objective import Places, Standing, status
from drorch.domain.policy import Objective, Policy
from drorch.domain.scenario import SCENARIO

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GIB = 1 << 30
REGION = FailureLevel.REGION
PHASES = {"download": 40, "decrypt": 10, "load": 30, "compare": 10, "probe": 5, "total": 120}
"""90 s of streaming, 30 s of all else."""


def days(count: float) -> timedelta:
    return timedelta(days=count)


def drill(vault: str = OFF, ago: float = 8, *, passed: bool = True, size: int = 100 * GIB, **seconds: int) -> Drilled:
    at = NOW - days(ago)
    return Drilled("orders", vault, "p", at, at, passed, seconds or PHASES, size)


def point(ago: float, size: int, *vaults: str, **changes: Any) -> RecoveryPoint:
    copies = tuple(Copy(vault, CopyState.USABLE, bytes=size) for vault in vaults or (OFF,))
    made = RecoveryPoint(f"p{ago}", "shop", "orders", "postgres", "2026-11-20T09:00Z", NOW - days(ago), copies)
    return replace(made, **changes)


def test_what_streams_grows_with_the_size_and_what_is_fixed_does_not() -> None:
    took = measured("orders", [point(0, 200 * GIB), point(1, 100 * GIB)], [drill()]).forecast({OFF}, NOW)
    assert took.took == timedelta(seconds=2 * 90 + 30)
    assert took.basis == "drill of 12 Nov, 100.0 GiB, from gcs-eu, scaled to 200.0 GiB"
    same = measured("orders", [point(0, 100 * GIB)], [drill()]).forecast({OFF}, NOW)
    assert (same.took, same.basis) == (timedelta(seconds=120), "drill of 12 Nov, 100.0 GiB, from gcs-eu")


def test_a_drill_of_another_year_says_which() -> None:
    assert Rate(OFF, drill(ago=400)).basis(100 * GIB, NOW) == "drill of 16 Oct 2025, 100.0 GiB, from gcs-eu"


def test_streams_at_the_same_time_are_not_counted_twice() -> None:
    parallel = drill(download=100, decrypt=100, load=100, probe=5, total=105)
    assert Rate(OFF, parallel).seconds(200 * GIB) == 205


@pytest.mark.parametrize("size", [0, 100 * GIB])
def test_where_a_size_is_not_known_it_takes_what_the_drill_took(size: int) -> None:
    unsized = measured("orders", [point(0, 100 * GIB - size)], [drill(size=size)]).forecast({OFF}, NOW)
    assert unsized.took == timedelta(seconds=120)


def test_nothing_measured_is_not_known_and_says_why() -> None:
    kept = [point(0, GIB)]
    other = replace(drill(), resource="other")
    assert measured("orders", kept, [other]).forecast({OFF}, NOW).took is None
    assert measured("orders", kept, [other]).forecast({OFF}, NOW).basis == "no drill of it has been made"
    failed = measured("orders", kept, [drill(), drill(ago=1, passed=False)]).forecast({OFF}, NOW)
    assert (failed.took, failed.basis) == (None, "the last drill from gcs-eu did not pass")
    assert measured("orders", kept, [drill()]).forecast(set(), NOW).took is None


def test_a_vault_that_was_never_drilled_counts_by_the_best_of_the_others_and_says_so() -> None:
    drills = [drill("s3-home", total=60), drill("nas", total=90), drill("gone", ago=1, passed=False, total=1)]
    found = measured("orders", [point(0, 100 * GIB)], drills).forecast({"gcs-eu"}, NOW)
    assert found.took == timedelta(seconds=60)
    assert found.basis == "drill of 12 Nov, 100.0 GiB, from s3-home, none was made from gcs-eu"
    refused = measured("orders", [point(0, 100 * GIB)], drills).forecast({"gone"}, NOW)
    assert refused.took is None, "its own last drill failed: another's does not speak for it"


def test_an_own_drill_is_told_rather_than_anothers_of_the_same_time() -> None:
    drills = [drill("nas"), drill("s3-home")]
    found = measured("orders", [point(0, GIB)], drills).forecast({"a", "nas"}, NOW)
    assert "none was made" not in found.basis


def test_the_newest_point_that_could_be_restored_gives_the_size() -> None:
    broken = point(0, 900 * GIB, copies=(Copy(OFF, CopyState.USABLE, bytes=900 * GIB, damaged=True),))
    found = measured("orders", [broken, point(1, 200 * GIB), point(2, 10 * GIB)], [drill()])
    assert found.size == 200 * GIB


def test_the_inventory_is_not_loaded() -> None:
    entries = [{"name": "data.pgcustom.zst.age", "bytes": 70}, {"name": "inventory.json.zst.age", "bytes": 7}]
    assert bytes_to_load(point(0, 77, facts={"artefacts": entries})) == 70


VAULTS = ("a", "b", "c", "d")
_drills = st.lists(
    st.builds(
        lambda vault, ago, passed, size, total: drill(
            vault, ago, passed=passed, size=size, load=total // 2, total=total
        ),
        st.sampled_from(VAULTS),
        st.integers(0, 400),
        st.booleans(),
        st.sampled_from([0, GIB, 7 * GIB]),
        st.integers(1, 9000),
    ),
    max_size=6,
)


@given(_drills, st.integers(0, 50), st.sets(st.sampled_from(VAULTS)), st.sets(st.sampled_from(VAULTS)))
def test_losing_more_vaults_never_makes_a_restore_quicker(
    drills: list[Drilled], size: int, left: set[str], lost: set[str]
) -> None:
    known = measured("orders", [point(0, size * GIB)], drills)
    before, after = known.forecast(left, NOW).took, known.forecast(left - lost, NOW).took
    assert after is None or (before is not None and before <= after)


# --- growth ----------------------------------------------------------------------------------------------------------


def series(gib_a_day: float, now: float = 100, *, over: int = 10) -> list[RecoveryPoint]:
    return [point(ago, round((now - ago * gib_a_day) * GIB)) for ago in range(over + 1)]


def test_growth_is_the_straight_line_through_the_points() -> None:
    found = growth(series(2))
    assert found is not None
    assert math.isclose(found * 86400, 2 * GIB, rel_tol=1e-6)


@pytest.mark.parametrize(
    "points",
    [series(2, over=6), [point(0, 9 * GIB), point(30, GIB)], [], [replace(p, suspect="half") for p in series(2)]],
    ids=["six days", "two points", "none", "suspect"],
)
def test_too_little_to_tell_any_growth_from(points: list[RecoveryPoint]) -> None:
    assert growth(points) is None


def orders(rto: float) -> Policy:
    objectives = {REGION: Objective(rto=timedelta(seconds=rto))}
    return policy("shop", [resource("orders", "postgres", objectives=objectives, exempt={})])


def promised(points: list[RecoveryPoint], rto: float) -> Standing:
    catalogue = Catalogue("shop", tuple(points), (drill(),))
    return status(orders(rto), catalogue, Places(DOMAINS), NOW).datasets[0].levels[REGION]


def test_the_day_on_which_growth_breaks_the_promise() -> None:
    """120 s now; 0.9 s for each GiB: 138 s are exceeded at 120 GiB, 10 days from now."""
    found = promised(series(2), 138)
    assert found.rto_met is True
    assert found.rto_breaks_at is not None
    assert abs(found.rto_breaks_at - (NOW + days(10))) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("points", "limit"), [(series(2), 119), (series(0), 138), (series(-2), 138), (series(2, over=5), 138)]
)
def test_no_day_is_told_when_it_is_broken_already_or_nothing_grows(points: list[RecoveryPoint], limit: int) -> None:
    assert promised(points, limit).rto_breaks_at is None


def test_an_alarm_stands_from_a_month_before_on() -> None:
    def alarms(points: list[RecoveryPoint]) -> dict[tuple[str, str], str]:
        catalogue = Catalogue("shop", tuple(points), (drill(),))
        return alarms_of(passed(planned(orders(138), catalogue, now=NOW), now=NOW))

    assert alarms(series(2)) == {
        ("rto-growth", "shop/orders at region"): "at its growth a restore takes more than the promised 2m18s"
        " from 2026-11-30 on (drill of 12 Nov, 100.0 GiB, from gcs-eu)"
    }
    assert len(alarms(series(0.68))) == 1, "in 29 days"
    assert alarms(series(0.66)) == {}


# --- the whole application ------------------------------------------------------------------------------------------

WEST, EAST = "prod.us-west-2", "prod.us-east-1"


def made(ago: float, took: int, resource: str = "orders", *, well: bool = True) -> Drilled:
    at = NOW - days(ago)
    return Drilled(resource, WEST, "p", at, at, False, {"create": took, "total": took + 60}, restorable=well)


def of_application(*drills: Drilled, whole: Drilled | None, surviving: str = WEST) -> tuple[float | None, str]:
    took = replace(measured("orders", [], drills), whole=whole).of_application({surviving}, NOW)
    return (took.took.total_seconds() if took.took is not None else None), took.basis


def test_the_whole_counts_where_it_is_newer_than_the_part_or_took_longer() -> None:
    whole = made(8, 600, SCENARIO)
    assert of_application(whole=whole) == (600, "scenario drill of 12 Nov, in us-west-2")
    assert of_application(made(9, 900), whole=whole)[0] == 600
    assert of_application(made(7, 300), whole=whole)[0] == 600
    assert of_application(made(7, 900), whole=whole) == (900, "drill of 13 Nov, from prod.us-west-2")


def test_a_whole_that_failed_leaves_it_unknown_until_the_part_is_measured_anew() -> None:
    failed = made(8, 600, SCENARIO, well=False)
    assert of_application(made(9, 900), whole=failed) == (
        None,
        "the last drill of the whole application in us-west-2 did not pass",
    )
    assert of_application(made(7, 900), whole=failed)[0] == 900


def test_where_nothing_is_left_in_its_region_the_whole_says_nothing() -> None:
    assert of_application(made(9, 900), whole=made(8, 600, SCENARIO), surviving=EAST)[1] != "scenario drill of 12 Nov"
    assert of_application(whole=made(8, 600, SCENARIO), surviving=EAST) == (None, "no drill of it has been made")


def test_a_part_that_failed_after_the_whole_is_not_outweighed_by_it() -> None:
    assert of_application(made(7, 900, well=False), whole=made(8, 600, SCENARIO))[0] is None
