"""Where a store keeps versions, nothing that is written or deleted over a point later keeps it from being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache

import clouds
import pytest
from dumped import APPLICATION, DATA, MIB, NOON, RESOURCE, SITE, World, table_rows
from faults import FaultyStore
from live_stores import BUCKET, REGION, s3_bucket, s3_store

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.leaves import folder_of, runs, verified_leaves
from drorch.app.reading import TrustedKey, check_sums, open_artefact, read_signed
from drorch.app.restore import RestoreRequest, restore
from drorch.app.ship import ShipOrder, ship
from drorch.app.verify import State, committed_points, verify_points, whole
from drorch.domain.errors import NotFound, Refused
from drorch.domain.record import artefacts_of
from drorch.ports import ObjectStore, StoreLimits
from drorch.stores.memory import MemoryStore

PLAIN = table_rows("orders", 27_000)
EVERY = [
    *(f"{name}.zst.age{ending}" for name in (DATA, "globals.sql", "inventory.json") for ending in ("", ".leaves")),
    f"{DATA}.zst.age.001",
    "SHA256SUMS",
    "SHA256SUMS.minisig",
    "manifest.json",
    "manifest.json.minisig",
]


@cache
def dumped() -> World:
    world = World("gcs-eu")
    world.dump("p1", PLAIN, volume_bytes=MIB)
    world.dump("other", table_rows("orders", 27_000, seed=3), ago=timedelta(hours=2), volume_bytes=MIB)
    return world


class Vault(World):
    """A versioned store with both points."""

    def __init__(self) -> None:
        super().__init__("gcs-eu")
        self.key, self.identity = dumped().key, dumped().identity
        self.good = {path: body for path, (body, _) in dumped().memory().objects.items()}
        for path, body in self.good.items():
            self.stores["gcs-eu"].put(path, body)
        self.manifest = read_signed(dumped().memory(), self.path("manifest.json"), [TrustedKey(self.key.public)])

    def store(self, name: str) -> MemoryStore:
        return MemoryStore(name, now=self.clock.now, limits=StoreLimits(part_bytes=MIB), versioned=True)

    def path(self, name: str, point: str = "p1") -> str:
        return next(path for path in self.good if path.endswith(f"-{point}/{name}"))

    def restored(self) -> bytes:
        request = RestoreRequest(APPLICATION, "memory://back", resource=RESOURCE, point="p1", with_globals=True)
        self.report = restore(request, self.engine, self.stores, self.reader())
        return self.engine.databases["back"][DATA]


Attack = Callable[[Vault, str], None]


def hidden(vault: Vault, path: str) -> None:
    vault.memory().hide(path)


def flipped(vault: Vault, path: str) -> None:
    body = vault.good[path]
    middle = len(body) // 2
    vault.memory().plant(path, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])


def emptied(vault: Vault, path: str) -> None:
    vault.memory().plant(path, b"")


def replayed(vault: Vault, path: str) -> None:
    vault.memory().plant(path, vault.good[vault.path(path.rpartition("/")[2], "other")])


def again_and_again(vault: Vault, path: str) -> None:
    flipped(vault, path)
    hidden(vault, path)
    replayed(vault, path)
    hidden(vault, path)


ATTACKS = [hidden, flipped, emptied, replayed, again_and_again]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("name", EVERY)
def test_a_restore_gives_what_was_dumped_whatever_lies_over_it(attack: Attack, name: str) -> None:
    vault = Vault()
    vault.clock.present += timedelta(hours=1)
    attack(vault, vault.path(name))
    assert vault.restored() == PLAIN


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_everything_overwritten_at_once_is_read_all_the_same(attack: Attack) -> None:
    vault = Vault()
    vault.clock.present += timedelta(hours=1)
    for name in EVERY:
        attack(vault, vault.path(name))
    assert vault.restored() == PLAIN


def test_a_restore_says_what_lies_over_it() -> None:
    vault = Vault()
    emptied(vault, vault.path(f"{DATA}.zst.age"))
    vault.restored()
    assert any("wrote or deleted over" in note and DATA in note for note in vault.report.notes)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_drill_and_a_ship_read_what_was_signed(attack: Attack) -> None:
    vault = Vault()
    for name in EVERY:
        attack(vault, vault.path(name))
    order = DrillOrder(SITE, APPLICATION, RESOURCE, "gcs-eu", point="p1")
    assert run_drill(order, vault.engine, Scratch(), vault.stores, vault.reader(), vault.key).passed
    target = MemoryStore("s3")
    cut_at = vault.manifest.cut_at
    assert cut_at is not None
    keys = [TrustedKey(vault.key.public)]
    ship(ShipOrder(SITE, APPLICATION, RESOURCE, "p1", cut_at), vault.memory(), target, keys, clock=vault.clock)
    of_p1 = {path: body for path, body in vault.good.items() if "-p1/" in path}
    assert {path: target.objects[path][0] for path in of_p1} == of_p1


@pytest.mark.parametrize("attack", [hidden, flipped, emptied, replayed], ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("name", [f"{DATA}.zst.age", f"{DATA}.zst.age.leaves", "SHA256SUMS", "manifest.json"])
def test_a_store_without_versions_has_nothing_beneath(attack: Attack, name: str) -> None:
    class Plain(Vault):
        def store(self, name: str) -> MemoryStore:
            return MemoryStore(name, now=self.clock.now)

    vault = Plain()
    attack(vault, vault.path(name))
    with pytest.raises(Refused):
        vault.restored()


def test_a_point_that_was_never_signed_is_not_found_beneath_either() -> None:
    vault = Vault()
    path = vault.path("manifest.json")
    vault.memory().delete(path)
    flipped(vault, path)
    hidden(vault, path)
    with pytest.raises(NotFound):
        read_signed(vault.memory(), path, [TrustedKey(vault.key.public)])


def test_a_key_that_ended_does_not_count_for_what_was_planted_after_it() -> None:
    vault = Vault()
    path = vault.path("manifest.json")
    keys = [TrustedKey(vault.key.public, until=NOON + timedelta(hours=1))]
    vault.clock.present += timedelta(hours=2)
    stolen = replace(vault.manifest, body={**vault.manifest.body, "note": "forged with the stolen key"})
    vault.memory().plant(path, stolen.data)
    vault.memory().plant(path + ".minisig", vault.key.sign(stolen.data, stolen.comment))
    over: list[str] = []
    assert read_signed(vault.memory(), path, keys, over.append) == vault.manifest
    assert path in over


@pytest.mark.parametrize("versioned", [False, True])
def test_what_is_as_it_was_signed_costs_no_listing(versioned: bool) -> None:
    vault = Vault()
    inner = vault.memory() if versioned else dumped().memory()
    store, keys = FaultyStore(inner), [TrustedKey(vault.key.public)]
    manifest = read_signed(store, vault.path("manifest.json"), keys)
    check_sums(store, manifest, keys)
    for artefact in artefacts_of(manifest):
        list(verified_leaves(store, folder_of(manifest), artefact, vault.clock))
    assert store.faults.calls["list"] == 0


def test_a_vault_that_does_not_list_its_versions_is_unavailable_and_not_damaged() -> None:
    vault = Vault()
    flipped(vault, vault.path(f"{DATA}.zst.age"))
    store = FaultyStore(vault.memory())
    places = [place for place in committed_points(store) if place.point == "p1"]
    store.faults.order("list", "before", times=99)
    keys = [TrustedKey(vault.key.public)]
    report = verify_points(store, places, keys, whole, site=SITE, clock=vault.clock)
    assert [point.state for point in report.points] == [State.UNAVAILABLE]


def test_leaves_are_read_in_runs() -> None:
    assert list(runs([])) == []
    assert list(runs(range(5))) == [range(5)]
    assert list(runs([0, 1, 4, 6, 7])) == [range(2), range(4, 5), range(6, 8)]


# --- on S3 ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[ObjectStore]:
    """A bucket with versions that holds both points."""
    with s3_bucket() as aws:
        client = clouds.client(aws, "s3", REGION)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        store = s3_store()
        for path, (body, _) in dumped().memory().objects.items():
            store.put(path, body)
        yield store


def test_on_s3_everything_overwritten_or_deleted_is_read_all_the_same(bucket: ObjectStore) -> None:
    vault = Vault()
    client = bucket.client  # type: ignore[attr-defined]
    for number, name in enumerate(EVERY):
        path = vault.path(name)
        if number % 2:
            client.delete_object(Bucket=BUCKET, Key=f"team/dr/{path}")
        else:
            bucket.put(path, vault.good[path][:-1] + b"!", overwrite=True)
    keys = [TrustedKey(vault.key.public)]
    manifest = read_signed(bucket, vault.path("manifest.json"), keys)
    parts = open_artefact(bucket, manifest, artefacts_of(manifest)[0], [vault.identity], vault.clock)
    assert b"".join(bytes(part) for part in parts) == PLAIN
    places = committed_points(bucket)
    report = verify_points(bucket, places, keys, whole, site=SITE, clock=vault.clock)
    assert [point.state for point in report.points] == [State.OK, State.OK]
    shadowed = {path.rpartition("/")[2] for point in report.points for path in point.shadowed}
    assert shadowed == set(EVERY)
