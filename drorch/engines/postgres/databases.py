"""Databases on a target server: the temporary one that a restore fills, its mark, its locale, its removal.

The mark is the database's comment. Only a database that bears it, or that is empty, is ever replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
from psycopg import sql

from drorch.domain.errors import AlreadyExists, Busy, DrorchError, NotFound, Refused
from drorch.engines.postgres.catalog import user_objects
from drorch.engines.postgres.clients import major
from drorch.engines.postgres.connection import (
    Session,
    close,
    connect,
    run,
    translate,
    translated,
    unknown_outcome,
    version,
)
from drorch.engines.postgres.facts import DumpFacts
from drorch.engines.postgres.place import Place

SUFFIX = ".drorch-restore"
_NAME_BYTES = 63
"""The longest name, NAMEDATALEN - 1."""

QUIET = {
    "search_path": "pg_catalog",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "row_security": "off",
}


def temporary_name(database: str) -> str:
    """The name under which `database` is loaded, cut to what PostgreSQL allows."""
    room = _NAME_BYTES - len(SUFFIX.encode())
    return database.encode()[:room].decode("utf-8", "ignore") + SUFFIX


def mark_of(database: str) -> str:
    """The comment that a database bears while it is loaded in place of `database`."""
    return f"drorch: unfinished restore into {database!r}, may be dropped"


def keeper(place: Place) -> Session:
    """A session with the server's maintenance database, or with the target itself where that is closed to us."""
    failed: DrorchError | None = None
    for database in dict.fromkeys(("postgres", "template1", place.database)):
        try:
            return connect(place.at(database), "restore", QUIET)
        except NotFound as error:
            failed = failed or error
        except Refused as error:
            if "permission denied for database" not in error.cause and "not currently accepting" not in error.cause:
                raise
            failed = failed or error
    raise failed or Refused("no database of the server lets us in", operation="restore", resource=place.shown)


def unlock(session: Session) -> None:
    """Let the lock go now: the server notices a closed connection only a moment later, and the same command may be
    typed again before that.
    """
    with suppress(psycopg.Error):
        session.execute("SELECT pg_advisory_unlock_all()")


def lock(session: Session, database: str) -> None:
    """Keep a second restore into the same database out while the session lives. Busy when there is one."""
    with translated("restore", database):
        row = session.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('drorch restore ' || %s, 0))", (database,)
        ).fetchone()
    if row != (True,):
        raise Busy("another restore into this database is running", operation="restore", resource=database)


def exists(session: Session, database: str) -> bool:
    """Whether the server has a database of this name."""
    with translated("restore", database):
        return session.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is not None


def create(session: Session, place: Place, facts: DumpFacts) -> tuple[str, str]:
    """Create the temporary, marked database; its name, and a note when the source's locale is not to be had here.

    What an earlier restore left under that name is replaced. Refused when the role may not create databases.
    """
    name = temporary_name(place.database)
    if exists(session, name):
        _check_remains(session, place, name)
        drop(session, name)
    note = _create(session, name, facts)
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), mark_of(place.database))
    with translated("restore", name):
        session.execute(statement)
    return name, note


def _check_remains(session: Session, place: Place, name: str) -> None:
    with translated("restore", name):
        row = session.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (name,)
        ).fetchone()
    if row is None or row[0] == mark_of(place.database):
        return
    inside = connect(place.at(name), "restore", QUIET)
    try:
        with translated("restore", name):
            held = user_objects(inside)
    finally:
        close(inside)
    if held:  # an empty one without mark: killed between creating and marking it
        raise AlreadyExists(
            "the name under which the dump would be loaded is taken by a database that drorch did not make",
            operation="restore",
            resource=name,
            hint="rename or drop that database, or restore into another name",
        )


def _create(session: Session, name: str, facts: DumpFacts) -> str:
    failed: psycopg.Error | None = None
    for place, clause in enumerate(_locales(facts, major(version(session)[0]))):
        try:
            session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(name), clause))
        except psycopg.errors.InsufficientPrivilege as error:
            raise Refused(
                "the role may not create databases",
                operation="restore",
                resource=name,
                cause=error.diag.message_primary or "",
                hint="ALTER ROLE ... CREATEDB, or create an empty database of the target's name for it",
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise translate(error, "restore", name) from error
        except psycopg.Error as error:
            failed = failed or error
        else:
            reason = failed.diag.message_primary if failed else ""
            return f"the source's locale is not available here ({reason}); sort orders may differ" if place else ""
    raise translate(failed or psycopg.ProgrammingError("no locale to create it with"), "restore", name)


def _locales(facts: DumpFacts, target_major: int) -> Iterator[sql.Composable]:
    """What to try in turn: as at the source; the server's own locale; no locale at all."""
    found = {"encoding": "UTF8", "collate": "", "ctype": "", "provider": "c", "locale": "", "rules": ""} | dict(
        facts.locale
    )
    encoding = sql.SQL("ENCODING {}").format(found["encoding"])
    clause = [encoding]
    for key, word in (("collate", "LC_COLLATE"), ("ctype", "LC_CTYPE")):
        if found[key]:
            clause.append(sql.SQL(word + " {}").format(found[key]))
    provider = {"i": "icu", "b": "builtin"}.get(found["provider"])
    if provider and target_major >= 15:
        clause.append(
            sql.SQL("LOCALE_PROVIDER {} {}_LOCALE {}").format(
                sql.SQL(provider), sql.SQL(provider.upper()), found["locale"]
            )
        )
        if found["rules"] and target_major >= 16:
            clause.append(sql.SQL("ICU_RULES {}").format(found["rules"]))
    yield sql.SQL(" ").join(clause)
    yield encoding
    yield sql.SQL("{} LC_COLLATE 'C' LC_CTYPE 'C'").format(encoding)


def drop(session: Session, name: str) -> None:
    """Drop a database that is ours, ending the sessions that a killed restore left in it."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    # A session of somebody else may not be ended: the DROP waits five seconds for it and then says so.
    with translated("restore", name), suppress(psycopg.errors.InsufficientPrivilege):
        session.execute(query, (name,))
    run(session, "DROP DATABASE IF EXISTS {}", name, operation="restore", resource=name)


_LEFT = "drorch: restored "


def make_real(session: Session, temporary: str, database: str, left: str = "") -> None:
    """Give the loaded database its name; `left` (see `left_mark`) takes the place of its mark, in the same transaction.

    Refused when the name was taken meanwhile.
    """
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(temporary), sql.Identifier(database))
    try:
        with translated("restore", database), session.transaction():
            session.execute(rename)
            session.execute(_comment(database, left))
    except Refused as error:
        if exists(session, database):
            raise AlreadyExists(
                "a database of the target's name appeared while the dump was loaded",
                operation="restore",
                resource=database,
                hint="nothing was overwritten; rename that database and restore again",
            ) from error
        raise
    except DrorchError as error:
        raise unknown_outcome(error, f"look whether the database {database!r} is there before trying again") from error


def _comment(database: str, left: str) -> sql.Composed:
    text = sql.Literal(_LEFT + left) if left else sql.SQL("NULL")
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), text)


def leave_mark(session: Session, database: str, left: str) -> None:
    """Say in the comment of a database that was there what was restored into it. Refused when it has another's."""
    found = _comment_of(session, database)
    if found and not found.startswith(_LEFT):
        raise Refused("the database has a comment already", operation="restore", resource=database)
    with translated("restore", database):
        session.execute(_comment(database, left))


def left_mark(session: Session, database: str) -> str:
    """What a restore left in the comment of a database; "" where there is none of either."""
    found = _comment_of(session, database)
    return found.removeprefix(_LEFT) if found.startswith(_LEFT) else ""


def _comment_of(session: Session, database: str) -> str:
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    with translated("restore", database):
        row = session.execute(query, (database,)).fetchone()
    return str(row[0]) if row and row[0] else ""
