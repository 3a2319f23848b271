"""What a real Swift keeps of uploads that end, that do not, and that are given up."""

from __future__ import annotations

from typing import Any

import pytest
from swift_hands import PART, names, read, send_large
from swift_line import Line

from drorch.domain.errors import (
    AlreadyExists,
    OutcomeUnknown,
    Refused,
)
from drorch.stores import swift


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
