"""The database that a restore fills: created or found empty, marked while it is loaded, dropped when it is given up.

There is no RENAME DATABASE. The mark is a table; what bears it is no database that anybody relies on, and may be
dropped.
"""

# ruff: noqa: S608 - names are quoted and strings written in hexadecimal (access.quoted, access.text)

from __future__ import annotations

import hashlib

from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, Refused
from drorch.engines.mysql_family.access import Access, quoted, text
from drorch.engines.mysql_family.facts import MARK, DumpFacts
from drorch.engines.mysql_family.failures import unknown_outcome

_FOUND = "found"
_CREATED = "created"


def lock_name(database: str) -> str:
    """The name of the lock of a database; MySQL takes at most 64 characters."""
    return f"drorch restore {hashlib.sha256(database.encode()).hexdigest()[:32]}"


def exists(access: Access) -> tuple[str, str] | None:
    """Character set and collation of the target's database; None when there is none."""
    query = (
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"
        f" WHERE schema_name = {text(access.place.database)}"
    )
    rows = access.ask(query, "restore", database="")
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def make_ready(access: Access, facts: DumpFacts) -> str:
    """Leave an empty, marked database of the target's name; a note, or "".

    What a failed restore left is dropped first. AlreadyExists when the database holds anything else.
    """
    present = exists(access)
    if present is not None and (mark := _mark(access)) is not None:
        clear(access, found=mark == _FOUND)
        present = exists(access)
    note = ""
    if present is None:
        note = _create(access, facts)
    else:
        _check_empty(access)
    _set_mark(access, _CREATED if present is None else _FOUND)
    return note


def is_found(access: Access) -> bool:
    """Whether the marked database was there before the restore."""
    return _mark(access) == _FOUND


def _mark(access: Access) -> str | None:
    query = (
        f"SELECT table_comment FROM information_schema.tables WHERE table_schema = {text(access.place.database)}"
        f" AND table_name = '{MARK}'"
    )
    rows = access.ask(query, "restore", database="")
    return str(rows[0][0]).rpartition(" ")[2] if rows else None


def _set_mark(access: Access, how: str) -> None:
    comment = f"drorch: what a restore loads, may be dropped; the database was {how}"
    access.ask(f"CREATE TABLE {quoted(MARK)} (a INT) COMMENT '{comment}'", "restore")


def _create(access: Access, facts: DumpFacts) -> str:
    name = quoted(access.place.database)
    wanted = f" CHARACTER SET {quoted(facts.charset)} COLLATE {quoted(facts.collation)}" if facts.collation else ""
    try:
        access.ask(f"CREATE DATABASE {name}{wanted}", "restore", database="")
    except DrorchError as error:
        if "1273" not in error.cause and "1115" not in error.cause:  # unknown collation, unknown character set
            if isinstance(error, Refused):
                error.hint = (
                    f"GRANT ALL ON `{access.place.database}`.* TO the user, or create the empty database for it"
                )
            raise
        access.ask(f"CREATE DATABASE {name}", "restore", database="")
        return f"the server does not know the collation {facts.collation}; new tables get its own"
    return ""


def _check_empty(access: Access) -> None:
    schema = text(access.place.database)
    held = access.ask(
        f"SELECT 'table', table_name FROM information_schema.tables WHERE table_schema = {schema}"
        f" UNION ALL SELECT 'routine', routine_name FROM information_schema.routines WHERE routine_schema = {schema}"
        f" UNION ALL SELECT 'event', event_name FROM information_schema.events WHERE event_schema = {schema} LIMIT 6",
        "restore",
        database="",
    )
    if held:
        names = ", ".join(f"{kind} {name}" for kind, name in held[:5])
        raise AlreadyExists(
            "the target is not empty",
            operation="restore",
            resource=access.place.shown,
            cause=f"it holds {names}{' and more' if len(held) > 5 else ''}",
            hint="name a database that does not exist (it is created), or move the present one away first",
        )


def clear(access: Access, *, found: bool) -> None:
    """Drop the database that is ours; one that was found there is made again, empty."""
    before = exists(access)
    if before is None:
        return
    name = quoted(access.place.database)
    access.ask(f"DROP DATABASE {name}", "restore", database="")
    if found:
        charset, collation = before
        again = f"CREATE DATABASE {name} CHARACTER SET {quoted(charset)} COLLATE {quoted(collation)}"
        access.ask(again, "restore", database="")


def make_real(access: Access) -> None:
    """Take the mark away: from now on the database is nobody's to drop."""
    try:
        access.ask(f"DROP TABLE {quoted(MARK)}", "restore")
    except NotFound as error:
        raise Refused("the database was dropped while it was loaded", operation="restore", cause=error.cause) from error
    except DrorchError as error:
        hint = f"the data are loaded: look whether the table {MARK} is there, and drop it by hand"
        raise unknown_outcome(error, hint) from error
