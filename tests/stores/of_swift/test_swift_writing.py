"""Writes to a real Swift on its bad days: lost replies, writers that meet, bytes that change on the way."""

from __future__ import annotations

import pytest
import swift_server
from live_stores import swift_store
from swift_hands import PART, names, read, send_large, written_by_another
from swift_line import Line

from drorch.domain.errors import (
    AlreadyExists,
    Damaged,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.ports import StoreLimits
from drorch.stores import swift
from drorch.stores.swift import segments

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


# --- what arrives is what was sent ---------------------------------------------------------------------------------


def test_bytes_that_change_on_the_way_are_refused_by_swift(store: swift.SwiftStore, line: Line) -> None:
    line.fail("PUT", "garbled")
    with pytest.raises(Damaged, match="422"):
        store.put("a", b"body")
    upload = store.upload("b")
    upload.write(b"b" * PART)
    line.fail("PUT", "garbled", "00000002")
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
