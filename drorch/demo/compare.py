"""Whether two PostgreSQL databases hold the same: every table's rows, the sequences, and what the schema defines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table: how many rows, and the MD5 of their text forms in order."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One database. `definitions` maps views, indexes, constraints and sequences to their text (and last value)."""

    tables: dict[str, TableFacts] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(table.rows for table in self.tables.values())


def fingerprint(connection: Connection) -> Fingerprint:
    """Read all of a database in one consistent view."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for setting in ("TimeZone TO 'UTC'", "DateStyle TO 'ISO'", "bytea_output TO 'hex'", "extra_float_digits TO 1"):
            connection.execute(sql.SQL("SET LOCAL {}").format(sql.SQL(setting)))
        tables = {}
        for schema, name in connection.execute(_TABLES).fetchall():
            found = connection.execute(sql.SQL(_DIGEST).format(sql.Identifier(schema, name))).fetchone() or (0, "")
            tables[_shown(schema, name)] = TableFacts(int(found[0]), str(found[1]))
        definitions = {str(what): str(text) for what, text in connection.execute(_DEFINITIONS).fetchall()}
        return Fingerprint(tables, definitions)


def differences(original: Fingerprint, other: Fingerprint) -> Iterator[str]:
    """Everything that is not the same, one line each."""
    for name in sorted(original.tables.keys() | other.tables.keys()):
        here, there = original.tables.get(name), other.tables.get(name)
        if here is None or there is None:
            yield f"table {name} is {'additional' if here is None else 'missing'}"
        elif here.rows != there.rows:
            yield f"table {name}: {here.rows} rows, restored {there.rows}"
        elif here.digest != there.digest:
            yield f"table {name}: the same number of rows, other content"
    for name in sorted(original.definitions.keys() | other.definitions.keys()):
        text, restored = original.definitions.get(name), other.definitions.get(name)
        if text != restored:
            yield f"{name}: {text or 'nothing'}, restored {restored or 'nothing'}"


def _shown(schema: str, name: str) -> str:
    return name if schema == "public" else f"{schema}.{name}"


_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
_TABLES = f"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND {_OURS} ORDER BY 1, 2
"""  # noqa: S608  (no part of it comes from outside)
_DIGEST = """
SELECT count(*), md5(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), ''))
FROM (SELECT t::text AS line FROM {} t) s
"""
_DEFINITIONS = f"""
SELECT 'index ' || i.indexname, i.indexdef
FROM pg_indexes i JOIN pg_namespace n ON n.nspname = i.schemaname WHERE {_OURS}
UNION ALL
SELECT 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE conrelid <> 0 AND {_OURS}
UNION ALL
SELECT 'view ' || c.oid::regclass, pg_get_viewdef(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind IN ('v', 'm') AND {_OURS}
UNION ALL
SELECT 'sequence ' || sequencename,
    start_value || ' by ' || increment_by || ', last ' || coalesce(last_value::text, '-')
FROM pg_sequences q JOIN pg_namespace n ON n.nspname = q.schemaname WHERE {_OURS}
"""  # noqa: S608  (no part of it comes from outside)
