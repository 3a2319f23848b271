"""Copies in another account, and resources of another one, through their whole life on an installation in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from witness import Witness, at_rest
from worlds import EU, HOME, IMAGES, LEDGER, VOLUMES, WEST, Installation, outcomes, policies

from drorch.app.passing import Guards
from drorch.domain.action import Expire, Unshare
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.model import FailureLevel
from drorch.domain.native import NativeSnapshot

ABROAD, NEAR = "vault.us-west-2", "vault.us-east-1"
GUARDS = Guards(host="backup1", grace=timedelta(days=1))
PROMISE = "objectives: {account: {rpo: 2d}}\n    resources:"
CROSSING = (
    VOLUMES.replace("{region: us-west-2}", "{region: us-west-2, account: vault}")
    .replace("keep: {last: 3}", "keep: {last: 2}")
    .replace("resources:", PROMISE)
)
TWICE = CROSSING.replace("account: vault}", "account: vault}, {region: us-east-1, account: vault}")
ELSEWHERE = CROSSING.replace("kind: ebs", "kind: ebs\n        home: {account: vault, region: us-west-2}").replace(
    "account: vault}]", "account: prod}]"
)


def lived(state: Path, text: str = CROSSING, days: int = 1) -> Installation:
    world = Installation(state, text, guards=GUARDS)
    world.cloud.put_sources("ec2", "vault", "us-west-2", [world.volume("vol-9", tier="data")])
    for day in range(days):
        world.quiet()
        if day < days - 1:
            world.clock.turn(days=1)
    return world


def of(world: Installation, vault: str) -> list[NativeSnapshot]:
    return sorted(world.snapshots(vault), key=lambda s: s.native_id)


@pytest.mark.parametrize(("text", "vaults"), [(CROSSING, [ABROAD]), (TWICE, [ABROAD, NEAR])])
def test_a_copy_in_another_account_is_made_once_recorded_and_nothing_stays_shared(
    tmp_path: Path, text: str, vaults: list[str]
) -> None:
    world = lived(tmp_path, text)
    world.check_whole()
    (cut,) = of(world, HOME)
    for vault in vaults:
        (copied,) = of(world, vault)
        assert (copied.tags["drorch:source"], copied.tags["app"]) == (cut.native_id, "shop")
    assert world.cloud.shared_ids() == ()
    assert outcomes(world, "copy") == {"done": len(vaults)} and outcomes(world, "unshare") == {"done": 1}


def test_sharing_lasts_while_the_copy_is_pending_and_no_longer(tmp_path: Path) -> None:
    world = Installation(tmp_path, CROSSING, pending_for=None, guards=GUARDS)
    world.run(2)
    world.cloud.finish()
    seen = world.run(6, minutes=30)
    (cut,) = of(world, HOME)
    assert world.cloud.shared_ids() == (cut.native_id,)
    assert not world.actions(seen, Unshare)
    world.cloud.finish()
    seen = world.run(1)
    (taken,) = world.actions(seen, Unshare)
    assert isinstance(taken, Unshare) and taken.reason == f"shared with vault, and its copy in {ABROAD} is usable"
    assert (taken.vault, taken.account, taken.members) == (HOME, "vault", (cut.native_id,))
    assert world.cloud.shared_ids() == ()


def test_a_copy_that_no_listing_showed_yet_is_not_cut_off(tmp_path: Path) -> None:
    """The vault account's listing is an old one: the last look before taking back is made now."""
    world = lived(tmp_path, days=2)
    world.clock.turn(days=1)
    world.cloud.pending_for = None
    world.run(2)
    world.cloud.finish()
    world.run(2)
    (shared,) = world.cloud.shared_ids()
    point = next(s.tags["drorch:point"] for s in of(world, HOME) if s.native_id == shared)
    action = Unshare("shop", "data", HOME, point, "", "vault", (shared,), (ABROAD,))
    with pytest.raises(Unavailable, match=f"a copy of it is under way in {ABROAD}"):
        world.light._native.unshare(action, "ebs")
    assert world.cloud.shared_ids() == (shared,)


def test_the_level_account_is_attained_by_a_copy_in_another_account_only(tmp_path: Path) -> None:
    world = lived(tmp_path)
    seen = world.once()
    (planned,) = seen.plans.values()
    at = planned.status.levels[FailureLevel.ACCOUNT]
    assert at.rpo_met and at.rpo_attained is not None
    for snapshot in of(world, ABROAD):
        world.cloud.remove(snapshot)
    world.faults("ebs").order("copy", "before", times=9)
    (planned,) = world.once().plans.values()
    at = planned.status.levels[FailureLevel.ACCOUNT]
    assert not at.rpo_met and at.rpo_attained is None


def test_copies_of_another_account_are_let_go_there_and_nowhere_else(tmp_path: Path) -> None:
    world = lived(tmp_path)
    witness = Witness(world)
    for _ in range(4):
        world.clock.turn(days=1)
        world.quiet(minutes=11)
    assert not [*witness.wrong, *at_rest(witness)]
    assert {vault for vault, _ in witness.removed} == {HOME, ABROAD}
    assert len(of(world, ABROAD)) == len(of(world, HOME)) < 5


def test_what_the_other_account_does_not_show_is_neither_copied_let_go_nor_taken_back(tmp_path: Path) -> None:
    world = lived(tmp_path, days=4)
    before = of(world, ABROAD)
    world.clock.turn(days=2)
    world.faults("ebs").black_hole("us-west-2")
    world.run(8, minutes=20)
    seen = world.once()
    assert of(world, ABROAD) == before
    assert not [a for a in world.actions(seen, Expire, Unshare) if a.vault == ABROAD]
    held = [h.reason for h in seen.holds if h.vault == ABROAD]
    assert any("not read completely" in reason for reason in held)
    world.faults("ebs").recover("us-west-2")
    world.quiet()
    assert world.cloud.shared_ids() == ()


def test_a_copy_that_is_not_wanted_any_more_leaves_nothing_shared(tmp_path: Path) -> None:
    world = Installation(tmp_path, CROSSING, guards=GUARDS)
    world.faults("ebs").order("copy", "before")
    world.run(3)
    assert len(world.cloud.shared_ids()) == 1
    world.policies = policies(VOLUMES)
    world.run(2)
    assert world.cloud.shared_ids() == ()
    asked = world.calls("ebs", "shared")
    world.run(3)
    assert asked() <= 1, "and it is not asked for ever"


def test_nothing_is_asked_where_no_copy_crosses_accounts(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    assert world.kinds["ebs"].faults.calls["shared"] == 0


def test_what_somebody_else_shared_is_left_alone(tmp_path: Path) -> None:
    world = lived(tmp_path)
    place = world.cloud._place("ec2", "prod", "us-east-1")
    (held,) = place.held.values()
    stranger = replace(held.snapshot, native_id="snap-stranger", tags={**held.snapshot.tags, "drorch:point": "made-up"})
    world.cloud.add(place, stranger)
    place.held["snap-stranger"].shared = frozenset({"vault"})
    held.shared = frozenset({"partner"})
    world.run(4)
    assert set(world.cloud.shared_ids()) == {"snap-stranger", held.snapshot.native_id}


def test_a_key_that_is_refused_is_told_and_what_was_shared_is_taken_back(tmp_path: Path) -> None:
    world = Installation(tmp_path, CROSSING, guards=GUARDS)

    def refuse() -> None:
        raise Refused("the snapshot cannot be copied, as ordered")

    world.faults("ebs").order("copy", refuse, times=3)
    world.run(4)
    assert outcomes(world, "copy") == {"refused": 1}
    assert world.cloud.shared_ids() == ()
    assert any(h.alarm == "copy-failed" for h in world.once().holds)
    world.quiet()
    world.check_whole()
    assert world.cloud.shared_ids() == ()


def test_a_resource_of_another_account_lives_its_whole_life(tmp_path: Path) -> None:
    """Its home stands beside the resource; its copies lie in the application's account."""
    world = lived(tmp_path, ELSEWHERE, days=5)
    witness = Witness(world)
    world.clock.turn(days=1)
    world.quiet(minutes=11)
    assert not [*witness.wrong, *at_rest(witness)]
    assert {s.source_id for s in of(world, ABROAD)} == {"vol-9"}
    assert of(world, "prod.us-west-2") and not of(world, HOME)
    (planned,) = world.once().plans.values()
    assert planned.status.levels[FailureLevel.ACCOUNT].rpo_met
    for name in (WEST, EU):
        kept = [p for p in world.memory(name).objects if "/native/" in p and p.endswith(f"-{ABROAD}.json")]
        assert len(kept) == 6


@pytest.mark.parametrize("gone", [(), ("cache",), ("cache", "intents")])
def test_a_new_process_takes_back_what_the_old_one_shared(tmp_path: Path, gone: tuple[str, ...]) -> None:
    world = Installation(tmp_path, CROSSING, pending_for=None, guards=GUARDS)
    world.run(2)
    world.cloud.finish()
    world.run(2)
    assert world.cloud.shared_ids()
    world.cloud.finish()
    world.reconciler.close()
    world.restart(without=gone)
    world.run(3)
    assert world.cloud.shared_ids() == ()
    assert len(of(world, ABROAD)) == 1


@pytest.mark.parametrize("text", [LEDGER, IMAGES])
def test_databases_and_images_are_copied_into_another_account_too(tmp_path: Path, text: str) -> None:
    world = lived(tmp_path, text.replace("{region: us-west-2}", "{region: us-west-2, account: vault}"), days=2)
    world.check_whole(2)
    assert len(of(world, ABROAD)) == 2 and world.cloud.shared_ids() == ()
