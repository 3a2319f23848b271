"""The loop and the snapshots that an account may have in a region: counted before the call, never made room for."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import AWAY, HOME, LEDGER, SEATS, VOLUMES, Installation, outcomes

from drorch.app.once import run_once
from drorch.domain.action import Cut, Hold
from drorch.domain.errors import Busy
from drorch.domain.native import Source
from drorch.domain.snapshot_room import FULL


def full(world: Installation) -> list[Hold]:
    assert world.seen is not None
    return [hold for hold in world.seen.holds if hold.alarm == FULL]


def test_a_cut_that_would_not_fit_is_held_with_the_numbers_and_never_asked_for(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER, VOLUMES)
    world.cloud.most_snapshots["us-east-1"] = 0
    calls = world.calls("rds-instance", "cut")
    world.run(4)
    assert calls() == 0
    (hold,) = full(world)
    assert (hold.application, hold.resource, hold.vault) == ("bank", "ledger", HOME)
    assert f"{HOME} has 0 of 0 manual snapshots of rds-instance, everybody's counted" in hold.reason
    assert "ask AWS for a higher quota, keep fewer" in hold.reason
    assert len(world.snapshots(AWAY)) == 1, "volumes know no such limit"


def test_a_run_that_could_not_cut_for_want_of_room_says_so_by_its_exit_code(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-east-1"] = 0
    report = run_once(world.reconciler, world.clock)
    assert report.exit_code == 4
    assert any("0 of 0 manual snapshots" in problem for problem in report.problems)


def test_once_there_is_room_it_is_cut_at_the_next_pass(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-east-1"] = 0
    world.run(2)
    world.cloud.most_snapshots["us-east-1"] = 1
    world.quiet()
    assert len(world.snapshots(HOME)) == 1
    assert full(world) == []


def test_a_copy_into_a_full_region_is_held_and_the_cut_said_so_beforehand(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-west-2"] = 0
    (cut,) = [a for a in world.reconciler.look().plans["bank"].actions if isinstance(a, Cut)]
    assert f"its copy will have to wait: {AWAY} has 0 of 0 manual snapshots" in cut.reason
    calls = world.calls("rds-instance", "copy")
    world.run(5)
    assert calls() == 0
    assert [hold.vault for hold in full(world)] == [AWAY]
    assert len(world.snapshots(HOME)) == 1
    world.cloud.most_snapshots["us-west-2"] = 1
    world.quiet()
    assert len(world.snapshots(AWAY)) == 1


def test_no_more_are_begun_than_there_is_room_for_over_all_applications(tmp_path: Path) -> None:
    texts = [LEDGER.replace("bank", f"bank{n}").replace("shop-ledger", f"ledger-{n}") for n in range(4)]
    world = Installation(tmp_path, *texts)
    world.cloud.put_sources("rds", "prod", "us-east-1", [Source(f"ledger-{n}") for n in range(4)])
    world.cloud.most_snapshots["us-east-1"] = 3
    calls = world.calls("rds-instance", "cut")
    world.run(5)
    assert calls() == 3
    assert len(full(world)) == 1
    assert len(world.snapshots(HOME)) == 3


def test_instances_and_clusters_do_not_take_each_others_room(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER, SEATS)
    world.cloud.most_snapshots |= {"us-east-1": 1, "us-west-2": 1}
    world.quiet()
    assert len(world.snapshots(HOME)) == len(world.snapshots(AWAY)) == 2


def test_what_aws_refuses_for_want_of_room_waits_and_is_no_failure(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-east-1"] = 0
    world.faults("rds-instance").order("snapshot_rooms", "before", times=99)
    calls = world.calls("rds-instance", "cut")
    world.run(4)
    assert calls() == 1
    assert outcomes(world, "cut") == {"busy": 1}
    (hold,) = full(world)
    assert "AWS refused another manual snapshot of rds-instance" in hold.reason
    assert "Cannot create more than 0 manual snapshots" in hold.reason and "next try at" in hold.reason
    assert not [h for h in world.seen.holds if h.alarm == "cut-failed"]  # type: ignore[union-attr]
    world.cloud.most_snapshots["us-east-1"] = 9
    world.clock.turn(minutes=15)
    world.quiet()
    assert len(world.snapshots(HOME)) == 1


def test_a_copy_that_aws_refuses_for_want_of_room_does_not_close_the_queue_of_copies(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-west-2"] = 0
    world.faults("rds-instance").order("snapshot_rooms", "before", times=99)
    world.run(5)
    assert outcomes(world, "copy") == {"busy": 1}
    assert [hold.vault for hold in full(world)] == [AWAY]


def test_what_cannot_be_counted_is_tried(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.cloud.most_snapshots["us-east-1"] = 5
    world.faults("rds-instance").order("snapshot_rooms", "before", times=99)
    world.quiet()
    assert len(world.snapshots(HOME)) == len(world.snapshots(AWAY)) == 1


def test_snapshots_are_counted_only_while_something_is_due(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.quiet()
    calls = world.calls("rds-instance", "snapshot_rooms")
    world.run(3)
    assert calls() == 0
    world.clock.turn(days=1)
    world.once()
    assert calls() == 2, "one for each region"


def test_nothing_is_let_go_of_to_make_room(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGER)
    world.quiet()
    world.cloud.most_snapshots["us-east-1"] = 1
    calls = world.calls("rds-instance", "expire")
    for _ in range(6):
        world.clock.turn(days=1)
        world.run(3)
    assert calls() == 0
    assert len(world.snapshots(HOME)) == 1
    assert [hold.vault for hold in full(world)] == [HOME]


@pytest.mark.parametrize(
    ("words", "room"),
    [
        ("SnapshotQuotaExceeded: Cannot create more than 100 manual snapshots", True),
        ("SnapshotQuotaExceeded: said in words of tomorrow", True),
        ("SnapshotQuotaExceeded: Cannot copy more than 20 snapshots across regions", False),
        ("Throttling: Rate exceeded", False),
    ],
)
def test_a_copy_that_waits_for_a_place_is_told_from_one_that_waits_for_room(
    tmp_path: Path, words: str, room: bool
) -> None:
    world = Installation(tmp_path, LEDGER)
    refuse = Busy("AWS is busy", cause=words)

    def refused() -> None:
        raise refuse

    world.faults("rds-instance").order("copy", refused, times=99)
    world.run(6)
    assert outcomes(world, "copy")["busy"] >= 1
    assert bool(full(world)) is room
