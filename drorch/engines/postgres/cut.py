"""How a large database is cut into streams: its largest tables spread over all but the last, which has all the rest.

Names of artefacts: ``data.pgcustom`` alone, or ``predata.pgcustom``, ``data-1.pgcustom`` ..., ``postdata.pgcustom``.
"""

# ruff: noqa: S608 - the query is composed of constants

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drorch.engines.postgres.catalog import NOT_OF_EXTENSION, USER_SCHEMA
from drorch.engines.postgres.connection import Session, translated

DATA = "data.pgcustom"
PREDATA = "predata.pgcustom"
POSTDATA = "postdata.pgcustom"

_NAMED = 100
"""So many tables at most are named; the others are small against them and stay together."""

# Names of other letters stand in pg_dump's arguments in an encoding that may not be the database's: they are the rest.
_SIZES = f"""
SELECT '"' || replace(n.nspname, '"', '""') || '"."' || replace(c.relname, '"', '""') || '"',
  coalesce(pg_table_size(c.oid), 0), concat(n.nspname, c.relname) ~ '^[ -~]*$'
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {USER_SCHEMA} AND {NOT_OF_EXTENSION.format(table="pg_catalog.pg_class", oid="c.oid")}
UNION ALL SELECT '', pg_table_size('pg_catalog.pg_largeobject'), false
ORDER BY 2 DESC, 1"""


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive of a dump: its artefact's name and the flags that choose what is in it."""

    name: str
    flags: tuple[str, ...] = ()


def archives(session: Session, resource: str, streams: int) -> tuple[Archive, ...]:
    """What to dump, in order. Fewer streams where there are fewer tables; a single one is one archive of everything."""
    if streams == 1:
        return (Archive(DATA),)
    with translated("dump", resource):
        rows = session.execute(_SIZES.encode()).fetchall()
    sizes = [(str(name), int(str(size)), bool(plain)) for name, size, plain in rows]
    shares = spread(sizes, streams)
    if not shares:
        return (Archive(DATA),)
    apart = [(f"--table={name}" for name in share) for share in shares]
    rest = tuple(f"--exclude-table-data={name}" for share in shares for name in share)
    data = [(*flags,) for flags in apart] + [rest]
    return (
        Archive(PREDATA, ("--section=pre-data",)),
        *(Archive(f"data-{number}.pgcustom", ("--section=data", *flags)) for number, flags in enumerate(data, 1)),
        Archive(POSTDATA, ("--section=post-data",)),
    )


def spread(sizes: Sequence[tuple[str, int, bool]], streams: int) -> list[list[str]]:
    """The tables of all streams but the last, none of them empty; `sizes` are (name, bytes, may be named), largest
    first. Each goes where there is least so far. Pure.
    """
    named = [row for row in sizes if row[2]][:_NAMED]
    chosen = {name for name, _, _ in named}
    shares: list[list[str]] = [[] for _ in range(streams)]
    loads = [0] * (streams - 1) + [sum(size for name, size, _ in sizes if name not in chosen)]
    for name, size, _ in named:
        lightest = loads.index(min(loads))
        shares[lightest].append(name)
        loads[lightest] += size
    return [share for share in shares[:-1] if share]


def number_of(artefacts: Sequence[Archive]) -> int:
    """The archives that hold rows."""
    return max(1, len(artefacts) - 2)
