"""The demo's shop, and the comparison that the demo stands or falls with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from drorch.demo import shop
from drorch.demo.compare import Fingerprint, differences, fingerprint
from drorch.demo.postgres import EmbeddedPostgres

NEWEST = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
SMALL = shop.Size(customers=60, products=30, orders=90, events=80)
Connection = psycopg.Connection[Any]
Open = Callable[..., Connection]


@pytest.fixture
def open_database(postgres: EmbeddedPostgres) -> Iterator[Open]:
    """New databases of a role that is no superuser; they are dropped at the end."""
    connections: list[Connection] = []
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS keeper")
        admin.execute("CREATE ROLE keeper LOGIN PASSWORD 'not-a-secret'")

        def make(name: str, like: str = "template1") -> Connection:
            statement = sql.SQL("CREATE DATABASE {} OWNER keeper TEMPLATE {}")
            admin.execute(statement.format(sql.Identifier(name), sql.Identifier(like)))
            dsn = postgres.dsn(name)
            connections.append(psycopg.connect(dsn, user="keeper", password="not-a-secret", autocommit=True))
            return connections[-1]

        yield make
        for connection in connections:
            name = connection.info.dbname
            connection.close()
            admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        admin.execute("DROP ROLE keeper")


def value(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_the_shop_is_large_quick_to_fill_and_made_of_what_real_databases_are_made_of(open_database: Open) -> None:
    database = open_database("large")
    began = time.monotonic()
    count = shop.fill(database, newest=NEWEST)
    assert time.monotonic() - began < 20  # 1.6 s on an idle machine
    assert count >= 100_000
    assert count == shop.rows(database) == fingerprint(database).rows
    assert value(database, "SELECT max(placed_at) FROM orders") == NEWEST
    assert value(database, "SELECT count(*) FROM pg_partitioned_table") == 1
    assert value(database, "SELECT count(*) FROM events") == shop.Size().events
    assert value(database, "SELECT count(*) FROM revenue_per_day") > 80
    assert value(database, "SELECT last_value FROM order_number") == 99_999 + shop.Size().orders
    assert value(database, "SELECT count(*) FROM customers WHERE name ~ '[^[:ascii:]]'") > 1000
    assert value(database, "SELECT count(*) FROM customers WHERE jsonb_typeof(address->'floor') = 'number'") > 1000
    assert value(database, "SELECT min(substring(body FROM 2 FOR 3)) FROM product_pictures") == b"PNG"
    assert value(database, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 2200") == 5
    assert value(database, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(open_database: Open) -> None:
    prints = []
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        database = open_database(name)
        shop.fill(database, newest=NEWEST, seed=seed, size=SMALL)
        prints.append(fingerprint(database))
    first, second, third = prints
    assert first == second
    assert list(differences(first, second)) == []
    assert first.tables["orders"].rows == third.tables["orders"].rows
    assert "table customers: the same number of rows, other content" in list(differences(first, third))


CHANGES = {
    "UPDATE products SET price = price + 0.01 WHERE id = 7": "table products: the same number of rows, other content",
    "UPDATE orders SET note = NULL WHERE note = ''": "table orders: the same number of rows, other content",
    "UPDATE product_pictures SET body = set_byte(body, 20, (get_byte(body, 20) + 1) % 256) WHERE product_id = 1": (
        "table product_pictures: the same number of rows, other content"
    ),
    "DELETE FROM payments WHERE id = 3": "rows, restored",
    "DROP TABLE product_pictures": "table product_pictures is missing",
    "CREATE TABLE added (n int)": "table added is additional",
    "DROP INDEX orders_open": "index orders_open: ",
    "ALTER TABLE products DROP CONSTRAINT products_price_check": "constraint products.products_price_check: ",
    "DROP VIEW revenue_per_day": "view revenue_per_day: ",
    "SELECT nextval('order_number')": "sequence order_number: ",
}


@pytest.fixture(scope="module")
def pattern(postgres: EmbeddedPostgres) -> Iterator[tuple[str, Fingerprint]]:
    """A small shop to copy, and its fingerprint."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE pattern")
        with psycopg.connect(postgres.dsn("pattern"), autocommit=True) as database:
            shop.fill(database, newest=NEWEST, size=SMALL)
            original = fingerprint(database)
        yield "pattern", original
        admin.execute("DROP DATABASE pattern WITH (FORCE)")


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_data_or_definitions_is_a_difference(
    open_database: Open, pattern: tuple[str, Fingerprint], postgres: EmbeddedPostgres, change: str
) -> None:
    name, original = pattern
    open_database("changed", name)
    with psycopg.connect(postgres.dsn("changed"), autocommit=True) as database:
        assert fingerprint(database) == original
        database.execute(sql.SQL(change))
        assert any(CHANGES[change] in line for line in differences(original, fingerprint(database)))


def test_the_order_in_which_rows_lie_on_disk_is_no_difference(open_database: Open) -> None:
    database = open_database("moved")
    shop.fill(database, newest=NEWEST, size=SMALL)
    original, before = fingerprint(database), value(database, "SELECT array_agg(id) FROM products")
    database.execute("UPDATE products SET name = name WHERE id % 2 = 0")
    assert value(database, "SELECT array_agg(id) FROM products") != before
    assert fingerprint(database) == original


def test_an_empty_database_is_not_the_shop(open_database: Open) -> None:
    database = open_database("empty")
    assert fingerprint(database) == Fingerprint()
    some = replace(Fingerprint(), definitions={"index one": "CREATE INDEX one"})
    assert list(differences(some, Fingerprint())) == ["index one: CREATE INDEX one, restored nothing"]
