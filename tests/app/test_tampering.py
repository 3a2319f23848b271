"""Whatever is done to a vault, a restore from it gives exactly the data that were dumped, or refuses (exit 3 or 6).

And never does a loading process see one byte that the dump did not hold, in its place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta

import pytest
from dumped import APPLICATION, DATA, MIB, RESOURCE, SITE, World, table_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.app.reading import TrustedKey, read_signed
from drorch.app.restore import RestoreRequest, restore
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import digest_of
from drorch.domain.errors import Refused
from drorch.domain.record import MarkType, Record, RecordType, compose
from drorch.stores.memory import MemoryStore

PLAIN = table_rows("orders", 27_000) + table_rows("items", 30, seed=2)


def _world() -> World:
    world = World("gcs-eu")
    world.dump("other", table_rows("orders", 27_000, seed=3), ago=timedelta(hours=2), volume_bytes=MIB)
    world.dump("p1", PLAIN, volume_bytes=MIB)
    return world


WORLD = _world()
OBJECTS = {path: body for path, (body, _) in WORLD.memory().objects.items()}
OF_P1 = sorted(path for path in OBJECTS if "-p1/" in path)
OF_OTHER = {path.replace("T115500Z-p1/", "T100000Z-other/"): path for path in OF_P1}


def attempt(change: Callable[[dict[str, bytes]], object], point: str = "p1") -> tuple[Refused | None, World]:
    """Change a vault, then restore from it: the refusal, if there was one."""
    world = copy.copy(WORLD)
    world.engine = copy.copy(WORLD.engine)
    world.engine.databases, world.engine.unfinished, world.engine.given = {}, {}, {}
    objects = dict(OBJECTS)
    change(objects)
    store = MemoryStore("gcs-eu", now=WORLD.clock.now)
    for path, body in objects.items():
        store.put(path, body)
    request = RestoreRequest(APPLICATION, "memory://back", resource=RESOURCE, point=point)
    try:
        restore(request, world.engine, {"gcs-eu": store}, world.reader())
    except Refused as error:
        return error, world
    return None, world


def assert_refused(change: Callable[[dict[str, bytes]], object], point: str = "p1") -> Refused:
    error, world = attempt(change, point)
    assert error is not None, "it was restored"
    assert error.exit_code in (3, 6)
    assert world.engine.databases == {}
    assert world.engine.unfinished == {}
    assert PLAIN.startswith(bytes(world.engine.given.get(DATA, b"")))
    return error


def test_the_untouched_vault_gives_exactly_what_was_dumped() -> None:
    error, world = attempt(dict.copy)
    assert error is None
    assert world.engine.databases["back"][DATA] == PLAIN


def test_the_point_has_every_kind_of_object() -> None:
    names = {path.rpartition("/")[2] for path in OF_P1}
    artefacts = ("data.pgcustom", "globals.sql", "inventory.json")
    expected = {f"{name}.zst.age{ending}" for name in artefacts for ending in ("", ".leaves")}
    expected |= {"data.pgcustom.zst.age.001", "SHA256SUMS", "SHA256SUMS.minisig"}
    assert names == expected | {"manifest.json", "manifest.json.minisig"}


@pytest.mark.parametrize("path", OF_P1)
class TestEveryObject:
    def test_any_flipped_bit_is_refused(self, path: str) -> None:
        size = len(OBJECTS[path])
        for place in {0, size // 3, size // 2, size - 1}:

            def flip(objects: dict[str, bytes], place: int = place) -> None:
                body = bytearray(objects[path])
                body[place] ^= 1
                objects[path] = bytes(body)

            assert_refused(flip)

    def test_missing_it_is_refused(self, path: str) -> None:
        assert_refused(lambda objects: objects.pop(path))

    def test_one_byte_less_is_refused(self, path: str) -> None:
        assert_refused(lambda objects: objects.update({path: objects[path][:-1]}))

    def test_one_byte_more_is_refused(self, path: str) -> None:
        assert_refused(lambda objects: objects.update({path: objects[path] + b"\n"}))

    def test_emptied_it_is_refused(self, path: str) -> None:
        assert_refused(lambda objects: objects.update({path: b""}))

    def test_the_other_points_object_in_its_place_is_refused(self, path: str) -> None:
        twin = next(other for other, own in OF_OTHER.items() if own == path)
        assert_refused(lambda objects: objects.update({path: OBJECTS[twin]}))


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(OF_P1), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_a_point_can_be_flipped_unnoticed(path: str, where: float, bit: int) -> None:
    def flip(objects: dict[str, bytes]) -> None:
        body = bytearray(objects[path])
        body[int(where * len(body))] ^= 1 << bit
        objects[path] = bytes(body)

    assert_refused(flip)


def test_all_data_of_another_point_under_this_ones_records_is_refused() -> None:
    def swap(objects: dict[str, bytes]) -> None:
        for other, own in OF_OTHER.items():
            if own.startswith(layout.DATA):
                objects[own] = OBJECTS[other]

    assert assert_refused(swap).exit_code in (3, 6)


def test_an_old_manifest_replayed_as_a_newer_point_is_refused() -> None:
    def replay(objects: dict[str, bytes]) -> None:
        for path, body in OBJECTS.items():
            if "-other/" in path:
                objects[path.replace("20261120T100000Z-other/", "20261120T115900Z-new/")] = body

    assert_refused(replay, point="new")


def test_a_whole_point_moved_to_another_resource_is_refused() -> None:
    world = copy.copy(WORLD)
    store = MemoryStore("gcs-eu", now=WORLD.clock.now)
    for path, body in OBJECTS.items():
        store.put(path.replace("/shop/orders/", "/shop/ledger/"), body)
    request = RestoreRequest(APPLICATION, "memory://back", resource="ledger")
    with pytest.raises(Refused) as caught:
        restore(request, world.engine, {"gcs-eu": store}, world.reader())
    assert caught.value.exit_code == 3


def test_a_point_signed_by_a_stranger_is_refused() -> None:
    world = _world()
    world.dump("evil", PLAIN, ago=timedelta(minutes=1), key=SecretKey.generate())
    request = RestoreRequest(APPLICATION, "memory://back", point="evil")
    with pytest.raises(Refused, match="not signed by a trusted key") as caught:
        restore(request, world.engine, world.stores, world.reader())
    assert caught.value.exit_code == 3
    assert world.engine.given == {}


def test_a_strangers_newer_point_does_not_displace_ours() -> None:
    world = _world()
    world.dump("evil", table_rows("orders", 5), ago=timedelta(minutes=1), key=SecretKey.generate())
    report = restore(RestoreRequest(APPLICATION, "memory://back"), world.engine, world.stores, world.reader())
    assert report.point == "p1"
    assert [newer.point for newer in report.newer] == ["evil"]
    assert "unsigned" in report.newer[0].why


# --- records of every type -----------------------------------------------------------------------------------------

KEY = SecretKey.generate()
OF_KEY = {"recipient": "age1one", "fingerprint": "0123456789abcdef"}
RECORDS = {
    RecordType.MANIFEST: WORLD.dump("signed", b"", ago=timedelta(hours=5), key=KEY).manifest,
    RecordType.NATIVE: {"vault": "prod.us-west-2", "members": [{"native_id": "snap-1", "source_id": "vol-1"}]},
    RecordType.MARK: {"mark": str(MarkType.PIN), "reason": "before the migration"},
    RecordType.PROOF: {"vault": "gcs-eu", "outcome": "passed", "seconds": {"total": 3}},
    RecordType.VAULT: {"vault": "gcs-eu", "id": "v1"},
    RecordType.JOURNAL: {"event": "restore", "host": "dr1", "seq": 7, "application": APPLICATION, "outcome": "done"},
    RecordType.RUNBOOK: {
        "application": APPLICATION,
        "regions": {"us-west-2": {"data": {"zone": "us-west-2a"}}},
        "kinds": {"data": "ebs"},
        "steps": [{"name": "volumes", "restore": "data", "needs": []}],
    },
    RecordType.HEAD: {"application": APPLICATION, "host": "backup1", "seq": 7, "live": {"gcs-eu": {"p1": "0" * 64}}},
    RecordType.APPROVAL: {"digest": digest_of([("gcs-eu", "p1")]), "deletions": [["gcs-eu", "p1"]]},
    RecordType.KEY_TOKEN: {**OF_KEY, "sealed": "YWdl", "sha256": "0" * 64, "public": "1" * 64},
    RecordType.KEY_PROOF: {**OF_KEY, "answer": "drorch-key-1", "proved_at": "2026-11-20T12:00:00Z"},
    RecordType.REWRAP: {**OF_KEY, "headers": [{"name": "data.zst.age", "header": "YWdl"}]},
}
OF_NO_POINT = {*RecordType} - {
    RecordType.MANIFEST,
    RecordType.NATIVE,
    RecordType.MARK,
    RecordType.PROOF,
    RecordType.REWRAP,
}


def _record(record_type: RecordType) -> Record:
    content = RECORDS[record_type]
    if isinstance(content, Record):
        return content
    named = {"point": "p1", "application": APPLICATION, "resource": RESOURCE}
    point = {} if record_type in OF_NO_POINT else named
    at = WORLD.clock.now()
    return compose(record_type, site=SITE, at=at, cut_at=at if point else None, **point, **content)  # type: ignore[arg-type]


def _signed(record: Record, **changed: bytes | str) -> MemoryStore:
    """A store with the record and its signature, something about one of them changed."""
    data, path = changed.get("data", record.data), str(changed.get("path", record.path))
    assert isinstance(data, bytes)
    store = MemoryStore("gcs-eu", now=WORLD.clock.now)
    signature = KEY.sign(record.data, str(changed.get("comment", record.comment)))
    given = changed.get("signature", signature)
    assert isinstance(given, bytes)
    store.put(path, data)
    store.put(path + layout.SIGNATURE, given)
    return store


@pytest.mark.parametrize("record_type", list(RecordType))
class TestEveryRecordType:
    keys = (TrustedKey(KEY.public),)

    def test_as_written_it_is_read(self, record_type: RecordType) -> None:
        record = _record(record_type)
        assert read_signed(_signed(record), record.path, self.keys) == record

    def test_every_flipped_byte_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        for place in range(0, len(record.data), 7):
            data = bytearray(record.data)
            data[place] ^= 4
            with pytest.raises(Refused) as caught:
                read_signed(_signed(record, data=bytes(data)), record.path, self.keys)
            assert caught.value.exit_code in (3, 6)

    def test_every_flipped_byte_of_its_signature_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        signature = KEY.sign(record.data, record.comment)
        for place in range(len(signature)):
            flipped = bytearray(signature)
            flipped[place] ^= 2
            with pytest.raises(Refused) as caught:
                read_signed(_signed(record, signature=bytes(flipped)), record.path, self.keys)
            assert caught.value.exit_code in (3, 6)

    def test_at_any_other_path_it_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        others = {_record(other).path for other in RecordType} - {record.path}
        for path in sorted({*others, record.path.replace("p1", "p2").replace("vault.json", "vault2.json")}):
            if path == record.path:
                continue
            with pytest.raises(Refused) as caught:
                read_signed(_signed(record, path=path), path, self.keys)
            assert caught.value.exit_code in (3, 6)

    def test_a_signature_with_another_comment_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        store = _signed(record, comment=layout.trusted_comment("mark", record.path + "x"))
        with pytest.raises(Refused, match="made for something else") as caught:
            read_signed(store, record.path, self.keys)
        assert caught.value.exit_code == 3

    def test_a_strangers_signature_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        foreign = SecretKey.generate().sign(record.data, record.comment)
        with pytest.raises(Refused, match="unknown key") as caught:
            read_signed(_signed(record, signature=foreign), record.path, self.keys)
        assert caught.value.exit_code == 3

    def test_the_signature_of_another_record_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        other = _record(next(other for other in RecordType if other != record_type))
        with pytest.raises(Refused) as caught:
            read_signed(_signed(record, signature=KEY.sign(other.data, other.comment)), record.path, self.keys)
        assert caught.value.exit_code == 3

    def test_without_signature_it_is_refused(self, record_type: RecordType) -> None:
        record = _record(record_type)
        store = MemoryStore("gcs-eu")
        store.put(record.path, record.data)
        with pytest.raises(Refused, match="not signed") as caught:
            read_signed(store, record.path, self.keys)
        assert caught.value.exit_code == 3
