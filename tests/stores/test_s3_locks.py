"""S3 with Object Lock and versions: what is locked, what is read back, and what a deletion takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import clouds
import pytest
from live_stores import BUCKET, LOCK, REGION, s3_bucket, s3_store

from drorch.demo.aws import EmbeddedAws
from drorch.domain.errors import NotInThisVersion, Refused
from drorch.domain.model import LockMode
from drorch.ports import LockRule, StoreLimits
from drorch.stores import StoreClock, s3

PART = 8 * 1024 * 1024
DATA = "drorch/v1/data/shop/orders/p/data"
GOVERNED = LockRule(mode=LockMode.GOVERNANCE, for_=timedelta(days=2))
NOON = datetime(2031, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def locking() -> Iterator[EmbeddedAws]:
    """An embedded AWS whose bucket has Object Lock."""
    with s3_bucket(locks=True) as opened:
        yield opened


def at_noon(lock: LockRule = LOCK) -> s3.S3Store:
    """A store whose clock says noon of a day years from now, whatever this host's says."""
    store = s3_store(lock=lock)
    store._clock = StoreClock(lambda: NOON, monotonic=lambda: 0.0)
    return store


def send_large(store: s3.S3Store, path: str) -> None:
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b")
    upload.commit()


def client(aws: EmbeddedAws) -> Any:
    return clouds.client(aws, "s3", REGION)


def key(path: str = DATA) -> dict[str, str]:
    return {"Bucket": BUCKET, "Key": f"team/dr/{path}"}


def bodies(store: s3.S3Store, path: str) -> list[bytes]:
    """Of every version, the oldest first; a marker is nothing."""
    return [
        b"" if found.marker else b"".join(store.read(path, version=found.version))
        for found in store.history(path)
        if found.path == path
    ]


# --- what is locked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_records_and_data_are_locked_by_the_stores_clock(locking: EmbeddedAws, rule: LockRule) -> None:
    store = at_noon(rule)
    store.put(DATA, b"body")
    store.put("drorch/v1/records/shop/orders/p/manifest.json", b"{}")
    send_large(store, DATA + ".large")
    for path in (DATA, DATA + ".large", "drorch/v1/records/shop/orders/p/manifest.json"):
        lock = store.lock_of(path)
        assert lock is not None
        assert (lock.mode, lock.until) == (rule.mode, NOON + rule.for_)


def test_what_is_written_over_or_removed_again_is_not_locked(locking: EmbeddedAws) -> None:
    store = s3_store(lock=LOCK)
    store.put("drorch/v1/RESTORE.md", b"guide", overwrite=True)
    store.put("drorch/v1/heads/shop/x.json", b"{}")
    store.put(DATA, b"body", overwrite=True)
    for path in ("drorch/v1/RESTORE.md", "drorch/v1/heads/shop/x.json", DATA):
        assert store.lock_of(path) is None


def test_a_vault_without_a_lock_locks_nothing(locking: EmbeddedAws) -> None:
    store = s3_store()
    store.put(DATA, b"body")
    assert store.lock_of(DATA) is None
    with pytest.raises(NotInThisVersion):
        store.extend_lock(DATA, NOON)


def test_a_bucket_without_object_lock_is_refused_with_what_to_do(aws: EmbeddedAws) -> None:
    store = s3_store(lock=LOCK)
    for write in (lambda: store.put(DATA, b"body"), lambda: send_large(store, DATA)):
        with pytest.raises(Refused, match="Object Lock") as raised:
            write()
        assert "s3:PutObjectRetention" in raised.value.hint
    assert list(store.list("")) == []


@pytest.mark.parametrize("call", ["put_object", "create_multipart_upload"])
def test_a_store_that_takes_the_words_and_does_not_lock_is_found_out(
    locking: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = s3_store(lock=LOCK)
    real = getattr(store.client, call)

    def deaf(**asked: Any) -> Any:
        return real(**{name: value for name, value in asked.items() if not name.startswith("ObjectLock")})

    monkeypatch.setattr(store.client, call, deaf)
    with pytest.raises(Refused, match="claims a lock that it does not give") as raised:
        store.put(DATA, b"body") if call == "put_object" else send_large(store, DATA)
    assert "no lock" in raised.value.cause
    assert "s3:GetObjectRetention" in raised.value.hint


# --- deletion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [LOCK, GOVERNED])
def test_a_locked_object_is_not_deleted_and_the_refusal_says_until_when(locking: EmbeddedAws, rule: LockRule) -> None:
    store = s3_store(lock=rule)
    store.put(DATA, b"body")
    lock = store.lock_of(DATA)
    assert lock is not None
    with pytest.raises(Refused, match="it is locked") as raised:
        store.delete(DATA)
    assert f"until {lock.until:%Y-%m-%dT%H:%M:%S}" in raised.value.cause
    assert bodies(store, DATA) == [b"body"]


def test_a_deletion_takes_what_was_planted_over_a_locked_object_and_leaves_that(locking: EmbeddedAws) -> None:
    store = s3_store(lock=LOCK)
    store.put(DATA, b"ours")
    client(locking).put_object(**key(), Body=b"planted", ChecksumAlgorithm="CRC32")
    client(locking).delete_object(**key())
    with pytest.raises(Refused):
        store.delete(DATA)
    assert bodies(store, DATA) == [b"ours"]
    assert b"".join(store.read(DATA)) == b"ours"


def test_a_deletion_takes_every_version_and_marker_of_that_path_alone(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put(DATA, b"from before versions")
    store.put(DATA + ".leaves", b"leaves")
    client(aws).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        client(aws).delete_object(**key())
        store.put(DATA, body)
    found = bodies(store, DATA)
    assert [body for body in found if body] == [b"from before versions", b"one", b"two"]
    assert (len(found), found[-1]) == (5, b"two")
    store.delete(DATA)
    assert [found.path for found in store.history("")] == [DATA + ".leaves"]
    store.delete(DATA)


def test_what_versioning_found_there_is_gone_after_deletion(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put(DATA, b"from before versions")
    client(aws).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    store.delete(DATA)
    assert list(store.history("")) == []


# --- extension -----------------------------------------------------------------------------------------------------


def test_a_lock_is_extended_and_never_shortened(locking: EmbeddedAws) -> None:
    store = s3_store(lock=LOCK)
    store.put(DATA, b"body")
    before = store.lock_of(DATA)
    assert before is not None
    store.extend_lock(DATA, before.until - timedelta(days=3))
    assert store.lock_of(DATA) == before
    assert locking.calls["s3", "PutObjectRetention", REGION] == 0, "there is nothing to ask"
    later = before.until + timedelta(days=3, microseconds=1)
    store.extend_lock(DATA, later)
    after = store.lock_of(DATA)
    assert after is not None
    assert after.until == before.until + timedelta(days=3, seconds=1)
    assert bodies(store, DATA) == [b"body"]


def test_an_object_without_a_lock_gets_one(locking: EmbeddedAws) -> None:
    s3_store().put(DATA, b"body")
    store = s3_store(lock=LOCK)
    store.extend_lock(DATA, NOON)
    lock = store.lock_of(DATA)
    assert lock is not None
    assert (lock.mode, lock.until) == (LockMode.COMPLIANCE, NOON)


def test_a_vault_by_governance_does_not_weaken_a_compliance_lock(locking: EmbeddedAws) -> None:
    s3_store(lock=LOCK).put(DATA, b"body")
    store = s3_store(lock=GOVERNED)
    store.extend_lock(DATA, NOON)
    lock = store.lock_of(DATA)
    assert lock is not None
    assert (lock.mode, lock.until) == (LockMode.COMPLIANCE, NOON)


def test_no_retention_is_sent_to_a_bucket_without_object_lock(aws: EmbeddedAws) -> None:
    """Some gateways would take the request's body for the object."""
    s3_store().put(DATA, b"body")
    store = s3_store(lock=LOCK)
    with pytest.raises(Refused) as raised:
        store.extend_lock(DATA, NOON)
    assert "s3:PutObjectRetention" in raised.value.hint
    assert aws.calls["s3", "PutObjectRetention", REGION] == 0
    assert b"".join(store.read(DATA)) == b"body"


def test_an_extension_that_did_not_happen_is_found_out(locking: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_store(lock=LOCK)
    store.put(DATA, b"body")
    monkeypatch.setattr(store.client, "put_object_retention", lambda **_: {})
    with pytest.raises(Refused, match="claims a lock that it does not give"):
        store.extend_lock(DATA, NOON + timedelta(days=9))


# --- listings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_history_of_many_pages_is_whole_and_in_order(locking: EmbeddedAws, page: int) -> None:
    store = s3_store()
    store.limits = StoreLimits(page=page)
    for body in (b"1", b"2", b"3"):
        for path in ("a", "b", "c"):
            store.put(path, body + path.encode(), overwrite=True)
    client(locking).delete_object(**key("b"))
    shown = [(found.path, found.marker) for found in store.history("")]
    plain = [(path, False) for path in ("a", "a", "a", "b", "b", "b")]
    assert shown == [*plain, ("b", True), ("c", False), ("c", False), ("c", False)]
    assert bodies(store, "b") == [b"1b", b"2b", b"3b", b""]
    assert [found.path for found in store.list("")] == ["a", "c"]


def test_a_bucket_without_versions_shows_its_objects(aws: EmbeddedAws) -> None:
    store = s3_store()
    for path in ("a", "b"):
        store.put(path, b"x")
    listed = [(info.path, info.size, info.modified.replace(microsecond=0)) for info in store.list("")]
    shown = [(found.path, found.size, found.modified.replace(microsecond=0)) for found in store.history("")]
    assert shown == listed
    assert {(found.version, found.marker) for found in store.history("")} == {("", False)}


def test_a_compatible_store_without_versions_is_listed_and_deleted_from(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_store(options=s3.from_url(f"s3://{BUCKET}?region={REGION}&endpoint={aws.endpoint_url}"))
    store.put("a", b"x")

    def unknown(**_: Any) -> Any:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "NotImplemented", "Message": "no"}}, "ListObjectVersions")

    monkeypatch.setattr(store.client, "list_object_versions", unknown)
    monkeypatch.setattr(store.client, "list_multipart_uploads", unknown)
    assert [(found.path, found.version) for found in store.history("")] == [("a", "")]
    assert list(store.uploads("")) == []
    store.delete("a")
    assert list(store.list("")) == []


@pytest.mark.parametrize("page", [1, 2])
def test_unfinished_uploads_of_many_pages_are_shown_and_dropped(aws: EmbeddedAws, page: int) -> None:
    store = s3_store()
    store.limits = StoreLimits(page=page)
    for path in ("x/a", "x/b", "x/b", "y"):
        client(aws).create_multipart_upload(**key(path))
    found = list(store.uploads("x/"))
    assert [pending.path for pending in found] == ["x/a", "x/b", "x/b"]
    assert all(abs(pending.begun - store.now()) < timedelta(minutes=5) for pending in found)
    for pending in (*found, found[0]):
        store.abort_upload(pending)
    assert [pending.path for pending in store.uploads("")] == ["y"]
