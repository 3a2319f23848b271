"""What the core asks of a database engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, runtime_checkable

from drorch.domain.native import Inventory


class Producer(Protocol):
    """A child process (or several) whose output is one artefact."""

    stdout: BinaryIO

    def finish(self) -> None:
        """Wait for the end. Raises unless every process ended with 0 and, as far as the engine can tell, nothing is
        missing: only then are the bytes worth committing.
        """

    def kill(self) -> None:
        """End it at once; harmless twice and after the end."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One stream of a dump. The object's name is `name` + ``.zst.age``; `open` starts the process."""

    name: str
    open: Callable[[], Producer]


class DumpSession(Protocol):
    """One consistent view of a source, held open while its artefacts stream."""

    cut_at: datetime
    facts: Mapping[str, object]
    """For the manifest: engine, server_version, client_version, flags, identity (system identifier), extensions,
    roles_without_password, and whatever a restore must know. JSON-able, no floats, no secrets."""

    def artefacts(self) -> Sequence[Artefact]:
        """The streams, the data first, in the order in which they are dumped.

        Neighbours named ``data-N.*`` are opened and read at the same time, each in a thread of its own, and loaded so.
        """

    def inventory(self) -> Inventory:
        """Counts taken in the exported snapshot (contract: `inventory: exact|estimate|off`)."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The answer to one probe: what was asked, what came, whether it is what the policy expects."""

    sql: str
    expected: str
    got: str
    met: bool


class Consumer(Protocol):
    """A child process that reads one artefact's plain stream."""

    stdin: BinaryIO

    def finish(self) -> tuple[str, ...]:
        """Close the input, wait; warnings for people. Raises unless everything was loaded."""

    def kill(self) -> None:
        """End it at once, its transaction rolled back; harmless twice."""


class RestoreTarget(Protocol):
    """Where a dump is loaded: nothing that exists is overwritten, nothing half-loaded is taken for whole."""

    @property
    def versions(self) -> Mapping[str, str]:
        """What loads and what it is loaded into, by the name of the program; empty before `prepare`."""

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Refused when the target holds user objects, or when clients or server are too old for the dump.

        An absent database is created under a temporary, marked name; the remains of a failed restore are replaced.
        """

    def load(self, artefact: str) -> Consumer:
        """A consumer for an artefact (`data.pgcustom`, `globals.sql`).

        Those named ``data-N.*`` are loaded at the same time, each in a thread of its own.
        """

    def inventory(self, expected: Inventory) -> Inventory:
        """Exact counts of the loaded data for the tables of `expected` that were counted exactly."""

    def probe(self, sql: str) -> object:
        """The single value that a query answers, in a read-only transaction with a time limit."""

    def complete(self) -> tuple[str, ...]:
        """Make the loaded data real (rename); notes for people, such as roles without password."""

    def abandon(self) -> None:
        """Give up: what was loaded is dropped or marked as the remains of a failed restore."""


@runtime_checkable
class BearsMark(Protocol):
    """A restore target that can be asked later what was restored into it."""

    def leave(self, mark: str) -> None:
        """What `complete` leaves there, in the same breath in which the loaded data become real."""

    def left(self) -> str:
        """The mark left there; "" when there is none, or no data at all. Asked before `prepare`; raises as that
        does when nobody answers.
        """


class Engine(Protocol):
    """A database engine whose points are streamed logical dumps."""

    kind: str

    def dump(self, options: object, secrets: Mapping[str, str], inventory: str) -> AbstractContextManager[DumpSession]:
        """Open a consistent view. `secrets` maps credential names to their values; `inventory` is the policy's word."""

    def target(self, url: str, password: str | None, *, with_globals: bool) -> RestoreTarget:
        """A restore target from its URL (contract, TARGET); a password inside the URL is Refused as Usage."""

    def scratch(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[RestoreTarget]:
        """A scratch place for a drill; removed at the end whatever happened. `options` None means `private`."""


@runtime_checkable
class AsksDatabases(Protocol):
    """An engine that can put probes to a database which it did not load."""

    def asking(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[Callable[[str], object]]:
        """A way to ask it, as `RestoreTarget.probe` does; it has let us in when the block begins.

        Refused: wrong password, wrong certificate, no client that is new enough; Unavailable when nobody answers.
        """


@runtime_checkable
class ListsDatabases(Protocol):
    """An engine that can say which databases a server has."""

    def databases(self, options: object, secrets: Mapping[str, str]) -> tuple[str, ...]:
        """Those that hold data of users, sorted; what `options` leave out is among them. Raises as `dump` does."""


@runtime_checkable
class TellsVersions(Protocol):
    """An engine that can say, without dumping, what a dump would be made of and with."""

    def versions(self, options: object, secrets: Mapping[str, str]) -> Mapping[str, str]:
        """The version of the server, and of each program that a dump of it would use, by its name.

        Connects as `dump` does, and raises as it does: wrong password, no TLS, no program that is new enough.
        """
