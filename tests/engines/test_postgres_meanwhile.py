"""What happens to a source or to the line while a dump or a restore is under way: whole, or a clear error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from cutting_proxy import Fate, cutting_proxy
from dumped import HandClock
from pgservers import PASSWORD, Running, given, taken
from pgshop import names

from drorch.app.dump import DumpLimits, DumpOrder, DumpOutcome, dump
from drorch.app.loading import Reader
from drorch.app.reading import TrustedKey
from drorch.app.restore import RestoreRequest, plan_restore, restore
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import DrorchError, Unavailable
from drorch.engines.postgres import Connection, Options, PostgresEngine
from drorch.ports import Artefact, Producer
from drorch.stores.memory import MemoryStore

SECRETS = {"pw": PASSWORD}
ROWS = "AS SELECT i, repeat('x', 1000) AS word FROM generate_series(1, 4000) i"
ORDER = DumpOrder("acme", "shop", "orders", "postgres", "p1", "2026-11-20T12:00Z", ("",))


@pytest.fixture
def filled(old: Running) -> str:
    database = old.database()
    old.run(f"CREATE TABLE t {ROWS}", "CREATE TABLE other AS SELECT 1 AS one", database=database)
    return database


# --- the source changes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        ("TRUNCATE t",),
        ("ALTER TABLE t ALTER COLUMN i TYPE bigint",),
        ("ALTER TABLE t RENAME TO x", "ALTER TABLE other RENAME TO t", "ALTER TABLE x RENAME TO other"),
        ("DROP TABLE t",),
        ("ALTER TABLE t RENAME TO gone",),
        ("ALTER TABLE t DROP COLUMN word",),
    ],
)
def test_a_table_that_is_emptied_or_replaced_between_the_cut_and_its_lock_fails_the_dump(
    old: Running, filled: str, statements: tuple[str, ...]
) -> None:
    """The snapshot does not keep the rows of a table that is rewritten: pg_dump would find it empty and be content."""
    with PostgresEngine().dump(old.options(filled), {}, "exact") as session:
        old.run(*statements, database=filled)
        with pytest.raises(Unavailable, match=r"while the dump began|since the dump began") as caught:
            taken(session)
    assert "public.t" in caught.value.cause or "word" in caught.value.cause


def test_a_column_that_comes_after_the_cut_is_not_in_the_dump_and_harms_nothing(old: Running, filled: str) -> None:
    with PostgresEngine().dump(old.options(filled), {}, "exact") as session:
        old.run("ALTER TABLE t ADD COLUMN later text DEFAULT 'novelty'", database=filled)
        archive = taken(session)["data.pgcustom"]
        assert session.inventory().tables == {"public.t": 4000, "public.other": 1}
    assert archive.count(b"x" * 1000) == 4000
    assert b"novelty" not in archive


@pytest.mark.parametrize(
    "statements",
    [
        ("TRUNCATE t",),
        ("DROP TABLE t",),
        ("ALTER TABLE t RENAME TO t_old", "ALTER TABLE other RENAME TO t"),
    ],
)
def test_a_table_that_changes_after_its_rows_were_dumped_is_not_counted_wrongly(
    old: Running, filled: str, statements: tuple[str, ...]
) -> None:
    """A count of what is there now would make a restore of the right rows look wrong."""
    old.run("ANALYZE", database=filled)
    with PostgresEngine().dump(old.options(filled), {}, "exact") as session:
        taken(session)
        old.run(*statements, database=filled)
        inventory = session.inventory()
    assert inventory.tables == {"public.t": 4000, "public.other": 1}
    assert "public.t" in inventory.estimated


class Interrupting(PostgresEngine):
    """The engine; `meanwhile` happens once the first bytes of the data have come."""

    def __init__(self, meanwhile: object) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def dump(self, options: object, secrets: object, inventory: str) -> object:  # type: ignore[override]
        opened = super().dump(options, secrets, inventory)  # type: ignore[arg-type]
        return _Interrupted(opened, self.meanwhile)


class _Interrupted:
    def __init__(self, opened: object, meanwhile: object) -> None:
        self._opened, self._meanwhile = opened, meanwhile

    def __enter__(self) -> object:
        session = self._opened.__enter__()  # type: ignore[attr-defined]
        first, *others = session.artefacts()

        def opening() -> Producer:
            producer = first.open()
            read, called = producer.stdout.readinto, []

            def readinto(buffer: memoryview) -> int:
                count = int(read(buffer[:1000]))  # type: ignore[attr-defined]
                if not called:
                    called.append(True)
                    self._meanwhile()  # type: ignore[operator]
                return count

            producer.stdout.readinto = readinto  # type: ignore[attr-defined]
            return producer

        session.artefacts = lambda: (Artefact(first.name, opening), *others)
        return session

    def __exit__(self, *error: object) -> object:
        return self._opened.__exit__(*error)  # type: ignore[attr-defined]


def dumped_into(
    store: MemoryStore, engine: PostgresEngine, options: Options, *, longest: timedelta | None = None
) -> tuple[DumpOutcome, Reader]:
    """A dump of `options` into `store`, and what reads it."""
    identity, recipient = new_identity()
    key, clock = SecretKey.generate(), HandClock()
    order = replace(ORDER, recipients=(recipient,))
    limits = DumpLimits(longest=longest)
    outcome = dump(order, engine, options, SECRETS, {store.vault: store}, key, clock=clock, limits=limits)
    return outcome, Reader([TrustedKey(key.public)], [identity], clock)


def test_a_database_that_is_dropped_by_force_in_mid_dump_leaves_nothing_that_counts(old: Running, filled: str) -> None:
    store = MemoryStore("gcs-eu")
    engine = Interrupting(lambda: old.run(f"DROP DATABASE IF EXISTS {filled} WITH (FORCE)"))
    with pytest.raises(DrorchError) as caught:
        dumped_into(store, engine, old.options(filled))
    assert isinstance(caught.value, Unavailable), caught.value
    assert not store.objects


def test_a_database_cannot_be_renamed_while_it_is_dumped(old: Running, filled: str) -> None:
    refused: list[psycopg.Error] = []

    def rename() -> None:
        try:
            old.run("SET statement_timeout = 300", f"ALTER DATABASE {filled} RENAME TO renamed")
        except psycopg.Error as error:
            refused.append(error)

    store = MemoryStore("gcs-eu")
    dumped_into(store, Interrupting(rename), old.options(filled))
    assert [type(error) for error in refused] == [psycopg.errors.QueryCanceled]  # it waits 5 s, then says "in use"
    assert any(path.endswith("manifest.json") for path in store.objects)


# --- the line fails ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def user(old: Running) -> Iterator[str]:
    name = old.role("LOGIN SUPERUSER PASSWORD '" + PASSWORD.replace("'", "''") + "'")
    yield name


def over(port: int, database: str, user: str) -> Options:
    values = {"host": "127.0.0.1", "port": port, "database": database, "user": user, "password": {"credential": "pw"}}
    return Options(connection=Connection.model_validate(values | {"tls": "off"}))


@pytest.mark.parametrize("fate", ["reset", "truncate", "stall"])
def test_a_line_that_fails_in_mid_dump_is_an_error_in_time_and_commits_nothing(
    old: Running, filled: str, user: str, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stalled line says nothing, so `max_duration` ends it, though our own session and the watchdog hang as well."""
    monkeypatch.setattr("drorch.engines.postgres.watchdog._LAST_LOOK", 0.5)
    store = MemoryStore("gcs-eu")
    engine = PostgresEngine(patience=timedelta(seconds=0.6))
    began = time.monotonic()
    with cutting_proxy(old.server.port, fate, 1_000_000, down=True) as proxy:
        with pytest.raises(Unavailable) as caught:
            dumped_into(store, engine, over(proxy.port, filled, user), longest=timedelta(seconds=2.5))
        assert proxy.struck.is_set()
    assert ("took longer" in str(caught.value)) == (fate == "stall")
    assert time.monotonic() - began < 20
    assert not store.objects


def test_an_inventory_that_nobody_answers_ends_in_time(
    old: Running, filled: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.postgres.dump._COUNTING_GRACE", timedelta(seconds=0.5))
    engine = PostgresEngine(inventory_budget=timedelta(seconds=0.5))
    with (
        cutting_proxy(old.server.port, "stall", 1 << 40, down=True) as proxy,
        engine.dump(over(proxy.port, filled, user), SECRETS, "exact") as session,
    ):
        taken(session)
        proxy._strike()
        with pytest.raises(Unavailable, match="connection"):
            session.inventory()


@pytest.mark.parametrize("fate", ["reset", "truncate", "stall"])
@pytest.mark.parametrize("exists", [False, True], ids=["absent", "empty"])
def test_a_line_that_fails_in_mid_restore_leaves_nothing_and_the_command_can_be_repeated(
    old: Running, filled: str, user: str, fate: Fate, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stalled line says nothing: a person interrupts it, and giving up does not wait for it either."""
    monkeypatch.setattr("drorch.engines.postgres.restore._GIVING_UP", timedelta(seconds=1))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    store = MemoryStore("gcs-eu")
    _, reader = dumped_into(store, PostgresEngine(), old.options(filled))
    name = old.database() if exists else f"{filled}_back"
    cancel = threading.Event()
    reader = replace(reader, cancel=cancel)

    def request(port: int) -> RestoreRequest:
        return RestoreRequest("shop", f"postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=disable")

    began = time.monotonic()
    with cutting_proxy(old.server.port, fate, 1_000_000, down=False) as proxy:
        watch = threading.Thread(target=lambda: proxy.struck.wait(30) and cancel.set())
        if fate == "stall":
            watch.start()
        with pytest.raises(Unavailable):
            restore(request(proxy.port), PostgresEngine(), {"gcs-eu": store}, reader)
        assert proxy.struck.is_set()
    assert time.monotonic() - began < 20
    cancel.clear()
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert (name in names(old)) == exists
    if exists:
        assert old.value(tables, name) == 0
    deadline = time.monotonic() + 10
    while old.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):
        assert time.monotonic() < deadline, "the server does not notice that the line is cut"
    restore(request(old.server.port), PostgresEngine(), {"gcs-eu": store}, reader)
    assert old.value("SELECT count(*) FROM t", name) == 4000


# --- what comes along -------------------------------------------------------------------------------------------------


def test_large_objects_come_back_with_their_owners_and_privileges(old: Running, new: Running) -> None:
    for source in (old, new):
        owner, reader = source.role(), source.role()
        database = source.database()
        source.run(
            "SELECT lo_from_bytea(8001, decode('00ff00', 'hex'))",
            "SELECT lo_from_bytea(8002, '')",
            "SELECT lo_from_bytea(n, n::text::bytea) FROM generate_series(9000, 10100) n",
            f"ALTER LARGE OBJECT 8001 OWNER TO {owner}",
            f"GRANT SELECT ON LARGE OBJECT 8001, 8002 TO {reader}",
            "COMMENT ON LARGE OBJECT 8002 IS 'empty'",
            database=database,
        )
        asked = (
            "SELECT string_agg(concat(oid, lo_get(oid), lomowner::regrole, lomacl, obj_description(oid,"
            " 'pg_largeobject')), ';' ORDER BY oid) FROM pg_largeobject_metadata"
        )
        engine = PostgresEngine([source.binaries])
        with engine.dump(source.options(database), {}, "exact") as session:
            facts, artefacts, inventory = session.facts, taken(session), session.inventory()
        target = engine.target(source.url(f"{database}_back"), None, with_globals=False)
        target.prepare(facts)
        given(target, artefacts)
        target.complete()
        assert inventory.details["large_objects"] == 1103
        assert source.value(asked, f"{database}_back") == source.value(asked, database)


def test_a_plan_names_the_extensions_that_the_target_must_have(old: Running, filled: str) -> None:
    old.run("CREATE EXTENSION pg_trgm", database=filled)
    version = old.value("SELECT extversion FROM pg_extension WHERE extname = 'pg_trgm'", filled)
    store = MemoryStore("gcs-eu")
    _, reader = dumped_into(store, PostgresEngine(), old.options(filled))
    planned = plan_restore(RestoreRequest("shop", old.url("back")), PostgresEngine(), {"gcs-eu": store}, reader)
    details = {step.step: step.detail for step in planned.steps}
    assert f"the extensions pg_trgm {version}, which are looked for before any data" in details["prepare"]


def test_extensions_are_tried_before_any_data_flow(old: Running, filled: str) -> None:
    """A server that lacks one says so when the data are asked for, not after hours; what depends on it then fails."""
    old.run("CREATE EXTENSION pg_trgm", "CREATE INDEX ON t USING gin (word gin_trgm_ops)", database=filled)
    with PostgresEngine().dump(old.options(filled), {}, "off") as session:
        facts = dict(session.facts)
    facts["extensions"] = [{"name": "no_such", "version": "1", "schema": "public", "tables": [], "hidden": []}]
    target = PostgresEngine().target(old.url(f"{filled}_back"), None, with_globals=False)
    target.prepare(facts)
    consumer = target.load("data.pgcustom")
    assert consumer._load.fit.lacking == ['no_such (extension "no_such" is not available)']  # type: ignore[attr-defined]
    consumer.kill()
    target.abandon()
