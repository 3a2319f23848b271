"""Suspicion: what makes a dump suspect beside the last good one, what is marked, and how long the alarm stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import OFF
from planning import (
    FAILED,
    NOW,
    WEST,
    alarms,
    dumped,
    marks,
    only,
    orders,
    planned,
    point,
    seen,
    series,
    slot,
    taken,
    why,
)

from drorch.domain.action import Action, Hold, Mark
from drorch.domain.model import RecoveryPoint
from drorch.domain.suspicion import last_unsuspicious, suspicion

MIB = 1 << 20
GOOD = {"tables": 40, "rows": 1000, "bytes": 100 * MIB, "cipher_bytes": 25 * MIB}


def made(hours_ago: float, totals: Mapping[str, Any] | None = None, **changes: Any) -> RecoveryPoint:
    facts = {} if totals is None else {"totals": dict(totals)}
    return point(slot(hours_ago), dumped(OFF), of="orders", facts=facts, **changes)


def beside(now: Mapping[str, Any] | None, then: Mapping[str, Any] | None = GOOD) -> str:
    """What is suspect of totals `now` beside those of `then`, without the name of the other point."""
    found = suspicion(made(1, now), made(2, then))
    assert not found or found.startswith(f"suspect beside point {made(2).id}: ")
    return found.partition("/1: ")[2]


def found(*points: RecoveryPoint, **changes: Any) -> list[Action]:
    return planned(seen(*points, **changes), orders(OFF))


# --- two points -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"tables": 41}, ""),
        ({"tables": 39}, "1 of 40 tables are gone"),
        ({"rows": 500}, ""),
        ({"rows": 499}, "499 rows, 1000 in the point before"),
        ({"bytes": 50 * MIB}, ""),
        ({"bytes": 50 * MIB - 1}, f"a source of {50 * MIB - 1} bytes, {100 * MIB} in the point before"),
        ({"cipher_bytes": 75 * MIB}, ""),
        ({"cipher_bytes": 75 * MIB + 1}, "its compression ratio jumped"),
        ({"cipher_bytes": 25 * MIB // 3 + 1}, ""),
        ({"cipher_bytes": 25 * MIB // 3 - 1}, "its compression ratio jumped"),
        ({"rows": 1, "tables": 1}, "39 of 40 tables are gone, 1 rows, 1000 in the point before"),
    ],
)
def test_what_shrank_beside_the_one_before(changes: dict[str, int], said: str) -> None:
    assert beside(GOOD | changes) == said


def test_rows_are_not_compared_when_more_tables_were_left_uncounted() -> None:
    assert beside(GOOD | {"rows": 1, "uncounted": 3}) == ""
    assert beside(GOOD | {"rows": 1, "uncounted": 3}, GOOD | {"uncounted": 3}) == "1 rows, 1000 in the point before"
    assert beside(GOOD | {"rows": 1}, GOOD | {"uncounted": 3}) == "1 rows, 1000 in the point before"


@pytest.mark.parametrize("totals", [None, {}, {"tables": "many"}, {"rows": None}])
def test_where_there_is_nothing_to_compare_nothing_is_suspect(totals: Mapping[str, Any] | None) -> None:
    assert beside(GOOD, totals) == ""


def test_a_source_whose_size_nobody_told_did_not_shrink() -> None:
    assert beside({"tables": 40, "rows": 1000}) == ""
    assert suspicion(replace(made(1), facts={"totals": [1]}), made(2, GOOD)) == ""


@pytest.mark.parametrize("key", ["bytes", "cipher_bytes"])
@pytest.mark.parametrize("side", [0, 1])
def test_of_small_sources_the_ratio_says_nothing(key: str, side: int) -> None:
    small = {"tables": 4, "rows": 10, "bytes": MIB + 1, "cipher_bytes": MIB + 1}
    grown = small | {"cipher_bytes": 4 * MIB}
    assert beside(grown, small) == "its compression ratio jumped"
    pair = [grown, small]
    pair[side] = pair[side] | {key: MIB}
    assert "ratio" not in beside(*pair)


_totals = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("tables", "rows", "uncounted", "bytes", "cipher_bytes"), st.integers(0, 400 * MIB))
)


@given(_totals, st.integers(1, 3))
def test_what_grows_with_its_ratio_is_never_suspect(totals: dict[str, int], factor: int) -> None:
    assert beside(totals, totals) == ""
    grown = {key: factor * value for key, value in totals.items()}
    assert beside(grown, totals) == ""


# --- what is marked -------------------------------------------------------------------------------------------------


def test_a_new_point_that_shrank_is_marked_in_every_vault_that_takes_records() -> None:
    actions = found(made(1, GOOD | {"tables": 1}), made(2, GOOD), object_vaults=(OFF, WEST, "nas"), unread={"nas": "x"})
    why = f"suspect beside point {made(2).id}: 39 of 40 tables are gone"
    assert only(actions, Mark) == [Mark("shop", "orders", "", made(1).id, why, "suspect", (OFF, WEST))]


def test_a_point_is_compared_with_the_last_that_nobody_doubts() -> None:
    suspect = made(2, GOOD | {"rows": 1}, suspect="it shrank", judged=True)
    assert marks(found(made(1, GOOD | {"rows": 1}), suspect, made(3, GOOD)), "suspect") == [made(1).id]
    cleared = made(2, GOOD | {"rows": 1}, judged=True)
    assert not marks(found(made(1, GOOD | {"rows": 1}), cleared, made(3, GOOD)), "suspect"), "it is the new normal"
    unusable = point(slot(2), dumped(OFF, FAILED), of="orders", facts={"totals": {"rows": 1}})
    assert marks(found(made(1, GOOD | {"rows": 1}), unusable, made(3, GOOD)), "suspect") == [made(1).id]


def test_what_a_mark_has_judged_is_not_judged_again() -> None:
    for judged in ({"judged": True}, {"suspect": "it shrank", "judged": True}, {"suspect": "it shrank"}):
        assert not marks(found(made(1, GOOD | {"rows": 1}, **judged), made(2, GOOD)), "suspect")


def test_a_manual_point_is_not_judged_and_the_first_has_nothing_beside_it() -> None:
    manual = replace(made(1, GOOD | {"rows": 1}), slot="manual:2026-11-20T08:00:00Z")
    assert not marks(found(manual, made(2, GOOD)), "suspect")
    assert not marks(found(made(1, GOOD | {"rows": 1})), "suspect")


def test_a_point_of_the_future_is_neither_judged_nor_compared_with() -> None:
    ahead = made(1, GOOD | {"rows": 1}, cut_at=NOW + timedelta(minutes=6))
    assert not marks(found(ahead, made(2, GOOD)), "suspect")
    near = made(1, GOOD | {"rows": 1}, cut_at=NOW + timedelta(minutes=5))
    assert marks(found(near, made(2, GOOD)), "suspect") == [near.id]


def test_every_point_that_needs_one_gets_its_mark() -> None:
    shrunk = [made(n, GOOD | {"tables": 40 - n}) for n in (1, 2, 3)]
    assert marks(found(*shrunk, made(4, GOOD)), "suspect") == [shrunk[2].id]
    falling = [made(n, GOOD | {"tables": 30 + n}) for n in (1, 2, 3)]
    assert marks(found(*falling, made(4, GOOD)), "suspect") == [p.id for p in falling]


def test_where_no_vault_takes_records_nothing_is_marked() -> None:
    assert not marks(found(made(1, GOOD | {"rows": 1}), made(2, GOOD), object_vaults=()), "suspect")


# --- the alarm ------------------------------------------------------------------------------------------------------


def test_while_the_newest_that_was_judged_is_suspect_an_alarm_stands() -> None:
    suspect = made(2, GOOD | {"rows": 1}, suspect="it shrank", judged=True)
    for others, stands in (
        ([made(3, GOOD)], True),
        ([made(1, GOOD, judged=True), made(3, GOOD)], False),
        ([made(1, GOOD), made(3, GOOD)], True),
    ):
        assert ("suspect" in alarms(found(suspect, *others, object_vaults=()))) is stands


def test_the_alarm_names_the_last_good_one_and_what_follows() -> None:
    suspect = made(2, suspect="it shrank", judged=True)
    older = made(3, suspect="it shrank", judged=True)
    rest = "nothing older is let go until it is cleared (drorch clear) or has expired"
    for others, kept in (
        ([older, made(4)], f"the last unsuspicious one is {made(4).id}"),
        ([older], "there is no unsuspicious one"),
    ):
        (held,) = [a for a in only(found(suspect, *others), Hold) if isinstance(a, Hold) and a.alarm == "suspect"]
        assert held == Hold("shop", "orders", "", suspect.id, f"it shrank; {kept}; {rest}", "suspect")


def test_a_suspect_point_that_is_gone_alarms_nobody() -> None:
    gone = point(slot(2), dumped(OFF, FAILED), of="orders", suspect="it shrank", judged=True)
    assert "suspect" not in alarms(found(gone, made(3, GOOD)))


def test_the_last_unsuspicious_is_the_newest_usable_one() -> None:
    points = [made(1, suspect="x"), point(slot(2), dumped(OFF, FAILED), of="orders"), made(3), made(4)]
    assert last_unsuspicious(points) == points[2]
    assert last_unsuspicious(points[:2]) is None


# --- what it freezes -------------------------------------------------------------------------------------------------

OLD = point(slot(40), dumped(OFF), of="orders")
"""What no rule keeps."""


def letting_go(*points: RecoveryPoint) -> list[Action]:
    return found(*series(3, OFF), *points)


def test_what_is_older_than_a_suspect_point_is_frozen_and_what_is_newer_is_not() -> None:
    suspect = point(slot(45), dumped(OFF), of="orders", suspect="it shrank")
    older, newer = point(slot(50), dumped(OFF), of="orders"), OLD
    actions = letting_go(suspect, older, newer)
    assert why(actions, OFF, older.id) == f"point {suspect.id} after it is suspect"
    assert set(marks(actions)) == {suspect.id, newer.id}


def test_the_newest_suspect_point_in_any_vault_freezes() -> None:
    newer = point(slot(5), dumped(WEST), of="orders", suspect="it shrank")
    suspect = point(slot(45), dumped(OFF), of="orders", suspect="it shrank")
    actions = letting_go(suspect, newer, OLD)
    assert not taken(actions) and f"point {newer.id} after it is suspect" in why(actions, OFF, OLD.id)


@pytest.mark.parametrize(("ahead", "freezes"), [(-60, True), (300, True), (301, False)])
def test_a_suspect_point_freezes_while_its_data_time_is_plausible(ahead: int, freezes: bool) -> None:
    suspect = point(slot(0), dumped(OFF), of="orders", suspect="it shrank", cut_at=NOW + timedelta(seconds=ahead))
    assert bool(taken(letting_go(suspect, OLD))) is not freezes


@pytest.mark.parametrize(
    "suspect",
    [
        point(slot(5), dumped(OFF, FAILED), of="orders", suspect="it shrank"),
        point(slot(-9), dumped(OFF), of="orders", suspect="it shrank"),
        point(slot(5), dumped(OFF), of="orders", suspect="it shrank", cut_at=None),
        point(slot(5), dumped(OFF), of="data", suspect="it shrank"),
    ],
)
def test_a_suspect_point_that_is_gone_or_of_the_future_freezes_nothing(suspect: RecoveryPoint) -> None:
    assert taken(letting_go(suspect, OLD)) == {(OFF, OLD.id)}
