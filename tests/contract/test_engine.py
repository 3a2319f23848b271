"""What every engine promises (drorch.ports: Engine, DumpSession, Producer, RestoreTarget, Consumer)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import pytest
from mariadbservers import RunningMariadb, running_mariadb
from pgservers import WHEEL, Running, given, running, taken

from drorch.domain.errors import DrorchError, Refused, Usage
from drorch.engines import memory
from drorch.engines.files import FilesEngine
from drorch.engines.files import Options as FilesOptions
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.memory import MemoryEngine, MemorySource
from drorch.engines.postgres import PostgresEngine
from drorch.ports import Engine, Inventory, RestoreTarget


def _no_float(text: str) -> object:
    raise AssertionError(f"records hold no floats: {text}")


@dataclass
class Subject:
    """One engine with a source of a table of three rows and an empty one, and names for targets.

    `count` is a query for the rows ("" where none can be asked); `artefacts` are those of a dump, the data first.
    """

    engine: Engine
    options: object
    wrong: object
    url: Callable[[str], str]
    exists: Callable[[str], bool]
    occupied: str
    count: str
    secrets: dict[str, str] = field(default_factory=dict)
    rows: int = 3
    artefacts: tuple[str, ...] = ("data.pgcustom", "globals.sql")

    def dump(self, word: str = "exact") -> tuple[dict[str, object], dict[str, bytes], Inventory]:
        with self.engine.dump(self.options, self.secrets, word) as session:
            return dict(session.facts), taken(session), session.inventory()

    def target(self, name: str, *, with_globals: bool = False) -> RestoreTarget:
        return self.engine.target(self.url(name), None, with_globals=with_globals)


def _memory() -> Subject:
    artefacts = {memory.DATA: b"t\t1\nt\t2\nt\t3\n", memory.GLOBALS: b"roles"}
    engine = MemoryEngine({"main": MemorySource(artefacts)})
    engine.databases["occupied"] = {memory.DATA: b"x"}
    wrong = memory.Options(source="absent")
    return Subject(
        engine,
        memory.Options(),
        wrong,
        lambda name: f"memory://{name}",
        lambda name: name in engine.databases,
        "occupied",
        "select count(*) from t",
    )


def _postgres(server: Running) -> Subject:
    database = server.database()
    server.run("CREATE TABLE t AS SELECT generate_series(1, 3) AS a", database=database)
    query = "SELECT count(*) FROM pg_database WHERE datname = '{}'"
    return Subject(
        PostgresEngine([WHEEL]),
        server.options(database),
        server.options("no_such_database"),
        server.url,
        lambda name: server.value(query.format(name)) == 1,
        database,
        "select count(*) from t",
    )


def _files(folder: Path) -> Subject:
    """Three files in one listed folder, none in another. They answer no query."""
    full, empty, back = (folder / name for name in ("full", "empty", "back"))
    for place in (full, empty, back, back / "occupied"):
        place.mkdir()
    for place in (full / "a", full / "b", full / "c", back / "occupied" / "x"):
        place.write_text(place.name * 1000)
    paths = [str(full), str(empty)]
    return Subject(
        FilesEngine(granted=paths, scratch=folder / "scratch"),
        FilesOptions.model_validate({"paths": paths}),
        FilesOptions.model_validate({"paths": [f"{full}/absent"]}),
        lambda name: f"dir:{back / name}",
        lambda name: (back / name).exists(),
        "occupied",
        "",
        artefacts=("files.tar",),
    )


def _mariadb(server: RunningMariadb) -> Subject:
    database = server.database("CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (2), (3)", "CREATE TABLE e (a int)")
    return Subject(
        MariadbEngine(),
        server.options(database),
        server.options("no_such_database"),
        server.url,
        server.exists,
        database,
        "select count(*) from t",
        artefacts=("data.sql", "globals.sql"),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[], Running]]:
    with ExitStack() as stack:
        started: list[Running] = []

        def get() -> Running:
            if not started:
                started.append(stack.enter_context(running(WHEEL)))
            return started[0]

        yield get


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Callable[[], RunningMariadb]]:
    with ExitStack() as stack:
        started: list[RunningMariadb] = []

        def get() -> RunningMariadb:
            if not started:
                started.append(stack.enter_context(running_mariadb()))
            return started[0]

        yield get


@pytest.fixture(params=["memory", "postgres", "mariadb", "files"])
def subject(
    request: pytest.FixtureRequest,
    server: Callable[[], Running],
    mariadb: Callable[[], RunningMariadb],
    tmp_path: Path,
) -> Iterator[Subject]:
    if request.param == "memory":
        yield _memory()
    elif request.param == "files":
        yield _files(tmp_path)
    elif request.param == "postgres":
        yield _postgres(server())
        server().run("DROP DATABASE IF EXISTS new", "DROP DATABASE IF EXISTS other")
    else:
        yield _mariadb(mariadb())
        mariadb().ask("DROP DATABASE IF EXISTS new")


def test_it_names_its_kind(subject: Subject) -> None:
    assert subject.engine.kind in ("memory", "postgres", "mariadb", "files")


def test_a_session_tells_when_its_data_are_of_and_what_a_restore_must_know(subject: Subject) -> None:
    with subject.engine.dump(subject.options, subject.secrets, "exact") as session:
        assert session.cut_at.tzinfo is UTC
        assert session.cut_at.microsecond == 0
        facts = json.loads(json.dumps(session.facts))
        assert facts["engine"] == subject.engine.kind
        assert {"server_version", "client_version", "flags", "roles_without_password"} <= set(facts)
        json.loads(json.dumps(session.facts), parse_float=_no_float)


def test_artefacts_come_whole_with_the_data_first(subject: Subject) -> None:
    _, artefacts, inventory = subject.dump()
    assert tuple(artefacts) == subject.artefacts
    assert all(artefacts.values())
    assert sum(count or 0 for count in inventory.tables.values()) == subject.rows
    assert inventory.estimated == frozenset()


def test_the_inventory_can_be_estimated_or_left_off(subject: Subject) -> None:
    inventory = subject.dump("estimate")[2]
    assert inventory.estimated == frozenset(inventory.tables) != frozenset()
    assert subject.dump("off")[2].tables == {}


def test_a_source_that_is_not_there_is_refused(subject: Subject) -> None:
    with pytest.raises(Refused), subject.engine.dump(subject.wrong, {}, "exact"):
        pass


def test_options_of_another_engine_are_refused(subject: Subject) -> None:
    with pytest.raises(Refused), subject.engine.dump(object(), {}, "exact"):
        pass


def test_a_producer_that_is_killed_does_not_finish_well(subject: Subject) -> None:
    with subject.engine.dump(subject.options, subject.secrets, "off") as session:
        producer = session.artefacts()[0].open()
        producer.stdout.read()
        producer.finish()
        producer.kill()
        producer.kill()


def test_a_dump_is_restored_and_real_only_at_the_end(subject: Subject) -> None:
    facts, artefacts, inventory = subject.dump()
    target = subject.target("new", with_globals=True)
    target.prepare(facts)
    given(target, artefacts)
    assert not subject.exists("new")
    assert target.inventory(inventory).tables == inventory.tables
    if subject.count:
        assert target.probe(subject.count) == subject.rows
    assert isinstance(target.complete(), tuple)
    assert subject.exists("new")


def test_estimated_tables_are_not_counted_again(subject: Subject) -> None:
    facts, artefacts, inventory = subject.dump()
    target = subject.target("new")
    target.prepare(facts)
    given(target, artefacts)
    blurred = Inventory(inventory.tables, estimated=frozenset(inventory.tables))
    assert target.inventory(blurred).tables == {}
    target.abandon()


def test_a_target_that_is_not_empty_is_refused(subject: Subject) -> None:
    facts, _, _ = subject.dump()
    with pytest.raises(Refused, match="not empty") as caught:
        subject.target(subject.occupied).prepare(facts)
    assert caught.value.exit_code == 3


def test_a_dump_of_another_engine_is_refused(subject: Subject) -> None:
    with pytest.raises(Refused):
        subject.target("new").prepare({"engine": "another"})
    assert not subject.exists("new")


def test_giving_up_leaves_nothing_and_the_same_restore_can_be_repeated(subject: Subject) -> None:
    facts, artefacts, _ = subject.dump()
    for _ in range(2):
        target = subject.target("new")
        target.prepare(facts)
        given(target, artefacts)
        target.abandon()
        target.abandon()
        assert not subject.exists("new")
    target = subject.target("new")
    target.prepare(facts)
    given(target, artefacts)
    target.complete()
    assert subject.exists("new")


def test_a_consumer_that_is_killed_loads_nothing(subject: Subject) -> None:
    facts, artefacts, _ = subject.dump()
    target = subject.target("new")
    target.prepare(facts)
    data = subject.artefacts[0]
    consumer = target.load(data)
    consumer.stdin.write(artefacts[data][:10])
    consumer.kill()
    consumer.kill()
    with pytest.raises(DrorchError):
        consumer.finish()
    target.abandon()
    assert not subject.exists("new")


def test_loading_or_completing_before_preparing_is_refused(subject: Subject) -> None:
    target = subject.target("new")
    with pytest.raises(Refused):
        target.load(subject.artefacts[0])
    with pytest.raises(Refused):
        target.complete()
    target.abandon()


def test_a_probe_that_fails_is_refused(subject: Subject) -> None:
    facts, artefacts, _ = subject.dump()
    target = subject.target("new")
    target.prepare(facts)
    given(target, artefacts)
    with pytest.raises(Refused):
        target.probe("select count(*) from no_such_table")
    target.abandon()


def test_a_password_inside_the_target_is_a_usage_error_that_does_not_repeat_it(subject: Subject) -> None:
    for url in (f"{subject.engine.kind.replace('postgres', 'postgresql')}://ann:geheim@host/db", "other://host/db"):
        with pytest.raises(Usage) as caught:
            subject.engine.target(url, None, with_globals=False)
        assert "geheim" not in str(caught.value)


def test_a_private_scratch_place_is_gone_at_the_end_whatever_happens(subject: Subject) -> None:
    facts, artefacts, inventory = subject.dump()
    with subject.engine.scratch(None, {}) as place:
        place.prepare(facts)
        given(place, artefacts)
        assert place.inventory(inventory).tables == inventory.tables
        if subject.count:
            assert place.probe(subject.count) == subject.rows
    with pytest.raises(DrorchError):
        place.probe(subject.count)
    with pytest.raises(ZeroDivisionError), subject.engine.scratch(None, {}) as place:
        raise ZeroDivisionError


def test_the_fake_fails_where_it_is_told_to() -> None:
    """Bytes come and the exit status says no; the source is down; the loader leaves; counts differ."""
    source = MemorySource({memory.DATA: b"t\t1\n" * 100_000, memory.GLOBALS: b"roles"}, fails_after=150_000)
    engine = MemoryEngine({"main": source})
    with engine.dump(memory.Options(), {}, "exact") as session:
        data, roles = (artefact.open() for artefact in session.artefacts())
        assert len(data.stdout.read(1 << 20) + data.stdout.read(1 << 20) + data.stdout.read(1 << 20)) == 150_000
        with pytest.raises(DrorchError, match="dump failed"):
            data.finish()
        assert roles.stdout.read() == b"roles"
        roles.finish()
    source.down = True
    with pytest.raises(DrorchError, match="reached"), engine.dump(memory.Options(), {}, "exact"):
        pass
    source.down, source.fails_after, source.counts = False, None, {"t": 7}
    with engine.dump(memory.Options(), {}, "exact") as session:
        assert session.inventory().tables == {"t": 7}
        facts = session.facts
    engine.leaves_after = 5
    target = engine.target("memory://new", None, with_globals=False)
    target.prepare(facts)
    consumer = target.load(memory.DATA)
    with pytest.raises(BrokenPipeError):
        consumer.stdin.write(b"t\t1\nt\t2\n")
    with pytest.raises(Refused):
        consumer.finish()
