"""Keys over days: when they are asked about, what comes of their answers, and that all of it mends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from worlds import AWAY, VOLUMES, Installation, outcomes

from drorch.domain.action import Hold
from drorch.domain.model import Copy, CopyState

KEY = "alias/dr"
KEYED = VOLUMES.replace("{region: us-west-2}", f"{{region: us-west-2, kms_key: {KEY}}}")
BOTH = VOLUMES.replace(
    "[{region: us-west-2}]", f"[{{region: us-west-2, kms_key: {KEY}}}, {{region: eu-central-1, kms_key: {KEY}}}]"
)
WHERE = ("prod", "us-west-2", KEY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, KEYED, pending_for=1)
    made.cloud.put_key(*WHERE)
    yield made
    made.reconciler.close()


def alarms(world: Installation) -> set[str]:
    assert world.seen is not None
    return {f"{hold.alarm} {hold.vault}" for hold in world.seen.holds if hold.alarm}


def the_hold(world: Installation, alarm: str = "kms-key") -> Hold:
    assert world.seen is not None
    return next(hold for hold in world.seen.holds if hold.alarm == alarm)


def copies(world: Installation, vault: str = AWAY) -> list[Copy]:
    assert world.seen is not None
    points = world.seen.plans["shop"].catalogue.points
    return [copy for point in points if (copy := point.copy_in(vault)) is not None]


def test_a_key_is_asked_about_once_a_day(world: Installation) -> None:
    world.run(passes=10, minutes=60)
    assert world.keys.asked == [WHERE]
    world.run(passes=16, minutes=60)
    assert world.keys.asked == [WHERE] * 2
    world.restart()
    world.run(passes=2)
    assert world.keys.asked == [WHERE] * 2, "what is known outlives the process"


def test_without_its_cache_a_host_asks_anew_and_plans_the_same(world: Installation) -> None:
    world.cloud.put_key(*WHERE, state="Disabled")
    world.once()
    before = the_hold(world).reason
    world.restart(without=["cache"])
    world.once()
    assert the_hold(world).reason == before


def test_a_disabled_key_holds_copies_until_it_is_enabled_again(world: Installation) -> None:
    world.cloud.put_key(*WHERE, state="Disabled")
    world.run(passes=8)
    assert alarms(world) == {f"kms-key {AWAY}"}
    assert "KeyState is Disabled" in the_hold(world).reason and "enabled, symmetric key" in the_hold(world).reason
    assert not outcomes(world, "copy")
    assert world.reconciler.outcomes["cut", "done"] == 1, "cuts go on"
    world.cloud.put_key(*WHERE)
    world.run(passes=20, minutes=1)
    assert not alarms(world) and [copy.state for copy in copies(world)] == [CopyState.USABLE]


def test_a_key_that_is_missing_in_one_region_touches_no_other(tmp_path: Path) -> None:
    world = Installation(tmp_path, BOTH, pending_for=1)
    world.cloud.put_key(*WHERE)
    world.run(passes=8)
    assert alarms(world) == {"kms-key prod.eu-central-1"}
    assert "there is no such key in eu-central-1" in the_hold(world).reason
    assert [copy.state for copy in copies(world)] == [CopyState.USABLE]
    world.reconciler.close()


def test_a_key_that_cannot_be_asked_about_is_no_wrong_key(world: Installation) -> None:
    world.keys.silent = True
    world.run(passes=8)
    assert not alarms(world) and [copy.state for copy in copies(world)] == [CopyState.USABLE]


def test_what_was_known_stays_known_while_nobody_answers(world: Installation) -> None:
    world.cloud.put_key(*WHERE, state="Disabled")
    world.once()
    world.keys.silent = True
    world.run(passes=4, minutes=20)
    assert alarms(world) == {f"kms-key {AWAY}"}


def test_encrypted_volumes_without_a_key_are_told_before_the_first_cut(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, pending_for=1)
    world.cloud.put_key("prod", "us-east-1", "arn:home")
    volume = replace(world.volume("vol-1"), encrypted=True, kms_key="arn:home")
    world.cloud.put_sources("ec2", "prod", "us-east-1", [volume])
    assert [h.alarm for h in world.reconciler.look().holds] == ["kms-key-missing"]
    world.run(passes=6)
    assert alarms(world) == {f"kms-key-missing {AWAY}"} and not outcomes(world, "copy")
    world.reconciler.close()


# --- failures minutes later ------------------------------------------------------------------------------------------


def test_a_key_disabled_while_a_copy_is_under_way_is_found_at_once(world: Installation) -> None:
    world.cloud.pending_for = None
    world.once()
    world.cloud.finish()
    world.run(passes=2)
    assert [copy.state for copy in copies(world)] == [CopyState.PENDING]
    world.cloud.put_key(*WHERE, state="Disabled")
    world.cloud.finish()
    asked = len(world.keys.asked)
    world.once()
    assert copies(world)[0].why.endswith("Given key ID is not accessible")
    assert len(world.keys.asked) > asked, "the failure has the key asked about, whatever the day's answer was"
    assert "KeyState is Disabled" in the_hold(world).reason
    world.run(passes=5, minutes=70)
    assert world.reconciler.outcomes["copy", "done"] == 1, "it does not fail every hour"
    world.cloud.put_key(*WHERE)
    world.cloud.pending_for = 1
    world.run(passes=5, minutes=20)
    assert [copy.state for copy in copies(world)] == [CopyState.USABLE] and not alarms(world)


# --- keys of copies that exist ---------------------------------------------------------------------------------------


def test_a_copy_whose_key_is_disabled_counts_no_more_until_it_is_enabled(world: Installation) -> None:
    world.run(passes=8)
    world.cloud.put_key(*WHERE, state="PendingDeletion")
    world.run(passes=2, minutes=24 * 60)
    assert world.seen is not None
    shut = [copy for copy in copies(world) if copy.shut]
    assert shut and all(copy.shown == "failed" and not copy.usable for copy in shut)
    assert (
        f"its key {KEY} is to be deleted"
        in {h.reason for h in world.seen.holds if "cannot be restored" in h.reason}.pop()
    )  # type: ignore[union-attr]
    held = {s.native_id for s in world.cloud.snapshots() if s.region == "us-west-2"}
    world.cloud.put_key(*WHERE)
    world.run(passes=4, minutes=20)
    assert not any(copy.shut for copy in copies(world))
    assert held <= {s.native_id for s in world.cloud.snapshots()}, "nothing was let go meanwhile"


# --- a source that is deleted while it is copied ---------------------------------------------------------------------


def test_a_source_deleted_while_it_is_copied_is_told_and_another_copy_takes_its_place(tmp_path: Path) -> None:
    third = "prod.eu-central-1"
    world = Installation(
        tmp_path, VOLUMES.replace("[{region: us-west-2}]", "[{region: us-west-2}, {region: eu-central-1}]")
    )
    world.cloud.pending_for = None
    world.once()
    world.cloud.finish()
    world.run(passes=2)
    source, *begun = world.cloud.snapshots()
    assert {s.region for s in begun} == {"us-west-2", "eu-central-1"}
    west = next(s for s in begun if s.region == "us-west-2")
    place = world.cloud._place("ec2", "prod", "us-west-2")
    world.cloud._settle(place, west.native_id, "")
    world.once()
    world.cloud.remove(source)
    world.cloud.finish()
    world.once()
    assert "source deleted before the copy was done" in the_hold(world, "copy-failed").reason
    world.clock.turn(minutes=70)
    world.cloud.pending_for = 1
    world.run(passes=6)
    made = [s for s in world.cloud.snapshots() if s.region == "eu-central-1" and s.state == "usable"]
    assert len(made) == 1 and made[0].tags["drorch:source"] == source.native_id
    assert [copy.state for copy in copies(world, third)] == [CopyState.USABLE]
    assert world.seen is not None and not [h for h in world.seen.holds if h.alarm == "oddity"]
    world.reconciler.close()
