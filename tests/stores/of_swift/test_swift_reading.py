"""Reads and listings of a real Swift on its bad days, and what it answers when it is absent, busy or full."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
import swift_server
from live_stores import swift_store
from swift_hands import PART, read
from swift_line import Line

from drorch.domain.errors import (
    Busy,
    NotFound,
    NotInThisVersion,
    Refused,
    Unavailable,
)
from drorch.ports import StoreLimits
from drorch.stores import swift

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
