"""Cadence from the objectives: as seldom as they allow, always feasible, and calm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import NOW, hours, only, planned, point_id, recorded, seen
from policy_words import VAULTS, policy_of, read, words

from drorch.domain.action import Cut
from drorch.domain.cadence import GRID, Ground, by_measure, derived, refined, told
from drorch.domain.catalogue import Catalogue
from drorch.domain.duration import duration_text
from drorch.domain.feasibility import feasibility, judge
from drorch.domain.instant import to_slot
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, FailureLevel, RecoveryPoint
from drorch.domain.policy import LockRule, Policy, ResourcePolicy
from drorch.domain.schedule import Every

HEAD = "version: 1\napplication: shop\nowner: me\nhome: {account: prod, region: us-east-1}\n"
HOUR = timedelta(hours=1)
GROUND = Ground(VAULTS, {})


def shop(objectives: str, *resources: str) -> str:
    return f"{HEAD}objectives: {objectives}\nresources:\n" + "".join(resources)


def dump(name: str = "orders", vaults: str = "[s3-west, gcs-eu]", more: str = "") -> str:
    return (
        f"  - {{name: {name}, kind: postgres, connection: {{host: h}}, vaults: {vaults}, keep: {{daily: 14}}{more}}}\n"
    )


def volumes(name: str = "data", copies: str = "[{region: us-west-2}]", more: str = "") -> str:
    select = "select: {tags: {app: shop}}"
    return f"  - {{name: {name}, kind: ebs, {select}, copies: {copies}, keep: {{daily: 14}}{more}}}\n"


def cadences(text: str, **vocabulary: object) -> dict[str, str]:
    return {resource.name: told(resource) for resource in policy_of(text, words(**vocabulary)).resources}


def refusal(text: str, **vocabulary: object) -> str:
    policy, findings = read(text, words(**vocabulary))
    assert policy is None
    (finding,) = findings
    return str(finding)


# --- by the policy alone -------------------------------------------------------------------------------------------


def test_the_tightest_promise_that_the_resource_keeps_sets_the_cadence() -> None:
    text = shop("{region: {rpo: 9h}, provider: {rpo: 2d}}", dump())
    assert cadences(text) == {"orders": "every 6h: region rpo 9h, time to usable 1h30m assumed"}


@pytest.mark.parametrize(
    ("rpo", "every"),
    [
        ("7m", "5m"),
        ("30m", "20m"),
        ("1h", "30m"),
        ("75m", "1h"),
        ("9h", "6h"),
        ("10h", "8h"),
        ("2d", "1d"),
        ("30d", "7d"),
    ],
)
def test_interval_and_a_quarter_of_it_fit_into_the_rpo_on_a_calm_grid(rpo: str, every: str) -> None:
    (told_of,) = cadences(shop(f"{{region: {{rpo: {rpo}}}}}", dump())).values()
    assert told_of.startswith(f"every {every}: ")


def test_a_schedule_of_an_offset_alone_shifts_the_grid_whatever_its_slots() -> None:
    for offset in ("90m", "13h30m"):
        text = shop("{region: {rpo: 9h}}", dump(more=f", schedule: {{offset: {offset}}}"))
        assert policy_of(text).resources[0].schedule == Every(6 * HOUR, timedelta(minutes=90))
    assert cadences(shop("{region: {rpo: 9h}}", dump(more=", schedule: {}"))) == cadences(
        shop("{region: {rpo: 9h}}", dump())
    )


def test_a_promise_that_another_resource_of_the_dataset_keeps_asks_for_nothing() -> None:
    promise = "{region: {rpo: 9h}, provider: {rpo: 2d}}"
    hourly = volumes(more=", dataset: orders, schedule: {every: 1h}")
    assert cadences(shop(promise, dump(), hourly)) == {
        "orders": "every 1d: provider rpo 2d, time to usable 6h assumed",
        "data": "",
    }
    late = volumes(more=", dataset: orders, schedule: {every: 8h}")
    assert cadences(shop(promise, dump(), late))["orders"].startswith("every 6h: region rpo 9h"), "8h + 2h are too much"


def test_snapshots_take_the_promises_that_they_survive_and_leave_the_others_to_dumps() -> None:
    text = shop("{zone: {rpo: 1h}, provider: {rpo: 2d}}", dump(), volumes(more=", dataset: orders"))
    assert cadences(text) == {
        "orders": "every 1d: provider rpo 2d, time to usable 6h assumed",
        "data": "every 30m: zone rpo 1h, time to usable 7m30s assumed",
    }


def test_a_dataset_that_is_exempt_is_not_cut_for_that_level() -> None:
    text = shop("{region: {rpo: 1h}, provider: {rpo: 2d}}", dump(more=", exempt: {region: cache}"))
    assert cadences(text)["orders"].startswith("every 1d: provider rpo 2d")


def test_a_copy_that_is_rarer_than_the_points_sets_the_cadence_only_for_its_own_level() -> None:
    text = shop("{zone: {rpo: 5h}, region: {rpo: 2d}}", volumes(copies="[{region: us-west-2, every: 1d}]"))
    assert cadences(text) == {"data": "every 4h: zone rpo 5h, time to usable 1h assumed"}


def test_a_lock_counts_for_tampering_and_its_length_bounds_the_cadence() -> None:
    text = shop("{tampering: {rpo: 20h}}", dump(vaults="[s3-west]"))
    assert "no copy of it survives" in refusal(text)
    assert cadences(text, locks={"s3-west": LockRule(for_=timedelta(days=1))}) == {
        "orders": "every 12h: tampering rpo 20h, time to usable 3h assumed"
    }
    assert cadences(text, locks={"s3-west": LockRule(for_=10 * HOUR)})["orders"].startswith("every 8h: ")


@pytest.mark.parametrize(
    ("text", "words_"),
    [
        (shop("{region: {rto: 2h}}", dump()), "7:5: schedule is missing, and no rpo of dataset orders"),
        (
            shop("{account: {rpo: 2h}}", volumes()),
            "no copy of it survives what dataset data promises: account (let one",
        ),
        (
            shop("{region: {rpo: 2h}}", dump(), volumes(more=", dataset: orders, schedule: {every: 1h}")),
            "7:5: schedule is missing, and data keeps every rpo of dataset orders that it could keep",
        ),
        (shop("{region: {rpo: 5m}}", dump()), "cannot keep rpo 5m at region: 5m + 1m15s = 6m15s > 5m via s3-west"),
        (shop("{region: {rpo: 9h}}", dump(more=", schedule: {timezone: UTC}")), "timezone belongs to cron"),
        (shop("{region: {rpo: 9h}}", dump(more=", schedule: {offset: 90s}")), "is not in whole minutes"),
        (shop("{region: {rpo: 9h}}", dump(more=", schedule: ")), "schedule must not be empty"),
        (
            shop("{zone: {rpo: 2d}}", dump(more=', window: {from: "01:00", to: "05:00"}')),
            "T00:00Z of the schedule begins outside the window 01:00-05:00 UTC",
        ),
    ],
)
def test_what_sets_no_cadence_is_an_error_with_a_hint(text: str, words_: str) -> None:
    assert words_ in refusal(text)


def test_a_window_is_met_by_an_offset() -> None:
    text = shop("{zone: {rpo: 2d}}", dump(more=', schedule: {offset: 2h}, window: {from: "01:00", to: "05:00"}'))
    assert policy_of(text).resources[0].schedule == Every(24 * HOUR, 2 * HOUR)


def test_without_a_host_configuration_every_vault_is_taken_to_survive_everything() -> None:
    text = shop("{region: {rpo: 2d}, provider: {rpo: 5h}, tampering: {rpo: 3d}}", dump(vaults="[nobody-knows]"))
    assert cadences(text, vaults=None, locks=None) == {"orders": "every 4h: provider rpo 5h, time to usable 1h assumed"}


PROMISED = st.dictionaries(
    st.sampled_from(["zone", "region", "account", "provider"]), st.integers(7, 60 * 24 * 40), min_size=1
)
COPIES = st.sampled_from(["[{region: us-west-2}]", "[{region: us-west-2, every: 8h}]", "[]"])


@given(PROMISED, COPIES, st.sampled_from(["[gcs-eu]", "[s3-west, {vault: gcs-eu, every: 7h}]"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_derived_cadence_is_feasible_and_the_longest_of_the_grid(
    promised: dict[str, int], copies: str, vaults: str, both: bool
) -> None:
    """What is refused, the shortest cadence could not keep either."""
    objectives = "{" + ", ".join(f"{level}: {{rpo: {minutes}m}}" for level, minutes in promised.items()) + "}"
    resources = [dump(vaults=vaults), volumes(copies=copies, more=", dataset: orders")][: 1 + both]
    policy, _ = read(shop(objectives, *resources))
    shortest = [line.replace("keep: {", "schedule: {every: 5m}, keep: {") for line in resources]
    if policy is None:
        tried, findings = read(shop(objectives, *shortest))
        assert tried is None or both, findings  # one of two may have nothing left to keep
        return
    assert all(line.feasible for line in feasibility(policy, VAULTS, locks={}))
    for resource in policy.resources:
        assert resource.cadence is not None and resource.cadence.kept
        longer = GRID[GRID.index(resource.cadence.asked) + 1 :]
        assert not any(_keeps(resource, period) for period in longer)


def _keeps(resource: ResourcePolicy, period: timedelta) -> bool:
    assert resource.cadence is not None
    ways = judge([resource.model_copy(update={"schedule": Every(period)})], VAULTS, locks={})
    return resource.cadence.charge == tuple(w.level for w in ways if w.feasible and w.level in resource.cadence.charge)


# --- by what was measured ------------------------------------------------------------------------------------------


def nine_hours() -> Policy:
    return policy_of(shop("{region: {rpo: 9h}}", dump(vaults="[s3-west]")))


def took(spans: Iterable[timedelta], every: timedelta = 6 * HOUR, vault: str = "s3-west") -> Catalogue:
    """Dumps, the newest first, that became usable so long after their cut."""
    points = []
    for number, span in enumerate(spans):
        cut_at = NOW - (number + 3) * every
        copy = PointCopy(vault, CopyState.USABLE, usable_at=cut_at + span)
        points.append(RecoveryPoint(f"p{number}", "shop", "orders", "postgres", to_slot(cut_at), cut_at, (copy,)))
    return Catalogue("shop", tuple(points))


def measured(spans: Iterable[timedelta], **more: timedelta) -> str:
    policy = by_measure(nine_hours(), took(spans, **more), GROUND, NOW)
    return told(policy.resources[0])


def test_quick_copies_change_nothing_for_the_cadence_does_not_get_rarer() -> None:
    assert measured([timedelta(minutes=10)] * 20) == "every 6h: region rpo 9h, time to usable 10m measured"


def test_slow_copies_that_still_fit_change_nothing() -> None:
    assert measured([3 * HOUR] * 20) == "every 6h: region rpo 9h, time to usable 3h measured"


def test_copies_that_cost_the_promise_make_the_cadence_shorter() -> None:
    assert measured([4 * HOUR] * 20) == "every 4h instead of 6h: region rpo 9h, time to usable 4h measured"


@pytest.mark.parametrize("slow", [5 * HOUR, 8 * HOUR, 12 * HOUR])
def test_never_cut_more_often_than_copies_become_usable(slow: timedelta) -> None:
    text = duration_text(slow)
    assert measured([slow] * 20) == f"every 6h: region rpo 9h, time to usable {text} measured: no cadence keeps that"


def test_a_few_copies_tell_nothing_and_one_slow_of_twenty_neither() -> None:
    assert measured([4 * HOUR] * 4).endswith("1h30m assumed")
    assert measured([4 * HOUR] + [HOUR] * 40).startswith("every 6h: region rpo 9h, time to usable 1h measured")


def test_a_shorter_cadence_stays_for_a_week_of_quick_copies() -> None:
    calm, slow = [HOUR], [4 * HOUR] * 20
    assert measured(calm * 12 + slow).startswith("every 4h instead of 6h")
    assert measured(calm * 25 + slow).startswith("every 4h instead of 6h"), "slow six days ago"
    assert measured(calm * 50 + slow).startswith("every 6h: ")


def test_what_fills_the_history_of_a_new_vault_is_not_measured() -> None:
    late = took([HOUR] * 20)
    old = tuple(
        replace(point, copies=(replace(point.copies[0], usable_at=NOW - HOUR),)) if number > 5 else point
        for number, point in enumerate(late.points)
    )
    policy = by_measure(nine_hours(), replace(late, points=old), GROUND, NOW)
    assert told(policy.resources[0]).endswith("time to usable 1h measured")


def test_refining_twice_is_refining_once_and_quick_times_bring_the_cadence_back() -> None:
    (resource,) = nine_hours().resources
    slow = refined(resource, {"s3-west": 4 * HOUR}, GROUND)
    assert refined(slow, {"s3-west": 4 * HOUR}, GROUND) == slow
    assert refined(slow, {}, GROUND) == resource
    assert refined(resource, {}, GROUND) == resource


@given(st.integers(7, 60 * 24 * 20), st.integers(0, 60 * 24 * 20))
@settings(max_examples=150, deadline=None)
def test_a_refined_cadence_is_feasible_by_the_measured_time_or_says_that_none_is(rpo: int, took_: int) -> None:
    policy, _ = read(shop(f"{{region: {{rpo: {rpo}m}}}}", dump(vaults="[s3-west]")))
    if policy is None:
        return
    time = timedelta(minutes=took_)
    resource = refined(policy.resources[0], {"s3-west": time}, GROUND)
    (way,) = judge([resource], VAULTS, {("orders", "s3-west"): time}, locks={})
    assert resource.cadence is not None
    assert resource.cadence.kept == way.feasible
    now, asked = resource.schedule.longest_gap(), resource.cadence.asked
    assert now == asked or (now < asked and now >= time)


# --- slots when the grid changes -----------------------------------------------------------------------------------


def _derived(every: timedelta) -> ResourcePolicy:
    (resource,) = nine_hours().resources
    assert resource.cadence is not None
    cadence = resource.cadence.model_copy(update={"asked": every})
    return resource.model_copy(update={"schedule": Every(every), "cadence": cadence})


def _made(cut_at: datetime, grid: timedelta) -> RecoveryPoint:
    slot = to_slot(Every(grid).slot_at(cut_at))
    name = point_id("shop", "orders", slot, 1)
    return RecoveryPoint(name, "shop", "orders", "postgres", slot, cut_at, (recorded("s3-west"),))


@given(
    st.lists(st.tuples(st.sampled_from(GRID[:13]), st.integers(1, 400)), min_size=1, max_size=4),
    st.integers(0, 100_000),
)
@settings(max_examples=25, deadline=None)
def test_no_change_of_grids_cuts_twice_in_a_slot_or_leaves_a_longer_gap_than_the_slots(
    phases: list[tuple[timedelta, int]], start: int
) -> None:
    """A pass every few minutes, under one grid after the other; each due slot is cut at once."""
    now = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=start)
    points: list[RecoveryPoint] = []
    previous = phases[0][0]
    for grid, passes in phases:
        resource, cuts = _derived(grid), 0
        step = max(grid / 16, timedelta(minutes=5))
        for _ in range(min(passes, 64)):
            if only(planned(seen(*points[-4:], sources={}), resource, now), Cut):
                if points and points[-1].cut_at is not None:
                    gap = now - points[-1].cut_at
                    assert gap <= max(grid, previous) + step, (grid, previous, gap)
                points.append(_made(now, grid))
                cuts += 1
            now += step
        slots = [Every(grid).slot_at(p.cut_at) for p in points[-cuts - 1 :] if p.cut_at is not None]
        assert len(slots) == len(set(slots)), "two in one slot"
        previous = grid


def test_a_point_of_another_grid_fills_the_slot_that_it_was_cut_in() -> None:
    """As of 09:30: the grid of 8h began a slot at 08:00, that of 6h at 06:00."""
    eight = _derived(8 * HOUR)
    assert len(only(planned(seen(sources={}), eight), Cut)) == 1
    within, before = NOW - hours(0.25), NOW - hours(2)
    assert not only(planned(seen(_made(within, HOUR), sources={}), eight), Cut), "09:15, of the hourly grid"
    assert only(planned(seen(_made(before, HOUR), sources={}), eight), Cut), "07:30 lies in the slot before"


def test_a_schedule_that_the_file_says_keeps_its_own_slots() -> None:
    said = _derived(8 * HOUR).model_copy(update={"cadence": None})
    assert only(planned(seen(_made(NOW - hours(0.25), HOUR), sources={}), said), Cut)


def test_a_point_that_failed_or_was_not_begun_everywhere_fills_no_slot_of_another_grid() -> None:
    eight, of_hour = _derived(8 * HOUR), _made(NOW - hours(0.25), HOUR)
    for copy in (recorded("s3-west", CopyState.FAILED), recorded("s3-west", CopyState.PENDING, partial=True)):
        assert only(planned(seen(replace(of_hour, copies=(copy,)), sources={}), eight), Cut)
    pending = replace(of_hour, copies=(recorded("s3-west", CopyState.PENDING),), cut_at=None)
    assert not only(planned(seen(pending, sources={}), eight), Cut), "its source has not said its time yet"


def test_deriving_again_gives_the_same() -> None:
    policy = policy_of(shop("{zone: {rpo: 1h}, provider: {rpo: 2d}}", dump(), volumes(more=", dataset: orders")))
    again, wrong = derived(policy.resources, GROUND)
    assert (again, wrong) == (policy.resources, ())
    assert {level for r in again if r.cadence for level in r.cadence.charge} == {
        FailureLevel.ZONE,
        FailureLevel.PROVIDER,
    }
