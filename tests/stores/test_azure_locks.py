"""Azure with version-level immutability: what is locked, what is read back, and what a deletion takes. On a stub."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import azurite
import pytest
from azure.storage.blob import ContainerClient
from azure_stub import AzureStub
from live_stores import BUCKET, LOCK, azure_store
from store_proxy import StoreProxy, refusal

from drorch.domain.errors import NotInThisVersion, Refused, Unavailable
from drorch.domain.model import LockMode
from drorch.ports import LockRule, StoreLimits
from drorch.stores import StoreClock, azure
from drorch.stores.azure import locks

PART = 64 * 1024
DATA = "drorch/v1/data/shop/orders/p/data"
GOVERNED = LockRule(mode=LockMode.GOVERNANCE, for_=timedelta(days=2))
NOON = datetime(2031, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def stub() -> Iterator[AzureStub]:
    with AzureStub() as opened:
        yield opened


def opened(stub: AzureStub | StoreProxy, lock: LockRule | None = LOCK) -> azure.AzureStore:
    store = azure_store(stub.port, lock=lock)
    store.limits = StoreLimits(part_bytes=PART)
    return store


def container(stub: AzureStub) -> ContainerClient:
    """Another program's way in."""
    return ContainerClient.from_connection_string(azurite.connection_string(stub.port), BUCKET)


def send_large(store: azure.AzureStore, path: str) -> None:
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b")
    upload.commit()


def bodies(store: azure.AzureStore, path: str) -> list[bytes]:
    """Of every version, the oldest first; a marker is nothing."""
    return [
        b"" if found.marker else b"".join(store.read(path, version=found.version))
        for found in store.history(path)
        if found.path == path
    ]


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_records_and_data_are_locked_by_the_stores_clock(stub: AzureStub, rule: LockRule) -> None:
    store = opened(stub, rule)
    store._clock = StoreClock(lambda: NOON, monotonic=lambda: 0.0)
    store.put(DATA, b"body")
    send_large(store, DATA + ".large")
    for path in (DATA, DATA + ".large"):
        lock = store.lock_of(path)
        assert lock is not None
        assert (lock.mode, lock.until) == (rule.mode, NOON + rule.for_)


def test_what_is_written_over_or_removed_again_is_not_locked(stub: AzureStub) -> None:
    store = opened(stub)
    store.put("drorch/v1/RESTORE.md", b"guide", overwrite=True)
    store.put("drorch/v1/heads/shop/x.json", b"{}")
    store.put(DATA, b"body", overwrite=True)
    for path in ("drorch/v1/RESTORE.md", "drorch/v1/heads/shop/x.json", DATA):
        assert store.lock_of(path) is None


@pytest.mark.parametrize("large", [False, True])
def test_a_store_that_takes_the_words_and_does_not_lock_is_found_out(stub: AzureStub, large: bool) -> None:
    store = opened(stub)
    stub.locking = False
    with pytest.raises(Refused, match="claims a lock that it does not give") as raised:
        send_large(store, DATA) if large else store.put(DATA, b"body")
    assert "version-level immutability" in raised.value.hint


def test_a_store_that_refuses_a_lock_says_what_to_do(stub: AzureStub) -> None:
    with StoreProxy(stub.port) as proxy:
        proxy.order("PUT", refusal(409, "BlobImmutableDueToPolicy"))
        with pytest.raises(Refused) as raised:
            opened(proxy).put(DATA, b"body")
    assert raised.value.hint == locks.HINT


def test_a_locked_object_is_not_hidden_by_a_deletion_that_cannot_take_it(stub: AzureStub) -> None:
    store = opened(stub)
    store.put(DATA, b"ours")
    with pytest.raises(Refused, match="it is locked"):
        store.delete(DATA)
    assert b"".join(store.read(DATA)) == b"ours"
    stub.expire(timedelta(days=36))
    store.delete(DATA)
    assert list(store.history("")) == []


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_a_deletion_takes_what_was_planted_over_a_locked_object_and_leaves_that(
    stub: AzureStub, rule: LockRule
) -> None:
    store = opened(stub, rule)
    store.put(DATA, b"ours")
    lock = store.lock_of(DATA)
    assert lock is not None
    with container(stub) as another:
        another.upload_blob(f"team/dr/{DATA}", b"planted", overwrite=True)
        another.delete_blob(f"team/dr/{DATA}")
    assert bodies(store, DATA) == [b"ours", b"planted", b""]
    with pytest.raises(Refused, match="it is locked") as raised:
        store.delete(DATA)
    assert f"until {lock.until:%Y-%m-%dT%H:%M:%S}" in raised.value.cause
    assert bodies(store, DATA) == [b"ours", b""], "hidden as it was, and whole"


def test_a_deletion_takes_every_version_of_that_path_alone(stub: AzureStub) -> None:
    store = opened(stub, None)
    for body in (b"one", b"two"):
        store.put(DATA, body, overwrite=True)
    store.put(DATA + ".leaves", b"leaves")
    assert bodies(store, DATA) == [b"one", b"two"]
    store.delete(DATA)
    assert [found.path for found in store.history("")] == [DATA + ".leaves"]
    store.delete(DATA)


def test_a_refusal_that_comes_from_no_lock_stays_what_it_is(stub: AzureStub) -> None:
    with StoreProxy(stub.port) as proxy:
        store = opened(proxy, None)
        store.put(DATA, b"body")
        proxy.order("DELETE", refusal(403, "AuthorizationPermissionMismatch"))
        with pytest.raises(Refused, match="Azure refused") as raised:
            store.delete(DATA)
    assert "AuthorizationPermissionMismatch" in raised.value.cause


def test_dropped_blocks_leave_no_version_behind(stub: AzureStub) -> None:
    store = opened(stub)
    upload = store.upload(DATA)
    upload.write(b"a" * PART)
    upload.write(b"b")
    upload.abort()
    assert list(store.history("")) == []
    assert stub.blocks == {}


def test_a_lock_is_extended_and_never_shortened(stub: AzureStub) -> None:
    store = opened(stub)
    store.put(DATA, b"body")
    before = store.lock_of(DATA)
    assert before is not None
    store.extend_lock(DATA, before.until - timedelta(days=3))
    assert store.lock_of(DATA) == before
    store.extend_lock(DATA, NOON)
    after = store.lock_of(DATA)
    assert after is not None
    assert (after.mode, after.until) == (LockMode.COMPLIANCE, NOON)
    assert b"".join(store.read(DATA)) == b"body"


def test_an_extension_that_did_not_happen_is_found_out(stub: AzureStub) -> None:
    store = opened(stub)
    store.put(DATA, b"body")
    stub.locking = False
    with pytest.raises(Refused, match="claims a lock that it does not give"):
        store.extend_lock(DATA, NOON)


def test_a_vault_without_a_lock_extends_none(stub: AzureStub) -> None:
    store = opened(stub, None)
    store.put(DATA, b"body")
    assert store.lock_of(DATA) is None
    with pytest.raises(NotInThisVersion):
        store.extend_lock(DATA, NOON)


def test_versions_are_listed_past_their_first_page(stub: AzureStub) -> None:
    store = opened(stub, None)
    for number in range(3):
        store.put("a", f"{number}".encode(), overwrite=True)
        store.put("b", f"{number}".encode(), overwrite=True)
    stub.page = 2
    assert [found.path for found in store.history("")] == ["a"] * 3 + ["b"] * 3
    assert bodies(store, "b") == [b"0", b"1", b"2"]


def test_an_object_that_ends_before_its_end_is_unavailable(stub: AzureStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure, "SPAN", 2)
    store = opened(stub, None)
    store.put("a", b"body")
    chunks = store.read("a")
    assert next(chunks) == b"bo"
    stub.shown["team/dr/a"].body = b"bo"
    with pytest.raises(Unavailable):
        next(chunks)
