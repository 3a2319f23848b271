"""What only a real service that is not AWS shows of the S3 store: Swift's S3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
import swift_server
from live_stores import LOCK, s3_store

from drorch.aws import AMBIENT
from drorch.domain.errors import AlreadyExists, OutcomeUnknown, Refused
from drorch.ports import LockRule
from drorch.stores import s3


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = swift_server.running()
    for name, value in server.s3_environment.items():
        monkeypatch.setenv(name, value)
    return server.container()


def opened(container: str, *, lock: LockRule | None = None) -> s3.S3Store:
    options = s3.Options(
        bucket=container,
        region="us-east-1",
        account=AMBIENT,
        endpoint=swift_server.running().url,
        provider="rackspace",
        lock=lock,
    )
    store = s3_store(options=options)
    store.settle = 0
    return store


def over(container: str, path: str) -> None:
    """Write `path` as a writer does that was let pass at the same moment."""
    url, token = swift_server.running().sign_in()
    headers = {"X-Auth-Token": token}
    requests.put(f"{url}/{container}/{path}", data=b"theirs", headers=headers, timeout=30).raise_for_status()


def test_lost_reply_is_settled_although_swift_capitalises_the_names_of_metadata(container: str) -> None:
    store = opened(container)
    store.put("a", b"ours")
    token = next(iter(store.head("a")["Metadata"].values()))
    lost = OutcomeUnknown("the reply was lost")
    store.look("a", token, lost)
    with pytest.raises(AlreadyExists):
        store.look("a", "another", lost)


def test_put_that_another_writes_over_in_the_same_moment_is_told_so(container: str) -> None:
    store = opened(container)
    store.client.meta.events.register("after-call.s3.PutObject", lambda **_: over(container, "a"))
    with pytest.raises(AlreadyExists, match="another writer"):
        store.put("a", b"ours")
    assert b"".join(store.read("a")) == b"theirs"


def test_upload_that_another_writes_over_in_the_same_moment_is_told_so(container: str) -> None:
    store = opened(container)
    upload = store.upload("a")
    upload.write(b"a" * store.limits.part_bytes)
    upload.write(b"b")
    store.client.meta.events.register("after-call.s3.CompleteMultipartUpload", lambda **_: over(container, "a"))
    with pytest.raises(AlreadyExists, match="another writer"):
        upload.commit()
    assert b"".join(store.read("a")) == b"theirs"


def test_lock_that_swift_would_take_for_the_object_is_never_sent(container: str) -> None:
    """Its S3 answers 200 to PutObjectRetention, and the object is the request's XML afterwards."""
    opened(container).put("a", b"precious")
    store = opened(container, lock=LOCK)
    with pytest.raises(Refused):
        store.extend_lock("a", store.now() + timedelta(days=40))
    assert b"".join(store.read("a")) == b"precious"


def test_lock_that_swift_does_not_give_is_refused_when_it_is_read_back(container: str) -> None:
    with pytest.raises(Refused, match="a lock that it does not give"):
        opened(container, lock=LOCK).put("drorch/v1/data/a", b"x")
