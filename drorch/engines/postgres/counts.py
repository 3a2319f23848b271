"""The inventory: rows per table, counted in one snapshot at the source and again after a restore.

Tables are named as SQL would (quoted where they must be), so that a dot within a name cannot mislead.
"""

# ruff: noqa: S608 - the queries are composed of constants; names are quoted by psycopg

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from drorch.engines.postgres.catalog import NOT_OF_EXTENSION, USER_SCHEMA, WHOLE_DATABASE, changed
from drorch.engines.postgres.connection import Session, milliseconds, translated
from drorch.ports import Inventory

_OWN = f"{USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table='pg_catalog.pg_class', oid='c.oid')}"

# Smallest first: when the budget ends, as many tables as possible have been counted.
_TABLES = f"""
SELECT n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname), c.reltuples::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_OWN} AND NOT (pg_is_in_recovery() AND c.relpersistence = 'u')
ORDER BY c.relpages, 3"""

_DETAILS = f"""
SELECT 'sequences', count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'S' AND {_OWN}
UNION ALL SELECT 'views', count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('v', 'm') AND {_OWN}
UNION ALL SELECT 'indexes', count(*) FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('i', 'I') AND {_OWN}
UNION ALL SELECT 'functions', count(*) FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE {USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table="pg_catalog.pg_proc", oid="p.oid")}
UNION ALL SELECT 'large_objects', count(*) FROM pg_catalog.pg_largeobject_metadata WHERE {WHOLE_DATABASE}"""

_FIND = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
ON n.oid = c.relnamespace WHERE c.oid = pg_catalog.to_regclass(%s)"


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    shown: str
    estimate: int | None


def count_source(session: Session, word: str, budget: timedelta) -> Inventory:
    """What the session's snapshot holds. `word` is `exact`, `estimate` or `off`.

    `exact` counts for at most `budget`; the tables left are estimated from the planner's statistics and named so. Runs
    within savepoints: a table that is locked or too large costs neither the transaction nor its exported snapshot.
    """
    if word == "off":
        return Inventory(tables={})
    deadline = time.monotonic() + budget.total_seconds()
    counts: dict[str, int | None] = {}
    estimated = set()
    tables = _tables(session)
    for table in tables:
        left = timedelta(seconds=deadline - time.monotonic()) if word == "exact" else timedelta()
        count = _count(session, table.schema, table.name, left) if left > timedelta(milliseconds=1) else None
        if count is None:
            estimated.add(table.shown)
            count = table.estimate
        counts[table.shown] = count
    if word == "exact":
        estimated |= _uncount_changed(session, tables, counts)
    return Inventory(
        tables=dict(sorted(counts.items())),
        estimated=frozenset(estimated),
        bytes=_database_bytes(session),
        details=_details(session),
    )


def _uncount_changed(session: Session, tables: Sequence[_Table], counts: dict[str, int | None]) -> set[str]:
    """Replace the counts of tables that are not the snapshot's any more by estimates; their names.

    What was counted stays locked to the transaction's end, so none changes after this look.
    """
    with translated("count", "tables"):
        late = set(changed(session))
    counts.update((table.shown, table.estimate) for table in tables if table.shown in late)
    return late & counts.keys()


def count_restored(session: Session, expected: Inventory) -> Inventory:
    """Exact counts of the tables that `expected` counted exactly; a table that is not there has no entry."""
    counts: dict[str, int | None] = {}
    for shown, count in expected.tables.items():
        if count is None or shown in expected.estimated:
            continue
        with translated("count", shown):
            row = session.execute(_FIND, (shown,)).fetchone()
        if row is not None:
            counts[shown] = _count(session, str(row[0]), str(row[1]), timedelta())
    return Inventory(tables=counts, bytes=_database_bytes(session), details=_details(session))


def _tables(session: Session) -> list[_Table]:
    with translated("count", "tables"):
        rows = session.execute(_TABLES).fetchall()
    # -1 (0 before version 14) means that the table was never analysed.
    return [_Table(str(a), str(b), str(c), int(str(d)) if int(str(d)) > 0 else None) for a, b, c, d in rows]


def _count(session: Session, schema: str, name: str, limit: timedelta) -> int | None:
    """Rows of the table itself without its children; None when `limit` (none: zero), a lock or its end ended it."""
    query = sql.SQL("SELECT pg_catalog.count(*) FROM ONLY {}").format(sql.Identifier(schema, name))
    try:
        with session.transaction():
            session.execute("SELECT set_config('statement_timeout', %s, true)", (milliseconds(limit),))
            row = session.execute(query).fetchone()
    except (
        psycopg.errors.QueryCanceled,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
    ):
        return None
    except psycopg.Error:
        with translated("count", f"{schema}.{name}"):
            raise
    return int(str(row[0])) if row else None


def _details(session: Session) -> dict[str, object]:
    with translated("count", "objects"):
        return {str(name): int(str(count)) for name, count in session.execute(_DETAILS)}


def _database_bytes(session: Session) -> int:
    with translated("count", "database"):
        row = session.execute("SELECT pg_catalog.pg_database_size(current_database())").fetchone()
    return int(str(row[0])) if row else 0
