"""A real PostgreSQL dumped into vaults, lost, and brought back: by restore, by drill, and not by anything damaged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pgshop
import pytest
from dumped import MIB, SITE, HandClock
from pgservers import Running, debian, running

from drorch.app.drill import DrillOrder, Scratch, run_drill
from drorch.app.dump import DumpLimits, DumpOrder, DumpOutcome, dump
from drorch.app.loading import Reader
from drorch.app.reading import TrustedKey
from drorch.app.restore import RestoreRequest, restore
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import Damaged, Refused
from drorch.domain.policy import Probe
from drorch.engines.postgres import PostgresEngine
from drorch.ports import ObjectStore, StoreLimits
from drorch.stores.directory import Options as DirectoryOptions
from drorch.stores.directory import open_store
from drorch.stores.memory import MemoryStore

pytestmark = pytest.mark.integration

NOISE = "CREATE TABLE noise AS SELECT i, md5(i::text) || md5((i * 7)::text) AS words FROM generate_series(1, 60000) i"


class Disaster:
    """A filled database, a dump of it in two vaults, and what a person has left afterwards."""

    def __init__(self, server: Running, folder: Path) -> None:
        self.server, self.runtime = server, server.server.folder.parent / "run"
        self.runtime.mkdir(mode=0o755)
        self.engine = PostgresEngine([server.binaries], self.runtime)
        self.clock = HandClock(datetime.now(UTC))
        self.key = SecretKey.generate()
        identity, recipient = new_identity()
        self.database = server.database(name="shop")
        pgshop.fill(server, self.database)
        server.run(NOISE, database=self.database)
        self.memory = MemoryStore("gcs-eu", limits=StoreLimits(part_bytes=MIB))
        directory = open_store("nas", DirectoryOptions(path=str(folder), provider="onprem", region="office"))
        directory.limits = self.memory.limits
        self.stores: dict[str, ObjectStore] = {"gcs-eu": self.memory, "nas": directory}
        self.reader = Reader([TrustedKey(self.key.public)], [identity], self.clock)
        self.outcome = self.cut(recipient)
        self.before = pgshop.contents(server, self.database)

    def cut(self, recipient: str) -> DumpOutcome:
        order = DumpOrder(
            site=SITE,
            application="shop",
            resource="orders",
            kind="postgres",
            point="p1",
            slot="2026-11-20T12:00Z",
            recipients=(recipient,),
        )
        options = self.server.options(self.database)
        limits = DumpLimits(volume_bytes=MIB)
        return dump(order, self.engine, options, {}, self.stores, self.key, clock=self.clock, limits=limits)

    def request(self, target: str, **more: object) -> RestoreRequest:
        return RestoreRequest("shop", self.server.url(target), **more)  # type: ignore[arg-type]

    def databases(self) -> set[str]:
        with self.server.session() as session:
            return {str(row[0]) for row in session.execute("SELECT datname::text FROM pg_database")}


@pytest.fixture(scope="module")
def disaster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disaster]:
    with running(debian()) as server:
        yield Disaster(server, tmp_path_factory.mktemp("nas"))


def test_an_absent_database_comes_back_whole_under_its_name(disaster: Disaster) -> None:
    report = restore(disaster.request("back", vault="nas"), disaster.engine, disaster.stores, disaster.reader)
    assert pgshop.contents(disaster.server, "back") == disaster.before
    assert disaster.server.value("SELECT count(*) FROM noise", "back") == 60000
    assert (report.point, report.vault, report.cut_at) == ("p1", "nas", disaster.outcome.cut_at)
    assert [step.outcome for step in report.steps] == ["done"] * len(report.steps)
    assert "compare" in [step.step for step in report.steps]


def test_an_empty_database_is_loaded_where_it_is(disaster: Disaster) -> None:
    name = disaster.server.database()
    restore(disaster.request(name), disaster.engine, disaster.stores, disaster.reader)
    assert pgshop.contents(disaster.server, name) == disaster.before


def test_a_database_that_holds_something_is_refused_and_left_alone(disaster: Disaster) -> None:
    with pytest.raises(Refused, match="not empty") as caught:
        restore(disaster.request("shop"), disaster.engine, disaster.stores, disaster.reader)
    assert caught.value.exit_code == 3
    assert pgshop.contents(disaster.server, "shop") == disaster.before


@pytest.mark.parametrize("target", ["absent", "empty"])
def test_damage_in_mid_stream_leaves_nothing_and_the_same_command_succeeds_later(
    disaster: Disaster, target: str
) -> None:
    name = disaster.server.database() if target == "empty" else "again"
    path = max(path for path in disaster.memory.objects if "data.pgcustom.zst.age" in path and ".leaves" not in path)
    assert path.endswith((".age.001", ".age.002"))
    body, written = disaster.memory.objects[path]
    before = disaster.databases()
    disaster.memory.objects[path] = (body[:50] + bytes([body[50] ^ 1]) + body[51:], written)
    request = disaster.request(name, vault="gcs-eu")
    try:
        with pytest.raises(Damaged, match="leaf") as caught:
            restore(request, disaster.engine, disaster.stores, disaster.reader)
    finally:
        disaster.memory.objects[path] = (body, written)
    assert caught.value.exit_code == 6
    assert disaster.databases() == before
    if target == "empty":
        query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert disaster.server.value(query, name) == 0
    restore(request, disaster.engine, disaster.stores, disaster.reader)
    assert pgshop.contents(disaster.server, name) == disaster.before


def test_a_drill_restores_into_a_private_server_and_leaves_nothing(disaster: Disaster) -> None:
    before = disaster.databases()
    probes = (
        Probe(sql="select count(*) from shop.orders", expect="== 3000"),
        Probe(sql="select max(placed_at) from shop.orders", newer_than="1h"),  # type: ignore[arg-type]
        Probe(sql="select count(*) from shop.nowhere", expect="== 0"),
    )
    order = DrillOrder(SITE, "shop", "orders", "gcs-eu", probes[:2])
    outcome = run_drill(order, disaster.engine, Scratch(), disaster.stores, disaster.reader, disaster.key)
    assert outcome.passed, outcome.why
    assert [(probe.expected, probe.met) for probe in outcome.probes] == [("== 3000", True), ("newer than 1h", True)]
    assert outcome.proof.body["counts"]["differing"] == 0
    disaster.clock.sleep(1)
    order = DrillOrder(SITE, "shop", "orders", "nas", probes)
    outcome = run_drill(order, disaster.engine, Scratch(), disaster.stores, disaster.reader, disaster.key)
    assert not outcome.passed
    assert outcome.proof.body["why"] == "1 of 3 probes not met"
    assert disaster.databases() == before
    assert list(disaster.runtime.iterdir()) == []
