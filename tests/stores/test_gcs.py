"""GCS on its bad days, and what it is sent on its good ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clouds
import pytest
from live_stores import BUCKET, gcs_store

from drorch.demo.gcs import EmbeddedGcs
from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.stores import gcs
from drorch.stores.gcs import session

PART = 8 * 1024 * 1024


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PAUSE", 0)


def read(store: gcs.GcsStore, path: str) -> bytes:
    return b"".join(store.read(path))


def send_large(store: gcs.GcsStore, path: str) -> gcs.GcsUpload:
    """An upload of two parts, not committed."""
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b" * 100)
    return upload


# --- lost replies --------------------------------------------------------------------------------------------------


def test_put_whose_reply_is_lost_is_done_when_the_object_is_ours(google: EmbeddedGcs) -> None:
    store = gcs_store()
    google.fail_next("objects.insert", "after")
    store.put("a", b"body")
    assert read(store, "a") == b"body"


def test_put_repeated_by_the_sdk_after_a_lost_reply_is_no_conflict_with_itself(
    google: EmbeddedGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_base.random.uniform", lambda *_: 0.0)
    store = gcs_store(patience=10)
    google.fail_next("objects.insert", "after")
    store.put("a", b"body")
    assert google.calls["gcs", "objects.insert", ""] == 2


def test_put_whose_reply_is_lost_is_a_conflict_when_the_object_is_anothers(google: EmbeddedGcs) -> None:
    store = gcs_store()
    store.put("a", b"body")
    google.fail_next("objects.insert", "before")
    with pytest.raises(AlreadyExists):
        store.put("a", b"body")


def test_put_whose_outcome_cannot_be_looked_up_stays_unknown(google: EmbeddedGcs) -> None:
    store = gcs_store()
    google.fail_next("objects.insert", "after")
    google.fail_next("objects.get", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_put_that_meets_its_own_first_try_and_cannot_look_stays_unknown(
    google: EmbeddedGcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_base.random.uniform", lambda *_: 0.0)
    store = gcs_store(patience=10)
    google.fail_next("objects.insert", "after")
    google.fail_next("objects.get", "denied")
    with pytest.raises(OutcomeUnknown, match="whose it is could not be seen"):
        store.put("a", b"body")
    assert google.calls["gcs", "objects.insert", ""] == 2


@pytest.mark.parametrize("lost", [1, 2])
def test_chunk_whose_reply_is_lost_is_not_sent_twice(google: EmbeddedGcs, lost: int) -> None:
    """The session is asked what it has; the embedded one refuses a chunk that does not begin there."""
    store = gcs_store()
    upload = store.upload("a")
    upload.write(b"a" * PART)
    upload.write(b"b" * PART)
    google.fail_next("objects.insert", "after", times=lost)
    upload.write(b"c" * PART)
    upload.write(b"d")
    upload.commit()
    assert store.stat("a").size == 3 * PART + 1
    assert b"".join(store.read("a", 2 * PART - 1)) == b"b" + b"c" * PART + b"d"


def test_chunk_that_never_arrived_is_sent_again(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = send_large(store, "a")
    google.fail_next("objects.insert", "before")
    upload.commit()
    assert store.stat("a").size == PART + 100


def test_commit_whose_reply_is_lost_is_done(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = send_large(store, "a")
    google.fail_next("objects.insert", "after")
    upload.commit()
    assert read(store, "a")[-100:] == b"b" * 100


def test_commit_that_gets_no_answer_stays_unknown(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = send_large(store, "a")
    google.fail_next("objects.insert", "before", times=session.ATTEMPTS)
    with pytest.raises(OutcomeUnknown):
        upload.commit()
    upload.abort()
    with pytest.raises(NotFound):
        store.stat("a")


def test_upload_ends_when_gcs_takes_no_chunk(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = store.upload("a")
    upload.write(b"a" * PART)
    upload.write(b"b" * PART)
    google.fail_next("objects.insert", "before", times=session.ATTEMPTS)
    with pytest.raises(Unavailable):
        upload.write(b"c" * PART)
    with pytest.raises(Refused, match="part could not be sent"):
        upload.commit()


# --- sessions ------------------------------------------------------------------------------------------------------


def test_abort_cancels_the_session(google: EmbeddedGcs) -> None:
    upload = send_large(gcs_store(), "a")
    assert len(google._storage.resumable) == 1
    upload.abort()
    upload.abort()
    assert len(google._storage.resumable) == 0


def test_abort_is_quiet_when_gcs_is_gone_since_the_session_ends_by_itself(google: EmbeddedGcs) -> None:
    upload = send_large(gcs_store(), "a")
    google.stop()
    upload.abort()
    with pytest.raises(Refused, match="given up"):
        upload.commit()


def test_commit_refused_as_taken_leaves_no_session_behind(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = send_large(store, "a")
    store.put("a", b"first")
    with pytest.raises(AlreadyExists):
        upload.commit()
    assert len(google._storage.resumable) == 0


def test_upload_whose_session_ended_is_unavailable_not_absent(google: EmbeddedGcs) -> None:
    upload = send_large(gcs_store(), "a")
    google._storage.resumable.clear()
    with pytest.raises(Unavailable, match="session"):
        upload.commit()


def test_small_upload_is_one_request(google: EmbeddedGcs) -> None:
    upload = gcs_store().upload("a")
    upload.write(b"small")
    upload.commit()
    assert google.calls["gcs", "objects.insert", ""] == 1


# --- what arrives is what was sent ---------------------------------------------------------------------------------


def stored(google: EmbeddedGcs, path: str) -> dict[str, Any]:
    found: dict[str, Any] = google._storage.objects[BUCKET][f"team/dr/{path}"]
    return found


def test_object_that_gcs_holds_otherwise_than_written_is_damaged(google: EmbeddedGcs) -> None:
    store = gcs_store()
    upload = send_large(store, "a")
    told = store.facts

    def wrong(path: str) -> Any:
        stored(google, path)["crc32c"] = "AAAAAA=="
        return told(path)

    store.facts = wrong  # type: ignore[method-assign]
    with pytest.raises(Damaged, match="CRC-32C"):
        upload.commit()


def test_object_read_whole_is_compared_with_its_checksum(google: EmbeddedGcs) -> None:
    store = gcs_store()
    store.put("a", b"body")
    stored(google, "a")["crc32c"] = "AAAAAA=="
    with pytest.raises(Damaged):
        read(store, "a")


# --- reading -------------------------------------------------------------------------------------------------------


def test_body_cut_in_the_middle_is_taken_up_where_it_broke(google: EmbeddedGcs) -> None:
    store = gcs_store()
    body = bytes(range(256)) * 1000
    store.put("a", body)
    google.fail_next("objects.download", "short")
    assert read(store, "a") == body
    google.fail_next("objects.download", "short", times=2)
    assert b"".join(store.read("a", 1000, 50_000)) == body[1000:51_000]


def test_body_cut_again_and_again_is_unavailable_never_short(google: EmbeddedGcs) -> None:
    store = gcs_store()
    store.put("a", b"x" * 100_000)
    google.fail_next("objects.download", "short", times=9)
    with pytest.raises(Unavailable, match="early"):
        read(store, "a")


# --- listing -------------------------------------------------------------------------------------------------------


def test_listing_goes_past_its_first_page(google: EmbeddedGcs) -> None:
    store = gcs_store()
    for number in range(8):
        store.put(f"a/{number}", b"x")
    google.page_cap = 3
    assert sorted(found.path for found in store.list("a/")) == [f"a/{number}" for number in range(8)]
    assert google.calls["gcs", "objects.list", ""] == 3


def test_listing_that_fails_half_way_raises(google: EmbeddedGcs) -> None:
    store = gcs_store()
    for number in range(8):
        store.put(f"a/{number}", b"x")
    google.page_cap = 3
    google.half("objects.list")
    listing = store.list("a/")
    assert [next(listing).path for _ in range(3)] == ["a/0", "a/1", "a/2"]
    with pytest.raises(Unavailable):
        next(listing)


# --- absent, lost, busy --------------------------------------------------------------------------------------------


def test_missing_bucket_is_a_wrong_configuration_not_an_empty_vault(google: EmbeddedGcs) -> None:
    store = gcs.open_store("gcs-eu", gcs.Options(bucket="acme-nowhere", region="europe-west1"), patience=0.01)
    attempts: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
    ]
    for attempt in attempts:
        with pytest.raises(Refused, match="bucket") as raised:
            attempt()
        assert not isinstance(raised.value, NotFound)


def test_stopped_provider_is_unavailable(google: EmbeddedGcs) -> None:
    store = gcs_store()
    store.put("a", b"x")
    google.stop()
    attempts: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
        lambda: store.put("b", b"x"),
    ]
    for attempt in attempts:
        with pytest.raises(Unavailable):
            attempt()


def test_throttling_is_busy(google: EmbeddedGcs) -> None:
    store = gcs_store()
    google.fail_next("objects.get", "throttle")
    with pytest.raises(Busy):
        store.stat("a")


def test_credentials_that_gcs_no_longer_takes_are_named_with_a_hint(google: EmbeddedGcs) -> None:
    """Anonymous ones, as here, cannot be renewed: refused."""
    store = gcs_store()
    google.fail_next("objects.list", "credentials-expired")
    with pytest.raises(Refused) as raised:
        list(store.list(""))
    assert "credentials" in raised.value.hint
    assert raised.value.vault == "gcs-eu"


def test_retained_object_is_not_overwritten_and_the_refusal_is_named() -> None:
    with clouds.embedded_gcs() as embedded, pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", embedded.url)
        embedded.create_bucket("acme-locked", retention_seconds=3600)
        store = gcs.open_store("gcs-eu", gcs.Options(bucket="acme-locked", region="europe-west1"), patience=0.01)
        store.put("a", b"first")
        for attempt in (lambda: store.put("a", b"x", overwrite=True), lambda: store.delete("a")):
            with pytest.raises(Refused, match=r"retained|it is locked"):
                attempt()  # type: ignore[no-untyped-call]
        assert read(store, "a") == b"first"


def test_without_credentials_the_hint_says_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def none(**_: Any) -> None:
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", none)
    with pytest.raises(Refused) as raised:
        gcs.open_store("gcs-eu", gcs.Options(bucket=BUCKET, region="europe-west1"))
    assert "GOOGLE_APPLICATION_CREDENTIALS" in raised.value.hint
