"""GCS with object retention and versions: what is locked, what is read back, and what a deletion takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import clouds
import pytest
from live_stores import BUCKET, LOCK, gcs_bucket, gcs_store

from drorch.demo.gcs import EmbeddedGcs
from drorch.domain.errors import NotInThisVersion, Refused
from drorch.domain.model import LockMode
from drorch.ports import LockRule
from drorch.stores import StoreClock, gcs
from drorch.stores.gcs import locks

PART = 8 * 1024 * 1024
DATA = "drorch/v1/data/shop/orders/p/data"
GOVERNED = LockRule(mode=LockMode.GOVERNANCE, for_=timedelta(days=2))
NOON = datetime(2031, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def locking() -> Iterator[EmbeddedGcs]:
    """An embedded GCS whose bucket has object retention and versions."""
    with gcs_bucket(locks=True) as opened:
        yield opened


def bucket(google: EmbeddedGcs) -> Any:
    return clouds.gcs_client(google).bucket(BUCKET)


def send_large(store: gcs.GcsStore, path: str) -> None:
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b")
    upload.commit()


def bodies(store: gcs.GcsStore, path: str) -> list[bytes]:
    """Of every generation, the oldest first; a marker is nothing."""
    return [
        b"" if found.marker else b"".join(store.read(path, version=found.version))
        for found in store.history(path)
        if found.path == path
    ]


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_records_and_data_are_locked_by_the_stores_clock(locking: EmbeddedGcs, rule: LockRule) -> None:
    store = gcs_store(lock=rule)
    store._clock = StoreClock(lambda: NOON, monotonic=lambda: 0.0)
    store.put(DATA, b"body")
    send_large(store, DATA + ".large")
    for path in (DATA, DATA + ".large"):
        lock = store.lock_of(path)
        assert lock is not None
        assert (lock.mode, lock.until) == (rule.mode, NOON + rule.for_)


def test_what_is_written_over_or_removed_again_is_not_locked(locking: EmbeddedGcs) -> None:
    store = gcs_store(lock=LOCK)
    store.put("drorch/v1/RESTORE.md", b"guide", overwrite=True)
    store.put("drorch/v1/heads/shop/x.json", b"{}")
    store.put(DATA, b"body", overwrite=True)
    for path in ("drorch/v1/RESTORE.md", "drorch/v1/heads/shop/x.json", DATA):
        assert store.lock_of(path) is None


def test_a_bucket_without_object_retention_is_refused_with_what_to_do(google: EmbeddedGcs) -> None:
    store = gcs_store(lock=LOCK)
    for write in (lambda: store.put(DATA, b"body"), lambda: send_large(store, DATA)):
        with pytest.raises(Refused) as raised:
            write()
        assert "object retention enabled" in raised.value.hint
    assert list(store.list("")) == []


@pytest.mark.parametrize("large", [False, True])
def test_a_store_that_takes_the_words_and_does_not_lock_is_found_out(
    locking: EmbeddedGcs, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    store = gcs_store(lock=LOCK)
    monkeypatch.setattr(locks, "set_on", lambda *_: None)
    with pytest.raises(Refused, match="claims a lock that it does not give"):
        send_large(store, DATA) if large else store.put(DATA, b"body")


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_a_deletion_takes_what_was_planted_over_a_locked_object_and_leaves_that(
    locking: EmbeddedGcs, rule: LockRule
) -> None:
    store = gcs_store(lock=rule)
    store.put(DATA, b"ours")
    lock = store.lock_of(DATA)
    assert lock is not None
    bucket(locking).blob(f"team/dr/{DATA}").upload_from_string(b"planted")
    bucket(locking).blob(f"team/dr/{DATA}").delete()
    assert bodies(store, DATA) == [b"ours", b"planted", b""]
    with pytest.raises(Refused, match="it is locked") as raised:
        store.delete(DATA)
    assert f"until {lock.until:%Y-%m-%dT%H:%M:%S}" in raised.value.cause
    assert bodies(store, DATA) == [b"ours", b""], "hidden as it was, and whole"


def test_a_deletion_takes_every_generation_of_that_path_alone(locking: EmbeddedGcs) -> None:
    store = gcs_store()
    for body in (b"one", b"two"):
        store.put(DATA, body, overwrite=True)
    store.put(DATA + ".leaves", b"leaves")
    assert bodies(store, DATA) == [b"one", b"two"]
    store.delete(DATA)
    assert [found.path for found in store.history("")] == [DATA + ".leaves"]
    store.delete(DATA)


def test_a_lock_is_extended_and_never_shortened(locking: EmbeddedGcs) -> None:
    store = gcs_store(lock=LOCK)
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


def test_an_extension_that_did_not_happen_is_found_out(locking: EmbeddedGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    store = gcs_store(lock=LOCK)
    store.put(DATA, b"body")
    monkeypatch.setattr(store, "patch", lambda *_: None)
    with pytest.raises(Refused, match="claims a lock that it does not give"):
        store.extend_lock(DATA, NOON)


def test_a_vault_without_a_lock_extends_none(google: EmbeddedGcs) -> None:
    store = gcs_store()
    store.put(DATA, b"body")
    assert store.lock_of(DATA) is None
    with pytest.raises(NotInThisVersion):
        store.extend_lock(DATA, NOON)


def test_the_retention_of_a_bucket_shows_as_a_lock_that_can_be_taken_off(google: EmbeddedGcs) -> None:
    google.create_bucket("kept", retention_seconds=3600)
    store = gcs.open_store("gcs-eu", gcs.Options(bucket="kept", region="europe-west1"), patience=0.01)
    store.put("a", b"x", overwrite=True)
    lock = store.lock_of("a")
    assert lock is not None
    assert lock.mode is LockMode.GOVERNANCE
