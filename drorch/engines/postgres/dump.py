"""Dumping: one read-only snapshot, exported to pg_dump, held open while the artefacts stream."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import psycopg

from drorch.domain.errors import Refused, Unavailable
from drorch.domain.instant import floor_second
from drorch.engines.postgres import catalog, facts
from drorch.engines.postgres.child import ChildProducer
from drorch.engines.postgres.clients import OLDEST_SERVER, Client, choose_client, find_clients, major
from drorch.engines.postgres.completeness import Completeness, Head, Watched
from drorch.engines.postgres.connection import Session, close, connect, milliseconds, translated, version, within
from drorch.engines.postgres.counts import count_source
from drorch.engines.postgres.cut import Archive, archives, number_of
from drorch.engines.postgres.filters import WHOLE, SchemaFilter
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.watchdog import watched
from drorch.ports import Artefact, Inventory

GLOBALS = "globals.sql"

_COUNTING_GRACE = timedelta(minutes=5)
"""What the inventory may take beyond its budget: the questions to the catalogue."""

_FLAGS = ("--format=custom", "--compress=0", "--no-password")
_SESSION = {
    "search_path": "pg_catalog",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}


@dataclass(frozen=True, slots=True)
class DumpRules:
    """`word` is the policy's `inventory:`; `filter` says which schemas are dumped; the others bound counting, waiting
    for a lock, and letting others wait.
    """

    word: str
    budget: timedelta
    lock_timeout: timedelta
    patience: timedelta
    streams: int = 1
    filter: SchemaFilter = WHOLE


@contextmanager
def open_session(place: Place, tools: Sequence[Path], rules: DumpRules) -> Iterator[PostgresSession]:
    """Connect, choose clients, check that everything may be read, open and export the snapshot.

    Busy when somebody was kept waiting by the dump for longer than `rules.patience`.
    """
    place = replace(place, session=f"drorch dump {secrets.token_hex(4)}")
    settings = {**_SESSION, **rules.filter.settings, "lock_timeout": milliseconds(rules.lock_timeout)}
    session = connect(place, "dump", settings)
    opened: PostgresSession | None = None
    try:
        number, text = version(session)
        if major(number) < OLDEST_SERVER:
            raise Refused(
                f"the server is PostgreSQL {text}; {OLDEST_SERVER} or newer is needed",
                operation="dump",
                resource=place.shown,
            )
        clients = find_clients(tools, ("pg_dump", "pg_dumpall"))
        client = choose_client(clients, major(number), f"to dump a server of version {text}")
        readers = find_clients(tools, ("pg_restore",))
        reader = choose_client(readers, client.major, f"to look at what pg_dump {client.version} writes")
        with translated("dump", place.shown):
            opened = PostgresSession(session, place, client, rules, reader.program("pg_restore"))
        with watched(place, rules.patience, opened.cancel):
            yield opened
    finally:
        if opened is not None:
            opened.end()
        close(session)


class PostgresSession:
    """The `DumpSession` of PostgreSQL; made by `open_session`."""

    def __init__(self, session: Session, place: Place, client: Client, rules: DumpRules, pg_restore: str) -> None:
        self._session = session
        self._pg_restore = pg_restore
        self._place = place
        self._client = client
        self._rules = rules
        self._producers: list[ChildProducer] = []
        identity = facts.system_identifier(session)
        self.cut_at, self._snapshot = _export_snapshot(session, place)
        rules.filter.require(session, place.shown)
        facts.check_readable(session, place.shown)
        found = rules.filter.narrowed(facts.database_facts(session), client.major, place.shown)
        self._filter_flags = rules.filter.flags(cast("list[dict[str, object]]", found["extensions"]))
        self._passwords = bool(found["role_passwords"])
        self._not_dumped = cast("list[str]", found["not_dumped"])
        self._archives = archives(session, place.shown, rules.streams)
        self._completeness = Completeness(session, place.shown, self._not_dumped, len(self._archives))
        if len(self._archives) > 1:
            self._hold_tables()
        self.facts: Mapping[str, object] = found | {
            "client_version": client.version,
            "flags": [*_FLAGS, *self._exclusions()],
            "globals_flags": self._globals_flags(),
            **({"streams": number_of(self._archives)} if len(self._archives) > 1 else {}),
            **({"identity": identity} if identity else {}),
            **rules.filter.facts,
        }

    def artefacts(self) -> Sequence[Artefact]:
        """The data in pg_dump's custom format, then the roles and tablespaces of the whole server."""
        data = [Artefact(archive.name, partial(self._dump, archive)) for archive in self._archives]
        return (*data, Artefact(GLOBALS, self._dump_globals))

    def inventory(self) -> Inventory:
        """Counts in the dump's own snapshot; asked after the streams, since both would read every table at once."""
        with within(self._session, self._rules.budget + _COUNTING_GRACE):
            return count_source(self._session, self._rules.word, self._rules.budget)

    def cancel(self) -> None:
        """Let go of every lock at once; whatever runs fails. From any thread."""
        self.end()
        with suppress(psycopg.Error):
            self._session.cancel_safe(timeout=5)

    def end(self) -> None:
        """End what still runs; the snapshot goes with the session."""
        for producer in self._producers:
            producer.kill()

    def _exclusions(self) -> list[str]:
        """Schemas that are not meant, and rows of a provider's extension that this role may not see, such as another
        owner's pg_cron jobs.
        """
        return self._filter_flags + [f"--exclude-table-data={name}" for name in self._not_dumped]

    def _dump(self, archive: Archive) -> ChildProducer:
        wait = max(1, math.ceil(self._rules.lock_timeout.total_seconds() * 1000))
        argv = [self._client.program("pg_dump"), *_FLAGS, *archive.flags, f"--snapshot={self._snapshot}"]
        argv += [f"--lock-wait-timeout={wait}", *self._exclusions(), f"--dbname={self._place.conninfo()}"]
        watched = Watching(self._pg_restore, self._completeness, self._require_unchanged)
        return self._keep(DataProducer(argv, self._place, watched))

    def _hold_tables(self) -> None:
        """One pg_dump holds what it dumps; between several, what an archive describes could be dropped or altered."""
        try:
            catalog.lock_tables(self._session)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise Unavailable(
                "a table was dropped or renamed while the dump began",
                operation="dump",
                resource=self._place.shown,
                cause=error.diag.message_primary or "",
                hint="it is tried again later",
            ) from error
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        """Between the cut and pg_dump's locks a table can be emptied or replaced: its rows would be missing."""
        with translated("dump", self._place.shown):
            late = catalog.changed(self._session)
        if late:
            raise Unavailable(
                "tables were emptied, rewritten or renamed while the dump began",
                operation="dump",
                resource=self._place.shown,
                cause=", ".join(late[:10]) + (f" and {len(late) - 10} more" if len(late) > 10 else ""),
                hint="it is tried again later",
            )

    def _globals_flags(self) -> list[str]:
        return [
            "--globals-only",
            "--no-password",
            "--encoding=UTF8",
            *([] if self._passwords else ["--no-role-passwords"]),
        ]

    def _dump_globals(self) -> ChildProducer:
        argv = [self._client.program("pg_dumpall"), *self._globals_flags(), f"--database={self._place.database}"]
        return self._keep(ChildProducer([*argv, f"--dbname={self._place.conninfo()}"], self._place, self._place.shown))

    def _keep(self, producer: ChildProducer) -> ChildProducer:
        self._producers.append(producer)
        return producer


@dataclass(frozen=True, slots=True)
class Watching:
    """How an archive is looked at: what reads its contents, where they go, what is asked at its first byte."""

    pg_restore: str
    completeness: Completeness
    began: Callable[[], None]


class DataProducer(ChildProducer):
    """A `Producer` of an archive, whose end is good only when the dump is complete."""

    def __init__(self, argv: Sequence[str], place: Place, watching: Watching) -> None:
        super().__init__(argv, place, place.shown)
        self._head = Head(watching.pg_restore)
        self._watched = Watched(self.stdout, self._head, watching.began)
        self.stdout = cast("BinaryIO", self._watched)
        self._completeness = watching.completeness

    def finish(self) -> None:
        """Raises unless pg_dump ended with 0 and everything is in its table of contents."""
        super().finish()
        self._completeness.add(self._head.end(), self._watched.tail)


def _export_snapshot(session: Session, place: Place) -> tuple[datetime, str]:
    """Begin the transaction; its instant by the source's clock and the name under which pg_dump joins it.

    On a replica the instant is that of the last transaction replayed, asked before the snapshot so that it is never
    later than the data.
    """
    replica, replayed = _row(session, "SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()")
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE")
    began, snapshot = _row(session, "SELECT transaction_timestamp(), pg_export_snapshot()")
    when = replayed if replica else began
    if not isinstance(when, datetime):
        raise Unavailable(
            "the replica has replayed nothing since it started, so the instant of its data is not known",
            operation="dump",
            resource=place.shown,
        )
    return floor_second(when.astimezone(UTC)), str(snapshot)


def _row(session: Session, query: str) -> tuple[object, ...]:
    return cast("tuple[object, ...]", session.execute(query.encode()).fetchone())
