"""What the manifest says about a dumped database: whatever a restore must know, without any secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import psycopg

from drorch.domain.errors import Refused
from drorch.engines.postgres import catalog
from drorch.engines.postgres.clients import major
from drorch.engines.postgres.connection import Session, version
from drorch.engines.postgres.options import MOST_STREAMS

_DATABASE = """
SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text,
  coalesce(to_jsonb(b) ->> 'datlocprovider', 'c'),
  coalesce(to_jsonb(b) ->> 'datlocale', to_jsonb(b) ->> 'daticulocale', ''), coalesce(to_jsonb(b) ->> 'daticurules', '')
FROM pg_catalog.pg_database b WHERE datname = current_database()"""

_ROLE = """
SELECT rolsuper, rolbypassrls, has_table_privilege('pg_catalog.pg_authid', 'SELECT')
FROM pg_catalog.pg_roles WHERE rolname = current_user"""

_LOGINS = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolcanlogin AND rolname !~ '^pg_' ORDER BY 1"


def system_identifier(session: Session) -> str:
    """The cluster's identifier, "" where the role may not ask. Call it outside a transaction."""
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
        row = session.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()").fetchone()
        return str(row[0]) if row else ""
    return ""


def check_readable(session: Session, resource: str) -> None:
    """Refused, with the tables' names, when the role cannot read everything: a dump would fail or be short."""
    hidden = catalog.row_secured(session)
    if hidden:
        raise Refused(
            f"row-level security hides rows of {_listed(hidden)} from this role",
            operation="dump",
            resource=resource,
            hint="ALTER ROLE ... BYPASSRLS, or connect as a role that owns the tables and is not forced",
        )
    denied = catalog.unreadable(session)
    if denied:
        raise Refused(
            f"this role may not read {_listed(denied)}",
            operation="dump",
            resource=resource,
            hint="GRANT pg_read_all_data to the role (PostgreSQL 14 or newer), or USAGE on the schemas and SELECT on "
            "all tables and sequences",
        )
    closed = catalog.unreadable_large_objects(session)
    if closed:
        raise Refused(
            f"this role may not read large objects {_listed(closed)}",
            operation="dump",
            resource=resource,
            hint=f"GRANT SELECT ON LARGE OBJECT {closed[0]} TO the role (pg_read_all_data does not cover them), or "
            "make it a member of the owner's role",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def database_facts(session: Session) -> dict[str, object]:
    """Everything but the client's part, read in the caller's transaction. JSON-able, no floats."""
    number, text = version(session)
    base = session.execute(_DATABASE).fetchone()
    role = session.execute(_ROLE).fetchone()
    if base is None or role is None:  # dropped between connecting and asking
        raise Refused("the database is gone", operation="dump")
    owner, encoding, collate, ctype, provider, locale, rules = map(str, base)
    superuser, bypass, verifiers = role
    extensions = catalog.extensions(session)
    logins = [str(row[0]) for row in session.execute(_LOGINS)]
    return {
        "engine": "postgres",
        "server_version": text,
        "server_version_num": number,
        "owner": owner,
        "locale": {
            "encoding": encoding,
            "collate": collate,
            "ctype": ctype,
            "provider": provider,
            "locale": locale,
            "rules": rules,
        },
        "extensions": extensions,
        "not_dumped": sorted(name for entry in extensions for name in cast("list[str]", entry["hidden"])),
        "owners": catalog.owners(session),
        "grantees": catalog.grantees(session),
        "tablespaces": catalog.tablespaces(session),
        "is_superuser": bool(superuser),
        "bypassrls": bool(bypass),
        "role_passwords": bool(verifiers),
        "roles_without_password": [] if verifiers else logins,
    }


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension of a dumped database; `tables` are (schema, name) of those whose rows are in the dump."""

    name: str
    schema: str
    tables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DumpFacts:
    """A manifest's facts as a restore reads them. `schemas` are those that alone were dumped; empty for all of them."""

    server_major: int
    server_version: str
    client_major: int
    client_version: str
    locale: Mapping[str, str]
    extensions: tuple[Extension, ...]
    not_dumped: tuple[str, ...]
    owners: frozenset[str]
    grantees: frozenset[str]
    tablespaces: frozenset[str]
    roles_without_password: tuple[str, ...]
    streams: int = 1
    """Archives that hold the rows; with more than one, pre-data and post-data are archives of their own."""
    schemas: tuple[str, ...] = ()

    @classmethod
    def read(cls, facts: Mapping[str, object]) -> DumpFacts:
        """Refused when they are not those of a PostgreSQL dump. Keys that only help may be missing."""
        if facts.get("engine") != "postgres":
            raise Refused(f"this is a dump of {facts.get('engine')!r}, not of postgres", operation="restore")
        try:
            return cls._read(facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused("the dump's facts cannot be read", operation="restore", cause=repr(error)) from error

    @classmethod
    def _read(cls, facts: Mapping[str, object]) -> DumpFacts:
        def texts(key: str) -> tuple[str, ...]:
            return tuple(str(value) for value in cast("list[object]", facts.get(key, [])))

        client = str(facts["client_version"])
        found = cast("list[dict[str, object]]", facts.get("extensions", []))
        return cls(
            server_major=major(int(str(facts["server_version_num"]))),
            server_version=str(facts["server_version"]),
            client_major=int(re.findall(r"\d+", client)[0]) if re.match(r"\d", client) else int(client),
            client_version=client,
            locale={key: str(value) for key, value in cast("dict[str, object]", facts.get("locale", {})).items()},
            extensions=tuple(
                Extension(
                    str(entry["name"]),
                    str(entry["schema"]),
                    tuple((str(schema), str(name)) for schema, name in cast("list[list[str]]", entry["tables"])),
                )
                for entry in found
            ),
            not_dumped=texts("not_dumped"),
            owners=frozenset(texts("owners")),
            grantees=frozenset(texts("grantees")),
            tablespaces=frozenset(texts("tablespaces")),
            roles_without_password=texts("roles_without_password"),
            streams=_streams(facts.get("streams", 1)),
            schemas=tuple(
                str(name) for name in cast("dict[str, list[str]]", facts.get("filters", {})).get("schemas", [])
            ),
        )


def _streams(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= MOST_STREAMS:
        raise ValueError(f"streams: {value!r}")
    return value
