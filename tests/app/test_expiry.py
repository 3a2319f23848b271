"""Deletion in a small complete installation: marked, waited for, planned again, deleted with nothing but it."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import AWAY, EU, HOME, ORDERS, VOLUMES, WEST, Installation, outcomes

from drorch.app.locks import restoring_lock
from drorch.domain.action import Expire, Hold, Mark
from drorch.domain.model import CopyState

DUMPS = ORDERS.replace("keep: {last: 3}", "keep: {last: 2}").replace(
    '        drill: {every: 7d, from: [gcs-eu], probes: [{sql: select count(*) from orders, expect: ">= 1"}]}\n', ""
)
SNAPSHOTS = VOLUMES.replace("keep: {last: 3}", "keep: {last: 2}")


def days(world: Installation, count: int) -> None:
    """So many days of life: a quiet world at the start of each."""
    for _ in range(count):
        world.quiet()
        world.clock.turn(days=1)


def states(world: Installation, application: str, vault: str) -> list[CopyState]:
    """Of the copies in a vault, newest first."""
    points = world.reconciler.look().plans[application].catalogue.points
    return [copy.state for point in points if (copy := point.copy_in(vault)) is not None]


@pytest.mark.parametrize(
    ("text", "application", "vaults"), [(DUMPS, "desk", (WEST, EU)), (SNAPSHOTS, "shop", (HOME, AWAY))]
)
def test_what_no_rule_keeps_is_marked_and_deleted_a_grace_later(
    tmp_path: Path, text: str, application: str, vaults: tuple[str, str]
) -> None:
    world = Installation(tmp_path, text)
    days(world, 8)
    for vault in vaults:
        found = states(world, application, vault)
        assert found[:2] == [CopyState.USABLE] * 2
        assert 2 <= len(found) - 2 <= 4 and set(found[2:]) == {CopyState.EXPIRING}
    assert outcomes(world, "expire") == {"done": 2 * (8 - len(found))}
    assert set(outcomes(world, "mark")) == {"done"}


def test_the_data_are_gone_with_the_copy_and_the_records_stay(tmp_path: Path) -> None:
    world = Installation(tmp_path, DUMPS)
    days(world, 8)
    known = {p.id for p in world.reconciler.look().plans["desk"].catalogue.points}
    for store in world.stores.values():
        folders = {info.path.split("/")[5].partition("-")[2] for info in store.inner.list("drorch/v1/data/")}
        assert folders == known
        marked = [info.path for info in store.inner.list("drorch/v1/records/") if "-expired-" in info.path]
        assert len(marked) == 2 * 2 * (8 - len(known))  # of each vault a mark and its signature, in each vault
    assert not [a for a in world.actions(world.reconciler.look(fresh=True), Hold) if isinstance(a, Hold) and a.alarm]


def test_rules_that_keep_it_again_take_the_mark_back(tmp_path: Path) -> None:
    world = Installation(tmp_path, DUMPS)
    days(world, 4)
    assert CopyState.EXPIRING in states(world, "desk", EU)
    world.policies = Installation(tmp_path / "other", DUMPS.replace("last: 2", "last: 9")).policies
    seen = world.once()
    assert {a.mark for a in world.actions(seen, Mark) if isinstance(a, Mark)} == {"kept"}
    days(world, 5)
    assert set(states(world, "desk", EU)) == {CopyState.USABLE}
    assert outcomes(world, "expire") == {}


def test_nothing_of_an_application_is_let_go_while_it_is_restored(tmp_path: Path) -> None:
    world = Installation(tmp_path, DUMPS)
    days(world, 6)
    before = outcomes(world, "expire"), outcomes(world, "mark")
    with world.locks.shared(restoring_lock("desk"), "a restore"):
        days(world, 3)
        held = [h for h in world.reconciler.look().holds if "a restore" in h.reason]
        assert {h.vault for h in held} >= {WEST, EU}
    assert (outcomes(world, "expire"), outcomes(world, "mark")) == before
    assert outcomes(world, "cut")["done"] == 9, "cuts go on"
    days(world, 2)
    assert outcomes(world, "expire") != before[0]


def test_nothing_is_deleted_before_the_grace_is_over(tmp_path: Path) -> None:
    world = Installation(tmp_path, DUMPS)
    days(world, 3)
    assert states(world, "desk", EU) == [CopyState.USABLE, CopyState.USABLE, CopyState.EXPIRING]
    world.policies = ()
    world.clock.turn(days=1)
    assert not world.actions(world.reconciler.look(), Expire)
