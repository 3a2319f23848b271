"""A snapshot goes before anything was signed of it, its copy stays unseen, and the slot is cut again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from witness import Witness
from worlds import AWAY, HOME, IMAGES, LEDGER, SEATS, VOLUMES, Installation

from drorch.domain.catalogue_native import TAG_POINT
from drorch.domain.model import FailureLevel

PLACES = {FailureLevel.ZONE: (HOME, AWAY), FailureLevel.REGION: (AWAY,)}


def flattered(world: Installation) -> list[str]:
    """Where `status` attains more than what lies in the cloud allows."""
    seen, witness = world.reconciler.look(fresh=True), Witness(world)
    found = []
    for planned in seen.plans.values():
        for resource in planned.status.resources:
            for level, places in PLACES.items():
                truths = [t for v in places for t in witness.of(v, planned.policy.application, resource.resource)]
                told, newest = resource.levels[level].rpo_attained, max((t.cut_at for t in truths), default=None)
                if told is not None and (newest is None or told < seen.at - newest):
                    found.append(f"{level}: {told}, and the newest copy is of {newest}")
    return found


def cut_again(world: Installation) -> None:
    """The vaults are away while a slot is cut and copied; the cut is removed, its copy complete but out of sight."""
    world.quiet()
    world.clock.turn(days=1)
    for store in world.stores.values():
        store.faults.black_hole()
    world.run(3, minutes=7)
    world.cloud.finish()
    world.cloud.lose("us-west-2")
    newest = max(world.snapshots(HOME), key=lambda s: s.started or world.clock.now())
    world.cloud.remove(newest)
    copied = [s.tags[TAG_POINT] for s in world.snapshots(AWAY)]
    assert newest.tags[TAG_POINT] in copied and newest.tags[TAG_POINT] not in [
        s.tags[TAG_POINT] for s in world.snapshots(HOME)
    ]


def come_back(world: Installation) -> list[str]:
    """Pass by pass; what `status` said too well on the way."""
    found = flattered(world)
    world.run(3, minutes=7)
    world.cloud.give_back("us-west-2")
    for _ in range(2):
        world.run(1, minutes=7)
        found += flattered(world)
    for store in world.stores.values():
        store.faults.recover()
    for _ in range(4):
        world.run(1, minutes=7)
        found += flattered(world)
    return found


@pytest.mark.parametrize("policy", [VOLUMES, IMAGES, LEDGER, SEATS], ids=["ebs", "ami", "rds-instance", "rds-cluster"])
def test_a_copy_of_a_cut_that_is_gone_is_never_taken_for_one_of_the_cut_after_it(tmp_path: Path, policy: str) -> None:
    world = Installation(tmp_path, policy)
    cut_again(world)
    assert come_back(world) == []
    newest = max(world.snapshots(HOME), key=lambda s: s.started or world.clock.now())
    assert [s.tags[TAG_POINT] for s in world.snapshots(HOME)].count(newest.tags[TAG_POINT]) == 1
    seen = world.reconciler.look(fresh=True)
    [planned] = seen.plans.values()
    zone = planned.status.resources[0].levels[FailureLevel.ZONE]
    assert zone.rpo_attained is not None and zone.rpo_attained < timedelta(hours=2), "the second cut counts"


@pytest.mark.parametrize("policy", [VOLUMES, IMAGES, LEDGER, SEATS], ids=["ebs", "ami", "rds-instance", "rds-cluster"])
def test_a_copy_begun_before_the_cut_makes_the_point_no_younger_though_the_intents_are_lost(
    tmp_path: Path, policy: str
) -> None:
    world = Installation(tmp_path, policy)
    cut_again(world)
    world.restart(without=("intents",))
    assert come_back(world) == []
