"""Two that ship one point into one vault at the same time: it is there once, whole, with nothing left over."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import cache

import pytest
from dumped import APPLICATION, MIB, RESOURCE, SITE, World, table_rows
from live_stores import STORES

from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ship
from drorch.app.verify import State, committed_points, verify_points, whole
from drorch.domain.errors import DrorchError, Unavailable
from drorch.ports import StoreLimits

SHIPPERS = 2
ATTEMPTS = 3
SMALL_PARTS = ("memory", "directory", "gcs", "azure", "swift")


@cache
def dumped() -> World:
    """A point in the vault `gcs-eu`, of more than one part of any store."""
    world = World("gcs-eu")
    world.clock.present = datetime.now(UTC)
    world.dump(data=table_rows("orders", 180, width=50_000))
    return world


@pytest.mark.parametrize("name", [name for name in STORES if not name.endswith((":locked", ":faulty"))])
def test_a_point_that_two_ship_at_the_same_time_is_there_once_and_whole(name: str) -> None:
    world = dumped()
    (place,) = committed_points(world.stores["gcs-eu"])
    order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", place.cut_at)
    keys = [TrustedKey(world.key.public)]
    with STORES[name]() as target:
        if name in SMALL_PARTS:
            target.limits = StoreLimits(part_bytes=MIB)
        at_once = threading.Barrier(SHIPPERS)
        failed: list[DrorchError] = []
        sent: list[int] = []

        def carry() -> None:
            """As the daemon: what may be tried again is tried again, by the next pass."""
            at_once.wait(30)
            for _ in range(ATTEMPTS):
                try:
                    sent.append(ship(order, world.stores["gcs-eu"], target, keys, clock=world.clock).sent)
                    return
                except Unavailable as error:
                    failed.append(error)
                except DrorchError as error:
                    failed.append(error)
                    return

        shippers = [threading.Thread(target=carry) for _ in range(SHIPPERS)]
        for shipper in shippers:
            shipper.start()
        for shipper in shippers:
            shipper.join(120)
        assert len(sent) == SHIPPERS, [str(error) for error in failed]
        found = verify_points(target, [place], keys, whole, site=SITE, clock=world.clock).points[0]
        assert found.state is State.OK
        assert list(target.uploads("drorch/")) == []
        assert sorted(f.path for f in target.list("")) == sorted(f.path for f in world.stores["gcs-eu"].list(""))
