"""A damaged copy is written again from a good one: nothing good is touched, and nothing goes before it was told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from dumped import APPLICATION, DATA, MIB, NOON, RESOURCE, SITE, World, table_rows
from faults import FaultyStore

from drorch.app.cache import Cache
from drorch.app.catalogue import Scope, VaultReader
from drorch.app.damage import sign_proof
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.repair import RepairOrder, RepairOutcome, repair
from drorch.app.verify import committed_points, verify_points, whole
from drorch.crypto.minisign import BadSignature, SecretKey
from drorch.domain import layout
from drorch.domain.catalogue import SeenRecord
from drorch.domain.catalogue_marks import INTACT, with_marks
from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.domain.model import Copy, CopyState, FailureDomain, LockMode, RecoveryPoint, Vault
from drorch.domain.record import Record
from drorch.ports import LockRule, ObjectStore, StoreLimits
from drorch.stores.directory import DirectoryStore
from drorch.stores.memory import MemoryStore

NAME = f"{DATA}.zst.age"
EVERY = (
    NAME,
    f"{NAME}.001",
    f"{NAME}.leaves",
    "globals.sql.zst.age",
    "SHA256SUMS",
    "SHA256SUMS.minisig",
    "manifest.json.minisig",
    "manifest.json",
)
LOCK = LockRule.model_validate({"for": "35d", "mode": str(LockMode.COMPLIANCE)})


@cache
def dumped() -> World:
    world = World("gcs")
    world.dump("p1", table_rows("orders", 60_000), volume_bytes=2 * MIB)
    return world


class Repairing(World):
    """One point in the vaults `gcs` and `nas`; its copy in `nas` is damaged, and the one in `gcs` is not."""

    def __init__(self, **nas: object) -> None:
        self.nas = nas
        super().__init__("gcs", "nas", "third")
        self.key = dumped().key
        for path, (body, _) in dumped().memory("gcs").objects.items():
            for name in ("gcs", "nas"):
                self.stores[name].put(path, body)
        self.good = {path: body for path, (body, _) in dumped().memory("gcs").objects.items()}
        (self.place,) = committed_points(self.stores["gcs"])
        self.order = RepairOrder(SITE, self.place, source="gcs", target="nas")

    def store(self, name: str) -> MemoryStore:
        options = self.nas if name == "nas" else {}
        return MemoryStore(name, now=self.clock.now, limits=StoreLimits(part_bytes=MIB), **options)  # type: ignore[arg-type]

    @property
    def keys(self) -> Sequence[TrustedKey]:
        return [TrustedKey(self.key.public)]

    def path(self, name: str) -> str:
        folder = layout.records_folder if name.startswith("manifest") else layout.data_folder
        return folder(APPLICATION, RESOURCE, self.place.cut_at, self.place.point) + name

    def break_it(self, *names: str, vault: str = "nas") -> None:
        for name in names:
            self.memory(vault).plant(self.path(name), flip(self.good[self.path(name)]))

    def tell(self) -> None:
        """A proof says that the copy is damaged."""
        report = verify_points(self.stores["nas"], [self.place], self.keys, whole, site=SITE, clock=self.clock)
        sign_proof(report.points[0], self.stores, self.key, self.keys, site=SITE, now=self.clock.now())

    def repair(self, **more: object) -> RepairOutcome:
        arguments = {"clock": self.clock} | more
        return repair(self.order, self.stores, self.keys, self.key, **arguments)  # type: ignore[arg-type]

    def contents(self, vault: str = "nas") -> dict[str, bytes]:
        """Of the dump itself, without marks and proofs."""
        store = self.stores[vault]
        read = {info.path: b"".join(store.read(info.path)) for info in store.list("")}
        return {path: body for path, body in read.items() if "/marks/" not in path and "/proofs/" not in path}

    def records(self, kind: str, vault: str = "nas") -> list[Record]:
        store = self.stores[vault]
        paths = sorted(info.path for info in store.list(layout.RECORDS) if f"/{kind}/" in info.path)
        return [read_signed(store, path, self.keys) for path in paths if path.endswith(".json")]

    def counts(self, vault: str = "third") -> Copy:
        """The copy in `nas` as the catalogue makes it of what lies in `vault`."""
        reader = VaultReader(Cache(None, ""), self.keys, SITE)
        reader.refresh(self.stores[vault], self.clock.now(), Scope(APPLICATION))
        seen: tuple[SeenRecord, ...] = reader.view(Vault(vault, FailureDomain("memory", "memory")), APPLICATION).records
        point = RecoveryPoint("p1", APPLICATION, RESOURCE, "memory", "", NOON, (Copy("nas", CopyState.USABLE),))
        return with_marks(point, seen, self.clock.now()).copies[0]


def flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :]


@pytest.fixture
def world() -> Repairing:
    return Repairing()


@pytest.mark.parametrize("name", EVERY)
def test_a_damaged_object_is_as_it_was_signed_again(world: Repairing, name: str) -> None:
    world.break_it(name)
    outcome = world.repair()
    assert outcome.objects == (name,)
    assert world.contents() == world.good


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_object_is_there_again(world: Repairing, name: str) -> None:
    world.memory("nas").delete(world.path(name))
    assert world.repair().objects == (name,)
    assert world.contents() == world.good


def test_everything_at_once_is_repaired(world: Repairing) -> None:
    world.break_it(*EVERY)
    world.memory("nas").delete(world.path(f"{NAME}.001"))
    world.memory("nas").plant(world.path("globals.sql.zst.age"), b"short")
    world.repair()
    assert world.contents() == world.good


def test_only_what_is_damaged_is_written(world: Repairing) -> None:
    world.break_it(f"{NAME}.001")
    before = dict(world.memory("nas").objects)
    world.clock.present += timedelta(hours=1)
    world.repair()
    after = world.memory("nas").objects
    assert {path for path, found in before.items() if after[path][1] != found[1]} == {world.path(f"{NAME}.001")}


def test_the_mark_says_what_was_written_again_and_lies_in_every_vault(world: Repairing) -> None:
    world.break_it(NAME, "SHA256SUMS")
    world.repair()
    for vault in world.stores:
        (mark,) = world.records("marks", vault)
        assert (mark.text("mark"), mark.text("vault")) == ("repaired", "nas")
        assert NAME in mark.text("reason") and "SHA256SUMS" in mark.text("reason") and "sha256" in mark.text("reason")
        (proof,) = world.records("proofs", vault)
        assert (proof.text("outcome"), proof.text("vault")) == (INTACT, "nas")


def test_nothing_is_deleted_before_the_mark_lies_in_the_vaults(world: Repairing) -> None:
    world.break_it(NAME, "SHA256SUMS", "manifest.json")
    deleted: list[int] = []
    faulty = FaultyStore(world.stores["nas"])
    world.stores["nas"] = faulty
    faulty.faults.order("delete", lambda: deleted.append(sum(len(world.records("marks", v)) for v in ("gcs", "third"))))
    world.repair()
    assert deleted == [2]


def test_where_the_mark_cannot_be_written_nothing_is_touched(world: Repairing) -> None:
    world.break_it(NAME)
    before = world.contents()
    for vault in ("gcs", "nas"):
        faulty = FaultyStore(world.stores[vault])
        faulty.faults.order("put", "before", times=9, only="/marks/")
        inner, world.stores[vault] = world.stores[vault], faulty
        with pytest.raises(Unavailable, match="nothing was touched"):
            world.repair()
        assert world.contents() == before
        world.stores[vault] = inner


def test_a_third_vault_that_is_away_does_not_stop_a_repair(world: Repairing) -> None:
    world.break_it(NAME)
    faulty = FaultyStore(world.stores["third"])
    faulty.faults.black_hole()
    world.stores["third"] = faulty
    assert list(world.repair().unwritten) == ["third"]
    assert world.contents() == world.good


def test_a_damaged_copy_counts_again_after_its_repair(world: Repairing) -> None:
    world.break_it(NAME)
    world.tell()
    assert world.counts().state is CopyState.FAILED
    world.repair()
    assert world.counts().state is CopyState.USABLE


def test_a_clock_that_was_turned_back_does_not_keep_a_repaired_copy_damaged(world: Repairing) -> None:
    world.break_it(NAME)
    world.tell()
    world.clock.present -= timedelta(hours=1)
    world.repair()
    world.clock.present += timedelta(hours=2)
    assert world.counts().state is CopyState.USABLE


def test_a_copy_that_turns_out_to_be_whole_is_said_to_be_and_left_alone(world: Repairing) -> None:
    world.break_it(NAME)
    world.tell()
    world.memory("nas").plant(world.path(NAME), world.good[world.path(NAME)])
    before = dict(world.memory("nas").objects)
    assert world.repair().objects == ()
    assert {p: b for p, b in world.memory("nas").objects.items() if p in before} == before
    assert world.records("marks") == []
    assert world.counts().state is CopyState.USABLE


# --- a source that is not what was signed --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"{NAME}.leaves", "SHA256SUMS", "manifest.json"])
def test_a_damaged_source_is_refused_and_nothing_is_touched(world: Repairing, name: str) -> None:
    world.break_it(NAME)
    world.break_it(name, vault="gcs")
    before = world.contents()
    with pytest.raises((Damaged, BadSignature)):
        world.repair()
    assert world.contents() == before
    assert world.records("marks") == world.records("proofs") == []


def test_two_copies_damaged_at_different_objects_heal_each_other(world: Repairing) -> None:
    world.break_it(NAME)
    world.break_it(f"{NAME}.001", vault="gcs")
    world.repair()
    world.order = RepairOrder(SITE, world.place, source="nas", target="gcs")
    world.repair()
    assert world.contents("nas") == world.contents("gcs") == world.good


def test_what_a_stranger_signed_repairs_nothing(world: Repairing) -> None:
    world.break_it(NAME)
    before = world.contents()
    with pytest.raises(BadSignature):
        repair(world.order, world.stores, [TrustedKey(SecretKey.generate().public)], world.key, clock=world.clock)
    assert world.contents() == before


def test_a_source_that_is_away_leaves_everything_as_it_is(world: Repairing) -> None:
    world.break_it(NAME)
    before = world.contents()
    faulty = FaultyStore(world.stores["gcs"])
    faulty.faults.black_hole()
    world.stores["gcs"] = faulty
    with pytest.raises(Unavailable):
        world.repair()
    assert world.contents() == before


def test_a_bit_flipped_by_the_network_repairs_nothing(world: Repairing) -> None:
    faulty = FaultyStore(world.stores["nas"])
    faulty.faults.order("read", "flip", only=NAME)
    world.stores["nas"] = faulty
    assert world.repair().objects == ()
    assert faulty.faults.calls["delete"] == 0


def test_cancelled_it_writes_no_proof(world: Repairing) -> None:
    world.break_it(NAME)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Unavailable):
        world.repair(cancel=cancel)
    assert world.records("proofs") == []


# --- locks and versions --------------------------------------------------------------------------------------------


def test_what_is_locked_is_written_over_when_it_is_small() -> None:
    world = Repairing(lock=LOCK)
    locked = world.memory("nas")
    for name in ("SHA256SUMS", f"{NAME}.001"):
        path = world.path(name)
        locked._versions[path][0].body = flip(world.good[path])  # what the disks of the store have done
        locked.objects[path] = (flip(world.good[path]), NOON)
    outcome = world.repair()
    assert set(outcome.objects) == {"SHA256SUMS", f"{NAME}.001"}
    assert world.contents() == world.good


def test_what_is_locked_and_large_is_refused_with_a_way_out() -> None:
    world = Repairing(lock=LOCK)
    path = world.path(NAME)
    world.memory("nas")._versions[path][0].body = flip(world.good[path])
    world.memory("nas").objects[path] = (flip(world.good[path]), NOON)
    with pytest.raises(Refused, match="too large to be written over") as caught:
        world.repair()
    assert "lock has ended" in caught.value.hint
    assert world.records("proofs") == []


def test_what_was_planted_over_a_good_version_is_no_reason_to_delete_anything() -> None:
    world = Repairing(versioned=True)
    world.break_it(NAME, "SHA256SUMS")
    world.memory("nas").hide(world.path("manifest.json"))
    faulty = FaultyStore(world.stores["nas"])
    world.stores["nas"] = faulty
    assert world.repair().objects == ()
    assert faulty.faults.calls["delete"] == 0


def test_on_a_versioned_store_without_a_good_version_the_object_is_replaced() -> None:
    world = Repairing(versioned=True)
    world.memory("nas").delete(world.path(NAME))
    world.break_it(NAME)
    world.repair()
    assert world.contents() == world.good


# --- cut short -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["delete", "upload", "write", "commit", "put", "stat", "read"])
@pytest.mark.parametrize("fault", ["before", "after", "lose"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_whatever_fails_the_next_try_ends_it(world: Repairing, method: str, fault: str, after: int) -> None:
    world.break_it(NAME, "SHA256SUMS", "manifest.json")
    world.tell()
    inner = world.stores["nas"]
    faulty = FaultyStore(inner)
    faulty.faults.order(method, fault, after=after)  # type: ignore[arg-type]
    world.stores["nas"] = faulty
    try:
        world.repair()
    except DrorchError:
        assert world.counts().state is CopyState.FAILED
        faulty.faults.clear()
        world.clock.present += timedelta(minutes=15)
        world.repair()
    world.stores["nas"] = inner
    assert world.contents() == world.good
    assert world.counts().state is CopyState.USABLE


CHILD = """
import json, sys
from pathlib import Path
from drorch.app.clock import SystemClock
from drorch.app.reading import TrustedKey
from drorch.app.repair import RepairOrder, repair
from drorch.crypto.minisign import SecretKey
from drorch.stores.directory import DirectoryStore
said = json.loads(sys.argv[1])
stores = {name: DirectoryStore(name, said["folder"] + "/" + name) for name in ("gcs", "nas", "third")}
key = SecretKey.parse(Path(said["folder"], "key").read_text())
repair(RepairOrder.from_json(said["order"]), stores, [TrustedKey(key.public)], key, clock=SystemClock())
"""


class OnDisk(Repairing):
    """The same in folders, repaired by a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__()
        (folder / "key").write_text(self.key.text())

    def store(self, name: str) -> ObjectStore:  # type: ignore[override]
        (self.folder / name).mkdir(exist_ok=True)
        return DirectoryStore(name, str(self.folder / name))

    def break_it(self, *names: str, vault: str = "nas") -> None:
        for name in names:
            self.stores[vault].put(self.path(name), flip(self.good[self.path(name)]), overwrite=True)

    def run(self, failpoint: str = "") -> int:
        said = {"folder": str(self.folder), "order": self.order.to_json()}
        environ = {**os.environ, **({"DRORCH_FAILPOINT": failpoint} if failpoint else {})}
        command = [sys.executable, "-c", CHILD, json.dumps(said)]
        return subprocess.run(command, env=environ, check=False, timeout=60).returncode


FAILPOINTS = [
    "repair.marked",
    "repair.deleted",
    "repair.deleted:2",
    "repair.deleted:3",
    "repair.written",
    "repair.verified",
    "repair.proved",
]


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_anywhere_the_copy_stays_damaged_and_is_repaired_the_next_time(tmp_path: Path, failpoint: str) -> None:
    world = OnDisk(tmp_path)
    world.break_it(NAME, "SHA256SUMS", "manifest.json")
    world.tell()
    assert world.run(failpoint) == -signal.SIGKILL
    if failpoint != "repair.proved":
        assert world.counts().state is CopyState.FAILED
    assert world.contents("gcs") == world.good
    assert world.run() == 0
    assert world.contents() == world.good
    assert world.counts().state is CopyState.USABLE


def test_orders_come_out_of_the_pipe_as_they_went_in(world: Repairing) -> None:
    assert RepairOrder.from_json(json.loads(json.dumps(world.order.to_json()))) == world.order
