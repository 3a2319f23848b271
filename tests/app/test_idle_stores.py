"""A store that says that it was done, and did nothing: it is noticed before anything rests on it, and made good."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumped import APPLICATION, RESOURCE, SITE, World
from faults import FaultyStore
from lives import catalogue, lived, memory, paths, usable
from worlds import EU, WEST, Installation, outcomes

from drorch.app.reading import TrustedKey
from drorch.app.ship import ShipOrder, ship
from drorch.app.sweep import sweep
from drorch.domain import layout
from drorch.domain.action import Sweep
from drorch.domain.errors import Damaged, Unavailable

SMALL = (".leaves", "SHA256SUMS", "SHA256SUMS.minisig", "manifest.json.minisig")
LOST = [("put", name) for name in SMALL] + [("commit", "data."), ("write", "data.")]


def dumping() -> World:
    world = World("gcs-eu", "s3-west")
    world.stores["s3-west"] = FaultyStore(world.stores["s3-west"])
    return world


def lose(world: World, method: str, name: str) -> FaultyStore:
    store = world.stores["s3-west"]
    assert isinstance(store, FaultyStore)
    store.faults.order(method, "lose", only=name)
    return store


def committed(world: World, vault: str) -> bool:
    return any(found.path.endswith("manifest.json") for found in world.stores[vault].list(layout.RECORDS))


@pytest.mark.parametrize(("method", "name"), LOST)
def test_a_dump_commits_nothing_in_a_vault_that_lost_a_part_of_it(method: str, name: str) -> None:
    world = dumping()
    store = lose(world, method, name)
    outcome = world.dump()
    assert not store.faults.standing, "the fault was never met"
    assert outcome.vaults == ("gcs-eu",)
    assert list(outcome.lost) == ["s3-west"]
    assert (committed(world, "gcs-eu"), committed(world, "s3-west")) == (True, False)


@pytest.mark.parametrize(("method", "name"), LOST[:-1])
def test_a_ship_commits_nothing_where_a_part_of_it_was_lost_and_the_next_one_does(method: str, name: str) -> None:
    world = dumping()
    cut_at = world.dump(into=["gcs-eu"]).cut_at
    store = lose(world, method, name)
    order = ShipOrder(SITE, APPLICATION, RESOURCE, "p1", cut_at)
    keys = [TrustedKey(world.key.public)]

    def carry() -> None:
        ship(order, world.stores["gcs-eu"], store, keys, clock=world.clock)

    with pytest.raises((Unavailable, Damaged)):
        carry()
    assert not store.faults.standing, "the fault was never met"
    assert not committed(world, "s3-west")
    carry()
    there = {name: sorted(found.path for found in world.stores[name].list("")) for name in world.stores}
    assert there["s3-west"] == there["gcs-eu"]


def test_a_manifest_that_was_never_written_is_no_copy_and_the_next_passes_bring_it(tmp_path: Path) -> None:
    world = lived(tmp_path, 1)
    world.clock.turn(days=1)
    world.stores[WEST].faults.order("put", "lose", after=1, only="manifest.json")
    world.once()
    world.once()
    assert not world.stores[WEST].faults.standing, "the fault was never met"
    world.quiet()
    assert usable(world, WEST) == usable(world, EU)
    assert outcomes(world, "ship") == {"done": 1}


@pytest.mark.parametrize("which", range(5))
def test_a_deletion_that_did_nothing_is_not_taken_for_one(tmp_path: Path, which: int) -> None:
    world = lived(tmp_path, 3)
    first = catalogue(world).points[-1].id
    world.stores[EU].faults.order("delete", "lose", after=which)
    for _ in range(3):
        world.clock.turn(days=1)
        world.quiet()
    assert not world.stores[EU].faults.standing, "the fault was never met"
    assert outcomes(world, "expire")["unavailable"] == 1
    assert not [path for path in paths(world, EU, first) if layout.DATA in path or "manifest" in path]


def test_a_record_that_was_not_swept_keeps_its_signature(tmp_path: Path) -> None:
    world: Installation = lived(tmp_path, 2)
    head = next(path for path in paths(world, EU, layout.HEADS) if path.endswith(".json"))
    world.stores[EU].faults.order("delete", "lose")
    action = Sweep("desk", "", EU, "", "old", "heads", (head,))
    with pytest.raises(Unavailable, match="still there"):
        sweep(action, world.stores.__getitem__)
    assert {head, head + layout.SIGNATURE} <= set(memory(world, EU).objects)
    sweep(action, world.stores.__getitem__)
    assert not {head, head + layout.SIGNATURE} & set(memory(world, EU).objects)
