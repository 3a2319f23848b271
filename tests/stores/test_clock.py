"""A store's clock as the ends of locks need it, and what comes of a rule, a wish and what was read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drorch.domain.errors import Refused
from drorch.domain.model import LockMode, ObjectLock
from drorch.ports import LockRule
from drorch.stores import CLOCK_KEPT, StoreClock, lock_from, require_lock, stronger

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
COMPLIANCE, GOVERNANCE = LockMode.COMPLIANCE, LockMode.GOVERNANCE


class World:
    """A store's clock and a host's, both turned by hand."""

    def __init__(self) -> None:
        self.store, self.host, self.asked = NOON, 1000.0, 0

    def ask(self) -> datetime:
        self.asked += 1
        return self.store


def test_between_two_replies_the_hosts_monotonic_clock_counts() -> None:
    world = World()
    clock = StoreClock(world.ask, monotonic=lambda: world.host)
    assert clock.reckoned() == NOON
    world.host += 60
    assert (clock.reckoned(), world.asked) == (NOON + timedelta(seconds=60), 1)


def test_a_reply_is_reckoned_with_for_a_quarter_of_an_hour() -> None:
    world = World()
    clock = StoreClock(world.ask, monotonic=lambda: world.host)
    clock.now()
    world.host += CLOCK_KEPT
    world.store += HOUR
    assert (clock.reckoned(), world.asked) == (NOON + HOUR, 2)


def test_the_present_is_asked_for_each_time() -> None:
    world = World()
    clock = StoreClock(world.ask, monotonic=lambda: world.host)
    clock.now()
    world.store += HOUR
    assert clock.now() == NOON + HOUR
    assert clock.reckoned() == NOON + HOUR


def test_a_lock_ends_on_a_whole_second_and_not_too_early() -> None:
    rule = LockRule(for_=HOUR)
    assert lock_from(rule, NOON).until == NOON + HOUR
    assert lock_from(rule, NOON + timedelta(microseconds=1)).until == NOON + HOUR + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("wanted", "found", "made"),
    [
        ((COMPLIANCE, NOON), None, (COMPLIANCE, NOON)),
        ((COMPLIANCE, NOON), (COMPLIANCE, NOON + HOUR), (COMPLIANCE, NOON + HOUR)),
        ((COMPLIANCE, NOON + HOUR), (GOVERNANCE, NOON), (COMPLIANCE, NOON + HOUR)),
        ((GOVERNANCE, NOON + HOUR), (COMPLIANCE, NOON), (COMPLIANCE, NOON + HOUR)),
    ],
)
def test_a_lock_never_gets_weaker(
    wanted: tuple[LockMode, datetime], found: tuple[LockMode, datetime] | None, made: tuple[LockMode, datetime]
) -> None:
    assert stronger(ObjectLock(*wanted), ObjectLock(*found) if found else None) == ObjectLock(*made)


@pytest.mark.parametrize(
    ("found", "fine"),
    [
        (ObjectLock(COMPLIANCE, NOON), True),
        (ObjectLock(COMPLIANCE, NOON + HOUR), True),
        (ObjectLock(COMPLIANCE, NOON - timedelta(seconds=1)), False),
        (ObjectLock(GOVERNANCE, NOON + HOUR), False),
        (None, False),
    ],
)
def test_what_is_read_back_is_at_least_what_was_asked_for(found: ObjectLock | None, fine: bool) -> None:
    where = {"operation": "put", "vault": "v", "resource": "a", "hint": "do this"}
    if fine:
        require_lock(ObjectLock(COMPLIANCE, NOON), found, **where)
        return
    with pytest.raises(Refused, match="claims a lock that it does not give"):
        require_lock(ObjectLock(COMPLIANCE, NOON), found, **where)
