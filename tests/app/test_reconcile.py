"""The loop on a whole installation in memory: whatever fails, in the end every slot has one kept point everywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from worlds import AWAY, EU, EVERYTHING, HOME, LEDGER, ORDERS, VOLUMES, WEST, Installation, outcomes, policies

from drorch.app.carry import Scene
from drorch.domain.action import (
    EXECUTABLE,
    Action,
    Copy,
    Cut,
    Expire,
    Hold,
    Mark,
    Ship,
)
from drorch.domain.errors import Damaged
from drorch.domain.model import FailureLevel
from drorch.domain.native import Source
from drorch.domain.policy import Policy

SEVERAL = VOLUMES.replace("{region: us-west-2}", "{region: us-west-2}, {region: eu-central-1, every: 2d}")


def test_a_quiet_world_is_whole_and_stays_as_it_is(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    world.quiet()
    world.check_whole()
    assert world.reconciler.outcomes == Counter(
        {("cut", "done"): 3, ("copy", "done"): 2, ("record", "done"): 4, ("drill", "done"): 1}
    )


def test_every_slot_gets_its_own_point(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    for slots in (1, 2, 3):
        world.quiet()
        world.check_whole(slots)
        world.clock.turn(days=1)


def test_after_a_long_sleep_missed_slots_are_not_made_up(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    world.quiet()
    world.clock.turn(days=9)
    world.quiet()
    world.check_whole(slots=2)


@pytest.mark.parametrize("gone", [(), ("cache",), ("cache", "intents"), ("cache", "intents", "locks")])
def test_a_new_process_makes_the_same_plan_whatever_was_lost_of_the_state(
    tmp_path: Path, gone: tuple[str, ...]
) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    world.quiet()
    world.clock.turn(days=1)
    world.run(1)
    world.hands.held = True
    world.quiet()
    before = world.reconciler.look()
    world.restart(without=gone)
    world.clock.turn(minutes=0)
    assert world.actions(world.reconciler.look()) == world.actions(before)
    assert not world.actions(before, *EXECUTABLE)


def test_the_plan_does_not_depend_on_the_cache_while_much_is_due(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    world.quiet()
    world.clock.turn(days=1, minutes=10)
    before = world.actions(world.reconciler.look())
    world.restart(without=("cache",))
    assert world.actions(world.reconciler.look()) == before
    assert len([a for a in before if isinstance(a, Cut)]) == 3


# --- calls ---------------------------------------------------------------------------------------------------------


def calls_of_a_pass(world: Installation) -> dict[str, int]:
    for kind in world.kinds.values():
        kind.faults.calls.clear()
    for store in world.stores.values():
        store.faults.calls.clear()
    world.once()
    counted = {f"{name} {method}": n for name, kind in world.kinds.items() for method, n in kind.faults.calls.items()}
    return counted | {f"{name} {method}": n for name, s in world.stores.items() for method, n in s.faults.calls.items()}


def test_one_listing_per_account_region_and_kind_however_many_applications_there_are(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    alone = calls_of_a_pass(world)
    assert alone == {"ebs snapshots": 2, "ebs sources": 1}
    names = [f"shop{number}" for number in range(12)]
    volumes = [Source(f"vol-{name}", bytes=8 << 30, tags={"app": name}) for name in names]
    world.cloud.put_sources("ec2", "prod", "us-east-1", volumes)
    world.policies = policies(
        *(VOLUMES.replace("shop\n", f"{name}\n", 1).replace("{app: shop}", f"{{app: {name}}}") for name in names)
    )
    world.quiet()
    world.check_whole()
    assert calls_of_a_pass(world) == alone


def test_vaults_are_listed_every_quarter_of_an_hour_and_each_record_is_read_once(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    world.clock.turn(minutes=1)
    world.once()
    assert "gcs-eu list" not in calls_of_a_pass(world)
    world.clock.turn(minutes=15)
    seen = calls_of_a_pass(world)
    assert seen["gcs-eu list"] == 5  # records, data, heads, runbooks, approvals
    assert "gcs-eu read" not in seen
    world.restart(without=("cache",))
    assert calls_of_a_pass(world)["gcs-eu read"] == 4  # two records, two signatures


# --- what is written is seen at once, what is not seen is held ------------------------------------------------------


def test_what_an_action_wrote_is_known_before_the_next_listing_is_due(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.run(2, minutes=0.1)
    world.hands.held = True
    point = world.once().plans["desk"].catalogue.points[0]
    assert {copy.vault for copy in point.copies if copy.usable} == {WEST, EU}


def test_a_listing_that_ends_half_way_keeps_what_was_known_and_holds(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    known = world.reconciler.look().plans["shop"].catalogue.points
    world.clock.turn(days=1)
    world.kinds["ebs"].faults.order("snapshots", "half", times=2)
    seen = world.once()
    assert seen.plans["shop"].catalogue.points == known
    assert set(seen.world.unread) == {HOME, AWAY}
    assert not world.actions(seen, *EXECUTABLE, Expire)
    assert {hold.alarm for hold in seen.holds} == {"vault-unread", ""}
    world.quiet()
    world.check_whole(slots=2)


def test_a_vault_whose_listing_fails_is_held_and_listed_again_at_the_next_pass(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.quiet()
    world.clock.turn(days=1)
    world.stores[EU].faults.order("list", "half")
    seen = world.once()
    assert set(seen.world.unread) == {EU}
    cut = next(action for action in seen.started if isinstance(action, Cut))
    assert cut.into == (WEST,)
    world.clock.turn(minutes=1)
    assert not world.once().world.unread
    world.quiet()
    assert any(isinstance(action, Ship) and action.vault == EU for action in world.hands.started)
    world.check_whole(slots=2)


def test_vaults_that_fail_by_turns_never_get_two_dumps_under_one_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dump goes into one vault, which is gone before anybody has looked there; the other is back."""
    world = Installation(tmp_path, ORDERS)
    world.quiet()
    world.clock.turn(days=1)
    world.stores[EU].faults.black_hole()
    dumped = world.hands.carry_out

    def then_the_other(action: Action, scene: Scene) -> dict[str, object]:
        result = dumped(action, scene)
        if isinstance(action, Cut):
            monkeypatch.undo()
            world.stores[WEST].faults.black_hole()
            world.stores[EU].faults.recover()
        return result

    monkeypatch.setattr(world.hands, "carry_out", then_the_other)
    world.run(2)
    world.restart()
    seen = world.run(3)
    newest = seen.plans["desk"].catalogue.points[0]
    assert set(seen.world.unread) == {WEST} and [copy.vault for copy in newest.copies] == [EU]
    world.stores[WEST].faults.recover()
    world.clock.turn(minutes=15)
    world.quiet()
    points = world.reconciler.look().plans["desk"].catalogue.points
    of_slot = [point for point in points if point.slot == newest.slot]
    assert len(of_slot) == 2 and of_slot[0] == newest != of_slot[1]
    assert not world.reconciler.look().plans["desk"].catalogue.oddities
    assert not world.intents.standing()
    assert {copy.vault for copy in of_slot[1].copies if copy.usable} == {WEST, EU}, "the first is the slot's"


def test_a_lost_home_region_holds_cuts_and_its_points_stay_known(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    world.cloud.lose("us-east-1")
    world.clock.turn(days=1)
    seen = world.run(8, minutes=9)
    assert not world.actions(seen, Cut, Copy, Expire)
    levels = seen.plans["shop"].status.levels
    assert levels[FailureLevel.REGION].rpo_attained == levels[FailureLevel.ZONE].rpo_attained
    world.restart(without=("cache", "intents"))
    seen = world.run(2)
    point = seen.plans["shop"].catalogue.points[0]
    assert {copy.vault: copy.why for copy in point.copies} == {HOME: "as last recorded", AWAY: ""}
    world.cloud.give_back("us-east-1")
    world.quiet()
    world.check_whole(slots=2)


def test_a_lost_destination_gets_its_copies_when_it_is_back(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    world.cloud.lose("us-west-2")
    world.run(10)
    world.clock.turn(days=1)
    world.run(10)
    world.cloud.give_back("us-west-2")
    world.quiet()
    world.check_whole(slots=2)


def test_one_listing_that_fails_says_nothing_of_another_kind_in_the_same_place(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    world.quiet()
    world.restart(without=("cache",))
    world.kinds["rds-instance"].faults.order("snapshots", "before", times=4)
    point = world.once().plans["bank"].catalogue.points[0]
    assert {copy.state for copy in point.copies} == {"usable"}


# --- tampering -----------------------------------------------------------------------------------------------------


def test_a_snapshot_that_bears_a_points_tags_cannot_join_it_once_it_is_recorded(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    before = world.reconciler.look().plans["shop"].catalogue.points[0]
    true = world.snapshots(HOME)[0]
    place = world.cloud._place("ec2", "prod", "us-east-1")
    world.cloud.add(place, replace(true, native_id="snap-forged", source_id="vol-9", state="usable"))
    world.cloud.add(place, replace(true, native_id="snap-older", started=None, state="usable"))
    world.cloud.finish()
    seen = world.run(3)
    assert seen.plans["shop"].catalogue.points[0].copies == before.copies
    assert not world.actions(seen, *EXECUTABLE)
    assert {hold.reason.split()[0] for hold in seen.holds if hold.alarm == "oddity"} == {"snap-forged", "snap-older"}


def test_a_forged_set_tag_cannot_stop_the_planner(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    place = world.cloud._place("ec2", "prod", "us-east-1")
    held = next(iter(place.held.values()))
    held.snapshot = replace(held.snapshot, tags={**held.snapshot.tags, "drorch:set": "1/999999999999:1"})
    point = world.once().plans["shop"].catalogue.points[0]
    assert {copy.vault: copy.state for copy in point.copies} == {HOME: "pending", AWAY: "usable"}


# --- selection -----------------------------------------------------------------------------------------------------


def test_an_empty_selection_is_an_alarm_and_never_a_point(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.cloud.put_sources("ec2", "prod", "us-east-1", [Source("vol-7", tags={"app": "other"})])
    for _ in range(3):
        seen = world.run(1)
        assert [hold.alarm for hold in seen.holds] == ["empty-selection"]
    assert not world.cloud.snapshots()
    assert seen.plans["shop"].status.levels[FailureLevel.ZONE].rpo_attained is None


def test_a_selection_that_becomes_empty_is_reported_between_cuts_too(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    world.cloud.put_sources("ec2", "prod", "us-east-1", [])
    assert [hold.alarm for hold in world.once().holds] == ["empty-selection"]


def test_a_member_that_is_gone_is_reported_until_a_point_without_it_is_usable(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume("vol-1"), world.volume("vol-2")])
    world.quiet()
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume("vol-1")])
    for _ in range(3):
        holds = [hold for hold in world.run(1).holds if hold.alarm == "member-gone"]
        assert [hold.reason for hold in holds] == ["vol-2 was in the last point and is gone from the selection"]
    world.clock.turn(days=1)
    assert not world.quiet().holds


# --- policies ------------------------------------------------------------------------------------------------------


def test_under_an_invalid_file_cuts_go_on_and_nothing_would_be_let_go(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES.replace("keep: {last: 3}", "keep: {last: 1}\n        floor: 1"))
    for _ in range(5):
        world.quiet()
        world.clock.turn(days=1)
    assert world.actions(world.reconciler.look(), Expire)
    world.stale.add("shop")
    seen = world.once()
    assert not world.actions(seen, Expire, Mark)
    assert world.actions(seen, Cut)
    assert not seen.plans["shop"].status.policy_valid


def test_a_resource_that_left_its_policy_is_reported_and_kept(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    world.policies = policies(VOLUMES.replace("name: data", "name: files"))
    seen = world.quiet()
    assert [(h.resource, h.alarm) for h in seen.holds] == [("data", "left-behind")]
    assert not [a for a in world.actions(seen) if a.resource == "data" and not isinstance(a, Hold)]


def test_a_vault_with_a_cadence_of_its_own_gets_the_first_point_of_each_of_its_slots(tmp_path: Path) -> None:
    text = ORDERS.replace("every: 1d}", "every: 6h}", 1).replace(
        "gcs-eu]\n        keep", "{vault: gcs-eu, every: 1d}]\n        keep"
    )
    world = Installation(tmp_path, text)
    for _ in range(6):
        world.quiet()
        world.clock.turn(hours=6)
    cuts = [action.into for action in world.hands.started if isinstance(action, Cut)]
    assert (WEST, EU) in cuts and (WEST,) in cuts
    assert not any(isinstance(action, Ship) for action in world.hands.started)
    days = [
        point.cut_at.date()
        for point in world.reconciler.look().plans["desk"].catalogue.points
        if point.copy_in(EU) and point.cut_at
    ]
    assert len(days) == len(set(days)) >= 2


# --- heavy work ----------------------------------------------------------------------------------------------------


def test_while_a_dump_runs_its_resource_is_held_and_nothing_else_waits(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    world.hands.held = True
    world.run(4)
    assert [action.name for action in world.hands.started] == ["cut"]
    seen = world.run(4)
    assert [(hold.resource, hold.alarm) for hold in seen.holds] == [("orders", "")]
    assert seen.plans["shop"].catalogue.points[0].usable
    world.hands.held = False
    world.quiet()
    world.check_whole()


def test_a_worker_that_dies_is_followed_by_another_with_back_off(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.hands.dies = 2
    seen = world.run(4, minutes=1)
    assert len(world.hands.started) == 1
    assert [hold.alarm for hold in seen.holds] == ["cut-failed"]
    world.quiet()
    assert outcomes(world, "cut") == {"unavailable": 2, "done": 1}
    world.check_whole()


def test_a_failed_drill_leaves_its_proof_and_is_tried_again_a_day_later(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.engine.answers["select count(*) from orders"] = 0
    world.quiet()
    drills = world.reconciler.look().plans["desk"].catalogue.drills
    assert [drill.passed for drill in drills] == [False]
    assert outcomes(world, "drill") == {"damaged": 1}
    world.check_records()
    del world.engine.answers["select count(*) from orders"]
    world.clock.turn(days=1)
    world.run(10)
    newest = world.reconciler.look().plans["desk"].catalogue.drills[0]
    assert newest.passed
    levels = world.reconciler.look().plans["desk"].status.levels
    assert levels[FailureLevel.PROVIDER].rpo_verified is not None


def test_records_wait_while_something_heavy_has_the_resource(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.stores[WEST].faults.black_hole()
    world.run(4)
    world.clock.turn(days=1)
    world.hands.held = True
    world.once()
    world.stores[WEST].faults.recover()
    world.clock.turn(minutes=1)
    seen = world.once()
    assert "replicate" in {waiting.action.name for waiting in seen.waiting}
    assert not seen.started
    world.hands.held = False
    world.quiet()
    world.check_records()


def test_a_resource_that_another_process_has_locked_is_left_to_it(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    lock = world.locks.take("shop.data", "backup")
    seen = world.run(2)
    assert "backup" in seen.holds[0].reason
    assert not world.cloud.snapshots()
    lock.release()
    world.quiet()
    world.check_whole()


def test_with_start_false_nothing_begins(tmp_path: Path) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    seen = world.reconciler.run_pass(start=False)
    assert not seen.started and not world.cloud.snapshots()
    assert len(world.actions(seen, Cut)) == 3


def test_a_fault_in_one_action_is_that_actions_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    monkeypatch.setattr(world.kinds["ebs"], "cut", lambda *_: 1 / 0)
    seen = world.run(5)
    assert seen.plans["bank"].catalogue.points[0].usable
    assert outcomes(world, "cut") == {"drorcherror": 1, "done": 1}
    assert ["settling" in hold.reason for hold in seen.holds] == [True]
    seen = world.run(7)
    assert [(hold.alarm, "ZeroDivisionError" in hold.reason) for hold in seen.holds] == [("cut-failed", True)]


def test_old_failures_and_intents_are_forgotten(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.kinds["ebs"].faults.order("cut", "after")
    world.once()
    world.cloud.remove(world.snapshots(HOME)[0])  # it never shows: the intent stands
    assert len(world.intents.standing()) == 1
    first = set(world.intents.standing())
    world.clock.turn(days=3)
    world.quiet()
    assert not first & set(world.intents.standing())


def test_a_point_of_the_future_anchors_nothing(tmp_path: Path) -> None:
    """A database whose clock was wrong once: its point stays, and does not drive the others out."""
    world = Installation(tmp_path, ORDERS.replace("keep: {last: 3}", "keep: {within: 30d}\n        floor: 1"))
    for day in range(4):
        world.quiet()
        if day == 1:
            world.clock.turn(days=400)
            world.hands.world.once()
            world.clock.turn(days=-400)
        world.clock.turn(days=1)
    seen = world.quiet()
    assert not world.actions(seen, Expire)
    level = seen.plans["desk"].status.levels[FailureLevel.REGION]
    assert level.rpo_attained is not None and level.rpo_attained.total_seconds() > 0


def test_the_drill_of_a_damaged_vault_says_damaged(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.once()
    store = world.stores[EU].inner
    for path, (body, at) in list(store.objects.items()):  # type: ignore[attr-defined]
        if path.endswith("data.pgcustom.zst.age"):
            store.objects[path] = (body[:-1] + bytes([body[-1] ^ 1]), at)  # type: ignore[attr-defined]
    seen = world.run(3)
    assert outcomes(world, "drill") == {Damaged.__name__.lower(): 1}
    assert seen.plans["desk"].catalogue.drills[0].passed is False


def test_a_dump_that_another_process_has_just_made_is_not_made_again(tmp_path: Path) -> None:
    """Between this pass's listing and the lock another process filled the slot: the look under the lock shows it."""
    world = Installation(tmp_path, ORDERS)
    seen = world.reconciler.look()
    (cut,) = [a for a in seen.plans["desk"].actions if isinstance(a, Cut)]
    with world.locks.held("desk.orders", "another daemon"):
        scene = Scene(seen.plans["desk"].policy.resources[0], seen.plans["desk"].catalogue, seen.world, ())
        world.hands.carry_out(cut, scene)
    assert world.reconciler._start([cut], seen) == ()
    assert world.hands.started == []
    assert world.locks.holder("desk.orders") == ""
    again = world.run(3)
    assert len(again.plans["desk"].catalogue.points) == 1


def test_a_fault_about_one_application_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    broken = world.policies[0].application
    real = world.reconciler.observer.catalogue

    def catalogue(policy: Policy, *seen: Any) -> Any:
        if policy.application == broken:
            raise IndexError("something nobody thought of")
        return real(policy, *seen)

    monkeypatch.setattr(world.reconciler.observer, "catalogue", catalogue)
    seen = world.reconciler.look()
    assert "IndexError" in seen.faults[broken]
    assert set(seen.plans) == {policy.application for policy in world.policies} - {broken}
