"""Scratch places for drills: a private server of our own, or a database of a passing name on a given server."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import psycopg
from psycopg import sql

from drorch.domain.errors import DrorchError
from drorch.engines.postgres import databases
from drorch.engines.postgres.clients import choose_client, find_clients, server_needed
from drorch.engines.postgres.connection import Session, close, connect, translated
from drorch.engines.postgres.facts import DumpFacts, Extension
from drorch.engines.postgres.fit import Fit, examine
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.restore import PostgresTarget
from drorch.engines.postgres.roles import create_missing
from drorch.engines.postgres.server import SUPERUSER, PrivateServer

LOADER = "drorch_restore"
"""The role that loads in a private server. No superuser, since a dump runs code; it sees all rows when it counts."""

DRILL = "drorch-drill-"


class PrivateScratch(PostgresTarget):
    """A throw-away server, started by `prepare` in the version that the dump needs."""

    def __init__(self, tools: Sequence[Path], folder: Path) -> None:
        place = Place(host=str(folder / "s"), port=5432, database="drill", user=LOADER, sslmode="disable")
        super().__init__(place, tools, with_globals=True)
        self._folder = folder
        self._server: PrivateServer | None = None

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Start the server, then as everywhere. Refused when no server of the dump's version or newer is installed."""
        read = DumpFacts.read(facts)
        needed = server_needed(read.server_major, self._choose_client(read).major)
        servers = find_clients(self._tools, ("postgres", "initdb", "pg_ctl"))
        chosen = choose_client(servers, needed, f"to drill a dump of version {read.server_version}")
        self._server = PrivateServer(chosen.folder, self._folder)
        self._server.start()
        with self._as_superuser("postgres") as session, translated("scratch", "private server"):
            session.execute(f"CREATE ROLE {LOADER} LOGIN CREATEDB BYPASSRLS")
        super().prepare(facts)

    def close(self) -> None:
        """Stop and remove everything."""
        self.abandon()
        if self._server is not None:
            self._server.stop()

    @contextmanager
    def _as_superuser(self, database: str) -> Iterator[Session]:
        place = self._place.at(database)
        session = connect(
            Place(host=place.host, port=place.port, database=database, user=SUPERUSER, sslmode="disable"),
            "scratch",
            databases.QUIET,
        )
        try:
            yield session
        finally:
            close(session)

    def _load_globals(self, text: str) -> tuple[str, ...]:
        with self._as_superuser("postgres") as session:
            return tuple(create_missing(session, text).notes)

    def _fit(self, session: Session, facts: DumpFacts) -> Fit:
        """Extensions that need a superuser are made by one beforehand; whose the roles are says nothing in a drill."""
        fit = examine(session, facts)
        denied = [one for one in facts.extensions if one.name in fit.rules.extensions_left_out or one.tables]
        made = []
        with self._as_superuser(self._database) as admin:
            for extension in denied:
                made += [extension.name] if _make_extension(admin, extension) else []
        fit = examine(session, facts)
        fit.role_notes = []
        if made:
            fit.notes.append(f"extensions made by the scratch server's superuser: {', '.join(made)}")
        return fit


def _make_extension(admin: Session, extension: Extension) -> bool:
    """Whether it is there now, its configuration tables open to the loading role."""
    schema, name = sql.Identifier(extension.schema), sql.Identifier(extension.name)
    loader = sql.Identifier(LOADER)
    with suppress(psycopg.errors.DuplicateSchema):
        admin.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, loader))
    try:
        admin.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE").format(name, schema))
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return False
    for table in extension.tables:  # an older version of the extension may not have them
        with suppress(psycopg.ProgrammingError):
            admin.execute(sql.SQL("GRANT ALL ON {} TO {}").format(sql.Identifier(*table), loader))
            admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(table[0]), loader))
    return True


class GivenScratch(PostgresTarget):
    """A database of a passing name on a server that the host configuration names."""

    def _fit(self, session: Session, facts: DumpFacts) -> Fit:
        fit = examine(session, facts)
        fit.role_notes = ["the drill loads as a superuser; a dump runs code"] if fit.rules.superuser else []
        return fit

    def discard(self) -> None:
        """Drop the database, whether it was completed or not."""
        self.abandon()
        with suppress(DrorchError):
            session = databases.keeper(self._place)
            try:
                databases.drop(session, self._place.database)
            finally:
                close(session)


@contextmanager
def private(tools: Sequence[Path], runtime: Path | None) -> Iterator[PrivateScratch]:
    """A private server below `runtime` (the system's temporary folder by default), removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="drorch-pg-", dir=runtime or passable_parent()))
    target = PrivateScratch(tools, folder)
    try:
        yield target
    finally:
        target.close()
        shutil.rmtree(folder, ignore_errors=True)


def passable_parent() -> Path:
    """The system's temporary folder, unless the server's own uid could not pass through it.

    Root's may be closed to everybody else (libpam-tmpdir), and PostgreSQL never runs as root.
    """
    first = Path(tempfile.gettempdir()).resolve()
    for parent in (first, Path("/tmp"), Path("/var/tmp")):  # noqa: S108  the folder made in it is ours alone
        passable = parent.is_dir() and all(place.stat().st_mode & stat.S_IXOTH for place in (parent, *parent.parents))
        if passable or os.geteuid() != 0:
            return parent
    return first


@contextmanager
def given(place: Place, tools: Sequence[Path]) -> Iterator[GivenScratch]:
    """A new database on the server of `place`; what killed drills left there is dropped first."""
    _sweep(place)
    target = GivenScratch(place.at(DRILL + secrets.token_hex(6)), tools, with_globals=False)
    try:
        yield target
    finally:
        target.discard()


def _sweep(place: Place) -> None:
    """Drop drill databases of which no living session holds the lock."""
    query = (
        "SELECT datname::text FROM pg_database WHERE left(datname, length(%s)) = %s AND pg_get_userbyid(datdba) = user"
    )
    session = databases.keeper(place)
    try:
        with translated("scratch", place.shown):
            names = [cast("str", row[0]) for row in session.execute(query, (DRILL, DRILL))]
        for name in names:
            with suppress(DrorchError):
                databases.lock(session, name.removesuffix(databases.SUFFIX))
                databases.drop(session, name)
    finally:
        close(session)
