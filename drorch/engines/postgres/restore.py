"""A PostgreSQL database that a dump is loaded into: nothing that exists is overwritten, nothing half-loaded is real."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

import psycopg

from drorch.domain.errors import AlreadyExists, DrorchError, Refused
from drorch.engines.postgres import databases
from drorch.engines.postgres.afterwards import run_afterwards
from drorch.engines.postgres.archive import Arrangement, script
from drorch.engines.postgres.catalog import user_objects
from drorch.engines.postgres.clients import Client, choose_client, find_clients, major, server_needed
from drorch.engines.postgres.connection import Session, close, connect, run, translated, version, within
from drorch.engines.postgres.counts import count_restored
from drorch.engines.postgres.cut import DATA, POSTDATA, PREDATA
from drorch.engines.postgres.facts import DumpFacts
from drorch.engines.postgres.fit import Fit, examine
from drorch.engines.postgres.loading import DataConsumer, Load, ScriptConsumer
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.probe import ask
from drorch.engines.postgres.roles import create_missing, existing_roles
from drorch.ports import Consumer, Inventory

_GIVING_UP = timedelta(minutes=1)
"""So long may removing what was loaded take when nobody answers."""

GLOBALS = "globals.sql"


class PostgresTarget:
    """The `RestoreTarget` of PostgreSQL.

    An absent database is loaded under a temporary name, statement by statement (one transaction over a whole database
    needs a lock for every object in it), and renamed at the end. An empty one that exists is loaded in one transaction.
    Load the globals before the data: whether owners can be kept is decided when the data begin.
    """

    def __init__(self, place: Place, tools: Sequence[Path], *, with_globals: bool) -> None:
        self._place = place
        self._tools = tools
        self._with_globals = with_globals
        self._keeper: Session | None = None
        self._session: Session | None = None
        self._facts: DumpFacts | None = None
        self._client: Client | None = None
        self._temporary = ""
        self._fit_found: Fit | None = None
        self._one_at_a_time = threading.Lock()
        self._archives: set[str] = set()
        self._superuser = False
        self._notes: list[str] = []
        self._versions: dict[str, str] = {}
        self._mark = ""

    def leave(self, mark: str) -> None:
        """See the port: it becomes the comment of the database."""
        self._mark = mark

    def left(self) -> str:
        """See the port."""
        session = databases.keeper(self._place)
        try:
            mark = databases.left_mark(session, self._place.database)
        finally:
            close(session)
        return mark if mark and self._holds_any() else ""

    def _holds_any(self) -> bool:
        session = connect(self._place, "restore", databases.QUIET)
        try:
            with translated("restore", self._place.shown):
                return bool(user_objects(session))
        finally:
            close(session)

    @property
    def versions(self) -> Mapping[str, str]:
        """`pg_restore` and the server (`postgres`), as they say it themselves."""
        return self._versions

    @property
    def _database(self) -> str:
        """The database as it is called now."""
        return self._temporary or self._place.database

    def prepare(self, facts: Mapping[str, object]) -> None:
        """See the port. Busy when another restore into the same database is running."""
        self._facts = DumpFacts.read(facts)
        self._client = self._choose_client(self._facts)
        self._versions["pg_restore"] = self._client.version
        try:
            self._open(self._facts)
        except BaseException:
            self.abandon()
            raise

    def _choose_client(self, facts: DumpFacts) -> Client:
        clients = find_clients(self._tools, ("pg_restore",))
        return choose_client(clients, facts.client_major, f"to read a dump made by pg_dump {facts.client_version}")

    def _open(self, facts: DumpFacts) -> None:
        self._keeper = databases.keeper(self._place)
        # What libpq took from its defaults, PGPASSWORD or a passfile: the programs see none of these.
        info = self._keeper.info
        found = {"host": info.host, "port": info.port, "user": info.user, "password": info.password or None}
        self._place = replace(self._place, **found)  # type: ignore[arg-type]
        self._check_server(self._keeper, facts)
        databases.lock(self._keeper, self._place.database)
        if databases.exists(self._keeper, self._place.database):
            self._session = connect(self._place, "restore", databases.QUIET)
            self._check_empty(self._session)
            self._require_one_archive(facts)
            return
        self._temporary, note = databases.create(self._keeper, self._place, facts)
        self._notes += [note] if note else []
        run(
            self._keeper,
            "ALTER DATABASE {} SET synchronous_commit = off",
            self._temporary,
            operation="restore",
            resource=self._temporary,
        )
        self._session = connect(self._place.at(self._temporary), "restore", databases.QUIET)

    def _check_server(self, session: Session, facts: DumpFacts) -> None:
        number, text = version(session)
        self._versions["postgres"] = text
        needed = server_needed(facts.server_major, cast("Client", self._client).major)
        if major(number) < needed:
            made = f"the dump is of PostgreSQL {facts.server_version}, made by pg_dump {facts.client_version}"
            raise Refused(
                f"the target server is PostgreSQL {text}: too old for this dump",
                operation="restore",
                resource=self._place.shown,
                cause=made,
                hint=f"restore into PostgreSQL {needed} or newer",
            )
        with translated("restore", self._place.shown):
            if session.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                raise Refused("the target server is a replica", operation="restore", resource=self._place.shown)

    def _check_empty(self, session: Session) -> None:
        with translated("restore", self._place.shown):
            held = user_objects(session)
        if held:
            raise AlreadyExists(
                "the target is not empty",
                operation="restore",
                resource=self._place.shown,
                cause=f"it holds {', '.join(held)}{' and more' if len(held) == 5 else ''}",
                hint="name a database that does not exist (it is created), or rename the present one first",
            )

    def _require_one_archive(self, facts: DumpFacts) -> None:
        if facts.streams > 1:
            raise Refused(
                f"a dump of {facts.streams} streams cannot be loaded into a database that exists: it would not be one "
                "transaction",
                operation="restore",
                resource=self._place.shown,
                hint="name a database that does not exist: it is created, and bears its name once all is loaded",
            )

    def load(self, artefact: str) -> Consumer:
        """See the port. Globals are read and left alone unless they were asked for."""
        if self._session is None or self._facts is None or self._client is None:
            raise Refused("the target was not prepared", operation="restore", resource=self._place.shown)
        if artefact == GLOBALS:
            return ScriptConsumer(self._load_globals)
        if artefact not in _expected(self._facts):
            raise Refused("a PostgreSQL dump has no such artefact", operation="restore", resource=artefact)
        fit = self._fit_for(artefact, self._session, self._facts)
        place = self._place.at(self._database)
        program = self._client.program("pg_restore")
        return DataConsumer(Load(program, place, fit, not self._temporary, partial(self._after_data, artefact)))

    def _fit_for(self, artefact: str, session: Session, facts: DumpFacts) -> Fit:
        """Found out for the first archive, when nothing is loaded yet; the others need not repeat its notes."""
        with self._one_at_a_time:
            if artefact in (DATA, PREDATA):
                self._fit_found = self._fit(session, facts)
                self._superuser = self._fit_found.rules.superuser
                return self._fit_found
        if self._fit_found is None or PREDATA not in self._archives:
            raise Refused("the definitions come before the rows", operation="restore", resource=artefact)
        return replace(self._fit_found, notes=[], role_notes=[])

    def _fit(self, session: Session, facts: DumpFacts) -> Fit:
        return examine(session, facts)

    def _load_globals(self, text: str) -> tuple[str, ...]:
        if not self._with_globals:
            return ()
        report = create_missing(cast("Session", self._keeper), text)
        created = f"roles created: {', '.join(report.created) or 'none'}"
        return (created, *report.notes)

    def _after_data(self, artefact: str, head: bytes, arrangement: Arrangement) -> tuple[str, ...]:
        """The entries that pg_restore was not trusted with, and the database's own properties."""
        with self._one_at_a_time:
            notes = self._run_deferred(artefact, head, arrangement)
            self._archives.add(artefact)
        return notes

    def _run_deferred(self, artefact: str, head: bytes, arrangement: Arrangement) -> tuple[str, ...]:
        session, name = cast("Session", self._session), self._database
        if self._temporary and artefact in (DATA, POSTDATA):
            run(session, "ALTER DATABASE {} RESET synchronous_commit", name, operation="restore", resource=name)
        text = script(cast("Client", self._client).program("pg_restore"), head, arrangement.deferred)
        with translated("restore", self._place.shown):
            return tuple(run_afterwards(session, text, name, superuser=self._superuser))

    def inventory(self, expected: Inventory) -> Inventory:
        """See the port."""
        if self._session is None:
            raise Refused("the target was not prepared", operation="restore", resource=self._place.shown)
        return count_restored(self._session, expected)

    def probe(self, sql: str) -> object:
        """The value of one row of one column; Refused for anything else, and for what takes longer than a minute."""
        return ask(self._place.at(self._database), sql)

    def complete(self) -> tuple[str, ...]:
        """See the port. Refused when the data were not loaded."""
        if self._facts is None or self._archives != _expected(self._facts) or self._keeper is None:
            raise Refused("nothing was loaded", operation="restore", resource=self._place.shown)
        close(self._session)
        self._session = None
        if self._temporary:
            databases.make_real(self._keeper, self._temporary, self._place.database, self._mark)
            self._temporary = ""
        elif self._mark:
            self._notes += self._leave_mark(self._keeper)
        self._archives = set()
        # The database is real now: whatever still fails is a note.
        notes = [*self._notes, *self._analyse(), *self._password_notes()]
        if self._keeper is not None:
            databases.unlock(self._keeper)
        close(self._keeper)
        self._keeper = None
        return tuple(notes)

    def _leave_mark(self, keeper: Session) -> list[str]:
        try:
            databases.leave_mark(keeper, self._place.database, self._mark)
        except DrorchError as error:
            why = error.cause or error.message
            return [f"what was restored could not be noted at the database ({why}): a runbook would not know it again"]
        return []

    def _analyse(self) -> list[str]:
        notes = []
        facts, name = cast("DumpFacts", self._facts), self._place.database
        if facts.not_dumped:
            notes.append(f"rows that the dumping role could not see are not in the dump: {', '.join(facts.not_dumped)}")
        try:
            session = connect(self._place, "restore", databases.QUIET)
            try:
                run(session, "ANALYZE", operation="restore", resource=name)
            finally:
                close(session)
        except DrorchError as error:
            notes.append(f"ANALYZE failed, run it by hand: {error.cause}")
        return notes

    def _password_notes(self) -> list[str]:
        """Roles that a dump without verifiers brought, as far as they exist here and have no password."""
        keeper, wanted = cast("Session", self._keeper), cast("DumpFacts", self._facts).roles_without_password
        try:
            here = [name for name in wanted if name in existing_roles(keeper)]
        except DrorchError:
            return []
        with suppress(psycopg.Error):
            rows = keeper.execute("SELECT rolname::text FROM pg_authid WHERE rolpassword IS NOT NULL").fetchall()
            here = [name for name in here if (name,) not in rows]
        if not here:
            return []
        return [f"the dump holds no passwords; give these roles theirs (ALTER ROLE ... PASSWORD): {', '.join(here)}"]

    def abandon(self) -> None:
        """See the port: the temporary database is dropped; if that fails it stays marked, and may be replaced."""
        close(self._session)
        self._session = None
        if self._keeper is not None:
            with within(self._keeper, _GIVING_UP):
                if self._temporary:
                    with suppress(DrorchError):
                        databases.drop(self._keeper, self._temporary)
                databases.unlock(self._keeper)
        self._temporary = ""
        close(self._keeper)
        self._keeper = None


def _expected(facts: DumpFacts) -> set[str]:
    """The archives that make the dump whole."""
    if facts.streams == 1:
        return {DATA}
    return {PREDATA, POSTDATA, *(f"data-{number}.pgcustom" for number in range(1, facts.streams + 1))}
