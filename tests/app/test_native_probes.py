"""Probes of native drills on the embedded cloud: a real PostgreSQL answers behind what RDS made of the snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from clouds import aws_environment
from manual_clock import ManualClock
from native_clouds import (
    ACCOUNT,
    AWAY,
    POINT,
    SITE,
    Cloud,
    MemoryWorld,
    RdsWorld,
    cloud,
    copy_order,
    cut,
    listed,
    selected,
)

from drorch import worker
from drorch.app.jobs import HostSpec, NativeDrillJob, VaultSpec
from drorch.app.native_drill import NativeDrill, NativeDrillOrder
from drorch.app.native_probes import REACHING, asking_of
from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import ACCOUNT as MINE
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.rds_databases import RdsDatabases
from drorch.domain.errors import Busy, NotInThisVersion, Refused, Unavailable
from drorch.domain.native_drill import asked_by, connection_to
from drorch.domain.native_restore import READY, TAG_DRILL, Isolation, Made, RestorePart
from drorch.domain.policy import Login, Probe
from drorch.kinds.rds_instance import RestoreOptions
from drorch.stores.memory import MemoryStore
from drorch.wiring import adapters

integration = pytest.mark.integration
PASSWORD = "not-a-secret"
VAULT = f"{ACCOUNT}.{AWAY}"
COUNT = Probe(sql="SELECT count(*) FROM orders", expect="== 3")
LOGIN = Login.model_validate({"password": {"credential": "ledger"}})


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server, cloud(RdsDatabases(server)) as opened:
        yield opened


@dataclass
class World:
    """A copy in AWAY of a database whose table `orders` had three rows when it was cut."""

    kind: Any
    part: RestorePart
    options: object
    stores: dict[str, MemoryStore] = field(default_factory=lambda: {"disk": MemoryStore("disk")})
    clock: ManualClock = field(default_factory=ManualClock)

    def order(self, *probes: Probe) -> NativeDrillOrder:
        cut_at, most = self.clock.now(), timedelta(hours=2)
        return NativeDrillOrder(SITE, "shop", "data", VAULT, POINT, cut_at, (self.part,), 20 << 30, most, probes)

    def run(self, order: NativeDrillOrder, asking: Any, cancel: Event | None = None) -> dict[str, Any]:
        """The outcome; whatever that is, nothing is left behind."""
        ticker = lambda: self.clock.now().timestamp()  # noqa: E731
        drill = NativeDrill(self.kind, self.stores, self.clock, SecretKey.generate(), ticker, lambda _: None, cancel)
        try:
            return replace(drill, asking=asking).run(order, self.options)
        finally:
            assert self.kind.made(ACCOUNT, AWAY, TAG_DRILL) == ()

    def proofs(self) -> list[Any]:
        store = self.stores["disk"]
        paths = [found.path for found in store.list("") if found.path.endswith(".json")]
        return [json.loads(b"".join(store.read(path))) for path in paths]


def rows(instance: Any, statement: str) -> None:
    at = instance["Endpoint"]
    login = {"user": "owner", "password": PASSWORD, "dbname": instance["DBName"]}
    with psycopg.connect(host=at["Address"], port=at["Port"], **login) as connection:
        connection.execute(statement)


@pytest.fixture(scope="module")
def copied(aws: Cloud) -> tuple[RdsWorld, RestorePart]:
    """The source has a row more by now."""
    rds = RdsWorld(aws)
    source = rds.source_with(DBName="shop")
    (shown,) = rds.client("rds").describe_db_instances()["DBInstances"]
    rows(shown, "CREATE TABLE orders AS SELECT n FROM generate_series(1, 3) n")
    (settings,) = (each.settings for each in selected(rds, source))
    cut(rds)
    rds.finish()
    rds.kind.copy(copy_order(listed(rds)[0]))
    rds.finish()
    rows(shown, "INSERT INTO orders VALUES (4)")
    return rds, RestorePart(listed(rds, AWAY)[0].native_id, source_id=source, bytes=20 << 30, settings=settings)


@pytest.fixture
def real(copied: tuple[RdsWorld, RestorePart], monkeypatch: pytest.MonkeyPatch) -> World:
    rds, part = copied
    for name, value in aws_environment(rds.aws.endpoint_url).items():
        monkeypatch.setenv(name, value)
    return World(rds.kind, part, RestoreOptions(security_groups="default"))


@pytest.fixture
def world() -> World:
    """In memory, where whatever is asked is said by the test."""
    memory = MemoryWorld(named=True)
    source = memory.source_with()
    cut(memory)
    memory.finish()
    memory.kind.copy(copy_order(listed(memory)[0]))
    memory.finish()
    memory.cloud.pending_for = 1
    part = RestorePart(listed(memory, AWAY)[0].native_id, source_id=source)
    return World(memory.kind, part, SimpleNamespace(name="drorch-drill-x"))


def asking(login: Login = LOGIN, password: str = PASSWORD) -> Any:
    """As the worker asks."""
    said = login.model_dump(mode="json", exclude_none=True)
    return partial(asking_of, adapters.build_engine, adapters.engine_options, said, {"ledger": password})


@integration
def test_what_the_restored_database_answers_as_expected_has_passed(real: World) -> None:
    order = NativeDrillOrder.from_json(json.loads(json.dumps(real.order(COUNT).to_json())))
    outcome = real.run(order, asking())
    assert (outcome["outcome"], outcome["why"], outcome["left"]) == ("passed", None, [])
    told = {"sql": COUNT.sql, "expected": "== 3", "got": "3", "met": True}
    (proof,) = real.proofs()
    assert (proof["outcome"], proof["probes"]) == ("passed", [told]), "three rows: the copy was asked, not the source"
    assert [step["step"] for step in outcome["steps"]] == ["create", "probe", "clear"]
    assert {"create", "probe", "total"} == proof["seconds"].keys()


@integration
def test_the_worker_asks_in_a_network_of_the_drills_own_and_its_job_shows_no_secret(
    real: World, tmp_path: Path
) -> None:
    vault = VaultSpec("disk", "directory", {"path": str(tmp_path), "provider": "onprem", "region": "office"})
    key = SecretKey.generate()
    job = NativeDrillJob(
        order=replace(real.order(COUNT), isolation=Isolation(("10.0.0.0/8",))).to_json(),
        kind="rds-instance",
        options={"name": f"drorch-drill-{POINT}"},
        vaults=(vault,),
        signing_key=key.text(),
        host=HostSpec(accounts={ACCOUNT: {"id": MINE}}),
        connect=LOGIN.model_dump(mode="json", exclude_none=True),
        secrets={"ledger": PASSWORD},
    )
    assert PASSWORD not in repr(job)
    body = json.loads(json.dumps(job.to_json()))
    context = worker.Context(worker.Wired, Event(), lambda _progress: None)
    outcome = worker.run_native_drill(body, context)
    assert (outcome["outcome"], outcome["left"], outcome["unwritten"]) == ("passed", [], {})
    assert real.kind.made(ACCOUNT, AWAY, TAG_DRILL) == ()


@integration
@pytest.mark.parametrize(
    ("sql", "expect", "got"),
    [
        ("SELECT count(*) FROM orders", "== 4", "3"),
        ("SELECT count(*) FROM nothing", ">= 0", "an error: the probe failed"),
        ("DELETE FROM orders RETURNING n", ">= 1", "an error: the probe failed"),
    ],
)
def test_what_is_not_as_expected_fails_and_says_what_came(real: World, sql: str, expect: str, got: str) -> None:
    outcome = real.run(real.order(COUNT, Probe(sql=sql, expect=expect)), asking())
    assert (outcome["outcome"], outcome["left"]) == ("failed", [])
    (proof,) = real.proofs()
    assert (proof["outcome"], proof["why"]) == ("failed", "1 of 2 probes not met")
    assert [probe["got"] for probe in proof["probes"]] == ["3", got]
    assert f"gave {got}, expected {expect}" in str(outcome["why"])


@integration
def test_a_wrong_password_fails_the_drill_and_stands_nowhere(real: World) -> None:
    outcome = real.run(real.order(COUNT), asking(password="wrong-one"))
    (proof,) = real.proofs()
    assert (outcome["outcome"], proof["probes"]) == ("failed", [])
    assert proof["why"] == "the probes could not be asked: the database did not let us in"
    assert "wrong-one" not in json.dumps([outcome, proof])


@integration
def test_another_user_and_database_are_those_that_the_policy_names(real: World) -> None:
    login = Login.model_validate({**LOGIN.model_dump(exclude_none=True), "database": "postgres", "tls": "off"})
    current = Probe(sql="SELECT current_database()", expect="== postgres")
    assert real.run(real.order(current), asking(login))["outcome"] == "passed"


def test_without_probes_it_stays_restorable(world: World) -> None:
    assert world.run(world.order(), None)["outcome"] == "restorable"


def test_probes_of_an_engine_that_nobody_asks_are_refused_before_anything_is_made(world: World) -> None:
    world.part = replace(world.part, settings={"engine": "oracle-ee"})
    with pytest.raises(NotInThisVersion, match="oracle-ee"):
        world.run(world.order(COUNT), asking())
    assert world.proofs() == []


class Unreachable:
    """An endpoint that answers after so many attempts, if ever, and what then answers."""

    def __init__(self, error: Unavailable, answers_after: float = float("inf")) -> None:
        self.error, self.answers_after, self.attempts = error, answers_after, 0

    def __call__(self, _made: Made) -> AbstractContextManager[Callable[[str], object]]:
        self.attempts += 1
        if self.attempts <= self.answers_after:
            raise self.error
        return self._answers()

    @contextmanager
    def _answers(self) -> Iterator[Callable[[str], object]]:
        yield lambda _sql: 3


def test_an_endpoint_that_nobody_reaches_fails_and_names_the_network(world: World) -> None:
    began = world.clock.now()
    asked = Unreachable(Unavailable("the database cannot be reached", cause="timed out"))
    outcome = world.run(world.order(COUNT), asked)
    (proof,) = world.proofs()
    assert outcome["outcome"] == "failed"
    assert "most likely the network" in proof["why"]
    assert "timed out" in str(outcome["why"]) and "reach_from:" in str(outcome["why"])
    assert REACHING <= world.clock.now() - began < 2 * REACHING


@pytest.mark.parametrize("error", [Unavailable("no such name yet"), Busy("starting up")])
def test_an_endpoint_that_answers_later_is_waited_for(world: World, error: Unavailable) -> None:
    asked = Unreachable(error, answers_after=3)
    assert world.run(world.order(COUNT), asked)["outcome"] == "passed"


def test_an_interruption_between_probes_leaves_no_proof_and_nothing_else(world: World) -> None:
    cancel = Event()

    @contextmanager
    def asked(_made: Made) -> Iterator[Callable[[str], object]]:
        yield lambda _sql: cancel.set() or 3

    with pytest.raises(Unavailable, match="interrupted"):
        world.run(world.order(COUNT, COUNT), asked, cancel)
    assert world.proofs() == []


def test_probes_that_are_not_all_asked_in_time_have_not_passed(world: World) -> None:
    @contextmanager
    def asked(_made: Made) -> Iterator[Callable[[str], object]]:
        yield lambda _sql: world.clock.turn(hours=3) and 3

    outcome = world.run(world.order(COUNT, COUNT), asked)
    assert (outcome["outcome"], len(world.proofs()[0]["probes"])) == ("failed", 1)
    assert outcome["why"] == "1 of 2 probes were asked in the time that a drill may take"


# --- how they log on


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ("postgres", "postgres"),
        ("aurora-postgresql", "postgres"),
        ("mysql", "mysql"),
        ("aurora-mysql", "mysql"),
        ("mariadb", "mariadb"),
        ("oracle-ee", ""),
        ("", ""),
    ],
)
def test_the_providers_word_for_an_engine_chooses_ours(engine: str, kind: str) -> None:
    assert asked_by(engine) == kind


def test_what_the_policy_says_goes_over_what_the_provider_shows() -> None:
    made = Made("cluster", "x", READY, endpoint="db:3306", engine="aurora-mysql", user="admin", database="shop")
    kind, connection = connection_to(made, {"password": {"credential": "p"}, "user": "probe"})
    login = {"user": "probe", "database": "shop", "password": {"credential": "p"}}
    assert (kind, connection) == ("mysql", {"host": "db", "port": 3306, **login})
    assert adapters.engine_options(kind, {"connection": connection})


def test_an_engine_that_no_record_told_and_a_database_that_nobody_names_are_refused() -> None:
    with pytest.raises(NotInThisVersion, match="probes of engine unknown"):
        connection_to(Made("database instance", "x", READY, endpoint="db:5432"), {})
    with pytest.raises(Refused, match="nobody says which database") as raised:
        connection_to(Made("database instance", "x", READY, endpoint="db:5432", engine="postgres", user="me"), {})
    assert "connect: {database: NAME}" in str(raised.value)
