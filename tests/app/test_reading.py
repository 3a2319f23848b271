"""Records and artefacts are read verified, resumed where the network breaks, and never beyond what memory allows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
import zstandard
from dumped import DATA, MIB, NOON, SITE, World, table_rows

from drorch.app.leaves import check_sizes, folder_of, verified_leaves
from drorch.app.reading import (
    TrustedKey,
    check_sums,
    inventory_artefact,
    open_artefact,
    parse_inventory,
    read_inventory,
    read_signed,
)
from drorch.crypto.age import Encryptor, NoMatchingIdentity, new_identity
from drorch.crypto.minisign import BadSignature, SecretKey, UnknownSigner
from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes
from drorch.domain.errors import Damaged, NotFound, NotInThisVersion, Unavailable
from drorch.domain.record import Record, RecordType, StoredArtefact, StoredVolume, artefacts_of, compose
from drorch.stores.memory import MemoryStore

PLAIN = table_rows("orders", 60_000)


class Flaky(MemoryStore):
    """Fails as it is told: `cuts` lists after how many bytes the next streams of data objects end in Unavailable."""

    def __init__(self, world: World) -> None:
        super().__init__("gcs-eu", now=world.clock.now)
        self.objects = dict(world.memory().objects)
        self.cuts: list[int] = []
        self.flips: list[int] = []
        self.reads: list[tuple[str, int]] = []
        self.ends_quietly = False

    def read(self, path: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        body = b"".join(super().read(path, start, length))
        name = path.rpartition("/")[2]
        if not name.startswith(DATA) or name.endswith(layout.LEAVES):
            return iter([body])
        self.reads.append((name, start))
        return self._stream(body)

    def _stream(self, body: bytes) -> Iterator[bytes]:
        if self.flips:
            place = self.flips.pop(0)
            body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        end = self.cuts.pop(0) if self.cuts else len(body)
        for at in range(0, min(end, len(body)), 300_000):
            yield body[at : min(at + 300_000, end)]
        if end < len(body) and not self.ends_quietly:
            raise Unavailable("the connection was cut", vault=self.vault)


@pytest.fixture
def world() -> World:
    world = World("gcs-eu")
    world.dump("p1", PLAIN, volume_bytes=2 * MIB)
    return world


@pytest.fixture
def flaky(world: World) -> Flaky:
    return Flaky(world)


def manifest_of(world: World) -> Record:
    path = layout.manifest_path("shop", "orders", NOON - timedelta(minutes=5), "p1")
    return read_signed(world.memory(), path, [TrustedKey(world.key.public)])


def data_of(manifest: Record) -> StoredArtefact:
    return artefacts_of(manifest)[0]


def by_hand(world: World, plain: bytes) -> Record:
    """The manifest of a point whose one artefact decrypts to `plain`, its objects written."""
    encryptor = Encryptor([world.recipient])
    body = encryptor.header + encryptor.update(plain) + encryptor.finish()
    leaves = b"".join(hashlib.sha256(body[at : at + MIB]).digest() for at in range(0, len(body), MIB))
    name = DATA + layout.ENCRYPTED
    volume = StoredVolume(name, len(body), hashlib.sha256(body).hexdigest())
    header = encryptor.header_bytes
    artefact = StoredArtefact(name, len(body), header, MIB, hashlib.sha256(leaves).hexdigest(), (volume,))
    manifest = compose(
        RecordType.MANIFEST,
        site=SITE,
        at=NOON,
        application="shop",
        resource="orders",
        point="p2",
        cut_at=NOON,
        kind="memory",
        slot="2026-11-20T12:00Z",
        artefacts=[artefact.body()],
    )
    world.memory().put(folder_of(manifest) + name, body)
    world.memory().put(folder_of(manifest) + name + layout.LEAVES, leaves)
    return manifest


def read_all(world: World, store: MemoryStore, identities: list[str] | None = None) -> bytes:
    manifest = manifest_of(world)
    parts = open_artefact(store, manifest, data_of(manifest), identities or [world.identity], world.clock)
    with closing(parts):
        return b"".join(bytes(part) for part in parts)


class TestRecords:
    def test_a_key_that_is_trusted_until_a_time_counts_for_what_the_store_saw_before(self, world: World) -> None:
        path, store, key = manifest_of(world).path, world.memory(), world.key.public
        read_signed(store, path, [TrustedKey(key, until=NOON + timedelta(seconds=1))])
        with pytest.raises(BadSignature, match="trusted only until 2026-11-20T12:00:00Z") as caught:
            read_signed(store, path, [TrustedKey(key, until=NOON)])
        assert caught.value.exit_code == 3

    def test_a_record_or_signature_written_after_the_keys_end_does_not_count(self, world: World) -> None:
        path, store = manifest_of(world).path, world.memory()
        keys = [TrustedKey(world.key.public, until=NOON + timedelta(hours=1))]
        for name in (path, path + layout.SIGNATURE):
            body, written = store.objects[name]
            store.objects[name] = (body, NOON + timedelta(hours=2))
            with pytest.raises(BadSignature, match="trusted only until"):
                read_signed(store, path, keys)
            store.objects[name] = (body, written)
        assert read_signed(store, path, keys).point == "p1"

    def test_the_same_key_trusted_without_end_beside_counts(self, world: World) -> None:
        key = world.key.public
        keys = [TrustedKey(key, until=NOON), TrustedKey(key)]
        assert read_signed(world.memory(), manifest_of(world).path, keys).point == "p1"

    def test_a_stranger_is_named_by_the_keys_number(self, world: World) -> None:
        with pytest.raises(UnknownSigner, match=world.key.public.name) as caught:
            read_signed(world.memory(), manifest_of(world).path, [TrustedKey(SecretKey.generate().public)])
        assert caught.value.vault == "gcs-eu"

    def test_an_absent_record_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound):
            read_signed(world.memory(), "drorch/v1/records/shop/orders/none/manifest.json", [])

    def test_a_record_of_a_later_version_is_refused_as_such(self, world: World) -> None:
        data = canonical_bytes({"format": 2, "type": "manifest", "site": "acme-prod", "at": "2026-11-20T12:00:00Z"})
        store = MemoryStore("gcs-eu")
        store.put("a.json", data)
        store.put("a.json.minisig", world.key.sign(data, "drorch v1 manifest a.json"))
        with pytest.raises(NotInThisVersion):
            read_signed(store, "a.json", [TrustedKey(world.key.public)])

    def test_sums_that_list_something_else_are_damaged_even_when_signed(self, world: World) -> None:
        manifest, store = manifest_of(world), world.memory()
        keys = [TrustedKey(world.key.public)]
        check_sums(store, manifest, keys)
        path = folder_of(manifest) + layout.SUMS
        lines = store.objects[path][0].splitlines(keepends=True)
        fewer = b"".join(lines[1:])
        store.objects[path] = (fewer, NOON)
        signature = world.key.sign(fewer, layout.trusted_comment("sums", path))
        store.objects[path + layout.SIGNATURE] = (signature, NOON)
        with pytest.raises(Damaged, match="lists other objects"):
            check_sums(store, manifest, keys)


class TestArtefacts:
    def test_several_volumes_and_leaves_come_out_as_one_stream(self, world: World) -> None:
        assert len(data_of(manifest_of(world)).volumes) == 2
        assert read_all(world, world.memory()) == PLAIN

    def test_sizes_are_compared_before_a_byte_is_read(self, world: World, flaky: Flaky) -> None:
        manifest = manifest_of(world)
        path = folder_of(manifest) + data_of(manifest).volumes[1].object
        body, written = flaky.objects[path]
        flaky.objects[path] = (body + b"x", written)
        with pytest.raises(Damaged, match=r"data\.pgcustom\.zst\.age\.001 is damaged") as caught:
            read_all(world, flaky)
        assert caught.value.vault == "gcs-eu"
        assert flaky.reads == []

    def test_damage_is_told_with_vault_path_and_leaf(self, world: World, flaky: Flaky) -> None:
        manifest = manifest_of(world)
        path = folder_of(manifest) + data_of(manifest).volumes[1].object
        body, written = flaky.objects[path]
        flaky.objects[path] = (body[:100] + bytes([body[100] ^ 1]) + body[101:], written)
        with pytest.raises(Damaged, match=r"leaf 3 of 3 \(at byte 0 of this object\)") as caught:
            read_all(world, flaky)
        assert path in str(caught.value)
        assert caught.value.exit_code == 6

    def test_nothing_of_a_damaged_leaf_is_given_away(self, world: World, flaky: Flaky) -> None:
        manifest = manifest_of(world)
        path = folder_of(manifest) + data_of(manifest).volumes[0].object
        body, written = flaky.objects[path]
        flaky.objects[path] = (body[:-1] + bytes([body[-1] ^ 1]), written)
        leaves = verified_leaves(flaky, folder_of(manifest), data_of(manifest), world.clock)
        assert bytes(next(leaves)) == body[:MIB]
        with pytest.raises(Damaged):
            next(leaves)

    def test_a_cut_stream_is_resumed_at_the_first_leaf_that_is_not_verified(self, world: World, flaky: Flaky) -> None:
        flaky.cuts = [MIB + 5000, 100]
        assert read_all(world, flaky) == PLAIN
        name = data_of(manifest_of(world)).volumes[0].object
        assert flaky.reads[:3] == [(name, 0), (name, MIB), (name, MIB)]
        assert world.clock.slept == [1, 2]

    def test_a_stream_that_ends_early_without_an_error_is_resumed_too(self, world: World, flaky: Flaky) -> None:
        flaky.cuts, flaky.ends_quietly = [MIB + 5000], True
        assert read_all(world, flaky) == PLAIN
        assert world.clock.slept == [1]

    def test_a_stream_that_stays_cut_is_unavailable(self, world: World, flaky: Flaky) -> None:
        flaky.cuts = [10] * 20
        with pytest.raises(Unavailable, match="connection was cut") as caught:
            read_all(world, flaky)
        assert caught.value.exit_code == 4
        assert world.clock.slept == [1, 2, 4, 8]

    def test_a_bit_flipped_on_the_way_is_read_once_more(self, world: World, flaky: Flaky) -> None:
        flaky.flips = [7]
        assert read_all(world, flaky) == PLAIN
        assert world.clock.slept == []

    def test_a_wrong_key_names_the_recipients(self, world: World) -> None:
        with pytest.raises(NoMatchingIdentity, match=world.recipient) as caught:
            read_all(world, world.memory(), [new_identity()[0]])
        assert caught.value.exit_code == 3

    def test_one_of_several_identities_is_enough(self, world: World) -> None:
        assert read_all(world, world.memory(), [new_identity()[0], world.identity]) == PLAIN

    def test_leaves_of_an_absurd_size_are_refused(self, world: World) -> None:
        manifest = manifest_of(world)
        for leaf_bytes in (0, 1 << 40):
            with pytest.raises(Damaged, match="leaves of"):
                check_sizes(world.memory(), folder_of(manifest), replace(data_of(manifest), leaf_bytes=leaf_bytes))

    @pytest.mark.parametrize("plain", [b"not zstd", zstandard.compress(PLAIN)[:-3], zstandard.compress(PLAIN) + b"x"])
    def test_what_is_signed_and_encrypted_but_no_whole_zstd_frame_is_damaged(self, world: World, plain: bytes) -> None:
        manifest = by_hand(world, plain)
        parts = open_artefact(world.memory(), manifest, data_of(manifest), [world.identity], world.clock)
        with pytest.raises(Damaged, match="point p2") as caught, closing(parts):
            list(parts)
        assert (caught.value.vault, caught.value.exit_code) == ("gcs-eu", 6)

    def test_interrupting_ends_the_reading(self, world: World) -> None:
        cancel = threading.Event()
        manifest = manifest_of(world)
        parts = open_artefact(world.memory(), manifest, data_of(manifest), [world.identity], world.clock, cancel=cancel)
        next(parts)
        cancel.set()
        with pytest.raises(Unavailable, match="interrupted"):
            for _ in parts:
                pass

    def test_closing_it_early_leaves_no_thread(self, world: World) -> None:
        before = set(threading.enumerate())
        manifest = manifest_of(world)
        parts = open_artefact(world.memory(), manifest, data_of(manifest), [world.identity], world.clock)
        next(parts)
        parts.close()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
        assert set(threading.enumerate()) <= before

    def test_reading_ahead_takes_eight_leaves_of_memory_at_most(self, world: World) -> None:
        big = World("gcs-eu")
        big.dump("p1", table_rows("orders", 30 * MIB // 82), volume_bytes=4 * MIB)
        manifest = manifest_of(big)
        flaky = Flaky(big)
        buffers = set()
        count = 0
        for leaf in verified_leaves(flaky, folder_of(manifest), data_of(manifest), big.clock):
            buffers.add(id(leaf.obj))
            count += 1
        assert count == -(-data_of(manifest).bytes // MIB) > 12
        assert len(buffers) <= 8
        assert len(flaky.reads) == len(data_of(manifest).volumes)


class TestInventory:
    def test_the_inventory_is_read_back_as_counted(self, world: World) -> None:
        manifest = manifest_of(world)
        artefact = inventory_artefact(manifest)
        assert artefact is not None
        inventory = read_inventory(world.memory(), manifest, artefact, [world.identity], world.clock)
        assert inventory.tables == {"orders": 60_000}
        assert inventory.bytes == len(PLAIN)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"tables": []},
            {"tables": {"a": "12"}},
            {"tables": {"a": True}},
            {"tables": {}, "estimated": [1]},
            {"tables": {}, "bytes": "9"},
            {"tables": {}, "details": []},
        ],
    )
    def test_anything_else_is_damaged(self, body: dict[str, object]) -> None:
        with pytest.raises(Damaged):
            parse_inventory(canonical_bytes(body))
