"""The embedded GCS, seen through Google's own client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from clouds import embedded_gcs, gcs_client
from google.api_core.exceptions import BadRequest, Forbidden, NotFound, PreconditionFailed, ServiceUnavailable
from google.cloud.storage.exceptions import InvalidResponse

from drorch.demo.gcs import EmbeddedGcs
from drorch.domain.errors import Refused

CHUNK = 256 * 1024


@pytest.fixture
def gcs() -> Iterator[EmbeddedGcs]:
    with embedded_gcs("vault") as cloud:
        yield cloud


@pytest.fixture
def bucket(gcs: EmbeddedGcs) -> Any:
    return gcs_client(gcs).bucket("vault")


def put(bucket: Any, name: str, body: bytes = b"data", **conditions: int) -> Any:
    blob = bucket.blob(name)
    blob.upload_from_string(body, retry=None, **conditions)
    return blob


def stream(bucket: Any, name: str, chunks: int, **conditions: int) -> Any:
    return bucket.blob(name, chunk_size=CHUNK).open("wb", retry=None, **conditions)


def test_a_stopped_store_refuses_connections() -> None:
    with embedded_gcs() as gcs:
        port = int(gcs.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(Refused):
        _ = gcs.url
    gcs.stop()


@pytest.mark.parametrize("body", [b"", b"\r\n", b"a\n", bytes(range(256)) * 40, b"--boundary\r\n\r\n"])
def test_bytes_come_back_as_they_went(bucket: Any, body: bytes) -> None:
    put(bucket, "a", body)
    assert bucket.blob("a").download_as_bytes() == body


def test_a_media_upload_stores_json_as_bytes(gcs: EmbeddedGcs, bucket: Any) -> None:
    address = f"{gcs.url}/upload/storage/v1/b/vault/o"
    for name, body in (("json", b'{"a": 1}'), ("nothing", b"")):
        reply = requests.post(
            address,
            params={"uploadType": "media", "name": name},
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=5,
        )
        assert reply.status_code == 200
        assert bucket.blob(name).download_as_bytes() == body


def test_an_object_is_written_once(bucket: Any) -> None:
    put(bucket, "a", b"first", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        put(bucket, "a", b"second", if_generation_match=0)
    assert bucket.blob("a").download_as_bytes() == b"first"


def test_of_eight_racing_writers_one_wins(bucket: Any) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            put(bucket, "race", str(number).encode(), if_generation_match=0)
            outcomes.append("won")
        except PreconditionFailed:
            outcomes.append("lost")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_a_resumable_upload_is_refused_at_its_beginning(bucket: Any) -> None:
    put(bucket, "a", b"first")
    upload = stream(bucket, "a", 2, if_generation_match=0)
    with pytest.raises(InvalidResponse, match="412"):
        upload.write(b"x" * 2 * CHUNK)
    assert bucket.blob("a").download_as_bytes() == b"first"


def test_a_resumable_upload_is_refused_at_its_end(bucket: Any) -> None:
    upload = stream(bucket, "a", 2, if_generation_match=0)
    upload.write(b"x" * 2 * CHUNK)
    put(bucket, "a", b"first", if_generation_match=0)
    with pytest.raises(InvalidResponse, match="412"):
        upload.close()
    assert bucket.blob("a").download_as_bytes() == b"first"


def test_a_resumable_upload_of_many_chunks_comes_back(bucket: Any) -> None:
    body = bytes(range(256)) * (CHUNK // 256) * 4 + b"tail"
    with stream(bucket, "a", 5, if_generation_match=0) as upload:
        upload.write(body)
    assert bucket.blob("a").download_as_bytes() == body


def test_an_abandoned_upload_leaves_nothing_to_see(bucket: Any) -> None:
    upload = stream(bucket, "a", 2)
    upload.write(b"x" * 2 * CHUNK)
    assert list(bucket.list_blobs()) == []
    assert not bucket.blob("a").exists()
    put(bucket, "a", b"first", if_generation_match=0)


def test_a_cancelled_upload_is_over(gcs: EmbeddedGcs, bucket: Any) -> None:
    session = bucket.blob("a").create_resumable_upload_session()
    assert requests.delete(session, timeout=5).status_code == 499
    assert requests.put(session, data=b"late", timeout=5).status_code == 404
    assert not bucket.blob("a").exists()


def test_downloads_and_deletes_keep_their_preconditions(bucket: Any) -> None:
    blob = put(bucket, "a", b"first")
    generation = blob.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").download_as_bytes(if_generation_match=generation + 1)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=generation + 1)
    assert bucket.blob("a").download_as_bytes(if_generation_match=generation) == b"first"
    with pytest.raises(NotFound):
        bucket.blob("a", generation=generation + 1).download_as_bytes()
    bucket.blob("a").delete(if_generation_match=generation)
    assert not bucket.blob("a").exists()


def test_objects_are_listed_in_pages(gcs: EmbeddedGcs, bucket: Any) -> None:
    names = [f"l/{number:02}" for number in range(25)]
    for name in (*names, "other"):
        put(bucket, name)
    pages = [[blob.name for blob in page] for page in bucket.list_blobs(prefix="l/", page_size=10).pages]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == names
    gcs.page_cap = 20
    assert [len(list(page)) for page in bucket.list_blobs().pages] == [20, 6]


@pytest.mark.parametrize("hold", ["temporary_hold", "event_based_hold"])
def test_a_held_object_is_neither_overwritten_nor_deleted_until_released(bucket: Any, hold: str) -> None:
    blob = put(bucket, "a", b"first")
    setattr(blob, hold, True)
    blob.patch()
    with pytest.raises(Forbidden):
        put(bucket, "a", b"second")
    with pytest.raises(Forbidden):
        blob.delete()
    setattr(blob, hold, False)
    blob.patch()
    blob.delete()
    assert not bucket.blob("a").exists()


def test_a_retained_object_is_neither_overwritten_nor_deleted(gcs: EmbeddedGcs) -> None:
    gcs.create_bucket("kept", retention_seconds=3600)
    bucket = gcs_client(gcs).bucket("kept")
    blob = put(bucket, "a", b"first", if_generation_match=0)
    with pytest.raises(Forbidden):
        put(bucket, "a", b"second")
    with pytest.raises(Forbidden):
        blob.delete()
    assert bucket.blob("a").download_as_bytes() == b"first"


LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def retained(bucket: Any, name: str, mode: str, until: datetime = LATER) -> Any:
    blob = bucket.blob(name)
    blob.retention.mode, blob.retention.retain_until_time = mode, until
    return blob


@pytest.fixture
def lockable(gcs: EmbeddedGcs) -> Any:
    gcs.create_bucket("lockable", object_retention=True)
    return gcs_client(gcs).bucket("lockable")


def test_a_retention_of_its_own_keeps_an_object(lockable: Any) -> None:
    retained(lockable, "a", "Locked").upload_from_string(b"first", retry=None)
    found = lockable.get_blob("a")
    assert (found.retention.mode, found.retention.retain_until_time) == ("Locked", LATER)
    assert found.retention_expiration_time == LATER
    with pytest.raises(Forbidden):
        put(lockable, "a", b"second")
    with pytest.raises(Forbidden):
        lockable.blob("a").delete()
    put(lockable, "b")
    lockable.blob("b").delete()


def test_a_resumable_upload_carries_its_retention(gcs: EmbeddedGcs, lockable: Any) -> None:
    session = retained(lockable, "a", "Locked").create_resumable_upload_session()
    assert requests.put(session, data=b"body", timeout=5).status_code == 200
    assert lockable.get_blob("a").retention.retain_until_time == LATER
    with pytest.raises(Forbidden):
        lockable.blob("a").delete()


def test_a_retention_in_a_bucket_without_is_refused(bucket: Any) -> None:
    with pytest.raises(BadRequest):
        retained(bucket, "a", "Locked").upload_from_string(b"first", retry=None)
    with pytest.raises(BadRequest):
        retained(bucket, "a", "Locked").create_resumable_upload_session(retry=None)
    assert list(bucket.list_blobs()) == []


@pytest.mark.parametrize(
    ("before", "after", "hours", "allowed"),
    [
        ("Locked", "Locked", 1, True),
        ("Locked", "Locked", -1, False),
        ("Locked", "Unlocked", 1, False),
        ("Unlocked", "Unlocked", 1, True),
        ("Unlocked", "Unlocked", -1, False),
        ("Unlocked", "Locked", 0, True),
    ],
)
def test_a_retention_grows_and_does_not_shrink(
    lockable: Any, before: str, after: str, hours: int, allowed: bool
) -> None:
    retained(lockable, "a", before).upload_from_string(b"first", retry=None)
    until = LATER + hours * timedelta(minutes=30)
    blob = retained(lockable, "a", after, until)
    if allowed:
        blob.patch()
    else:
        with pytest.raises(Forbidden):
            blob.patch()
    assert lockable.get_blob("a").retention.retain_until_time == (until if allowed else LATER)


def test_a_change_of_the_retention_keeps_its_precondition(lockable: Any) -> None:
    known = put(lockable, "a").metageneration
    with pytest.raises(PreconditionFailed):
        retained(lockable, "a", "Locked").patch(if_metageneration_match=known + 1)
    retained(lockable, "a", "Locked").patch(if_metageneration_match=known)
    assert lockable.get_blob("a").retention.mode == "Locked"


def test_a_versioned_bucket_keeps_what_was_overwritten_and_deleted(gcs: EmbeddedGcs) -> None:
    gcs.create_bucket("versioned", versioned=True)
    bucket = gcs_client(gcs).bucket("versioned")
    first, second = put(bucket, "a", b"first"), put(bucket, "a", b"second, longer")
    put(bucket, "b")
    bucket.blob("a").delete()
    assert [blob.name for blob in bucket.list_blobs()] == ["b"]
    found = [(blob.generation, blob.time_deleted is None) for blob in bucket.list_blobs(prefix="a", versions=True)]
    assert found == [(first.generation, False), (second.generation, False)]
    for blob, body in ((first, b"first"), (second, b"second, longer")):
        assert bucket.blob("a", generation=blob.generation).download_as_bytes() == body
    bucket.blob("a", generation=first.generation).delete()
    assert [blob.generation for blob in bucket.list_blobs(prefix="a", versions=True)] == [second.generation]
    with pytest.raises(NotFound):
        bucket.blob("a", generation=first.generation).delete()
    bucket.blob("b", generation=bucket.get_blob("b").generation).delete()
    assert [blob.name for blob in bucket.list_blobs(versions=True)] == ["a"]


def test_a_locked_object_becomes_noncurrent_and_stays(gcs: EmbeddedGcs) -> None:
    gcs.create_bucket("both", versioned=True, object_retention=True)
    bucket = gcs_client(gcs).bucket("both")
    first = retained(bucket, "a", "Locked")
    first.upload_from_string(b"first", retry=None)
    put(bucket, "a", b"planted")
    bucket.blob("a").delete()
    assert not bucket.blob("a").exists()
    with pytest.raises(Forbidden):
        bucket.blob("a", generation=first.generation).delete()
    assert bucket.blob("a", generation=first.generation).download_as_bytes() == b"first"


def test_every_reply_carries_the_stores_time(gcs: EmbeddedGcs) -> None:
    reply = requests.get(f"{gcs.url}/storage/v1/b/vault/o", timeout=5)
    assert parsedate_to_datetime(reply.headers["Date"]).tzinfo is not None


def test_a_call_that_fails_before_did_not_happen_and_after_did(gcs: EmbeddedGcs, bucket: Any) -> None:
    gcs.fail_next("objects.insert", "before")
    with pytest.raises(ServiceUnavailable):
        put(bucket, "a")
    assert not bucket.blob("a").exists()
    gcs.fail_next("objects.insert", "after")
    with pytest.raises(requests.exceptions.ConnectionError):
        put(bucket, "a")
    assert bucket.blob("a").exists()


def test_expired_credentials_are_401(gcs: EmbeddedGcs, bucket: Any) -> None:
    gcs.fail_next("objects.list", "credentials-expired")
    assert requests.get(f"{gcs.url}/storage/v1/b/vault/o", timeout=5).status_code == 401
    assert list(bucket.list_blobs()) == []


def test_a_short_stream_ends_before_its_announced_length(gcs: EmbeddedGcs, bucket: Any) -> None:
    put(bucket, "a", b"x" * 100_000)
    gcs.fail_next("objects.download", "short")
    address = f"{gcs.url}/download/storage/v1/b/vault/o/a"
    reply = requests.get(address, params={"alt": "media"}, timeout=5, stream=True)
    assert reply.headers["Content-Length"] == "100000"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = reply.content
    assert len(bucket.blob("a").download_as_bytes()) == 100_000


def test_a_stale_listing_shows_the_past(gcs: EmbeddedGcs, bucket: Any) -> None:
    put(bucket, "a")
    assert len(list(bucket.list_blobs())) == 1
    put(bucket, "b")
    gcs.stale("objects.list", 1)
    assert [len(list(bucket.list_blobs())) for _ in range(2)] == [1, 2]


def test_a_listing_can_fail_half_way(gcs: EmbeddedGcs, bucket: Any) -> None:
    put(bucket, "a")
    put(bucket, "b")
    gcs.page_cap = 1
    gcs.half("objects.list")
    listing = iter(bucket.list_blobs(retry=None))
    assert next(listing).name == "a"
    with pytest.raises(ServiceUnavailable):
        next(listing)


def test_calls_are_counted(gcs: EmbeddedGcs, bucket: Any) -> None:
    put(bucket, "a")
    bucket.blob("a").download_as_bytes()
    list(bucket.list_blobs())
    bucket.blob("a").delete()
    names = ("objects.insert", "objects.download", "objects.list", "objects.delete")
    assert [gcs.calls["gcs", name, ""] for name in names] == [1, 1, 1, 1]
