"""The fault kit does what it says: a test that orders a bad day gets it, and only there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from faults import FaultySnapshots, FaultyStore

from drorch.domain.errors import NotFound, OutcomeUnknown, Unavailable
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds.memory import MemoryCloud, MemorySnapshots
from drorch.ports import CutOrder, LockRule
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOME, AWAY = "us-east-1", "us-west-2"


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


def read(store: FaultyStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FaultyStore) -> list[str]:
    return [found.path for found in store.list("")]


def test_before_leaves_nothing_and_after_leaves_everything(store: FaultyStore) -> None:
    store.faults.order("put", "before")
    store.faults.order("put", "after")
    with pytest.raises(Unavailable):
        store.put("a", b"x")
    with pytest.raises(OutcomeUnknown):
        store.put("b", b"x")
    store.put("c", b"x")
    assert paths(store) == ["b", "c"]
    assert store.faults.calls["put"] == 3


def test_order_waits_for_calls_to_pass(store: FaultyStore) -> None:
    store.faults.order("put", "before", after=2)
    store.put("a", b"x")
    store.put("b", b"x")
    with pytest.raises(Unavailable):
        store.put("c", b"x")


def test_commit_after_is_visible_and_commit_lost_is_not(store: FaultyStore) -> None:
    store.faults.order("commit", "after")
    store.faults.order("commit", "lose")
    with pytest.raises(OutcomeUnknown):
        store.upload("a").commit()
    store.upload("b").commit()
    assert paths(store) == ["a"]


def test_put_lost_is_silent(store: FaultyStore) -> None:
    store.faults.order("put", "lose")
    store.put("a", b"x")
    with pytest.raises(NotFound):
        store.stat("a")


def test_short_read_ends_half_way_and_flipped_read_differs_in_one_bit(store: FaultyStore) -> None:
    store.put("a", b"0123456789")
    store.faults.order("read", "short")
    chunks = store.read("a")
    assert next(chunks) == b"01234"
    with pytest.raises(Unavailable):
        next(chunks)
    store.faults.order("read", "flip")
    flipped = read(store, "a")
    assert sum((left ^ right).bit_count() for left, right in zip(flipped, b"0123456789", strict=True)) == 1
    assert read(store, "a") == b"0123456789"


def test_listing_is_half_or_stale_for_as_many_passes_as_ordered(store: FaultyStore) -> None:
    for path in ("a", "b", "c", "d"):
        store.put(path, b"x")
    store.faults.order("list", "half")
    listing = store.list("")
    assert [next(listing).path, next(listing).path] == ["a", "b"]
    with pytest.raises(Unavailable):
        next(listing)
    store.stale(2)
    store.put("e", b"x")
    assert ["e" in paths(store) for _ in range(3)] == [False, False, True]


def test_stalled_call_goes_on_when_released(store: FaultyStore) -> None:
    store.faults.order("write", "stall")
    upload = store.upload("a")
    writer = threading.Thread(target=lambda: (upload.write(b"x"), upload.commit()))
    writer.start()
    assert store.faults.stalled.wait(10)
    assert paths(store) == []
    store.faults.release()
    writer.join(10)
    assert paths(store) == ["a"]


def test_black_hole_swallows_every_call_until_it_ends(store: FaultyStore) -> None:
    store.faults.black_hole()
    for call in (
        lambda: store.put("a", b"x"),
        lambda: store.stat("a"),
        lambda: paths(store),
        lambda: store.upload("a"),
    ):
        with pytest.raises(Unavailable):
            call()  # type: ignore[no-untyped-call]
    store.faults.recover()
    store.put("a", b"x")


def test_unknown_fault_is_not_accepted(store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="unknown"):
        store.faults.order("put", "explode")  # type: ignore[arg-type]


# --- snapshots -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kind() -> FaultySnapshots:
    cloud = MemoryCloud(lambda: datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
    for region in (HOME, AWAY):
        cloud.put_sources("ec2", "prod", region, [Source("vol-1")])
    return FaultySnapshots(MemorySnapshots(cloud))


def order(point: str, region: str = HOME) -> CutOrder:
    tags = {"drorch:site": "acme", "drorch:point": point}
    return CutOrder(account="prod", region=region, point=point, sources=(Source("vol-1"),), tags=tags)


def listed(kind: FaultySnapshots, region: str = HOME) -> list[NativeSnapshot]:
    return list(kind.snapshots("prod", region, "acme"))


def test_cut_whose_reply_is_lost_is_found_by_looking(kind: FaultySnapshots) -> None:
    kind.faults.order("cut", "before")
    kind.faults.order("cut", "after")
    with pytest.raises(Unavailable):
        kind.cut(order("a"), 0)
    assert kind.find("prod", HOME, "a") == ()
    with pytest.raises(OutcomeUnknown):
        kind.cut(order("a"), 0)
    assert len(kind.find("prod", HOME, "a")) == 1


def test_snapshot_listing_is_half_or_stale_for_as_many_passes_as_ordered(kind: FaultySnapshots) -> None:
    kind.cut(order("a"), 0)
    assert len(listed(kind)) == 1
    kind.stale(2)
    kind.cut(order("b"), 0)
    assert [len(listed(kind)) for _ in range(3)] == [1, 1, 2]
    kind.faults.order("snapshots", "half")
    listing = kind.snapshots("prod", HOME, "acme")
    next(listing)
    with pytest.raises(Unavailable):
        next(listing)


def test_black_holed_region_leaves_the_others(kind: FaultySnapshots) -> None:
    kind.faults.black_hole(HOME)
    with pytest.raises(Unavailable):
        listed(kind)
    with pytest.raises(Unavailable):
        kind.cut(order("a"), 0)
    kind.cut(order("a", AWAY), 0)
    assert len(listed(kind, AWAY)) == 1


# --- clock, locks, unfinished uploads ------------------------------------------------------------------------------


def test_the_clock_of_a_store_is_turned_and_fails_on_order() -> None:
    store = FaultyStore(MemoryStore(now=lambda: NOON))
    store.clock = timedelta(minutes=10)
    assert store.now() == NOON + timedelta(minutes=10)
    store.faults.order("now", "before")
    with pytest.raises(Unavailable):
        store.now()


def test_an_extension_of_a_lock_is_lost_without_a_word_or_happens_without_one() -> None:
    store = FaultyStore(MemoryStore(now=lambda: NOON, lock=LockRule(for_=timedelta(days=1))))
    assert store.lock is not None
    store.put("drorch/v1/data/a", b"x")
    before = store.lock_of("drorch/v1/data/a")
    store.faults.order("extend_lock", "lose")
    store.faults.order("extend_lock", "after")
    store.extend_lock("drorch/v1/data/a", NOON + timedelta(days=2))
    assert store.lock_of("drorch/v1/data/a") == before
    with pytest.raises(OutcomeUnknown):
        store.extend_lock("drorch/v1/data/a", NOON + timedelta(days=2))
    found = store.lock_of("drorch/v1/data/a")
    assert found is not None
    assert found.until == NOON + timedelta(days=2)
    store.faults.order("lock_of", "before")
    with pytest.raises(Unavailable):
        store.lock_of("drorch/v1/data/a")


def test_unfinished_uploads_are_shown_by_halves_and_not_dropped_on_order(store: FaultyStore) -> None:
    for path in ("a", "b"):
        store.inner.upload(path)
    store.faults.order("uploads", "half")
    shown = store.uploads("")
    first = next(shown)
    with pytest.raises(Unavailable):
        next(shown)
    store.faults.order("abort_upload", "lose")
    store.abort_upload(first)
    assert len(list(store.uploads(""))) == 2
    store.abort_upload(first)
    assert [pending.path for pending in store.uploads("")] == ["b"]
