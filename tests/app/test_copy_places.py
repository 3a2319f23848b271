"""The loop and the places of copies: everybody's counted, waiting is no failure, nothing is copied twice."""

from __future__ import annotations

from pathlib import Path

from worlds import AWAY, HOME, VOLUMES, Installation, outcomes, policies

from drorch.app.once import run_once
from drorch.app.report import plan_json
from drorch.domain.action import Copy, Waiting
from drorch.domain.admit import Limits
from drorch.domain.errors import Busy

SHORT = VOLUMES.replace("schedule:", "objectives: {region: {rpo: 26h}}\n        schedule:").replace(
    "schedule: {every: 1d}", "schedule: {every: 12h}"
)


def crowd(count: int) -> tuple[str, ...]:
    """Applications that protect one volume each."""
    return tuple(VOLUMES.replace("shop\n", f"shop{n}\n", 1).replace("app: shop", f"app: shop{n}") for n in range(count))


def crowded(tmp_path: Path, count: int, *, pending_for: int | None = 1) -> Installation:
    world = Installation(tmp_path, *crowd(count), pending_for=pending_for)
    volumes = [world.volume(f"vol-{n}") for n in range(count)]
    for n, volume in enumerate(volumes):
        volumes[n] = type(volume)(volume.source_id, bytes=volume.bytes, tags={"app": f"shop{n}"})
    world.cloud.put_sources("ec2", "prod", "us-east-1", volumes)
    return world


def waiting(world: Installation) -> list[Waiting]:
    assert world.seen is not None
    return [w for w in world.seen.waiting if isinstance(w.action, Copy)]


def no_place() -> None:
    raise Busy("no place, and no word of how many there are")


def cut_everything(world: Installation) -> None:
    """Every point is cut and usable at home, nothing is copied yet."""
    world.cloud.foreign_copies["us-west-2"] = 99
    world.run(3)
    world.cloud.finish()
    assert not world.snapshots(AWAY)


def test_no_more_copies_are_begun_than_places_are_left_by_others(tmp_path: Path) -> None:
    world = crowded(tmp_path, 8, pending_for=None)
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 17
    world.run(1)
    assert len(world.snapshots(AWAY)) == 3
    world.run(3)
    assert len(world.snapshots(AWAY)) == 3
    assert [w.place for w in waiting(world)] == [1, 2, 3, 4, 5]
    assert "20 of 20 ec2 copies into prod.us-west-2 are under way, 17 of them not of this site" in waiting(world)[0].why
    assert outcomes(world, "copy") == {"done": 3}


def test_in_the_end_every_copy_is_made_once_and_none_has_failed(tmp_path: Path) -> None:
    world = crowded(tmp_path, 8)
    world.cloud.copy_places["us-west-2"] = 20
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 18
    world.quiet()
    assert len(world.snapshots(AWAY)) == 8
    assert outcomes(world, "copy") == {"done": 8}
    world.check_whole()


def test_a_refusal_that_names_the_quota_is_heeded_from_the_next_pass_on(tmp_path: Path) -> None:
    world = crowded(tmp_path, 8, pending_for=None)
    world.cloud.copy_places["us-west-2"] = 3
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 0
    world.run(1)
    assert len(world.snapshots(AWAY)) == 3
    calls = world.calls("ebs", "copy")
    seen = world.run(6)
    assert calls() == 0
    assert outcomes(world, "copy") == {"done": 3, "busy": 5}
    assert "3 of 3 ec2 copies" in waiting(world)[0].why
    assert not [hold for hold in seen.holds if hold.alarm == "copy-failed"]


def test_after_a_refusal_without_a_number_one_copy_a_pass_is_tried(tmp_path: Path) -> None:
    world = crowded(tmp_path, 8, pending_for=None)
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 0
    world.faults("ebs").order("copy", no_place, times=99)
    world.run(1)
    calls = world.calls("ebs", "copy")
    world.run(1)
    assert calls() == 1
    world.faults("ebs").clear()
    world.run(2)
    assert len(world.snapshots(AWAY)) == 8


def test_while_others_copies_cannot_be_counted_nothing_is_begun(tmp_path: Path) -> None:
    world = crowded(tmp_path, 2, pending_for=None)
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 0
    world.faults("ebs").order("pending_copies", "before")
    world.once()
    assert not world.snapshots(AWAY)
    assert "is not known" in waiting(world)[0].why
    world.run(2)
    assert len(world.snapshots(AWAY)) == 2


def test_copies_whose_reply_was_lost_take_their_places_before_they_show(tmp_path: Path) -> None:
    world = crowded(tmp_path, 3, pending_for=None)
    cut_everything(world)
    world.reconciler._limits = Limits(copies={"ec2": 1})
    world.cloud.foreign_copies["us-west-2"] = 0
    world.faults("ebs").order("copy", "after")
    world.kinds["ebs"].stale(3)
    world.run(3)
    assert len(world.snapshots(AWAY)) == 1


def test_one_point_of_a_resource_is_copied_at_a_time(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, pending_for=None)
    cut_everything(world)
    world.clock.turn(days=1)
    world.run(3)
    world.cloud.finish()
    world.cloud.foreign_copies["us-west-2"] = 0
    world.run(2)
    first = world.snapshots(AWAY)
    assert len(first) == 1
    newest = world.reconciler.look().plans["shop"].catalogue.points[0]
    assert first[0].tags["drorch:point"] != newest.id  # without a promise the oldest goes first
    world.once()
    assert "of the same source, goes first" in waiting(world)[0].why
    world.cloud.finish()
    world.run(2)
    assert len(world.snapshots(AWAY)) == 2


def test_where_a_promise_waits_the_newest_point_goes_first(tmp_path: Path) -> None:
    world = Installation(tmp_path, SHORT, pending_for=None)
    cut_everything(world)
    world.clock.turn(days=1)
    world.run(3)
    world.cloud.finish()
    world.cloud.foreign_copies["us-west-2"] = 0
    world.run(1)
    newest = world.reconciler.look().plans["shop"].catalogue.points[0]
    assert [s.tags["drorch:point"] for s in world.snapshots(AWAY)] == [newest.id]


def test_a_set_is_copied_in_instalments_when_places_are_few(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, pending_for=1)
    world.cloud.put_sources("ec2", "prod", "us-east-1", [world.volume(f"vol-{n}") for n in range(3)])
    cut_everything(world)
    world.cloud.foreign_copies["us-west-2"] = 18
    world.run(1)
    assert len(world.snapshots(AWAY)) == 2
    world.quiet()
    assert len(world.snapshots(AWAY)) == 3
    assert outcomes(world, "copy") == {"done": 2}
    world.check_whole()


def test_a_run_that_leaves_copies_in_the_queue_says_so_and_does_not_end_with_0(tmp_path: Path) -> None:
    world = crowded(tmp_path, 2)
    cut_everything(world)
    world.restart()
    told = run_once(world.reconciler, world.clock)
    assert told.exit_code == 4
    assert len(told.pending) == 2 and "waits, place 1: 99 of 20 ec2 copies" in told.pending[0]
    world.cloud.foreign_copies.clear()
    assert run_once(world.reconciler, world.clock).exit_code == 0
    assert len(world.snapshots(AWAY)) == 2


def test_others_are_listed_only_when_a_copy_is_due_once_however_many_applications_wait(tmp_path: Path) -> None:
    world = crowded(tmp_path, 5)
    cut_everything(world)
    calls = world.calls("ebs", "pending_copies")
    world.once()
    assert calls() == 1
    world.cloud.foreign_copies.clear()
    world.quiet()
    calls = world.calls("ebs", "pending_copies")
    world.run(2)
    assert calls() == 0


def test_the_plan_says_who_waits_at_which_place_and_for_what(tmp_path: Path) -> None:
    world = crowded(tmp_path, 3)
    cut_everything(world)
    world.restart()
    seen = world.reconciler.look()
    told = plan_json(seen.at, seen.plans, world.reconciler.admitted(seen).wait)
    actions = told["actions"]
    assert isinstance(actions, list)
    copies = [action for action in actions if action["action"] == "copy"]
    assert sorted(action["waiting"]["place"] for action in copies) == [1, 2, 3]
    assert all("99 of 20 ec2 copies into" in action["waiting"]["reason"] for action in copies)
    assert all(action["kind"] == "ebs" and action["places"] == 1 and action["source"] == HOME for action in copies)


def test_a_promise_that_breaks_sooner_is_copied_sooner(tmp_path: Path) -> None:
    texts = [
        text.replace("schedule:", f"objectives: {{region: {{rpo: {rpo}}}}}\n        schedule:")
        for text, rpo in zip(crowd(3), ("60h", "40h", "50h"), strict=True)
    ]
    world = crowded(tmp_path, 3, pending_for=None)
    world.policies = policies(*texts)
    for _ in range(4):
        world.run(1)
        world.cloud.finish()
    world.clock.turn(days=1)
    world.cloud.foreign_copies["us-west-2"] = 99
    world.run(2)
    world.cloud.finish()
    world.once()
    assert [w.action.application for w in waiting(world)] == ["shop1", "shop2", "shop0"]
