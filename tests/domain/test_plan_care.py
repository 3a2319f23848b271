"""Care: locks that are read back and extended, bytes that are read by turns, damaged copies that are written again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import HOME, OFF
from planning import (
    AN_HOUR_AGO,
    FAILED,
    NOW,
    WEST,
    data,
    drilled,
    dumped,
    going,
    hours,
    only,
    orders,
    planned,
    point,
    recorded,
    seen,
    series,
    slot,
)

from drorch.domain.action import Action, Hold, Lock, Repair, Verify
from drorch.domain.model import CopyState, LockMode, RecoveryPoint
from drorch.domain.plan_care import TURNS, coverage, turn_of
from drorch.domain.policy import LockRule

DAY = timedelta(days=1)
RULE = {OFF: LockRule.model_validate({"for": timedelta(days=35)})}
FULL = NOW + timedelta(days=35)


def found(*points: RecoveryPoint, **changes: Any) -> list[Action]:
    return planned(seen(*points, **changes), orders(OFF))


# --- locks ----------------------------------------------------------------------------------------------------------


def locked(hour: float, until: datetime | None = FULL, mode: LockMode | None = LockMode.COMPLIANCE) -> RecoveryPoint:
    return point(slot(hour), dumped(OFF, locked_until=until, lock_mode=mode), of="orders")


def locks(actions: list[Action]) -> dict[str, bool]:
    """The points whose locks are looked at, and whether they are extended."""
    return {action.point: action.extend for action in actions if isinstance(action, Lock)}


def test_every_lock_is_read_back_once_and_that_of_the_floor_is_extended_as_it_is() -> None:
    points = [locked(n, None, None) for n in range(4)]
    actions = found(*points, locks=RULE)
    assert locks(actions) == {p.id: n < 2 for n, p in enumerate(points)}
    assert only(actions, Lock)[0] == Lock("shop", "orders", OFF, points[0].id, "its lock was not read back yet", True)
    assert not only(found(*(locked(n) for n in range(4)), locks=RULE), Lock)


def test_the_locks_of_the_floor_are_extended_every_day() -> None:
    for until, due in ((FULL - DAY, False), (FULL - DAY - timedelta(seconds=1), True), (None, True)):
        points = [locked(0), locked(1, until), locked(2, until)]
        assert locks(found(*points, locks=RULE)) == ({points[1].id: True} if due else {})
    reason = "one of the newest points of the floor: its lock is extended every day"
    assert only(found(locked(0, NOW), locks=RULE), Lock) == [Lock("shop", "orders", OFF, locked(0).id, reason, True)]


def test_what_is_being_let_go_is_not_locked_for_longer() -> None:
    marked = point(slot(0), going(OFF, locked_until=NOW, lock_mode=LockMode.GOVERNANCE), of="orders")
    assert not locks(found(marked, locks=RULE))
    unread = point(slot(0), going(OFF), of="orders")
    assert locks(found(unread, locks=RULE)) == {unread.id: False}


def test_only_usable_and_plausible_copies_count_for_the_floor() -> None:
    damaged = point(slot(0), dumped(OFF, FAILED), of="orders")
    ahead = locked(0).__class__("ahead", "shop", "orders", "", "s", NOW + timedelta(minutes=6), locked(0, None).copies)
    points = [ahead, damaged, locked(1, NOW), locked(2, NOW), locked(3, NOW)]
    assert list(locks(found(*points, locks=RULE))) == [points[2].id, points[3].id]


def test_vaults_without_a_lock_and_vaults_that_were_not_read_are_left_alone() -> None:
    made = locked(0, None, None)
    assert not locks(found(made)) and not locks(found(made, locks={WEST: RULE[OFF]}))
    assert not locks(found(made, locks=RULE, unread={OFF: "timeout"}))


def test_nothing_is_locked_by_a_clock_that_may_be_wrong() -> None:
    """A lock in compliance mode cannot be taken back."""
    actions = found(locked(0, None, None), locks=RULE, skewed="the vault is 9 minutes ahead")
    assert not locks(actions)
    reason = "its lock was not read back yet; no lock while the vault is 9 minutes ahead"
    assert Hold("shop", "orders", OFF, locked(0).id, reason, "clock") in actions


def test_snapshots_are_not_cared_for() -> None:
    made = point(slot(0), recorded(HOME), recorded("prod.us-west-2", FAILED))
    actions = planned(seen(made, locks={HOME: RULE[OFF]}, turns={}), data())
    assert not only(actions, Lock, Verify, Repair)


# --- reading by turns -----------------------------------------------------------------------------------------------


def verified(actions: list[Action]) -> list[Verify]:
    return [action for action in actions if isinstance(action, Verify)]


def test_a_hundredth_of_what_lies_in_each_vault_is_read_every_day() -> None:
    turn = turn_of(NOW)
    made = point(slot(30), dumped(OFF), dumped(WEST), of="orders")
    actions = planned(seen(made, turns={}), orders())
    reason = f"turn {turn} of 100 of reading what lies there"
    assert verified(actions) == [Verify("shop", "orders", vault, "", reason, turn) for vault in (OFF, WEST)]


def test_a_turn_is_read_once_in_its_time_around() -> None:
    turn = turn_of(NOW)
    for read, due in (
        ({turn: NOW - DAY}, False),
        ({turn: NOW - DAY - timedelta(seconds=1)}, True),
        ({turn - 1: NOW}, True),
    ):
        assert bool(verified(found(*series(1, OFF, start=30), turns={("orders", OFF): read}))) is due
    assert verified(found(*series(1, OFF, start=30), turns={("orders", WEST): {turn: NOW}, ("data", OFF): {turn: NOW}}))


def test_what_was_written_within_the_day_is_not_read_again_at_once() -> None:
    assert not verified(found(*series(1, OFF, start=23), turns={}))
    assert verified(found(*series(1, OFF, start=24), turns={}))


def test_nothing_is_read_where_nothing_can_be_or_nothing_lies_or_something_runs() -> None:
    assert not verified(found(*series(1, OFF, start=30)))
    assert not verified(found(turns={}))
    assert not verified(found(point(slot(30), dumped(OFF, FAILED), of="orders"), turns={}))
    assert not verified(found(*series(1, OFF, start=30), turns={}, running={"orders": "dump"}))
    assert not verified(found(*series(1, OFF, start=30), turns={}, unread={OFF: "timeout"}))
    assert verified(found(*series(1, OFF, start=30), turns={}, running={"data": "dump"}))


@given(st.integers(0, 40_000), st.integers(0, 86_399))
def test_a_hundred_days_have_a_hundred_turns_each_a_day_long(day: int, second: int) -> None:
    midnight = datetime(1970, 1, 1, tzinfo=UTC) + day * DAY
    assert turn_of(midnight) == turn_of(midnight + second * timedelta(seconds=1)) == day % TURNS
    assert {turn_of(midnight + n * DAY) for n in range(100)} == set(range(100))


def test_every_byte_was_read_since_the_oldest_of_the_latest_turns() -> None:
    turns = {n: NOW - n * DAY for n in range(TURNS)}
    assert coverage(turns) == NOW - 99 * DAY
    del turns[50]
    assert coverage(turns) is None


# --- repair ---------------------------------------------------------------------------------------------------------


def damaged(**more: Any) -> RecoveryPoint:
    return point(slot(0), dumped(OFF), dumped(WEST, FAILED, why="leaf 7", **more), of="orders")


def repairs(*points: RecoveryPoint, **changes: Any) -> list[Action]:
    return only(planned(seen(*points, **changes), orders()), Repair)


def test_a_damaged_copy_is_written_again_from_a_good_one() -> None:
    reason = f"its copy is damaged (leaf 7); {OFF} has a good one"
    assert repairs(damaged()) == [Repair("shop", "orders", WEST, damaged().id, reason, OFF)]


def test_damage_is_an_alarm_until_it_is_repaired() -> None:
    reason = f"its copy is damaged (leaf 7); {OFF} has a good one"
    assert Hold("shop", "orders", WEST, damaged().id, reason, "damaged") in planned(seen(damaged()), orders())


@pytest.mark.parametrize("more", [{"expiring_since": NOW}, {"expired_at": NOW}])
def test_what_is_being_let_go_is_not_repaired(more: dict[str, Any]) -> None:
    assert not repairs(damaged(**more))


def test_copies_in_other_states_are_not_repaired() -> None:
    for state in (CopyState.PENDING, CopyState.UNSIGNED, CopyState.UNSUPPORTED, CopyState.USABLE, CopyState.EXPIRING):
        assert not repairs(point(slot(0), dumped(OFF), dumped(WEST, state), of="orders"))


@pytest.mark.parametrize("state", [FAILED, CopyState.UNSIGNED, CopyState.PENDING])
def test_where_no_vault_has_a_good_one_a_person_is_told(state: CopyState) -> None:
    made = point(slot(0), dumped("nas", state), dumped(WEST, FAILED, why="leaf 7"), of="orders")
    actions = planned(seen(made), orders())
    assert not only(actions, Repair)
    reason = "its copy is damaged (leaf 7); no vault has a good one"
    assert Hold("shop", "orders", WEST, made.id, reason, "damaged") in actions


def test_a_copy_in_a_vault_that_was_not_read_is_no_good_one_and_is_not_repaired() -> None:
    assert not repairs(damaged(), unread={OFF: "timeout"}, object_vaults=(OFF, WEST))
    assert not repairs(damaged(), unread={WEST: "timeout"}, object_vaults=(OFF, WEST))
    three = point(slot(0), dumped(OFF), dumped(WEST, FAILED), dumped("nas"), of="orders")
    (repair,) = repairs(three, unread={OFF: "timeout"}, object_vaults=(OFF, WEST))
    assert isinstance(repair, Repair) and repair.source == "nas"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stale": True}, "its policy file is invalid"),
        ({"skewed": "clocks differ"}, "clocks differ"),
        ({"running": {"orders": "dump"}}, "dump is running"),
        ({"object_vaults": ()}, "there is no object vault that could hold the marks"),
    ],
)
def test_what_holds_deletions_holds_repairs(changes: dict[str, Any], why: str) -> None:
    """The damaged object is deleted first."""
    actions = planned(seen(damaged(), **changes), orders())
    assert not only(actions, Repair)
    reason = f"its copy is damaged (leaf 7); {OFF} has a good one, but {why}"
    assert Hold("shop", "orders", WEST, damaged().id, reason, "damaged") in actions


def test_a_failed_drill_holds_no_repair() -> None:
    """It may be the damage that failed it."""
    assert repairs(damaged(), more={"drills": (drilled(hours(1), passed=False),)})


def test_a_damaged_copy_of_the_future_is_left_alone() -> None:
    made = point(slot(0), *damaged().copies, of="orders", cut_at=NOW + timedelta(minutes=6))
    assert not repairs(made)
    assert repairs(point(slot(0), *damaged().copies, of="orders", cut_at=AN_HOUR_AGO))
