"""Two daemons of one site on two hosts, which both find that a vault missed a point."""

from __future__ import annotations

import copy
from pathlib import Path

from lives import catalogue, lived, usable
from worlds import EU, WEST, FakeHands, Installation, outcomes

from drorch.app.passing import Guards
from drorch.domain.action import Ship


def second(world: Installation, state: Path, host: str) -> Installation:
    """Another daemon on the same vaults, with nothing on its disk."""
    state.mkdir()
    other = copy.copy(world)
    other.state, other.hands = state, FakeHands(other)
    other.guards = Guards(host=host)
    other.hands.world = other
    other.restart()
    return other


def missing_one(state: Path) -> tuple[Installation, str]:
    """A world in which a vault missed a point, and that point."""
    world = lived(state)
    world.clock.turn(days=1)
    world.stores[WEST].faults.black_hole()
    world.run(3)
    world.stores[WEST].faults.recover()
    (missed,) = set(usable(world, EU)) - set(usable(world, WEST))
    return world, missed


def test_the_one_that_sees_the_heads_of_the_other_does_nothing_and_says_so(tmp_path: Path) -> None:
    world, _ = missing_one(tmp_path / "one")
    world.hands.held = True
    other = second(world, tmp_path / "two", "backup2")
    world.once()
    other.run(3)
    assert other.hands.started == []
    assert other.seen is not None
    assert any("another drorch is at work for this site" in hold.reason for hold in other.seen.holds)


def test_both_of_one_host_name_ship_the_same_point_and_it_is_there_once(tmp_path: Path) -> None:
    """As after a host was cloned: no head tells them apart."""
    world, missed = missing_one(tmp_path / "one")
    daemons = (world, second(world, tmp_path / "two", world.guards.host))
    for daemon in daemons:
        daemon.hands.held = True
    for _ in range(10):
        for daemon in daemons:
            daemon.once()
        world.clock.turn(minutes=10)
        if all(any(isinstance(action, Ship) for action in daemon.hands.started) for daemon in daemons):
            break
    shipped = [[a.point for a in daemon.hands.started if isinstance(a, Ship)] for daemon in daemons]
    assert shipped == [[missed], [missed]], "both are at it"
    for daemon in daemons:
        daemon.hands.held = False
    for _ in range(6):
        for daemon in daemons:
            daemon.once()
        world.clock.turn(minutes=10)
    for daemon in daemons:
        assert outcomes(daemon, "ship") == {"done": 1}
        assert usable(daemon, WEST) == usable(daemon, EU)
        assert not catalogue(daemon).oddities
