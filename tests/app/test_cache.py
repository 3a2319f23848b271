"""The cache: what it remembers, when it starts afresh, and that it throws nothing away under somebody's feet."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from drorch.app.cache import Cache, CachedRecord
from drorch.domain.errors import Unavailable

RECORDS, DATA = "drorch/v1/records/", "drorch/v1/data/"


def cached(path: str, fingerprint: str = "1") -> CachedRecord:
    return CachedRecord(path, fingerprint, "2026-11-20T12:00:00Z", "signed", "", b"{}")


def fill(cache: Cache) -> None:
    records = [cached(f"{RECORDS}shop/data/p{n}.json") for n in range(3)] + [cached(f"{RECORDS}bank/a/p.json")]
    objects = {f"{DATA}shop/data/p0/x": 5, f"{DATA}bank/a/p/x": 6}
    cache.replace("eu", (RECORDS, DATA), [], records, objects)


def test_what_a_listing_showed_is_known_per_vault_and_application(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cache.sqlite"
    fill(Cache(path, "key"))
    again = Cache(path, "key")
    assert len(again.records("eu", f"{RECORDS}shop/")) == 3
    assert again.objects("eu", f"{DATA}bank/") == {f"{DATA}bank/a/p/x": 6}
    assert again.records("nas", f"{RECORDS}shop/") == []
    assert set(again.fingerprints("eu", RECORDS + "bank/")) == {f"{RECORDS}bank/a/p.json"}


def test_a_listing_of_a_part_replaces_that_part_only(tmp_path: Path) -> None:
    cache = Cache(None, "key")
    fill(cache)
    part = (RECORDS + "shop/data/", DATA + "shop/data/")
    new = cached(f"{RECORDS}shop/data/p9.json")
    cache.replace("eu", part, [f"{RECORDS}shop/data/p1.json"], [new], {f"{DATA}shop/data/p9/x": 7})
    assert [record.path[-7:] for record in cache.records("eu", f"{RECORDS}shop/")] == ["p1.json", "p9.json"]
    assert cache.objects("eu", f"{DATA}shop/") == {f"{DATA}shop/data/p9/x": 7}
    assert cache.records("eu", f"{RECORDS}bank/") and cache.objects("eu", f"{DATA}bank/")


def test_names_that_begin_alike_are_not_the_same_part() -> None:
    cache = Cache(None, "key")
    cache.replace(
        "eu", (RECORDS,), [], [cached(f"{RECORDS}shop/data/p.json"), cached(f"{RECORDS}shop/data_2/p.json")], {}
    )
    cache.replace("eu", (RECORDS + "shop/data/",), [], [], {})
    assert [record.path for record in cache.records("eu", f"{RECORDS}shop/")] == [f"{RECORDS}shop/data_2/p.json"]


@pytest.mark.parametrize("trusted", ["another key", ""])
def test_other_trusted_keys_start_it_afresh(tmp_path: Path, trusted: str) -> None:
    path = tmp_path / "cache.sqlite"
    cache = Cache(path, "key")
    fill(cache)
    cache.set_listing("eu", "2026-11-20T12:00:00Z")
    cache.close()
    other = Cache(path, trusted)
    assert other.records("eu", f"{RECORDS}shop/") == [] and other.listing("eu") is None
    fill(other)
    other.close()
    assert Cache(path, trusted).records("eu", f"{RECORDS}shop/")


@pytest.mark.parametrize("wreck", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000, b""])
def test_a_damaged_file_is_replaced(tmp_path: Path, wreck: bytes) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(wreck)
    cache = Cache(path, "key")
    fill(cache)
    assert cache.records("eu", f"{RECORDS}shop/")


def test_a_cache_that_somebody_is_writing_to_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache.sqlite"
    fill(Cache(path, "key"))
    writer = sqlite3.connect(path)
    writer.execute("begin immediate")
    monkeypatch.setattr("drorch.app.cache._connect", lambda path: sqlite3.connect(path, timeout=0))
    with pytest.raises(Unavailable, match="locked"):
        Cache(path, "another key")
    writer.rollback()
    assert Cache(path, "key").records("eu", f"{RECORDS}shop/")


def test_a_place_that_cannot_be_written_to_is_unavailable_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "cache.sqlite").mkdir()
    for path in (tmp_path / "file" / "cache.sqlite", tmp_path / "cache.sqlite"):
        with pytest.raises(Unavailable, match="cannot open the cache"):
            Cache(path, "key")


def test_a_cache_that_breaks_while_it_is_used_is_unavailable(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite", "key")
    cache.close()
    with pytest.raises(Unavailable, match="disposable"):
        cache.records("eu", f"{RECORDS}shop/")


def test_listings_and_policy_texts() -> None:
    cache = Cache(None, "key")
    assert cache.listing("eu") is None
    cache.set_listing("eu", "2026-11-20T12:00:00Z", "[]")
    cache.set_listing("eu", "2026-11-20T12:15:00Z", "[1]")
    assert cache.listing("eu") == ("2026-11-20T12:15:00Z", "[1]")
    cache.set_texts({"a.yaml": "x", "b.yaml": "y"})
    cache.set_texts({"b.yaml": "z"})
    assert cache.texts() == {"b.yaml": "z"}


def test_an_older_listing_does_not_undo_what_was_listed_since(tmp_path: Path) -> None:
    """A slow `drorch status` beside the daemon: it began to list before the dump that the daemon has read back."""
    slow, daemon = (Cache(tmp_path / "cache.sqlite", "key") for _ in range(2))
    before = slow.ticket()
    shop = f"{DATA}shop/orders/"
    daemon.replace("eu", (shop,), [], [], {f"{shop}p2/data": 2})
    slow.replace("eu", (RECORDS, DATA), [], [], {f"{shop}p1/data": 1, f"{DATA}other/x/p/data": 3}, before)
    assert slow.objects("eu", f"{DATA}shop/") == {f"{shop}p2/data": 2}, "the newer picture of this resource stays"
    assert slow.objects("eu", f"{DATA}other/") == {f"{DATA}other/x/p/data": 3}, "the rest is taken"
    after = slow.ticket()
    slow.replace("eu", (RECORDS, DATA), [], [], {f"{shop}p1/data": 1}, after)
    assert daemon.objects("eu", f"{DATA}shop/") == {f"{shop}p1/data": 1}
    assert daemon.objects("eu", f"{DATA}other/") == {}


def test_turns_are_remembered_per_vault_application_and_resource(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite", "")
    cache.set_turn("nas", "shop", "orders", 7, "2026-11-20T12:00:00Z")
    cache.set_turn("nas", "shop", "orders", 8, "2026-11-21T12:00:00Z")
    cache.set_turn("nas", "shop", "orders", 7, "2027-02-28T12:00:00Z")
    cache.set_turn("nas", "shop", "ledger", 7, "2026-11-20T12:00:00Z")
    cache.set_turn("gcs", "shop", "orders", 9, "2026-11-20T12:00:00Z")
    cache.set_turn("nas", "billing", "orders", 9, "2026-11-20T12:00:00Z")
    cache.close()
    found = Cache(tmp_path / "cache.sqlite", "").turns("nas", "shop")
    assert found == {
        "orders": {7: "2027-02-28T12:00:00Z", 8: "2026-11-21T12:00:00Z"},
        "ledger": {7: "2026-11-20T12:00:00Z"},
    }
