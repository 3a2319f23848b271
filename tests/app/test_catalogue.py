"""Reading a vault's records: what a signature is worth, what is fetched again, and what is left of what is damaged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from faults import FaultyStore
from manual_clock import NOON, ManualClock

from drorch.app.cache import Cache
from drorch.app.catalogue import Scope, VaultReader, read_vault
from drorch.app.reading import TrustedKey
from drorch.app.signing import put_pair
from drorch.crypto.minisign import SecretKey
from drorch.domain.canonical import canonical_bytes
from drorch.domain.catalogue import SeenRecord, Trust, fold
from drorch.domain.errors import NotFound, Unavailable
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.record import Record, RecordType, compose
from drorch.stores.memory import MemoryStore

KEY, STRANGER = SecretKey.generate(), SecretKey.generate()
EU = Vault("eu", FailureDomain("gcp", "europe-west1"))


class Bench:
    """One vault and a reader of it."""

    def __init__(self, *, trusted: tuple[TrustedKey, ...] | None = None, site: str = "acme") -> None:
        self.clock = ManualClock()
        self.inner = MemoryStore("eu", now=self.clock.now)
        self.store = FaultyStore(self.inner)
        self.cache = Cache(None, "")
        self.reader = VaultReader(self.cache, trusted or (TrustedKey(KEY.public),), site)

    def write(self, record: Record, key: SecretKey = KEY, *, path: str = "", comment: str = "") -> str:
        path = path or record.path
        put_pair(self.store, path, record.data, key.sign(record.data, comment or record.comment))
        return path

    def read(self, scope: Scope | None = None) -> dict[str, SeenRecord]:
        self.reader.refresh(self.store, self.clock.now(), scope)
        return {seen.path: seen for seen in self.reader.view(EU, "shop").records}

    def only(self) -> SeenRecord:
        (seen,) = self.read().values()
        return seen


@pytest.fixture
def bench() -> Bench:
    return Bench()


def pin(resource: str = "data", point: str = "p1", *, site: str = "acme", at: datetime = NOON) -> Record:
    return compose(
        RecordType.MARK, site=site, at=at, application="shop", resource=resource, point=point, cut_at=NOON, mark="pin"
    )


def altered(bench: Bench, path: str, body: bytes) -> None:
    bench.clock.turn(minutes=1)
    bench.store.put(path, body, overwrite=True)


def test_a_signed_record_is_signed_with_the_stores_own_time(bench: Bench) -> None:
    bench.clock.turn(minutes=3)
    bench.write(pin())
    seen = bench.only()
    assert (seen.trust, seen.vault, seen.record, seen.why) == (Trust.SIGNED, "eu", pin(), "")
    assert seen.written == NOON + timedelta(minutes=3)


@pytest.mark.parametrize("bit", [0, 7, 100, 700])
def test_any_flipped_bit_in_record_or_signature_makes_it_unsigned(bench: Bench, bit: int) -> None:
    path = bench.write(pin())
    for name in (path, path + ".minisig"):
        good, _ = bench.inner.objects[name]
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        altered(bench, name, bytes(bad))
        seen = bench.only()
        assert seen.trust is Trust.UNSIGNED and seen.why, name
        altered(bench, name, good)
        assert bench.only().trust is Trust.SIGNED


def test_records_without_signature_by_strangers_moved_or_of_another_site_are_unsigned(bench: Bench) -> None:
    bench.store.put(pin(point="p1").path, pin(point="p1").data)
    bench.write(pin(point="p2"), STRANGER)
    bench.write(pin(point="p3"), path=pin(point="p4").path)
    bench.write(pin(point="p5"), comment=pin(point="p6").comment)
    bench.write(pin(point="p7", site="other"))
    seen = {record.record.point: record for record in bench.read().values()}
    assert {record.trust for record in seen.values()} == {Trust.UNSIGNED}
    assert set(seen) == {"p1", "p2", "p4", "p5", "p7"}
    assert "no signature" in seen["p1"].why
    assert "does not belong" in seen["p4"].why
    assert "another record" in seen["p5"].why
    assert "site other" in seen["p7"].why


def test_break_glass_reads_any_site() -> None:
    bench = Bench(site="")
    bench.write(pin(site="other"))
    assert bench.only().trust is Trust.SIGNED
    view = read_vault(bench.store, EU, (TrustedKey(KEY.public),), NOON, application="shop")
    assert view.complete and [seen.trust for seen in view.records] == [Trust.SIGNED]


@pytest.mark.parametrize(("minutes", "trust"), [(9, Trust.SIGNED), (10, Trust.UNSIGNED), (11, Trust.UNSIGNED)])
def test_a_stolen_keys_records_count_if_the_store_wrote_them_before(minutes: int, trust: Trust) -> None:
    bench = Bench(trusted=(TrustedKey(KEY.public, NOON + timedelta(minutes=10)),))
    bench.clock.turn(minutes=minutes)
    bench.write(pin())  # back-dated: it says NOON
    assert bench.only().trust is trust


def test_a_signature_that_was_written_late_counts_as_late() -> None:
    bench = Bench(trusted=(TrustedKey(KEY.public, NOON + timedelta(minutes=10)),))
    bench.store.put(pin().path, pin().data)
    bench.clock.turn(minutes=11)
    bench.store.put(pin().path + ".minisig", KEY.sign(pin().data, pin().comment))
    assert bench.only().trust is Trust.UNSIGNED


def test_a_signed_record_of_a_later_version_is_unsupported(bench: Bench) -> None:
    body = dict(pin().body) | {"format": 2}
    data = canonical_bytes(body)
    put_pair(bench.store, pin().path, data, KEY.sign(data, pin().comment))
    seen = bench.only()
    assert seen.trust is Trust.UNSUPPORTED and "format 2" in seen.why
    assert not fold("shop", [bench.reader.view(EU, "shop")], [], lambda *_: True, NOON).points


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":1}', b"\xff" * 40])
def test_a_pin_that_is_damaged_still_keeps_by_its_name(bench: Bench, data: bytes) -> None:
    altered(bench, bench.write(pin()), data)
    seen = bench.only()
    assert (seen.trust, seen.record.type, seen.record.text("mark")) == (Trust.UNSIGNED, "mark", "pin")
    assert (seen.record.at, seen.record.point, seen.record.resource) == (NOON, "p1", "data")


@pytest.mark.parametrize(
    "path",
    [
        "drorch/v1/records/shop/data/no-time/manifest.json",
        "drorch/v1/records/shop/manifest.json",
        "drorch/v1/records/x.json",
        "drorch/v1/records/shop/data/20261120T120000Z-p/marks/x.json",
        "drorch/v1/records/shop/data/20261120T120000Z-p/later/x.json",
        "drorch/v1/records/shop/data/20261120T120000Z-p/deeper/and/deeper.json",
    ],
)
def test_objects_that_nobody_of_ours_wrote_break_nothing(bench: Bench, path: str) -> None:
    bench.store.put(path, b"rubbish")
    bench.write(pin())
    seen = bench.read()
    assert seen[pin().path].trust is Trust.SIGNED
    assert all(record.trust is Trust.UNSIGNED for name, record in seen.items() if name != pin().path)
    found = fold("shop", [bench.reader.view(EU, "shop")], [], lambda *_: True, NOON)
    assert not any(point.usable for point in found.points)


# --- what is read again --------------------------------------------------------------------------------------------


def test_a_record_is_fetched_once_and_again_when_it_changed(bench: Bench) -> None:
    path = bench.write(pin())
    bench.read()
    before = bench.store.faults.calls["read"]
    assert before == 2
    bench.read()
    assert bench.store.faults.calls["read"] == before
    altered(bench, path + ".minisig", STRANGER.sign(pin().data, pin().comment))
    assert bench.only().trust is Trust.UNSIGNED
    bench.clock.turn(minutes=1)
    bench.store.delete(path)
    assert bench.read() == {}


def test_a_part_is_read_without_the_rest(bench: Bench) -> None:
    bench.write(pin("data"))
    bench.write(pin("data_2"))
    bench.read()
    assert bench.reader.listed_at("eu") == NOON
    bench.clock.turn(minutes=5)
    for resource in ("data", "data_2"):
        bench.store.delete(pin(resource).path)
    left = bench.read(Scope("shop", "data"))
    assert [seen.record.resource for seen in left.values()] == ["data_2"]
    assert bench.reader.listed_at("eu") == NOON, "the whole was not listed"


@pytest.mark.parametrize("method", ["list", "read"])
def test_a_reading_that_fails_keeps_the_last_complete_picture(bench: Bench, method: str) -> None:
    bench.write(pin())
    bench.read()
    bench.write(pin("other"))
    bench.clock.turn(minutes=5)
    bench.store.faults.order(method, "half" if method == "list" else "short")
    with pytest.raises(Unavailable):
        bench.read()
    view = bench.reader.view(EU, "shop", complete=False, why="timeout")
    assert [seen.record.resource for seen in view.records] == ["data"]
    assert (view.complete, view.why, view.at) == (False, "timeout", NOON)
    assert len(bench.read()) == 2


def test_a_record_that_goes_between_listing_and_reading_is_simply_not_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(pin())
    bench.write(pin("other"))
    real = bench.store.read

    def read(path: str, start: int = 0, length: int | None = None, *, version: str = "") -> object:
        if "other" in path:
            raise NotFound("gone")
        return real(path, start, length, version=version)

    monkeypatch.setattr(bench.store, "read", read)
    assert [seen.record.resource for seen in bench.read().values()] == ["data"]


def test_data_objects_are_known_with_their_sizes_and_a_vault_never_listed_is_never_read(bench: Bench) -> None:
    assert bench.reader.listed_at("eu") is None
    assert bench.reader.view(EU, "shop").at is None
    bench.store.put("drorch/v1/data/shop/data/20261120T120000Z-p1/data.zst.age", b"12345")
    bench.store.put("drorch/v1/data/bank/data/20261120T120000Z-p2/data.zst.age", b"1")
    bench.read()
    assert bench.reader.view(EU, "shop").objects == {"drorch/v1/data/shop/data/20261120T120000Z-p1/data.zst.age": 5}


def test_a_new_reader_on_the_same_cache_fetches_nothing(bench: Bench) -> None:
    bench.write(pin())
    seen = bench.read()
    again = VaultReader(bench.cache, (TrustedKey(KEY.public),), "acme")
    assert {record.path: record for record in again.view(EU, "shop").records} == seen
    assert replace(seen[pin().path]) == seen[pin().path]
    assert seen[pin().path].written.tzinfo is UTC
