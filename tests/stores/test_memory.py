"""The public fake with versions and locks, by a clock that is turned by hand; and what an attacker does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drorch.domain.errors import NotFound, NotInThisVersion, Refused
from drorch.domain.model import LockMode, ObjectLock
from drorch.ports import LockRule
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATA = "drorch/v1/data/shop/orders/p/data"
RULE = LockRule(for_=timedelta(days=35))


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def locking(clock: Clock) -> MemoryStore:
    return MemoryStore(now=clock.now, lock=RULE)


def bodies(store: MemoryStore, path: str) -> list[bytes]:
    return [b"" if found.marker else b"".join(store.read(path, version=found.version)) for found in store.history(path)]


def test_without_versions_what_is_planted_replaces_and_what_is_hidden_is_gone() -> None:
    store = MemoryStore()
    store.put("a", b"ours")
    store.plant("a", b"theirs")
    assert [(found.path, found.version) for found in store.history("")] == [("a", "")]
    assert b"".join(store.read("a")) == b"theirs"
    store.hide("a")
    assert list(store.history("")) == []


def test_with_versions_everything_from_before_can_be_read() -> None:
    store = MemoryStore(versioned=True)
    store.put("a", b"ours")
    store.plant("a", b"theirs")
    store.hide("a")
    assert bodies(store, "a") == [b"ours", b"theirs", b""]
    assert list(store.list("")) == []
    with pytest.raises(NotFound):
        store.stat("a")
    with pytest.raises(NotFound):
        list(store.read("a", version="no such"))
    store.put("a", b"again")
    assert bodies(store, "a") == [b"ours", b"theirs", b"", b"again"]
    store.delete("a")
    assert list(store.history("")) == []


def test_a_lock_holds_until_its_end_by_the_stores_clock(locking: MemoryStore, clock: Clock) -> None:
    locking.put(DATA, b"ours")
    assert locking.lock_of(DATA) == ObjectLock(LockMode.COMPLIANCE, NOON + RULE.for_)
    locking.hide(DATA)
    clock.at += RULE.for_ - timedelta(seconds=1)
    with pytest.raises(Refused, match="locked until 2026-12-25"):
        locking.delete(DATA)
    assert bodies(locking, DATA) == [b"ours", b""]
    clock.at += timedelta(seconds=1)
    locking.delete(DATA)
    assert list(locking.history("")) == []


def test_records_and_data_are_locked_and_what_is_written_over_is_not(locking: MemoryStore) -> None:
    upload = locking.upload(DATA)
    upload.write(b"x")
    upload.commit()
    locking.put("drorch/v1/records/shop/x.json", b"{}")
    locking.put("drorch/v1/heads/shop/x.json", b"{}")
    locking.put("drorch/v1/data/shop/y", b"{}", overwrite=True)
    locks = {info.path: locking.lock_of(info.path) is not None for info in locking.list("")}
    assert locks == {
        DATA: True,
        "drorch/v1/records/shop/x.json": True,
        "drorch/v1/heads/shop/x.json": False,
        "drorch/v1/data/shop/y": False,
    }


def test_a_lock_is_extended_and_never_shortened(locking: MemoryStore) -> None:
    locking.put(DATA, b"ours")
    locking.extend_lock(DATA, NOON)
    assert locking.lock_of(DATA) == ObjectLock(LockMode.COMPLIANCE, NOON + RULE.for_)
    locking.extend_lock(DATA, NOON + 2 * RULE.for_)
    assert locking.lock_of(DATA) == ObjectLock(LockMode.COMPLIANCE, NOON + 2 * RULE.for_)


def test_without_a_lock_nothing_is_locked() -> None:
    store = MemoryStore()
    store.put(DATA, b"ours")
    assert store.lock_of(DATA) is None
    for ask in (lambda: store.lock_of("absent"), lambda: store.extend_lock("absent", NOON)):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(NotInThisVersion):
        store.extend_lock(DATA, NOON)


def test_an_upload_that_nobody_ended_is_shown_until_it_is_dropped(clock: Clock) -> None:
    store = MemoryStore(now=clock.now)
    store.upload(DATA).write(b"half")
    ended = store.upload("b")
    ended.commit()
    store.upload("c").abort()
    (pending,) = store.uploads("")
    assert (pending.path, pending.begun) == (DATA, NOON)
    assert list(store.uploads("drorch/v1/records/")) == []
    store.abort_upload(pending)
    store.abort_upload(pending)
    assert list(store.uploads("")) == []


def test_another_lock_on_the_same_store_shares_what_it_holds(locking: MemoryStore) -> None:
    other = locking.with_lock(LockRule(for_=timedelta(minutes=1)), "check/")
    other.put("check/a", b"x")
    other.put(DATA, b"y")
    assert locking.lock_of("check/a") == ObjectLock(LockMode.COMPLIANCE, NOON + timedelta(minutes=1))
    assert locking.lock_of(DATA) is None
    assert {found.version for found in locking.history("")} == {"v1", "v2"}
