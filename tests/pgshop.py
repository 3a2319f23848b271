"""A database with a bit of everything that a dump may trip over; ways to dump, restore and compare databases."""

# ruff: noqa: S608 - the names are constants

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgservers import WHEEL, Running, given, taken

from drorch.engines.postgres import PostgresEngine
from drorch.ports import Inventory, RestoreTarget

_STATEMENTS = (
    "CREATE SCHEMA shop",
    "CREATE TYPE shop.state AS ENUM ('new', 'paid')",
    "CREATE DOMAIN shop.price AS numeric(10,2) CHECK (VALUE >= 0)",
    "CREATE TABLE shop.customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
    "INSERT INTO shop.customer (name) SELECT 'name ' || i FROM generate_series(1, 500) i",
    "CREATE TABLE shop.orders (id serial PRIMARY KEY, customer bigint REFERENCES shop.customer, state shop.state,"
    " price shop.price, gross numeric GENERATED ALWAYS AS (price * 1.19) STORED, placed_at timestamptz DEFAULT now(),"
    " doc jsonb, raw bytea)",
    "INSERT INTO shop.orders (customer, state, price, doc, raw)"
    " SELECT 1 + i % 500, 'paid', i, jsonb_build_object('i', i), decode(md5(i::text), 'hex')"
    " FROM generate_series(1, 3000) i",
    "CREATE TABLE shop.event (at date NOT NULL, what text) PARTITION BY RANGE (at)",
    "CREATE TABLE shop.event_2025 PARTITION OF shop.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE shop.event_2026 PARTITION OF shop.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "INSERT INTO shop.event SELECT date '2025-06-01' + i, 'e' || i FROM generate_series(1, 400) i",
    "CREATE TABLE parent (a int)",
    "CREATE TABLE child (b int) INHERITS (parent)",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (2, 3), (4, 5)",
    'CREATE TABLE "weird Näme.x" ("a ""quoted"" column" int, "SELECT" text)',
    "INSERT INTO \"weird Näme.x\" VALUES (1, E'tab\\there'), (2, E'back\\\\slash'), (3, NULL), (4, 'ünï')",
    "CREATE TABLE empty (a int)",
    "CREATE MATERIALIZED VIEW shop.totals AS SELECT customer, sum(price) AS total FROM shop.orders GROUP BY 1",
    "CREATE VIEW shop.paid AS SELECT * FROM shop.orders WHERE state = 'paid'",
    "CREATE FUNCTION shop.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT 2 * i'",
    "CREATE INDEX ON shop.orders (placed_at)",
    "CREATE SEQUENCE shop.number START 1000",
    "SELECT nextval('shop.number') FROM generate_series(1, 7)",
    "SELECT lo_from_bytea(4711, '\\x00ff00')",
    "SELECT lo_from_bytea(4712, 'large')",
    "COMMENT ON TABLE shop.orders IS 'it''s'",
)

TABLES = (
    "shop.customer",
    "shop.orders",
    "shop.event_2025",
    "shop.event_2026",
    "parent",
    "child",
    '"weird Näme.x"',
    "empty",
)


def fill(server: Running, database: str, user: str = "postgres") -> None:
    """Make everything, owned by `user`."""
    server.run(*_STATEMENTS, database=database, user=user)


def contents(server: Running, database: str, user: str = "postgres") -> dict[str, object]:
    """All that must be equal after a restore: rows, sequences, large objects, definitions."""
    found: dict[str, object] = {}
    with server.session(database, user) as session:
        for table in TABLES:
            rows = session.execute(f"SELECT t::text FROM ONLY {table} t ORDER BY 1".encode()).fetchall()
            found[table] = rows
        found["totals"] = session.execute("SELECT t::text FROM shop.totals t ORDER BY 1").fetchall()
        found["number"] = session.execute("SELECT last_value, is_called FROM shop.number").fetchall()
        found["orders_id"] = session.execute("SELECT last_value FROM shop.orders_id_seq").fetchall()
        found["large"] = session.execute(
            "SELECT oid::text, lo_get(oid) FROM pg_largeobject_metadata ORDER BY 1"
        ).fetchall()
        found["columns"] = session.execute(
            "SELECT table_schema, table_name, column_name, data_type, is_generated, is_identity FROM"
            " information_schema.columns WHERE table_schema IN ('shop', 'public') ORDER BY 1, 2, 3"
        ).fetchall()
        found["constraints"] = session.execute(
            "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0"
            " AND contype <> 'n' AND connamespace::regnamespace::text IN ('shop', 'public') ORDER BY 1, 2"
        ).fetchall()
        found["indexes"] = session.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('shop', 'public') ORDER BY 1"
        ).fetchall()
        found["functions"] = session.execute("SELECT prosrc FROM pg_proc WHERE proname = 'twice'").fetchall()
    return found


@dataclass
class Dump:
    """One dump, whole."""

    facts: Mapping[str, object]
    artefacts: dict[str, bytes]
    inventory: Inventory


def dump(server: Running, database: str, user: str = "postgres") -> Dump:
    """Dump a database, its rows counted."""
    with PostgresEngine([WHEEL]).dump(server.options(database, user), {}, "exact") as session:
        return Dump(session.facts, taken(session), session.inventory())


def target(server: Running, database: str, user: str = "postgres", *, with_globals: bool = False) -> RestoreTarget:
    """A target on the server, not prepared."""
    return PostgresEngine([WHEEL]).target(server.url(database, user), None, with_globals=with_globals)


def restore(server: Running, database: str, dumped: Dump, **more: object) -> tuple[str, ...]:
    """A whole restore; every count must be equal. The notes."""
    place = target(server, database, **more)  # type: ignore[arg-type]
    place.prepare(dumped.facts)
    notes = given(place, dumped.artefacts)
    assert place.inventory(dumped.inventory).tables == {
        name: count for name, count in dumped.inventory.tables.items() if count is not None
    }
    return (*notes, *place.complete())


def names(server: Running) -> set[object]:
    """The databases of a server."""
    with server.session() as session:
        return {row[0] for row in session.execute("SELECT datname::text FROM pg_database")}
