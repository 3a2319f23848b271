"""One dump point: committed whole by its manifest, in every vault that did not fail, or nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dumped import APPLICATION, DATA, GLOBALS, RESOURCE, SITE, HandClock, World, table_rows
from faults import FaultyStore
from hypothesis import given
from hypothesis import strategies as st

from drorch.app.dump import DumpOrder, DumpOutcome, dump, inventory_bytes
from drorch.app.reading import TrustedKey, check_sums, parse_inventory, read_inventory, read_signed
from drorch.crypto.age import identity_file
from drorch.domain import layout
from drorch.domain.canonical import canonical_bytes
from drorch.domain.errors import InvalidInput, Unavailable
from drorch.domain.native import Inventory
from drorch.domain.record import artefacts_of
from drorch.engines.memory import MemoryEngine, Options
from drorch.ports import ObjectStore
from drorch.stores.directory import DirectoryStore
from drorch.stores.memory import MemoryStore

SMALL_OBJECTS = ("data leaves", "globals leaves", "inventory leaves", "sums", "sums signature", "manifest signature")


class Vaults(World):
    """The shared world, with vaults that can be told to fail."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.faulty = {name: FaultyStore(self.memory(name)) for name in names}
        self.stores = dict(self.faulty)

    def paths(self, vault: str) -> list[str]:
        return sorted(info.path for info in self.faulty[vault].inner.list(""))

    def whole(self, outcome: DumpOutcome, vault: str) -> bool:
        """The point is there, signed, every object with its signed size and digest."""
        store, keys = self.faulty[vault].inner, [TrustedKey(self.key.public)]
        manifest = read_signed(store, outcome.manifest.path, keys)
        check_sums(store, manifest, keys)
        expected = {outcome.manifest.path, outcome.manifest.path + ".minisig"}
        folder = layout.data_folder(APPLICATION, RESOURCE, outcome.cut_at, outcome.point)
        expected |= {folder + "SHA256SUMS", folder + "SHA256SUMS.minisig"}
        for artefact in artefacts_of(manifest):
            expected.add(folder + artefact.name + ".leaves")
            for volume in artefact.volumes:
                assert store.stat(folder + volume.object).size == volume.bytes
                expected.add(folder + volume.object)
        return manifest == outcome.manifest and set(self.paths(vault)) == expected


def manifests(paths: list[str]) -> list[str]:
    return [path for path in paths if path.endswith("manifest.json")]


def test_every_vault_gets_the_same_bytes() -> None:
    world = Vaults("s3-west", "gcs-eu", "nas")
    outcome = world.dump(data=table_rows("orders", 300))
    assert outcome.vaults == ("s3-west", "gcs-eu", "nas")
    assert outcome.lost == {}
    found = [
        {path: b"".join(world.faulty[vault].inner.read(path)) for path in world.paths(vault)}
        for vault in outcome.vaults
    ]
    assert found[0] == found[1] == found[2]
    assert all(world.whole(outcome, vault) for vault in outcome.vaults)


def test_stock_tools_verify_and_open_what_lies_in_a_folder(tmp_path: Path) -> None:
    """The tool-free way of the vault layout: minisign -V, sha256sum -c, age -d, zstd -d."""
    world = World("nas")
    vault = tmp_path / "vault"
    vault.mkdir()
    world.stores["nas"] = DirectoryStore("nas", str(vault))
    data = table_rows("orders", 5_000)
    outcome = world.dump(data=data)
    folder = vault / layout.data_folder(APPLICATION, RESOURCE, outcome.cut_at, outcome.point)
    (tmp_path / "key.txt").write_text(identity_file(world.identity, world.clock.now()))

    def run(command: str, where: Path = folder) -> str:
        done = subprocess.run(["/bin/sh", "-c", command], cwd=where, capture_output=True, timeout=60, check=True)
        return done.stdout.decode()

    key = world.key.public.text()
    sums = run(f"minisign -V -m SHA256SUMS -P {key}")
    assert f"Trusted comment: {layout.trusted_comment('sums', str((folder / 'SHA256SUMS').relative_to(vault)))}" in sums
    checked = run("sha256sum --strict -c SHA256SUMS").splitlines()
    assert len(checked) == 6
    assert {line.rpartition(": ")[2] for line in checked} == {"OK"}
    assert run(f"age -d -i {tmp_path}/key.txt {DATA}.zst.age | zstd -d").encode() == data
    globals_sql = run(f"age -d -i {tmp_path}/key.txt {GLOBALS}.zst.age | zstd -d")
    assert globals_sql == "CREATE ROLE shop;\n"
    inventory = json.loads(run(f"age -d -i {tmp_path}/key.txt inventory.json.zst.age | zstd -d"))
    assert inventory["tables"] == {"orders": 5_000}
    record = vault / outcome.manifest.path
    assert f"drorch v1 manifest {outcome.manifest.path}" in run(f"minisign -V -m {record} -P {key}")


def test_the_manifest_says_what_a_restore_and_an_auditor_need_and_no_more() -> None:
    world = Vaults("nas")
    world.engine.sources["main"].facts = {"server_version": "17.4", "roles_without_password": ["app"]}
    order = DumpOrder(
        site=SITE,
        application=APPLICATION,
        resource=RESOURCE,
        kind="memory",
        point="p1",
        slot="2026-11-20T12:00Z",
        recipients=(world.recipient,),
        home={"provider": "aws", "account": "prod", "region": "us-east-1"},
        policy={"digest": "d1", "commit": "c1"},
        note="before the release",
    )
    world.engine.sources["main"].artefacts[DATA] = table_rows("secret_table", 70) + table_rows("orders", 30)
    ticks = iter([100.0] + [142.4] * 10_000)
    outcome = dump(
        order, world.engine, Options(), {}, world.stores, world.key, clock=world.clock, monotonic=lambda: next(ticks)
    )
    body = outcome.manifest.body
    assert body["home"] == {"provider": "aws", "account": "prod", "region": "us-east-1"}
    assert (body["kind"], body["slot"], body["note"]) == ("memory", "2026-11-20T12:00Z", "before the release")
    assert (body["engine"], body["server_version"], body["roles_without_password"]) == ("memory", "17.4", ["app"])
    assert (body["policy"], body["recipients"]) == ({"digest": "d1", "commit": "c1"}, [world.recipient])
    totals = {
        key: value for key, value in body["totals"].items() if key in ("tables", "rows", "estimated", "uncounted")
    }
    assert totals == {"tables": 2, "rows": 100, "estimated": 0, "uncounted": 0}
    assert body["totals"]["cipher_bytes"] == outcome.bytes == sum(artefact["bytes"] for artefact in body["artefacts"])
    assert body["dump_seconds"] == outcome.seconds == 42
    assert [artefact["name"] for artefact in body["artefacts"]] == [
        f"{DATA}.zst.age",
        f"{GLOBALS}.zst.age",
        "inventory.json.zst.age",
    ]
    assert b"secret_table" not in outcome.manifest.data


def test_cut_at_is_the_sources_own_and_its_fraction_is_cut_off() -> None:
    world = Vaults("nas")
    world.clock.present = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)
    outcome = world.dump(ago=timedelta(hours=3))
    assert outcome.cut_at == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert manifests(world.paths("nas")) == ["drorch/v1/records/shop/orders/20261120T090000Z-p1/manifest.json"]


def test_without_an_inventory_there_is_no_artefact_and_no_count() -> None:
    world = Vaults("nas")
    outcome = world.dump(inventory="off")
    assert not [path for path in world.paths("nas") if "inventory" in path]
    assert set(outcome.manifest.body["totals"]) == {"cipher_bytes"}
    assert world.whole(outcome, "nas")


def test_estimates_are_told_from_counts() -> None:
    world = Vaults("nas")
    outcome = world.dump(inventory="estimate")
    assert outcome.manifest.body["totals"]["estimated"] == 1
    artefact = artefacts_of(outcome.manifest)[-1]
    found = read_inventory(world.stores["nas"], outcome.manifest, artefact, [world.identity], world.clock)
    assert found.estimated == {"orders"}


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.integers(0, 2**60), max_size=5),
    st.frozensets(st.text(max_size=8), max_size=3),
    st.integers(0, 2**60),
)
def test_an_inventory_is_read_as_it_was_written(
    tables: dict[str, int | None], estimated: frozenset[str], size: int
) -> None:
    inventory = Inventory(tables, estimated, size, {"schemas": ["public"]})
    assert parse_inventory(inventory_bytes(inventory)) == inventory


def test_an_outcome_goes_through_a_pipe_unchanged() -> None:
    outcome = Vaults("nas").dump()
    assert DumpOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_process_that_exits_non_zero_commits_nothing_in_any_vault() -> None:
    world = Vaults("a", "b", "c")
    world.engine.sources["main"].fails_after = 4_000
    with pytest.raises(Unavailable, match="exit status 1"):
        world.dump()
    assert all(world.paths(vault) == [] for vault in "abc")


def test_when_a_later_artefact_fails_the_earlier_ones_are_not_visible_either() -> None:
    world = Vaults("a", "b")

    class Failing(MemoryEngine):
        @contextmanager
        def dump(self, options: object, secrets: Mapping[str, str], inventory: str):  # type: ignore[no-untyped-def,override]
            with super().dump(options, secrets, inventory) as session:

                def fail() -> Inventory:
                    raise Unavailable("the server is gone")

                session.inventory = fail  # type: ignore[method-assign]
                yield session

    world.engine = Failing(world.engine.sources)  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="the server is gone"):
        world.dump()
    assert world.paths("a") == world.paths("b") == []


def test_a_session_that_ends_badly_commits_nothing() -> None:
    world = Vaults("a")

    class Lost(MemoryEngine):
        @contextmanager
        def dump(self, options: object, secrets: Mapping[str, str], inventory: str):  # type: ignore[no-untyped-def,override]
            with super().dump(options, secrets, inventory) as session:
                yield session
            raise Unavailable("the snapshot was lost before the end")

    world.engine = Lost(world.engine.sources)  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="the snapshot was lost"):
        world.dump()
    assert world.paths("a") == []


@pytest.mark.parametrize("number", range(len(SMALL_OBJECTS)), ids=SMALL_OBJECTS)
def test_a_vault_that_fails_while_records_are_written_is_not_committed(number: int) -> None:
    world = Vaults("good", "sick")
    world.faulty["sick"].faults.order("put", "before", after=number)
    outcome = world.dump()
    assert outcome.vaults == ("good",)
    assert "as ordered" in outcome.lost["sick"]
    assert world.whole(outcome, "good")
    assert manifests(world.paths("sick")) == []


def test_a_vault_whose_manifest_could_not_be_written_is_lost() -> None:
    world = Vaults("good", "sick")
    world.faulty["sick"].faults.order("put", "before", after=len(SMALL_OBJECTS))
    outcome = world.dump()
    assert (outcome.vaults, set(outcome.lost)) == (("good",), {"sick"})
    assert manifests(world.paths("sick")) == []


@pytest.mark.parametrize("number", range(len(SMALL_OBJECTS) + 1), ids=[*SMALL_OBJECTS, "manifest"])
def test_a_reply_that_is_lost_is_looked_after(number: int) -> None:
    """The object is there with the very bytes: that vault is as good as the others."""
    world = Vaults("good", "mute")
    world.faulty["mute"].faults.order("put", "after", after=number)
    outcome = world.dump()
    assert outcome.vaults == ("good", "mute")
    assert world.whole(outcome, "mute")


def test_the_manifest_is_the_last_thing_written_and_its_signature_comes_before() -> None:
    written: list[str] = []

    class Noting(MemoryStore):
        def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
            super().put(path, body, overwrite=overwrite)
            written.append(path.rpartition("/")[2])

    world = World("nas")
    world.stores["nas"] = Noting("nas")
    world.dump()
    assert written[:3] == [f"{DATA}.zst.age", f"{GLOBALS}.zst.age", "inventory.json.zst.age"]
    assert written[-4:] == ["SHA256SUMS", "SHA256SUMS.minisig", "manifest.json.minisig", "manifest.json"]


def test_a_point_that_is_there_already_is_never_written_over() -> None:
    world = Vaults("a")
    first = world.dump(data=table_rows("orders", 10))
    with pytest.raises(Unavailable, match=r"no vault is left.*exists already"):
        world.dump(data=table_rows("orders", 20))
    assert world.whole(first, "a")


def test_without_recipients_or_vaults_nothing_is_asked_of_the_source() -> None:
    world = Vaults("a")
    world.engine.sources["main"].down = True
    world.recipient = "age1nonsense"
    with pytest.raises(InvalidInput):
        world.dump()
    world.recipient = ""
    with pytest.raises(InvalidInput):
        world.dump()
    with pytest.raises(InvalidInput):
        Vaults("a").dump(into=[])


# --- kill -9 -------------------------------------------------------------------------------------------------------

KILLED = """
import sys
from dumped import World
from drorch.crypto.minisign import SecretKey
from drorch.stores.directory import DirectoryStore
world = World("a", "b")
world.stores = {name: DirectoryStore(name, f"{sys.argv[1]}/{name}") for name in "ab"}
world.dump()
"""


@pytest.mark.parametrize("failpoint", ["dump.data-written", "dump.before-manifest", "dump.manifest-written"])
def test_killed_at_any_instant_a_vault_has_nothing_that_counts_or_all_of_it(failpoint: str, tmp_path: Path) -> None:
    stores: dict[str, ObjectStore] = {}
    for vault in "ab":
        (tmp_path / vault).mkdir()
        stores[vault] = DirectoryStore(vault, str(tmp_path / vault))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "DRORCH_FAILPOINT": failpoint, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    for store in stores.values():
        paths = [info.path for info in store.list("drorch/v1/")]
        assert any(path.endswith(f"{DATA}.zst.age") for path in paths)
        assert bool(manifests(paths)) == (failpoint == "dump.manifest-written")
        for path in manifests(paths):
            body = json.loads(b"".join(store.read(path)))
            assert canonical_bytes(body) == b"".join(store.read(path))
            assert path + ".minisig" in paths


def test_the_clock_of_the_host_dates_the_record_only() -> None:
    world = Vaults("nas")
    world.clock = HandClock(datetime(2027, 1, 1, tzinfo=UTC))
    outcome = world.dump(ago=timedelta(minutes=2))
    assert outcome.manifest.at == datetime(2027, 1, 1, tzinfo=UTC)
    assert outcome.cut_at == datetime(2026, 12, 31, 23, 58, tzinfo=UTC)


def test_a_dump_that_outlives_its_limit_is_cancelled_and_says_so() -> None:
    world = Vaults("nas")
    faults = world.faulty["nas"].faults
    faults.order("write", "stall")
    going_on = threading.Timer(2, faults.release)  # the call to the vault ends some time after the dump was given up
    going_on.start()
    with pytest.raises(Unavailable, match=r"took longer than 1s and was cancelled") as raised:
        world.dump(longest=timedelta(seconds=1))
    going_on.join()
    assert faults.stalled.is_set() and "max_duration" in raised.value.hint
    assert not world.paths("nas")


def test_a_dump_within_its_limit_is_not_cancelled() -> None:
    world = Vaults("nas")
    assert world.dump(longest=timedelta(hours=3)).vaults == ("nas",)
