"""An intermediate copy from its beginning to its end: made, copied on, let go of, through crashes, and never a copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from worlds import HOME, VOLUMES, Installation

from drorch.domain.action import Sweep
from drorch.domain.native import NativeSnapshot
from drorch.domain.policy import VaultRule

FAR, KEY, DEFAULT = "vault.us-west-2", "alias/dr", "aws/ebs"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Installation]:
    """Copies cross accounts here."""
    made = Installation(tmp_path, VOLUMES, pending_for=1)
    (policy,) = made.policies
    (volumes,) = policy.resources
    home, away = volumes.targets
    far = VaultRule(vault=FAR, keep=away.keep, kms_key=KEY)
    made.policies = (policy.model_copy(update={"resources": (volumes.model_copy(update={"targets": (home, far)}),)}),)
    encrypted = [replace(made.volume(name), encrypted=True, kms_key=DEFAULT) for name in ("vol-1", "vol-2")]
    made.cloud.put_sources("ec2", "prod", "us-east-1", encrypted)
    made.cloud.put_key("prod", "us-east-1", DEFAULT, manager="AWS")
    made.cloud.put_key("prod", "us-east-1", KEY)
    made.cloud.put_key("vault", "us-west-2", KEY)
    yield made
    made.reconciler.close()


def steps(world: Installation) -> list[NativeSnapshot]:
    return [s for s in world.cloud.snapshots() if "drorch:intermediate" in s.tags]


def far(world: Installation) -> list[NativeSnapshot]:
    return [s for s in world.cloud.snapshots() if s.account == "vault"]


def home(world: Installation) -> list[NativeSnapshot]:
    return [s for s in world.cloud.snapshots() if s.account == "prod" and s not in steps(world)]


def until_made(world: Installation, most: int = 12) -> None:
    while not steps(world):
        world.once()
        world.clock.turn(minutes=1)
        most -= 1
        assert most


def test_it_is_made_copied_on_and_let_go_of(world: Installation) -> None:
    until_made(world)
    assert {s.kms_key for s in steps(world)} == {KEY}
    assert {s.tags["drorch:source"] for s in steps(world)} == {s.native_id for s in home(world)}
    seen = world.once()
    (point,) = seen.plans["shop"].catalogue.points
    assert [copy.vault for copy in point.copies] == [HOME] and len(point.copies[0].members) == 2
    world.quiet()
    assert not steps(world) and len(home(world)) == 2
    assert {s.tags["drorch:source"] for s in far(world)} == {s.native_id for s in home(world)}
    assert {s.state for s in far(world)} == {"usable"} and len(far(world)) == 2
    assert world.seen is not None and not [hold for hold in world.seen.holds if hold.alarm]
    (point,) = world.seen.plans["shop"].catalogue.points
    assert all(copy.usable and copy.recorded_in for copy in point.copies) and len(point.copies) == 2


@pytest.mark.parametrize("without", [(), ("cache",), ("intents",), ("cache", "intents")])
def test_a_new_process_goes_on_where_the_old_one_was(world: Installation, without: tuple[str, ...]) -> None:
    until_made(world)
    for _ in range(8):
        world.reconciler.close()
        world.restart(without=without)
        world.run(passes=2, minutes=6)
    world.quiet()
    assert not steps(world) and len(far(world)) == 2 and len(home(world)) == 2


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_lost_reply_makes_no_second_one(world: Installation, fault: str) -> None:
    world.kinds["ebs"].faults.order("copy", fault, after=1)  # type: ignore[arg-type]
    made: set[str] = set()
    for _ in range(30):
        world.once()
        made |= {s.native_id for s in steps(world)}
        world.clock.turn(minutes=2)
    world.quiet()
    assert len(made) == 2 and len(far(world)) == 2 and not steps(world)


def test_a_deletion_whose_reply_is_lost_is_ended(world: Installation) -> None:
    until_made(world)
    world.kinds["ebs"].faults.order("expire", "after")
    world.quiet()
    assert not steps(world) and len(home(world)) == 2 and len(far(world)) == 2


def test_it_is_no_longer_shared_when_it_was_copied_on_though_it_cannot_be_deleted(world: Installation) -> None:
    until_made(world)
    world.kinds["ebs"].faults.order("expire", "before", times=40)
    shared: list[set[str]] = []
    for _ in range(20):
        world.once()
        held = world.cloud._place("ec2", "prod", "us-east-1").held
        shared.append({native_id for native_id, each in held.items() if "vault" in each.shared})
        world.clock.turn(minutes=2)
    ids = {s.native_id for s in steps(world)}
    assert len(ids) == 2 and set().union(*shared) == ids and not shared[-1]
    assert {s.state for s in far(world)} == {"usable"}


def test_one_that_fails_is_made_again_and_the_failed_one_goes_too(world: Installation) -> None:
    until_made(world)
    first = steps(world)[0]
    world.cloud.fail(first, "An internal error has occurred")
    world.quiet(minutes=20)
    assert not steps(world) and len(far(world)) == 2


def test_what_somebody_tags_as_one_is_never_deleted(world: Installation) -> None:
    world.quiet()
    place = world.cloud._place("ec2", "prod", "us-east-1")
    for held in place.held.values():
        tags = {**held.snapshot.tags, "drorch:intermediate": FAR, "drorch:source": held.snapshot.native_id}
        held.snapshot = replace(held.snapshot, tags=tags)
    before = {s.native_id for s in world.cloud.snapshots()}
    seen = world.run(passes=6, minutes=30)
    assert not [a for p in seen.plans.values() for a in p.actions if isinstance(a, Sweep)]
    assert before <= {s.native_id for s in world.cloud.snapshots()}
    (point,) = [p for p in seen.plans["shop"].catalogue.points if p.copy_in(FAR)]
    copy = point.copy_in(HOME)
    assert copy is not None and copy.usable
