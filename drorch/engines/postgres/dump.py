"""Dumping: one read-only snapshot, exported to pg_dump, held open while the artefacts stream."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import psycopg

from drorch.domain.errors import Refused, Unavailable
from drorch.domain.instant import floor_second
from drorch.engines.postgres import facts
from drorch.engines.postgres.child import ChildProducer
from drorch.engines.postgres.clients import OLDEST_SERVER, Client, choose_client, find_clients, major
from drorch.engines.postgres.connection import Session, close, connect, milliseconds, translated, version
from drorch.engines.postgres.counts import count_source
from drorch.engines.postgres.filters import WHOLE, SchemaFilter
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.watchdog import watched
from drorch.ports import Artefact, Inventory

DATA = "data.pgcustom"
GLOBALS = "globals.sql"

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
        with translated("dump", place.shown):
            opened = PostgresSession(session, place, client, rules)
        with watched(place, rules.patience, opened.cancel):
            yield opened
    finally:
        if opened is not None:
            opened.end()
        close(session)


class PostgresSession:
    """The `DumpSession` of PostgreSQL; made by `open_session`."""

    def __init__(self, session: Session, place: Place, client: Client, rules: DumpRules) -> None:
        self._session = session
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
        self.facts: Mapping[str, object] = found | {
            "client_version": client.version,
            "flags": [*_FLAGS, *self._exclusions()],
            "globals_flags": self._globals_flags(),
            **({"identity": identity} if identity else {}),
            **rules.filter.facts,
        }

    def artefacts(self) -> Sequence[Artefact]:
        """The data in pg_dump's custom format, then the roles and tablespaces of the whole server."""
        return (Artefact(DATA, self._dump), Artefact(GLOBALS, self._dump_globals))

    def inventory(self) -> Inventory:
        """Counts in the dump's own snapshot; asked after the streams, since both would read every table at once."""
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

    def _dump(self) -> ChildProducer:
        wait = max(1, math.ceil(self._rules.lock_timeout.total_seconds() * 1000))
        argv = [self._client.program("pg_dump"), *_FLAGS, f"--snapshot={self._snapshot}"]
        argv += [f"--lock-wait-timeout={wait}", *self._exclusions(), f"--dbname={self._place.conninfo()}"]
        return self._keep(ChildProducer(argv, self._place, self._place.shown))

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
