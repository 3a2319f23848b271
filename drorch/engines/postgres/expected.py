"""What a dump must hold, asked of the catalogue in the dump's own snapshot.

Only what pg_dump (pg_dump.c, `selectDumpableObject` and the `get...` functions) lists in every version is asked for, by
the numbers that an archive's table of contents bears: class and oid, class 0 for a table's rows. Left out are what
stands inside another's definition (checks, defaults, the sequences' ownership) and what only some clients list.
"""

# ruff: noqa: S608 - the queries are composed of the constants below

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drorch.engines.postgres.catalog import NOT_OF_EXTENSION, USER_SCHEMA, WHOLE_DATABASE
from drorch.engines.postgres.connection import Session, translated

Key = tuple[int, int]
"""Class and oid as in a table of contents."""

_FIRST_OWN = 16384
"""FirstNormalObjectId (access/transam.h): what initdb made bears lower numbers, and is not dumped."""


def _not_of_extension(table: str, oid: str) -> str:
    return NOT_OF_EXTENSION.format(table=f"pg_catalog.{table}", oid=oid)


def _own_relation(kinds: str) -> str:
    return f"c.relkind IN ({kinds}) AND {USER_SCHEMA} AND {_not_of_extension('pg_class', 'c.oid')}"


_RELATION = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
_HAS_ROWS = "NOT (pg_is_in_recovery() AND c.relpersistence = 'u')"
"""On a replica an unlogged table is empty, and pg_dump leaves its rows alone."""

_OBJECTS = f"""
SELECT 'pg_class'::regclass::oid, c.oid FROM {_RELATION}
  WHERE {_own_relation("'r', 'p', 'v', 'm', 'S', 'f'")}
UNION ALL SELECT 0, c.oid FROM {_RELATION} WHERE {_own_relation("'r'")} AND {_HAS_ROWS}
UNION ALL SELECT 0, c.oid FROM pg_catalog.pg_extension e, unnest(e.extconfig) AS config (oid)
  JOIN pg_catalog.pg_class c ON c.oid = config.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND e.oid >= {_FIRST_OWN} AND {USER_SCHEMA} AND {_HAS_ROWS}
    AND format('%%I.%%I', n.nspname, c.relname) <> ALL (%s::text[])
UNION ALL SELECT 'pg_class'::regclass::oid, x.indexrelid FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE x.indisvalid AND x.indisready AND {_own_relation("'r', 'p', 'm'")}
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
      WHERE k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_index x ON x.indexrelid = k.conindid JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE k.contype IN ('p', 'u', 'x') AND x.indisvalid AND x.indisready AND {_own_relation("'r', 'p'")}
UNION ALL SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE k.contype = 'f' {{constraint_of_its_own}} AND {_own_relation("'r', 'p'")}
UNION ALL SELECT 'pg_trigger'::regclass::oid, t.oid FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT t.tgisinternal {{trigger_of_its_own}} AND {_own_relation("'r', 'p', 'v', 'f'")}
UNION ALL SELECT 'pg_policy'::regclass::oid, p.oid FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_class c ON c.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE {_own_relation("'r', 'p'")}
UNION ALL SELECT 'pg_rewrite'::regclass::oid, r.oid FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE r.rulename <> '_RETURN' AND {_own_relation("'r', 'p', 'v'")}
UNION ALL SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE {USER_SCHEMA} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
UNION ALL SELECT 'pg_type'::regclass::oid, t.oid FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  WHERE {USER_SCHEMA} AND {_not_of_extension("pg_type", "t.oid")} AND t.typisdefined AND t.typelem = 0
    AND (t.typtype IN ('b', 'd', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
UNION ALL SELECT 'pg_namespace'::regclass::oid, n.oid FROM pg_catalog.pg_namespace n
  WHERE {USER_SCHEMA} AND n.nspname <> 'public' AND {_not_of_extension("pg_namespace", "n.oid")}
UNION ALL SELECT 'pg_extension'::regclass::oid, e.oid FROM pg_catalog.pg_extension e
  WHERE {WHOLE_DATABASE} AND e.oid >= {_FIRST_OWN}
UNION ALL SELECT 'pg_event_trigger'::regclass::oid, e.oid FROM pg_catalog.pg_event_trigger e
  WHERE {WHOLE_DATABASE} AND {_not_of_extension("pg_event_trigger", "e.oid")}
UNION ALL SELECT 'pg_publication'::regclass::oid, p.oid FROM pg_catalog.pg_publication p
  WHERE {WHOLE_DATABASE} AND {_not_of_extension("pg_publication", "p.oid")}"""

_COUNTS = f"""
SELECT (SELECT count(*) FROM {_RELATION} WHERE {_own_relation("'S'")} AND {_HAS_ROWS}),
  (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata WHERE {WHOLE_DATABASE})"""

_SHOWN = """
SELECT CASE WHEN k.class = 0 THEN 'rows of ' ELSE '' END || coalesce(
  pg_describe_object(coalesce(nullif(k.class, 0), 'pg_class'::regclass::oid::bigint)::oid, k.oid::oid, 0),
  'something that is gone meanwhile')
FROM unnest(%s::bigint[], %s::bigint[]) AS k (class, oid) ORDER BY k.class, k.oid"""


@dataclass(frozen=True, slots=True)
class Expected:
    """`objects` by their keys; `sequences` whose values are dumped and `large_objects` by their number."""

    objects: frozenset[Key]
    sequences: int
    large_objects: int


def expected(session: Session, resource: str, not_dumped: Sequence[str]) -> Expected:
    """What the session's snapshot holds and every dump must; `not_dumped` are tables whose rows were left out."""
    number = session.info.server_version
    query = _OBJECTS.format(
        constraint_of_its_own="AND k.conparentid = 0" if number >= 110000 else "",
        trigger_of_its_own="AND t.tgparentid = 0" if number >= 130000 else "",
    )
    with translated("dump", resource):
        rows = session.execute(query.encode(), (list(not_dumped),)).fetchall()
        ((sequences, large_objects),) = session.execute(_COUNTS.encode()).fetchall()
    objects = frozenset((int(str(class_oid)), int(str(oid))) for class_oid, oid in rows)
    return Expected(objects, int(str(sequences)), int(str(large_objects)))


def shown(session: Session, resource: str, keys: Sequence[Key]) -> list[str]:
    """The objects as people name them: ``table shop.orders``, ``rows of table shop.orders``."""
    with translated("dump", resource):
        rows = session.execute(_SHOWN, ([key[0] for key in keys], [key[1] for key in keys])).fetchall()
    return [str(row[0]) for row in rows]
