"""Observing: what is asked of whom, what stays known when nobody answers, and what is not known at all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from worlds import AWAY, EU, EVERYTHING, HOME, LEDGER, ORDERS, VOLUMES, WEST, Installation, policies

from drorch.app.observe import LISTING_EVERY
from drorch.domain.native import Source


def test_what_a_provider_showed_is_known_to_the_next_process_to_the_last_field(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    world.quiet()
    before = world.reconciler.look().world.natives
    world.restart()
    for kind in world.kinds.values():
        kind.faults.black_hole()
    after = world.reconciler.look().world.natives
    assert [view.snapshots for view in after] == [view.snapshots for view in before]
    assert not any(view.complete for view in after)


def test_what_was_never_read_is_not_known_and_what_was_is(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, ORDERS)
    world.cloud.lose("us-west-2")
    world.stores[EU].faults.black_hole()
    seen = world.once()
    observer = world.reconciler.observer
    assert observer.never_read(seen.world) == {AWAY, EU}
    assert observer.checked_at(EU) is None and observer.checked_at(WEST) == seen.at
    assert set(seen.world.unread) == {AWAY, EU}
    world.cloud.give_back("us-west-2")
    world.stores[EU].faults.recover()
    seen = world.run(1)
    assert observer.never_read(seen.world) == frozenset() and not seen.world.unread


def test_sources_that_cannot_be_listed_say_why_and_those_of_others_are_seen(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES, LEDGER)
    world.kinds["ebs"].faults.order("sources", "half")
    seen = world.once()
    assert "half-way" in seen.plans["shop"].observed.sources["data"].why
    assert [s.source_id for s in seen.plans["bank"].observed.sources["ledger"].sources] == ["shop-ledger"]


def test_each_resource_gets_what_it_selects_out_of_the_one_listing(tmp_path: Path) -> None:
    second = VOLUMES.replace("shop\n", "bank\n", 1).replace("{app: shop}", "{app: bank}")
    world = Installation(tmp_path, VOLUMES, second)
    world.cloud.put_sources(
        "ec2", "prod", "us-east-1", [world.volume("vol-1"), Source("vol-2", tags={"app": "bank"}), Source("vol-3")]
    )
    asked = world.calls("ebs", "sources")
    seen = world.once()
    assert {
        name: [s.source_id for s in plan.observed.sources["data"].sources] for name, plan in seen.plans.items()
    } == {"shop": ["vol-1"], "bank": ["vol-2"]}
    assert asked() == 1


def test_snapshots_of_another_site_do_not_exist(tmp_path: Path) -> None:
    world = Installation(tmp_path, VOLUMES)
    world.quiet()
    place = world.cloud._place("ec2", "prod", "us-east-1")
    for held in place.held.values():
        held.snapshot.tags["drorch:site"] = "other"  # type: ignore[index]
    assert world.reconciler.look().world.snapshot(HOME, world.snapshots(HOME)[0].native_id) is None


@pytest.mark.parametrize(("turned", "listed"), [(14.9, 0), (15.0, 5), (-60.0, 5)])
def test_a_vault_is_listed_when_its_turn_comes_and_when_the_clock_went_back(
    tmp_path: Path, turned: float, listed: int
) -> None:
    world = Installation(tmp_path, ORDERS)
    world.reconciler.look()
    world.stores[EU].faults.calls.clear()
    world.clock.turn(minutes=turned)
    world.reconciler.look()
    assert world.stores[EU].faults.calls["list"] == listed
    assert timedelta(minutes=15) == LISTING_EVERY


def test_fresh_lists_whatever_the_turn(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.reconciler.look()
    world.stores[EU].faults.calls.clear()
    world.reconciler.look(fresh=True)
    assert world.stores[EU].faults.calls["list"] == 5  # records, data, heads, runbooks, approvals


def test_a_read_back_that_fails_makes_the_vault_unread_until_it_is_listed(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    world.once()
    world.stores[EU].faults.order("list", "before")
    world.reconciler.observer.refresh(EU, "desk", "orders", world.clock.now())
    world.stores[EU].faults.order("list", "before")
    assert set(world.reconciler.look().world.unread) == {EU}
    assert not world.reconciler.look().world.unread


def test_a_policy_that_came_later_is_observed_with_the_others(tmp_path: Path) -> None:
    world = Installation(tmp_path, ORDERS)
    assert not world.once().world.natives
    world.policies = policies(*EVERYTHING)
    places = {(view.kind, view.vault.name) for view in world.once().world.natives}
    assert places == {(kind, vault) for kind in ("ebs", "rds-instance") for vault in (HOME, AWAY)}


def test_one_application_gets_its_own_snapshots_and_every_view(tmp_path: Path) -> None:
    second = VOLUMES.replace("shop\n", "bank\n", 1).replace("{app: shop}", "{app: bank}")
    world = Installation(tmp_path, VOLUMES, second)
    both = [world.volume("vol-1"), Source("vol-2", bytes=8 << 30, tags={"app": "bank"})]
    world.cloud.put_sources("ec2", "prod", "us-east-1", both)
    world.quiet()
    seen = world.reconciler.look().world
    for application in ("shop", "bank", "nobody"):
        views = seen.natives_of(application)
        assert [(v.kind, v.vault, v.complete, v.at) for v in views] == [
            (v.kind, v.vault, v.complete, v.at) for v in seen.natives
        ]
        of = [s.tags["drorch:application"] for view in views for s in view.snapshots]
        assert of == [application] * (0 if application == "nobody" else 2)
