"""A real Swift on its bad days, and what is in it after its good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import swift_server
from live_stores import swift_store
from swift_line import Line

from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    NotFound,
    NotInThisVersion,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.ports import StoreLimits
from drorch.stores import swift
from drorch.stores.swift import segments, session
from drorch.stores.swift.upload import SwiftUpload

PART = 64 * 1024


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> str:
    server = swift_server.running()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "PAUSE", 0.01)
    return server.container()


@pytest.fixture
def store(container: str) -> Iterator[swift.SwiftStore]:
    opened = swift_store(container, patience=0, settle=0)
    opened.limits = StoreLimits(part_bytes=PART)
    yield opened
    opened.close()


@pytest.fixture
def line(store: swift.SwiftStore) -> Line:
    return Line(store)


def names(store: swift.SwiftStore) -> list[str]:
    """Everything in the container, hidden or not."""
    return swift_server.running().names(store.container)


def read(store: swift.SwiftStore, path: str) -> bytes:
    return b"".join(store.read(path))


def send_large(store: swift.SwiftStore, path: str) -> SwiftUpload:
    """An upload of two parts, not committed."""
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b" * 100)
    return upload


def written_by_another(store: swift.SwiftStore, path: str) -> Callable[[], None]:
    """Writes over what is at `path`, as a writer does that was let pass at the same moment."""

    def write() -> None:
        account, token = swift_server.running().sign_in()
        url = f"{account}/{store.container}/{store.name(path)}"
        requests.put(url, data=b"theirs", headers={"X-Auth-Token": token}, timeout=30).raise_for_status()

    return write


# --- lost replies --------------------------------------------------------------------------------------------------


def test_put_whose_reply_is_lost_is_done_when_the_object_is_ours(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", "after")
    store.put("a", b"body")
    assert read(store, "a") == b"body"


def test_put_that_is_repeated_after_a_lost_reply_is_no_conflict_with_itself(container: str) -> None:
    store = swift_store(container, patience=20, settle=0)
    line = Line(store)
    line.fail("PUT", "after")
    store.put("a", b"body")
    assert line.calls["PUT"] == 2
    assert read(store, "a") == b"body"


def test_put_whose_reply_is_lost_is_a_conflict_when_the_object_is_anothers(store: swift.SwiftStore, line: Line) -> None:
    """Even with the same bytes: the token in the metadata is the other's."""
    store.put("a", b"body")
    line.fail("PUT", "before")
    with pytest.raises(AlreadyExists):
        store.put("a", b"body")


def test_put_whose_outcome_cannot_be_looked_up_stays_unknown(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", "after")
    line.fail("HEAD", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_put_that_left_nothing_stays_unknown_since_it_may_still_arrive(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_put_that_swift_puts_behind_a_later_deletion_is_unknown(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", 202)
    with pytest.raises(OutcomeUnknown, match="later write or deletion"):
        store.put("a", b"body")


def test_attempt_that_may_have_arrived_is_not_forgotten_when_the_next_is_throttled(container: str) -> None:
    store = swift_store(container, patience=0.05, settle=0)
    line = Line(store)
    line.fail("PUT", "before")
    line.fail("PUT", 429, times=50)
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_overwrite_whose_reply_is_lost_is_done_when_the_object_is_ours(store: swift.SwiftStore, line: Line) -> None:
    store.put("a", b"old")
    line.fail("PUT", "after")
    store.put("a", b"new", overwrite=True)
    assert read(store, "a") == b"new"


def test_commit_whose_reply_is_lost_is_done(store: swift.SwiftStore, line: Line) -> None:
    upload = send_large(store, "a")
    line.fail("PUT", "after", "multipart-manifest")
    upload.commit()
    assert read(store, "a") == b"a" * PART + b"b" * 100
    assert list(store.uploads("")) == []


# --- writers that meet ---------------------------------------------------------------------------------------------


def test_put_that_another_writes_over_in_the_same_moment_is_told_so(store: swift.SwiftStore, line: Line) -> None:
    """Swift answers 201 to both; what stays is the last one's."""
    line.fail("PUT", written_by_another(store, "a"))
    with pytest.raises(AlreadyExists, match="another writer"):
        store.put("a", b"ours")
    assert read(store, "a") == b"theirs"


def test_commit_that_another_writes_over_in_the_same_moment_leaves_no_segment(
    store: swift.SwiftStore, line: Line
) -> None:
    upload = send_large(store, "a")
    line.fail("PUT", written_by_another(store, "a"), "multipart-manifest")
    with pytest.raises(AlreadyExists):
        upload.commit()
    assert read(store, "a") == b"theirs"
    assert names(store) == ["team/dr/a"]


# --- nothing left behind -------------------------------------------------------------------------------------------


def test_abort_leaves_nothing(store: swift.SwiftStore) -> None:
    upload = send_large(store, "a")
    assert len(names(store)) == 3, "two segments and a mark"
    upload.abort()
    upload.abort()
    assert names(store) == []


def test_abort_that_fails_says_so_and_can_be_repeated(store: swift.SwiftStore, line: Line) -> None:
    upload = send_large(store, "a")
    line.fail("POST", 403)
    line.fail("DELETE", 403)
    with pytest.raises(Refused):
        upload.abort()
    assert [pending.path for pending in store.uploads("")] == ["a"]
    upload.abort()
    assert names(store) == []


def test_commit_refused_as_taken_leaves_nothing_of_its_own(store: swift.SwiftStore) -> None:
    upload = send_large(store, "a")
    store.put("a", b"first")
    with pytest.raises(AlreadyExists):
        upload.commit()
    assert names(store) == ["team/dr/a"]


def test_segments_stay_while_a_manifest_may_still_arrive_that_names_them(store: swift.SwiftStore, line: Line) -> None:
    upload = send_large(store, "a")
    line.fail("PUT", "before", "multipart-manifest")
    with pytest.raises(OutcomeUnknown):
        upload.commit()
    upload.abort()
    (left,) = store.uploads("")
    assert left.path == "a"
    store.abort_upload(left)
    assert names(store) == []


def test_abort_after_a_commit_that_arrived_unseen_keeps_the_object(store: swift.SwiftStore, line: Line) -> None:
    upload = send_large(store, "a")
    line.fail("PUT", "after", "multipart-manifest")
    line.fail("HEAD", 503)
    with pytest.raises(OutcomeUnknown):
        upload.commit()
    upload.abort()
    assert list(store.uploads("")) == []
    assert read(store, "a")[-100:] == b"b" * 100


def test_mark_that_outlives_its_upload_takes_no_segment_of_the_object_along(
    store: swift.SwiftStore, line: Line
) -> None:
    upload = send_large(store, "a")
    line.fail("DELETE", 503)
    upload.commit()
    (left,) = store.uploads("")
    store.abort_upload(left)
    assert list(store.uploads("")) == []
    assert read(store, "a") == b"a" * PART + b"b" * 100


def test_uploads_are_those_below_the_prefix(store: swift.SwiftStore) -> None:
    for path in ("a/one", "a/two", "b/one"):
        send_large(store, path)
    assert sorted(pending.path for pending in store.uploads("a/")) == ["a/one", "a/two"]


def test_delete_of_a_large_object_leaves_nothing(store: swift.SwiftStore) -> None:
    send_large(store, "a").commit()
    assert len(names(store)) == 3
    store.delete("a")
    store.delete("a")
    assert names(store) == []


def test_segments_go_together(store: swift.SwiftStore, line: Line) -> None:
    send_large(store, "a").commit()
    line.calls.clear()
    store.delete("a")
    assert (line.calls["POST"], line.calls["DELETE"]) == (1, 2), "the segments; the manifest and the mark"
    assert names(store) == []


@pytest.mark.parametrize("event", [204, 403, 503, "before", "after", "garbled"])
def test_segments_that_do_not_go_together_go_one_by_one(store: swift.SwiftStore, line: Line, event: Any) -> None:
    """204: a cluster without bulk delete takes the request for one about the container. Garbled, Swift answers 200 and
    has found one of them only.
    """
    upload = send_large(store, "a")
    line.fail("POST", event)
    upload.abort()
    assert names(store) == []


@pytest.mark.parametrize("event", ["after", 403])
@pytest.mark.parametrize("part", ["team/dr/a", "00000001", "00000002", "uploads"])
def test_delete_that_fails_half_way_is_ended_by_the_sweep(
    store: swift.SwiftStore, line: Line, event: Any, part: str
) -> None:
    """Whatever is listed can be read; the rest is shown as an upload that nobody ended."""
    upload = send_large(store, "a")
    upload.commit()
    line.fail("POST", 403)  # no bulk delete
    line.fail("DELETE", event, part)
    with pytest.raises((OutcomeUnknown, Refused)):
        store.delete("a")
    for info in store.list(""):
        assert len(read(store, info.path)) == info.size
    store.delete("a")
    for left in list(store.uploads("")):
        store.abort_upload(left)
    assert names(store) == []


# --- what arrives is what was sent ---------------------------------------------------------------------------------


def test_bytes_that_change_on_the_way_are_refused_by_swift(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", "garbled")
    with pytest.raises(Damaged, match="422"):
        store.put("a", b"body")
    upload = store.upload("b")
    upload.write(b"b" * PART)
    line.fail("PUT", "garbled", "00000001")
    with pytest.raises(Damaged, match="422"):
        upload.write(b"b")
    with pytest.raises(Refused, match="part could not be sent"):
        upload.commit()
    upload.abort()
    assert names(store) == []


def test_object_that_swift_holds_otherwise_than_written_is_damaged(store: swift.SwiftStore, line: Line) -> None:
    upload = send_large(store, "a")
    line.fail("DELETE", written_by_another(store, "a"))  # the mark's, when the manifest is written
    with pytest.raises(Damaged, match="the store holds 6 bytes"):
        upload.commit()


def test_object_that_is_read_whole_is_compared_with_its_md5(store: swift.SwiftStore, line: Line) -> None:
    store.put("a", b"body")
    line.fail("GET", "changed")
    with pytest.raises(Damaged, match="MD5"):
        read(store, "a")


def test_upload_whose_segment_is_gone_is_unavailable_not_absent(store: swift.SwiftStore) -> None:
    upload = send_large(store, "a")
    (first,) = (name for name in names(store) if name.endswith("00000001"))
    swift_server.running().remove(store.container, first)
    with pytest.raises(Unavailable, match="does not find its segments"):
        upload.commit()
    upload.abort()
    assert names(store) == []


@pytest.mark.parametrize("number", ["00000001", "00000002"])
def test_object_whose_segment_is_gone_is_damaged(store: swift.SwiftStore, number: str) -> None:
    send_large(store, "a").commit()
    (segment,) = (name for name in names(store) if name.endswith(number))
    swift_server.running().remove(store.container, segment)
    with pytest.raises(Damaged, match="a segment of it is gone"):
        read(store, "a")


def test_object_whose_segments_are_all_there_but_cannot_be_read_now_is_unavailable(
    store: swift.SwiftStore, line: Line
) -> None:
    send_large(store, "a").commit()
    line.fail("GET", 409)
    with pytest.raises(Unavailable, match="cannot read a segment"):
        read(store, "a")


def test_more_segments_than_a_manifest_takes_are_gathered(
    store: swift.SwiftStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MANIFEST_SEGMENTS", 2)
    store.limits = StoreLimits(part_bytes=1000)
    body = b"".join(bytes([number]) * 1000 for number in range(5)) + b"end"
    upload = store.upload("a")
    for start in range(0, len(body), 1000):
        upload.write(body[start : start + 1000])
    upload.commit()
    assert store.stat("a").size == len(body)
    assert read(store, "a") == body
    assert b"".join(store.read("a", 1500, 2000)) == body[1500:3500]
    store.delete("a")
    assert names(store) == []


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_body_cut_in_the_middle_is_taken_up_where_it_broke(store: swift.SwiftStore, line: Line, large: bool) -> None:
    body = bytes(range(256)) * 300
    if large:
        upload = store.upload("a")
        upload.write(body[:PART])
        upload.write(body[PART:])
        upload.commit()
    else:
        store.put("a", body)
    line.fail("GET", "short")
    assert read(store, "a") == body
    line.fail("GET", "short", times=2)
    assert b"".join(store.read("a", 1000, 50_000)) == body[1000:51_000]


def test_body_cut_again_and_again_is_unavailable_never_short(store: swift.SwiftStore, line: Line) -> None:
    store.put("a", b"x" * 100_000)
    line.fail("GET", "short", times=9)
    with pytest.raises(Unavailable, match="early"):
        read(store, "a")


def test_object_replaced_while_it_is_read_is_never_mixed(store: swift.SwiftStore, line: Line) -> None:
    store.put("a", b"x" * 100_000)
    line.fail("GET", "short")
    reading = store.read("a")
    next(reading)
    store.put("a", b"y" * 100_000, overwrite=True)
    with pytest.raises(Unavailable, match="replaced"):
        list(reading)


def test_version_that_swift_never_told_is_not_found(store: swift.SwiftStore) -> None:
    store.put("a", b"x")
    with pytest.raises(NotFound):
        list(store.read("a", version="1"))


# --- listing -------------------------------------------------------------------------------------------------------


def test_listing_goes_past_its_first_page(store: swift.SwiftStore, line: Line) -> None:
    store.limits = StoreLimits(page=3)
    for number in range(7):
        store.put(f"a/{number}", b"x", overwrite=True)
    assert [found.path for found in store.list("a/")] == [f"a/{number}" for number in range(7)]
    assert line.calls["GET"] == 4, "the last page is the empty one"


def test_listing_that_fails_half_way_raises(store: swift.SwiftStore, line: Line) -> None:
    store.limits = StoreLimits(page=3)
    for number in range(4):
        store.put(f"a/{number}", b"x", overwrite=True)
    listing = store.list("a/")
    assert [next(listing).path for _ in range(3)] == ["a/0", "a/1", "a/2"]
    line.fail("GET", 503)
    with pytest.raises(Unavailable):
        next(listing)


def test_listing_of_a_whole_container_shows_no_segment(container: str) -> None:
    options = swift.Options(container=container, provider="rackspace", region="DFW")
    store = swift.open_store("whole", options, patience=0, settle=0)
    store.limits = StoreLimits(part_bytes=1000, page=2)
    upload = store.upload("a")
    for _ in range(5):
        upload.write(b"x" * 1000)
    upload.commit()
    for path in ("!", "+", "0", "b"):
        store.put(path, b"x", overwrite=True)
    assert [found.path for found in store.list("")] == ["!", "+", "0", "a", "b"]
    assert [found.path for found in store.history("")] == ["!", "+", "0", "a", "b"]


# --- absent, lost, busy --------------------------------------------------------------------------------------------


def test_missing_container_is_a_wrong_configuration_not_an_empty_vault(container: str) -> None:
    store = swift_store("acme-nowhere", patience=0)
    attempts: list[Callable[[], object]] = [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: list(store.list("")),
        store.now,
        lambda: store.delete("a"),
    ]
    for attempt in attempts:
        with pytest.raises(Refused, match="container") as raised:
            attempt()
        assert not isinstance(raised.value, NotFound)


@pytest.mark.parametrize("status", [429, 498])
def test_throttling_is_busy(store: swift.SwiftStore, line: Line, status: int) -> None:
    line.fail("HEAD", status)
    with pytest.raises(Busy):
        store.stat("a")


def test_lost_connection_and_5xx_are_unavailable_and_waited_out_while_there_is_patience(container: str) -> None:
    store = swift_store(container, patience=20)
    store.put("a", b"x")
    line = Line(store)
    line.fail("HEAD", "before")
    line.fail("HEAD", 503)
    assert store.stat("a").size == 1
    hurried = swift_store(container, patience=0)
    for event in ("before", 503):
        Line(hurried).fail("HEAD", event)
        with pytest.raises(Unavailable):
            hurried.stat("a")


def test_full_quota_is_refused_with_what_it_is(store: swift.SwiftStore, container: str) -> None:
    account, token = swift_server.running().sign_in()
    headers = {"X-Auth-Token": token, "X-Container-Meta-Quota-Bytes": "10"}
    requests.post(f"{account}/{container}", headers=headers, timeout=30).raise_for_status()
    with pytest.raises(Refused, match="413") as raised:
        store.put("a", b"x" * 11)
    assert "quota" in raised.value.hint


def test_swift_has_no_locks(store: swift.SwiftStore) -> None:
    store.put("a", b"x")
    assert store.lock_of("a") is None
    with pytest.raises(NotInThisVersion):
        store.extend_lock("a", store.now())
