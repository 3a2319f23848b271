"""`vault init` and `vault check` of a vault with a lock: it is tried, for minutes, and what stays is removed later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import clouds
import pytest
from live_stores import BUCKET, LOCK, REGION, s3_bucket, s3_store

from drorch.app.reading import TrustedKey
from drorch.app.vaults import CHECKS, check_vault, init_vault
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import EmbeddedAws
from drorch.domain import layout
from drorch.domain.errors import Refused
from drorch.domain.model import LockMode, ObjectLock
from drorch.ports import ObjectStore
from drorch.stores.memory import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = SecretKey.generate()
TRUSTED = (TrustedKey(KEY.public),)


def init(store: ObjectStore) -> str:
    return init_vault(store, site="acme", key=KEY, trusted=TRUSTED, recipients=[new_identity()[1]], now=NOON)


def check(store: ObjectStore) -> dict[str, Any]:
    return {result.name: result for result in check_vault(store, site="acme", trusted=TRUSTED)}


@pytest.fixture
def locking() -> Iterator[EmbeddedAws]:
    with s3_bucket(locks=True) as opened:
        yield opened


class Deaf(MemoryStore):
    """Takes the words of a lock, and does nothing."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        self._versions[path][-1].lock = None


class Greedy(MemoryStore):
    """A bucket with a default retention."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        self._versions[path][-1].lock = ObjectLock(LockMode.COMPLIANCE, self.now() + timedelta(days=35))


@pytest.mark.parametrize(
    ("kind", "clause", "word"), [(Deaf, "lock", "does not give"), (Greedy, "lock-overwritten", "default retention")]
)
def test_a_vault_without_the_lock_that_it_claims_is_neither_marked_nor_good(
    kind: type[MemoryStore], clause: str, word: str
) -> None:
    store = kind("nas", lock=LOCK)
    with pytest.raises(Refused, match="does not lock as its `lock:` says") as raised:
        init(store)
    assert word in raised.value.cause
    assert "default retention" in raised.value.hint
    assert layout.VAULT_MARKER not in store.objects
    results = check(store)
    assert not results[clause].ok
    assert word in results[clause].detail


def test_a_vault_that_locks_is_marked_and_good() -> None:
    store = MemoryStore("nas", lock=LOCK)
    assert "marked" in init(store)
    assert all(result.ok for result in check(store).values())
    left = [path for path in store.objects if path.startswith(CHECKS)]
    assert left
    assert all(lock.until < store.now() + timedelta(minutes=5) for path in left if (lock := store.lock_of(path)))
    assert store.lock_of(layout.RESTORE_GUIDE) is None


def test_what_a_check_left_locked_a_later_one_removes() -> None:
    ahead = timedelta()

    def now() -> datetime:
        return datetime.now(UTC) + ahead

    store = MemoryStore("nas", now=now, lock=LOCK)
    init(store)
    first = {path for path in store.objects if path.startswith(CHECKS)}
    assert first
    assert "stay" in check(store)["clean"].detail
    assert first < set(store.objects), "a check that may still run is left alone"
    ahead = timedelta(hours=2)
    second = {path for path in store.objects if path.startswith(CHECKS)}
    check(store)
    assert not second & set(store.objects)


def test_a_bucket_with_a_default_retention_is_refused(locking: EmbeddedAws) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    clouds.client(locking, "s3", REGION).put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    with pytest.raises(Refused) as raised:
        init(s3_store(lock=LOCK))
    assert "the bucket locks by itself (governance)" in raised.value.cause


def test_a_bucket_with_object_lock_is_marked(locking: EmbeddedAws) -> None:
    store = s3_store(lock=LOCK)
    assert "marked" in init(store)
    assert store.lock_of(layout.RESTORE_GUIDE) is None
    assert store.lock_of(layout.VAULT_MARKER) is None


def test_a_bucket_without_object_lock_is_refused() -> None:
    with s3_bucket():
        with pytest.raises(Refused) as raised:
            init(s3_store(lock=LOCK))
        assert "Object Lock" in raised.value.cause
