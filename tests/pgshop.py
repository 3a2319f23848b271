"""A database that has a bit of everything that a dump may trip over, and a way to compare two databases."""

# ruff: noqa: S608 - the names are constants

from __future__ import annotations

from pgservers import Running

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
