"""What the fake adds to the port: a world that a test turns by hand."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from faults import Fault, FaultySnapshots
from native_clouds import ACCOUNT, AWAY, HOME, MemoryWorld, copy_order, cut, cut_order, listed

from drorch.domain.errors import Busy, DrorchError, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds.memory import MemoryCloud, MemorySnapshots

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def usable_point(world: MemoryWorld, point: str) -> NativeSnapshot:
    cut(world, point)
    world.finish()
    return world.kind.find(ACCOUNT, HOME, point)[0]


@pytest.mark.parametrize("pending_for", [0, 1, 3])
def test_a_snapshot_is_pending_for_that_many_listings(pending_for: int) -> None:
    cloud = MemoryCloud(lambda: NOW, pending_for=pending_for)
    kind = MemorySnapshots(cloud)
    cloud.put_sources("ec2", ACCOUNT, HOME, [Source("vol-1")])
    kind.cut(cut_order([Source("vol-1")]), 0)
    shown = [next(kind.snapshots(ACCOUNT, HOME, "acme")).state for _ in range(pending_for + 1)]
    assert shown == ["pending"] * pending_for + ["usable"]


def test_looking_by_find_or_from_outside_moves_nothing_on() -> None:
    cloud = MemoryCloud(lambda: NOW, pending_for=1)
    kind = MemorySnapshots(cloud)
    cloud.put_sources("ec2", ACCOUNT, HOME, [Source("vol-1")])
    order = cut_order([Source("vol-1")])
    kind.cut(order, 0)
    for _ in range(3):
        assert kind.find(ACCOUNT, HOME, order.point)[0].state == "pending"
        assert cloud.snapshots()[0].state == "pending"


def test_copy_places_of_a_destination_are_busy_until_a_copy_ends() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    world.cloud.copy_places[AWAY] = 1
    first, second = usable_point(world, "point1"), usable_point(world, "point2")
    world.kind.copy(copy_order(first))
    with pytest.raises(Busy):
        world.kind.copy(copy_order(second))
    world.finish()
    assert world.kind.copy(copy_order(second)).state == "pending"


def test_pending_cuts_take_no_copy_places() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    world.cloud.copy_places[HOME] = 1
    cut(world, "point1")
    cut(world, "point2")
    assert len(listed(world)) == 2


def test_a_wrong_key_fails_later_as_on_ec2_or_at_once_as_on_rds() -> None:
    later, at_once = MemoryWorld(named=False), MemoryWorld(named=True)
    for world in (later, at_once):
        world.source_with()
    later.kind.copy(copy_order(usable_point(later, "point1"), key="alias/nowhere"))
    later.finish()
    assert [(copy.state, "key" in copy.why) for copy in listed(later, AWAY)] == [("failed", True)]
    with pytest.raises(Refused):
        at_once.kind.copy(copy_order(usable_point(at_once, "point1"), key="alias/nowhere"))


def test_a_removed_snapshot_is_neither_listed_nor_found() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    world.cloud.remove(cut(world, "point1"))
    assert listed(world) == []
    assert world.kind.find(ACCOUNT, HOME, "point1") == ()


def test_a_copy_whose_source_is_deleted_under_it_fails_and_says_why() -> None:
    for named in (False, True):
        world = MemoryWorld(named=named)
        world.source_with()
        first, second = usable_point(world, "point1"), usable_point(world, "point2")
        for source in (first, second):
            world.kind.copy(copy_order(source))
        world.kind.expire(ACCOUNT, HOME, first.native_id)
        world.finish()
        shown = {copied.tags["drorch:point"]: (copied.state, copied.why) for copied in listed(world, AWAY)}
        assert shown["point1"] == ("failed", "the source was deleted before its copy was complete")
        assert shown["point2"] == ("usable", "")


def test_a_copy_that_is_complete_outlives_its_source() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    source = usable_point(world, "point1")
    world.kind.copy(copy_order(source))
    world.finish()
    world.kind.expire(ACCOUNT, HOME, source.native_id)
    world.finish()
    assert [copied.state for copied in listed(world, AWAY)] == ["usable"]


def test_a_protected_snapshot_is_refused_with_the_reason_until_it_is_free() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    held = usable_point(world, "point1")
    world.cloud.protect(held, "locked until 2027")
    with pytest.raises(Refused, match="locked until 2027"):
        world.kind.expire(ACCOUNT, HOME, held.native_id)
    assert len(listed(world)) == 1
    world.cloud.protect(held, "")
    world.kind.expire(ACCOUNT, HOME, held.native_id)
    assert listed(world) == []


@pytest.mark.parametrize(
    ("fault", "told", "left"),
    [("lose", None, 1), ("before", Unavailable, 1), ("timeout", OutcomeUnknown, 1), ("after", OutcomeUnknown, 0)],
)
def test_a_deletion_can_be_ordered_to_fail_or_to_lie(fault: Fault, told: type[DrorchError] | None, left: int) -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    made = usable_point(world, "point1")
    faulty = FaultySnapshots(world.inner)
    faulty.faults.order("expire", fault)
    with nullcontext() if told is None else pytest.raises(told):
        faulty.expire(ACCOUNT, HOME, made.native_id)
    assert len(listed(world)) == left
    faulty.expire(ACCOUNT, HOME, made.native_id)
    assert listed(world) == []


def test_a_providers_clock_can_be_turned_and_lost() -> None:
    faulty = FaultySnapshots(MemorySnapshots(MemoryCloud(lambda: NOW)))
    faulty.clock = timedelta(hours=-2)
    assert faulty.now(ACCOUNT, HOME) == NOW - timedelta(hours=2)
    faulty.faults.order("now", "before")
    with pytest.raises(Unavailable):
        faulty.now(ACCOUNT, HOME)


def test_a_lost_region_keeps_what_it_held() -> None:
    world = MemoryWorld(named=False)
    world.source_with()
    cut(world)
    world.lose(HOME)
    with pytest.raises(Unavailable):
        listed(world)
    assert len(world.cloud.snapshots()) == 1
    world.give_back(HOME)
    assert len(listed(world)) == 1


def test_a_set_of_an_instance_is_one_call_with_as_many_members() -> None:
    world = MemoryWorld(named=False)
    sources = [Source("vol-1", instance="i-1"), Source("vol-2", instance="i-1"), Source("vol-3")]
    world.cloud.put_sources("ec2", ACCOUNT, HOME, sources)
    order = cut_order(sources)
    made = [world.kind.cut(order, call) for call in range(len(world.kind.creating_calls(sources)))]
    assert [[snapshot.tags["drorch:set"] for snapshot in call] for call in made] == [["1/2:2"] * 2, ["2/2:1"]]
