"""Roles from a dump of the globals: missing ones are created, existing ones are never altered.

The script is data here: only CREATE ROLE, ALTER ROLE and GRANT of memberships are taken from it, each for roles that
this restore creates. Everything else (tablespaces, parameters, meta-commands) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg

from drorch.engines.postgres.connection import Session, translated
from drorch.engines.postgres.statements import Statement, joined, name_of, statements

_GIVEN_BY_SUPERUSERS = frozenset(
    {"SUPERUSER", "NOSUPERUSER", "REPLICATION", "NOREPLICATION", "BYPASSRLS", "NOBYPASSRLS"}
)
"""Attributes that a role without superuser may not even mention (before PostgreSQL 16)."""

_GIVEN_BY_OWNERS = _GIVEN_BY_SUPERUSERS | {"CREATEDB", "NOCREATEDB", "CREATEROLE", "NOCREATEROLE"}
"""Attributes that since PostgreSQL 16 only a role that has them may mention."""


@dataclass
class RolesReport:
    """What became of the roles of a dump."""

    created: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def existing_roles(session: Session) -> frozenset[str]:
    """The names of all roles of the server."""
    with translated("restore", "roles"):
        return frozenset(str(row[0]) for row in session.execute("SELECT rolname::text FROM pg_catalog.pg_roles"))


def create_missing(session: Session, script: str) -> RolesReport:
    """Create the roles of `script` that the server lacks, all in one transaction.

    What the session's role may not grant is left out and noted. Refused when it may not create roles at all.
    """
    report = RolesReport()
    before = existing_roles(session)
    with translated("restore", "roles"), session.transaction():
        for statement in statements(script):
            _apply(session, statement, before, report)
    return report


def _apply(session: Session, statement: Statement, before: Iterable[str], report: RolesReport) -> None:
    tokens, words = statement.tokens, statement.words
    if words[:2] == ("CREATE", "ROLE") and len(tokens) == 3:
        name = name_of(tokens[2])
        if name in before:
            report.present.append(name)
        else:
            session.execute(statement.text.encode())
            report.created.append(name)
    elif words[:2] == ("ALTER", "ROLE") and len(tokens) > 3 and name_of(tokens[2]) in report.created:
        _alter(session, statement, report)
    elif words[:1] == ("GRANT",) and len(tokens) > 3 and words[2] == "TO" and name_of(tokens[3]) in report.created:
        _join(session, statement, report)


def _alter(session: Session, statement: Statement, report: RolesReport) -> None:
    name = name_of(statement.tokens[2])
    failed = tried(session, statement.text.encode())
    if failed is None:
        return
    for beyond in (_GIVEN_BY_SUPERUSERS, _GIVEN_BY_OWNERS):
        fewer = [token for token in statement.tokens if token.upper() not in beyond]
        if len(fewer) < len(statement.tokens) and tried(session, joined(fewer).encode()) is None:
            lost = [word for word in statement.words if word in beyond and not word.startswith("NO")]
            if lost:
                report.notes.append(f"role {name} was created without {', '.join(lost)}: this role may not give that")
            return
    report.notes.append(f"a setting of role {name} was left out: {failed}")


def _join(session: Session, statement: Statement, report: RolesReport) -> None:
    """``GRANT role TO member [WITH ...] [GRANTED BY grantor]``; the grantor of old may not exist here."""
    words = statement.words
    cut = words.index("GRANTED") if "GRANTED" in words[4:] else len(words)
    failed = tried(session, joined(statement.tokens[:cut]).encode())
    if failed is not None:
        role, member = name_of(statement.tokens[1]), name_of(statement.tokens[3])
        report.notes.append(f"role {member} was not made a member of {role}: {failed}")


def tried(session: Session, query: bytes) -> str | None:
    """Run a statement in a savepoint; None, or why it failed. The statement may hold a password: it is not repeated."""
    try:
        with session.transaction():
            session.execute(query)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return error.diag.message_primary or type(error).__name__
    return None
