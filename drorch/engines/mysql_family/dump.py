"""Dumping: the vendor's own dump program in one transaction, what it writes read as it passes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from drorch.domain.errors import Refused, Unavailable
from drorch.engines.mysql_family import accounts, completeness, facts
from drorch.engines.mysql_family.access import Access, Child, open_access
from drorch.engines.mysql_family.clients import Client, choose
from drorch.engines.mysql_family.place import Place
from drorch.engines.mysql_family.scan import DumpScan
from drorch.engines.mysql_family.vendor import DATA, GLOBALS, Vendor
from drorch.engines.mysql_family.watchdog import DumpRules, watched
from drorch.ports import Artefact, Inventory


@contextmanager
def open_session(vendor: Vendor, place: Place, tools: Sequence[Path], rules: DumpRules) -> Iterator[DumpingSession]:
    """Learn who answers, choose clients, check that everything may be read.

    Busy when the dump program waited for a lock, or somebody for it, for longer than `rules` allow.
    """
    access = open_access(vendor, place, tools, "dump")
    # Left to itself a server lets a session wait for a day (MariaDB) or a year (MySQL).
    access.before = f"SET SESSION lock_wait_timeout = {max(1, round(rules.lock_timeout.total_seconds()))};"
    session: DumpingSession | None = None
    try:
        greeting = access.greeting
        purpose = f"to dump a server of version {greeting.version}"
        dumper = choose(vendor, tools, vendor.programs.dump, greeting.series, purpose)
        session = DumpingSession(access, dumper, rules.word)
        with watched(access, rules, session.cancel):
            yield session
    finally:
        if session is not None:
            session.end()
        access.close()


class DumpingSession:
    """The `DumpSession` of both vendors; made by `open_session`.

    Neither vendor lets a second session join a snapshot, and a lock over all tables would stop the application. So the
    data's instant is asked just before the dump program begins its own snapshot, never after, and the exact counts are
    those of the rows that it wrote.
    """

    def __init__(self, access: Access, dumper: Client, word: str) -> None:
        self._access = access
        self._dumper = dumper
        self._word = word
        self._producers: list[DumpProducer] = []
        facts.check_readable(access)
        self._found = facts.relations(access)
        self._accounts = accounts.readable(access, "dump")
        self._seen: DumpScan | None = None
        self.facts: Mapping[str, object] = facts.database_facts(access, self._found) | {
            "client_version": dumper.version,
            "flags": list(access.vendor.flags),
            "accounts_dumped": self._accounts,
        }
        self.cut_at = _instant(access)

    def artefacts(self) -> Sequence[Artefact]:
        """The data as SQL, then the accounts of the whole server."""
        return (
            Artefact(DATA, self._dump),
            Artefact(GLOBALS, lambda: accounts.AccountsProducer(self._access, allowed=self._accounts)),
        )

    def inventory(self) -> Inventory:
        """`exact`: the rows in the dump, once it has streamed; else the server's estimates, marked so.

        The details name the tables whose engine has no transactions: they are not as of one instant.
        """
        if self._word == "off":
            return Inventory(tables={})
        tables: dict[str, int | None]
        estimated = frozenset[str]()
        if self._word == "exact" and self._seen is not None:
            seen = self._seen
            sequences = {name for name, (engine, _) in self._found.tables.items() if engine == "SEQUENCE"}
            tables = {name: seen.rows.get(name, 0) for name in sorted(seen.tables - sequences)}
        else:
            tables = {name: rows for name, (engine, rows) in sorted(self._found.tables.items()) if engine != "SEQUENCE"}
            estimated = frozenset(tables)
        details: dict[str, object] = {kind: self.facts[kind] for kind in ("events", "routines", "triggers", "views")}
        details["not_transactional"] = sorted(self._found.not_transactional)
        return Inventory(tables, estimated, self._found.bytes, details)

    def cancel(self) -> None:
        """End the dump program; whoever reads from it comes to an end, and an error. From any thread."""
        for producer in self._producers:
            producer.cancel()

    def end(self) -> None:
        """End what still runs."""
        for producer in self._producers:
            producer.kill()

    def _dump(self) -> DumpProducer:
        arguments = [*self._access.vendor.flags, "--", self._access.place.database]
        producer = DumpProducer(self._access, self._access.argv(self._dumper.path, *arguments), self._completed)
        self._producers.append(producer)
        return producer

    def _completed(self, scan: DumpScan) -> None:
        completeness.check(self._access, self._found, scan)
        self._seen = scan


def _instant(access: Access) -> datetime:
    """The server's own present; of a replica, as far back as it says that it lags.

    Refused when it is a replica that does not apply: what it holds is of no known instant. A user that may not ask
    (REPLICA MONITOR, REPLICATION CLIENT) is taken at the server's clock.
    """
    ((now,),) = access.ask("SELECT date_format(utc_timestamp(), '%Y-%m-%dT%H:%i:%s')", "dump")
    instant = datetime.fromisoformat(str(now)).replace(tzinfo=UTC)
    with suppress(Refused):
        lags = _lags(access)
        if None in lags:
            raise Unavailable(
                "this replica applies nothing, so the instant of its data is not known",
                operation="dump",
                resource=access.place.shown,
            )
        instant -= timedelta(seconds=max((int(lag) for lag in lags if lag), default=0))
    return instant


def _lags(access: Access) -> list[str | None]:
    """Seconds_Behind_Master of every connection (MariaDB may have several); None of one that does not apply."""
    found = []
    question = next(text for series, text in access.vendor.replica_status if access.greeting.series >= series)
    # In the vertical form every value stands behind its name: the columns differ between versions.
    for line, *_ in access.ask(f"{question}\\G", "dump"):
        name, _, value = str(line).strip().partition(": ")
        if name in ("Seconds_Behind_Master", "Seconds_Behind_Source"):
            found.append(None if value == "NULL" else value)
    return found


class DumpProducer:
    """A `Producer`: the dump program, its output read by a `DumpScan` as it passes."""

    def __init__(self, access: Access, argv: Sequence[str], completed: Callable[[DumpScan], None]) -> None:
        process = access.start(argv)
        self._scan = DumpScan()
        self._completed = completed
        self._child = Child(process, "dump", access.place.shown)
        self.stdout: BinaryIO = cast("BinaryIO", _Watched(cast("io.RawIOBase", process.stdout), self._scan))

    def finish(self) -> None:
        """Raises unless the program ended with 0 and the dump is complete: only then is it worth committing."""
        self._child.wait()
        self.stdout.close()
        self._completed(self._scan)

    def cancel(self) -> None:
        """End the program at once and leave its output to who reads it."""
        self._child.kill()

    def kill(self) -> None:
        """End it at once."""
        self.cancel()
        with suppress(OSError):
            self.stdout.close()


class _Watched(io.RawIOBase):
    """A pipe whose bytes are shown to a scan (unbuffered: a read may be short)."""

    def __init__(self, source: io.RawIOBase, scan: DumpScan) -> None:
        super().__init__()
        self._source = source
        self._scan = scan

    def readable(self) -> bool:
        """It is read from, nothing else."""
        return True

    def fileno(self) -> int:
        """The pipe's own."""
        return self._source.fileno()

    def readinto(self, buffer: object) -> int | None:
        """As the pipe's."""
        view = memoryview(cast("bytearray", buffer)).cast("B")
        count = self._source.readinto(view)
        if count:
            self._scan.feed(view[:count])
        return count

    def close(self) -> None:
        """Close the pipe."""
        self._source.close()
        super().close()
