"""Whatever fails on the way, in the end every slot has one kept point in every vault, and nothing was made twice."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from faults import Fault
from worlds import AWAY, EU, EVERYTHING, HOME, LEDGER, ORDERS, VOLUMES, WEST, Installation, outcomes

from drorch.app.passing import Guards
from drorch.domain.action import EXECUTABLE, Action, Copy, Cut, Drill, Keep, Replicate, Ship, WriteRecord

# --- several faults of one action (one of each sort: test_fault_matrix) ---------------------------------------------

FAULTS: list[tuple[type[Action], str, str, Fault]] = [
    (Cut, "ebs", "cut", "before"),
    (Cut, "ebs", "cut", "after"),
    (Cut, "ebs", "find", "before"),
    (Cut, "rds-instance", "cut", "before"),
    (Cut, "rds-instance", "cut", "after"),
    (Cut, WEST, "commit", "before"),
    (Cut, WEST, "commit", "after"),
    (Cut, EU, "put", "before"),
    (Cut, EU, "put", "after"),
    (Cut, EU, "upload", "before"),
    (Copy, "ebs", "copy", "before"),
    (Copy, "ebs", "copy", "after"),
    (Copy, "rds-instance", "copy", "before"),
    (Copy, "rds-instance", "copy", "after"),
    (WriteRecord, WEST, "put", "before"),
    (WriteRecord, WEST, "put", "after"),
    (Replicate, WEST, "put", "before"),
    (Replicate, WEST, "put", "after"),
    (Replicate, WEST, "read", "short"),
    (Replicate, EU, "read", "flip"),
    (Ship, WEST, "put", "before"),
    (Ship, WEST, "put", "after"),
    (Ship, WEST, "commit", "after"),
    (Ship, EU, "read", "flip"),
    (Drill, EU, "read", "short"),
    (Drill, EU, "put", "before"),
    (Drill, WEST, "put", "after"),
]


def short_of(world: Installation, action: type[Action]) -> None:
    """Bring the world to where `action` is what is wanted next."""
    if action in (Ship, Replicate):
        world.stores[WEST].faults.black_hole()
        world.run(4)
        world.stores[WEST].faults.recover()
    elif action is not Cut:
        for _ in range(12):
            world.cloud.finish()
            if world.actions(world.reconciler.look(), action):
                return
            world.run(1)
        raise AssertionError(f"no {action.name} was ever wanted")


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("action", "where", "method", "fault"), FAULTS)
def test_after_any_fault_of_any_action_the_world_becomes_whole(
    tmp_path: Path, action: type[Action], where: str, method: str, fault: Fault, times: int
) -> None:
    world = Installation(tmp_path, *EVERYTHING)
    short_of(world, action)
    if method == "find":  # the look before acting is taken when a reply was lost and nothing shows for long
        world.run(1)
        world.clock.turn(days=1)
        world.kinds[where].stale(8)
        world.faults(where).order("cut", "after")
    world.faults(where).order(method, fault, times=times)
    world.quiet()
    assert world.faults(where).met[method], "the fault was never met"
    slots = 2 if method == "find" else 1
    world.check_whole(slots)
    assert len(world.snapshots(HOME)) == len(world.snapshots(AWAY)) == 2 * slots


@pytest.mark.parametrize("passes", [1, 2, 4])
@pytest.mark.parametrize("text", [VOLUMES, LEDGER])
@pytest.mark.parametrize("lost_reply", ["cut", "copy", ""])
def test_stale_listings_make_nothing_twice(tmp_path: Path, text: str, passes: int, lost_reply: str) -> None:
    """Each pass makes two listings; the clock turns a minute at a time, a stale listing lasts less than settling."""
    world = Installation(tmp_path, text)
    kind = world.kinds["ebs" if text is VOLUMES else "rds-instance"]
    world.once()  # an empty listing of both regions, and a cut
    if lost_reply:
        kind.faults.order(lost_reply, "after", times=2)
    for _ in range(12):
        kind.stale(passes)
        world.run(passes // 2 + 2, minutes=0.5)
    world.quiet()
    world.check_whole()
    assert len(world.cloud.snapshots()) == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_week_ends_whole(tmp_path: Path, seed: int) -> None:
    """Faults at random, restarts that lose the state folder at random, a point a day."""
    rng = random.Random(seed)
    world = Installation(tmp_path, *EVERYTHING)
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume("vol-1", "i-1"), world.volume("vol-2")])
    asked = {resource.kind for policy in world.policies for resource in policy.resources}
    places = [*(name for name in world.kinds if name in asked), *world.stores]
    for day in range(1, 4):
        for _ in range(12):
            for name in places:
                faults = world.faults(name)
                method = rng.choice(["cut", "copy", "snapshots", "sources", "find", "list", "put", "commit", "read"])
                fault: Fault = rng.choice(["before", "after"] if method in ("cut", "copy", "put") else ["before"])
                if rng.random() < 0.3:
                    faults.order(method, fault, times=rng.randint(1, 2))
            world.run(2, minutes=rng.choice([0.2, 6, 20]))
            if rng.random() < 0.2:
                world.restart(without=rng.choice([(), ("cache",)]))
        for name in places:
            world.faults(name).clear()
        world.quiet(minutes=15)
        world.check_whole(slots=day)
        world.clock.present = world.clock.present.replace(hour=12, minute=0)
        world.clock.turn(days=1)
    assert len(world.snapshots(HOME)) == len(world.snapshots(AWAY)) == 3 * 3


def slot_filled_out_of_sight(tmp_path: Path) -> Installation:
    """The only vault that has the slot's dump cannot be read by a new process that remembers nothing of it."""
    world = Installation(tmp_path, ORDERS.partition("        drill:")[0], guards=Guards(grace=timedelta(days=1)))
    world.stores[EU].faults.black_hole()
    world.run(2)
    world.stores[WEST].faults.black_hole()
    world.stores[EU].faults.recover()
    world.restart(without=("cache",))
    world.run(2)
    world.stores[WEST].faults.recover()
    return world


def test_an_id_is_never_given_to_a_second_dump(tmp_path: Path) -> None:
    world = slot_filled_out_of_sight(tmp_path)
    manifests = [path for name in world.stores for path in world.memory(name).objects if path.endswith("manifest.json")]
    first, second = (path.split("/")[-2] for path in sorted(manifests))
    assert first.partition("-")[2] != second.partition("-")[2]


def test_of_two_dumps_of_a_slot_the_earlier_fills_it_and_the_other_goes_once_it_is_not_the_newest(
    tmp_path: Path,
) -> None:
    world = slot_filled_out_of_sight(tmp_path)
    seen = world.quiet()
    world.check_whole()
    second, first = seen.plans["desk"].catalogue.of("orders")
    assert {c.vault for c in first.copies} == {WEST, EU} and {c.vault for c in second.copies} == {EU}
    why = {a.reason for a in world.actions(seen, Keep) if a.point == second.id}
    assert why == {"the newest usable point of a vault always stays, a duplicate or not"}
    for day in (2, 3):
        world.clock.turn(days=1)
        seen = world.quiet()
        world.check_whole(slots=day)
    assert second.id not in {point.id for point in seen.plans["desk"].catalogue.points}
    assert first.id in {point.id for point in seen.plans["desk"].catalogue.points}


# --- several members -----------------------------------------------------------------------------------------------


def test_a_cut_of_several_calls_that_fails_in_between_is_completed_never_repeated(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    volumes = [world.volume(f"vol-{number}", "i-1" if number < 3 else "") for number in range(1, 5)]
    world.cloud.put_sources("ec2", "prod", "us-east-1", volumes)
    world.kinds["ebs"].faults.order("cut", "before", after=1)
    world.quiet()
    world.check_whole()
    assert sorted(s.source_id for s in world.snapshots(HOME)) == ["vol-1", "vol-2", "vol-3", "vol-4"]
    assert len(world.snapshots(AWAY)) == 4
    assert outcomes(world, "cut") == {"unavailable": 1, "done": 1}


def test_a_volume_swapped_between_two_calls_does_not_make_a_point_that_is_not_whole(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume("vol-1"), world.volume("vol-2")])
    world.kinds["ebs"].faults.order("cut", "before", after=1)
    world.once()
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume("vol-2"), world.volume("vol-3")])
    world.run(10)
    point = world.reconciler.look().plans["shop"].catalogue.points[0]
    assert not point.usable
    assert outcomes(world, "cut")["refused"] >= 1
    world.clock.turn(days=1)
    world.run(10)
    newest = world.reconciler.look().plans["shop"].catalogue.points[0]
    assert newest.usable
    assert {m.source_id for c in newest.copies if c.vault == HOME for m in c.members} == {"vol-2", "vol-3"}


def test_copy_places_that_are_taken_make_a_copy_wait_not_fail(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.cloud.copy_places["us-west-2"] = 1
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume(f"vol-{n}") for n in range(3)])
    seen = world.quiet()
    assert "copy-failed" not in {hold.alarm for hold in seen.holds}
    assert set(outcomes(world, "copy")) == {"busy", "done"}
    assert len(world.snapshots(AWAY)) == 3
    world.check_whole()


def test_a_copy_that_fails_at_the_provider_is_made_again_an_hour_later_not_at_every_pass(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    for _ in range(6):
        world.run(1)
        for snapshot in world.snapshots(AWAY):
            world.cloud.fail(snapshot, "Given key ID is not accessible")
    assert len(world.snapshots(AWAY)) == 1
    world.restart(without=("cache", "intents"))
    seen = world.run(20)
    assert len(world.snapshots(AWAY)) == 1
    assert [hold.alarm for hold in seen.holds if "Given key" in hold.reason] == ["copy-failed"]
    world.clock.turn(hours=1)
    world.quiet()
    world.check_whole()


def test_a_copy_of_several_members_of_which_one_failed_makes_that_one_again(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.run(3)
    world.cloud.fail(world.snapshots(AWAY)[0], "status failed")
    world.clock.turn(hours=1)
    world.quiet()
    assert sorted(s.native_id.rpartition("-")[2] for s in world.snapshots(AWAY)) == ["1", "2"]
    world.check_whole()


def test_an_identifier_that_a_failed_copy_has_taken_is_left_to_it(tmp_path: Path) -> None:
    """The first copy failed and was removed, the second failed: the third has a number of its own."""
    world = Installation(tmp_path, LEDGER)
    world.run(3)
    for _ in range(2):
        for snapshot in world.snapshots(AWAY):
            world.cloud.fail(snapshot, "status failed")
        world.clock.turn(hours=2)
        world.run(2)
    first, second = sorted(world.snapshots(AWAY), key=lambda s: s.native_id)[:2]
    for snapshot in world.snapshots(AWAY):
        if snapshot.native_id not in (first.native_id, second.native_id):
            world.cloud.fail(snapshot, "status failed")
    world.cloud.remove(first)
    world.clock.turn(hours=2)
    world.quiet()
    world.check_whole()


def test_a_cut_that_failed_at_the_provider_is_followed_by_another_attempt_with_back_off(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.once()
    world.cloud.fail(world.snapshots(HOME)[0], "an error")
    world.clock.turn(minutes=1)
    assert not world.actions(world.once(), Cut)
    world.clock.turn(minutes=5)
    cut = world.actions(world.once(), Cut)[0]
    assert isinstance(cut, Cut) and cut.attempt == 2
    world.quiet()
    world.check_whole()


def test_a_point_somebody_deleted_everywhere_is_cut_again_in_its_slot(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    for snapshot in world.cloud.snapshots():
        world.cloud.remove(snapshot)
    world.quiet()
    world.check_whole()


def test_a_copy_somebody_deleted_is_made_again_from_home(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    world.quiet()
    for snapshot in world.snapshots(AWAY):
        world.cloud.remove(snapshot)
    world.quiet()
    world.check_whole()
    assert len(world.snapshots(AWAY)) == 2


def test_a_home_snapshot_somebody_deleted_is_not_cut_again_while_its_copy_lives(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    world.cloud.remove(world.snapshots(HOME)[0])
    seen = world.run(4)
    assert not world.actions(seen, *EXECUTABLE)
    assert [a.vault for a in world.actions(seen, Keep)] == [AWAY]
