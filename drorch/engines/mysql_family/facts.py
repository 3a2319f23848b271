"""What the manifest says about a dumped database: whatever a restore must know, without a secret or a table's name."""

# ruff: noqa: S608 - strings are written in hexadecimal (access.text)

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from drorch.domain.errors import Refused, Unavailable
from drorch.engines.mysql_family.access import Access, text
from drorch.engines.mysql_family.handshake import series
from drorch.engines.mysql_family.privileges import Privileges
from drorch.engines.mysql_family.vendor import Series

MARK = "drorch_unfinished_restore"
"""The table that a database holds while a dump is loaded into it."""

_NEEDED = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
_PLURALS = {"trigger": "triggers", "event": "events"}


@dataclass(frozen=True, slots=True)
class Relations:
    """A database's tables and sequences with their engines and estimated rows, its views, and its code.

    `code` maps (kind, name) of functions, procedures, packages, triggers and events to their definers, `views` names
    to theirs; the kind in small letters.
    """

    tables: Mapping[str, tuple[str, int | None]]
    views: Mapping[str, str]
    code: Mapping[tuple[str, str], str]
    not_transactional: Mapping[str, str]
    versioned: int
    bytes: int


def relations(access: Access) -> Relations:
    """What is there now. Refused when it holds the mark of an unfinished restore."""
    schema = text(access.place.database)
    query = (
        "SELECT table_type, table_name, ifnull(engine, ''), table_rows, ifnull(data_length + index_length, 0)"
        f" FROM information_schema.tables WHERE table_schema = {schema};"
        f"SELECT 'view of', table_name, definer FROM information_schema.views WHERE table_schema = {schema};"
        f"SELECT lower(routine_type), routine_name, definer FROM information_schema.routines"
        f" WHERE routine_schema = {schema};"
        f"SELECT 'trigger', trigger_name, definer FROM information_schema.triggers WHERE trigger_schema = {schema};"
        f"SELECT 'event', event_name, definer FROM information_schema.events WHERE event_schema = {schema}"
    )
    tables: dict[str, tuple[str, int | None]] = {}
    views, code = dict[str, str](), dict[tuple[str, str], str]()
    versioned, size = 0, 0
    for kind, name, *rest in access.ask(query, "dump"):
        if kind in ("VIEW", "SYSTEM VIEW", "view of"):
            views[str(name)] = str(rest[0] or "")
            continue
        if len(rest) == 1:
            code[str(kind), str(name)] = str(rest[0] or "")
            continue
        engine, rows, length = rest
        tables[str(name)] = (str(engine) if kind != "SEQUENCE" else kind, int(rows) if rows is not None else None)
        versioned += kind == "SYSTEM VERSIONED"
        size += int(length or 0)
    if MARK in tables:
        raise Refused("this database is what an unfinished restore left", operation="dump", resource=access.place.shown)
    return Relations(tables, views, code, _not_transactional(access, tables), versioned, size)


def _not_transactional(access: Access, tables: Mapping[str, tuple[str, int | None]]) -> dict[str, str]:
    """Tables whose engine has no transactions by the server's own word: a snapshot does not cover them."""
    rows = access.ask("SELECT engine FROM information_schema.engines WHERE transactions = 'YES'", "dump")
    good = {str(row[0]).lower() for row in rows} | {"sequence"}
    return {name: engine for name, (engine, _) in sorted(tables.items()) if engine and engine.lower() not in good}


def check_readable(access: Access) -> None:
    """Refused when the user may not read everything: both dump programs leave out silently what they do not see."""
    grants = Privileges.read(str(row[0]) for row in access.ask("SHOW GRANTS", "dump", database=""))
    lacking = [word for word in _NEEDED if not grants.has(word, access.place.database)]
    hidden = grants.by_roles and not access.vendor.shows_roles
    if lacking and not hidden:
        raise Refused(
            f"this user lacks {', '.join(lacking)} on the database",
            operation="dump",
            resource=access.place.shown,
            hint=f"GRANT {', '.join(_NEEDED)} ON `{access.place.database}`.* TO the user; what it does not see would "
            "be missing",
        )
    if not (hidden or _sees_routines(access, grants)):
        raise Refused(
            "this user does not see the routines of others",
            operation="dump",
            resource=access.place.shown,
            hint=f"GRANT {access.vendor.routine_grant} TO the user; what it does not see would be missing",
        )


def _sees_routines(access: Access, grants: Privileges) -> bool:
    """By a privilege, or because the table that holds them is open to it (MySQL before 8, MariaDB)."""
    if grants.has("SELECT") or grants.has(access.vendor.every_routine, access.place.database):
        return True
    try:
        access.ask("SELECT 1 FROM mysql.proc LIMIT 0", "dump", database="")
    except (Refused, Unavailable):  # no such table (MySQL 8), or no privilege
        return False
    return True


def database_facts(access: Access, found: Relations) -> dict[str, object]:
    """Everything but the client's part. JSON-able, no floats."""
    ((charset, collation, lower_case, comment),) = access.ask(
        "SELECT default_character_set_name, default_collation_name, @@lower_case_table_names, @@version_comment"
        f" FROM information_schema.schemata WHERE schema_name = {text(access.place.database)}",
        "dump",
    )
    counts = Counter(_PLURALS.get(kind, "routines") for kind, _ in found.code)
    return {
        "engine": access.vendor.kind,
        "server_version": access.greeting.version,
        "server_comment": str(comment),
        "charset": str(charset),
        "collation": str(collation),
        "lower_case_table_names": int(str(lower_case)),
        "definers": sorted({who for who in (*found.code.values(), *found.views.values()) if who}),
        **{kind: counts[kind] for kind in ("events", "routines", "triggers")},
        "views": len(found.views),
        "not_transactional": dict(Counter(found.not_transactional.values())),
        "system_versioned": found.versioned,
        "roles_without_password": [],
    }


@dataclass(frozen=True, slots=True)
class DumpFacts:
    """A manifest's facts as a restore reads them."""

    server_version: str
    server_series: Series
    client_version: str
    client_series: Series
    charset: str
    collation: str
    definers: tuple[str, ...]
    events: int
    not_transactional: Mapping[str, int]
    system_versioned: int
    lower_case: int
    accounts: bool

    @classmethod
    def read(cls, facts: Mapping[str, object], kind: str) -> DumpFacts:
        """Refused when they are not those of a dump of `kind`. Keys that only help may be missing."""
        if facts.get("engine") != kind:
            raise Refused(f"this is a dump of {facts.get('engine')!r}, not of {kind}", operation="restore")
        try:
            return cls(
                server_version=str(facts["server_version"]),
                server_series=series(str(facts["server_version"])),
                client_version=str(facts["client_version"]),
                client_series=series(str(facts["client_version"])),
                charset=str(facts.get("charset", "")),
                collation=str(facts.get("collation", "")),
                definers=tuple(str(value) for value in cast("list[object]", facts.get("definers", []))),
                events=int(str(facts.get("events", 0))),
                not_transactional=dict(cast("dict[str, int]", facts.get("not_transactional", {}))),
                system_versioned=int(str(facts.get("system_versioned", 0))),
                lower_case=int(str(facts.get("lower_case_table_names", 0))),
                accounts=bool(facts.get("accounts_dumped", False)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused("the dump's facts cannot be read", operation="restore", cause=repr(error)) from error
