"""Schema filters: what a dump of some schemas holds, says of itself, counts, and gives back."""

# ruff: noqa: S608 - the names are constants

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pgshop
import pytest
from pgservers import WHEEL, Running, taken
from pydantic import ValidationError

from drorch.domain.errors import Refused
from drorch.engines.postgres import Options, PostgresEngine

ODD = 'Büro "2*" .a$'
BASE = {"host": "db.internal", "database": "orders", "user": "backup"}


@pytest.fixture(scope="module")
def house(old: Running) -> Iterator[str]:
    """A database with schemas of which one may not be read, one is too odd for a pattern, and one looks like it."""
    database = old.database()
    role = old.role("LOGIN", "house_backup")
    quoted = ODD.replace('"', '""')
    old.run(
        "CREATE EXTENSION citext",
        "CREATE TABLE public.p AS SELECT 1 AS n",
        f'CREATE SCHEMA "{quoted}"',
        f'CREATE TABLE "{quoted}".rooms (name public.citext)',
        f"""INSERT INTO "{quoted}".rooms VALUES ('one'), ('two')""",
        'CREATE SCHEMA "Büro"',
        'CREATE TABLE "Büro".rooms AS SELECT 1 AS n',
        "CREATE SCHEMA secret",
        "CREATE TABLE secret.kept AS SELECT 1 AS n",
        "SELECT lo_create(4711)",
        f'GRANT USAGE ON SCHEMA "{quoted}", "Büro" TO {role}',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "{quoted}", "Büro", public TO {role}',
        f"GRANT SELECT ON LARGE OBJECT 4711 TO {role}",
        database=database,
    )
    yield database


def options(server: Running, database: str, user: str = "postgres", **filters: object) -> Options:
    return Options.model_validate({"connection": server.options(database, user).connection} | filters)


def dumped(server: Running, given: Options, binaries: Path = WHEEL) -> pgshop.Dump:
    with PostgresEngine([binaries]).dump(given, {}, "exact") as session:
        return pgshop.Dump(session.facts, taken(session), session.inventory())


def tables(server: Running, database: str) -> set[str]:
    query = """SELECT string_agg(format('%I.%I', schemaname, tablename), ' + ') FROM pg_tables
      WHERE schemaname !~ '^(pg_|inf)'"""
    return set(str(server.value(query, database)).split(" + "))


def test_only_the_named_schema_is_dumped_counted_and_restored_with_the_extensions_it_may_need(
    old: Running, house: str
) -> None:
    made = dumped(old, options(old, house, schemas=[ODD]))
    (table,) = made.inventory.tables
    assert made.inventory.tables[table] == 2
    assert made.inventory.details["large_objects"] == 0
    assert made.facts["filters"] == {"schemas": [ODD]}
    back = f"{house}_only"
    pgshop.restore(old, back, made)
    assert tables(old, back) == {table}
    assert old.value(f"SELECT count(*) FROM {table} WHERE name = 'ONE'", back) == 1, "citext came along"


def test_everything_but_the_excluded_schemas_is_dumped_counted_and_restored(old: Running, house: str) -> None:
    made = dumped(old, options(old, house, exclude_schemas=["secret", "Büro", "never was"]))
    assert set(made.inventory.tables) == {"public.p", *(t for t in made.inventory.tables if "2*" in t)}
    assert len(made.inventory.tables) == 2
    assert made.inventory.details["large_objects"] == 1
    assert made.facts["filters"] == {"exclude_schemas": ["secret", "Büro", "never was"]}
    back = f"{house}_without"
    pgshop.restore(old, back, made)
    assert tables(old, back) == set(made.inventory.tables)
    assert old.value("SELECT count(*) FROM pg_largeobject_metadata", back) == 1


def test_what_may_not_be_read_in_a_schema_that_is_left_out_is_no_obstacle(old: Running, house: str) -> None:
    with pytest.raises(Refused, match=r"may not read secret\.kept"):
        dumped(old, options(old, house, "house_backup"))
    for filters in ({"schemas": ["Büro"]}, {"exclude_schemas": ["secret"]}):
        made = dumped(old, options(old, house, "house_backup", **filters))
        assert '"Büro".rooms' in made.inventory.tables


def test_a_schema_that_does_not_exist_is_refused_before_anything_is_dumped(old: Running, house: str) -> None:
    with pytest.raises(Refused, match=r"there is no schema 'BÜRO', 'b\.\*'"):
        dumped(old, options(old, house, schemas=["BÜRO", "Büro", "b.*"]))


def test_an_extension_in_a_schema_that_is_left_out_is_refused(old: Running) -> None:
    database = old.database()
    old.run(
        "CREATE SCHEMA ext", "CREATE EXTENSION citext SCHEMA ext", "CREATE TABLE t (a ext.citext)", database=database
    )
    with pytest.raises(Refused, match="extensions live in schemas that are left out: citext"):
        dumped(old, options(old, database, exclude_schemas=["ext"]))


def test_a_dump_without_filters_says_nothing_of_them(old: Running, house: str) -> None:
    made = dumped(old, options(old, house))
    assert "filters" not in made.facts
    assert {"public.p", "secret.kept", '"Büro".rooms'} < set(made.inventory.tables)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"schemas": ["a"], "exclude_schemas": ["b"]}, "either schemas or exclude_schemas"),
        ({"schemas": []}, "at least 1"),
        ({"schemas": "a"}, "valid tuple"),
        ({"schemas": [""]}, "at least 1"),
        ({"schemas": ["pg_catalog"]}, "pg_catalog is the system's own"),
        ({"exclude_schemas": ["information_schema"]}, "the system's own"),
        ({"schemas": ["a\nb"]}, "one line"),
    ],
)
def test_what_a_filter_may_not_say(filters: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options.model_validate({"connection": BASE} | filters)


def test_a_dump_of_the_schema_public_restores_with_and_without_drorch(old: Running, house: str, tmp_path: Path) -> None:
    made = dumped(old, options(old, house, schemas=["public"]), old.binaries)
    ours, stock = f"{house}_public", old.database()
    pgshop.restore(old, ours, made)
    (tmp_path / "data.pgcustom").write_bytes(made.artefacts["data.pgcustom"])
    old.run("DROP SCHEMA public", database=stock)
    command = [
        str(old.binaries / "pg_restore"),
        "--single-transaction",
        "--dbname",
        f"host={old.socket} port={old.server.port}",
    ]
    command[-1] += f" dbname={stock} user=postgres"
    subprocess.run([*command, str(tmp_path / "data.pgcustom")], check=True, capture_output=True, timeout=60)
    assert tables(old, ours) == tables(old, stock) == {"public.p"}
