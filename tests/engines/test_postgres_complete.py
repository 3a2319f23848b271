"""A dump is compared with its source's catalogue before anything is signed: what pg_dump left out fails it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pgshop
import pytest
from dumped import HandClock
from pgservers import WHEEL, Running, taken

from drorch.app.dump import DumpOrder, dump
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import Damaged, DrorchError, Unavailable
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.archive import contents
from drorch.engines.postgres.completeness import missing_by_number
from drorch.engines.postgres.connection import connect
from drorch.engines.postgres.expected import Expected, expected, shown
from drorch.engines.postgres.place import from_connection
from drorch.stores.memory import MemoryStore

MORE = (
    "CREATE EXTENSION pg_trgm",
    "CREATE TABLE pt (a int PRIMARY KEY, b int, UNIQUE (a, b)) PARTITION BY RANGE (a)",
    "CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (1) TO (10)",
    "CREATE INDEX ON pt (b)",
    "CREATE INDEX ON ONLY pt (a, b)",
    "CREATE TABLE referring (a int REFERENCES pt, b int, CHECK (a > 0))",
    "ALTER TABLE referring ADD FOREIGN KEY (b) REFERENCES pt NOT VALID, ADD CHECK (b > 0) NOT VALID",
    "CREATE TABLE partly (a int REFERENCES pt, b int) PARTITION BY LIST (b)",
    "CREATE TABLE partly1 PARTITION OF partly FOR VALUES IN (1)",
    "CREATE TYPE rng AS RANGE (subtype = float8)",
    "CREATE TYPE comp AS (a int)",
    "CREATE TYPE shell",
    "CREATE DOMAIN dom AS int CHECK (VALUE > 1)",
    "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER tr BEFORE INSERT ON pt FOR EACH ROW EXECUTE FUNCTION tf()",
    "CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON referring DEFERRABLE FOR EACH ROW EXECUTE FUNCTION tf()",
    "CREATE POLICY pol ON referring USING (true)",
    "ALTER TABLE referring ENABLE ROW LEVEL SECURITY",
    "CREATE RULE ru AS ON INSERT TO referring DO ALSO NOTHING",
    "CREATE PUBLICATION pub FOR TABLE referring",
    "CREATE FUNCTION ef() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION ef()",
    "CREATE PROCEDURE pro() LANGUAGE sql AS ''",
    "CREATE AGGREGATE agg (int) (sfunc = int4pl, stype = int)",
    "CREATE UNLOGGED TABLE unlogged (a int)",
    "CREATE TEMPORARY TABLE passing (a int)",
    "CREATE TABLE excluding (r int4range, EXCLUDE USING gist (r WITH &&))",
    "CREATE FOREIGN DATA WRAPPER w",
    "CREATE SERVER srv FOREIGN DATA WRAPPER w",
    "CREATE FOREIGN TABLE ft (a int) SERVER srv",
    "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a WITH NO DATA",
    "CREATE UNIQUE INDEX ON mv (a)",
    "CREATE TABLE typed OF comp",
    "CREATE VIEW ring AS SELECT 1 AS a, 2 AS b",
    "CREATE FUNCTION of_ring() RETURNS SETOF ring LANGUAGE sql AS 'SELECT 1, 2'",
    "CREATE OR REPLACE VIEW ring AS SELECT a, b FROM of_ring()",
    "CREATE STATISTICS stat ON a, b FROM referring",
    "CREATE SEQUENCE alone",
)
"""Beside the shop: one of everything that has an entry of its own, and what has none."""

OF_ANOTHER_CLASS = {"DATABASE", "DEFAULT", "PUBLICATION TABLE", "FOREIGN DATA WRAPPER", "SERVER", "STATISTICS", "BLOB"}
OF_ANOTHER_CLASS |= {"BLOB METADATA", "CHECK CONSTRAINT"}
NOT_ASKED_FOR = ["index public.pt_a_b_idx", "rule _RETURN on view public.ring", "type public.shell"]
"""Invalid, part of a view, without a definition: listed by these clients, and no loss if another one did not."""


def everything(server: Running) -> str:
    database = server.database()
    pgshop.fill(server, database)
    server.run(*MORE, database=database)
    return database


@pytest.fixture(scope="module")
def rich(old: Running) -> str:
    return everything(old)


@pytest.fixture(scope="module")
def rich_new(new: Running) -> str:
    return everything(new)


@pytest.mark.parametrize(("server", "client"), [("old", "old"), ("old", "new"), ("new", "new")])
def test_every_entry_of_a_whole_dump_is_expected_and_nothing_else(
    server: str, client: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every server by every client: neither is an honest dump refused, nor is a kind of object forgotten."""
    source, tools = request.getfixturevalue(server), request.getfixturevalue(client)
    database = request.getfixturevalue("rich" if server == "old" else "rich_new")
    monkeypatch.setattr("drorch.engines.postgres.clients._LAYOUTS", ())
    monkeypatch.setenv("PATH", "")
    with PostgresEngine([tools.binaries]).dump(source.options(database), {}, "off") as session:
        assert str(session.facts["client_version"]).startswith(str(tools.major))
        archive = taken(session)["data.pgcustom"]
    entries = set()
    for line in contents(str(tools.binaries / "pg_restore"), archive) or []:
        _, class_oid, oid, text = line.split(" ", 3)
        numbered = int(class_oid) or text.startswith("TABLE DATA ")
        if numbered and not any(text.startswith(f"{word} ") for word in OF_ANOTHER_CLASS):
            entries.add((int(class_oid), int(oid)))
    place = from_connection(source.options(database).connection, {})
    asking = connect(place, "dump", {"search_path": "pg_catalog"})
    wanted = expected(asking, "db", [])
    assert wanted.objects <= entries
    assert sorted(shown(asking, "db", sorted(entries - wanted.objects))) == NOT_ASKED_FOR
    asking.close()
    assert len(entries) > 60
    assert (wanted.sequences, wanted.large_objects) == (4, 2)


def saboteur(real: Path, folder: Path, script: str) -> Path:
    """A folder of programs whose pg_dump does what `script` says with "$@"; `REAL` is the honest one."""
    for program in ("pg_dumpall", "pg_restore"):
        (folder / program).symlink_to(real / program)
    honest = shlex.quote(str(real / "pg_dump"))
    text = f'#!/bin/sh\ncase "$1" in --version) exec {honest} "$@";; esac\n{script.replace("REAL", honest)}\n'
    (folder / "pg_dump").write_text(text)
    (folder / "pg_dump").chmod(0o755)
    return folder


SABOTAGE = [
    ('exec REAL "$@" --exclude-table=shop.event_2025', "table shop.event_2025"),
    ('exec REAL "$@" --exclude-table-data=shop.customer', "rows of table shop.customer"),
    ('exec REAL "$@" --exclude-table=shop.paid', "view shop.paid"),
    ('exec REAL "$@" --exclude-table=alone', "sequence public.alone"),
    ('exec REAL "$@" --exclude-schema=shop', "and more"),
    ('exec REAL "$@" --no-blobs', "some of 2 large objects"),
    ('exec REAL "$@" --schema-only', "values of 4 of 4 sequences"),
    ('exec REAL "$@" --data-only', "function public.tf()"),
    ('exec REAL "$@" --no-publications', "publication pub"),
    ('exec REAL "$@" --section=pre-data --section=data', "constraint orders_pkey on table shop.orders"),
    ('REAL "$@" | head --bytes=-6', "ends within its data"),
    ('REAL "$@" | head --bytes=200000', "ends within its data"),
    ('REAL "$@" | head --bytes=3000', "ends within its table of contents"),
    ('exec REAL "$@" --format=plain', "is no archive"),
    ("exit 0", "is no archive|ends within its table of contents"),
]


@pytest.mark.parametrize(("script", "named"), SABOTAGE, ids=[script for script, _ in SABOTAGE])
def test_a_pg_dump_that_leaves_something_out_and_exits_0_commits_nothing(
    old: Running, rich: str, tmp_path: Path, script: str, named: str
) -> None:
    store = MemoryStore("gcs-eu")
    engine = PostgresEngine([saboteur(old.binaries, tmp_path, script)])
    order = DumpOrder("acme", "shop", "orders", "postgres", "p1", "2026-11-20T12:00Z", (new_identity()[1],))
    with pytest.raises(Damaged, match=named):
        dump(order, engine, old.options(rich), {}, {"gcs-eu": store}, SecretKey.generate(), clock=HandClock())
    assert not store.objects


def test_a_table_of_contents_beyond_the_first_look_is_read_whole(old: Running, tmp_path: Path) -> None:
    database = old.database()
    old.run(
        "DO $$ BEGIN FOR i IN 1..600 LOOP EXECUTE format('CREATE TABLE t%s (a int, b text, c int)', i);"
        " END LOOP; END $$",
        database=database,
    )
    with PostgresEngine([old.binaries]).dump(old.options(database), {}, "off") as session:
        assert len(taken(session)["data.pgcustom"]) > 128 * 1024
    sabotaged = saboteur(old.binaries, tmp_path, 'exec REAL "$@" --exclude-table=t599')
    engine = PostgresEngine([sabotaged])
    with engine.dump(old.options(database), {}, "off") as session, pytest.raises(Damaged, match=r"table public\.t599"):
        taken(session)


def test_a_database_without_tables_is_complete(old: Running, new: Running) -> None:
    for server, tools in ((old, old.binaries), (new, WHEEL)):
        with PostgresEngine([tools]).dump(server.options(server.database()), {}, "exact") as session:
            assert taken(session)["data.pgcustom"].startswith(b"PGDMP")
            assert session.inventory().tables == {}


def test_a_pg_dump_that_failed_says_so_itself(old: Running, rich: str, tmp_path: Path) -> None:
    """Its own words come before ours: that the head is short is no news then."""
    tools = saboteur(old.binaries, tmp_path, 'echo "pg_dump: error: it burns" >&2; exit 1')
    with PostgresEngine([tools]).dump(old.options(rich), {}, "off") as session, pytest.raises(DrorchError) as caught:
        taken(session)
    assert isinstance(caught.value, Unavailable)
    assert "it burns" in caught.value.cause


@pytest.mark.parametrize(
    ("lines", "objects", "missing"),
    [
        (["1; 0 0 BLOBS - BLOBS ", "2; 2613 5 BLOB - 5 me", "3; 2613 6 BLOB - 6 me"], 2, False),
        (["1; 0 0 BLOBS - BLOBS ", "2; 2613 5 BLOB - 5 me"], 2, True),
        (["1; 0 0 BLOBS - 5..6 ", "2; 2613 5 BLOB METADATA - 5..6 me"], 1000, False),
        (["1; 0 0 BLOBS - 5..6 ", "2; 2613 5 BLOB METADATA - 5..6 me"], 1001, True),
        (["2; 2613 5 BLOB METADATA - 5..6 me"], 2, True),
        ([], 0, False),
    ],
)
def test_large_objects_are_counted_as_each_client_lists_them(lines: list[str], objects: int, missing: bool) -> None:
    assert bool(missing_by_number(Expected(frozenset(), 0, objects), lines)) is missing
