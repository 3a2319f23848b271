"""The planner: copies and dumps that a vault is owed, and records."""

from __future__ import annotations

from datetime import timedelta

import pytest
from passes import AWAY, HOME, OFF, native_copy
from planning import (
    FAILED,
    NOW,
    PENDING,
    SLOT,
    WEST,
    alarms,
    data,
    dumped,
    hours,
    only,
    orders,
    planned,
    point,
    point_id,
    recorded,
    seen,
    slot,
    the_cut,
)

from drorch.domain.action import EXECUTABLE, Copy, Hold, Keep, Repair, Replicate, Ship, WriteRecord
from drorch.domain.catalogue import Scattered
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState
from drorch.domain.plan_copies import owed
from drorch.domain.policy import Keep as KeepRules
from drorch.domain.policy import VaultRule

# --- copies --------------------------------------------------------------------------------------------------------


def test_a_native_copy_comes_from_home_once_home_is_usable() -> None:
    keyed = data(targets=(data().targets[0], data().targets[1].model_copy(update={"kms_key": "alias/dr"})))
    assert not only(planned(seen(point(SLOT, recorded(HOME, PENDING))), keyed), Copy)
    found = only(planned(seen(point(SLOT, recorded(HOME))), keyed), Copy)
    assert found == [
        Copy(
            "shop",
            "data",
            AWAY,
            point_id("shop", "data", SLOT, 1),
            f"{AWAY} lacks it; a full copy of up to 8 GiB: the first of vol-1 in us-west-2",
            HOME,
            "alias/dr",
            "ebs",
            1,
            full="the first of vol-1 in us-west-2",
            full_gib=8,
        )
    ]


@pytest.mark.parametrize("unread", [HOME, AWAY])
def test_nothing_is_copied_from_or_to_what_was_not_read(unread: str) -> None:
    assert not only(planned(seen(point(SLOT, recorded(HOME)), unread={unread: "timeout"})), Copy)


def test_a_copy_that_may_still_show_settles_a_whole_pending_one_is_waited_for() -> None:
    home = recorded(HOME)
    begun = {f"{point_id('shop', 'data', SLOT, 1)}@{AWAY}": NOW - timedelta(minutes=4)}
    part = recorded(AWAY, PENDING, partial=True)
    for copies in ((home,), (home, part)):
        found = planned(seen(point(SLOT, *copies), intents=begun))
        assert not only(found, Copy) and "settling" in only(found, Hold)[0].reason
        assert only(planned(seen(point(SLOT, *copies), intents=begun), now=NOW + timedelta(minutes=1)), Copy)
    assert not only(planned(seen(point(SLOT, home, recorded(AWAY, PENDING)))), *EXECUTABLE, Hold)


def test_a_copy_that_failed_at_the_provider_is_made_again_an_hour_later() -> None:
    failed = recorded(AWAY, FAILED, why="key", failed_at=NOW - timedelta(minutes=50))
    found = planned(seen(point(SLOT, recorded(HOME), failed)))
    assert not only(found, Copy) and alarms(found) == ["copy-failed"]
    assert only(planned(seen(point(SLOT, recorded(HOME), failed)), now=NOW + timedelta(minutes=10)), Copy)


def test_a_copy_that_is_gone_is_made_again_at_once() -> None:
    assert only(planned(seen(point(SLOT, recorded(HOME), recorded(AWAY, FAILED, why="gone")))), Copy)


def test_a_vault_is_owed_what_its_own_rules_would_keep_and_no_more() -> None:
    points = [point(slot(n), recorded(HOME)) for n in range(30)]
    home, away = data().targets
    sparse = data(targets=(home, away.model_copy(update={"keep": KeepRules(daily=2)})), floor=1)
    found = only(planned(seen(*points), sparse), Copy)
    assert [action.point for action in found] == [points[0].id, points[10].id]


def test_every_takes_the_first_point_of_each_slot_of_the_vaults_own() -> None:
    points = [point(slot(n), dumped(OFF), of="orders") for n in range(1, 30)]
    vaults = (
        VaultRule(vault=OFF, keep=KeepRules(last=60)),
        VaultRule(vault=WEST, keep=KeepRules(last=60), every=hours(12)),
    )
    daily = orders(targets=vaults)
    shipped = [action.point for action in only(planned(seen(*points), daily), Ship)]
    assert shipped == [points[8].id, points[20].id, points[28].id]  # 00:00, 12:00, and the first there is
    assert the_cut(planned(seen(*points), daily)).into == (OFF,)
    noon = NOW + hours(3)
    assert the_cut(planned(seen(*points), daily, noon)).into == (OFF, WEST)


def test_what_a_vault_with_its_own_cadence_is_owed_is_not_let_go_there() -> None:
    """After a change of cadence, points of the old one must not drive out those that would be brought again."""
    points = [point(slot(n), dumped(OFF), dumped(WEST), of="orders") for n in range(30)]
    rule = VaultRule(vault=WEST, keep=KeepRules(last=3), every=hours(12))
    found = planned(seen(*points), orders(targets=(VaultRule(vault=OFF, keep=KeepRules(last=60)), rule)))
    wanted = {p.id for p in owed(seen(*points).catalogue.points, orders(), rule, (), NOW)}
    assert wanted == {points[9].id, points[21].id, points[29].id}
    kept = {action.point for action in only(found, Keep) if action.vault == WEST}
    assert kept == wanted | {p.id for p in points[:3]}


def test_an_unsigned_copy_has_nothing_written_beside_it() -> None:
    made = point(SLOT, dumped(OFF), PointCopy(WEST, CopyState.UNSIGNED, why="bad signature"), of="orders")
    found = planned(seen(made), orders())
    assert not only(found, *EXECUTABLE) and alarms(found) == ["unsigned"]


def test_a_damaged_copy_is_repaired_and_never_shipped_again() -> None:
    made = point(SLOT, dumped(OFF), dumped(WEST, FAILED, why="data is missing"), of="orders")
    found = planned(seen(made), orders())
    reason = "its copy is damaged (data is missing); gcs-eu has a good one"
    assert only(found, *EXECUTABLE) == [Repair("shop", "orders", WEST, made.id, reason, OFF)]


def test_a_ship_waits_for_what_runs() -> None:
    found = planned(seen(point(SLOT, dumped(OFF), of="orders"), running={"orders": "drill"}), orders())
    assert not only(found, *EXECUTABLE)


# --- records -------------------------------------------------------------------------------------------------------


def test_a_usable_copy_without_a_record_is_recorded_in_every_vault_that_can_be_read() -> None:
    made = point(SLOT, native_copy(HOME), recorded(AWAY, PENDING))
    found = only(planned(seen(made, object_vaults=(OFF, WEST, "nas"), unread={WEST: "timeout"})), WriteRecord)
    assert found == [WriteRecord("shop", "data", HOME, made.id, f"the copy in {HOME} became usable", (OFF, "nas"))]


def test_a_copy_as_last_known_is_not_recorded() -> None:
    assert not only(planned(seen(point(SLOT, native_copy(HOME)), unread={HOME: "timeout"})), WriteRecord)


def test_a_record_that_some_vaults_have_is_brought_to_the_others() -> None:
    record = Scattered("records/x.json", "data", "p", frozenset({OFF}))
    other = Scattered("records/y.json", "elsewhere", "q", frozenset({OFF}))
    found = planned(seen(more={"scattered": (record, other)}, object_vaults=(OFF, WEST, "nas"), unread={"nas": "away"}))
    assert only(found, Replicate) == [
        Replicate("shop", "data", WEST, "p", f"{WEST} lacks a record that {OFF} has", OFF, "records/x.json")
    ]
    lost = planned(seen(more={"scattered": (record,)}, object_vaults=(OFF, WEST), unread={OFF: "away"}))
    assert not only(lost, Replicate)
