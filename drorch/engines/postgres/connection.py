"""Sessions with a server through psycopg, and the one place where its errors become ours."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg
from psycopg import sql

from drorch.domain.errors import Busy, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.engines.postgres.place import Place

Session = psycopg.Connection[tuple[object, ...]]

_BUSY = frozenset({"55P03", "53300", "55006"})
"""lock_not_available, too_many_connections, object_in_use (PostgreSQL, appendix A)."""

_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
"""Classes of errors that may go away: connection, rollback, resources, intervention, system."""

# A failed connection has no SQLSTATE in libpq: only the text tells. First match wins; anything else is Unavailable.
_CONNECT: tuple[tuple[str, type[DrorchError], str], ...] = (
    ("password authentication failed", Refused, "check the user and the password"),
    ("no password supplied", Refused, "give a password: PGPASSWORD, a passfile (PGPASSFILE) or --into-password-file"),
    ("peer authentication failed", Refused, "the user must be the one drorch runs as, or use a password"),
    ("no pg_hba.conf entry", Refused, "the server's pg_hba.conf does not admit this user from this host in this way"),
    ("certificate verify failed", Refused, "name the server's certificate bundle: `ca:` (sslrootcert in a URL)"),
    ("root certificate file", Refused, "name the server's certificate bundle: `ca:` (sslrootcert in a URL)"),
    ("does not match host name", Refused, "`host:` must be the name in the server's certificate"),
    ("server certificate for", Refused, "`host:` must be the name in the server's certificate"),
    ("does not support SSL", Refused, "the server has no TLS: enable it, or say `tls: off` (sslmode=disable)"),
    ("too many clients", Busy, "the server has no free connection"),
    ("too many connections", Busy, "the server has no free connection"),
    ("remaining connection slots", Busy, "the server has no free connection"),
)

_NO_PASSWORD = {"dump": "name the password in the policy: `connection: password: {credential: NAME}`"}
"""Where a missing password belongs, by operation, if not where a restore takes it from."""


@contextmanager
def translated(operation: str, resource: str) -> Iterator[None]:
    """Turns every psycopg error of the block into one of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, operation, resource) from error
    except UnicodeDecodeError as error:
        # Names of roles and databases are stored as bytes of whatever encoding their creator's database had.
        message = "a name on the server cannot be read as UTF-8"
        raise Refused(message, operation=operation, resource=resource, cause=repr(error.object)[:200]) from error


def translate(error: psycopg.Error, operation: str, resource: str) -> DrorchError:
    """The error of ours for one of psycopg's: by its SQLSTATE, else by what kind it is."""
    cause = error.diag.message_primary or str(error).strip() or type(error).__name__
    where = {"operation": operation, "resource": resource, "cause": cause}
    state = error.sqlstate
    if state in _BUSY:
        return Busy("the database is busy", **where)
    if state == "3D000":
        return NotFound("there is no such database", **where)
    if state == "42501":
        return Refused("the role lacks a privilege", **where)
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable("the connection to the database was lost", **where)
    if state is not None and state[:2] in _PASSING_CLASSES:
        return Unavailable("the database did not answer", **where)
    return Refused("the database refused", **where)


def connect(place: Place, operation: str, settings: Mapping[str, str] | None = None) -> Session:
    """An autocommitting session. `settings` are set at once; a server that does not know one of them is older: ignored.

    Raises NotFound for an unknown database, Refused for a wrong password, role or certificate, Busy when all
    connections are taken, Unavailable when nobody answers.
    """
    try:
        session = psycopg.connect(
            **place.parameters(),  # type: ignore[arg-type]
            password=place.password,
            client_encoding="UTF8",
            autocommit=True,
        )
    except psycopg.Error as error:
        raise _connect_error(error, place, operation) from error
    try:
        for name, value in {"timezone": "UTC", **(settings or {})}.items():
            with suppress(psycopg.errors.UndefinedObject):
                session.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))
    except psycopg.Error as error:
        session.close()
        raise translate(error, operation, place.shown) from error
    return session


def _connect_error(error: psycopg.Error, place: Place, operation: str) -> DrorchError:
    cause = " ".join(str(error).split())
    if place.password:
        cause = cause.replace(place.password, "***")
    where = {"operation": operation, "resource": place.shown, "cause": cause}
    if f'database "{place.database}" does not exist' in cause or error.sqlstate == "3D000":
        return NotFound("there is no such database", **where)
    if "role " in cause and "does not exist" in cause:
        return Refused("the role does not exist", **where)
    for sign, kind, hint in _CONNECT:
        if sign in cause:
            hint = _NO_PASSWORD.get(operation, hint) if sign == "no password supplied" else hint
            return kind("the database did not let us in", hint=hint, **where)
    if isinstance(error, psycopg.ProgrammingError):
        return Refused("the connection's settings are wrong", **where)
    return Unavailable("the database cannot be reached", **where)


def run(session: Session, statement: str, *names: str, operation: str, resource: str) -> None:
    """One statement without a result, its ``{}`` filled by quoted identifiers."""
    with translated(operation, resource):
        session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def close(session: Session | None) -> None:
    """Close without complaint: what matters has been committed before."""
    if session is not None:
        with suppress(psycopg.Error):
            session.close()


@contextmanager
def within(session: Session, limit: timedelta) -> Iterator[None]:
    """Cut the session off when the block takes longer than `limit`: what it waits for then fails as a lost connection.

    For what must come to an end though a network swallows everything and still says that all was received.
    """
    try:
        line = socket.socket(fileno=os.dup(session.fileno()))
    except (psycopg.Error, OSError):  # it is lost already
        yield
        return

    def cut() -> None:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit.total_seconds(), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()


def version(session: Session) -> tuple[int, str]:
    """``server_version_num`` and ``server_version``."""
    info = session.info
    return info.server_version, info.parameter_status("server_version") or str(info.server_version)


def milliseconds(span: timedelta) -> str:
    """A setting's value for a time span."""
    return str(int(span.total_seconds() * 1000))


def unknown_outcome(error: DrorchError, hint: str) -> DrorchError:
    """A lost connection after a statement that changes things: it may have been carried out."""
    if not isinstance(error, Unavailable) or isinstance(error, Busy):
        return error
    return OutcomeUnknown(
        error.message, operation=error.operation, resource=error.resource, cause=error.cause, hint=hint
    )
