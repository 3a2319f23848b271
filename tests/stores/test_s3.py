"""S3 on its bad days, and what it sends on its good ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clouds
import pytest
from botocore.exceptions import ClientError
from live_stores import BUCKET, REGION, s3_store

from drorch.app.store_contract import check_store
from drorch.aws import AMBIENT, AwsAccounts
from drorch.demo.aws import EmbeddedAws
from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.ports import StoreLimits
from drorch.stores import s3

PART = 8 * 1024 * 1024


def read(store: s3.S3Store, path: str) -> bytes:
    return b"".join(store.read(path))


def send_large(store: s3.S3Store, path: str) -> s3.S3Upload:
    """An upload of two parts, not committed."""
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b" * 100)
    return upload


def uploads_left(aws: EmbeddedAws) -> list[Any]:
    return list(clouds.client(aws, "s3", REGION).list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


# --- lost replies --------------------------------------------------------------------------------------------------


def test_put_whose_reply_is_lost_is_done_when_the_object_is_ours(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.fail_next("PutObject", "after")
    store.put("a", b"body")
    assert read(store, "a") == b"body"


def test_put_repeated_by_the_sdk_after_a_lost_reply_is_no_conflict_with_itself(aws: EmbeddedAws) -> None:
    store = s3_store(attempts=2)
    aws.fail_next("PutObject", "after")
    store.put("a", b"body")
    assert aws.calls["s3", "PutObject", REGION] == 2


def test_put_whose_reply_is_lost_is_a_conflict_when_the_object_is_anothers(aws: EmbeddedAws) -> None:
    """Even with the same bytes: the token in the metadata is the other's."""
    store = s3_store()
    store.put("a", b"body")
    aws.fail_next("PutObject", "before")
    with pytest.raises(AlreadyExists):
        store.put("a", b"body")


def test_put_whose_outcome_cannot_be_looked_up_stays_unknown(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.fail_next("PutObject", "after")
    aws.fail_next("HeadObject", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_put_that_left_nothing_stays_unknown_since_it_may_still_arrive(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.fail_next("PutObject", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_overwrite_whose_reply_is_lost_is_done_when_the_object_is_ours(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put("a", b"old")
    aws.fail_next("PutObject", "after")
    store.put("a", b"new", overwrite=True)
    assert read(store, "a") == b"new"


@pytest.mark.parametrize("attempts", [1, 2])
def test_commit_whose_reply_is_lost_is_done_when_the_object_is_ours(aws: EmbeddedAws, attempts: int) -> None:
    upload = send_large(s3_store(attempts=attempts), "a")
    aws.fail_next("CompleteMultipartUpload", "after")
    upload.commit()
    assert s3_store().stat("a").size == PART + 100


def test_commit_that_failed_unknown_is_dropped_by_abort(aws: EmbeddedAws) -> None:
    store = s3_store()
    upload = send_large(store, "a")
    aws.fail_next("CompleteMultipartUpload", "before")
    with pytest.raises(OutcomeUnknown):
        upload.commit()
    upload.abort()
    assert uploads_left(aws) == []
    assert list(store.list("")) == []


def test_part_whose_reply_is_lost_may_be_repeated_so_nothing_is_unknown(aws: EmbeddedAws) -> None:
    store = s3_store()
    upload = store.upload("a")
    upload.write(b"a" * PART)
    aws.fail_next("UploadPart", "after")
    with pytest.raises(Unavailable):
        upload.write(b"b")
    with pytest.raises(Refused, match="part could not be sent"):
        upload.commit()
    upload.abort()
    assert uploads_left(aws) == []


# --- nothing left behind -------------------------------------------------------------------------------------------


def test_abort_leaves_no_multipart_upload_behind(aws: EmbeddedAws) -> None:
    upload = send_large(s3_store(), "a")
    assert len(uploads_left(aws)) == 1
    upload.abort()
    upload.abort()
    assert uploads_left(aws) == []


def test_commit_refused_as_taken_leaves_no_multipart_upload_behind(aws: EmbeddedAws) -> None:
    store = s3_store()
    upload = send_large(store, "a")
    store.put("a", b"first")
    with pytest.raises(AlreadyExists):
        upload.commit()
    assert uploads_left(aws) == []


def test_upload_that_a_lifecycle_rule_aborted_is_unavailable_not_absent(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 answers NoSuchUpload, as its API reference has it; the embedded one stumbles."""
    store = s3_store()
    upload = send_large(store, "a")

    def gone(**_: Any) -> None:
        raise ClientError(
            {"Error": {"Code": "NoSuchUpload"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "CompleteMultipartUpload"
        )

    monkeypatch.setattr(store.client, "complete_multipart_upload", gone)
    with pytest.raises(Unavailable, match="aborted"):
        upload.commit()


def test_abort_that_fails_says_so_because_parts_stay_and_cost(aws: EmbeddedAws) -> None:
    upload = send_large(s3_store(), "a")
    aws.fail_next("AbortMultipartUpload", "before")
    with pytest.raises(OutcomeUnknown):
        upload.abort()
    upload.abort()
    assert uploads_left(aws) == []


# --- what arrives is what was sent ---------------------------------------------------------------------------------


def corrupt(request: Any, **_: Any) -> None:
    """Flip a bit of the body on its way to the server."""
    body = bytearray(request.body if isinstance(request.body, bytes) else request.body.read())
    body[len(body) // 2] ^= 1
    request.body = bytes(body)


def test_body_that_changes_on_the_way_is_damaged_and_not_stored(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.client.meta.events.register("before-send.s3", corrupt)
    with pytest.raises(Damaged):
        store.put("a", b"body")
    store.client.meta.events.unregister("before-send.s3", corrupt)
    assert list(store.list("")) == []


def test_part_that_changes_on_the_way_is_damaged(aws: EmbeddedAws) -> None:
    store = s3_store()
    upload = store.upload("a")
    upload.write(b"a" * PART)
    store.client.meta.events.register("before-send.s3.UploadPart", corrupt)
    with pytest.raises(Damaged):
        upload.write(b"b" * 100)
    upload.abort()


def test_store_that_holds_another_size_than_was_written_is_damaged(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_store()
    upload = send_large(store, "a")
    told = store.head
    monkeypatch.setattr(store, "head", lambda path: told(path) | {"ContentLength": PART + 99})
    with pytest.raises(Damaged, match=f"{PART + 99} bytes of {PART + 100}"):
        upload.commit()


def bytes_or_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def seen_headers(store: s3.S3Store, act: Callable[[], object]) -> list[dict[str, str]]:
    seen: list[dict[str, str]] = []

    def note(request: Any, **_: Any) -> None:
        if request.method in ("PUT", "POST"):
            seen.append({name.lower(): bytes_or_text(value) for name, value in request.headers.items()})

    store.client.meta.events.register("before-send.s3", note)
    act()
    return seen


def test_at_aws_every_part_carries_a_crc32(aws: EmbeddedAws) -> None:
    store = s3_store()
    sent = seen_headers(store, lambda: send_large(store, "a").commit())
    begin, first, second, complete = sent
    assert begin["x-amz-checksum-algorithm"] == "CRC32"
    assert "x-amz-checksum-crc32" in first and "x-amz-checksum-crc32" in second
    assert complete["if-none-match"] == "*"


def test_off_aws_parts_carry_a_content_md5_and_none_of_the_checksums_that_others_refuse(aws: EmbeddedAws) -> None:
    store = s3_store(options=s3.from_url(f"s3://{BUCKET}/x?region={REGION}&endpoint={aws.endpoint_url}"))
    sent = seen_headers(store, lambda: send_large(store, "a").commit())
    sent += seen_headers(store, lambda: store.put("b", b"body"))
    assert not [name for headers in sent for name in headers if "checksum" in name or name == "x-amz-trailer"]
    assert "content-md5" in sent[1] and "content-md5" in sent[2] and "content-md5" in sent[-1]


def test_small_upload_is_one_put(aws: EmbeddedAws) -> None:
    upload = s3_store().upload("a")
    upload.write(b"small")
    upload.commit()
    assert aws.calls["s3", "CreateMultipartUpload", REGION] == 0
    assert aws.calls["s3", "PutObject", REGION] == 1


# --- reading -------------------------------------------------------------------------------------------------------


def test_body_cut_in_the_middle_is_taken_up_where_it_broke(aws: EmbeddedAws) -> None:
    store = s3_store()
    body = bytes(range(256)) * 1000
    store.put("a", body)
    aws.fail_next("GetObject", "short")
    assert read(store, "a") == body
    aws.fail_next("GetObject", "short", times=2)
    assert b"".join(store.read("a", 1000, 50_000)) == body[1000:51_000]


def test_body_cut_again_and_again_is_unavailable_never_short(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put("a", b"x" * 100_000)
    aws.fail_next("GetObject", "short", times=9)
    with pytest.raises(Unavailable, match="early"):
        read(store, "a")


def test_object_replaced_between_two_reads_of_its_halves_is_unavailable(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put("a", b"x" * 100_000)
    aws.fail_next("GetObject", "short")
    chunks = store.read("a")
    next(chunks)
    store.put("a", b"y" * 100_000, overwrite=True)
    with pytest.raises(Unavailable, match="replaced"):
        list(chunks)


# --- listing -------------------------------------------------------------------------------------------------------


def test_listing_goes_past_its_first_page(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.limits = StoreLimits(page=3)
    for number in range(8):
        store.put(f"a/{number}", b"x")
    assert sorted(found.path for found in store.list("a/")) == [f"a/{number}" for number in range(8)]
    assert aws.calls["s3", "ListObjectsV2", REGION] == 3


def test_listing_that_fails_half_way_raises(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.limits = StoreLimits(page=3)
    for number in range(8):
        store.put(f"a/{number}", b"x")
    aws.half("ListObjectsV2")
    listing = store.list("a/")
    assert [next(listing).path for _ in range(3)] == ["a/0", "a/1", "a/2"]
    with pytest.raises(Unavailable):
        next(listing)


def test_listing_that_is_cut_off_without_a_way_on_raises(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_store()
    monkeypatch.setattr(store.client, "list_objects_v2", lambda **_: {"Contents": [], "IsTruncated": True})
    with pytest.raises(Unavailable, match="cut off"):
        list(store.list(""))


def test_other_prefixes_of_the_bucket_are_invisible(aws: EmbeddedAws) -> None:
    s3_store().put("a", b"x")
    other = s3_store(options=s3.Options(bucket=BUCKET, region=REGION, account=AMBIENT, prefix="team/dr2"))
    assert list(other.list("")) == []


# --- absent, lost, busy --------------------------------------------------------------------------------------------


def test_missing_bucket_is_a_wrong_configuration_not_an_empty_vault(aws: EmbeddedAws) -> None:
    store = s3_store(options=s3.Options(bucket="acme-nowhere", region=REGION, account=AMBIENT))
    attempts: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
        lambda: store.put("a", b"x"),
    ]
    for attempt in attempts:
        with pytest.raises(Refused, match="bucket") as raised:
            attempt()
        assert not isinstance(raised.value, NotFound)


def test_lost_region_is_unavailable_never_absent(aws: EmbeddedAws) -> None:
    store = s3_store()
    store.put("a", b"x")
    aws.lose_region(REGION)
    for attempt in (lambda: store.stat("a"), lambda: read(store, "a"), lambda: list(store.list(""))):
        with pytest.raises(Unavailable):
            attempt()  # type: ignore[no-untyped-call]
    with pytest.raises(OutcomeUnknown):
        store.put("b", b"x")


def test_stopped_provider_is_unavailable(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.stop()
    with pytest.raises(Unavailable):
        list(store.list(""))
    with pytest.raises(Unavailable):
        store.put("a", b"x")


def test_throttling_is_busy(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.fail_next("PutObject", "throttle")
    with pytest.raises(Busy):
        store.put("a", b"x")


def test_expired_credentials_are_unavailable_with_a_hint(aws: EmbeddedAws) -> None:
    store = s3_store()
    aws.fail_next("ListObjectsV2", "credentials-expired")
    with pytest.raises(Unavailable) as raised:
        list(store.list(""))
    assert "renew" in raised.value.hint
    assert raised.value.vault == "s3-west"


def test_live_check_names_a_store_that_ignores_conditions(aws: EmbeddedAws) -> None:
    """As s3rver and `rclone serve s3` do: they take If-None-Match and replace the object."""
    store = s3_store()

    def unconditional(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    store.client.meta.events.register("before-sign.s3", unconditional)
    failed = {result.name: result.detail for result in check_store(store, "drorch/v1/check/a/") if not result.ok}
    assert set(failed) == {"write-once-put", "write-once-upload", "racing-creates", "next-upload"}
    assert "If-None-Match" in failed["write-once-put"]


def test_store_shares_its_client_with_others_of_the_account_and_leaves_it_open(aws: EmbeddedAws) -> None:
    accounts = AwsAccounts(attempts=1)
    options = s3.Options(bucket=BUCKET, region=REGION, account=AMBIENT)
    first, second = (s3.open_store(name, options, accounts) for name in ("a", "b"))
    first.close()
    second.put("a", b"x")
    assert first.client is second.client
