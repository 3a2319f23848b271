"""Some days in the life of a small installation in memory, and what lies in its vaults then."""

from __future__ import annotations

from pathlib import Path

from worlds import Installation

from drorch.app.passing import Guards
from drorch.domain.action import Hold
from drorch.domain.catalogue import Catalogue
from drorch.stores.memory import MemoryStore

DUMPS = """
    version: 1
    application: desk
    owner: payments@example.com
    home: {account: prod, region: us-east-1}
    resources:
      - name: orders
        kind: memory
        schedule: {every: 1d}
        vaults: [s3-west, gcs-eu]
        keep: {last: 2}
"""
GUARDS = Guards(host="backup1")


def installed(state: Path, *texts: str, versioned: bool = False) -> Installation:
    world = Installation(state, *(texts or (DUMPS,)))
    world.guards = GUARDS
    for name in world.stores:
        memory(world, name).versioned = versioned
    world.restart()
    return world


def lived(state: Path, days: int = 2, *texts: str, versioned: bool = False) -> Installation:
    """An installation after some days, all of it quiet, the last slot filled."""
    world = installed(state, *texts, versioned=versioned)
    for day in range(days):
        world.quiet()
        if day < days - 1:
            world.clock.turn(days=1)
    return world


def memory(world: Installation, vault: str) -> MemoryStore:
    inner = world.stores[vault].inner
    assert isinstance(inner, MemoryStore)
    return inner


def catalogue(world: Installation, application: str = "desk") -> Catalogue:
    return world.reconciler.look(fresh=True).plans[application].catalogue


def holds(world: Installation, alarm: str) -> list[Hold]:
    """The holds of a fresh look with this alarm."""
    return [h for h in world.reconciler.look(fresh=True).holds if h.alarm == alarm]


def usable(world: Installation, vault: str, application: str = "desk") -> list[str]:
    """Ids of the usable points of a vault, newest first, as drorch sees them."""
    return [p.id for p in catalogue(world, application).points if (c := p.copy_in(vault)) is not None and c.usable]


def paths(world: Installation, vault: str, part: str) -> list[str]:
    return sorted(path for path in memory(world, vault).objects if part in path)
