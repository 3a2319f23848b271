"""A cadence that follows from a promise, lived through while copies get slow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from worlds import VOLUMES, Installation

from drorch.app.passing import Pass
from drorch.app.report import cadences_json
from drorch.domain.cadence import told
from drorch.domain.model import RecoveryPoint
from drorch.domain.schedule import Every, Schedule

HOUR = timedelta(hours=1)
STEP = 2
PROMISED = (
    VOLUMES.replace("        schedule: {every: 1d}\n", "")
    .replace("resources:", "objectives: {region: {rpo: 9h}}\n    resources:")
    .replace("keep: {last: 3}", "keep: {last: 60}")
)


def looks(world: Installation, hours: int, *, slow: bool) -> Iterator[Pass]:
    """One every two hours. Snapshots are usable at once; of `slow` copies each takes four hours."""
    until: datetime | None = None
    for _ in range(hours // STEP):
        if until is None or world.clock.now() >= until:
            world.cloud.finish()
            until = None
        seen = world.once()
        if until is None:
            world.cloud.finish()
            seen = world.once()  # what was cut is usable: its copy begins
            under_way = any(copy.state == "pending" for point in points(world) for copy in point.copies)
            until = world.clock.now() + 4 * HOUR if under_way and slow else None
        yield seen
        world.clock.turn(hours=STEP)


def points(world: Installation) -> tuple[RecoveryPoint, ...]:
    return world.reconciler.look().plans["shop"].catalogue.points


def grids(passes: Iterator[Pass]) -> list[Schedule]:
    """Every cadence that was in force, in their order, each once per stretch."""
    found: list[Schedule] = []
    for seen in passes:
        schedule = seen.plans["shop"].policy.resources[0].schedule
        if schedule not in found[-1:]:
            found.append(schedule)
    return found


def test_copies_that_get_slow_make_the_cadence_shorter_and_nothing_of_it_is_stored(tmp_path: Path) -> None:
    world = Installation(tmp_path, PROMISED, pending_for=None)
    assert grids(looks(world, 24, slow=False)) == [Every(6 * HOUR)]
    assert grids(looks(world, 36, slow=True)) == [Every(6 * HOUR), Every(4 * HOUR)]
    seen = world.seen
    assert seen is not None
    policy = seen.plans["shop"].policy
    assert told(policy.resources[0]) == "every 4h instead of 6h: region rpo 9h, time to usable 4h measured"
    (cadence,) = cadences_json(policy)
    assert (cadence["every_s"], cadence["by_policy_s"], cadence["measured"]) == (4 * 3600, 6 * 3600, True)
    world.restart(without=("cache",))
    assert world.once().plans["shop"].policy == policy
    cuts = sorted(point.cut_at for point in points(world) if point.cut_at is not None)
    assert {later - earlier for earlier, later in pairwise(cuts)} <= {STEP * HOUR * n for n in (1, 2, 3)}
    assert len(cuts) >= 10
