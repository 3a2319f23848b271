"""The ports LocksCopies and TellsLocks, clause by clause: EBS on the embedded cloud, and the fake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from native_clouds import (
    ACCOUNT,
    AWAY,
    HOME,
    LOCKING_WORLDS,
    OTHER_POINT,
    POINT,
    Cloud,
    World,
    cloud,
    copy_order,
    cut,
    listed,
    world_of,
)

from drorch.domain.errors import NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.instant import floor_second, to_text
from drorch.domain.model import LockMode, ObjectLock
from drorch.domain.native import NativeSnapshot
from drorch.ports import LocksCopies

DAY = timedelta(days=1)
COMPLIANCE, GOVERNANCE = LockMode.COMPLIANCE, LockMode.GOVERNANCE


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as opened:
        yield opened


@pytest.fixture(params=LOCKING_WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    made = world_of(request.param, lambda: request.getfixturevalue("aws"))
    made.source_with()
    return made


def kind(world: World) -> LocksCopies:
    assert isinstance(world.kind, LocksCopies)
    return world.kind


def usable(world: World, point: str = POINT) -> NativeSnapshot:
    made = cut(world, point)
    world.finish()
    (seen,) = (snapshot for snapshot in listed(world) if snapshot.native_id == made.native_id)
    return seen


def wanted(world: World, mode: LockMode = COMPLIANCE, days: float = 5) -> ObjectLock:
    return ObjectLock(mode, floor_second(world.kind.now(ACCOUNT, HOME) + days * DAY))


def lock(world: World, snapshot: NativeSnapshot, wish: ObjectLock) -> None:
    kind(world).lock(ACCOUNT, HOME, snapshot.native_id, wish.mode, wish.until)


def found(world: World, *native_ids: str, region: str = HOME) -> dict[str, ObjectLock]:
    return dict(kind(world).locks(ACCOUNT, region, native_ids))


@pytest.mark.parametrize("mode", [COMPLIANCE, GOVERNANCE])
def test_a_lock_is_read_back_as_it_was_put_and_no_other_snapshot_has_it(world: World, mode: LockMode) -> None:
    locked, free = usable(world), usable(world, OTHER_POINT)
    assert found(world) == {}
    wish = wanted(world, mode)
    lock(world, locked, wish)
    assert found(world) == found(world, locked.native_id, free.native_id) == {locked.native_id: wish}
    assert found(world, free.native_id) == {}
    assert found(world, region=AWAY) == {}


def test_a_locked_snapshot_does_not_go_and_its_lock_is_named(world: World) -> None:
    for mode in (GOVERNANCE, COMPLIANCE):
        snapshot = usable(world)
        wish = wanted(world, mode)
        lock(world, snapshot, wish)
        with pytest.raises(Refused, match=f"locked \\({mode}\\)") as refused:
            world.kind.expire(ACCOUNT, HOME, snapshot.native_id)
        assert (refused.value.vault, refused.value.resource) == (f"{ACCOUNT}.{HOME}", snapshot.native_id)
        assert to_text(wish.until) in refused.value.cause
        assert snapshot.native_id in {seen.native_id for seen in listed(world) if seen.state == "usable"}


def test_a_lock_in_compliance_mode_becomes_longer_and_nothing_else(world: World) -> None:
    snapshot, wish = usable(world), wanted(world)
    lock(world, snapshot, wish)
    for weaker in (wanted(world, days=4), wish, wanted(world, GOVERNANCE, days=9)):
        with pytest.raises(Refused):
            lock(world, snapshot, weaker)
        assert found(world) == {snapshot.native_id: wish}
    longer = wanted(world, days=6)
    lock(world, snapshot, longer)
    assert found(world) == {snapshot.native_id: longer}


def test_a_lock_in_governance_mode_can_be_made_longer_for_good_and_put_twice(world: World) -> None:
    snapshot, wish = usable(world), wanted(world, GOVERNANCE)
    lock(world, snapshot, wish)
    lock(world, snapshot, wish)
    assert found(world) == {snapshot.native_id: wish}
    for better in (wanted(world, GOVERNANCE, days=6), wanted(world, days=7)):
        lock(world, snapshot, better)
        assert found(world) == {snapshot.native_id: better}


def test_a_lock_that_ends_at_once_is_refused(world: World) -> None:
    snapshot = usable(world)
    with pytest.raises(Refused):
        lock(world, snapshot, wanted(world, days=-1))
    assert found(world) == {}


def test_a_copy_has_a_lock_of_its_own(world: World) -> None:
    source = usable(world)
    lock(world, source, wanted(world))
    copied = world.kind.copy(copy_order(source))
    world.finish()
    assert found(world, region=AWAY) == {}
    world.kind.expire(ACCOUNT, AWAY, copied.native_id)
    assert listed(world, AWAY) == []


def test_what_is_gone_or_lies_elsewhere_cannot_be_locked(world: World) -> None:
    snapshot, wish = usable(world), wanted(world)
    with pytest.raises(NotFound) as refused:
        kind(world).lock(ACCOUNT, AWAY, snapshot.native_id, wish.mode, wish.until)
    assert (refused.value.vault, refused.value.resource) == (f"{ACCOUNT}.{AWAY}", snapshot.native_id)
    assert found(world) == {}


def test_locks_are_listed_past_their_first_page(world: World) -> None:
    snapshots = [usable(world, f"point{number}") for number in range(5)]
    wish = wanted(world)
    for snapshot in snapshots:
        lock(world, snapshot, wish)
    world.short_pages()
    assert found(world) == {snapshot.native_id: wish for snapshot in snapshots}


def test_the_locks_of_a_lost_region_are_not_known_and_none_is_put_there(world: World) -> None:
    snapshot, wish = usable(world), wanted(world)
    world.lose(HOME)
    with pytest.raises(Unavailable) as lost:
        found(world)
    assert lost.value.vault == f"{ACCOUNT}.{HOME}"
    with pytest.raises(Unavailable):
        found(world, snapshot.native_id)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        lock(world, snapshot, wish)
    world.give_back(HOME)
    assert found(world) == {}
