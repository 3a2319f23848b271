"""The planner on locks of native copies: which are put, extended and left alone, and what a lock holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from passes import AWAY, HOME, OFF
from planning import FAILED, FREE, GRACE, NOW, data, expired, marks, only, planned, point, recorded, seen, slot

from drorch.domain.action import Action, Expire, Hold, Lock
from drorch.domain.catalogue import FoldMemory, fold
from drorch.domain.catalogue_locks import NEVER_LOCKED, with_locks
from drorch.domain.catalogue_native import NativeView
from drorch.domain.model import Copy, CopyState, FailureDomain, LockMode, Member, ObjectLock, RecoveryPoint, Vault
from drorch.domain.native import NativeSnapshot
from drorch.domain.policy import Keep, LockRule, ResourcePolicy, VaultRule

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FOR = timedelta(days=35)
COMPLIANCE, GOVERNANCE = LockMode.COMPLIANCE, LockMode.GOVERNANCE


def locking(mode: LockMode = COMPLIANCE, length: timedelta = FOR, **changes: object) -> ResourcePolicy:
    """Volumes, their copies locked."""
    keep, rule = Keep(last=3), LockRule(for_=length, mode=mode)
    targets = (VaultRule(vault=HOME, keep=keep, home=True), VaultRule(vault=AWAY, keep=keep, lock=rule))
    return data(targets=targets, **changes)


def copied(
    hour: float,
    until: datetime | None = None,
    mode: LockMode | None = GOVERNANCE,
    state: CopyState = CopyState.USABLE,
    **more: Any,
) -> RecoveryPoint:
    """A point that is usable at AWAY since `hour` hours, and what is known of its lock there."""
    more = {"usable_at": NOW - hour * HOUR} | more
    away = recorded(AWAY, state, locked_until=until, lock_mode=mode, held_until=until, **more)
    return point(slot(hour), recorded(HOME), away)


def locks(actions: list[Action]) -> dict[str, datetime | None]:
    return {action.point: action.until for action in actions if isinstance(action, Lock)}


def of(*points: RecoveryPoint, resource: ResourcePolicy | None = None, **changes: Any) -> list[Action]:
    return planned(seen(*points, **changes), resource or locking())


def test_a_usable_copy_without_a_lock_gets_one_from_when_it_was_usable() -> None:
    points = [copied(hour) for hour in (0, 1, 2, 3)]
    assert locks(of(*points)) == {
        points[0].id: NOW + FOR,
        points[1].id: NOW + FOR,  # of the floor
        points[2].id: NOW - 2 * HOUR + FOR,
        points[3].id: NOW - 3 * HOUR + FOR,
    }
    (lock, *_) = only(of(points[0]), Lock)
    assert isinstance(lock, Lock) and (lock.vault, lock.extend) == (AWAY, True)


def test_home_and_copies_without_a_lock_of_their_own_are_left_alone() -> None:
    assert not locks(of(copied(0), resource=data()))
    assert {a.vault for a in of(copied(0)) if isinstance(a, Lock)} == {AWAY}


@pytest.mark.parametrize("state", [CopyState.PENDING, FAILED, CopyState.EXPIRING])
def test_what_is_not_usable_yet_or_never_or_is_being_let_go_is_not_locked(state: CopyState) -> None:
    assert not locks(of(copied(0, state=state)))
    assert not locks(of(copied(0, expired_at=NOW)))


def test_what_is_locked_until_its_end_is_left_alone_and_a_shorter_lock_is_not() -> None:
    older = [copied(hour, NOW + FOR, COMPLIANCE) for hour in (0, 1)]
    for hour in (5, 24 * 30):
        end = NOW - hour * HOUR + FOR
        assert not locks(of(*older, copied(hour, end, COMPLIANCE)))
        assert not locks(of(*older, copied(hour, end - HOUR, COMPLIANCE)))
        short = copied(hour, end - HOUR - timedelta(seconds=1), COMPLIANCE)
        assert locks(of(*older, short)) == {short.id: end}


def test_a_copy_whose_time_is_over_is_not_locked_again() -> None:
    floor = [copied(hour, NOW + FOR, COMPLIANCE) for hour in (0, 1)]
    for until in (None, NOW - DAY):
        assert not locks(of(*floor, copied(24 * 35, until, COMPLIANCE)))


def test_the_floor_is_extended_as_time_goes_on() -> None:
    for length, slack in ((FOR, DAY), (2 * DAY, 12 * HOUR)):
        resource = locking(length=length)
        for until, due in ((NOW + length - slack, False), (NOW + length - slack - timedelta(seconds=1), True)):
            made = copied(24, until, COMPLIANCE)
            assert locks(of(made, resource=resource)) == ({made.id: NOW + length} if due else {})


def test_without_a_record_any_lock_is_enough_but_for_the_floor() -> None:
    floor = [copied(hour, NOW + FOR, COMPLIANCE) for hour in (0, 1)]
    fresh, locked = (copied(2, until, COMPLIANCE, usable_at=None) for until in (None, NOW + DAY))
    assert locks(of(*floor, fresh)) == {fresh.id: NOW + FOR}
    assert not locks(of(*floor, locked))


def test_a_lock_of_the_weaker_mode_is_put_again_and_one_of_the_stronger_is_nobody_s_to_extend() -> None:
    weak = copied(0, NOW + FOR, GOVERNANCE)
    assert locks(of(weak)) == {weak.id: NOW + FOR}
    assert not locks(of(weak, resource=locking(GOVERNANCE)))
    strong = copied(0, NOW + DAY, COMPLIANCE)
    assert not locks(of(strong, resource=locking(GOVERNANCE)))
    over = copied(0, NOW, COMPLIANCE)
    assert locks(of(over, resource=locking(GOVERNANCE))) == {over.id: NOW + FOR}


def test_what_should_have_been_locked_long_since_is_an_alarm() -> None:
    floor = [copied(hour, NOW + FOR, COMPLIANCE) for hour in (0, 1)]
    for hour, alarmed in ((0.9, False), (2, True)):
        found = [a for a in of(*floor, copied(hour)) if isinstance(a, Hold) and a.alarm == "lock-missing"]
        assert bool(found) is alarmed
    (hold,) = [a for a in of(*floor, copied(2, NOW + DAY, COMPLIANCE)) if isinstance(a, Hold) and "lock" in a.alarm]
    assert hold.reason.endswith("and it has one in compliance mode until 2026-11-21T09:30:00Z")


def test_what_nobody_knows_is_neither_locked_nor_an_alarm() -> None:
    assert not locks(of(copied(2, mode=None)))
    actions = of(copied(2), locks_unread={AWAY: "denied"})
    assert not locks(actions)
    reason = "the locks of its copies could not be listed: denied"
    assert Hold("shop", "data", AWAY, "", reason, "locks-unread") in actions
    assert not locks(of(copied(2), unread={AWAY: "timeout"}))
    assert not [a for a in of(copied(2), resource=data(), locks_unread={AWAY: "denied"}) if "listed" in a.reason]


def test_nothing_is_locked_by_a_clock_that_may_be_wrong_or_for_a_point_of_the_future() -> None:
    """A lock in compliance mode cannot be taken back."""
    actions = of(copied(0), skewed="the region is 9 minutes ahead")
    assert not locks(actions)
    assert [a for a in actions if isinstance(a, Hold) and a.alarm == "clock" and "no lock while" in a.reason]
    ahead = point(slot(0), *copied(0).copies, cut_at=NOW + timedelta(minutes=6))
    assert not locks(of(ahead))


# --- what a lock holds ----------------------------------------------------------------------------------------------


def letting_go(until: datetime | None, **more: Any) -> RecoveryPoint:
    since = NOW - 4 * DAY
    return copied(9, until, COMPLIANCE, CopyState.EXPIRING, **({"marked_at": since, "expiring_since": since, **more}))


def kept() -> list[RecoveryPoint]:
    return [copied(hour, NOW + FOR, COMPLIANCE) for hour in range(5)]


def test_a_locked_copy_is_held_with_the_date_and_goes_when_its_lock_has_ended() -> None:
    for until, goes in ((NOW + timedelta(seconds=1), False), (NOW, True), (None, True)):
        made = letting_go(until)
        actions = of(*kept(), made, grace=GRACE, brake=FREE)
        assert (made.id in expired(actions, AWAY)) is goes
        if not goes:
            assert [a for a in actions if a.point == made.id and "locked until 2026-11-20T09:30:01Z" in a.reason]


def test_one_locked_member_holds_the_copy_that_is_not_locked_as_a_whole() -> None:
    made = letting_go(None)
    away = made.copies[1]
    held = Copy(**{name: getattr(away, name) for name in away.__slots__} | {"held_until": NOW + DAY})
    actions = of(*kept(), point(slot(9), made.copies[0], held), grace=GRACE, brake=FREE)
    assert not expired(actions, AWAY)


def test_a_deletion_that_was_begun_waits_for_a_lock_that_was_put_since() -> None:
    for until, goes in ((NOW + DAY, False), (NOW - DAY, True)):
        begun = copied(9, until, COMPLIANCE, FAILED, expired_at=NOW - HOUR, why="1 member is gone")
        actions = of(*kept(), begun, grace=GRACE, brake=FREE)
        assert (begun.id in expired(actions, AWAY)) is goes
        held = [a for a in actions if a.point == begun.id and "not ended; locked until 2026-11-21" in a.reason]
        assert bool(held) is not goes


def test_a_locked_copy_is_not_even_marked_without_an_approval() -> None:
    made = copied(9, NOW + DAY, COMPLIANCE)
    actions = of(*kept(), made, brake=FREE)
    assert made.id not in marks(actions, vault=AWAY)
    assert [a for a in actions if a.point == made.id and "it is locked until 2026-11-21T09:30:00Z" in a.reason]
    approved = of(*kept(), made, brake=FREE, approved=frozenset({(AWAY, made.id)}))
    assert made.id in marks(approved, vault=AWAY)
    assert not only(approved, Expire)


# --- what locks make of a copy --------------------------------------------------------------------------------------

LATE, SOON = ObjectLock(COMPLIANCE, NOW + FOR), ObjectLock(COMPLIANCE, NOW + DAY)
WEAK = ObjectLock(GOVERNANCE, NOW + 2 * FOR)


@pytest.mark.parametrize(
    ("first", "second", "mode", "until", "held"),
    [
        (LATE, SOON, COMPLIANCE, SOON.until, LATE.until),
        (LATE, WEAK, GOVERNANCE, LATE.until, WEAK.until),
        (LATE, NEVER_LOCKED, GOVERNANCE, None, LATE.until),
        (NEVER_LOCKED, NEVER_LOCKED, GOVERNANCE, None, None),
        (LATE, None, None, None, LATE.until),
        (None, None, None, None, None),
    ],
)
def test_a_copy_is_locked_as_far_as_all_of_it_is_and_held_by_any_of_it(
    first: ObjectLock | None,
    second: ObjectLock | None,
    mode: LockMode | None,
    until: datetime | None,
    held: datetime | None,
) -> None:
    members = (Member("snap-1", "vol-1"), Member("snap-2", "vol-2"))
    locks = {(AWAY, m.native_id): lock for m, lock in zip(members, (first, second), strict=True) if lock is not None}
    found = with_locks(Copy(AWAY, CopyState.USABLE, members), {**locks, (HOME, "snap-2"): WEAK})
    assert (found.lock_mode, found.locked_until, found.held_until) == (mode, until, held)


def test_an_image_is_locked_by_its_snapshots() -> None:
    members = (Member("ami-1", "i-1", "image"), Member("snap-1", "vol-1", image="ami-1"))
    found = with_locks(Copy(AWAY, CopyState.USABLE, members), {(AWAY, "snap-1"): LATE})
    assert (found.lock_mode, found.locked_until) == (COMPLIANCE, LATE.until)


def test_dumps_are_locked_by_their_vault_and_not_here() -> None:
    made = point(slot(0), Copy(OFF, CopyState.USABLE, path="data/"), of="orders")
    assert not locks(planned(seen(made), data()))


def test_a_lock_that_is_seen_later_is_not_hidden_by_what_was_folded_before() -> None:
    tags = {"drorch:application": "shop", "drorch:resource": "data", "drorch:point": "p1", "drorch:slot": slot(0)}
    copied_to = NativeSnapshot("snap-1", "prod", "us-west-2", "ec2", "usable", tags, "vol-1", NOW)
    vault = Vault(AWAY, FailureDomain("aws", "us-west-2", "prod"), native=True)
    view = NativeView(vault, "ebs", complete=True, snapshots=(copied_to,), at=NOW)
    memory = FoldMemory()
    found = []
    for seen_locks in (None, {}, {"snap-1": SOON}, {"snap-1": LATE}, {}):
        catalogue = fold("shop", [], [replace(view, locks=seen_locks)], lambda *_: True, NOW, memory)
        (copy,) = catalogue.points[0].copies
        found.append((copy.lock_mode, copy.locked_until))
    unlocked = (GOVERNANCE, None)
    assert found == [(None, None), unlocked, (COMPLIANCE, SOON.until), (COMPLIANCE, LATE.until), unlocked]
