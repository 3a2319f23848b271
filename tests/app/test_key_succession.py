"""A new signing key: the old one's points go on, whether it was replaced, lost with its host, or stolen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from worlds import AWAY, EU, HOME, ORDERS, SITE, VOLUMES, WEST, Installation, outcomes

from drorch.app import drill
from drorch.app.loading import Reader
from drorch.app.passing import Guards
from drorch.app.reading import TrustedKey
from drorch.crypto import ids
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import Hold, Replicate, Ship
from drorch.domain.errors import Refused
from drorch.domain.model import RecoveryPoint
from drorch.domain.record import RecordType, compose


@pytest.fixture(scope="module")
def mould(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Four days of snapshots and dumps, one a day."""
    world = Installation(tmp_path_factory.mktemp("mould"), VOLUMES, ORDERS, guards=Guards(host="first"))
    for _ in range(3):
        world.quiet()
        world.clock.turn(hours=23)
    world.quiet()
    return world


@pytest.fixture
def world(mould: Installation, tmp_path: Path) -> Installation:
    """A life of its own, in which one pass was made."""
    twin = mould.twin(tmp_path / "first")
    twin.once()
    return twin


def succeed(world: Installation, until: timedelta | None = None, *, new_host: bool = False) -> SecretKey:
    """A new key from now on, the old one trusted (until so long ago), the old secret gone; the old key."""
    old = world.key
    world.key = SecretKey.generate()
    world.site_key = ids.site_key(world.key)
    end = None if until is None else world.clock.now() - until
    world.trusted = (TrustedKey(old.public, end), TrustedKey(world.key.public))
    if new_host:
        world.state = world.state.with_name("second")
        world.guards = replace(world.guards, host="second")
    world.restart()
    return old


def points(world: Installation, application: str = "shop", resource: str = "data") -> dict[str, RecoveryPoint]:
    assert world.seen is not None
    return {point.id: point for point in world.seen.plans[application].catalogue.of(resource)}


def states(world: Installation, application: str, resource: str) -> dict[str, dict[str, str]]:
    return {
        name: {copy.vault: str(copy.state) for copy in point.copies}
        for name, point in points(world, application, resource).items()
    }


def oddities(world: Installation) -> list[str]:
    assert world.seen is not None
    return [odd.what for planned in world.seen.plans.values() for odd in planned.catalogue.oddities]


@pytest.mark.parametrize("until", [None, timedelta()])
def test_new_key_goes_on_with_the_points_of_the_old_one_and_lets_them_go_in_their_turn(world, until):
    before = states(world, "shop", "data"), states(world, "desk", "orders")
    assert [len(found) for found in before] == [4, 4]
    succeed(world, until)
    world.quiet()
    assert (states(world, "shop", "data"), states(world, "desk", "orders")) == before
    assert oddities(world) == []
    assert outcomes(world, "cut") == {}, "a slot that the old key filled is not cut again"
    for _ in range(7):
        world.clock.turn(hours=23)
        world.run(5, minutes=10)
    assert not set(before[0]) & set(points(world)), "retention let the old key's snapshots go"
    assert world.seen is not None
    verified = {drilled.point for drilled in world.seen.plans["desk"].catalogue.drills if drilled.passed}
    assert set(before[1]) & set(points(world, "desk", "orders")) <= verified, "the newest verified one stays"
    assert oddities(world) == []
    left = {point.id for point in points(world).values()}
    assert {s.tags["drorch:point"] for vault in (HOME, AWAY) for s in world.snapshots(vault)} == left


def test_host_that_was_lost_with_its_key_is_followed_by_another_after_the_wait_for_a_twin(world):
    before = states(world, "shop", "data")
    world.clock.turn(minutes=5)
    succeed(world, new_host=True)
    seen = world.once()
    assert any("another drorch is at work for this site" in hold.reason for hold in seen.holds)
    assert states(world, "shop", "data") == before
    world.clock.turn(hours=3)
    world.quiet()
    assert world.seen is not None
    assert not any("another drorch" in hold.reason for hold in world.seen.holds)
    head = world.seen.plans["shop"].catalogue.head
    assert head is not None
    assert head.host == "second"
    assert head.seq > 10, "the chain of heads goes on where the lost host ended it"
    assert oddities(world) == []


def test_dump_of_the_lost_key_is_restored_by_who_trusts_its_public_half(world):
    oldest = min(points(world, "desk", "orders").values(), key=lambda point: str(point.cut_at))
    old = succeed(world, new_host=True)
    asked = drill.DrillOrder(SITE, "desk", "orders", EU, (), oldest.id)

    def drilled(*trusted: TrustedKey) -> str:
        reader = Reader(trusted, [world.identity], world.host)
        world.clock.turn(minutes=1)
        return str(drill.run_drill(asked, world.engine, drill.Scratch(), world.stores, reader, world.key).outcome)

    assert drilled(*world.trusted) == drill.PASSED
    assert drilled(TrustedKey(old.public)) == drill.PASSED
    with pytest.raises(Refused, match="is not signed by a trusted key"):
        drilled(TrustedKey(world.key.public))


def test_snapshot_that_no_record_vouched_for_yet_is_held_and_never_touched(world):
    before = {snapshot.native_id for snapshot in world.snapshots(HOME)}
    for vault in (WEST, EU):
        world.faults(vault).black_hole()
    world.clock.turn(hours=22)
    world.run(4)
    for vault in (WEST, EU):
        world.faults(vault).recover()
    (stranger,) = {snapshot.native_id for snapshot in world.snapshots(HOME)} - before
    succeed(world)
    world.quiet()
    assert any(stranger in what and "without a valid id: held, never touched" in what for what in oddities(world))
    assert len(world.snapshots(HOME)) == len(before) + 2, "the slot has no point that counts, so it gets one"
    for _ in range(5):
        world.clock.turn(hours=22)
        world.run(9, minutes=7)
    assert before - {s.native_id for s in world.snapshots(HOME)}, "its elders were let go"
    assert stranger in {s.native_id for s in world.snapshots(HOME)}


def test_what_a_thief_signs_with_the_stolen_key_after_its_end_vouches_for_nothing(world):
    mine = world.snapshots(HOME)[-1]
    old = succeed(world, timedelta())
    slot, at = "2026-11-26T00:00Z", world.clock.now().replace(microsecond=0)
    forged = ids.point_id(ids.site_key(old), "shop", "data", slot, 1)
    tags = dict(mine.tags) | {"drorch:point": forged, "drorch:slot": slot}
    planted = world.cloud.next_id()
    place = world.cloud.reach("ec2", "prod", "us-east-1", "forge")
    world.cloud.add(place, replace(mine, native_id=planted, tags=tags, started=at, state="usable"))
    members = [{"native_id": planted, "role": "snapshot", "source_id": "vol-1"}]
    record = compose(
        RecordType.NATIVE, site=SITE, at=at, application="shop", resource="data", point=forged, cut_at=at,
        vault=HOME, kind="ebs", slot=slot, members=members,
    )  # fmt: skip
    world.memory(EU).put(record.path + layout.SIGNATURE, old.sign(record.data, record.comment))
    world.memory(EU).put(record.path, record.data)
    world.clock.turn(minutes=20)
    world.quiet()
    assert forged not in points(world)
    assert any(planted in what and "without a valid id" in what for what in oddities(world))
    assert any("its key was no longer trusted when the store wrote it" in what for what in oddities(world))


def test_vault_that_was_away_is_not_sent_what_would_count_for_nothing_there(world):
    world.faults(EU).black_hole()
    world.clock.turn(hours=22)
    world.run(8, minutes=5)
    world.clock.turn(minutes=20)
    succeed(world, timedelta(minutes=5))
    world.faults(EU).recover()
    seen = world.quiet()
    assert world.actions(seen, Replicate, Ship) == []
    assert outcomes(world, "ship") == outcomes(world, "replicate") == {}
    held = [hold for hold in world.actions(seen, Hold) if "a copy made now would count for nothing" in hold.reason]
    assert [(hold.resource, hold.vault) for hold in held] == [("orders", EU)]
    assert not any("counts for nothing" in what for what in oddities(world))


def test_vault_that_was_away_gets_what_a_key_without_an_end_signed(world):
    world.faults(EU).black_hole()
    world.clock.turn(hours=22)
    world.run(8, minutes=5)
    world.clock.turn(minutes=20)
    succeed(world)
    world.faults(EU).recover()
    world.quiet()
    assert outcomes(world, "ship") == {"done": 1}
    assert all(set(copies) == {WEST, EU} for copies in states(world, "desk", "orders").values())
