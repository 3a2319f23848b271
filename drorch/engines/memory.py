"""The public fake of an engine: artefacts from given bytes, loaded into a dictionary, failing where it is told to.

It keeps the contract of `drorch.ports.Engine` with real pipes and no database. Data are lines ``TABLE<tab>ROW``; any
other bytes are allowed and count as no table. Targets are ``memory://NAME``.
"""

# ruff: noqa: ARG002 - the port names arguments that a fake has no use for

from __future__ import annotations

import io
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from drorch.domain.errors import Refused, Unavailable, Usage
from drorch.ports import Artefact, Inventory

DATA = "data.pgcustom"
GLOBALS = "globals.sql"


class Options(BaseModel):
    """What a policy may say: the name of one of the engine's sources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = "main"


@dataclass
class MemorySource:
    """One database of the fake. Attributes may be changed at any time; a session reads them when it opens.

    `fails_after`: the process of the data artefact writes so many bytes and exits non-zero. `down`: not reachable.
    `counts` overrides what the inventory says was there (a drill then finds a difference). `answers` are the replies
    to probes that are not ``select count(*) from TABLE``.
    """

    artefacts: dict[str, bytes] = field(default_factory=dict)
    cut_at: datetime = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
    fails_after: int | None = None
    down: bool = False
    counts: dict[str, int | None] | None = None
    facts: dict[str, object] = field(default_factory=dict)


def rows(data: bytes) -> dict[str, int]:
    """Rows per table of ``TABLE<tab>ROW`` lines."""
    lines = (line.split(b"\t", 1) for line in data.splitlines() if b"\t" in line)
    return dict(sorted(Counter(parts[0].decode("utf-8", "replace") for parts in lines).items()))


class MemoryEngine:
    """See the module. `databases` holds what was restored and completed: database -> artefact -> bytes."""

    kind = "memory"

    def __init__(self, sources: Mapping[str, MemorySource] | None = None) -> None:
        self.sources: dict[str, MemorySource] = dict(sources or {"main": MemorySource({DATA: b""})})
        self.databases: dict[str, dict[str, bytes]] = {}
        self.unfinished: dict[str, dict[str, bytes]] = {}
        self.marks: dict[str, str] = {}
        self.answers: dict[str, object] = {}
        self.leaves_after: int | None = None
        """The loading process leaves (broken pipe, then an error) after so many bytes of an artefact."""
        self.scratches = 0
        """How many scratch places are open now."""

    def dump(
        self, options: object, secrets: Mapping[str, str], inventory: str
    ) -> AbstractContextManager[MemorySession]:
        """A view of the source that `options` names. Unavailable while it is down, Refused when there is none."""
        return self._session(options, inventory)

    @contextmanager
    def _session(self, options: object, inventory: str) -> Iterator[MemorySession]:
        if not isinstance(options, Options) or options.source not in self.sources:
            raise Refused("the memory engine has no such source", operation="dump", resource=str(options))
        source = self.sources[options.source]
        if source.down:
            raise Unavailable("the source cannot be reached", operation="dump", resource=options.source)
        session = MemorySession(source, inventory)
        try:
            yield session
        finally:
            session.close()

    def target(self, url: str, password: str | None, *, with_globals: bool) -> MemoryTarget:
        """The database NAME of ``memory://NAME``. Usage when the URL is another one or holds a password."""
        parts = urlsplit(url)
        if parts.password is not None:
            raise Usage("a password inside the target is refused", hint="use --into-password-file")
        if parts.scheme != "memory" or not parts.hostname:
            raise Usage("the target is memory://NAME")
        return MemoryTarget(self, parts.hostname, with_globals=with_globals)

    @contextmanager
    def scratch(self, options: object, secrets: Mapping[str, str]) -> Iterator[MemoryTarget]:
        """A scratch database, gone at the end."""
        target = MemoryTarget(self, f"scratch-{self.scratches}", with_globals=True)
        self.scratches += 1
        try:
            yield target
        finally:
            target.abandon()
            self.databases.pop(target.name, None)
            self.scratches -= 1


class MemorySession:
    """The fake's `DumpSession`."""

    def __init__(self, source: MemorySource, inventory: str) -> None:
        self.cut_at = source.cut_at
        self.facts: Mapping[str, object] = {
            "engine": "memory",
            "server_version": "1",
            "client_version": "1",
            "flags": [],
            "roles_without_password": [],
            **source.facts,
        }
        self._source = source
        self._word = inventory
        self._producers: list[_Pipe] = []

    def artefacts(self) -> Sequence[Artefact]:
        """The source's bytes in the order given; only the first one fails on demand."""
        found: list[Artefact] = []
        for place, (name, body) in enumerate(self._source.artefacts.items()):
            fails_after = self._source.fails_after if place == 0 else None
            found.append(Artefact(name, lambda body=body, after=fails_after: self._open(body, after)))  # type: ignore[misc]
        return tuple(found)

    def _open(self, body: bytes, fails_after: int | None) -> _Pipe:
        producer = _Pipe(body, fails_after)
        self._producers.append(producer)
        return producer

    def inventory(self) -> Inventory:
        """Rows per table of the data lines, or what `counts` says; `estimate` marks every table, `off` counts none."""
        if self._word == "off":
            return Inventory(tables={})
        data = next(iter(self._source.artefacts.values()), b"")
        counts: Mapping[str, int | None] = rows(data) if self._source.counts is None else self._source.counts
        estimated = frozenset(counts) if self._word == "estimate" else frozenset()
        return Inventory(tables=dict(counts), estimated=estimated, bytes=len(data))

    def close(self) -> None:
        """End what still runs."""
        for producer in self._producers:
            producer.kill()


class _Pipe:
    """A `Producer` that writes given bytes into a real pipe from a thread, as a child process would."""

    def __init__(self, body: bytes, fails_after: int | None) -> None:
        reading, self._writing = os.pipe()
        self.stdout: BinaryIO = os.fdopen(reading, "rb", buffering=0)
        self._status: int | None = None
        self._body = body if fails_after is None else body[:fails_after]
        self._outcome = 0 if fails_after is None else 1
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with os.fdopen(self._writing, "wb", buffering=0) as sink:
                view = memoryview(self._body)
                while view:
                    view = view[sink.write(view) or 0 :]
        except BrokenPipeError:
            self._outcome = -13
        self._status = self._outcome

    def finish(self) -> None:
        self._thread.join()
        if self._status != 0:
            raise Unavailable("the dump failed", operation="dump", cause=f"exit status {self._status}")

    def kill(self) -> None:
        with suppress(OSError):
            self.stdout.close()
        self._thread.join()


class MemoryTarget:
    """The fake's `RestoreTarget`: real only after `complete`."""

    def __init__(self, engine: MemoryEngine, name: str, *, with_globals: bool) -> None:
        self.name = name
        self._engine = engine
        self._with_globals = with_globals
        self._mark = ""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the fake itself."""
        return {"memory": "1"}

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Refused when the database holds anything or the dump is another engine's."""
        if facts.get("engine") != "memory":
            raise Refused("this is not a dump of the memory engine", operation="restore", resource=self.name)
        if self._engine.databases.get(self.name):
            raise Refused("the target is not empty", operation="restore", resource=self.name, hint="name another one")
        self._engine.unfinished[self.name] = {}

    def load(self, artefact: str) -> _Sink:
        """A consumer; globals are read and dropped unless they were asked for."""
        if self.name not in self._engine.unfinished:
            raise Refused("prepare the target first", operation="restore", resource=self.name)
        keep = artefact != GLOBALS or self._with_globals
        place = self._engine.unfinished[self.name] if keep else {}
        return _Sink(place, artefact, self._engine.leaves_after)

    def _loaded(self) -> bytes:
        place = self._engine.unfinished.get(self.name) or self._engine.databases.get(self.name) or {}
        return next((body for name, body in place.items() if name != GLOBALS), b"")

    def inventory(self, expected: Inventory) -> Inventory:
        """Rows of the loaded data lines for the tables that `expected` counted exactly."""
        counts = rows(self._loaded())
        exact = [
            name for name, count in expected.tables.items() if count is not None and name not in expected.estimated
        ]
        return Inventory(tables={name: counts[name] for name in exact if name in counts}, bytes=len(self._loaded()))

    def probe(self, sql: str) -> object:
        """``select count(*) from TABLE`` is counted; anything else comes from the engine's `answers`."""
        if sql in self._engine.answers:
            return self._engine.answers[sql]
        match = re.fullmatch(r"select count\(\*\) from (\S+)", sql.strip(), re.IGNORECASE)
        counts = rows(self._loaded())
        if match is None or match[1] not in counts:
            raise Refused("the probe failed", operation="probe", resource=self.name, cause="unknown table or query")
        return counts[match[1]]

    def complete(self) -> tuple[str, ...]:
        """Make what was loaded real. Refused when the name was taken meanwhile or nothing was prepared."""
        if self.name not in self._engine.unfinished:
            raise Refused("nothing was loaded", operation="restore", resource=self.name)
        if self._engine.databases.get(self.name):
            raise Refused("the target appeared meanwhile", operation="restore", resource=self.name)
        self._engine.databases[self.name] = self._engine.unfinished.pop(self.name)
        self._engine.marks[self.name] = self._mark
        return ()

    def leave(self, mark: str) -> None:
        """See the port."""
        self._mark = mark

    def left(self) -> str:
        """See the port."""
        return self._engine.marks.get(self.name, "") if self._engine.databases.get(self.name) else ""

    def abandon(self) -> None:
        """Drop what was loaded."""
        self._engine.unfinished.pop(self.name, None)


class _Input(io.RawIOBase):
    """What a loading process reads; leaves on demand."""

    def __init__(self, leaves_after: int | None) -> None:
        self.body = bytearray()
        self.left = False
        self._leaves_after = leaves_after

    def writable(self) -> bool:
        return True

    def write(self, part: object) -> int:
        data = bytes(cast("bytes", part))
        if self._leaves_after is not None and len(self.body) + len(data) > self._leaves_after:
            self.left = True
            raise BrokenPipeError("the loading process left")
        self.body += data
        return len(data)


class _Sink:
    """The fake's `Consumer`."""

    def __init__(self, place: dict[str, bytes], artefact: str, leaves_after: int | None) -> None:
        self._place = place
        self._artefact = artefact
        self._input = _Input(leaves_after)
        self._killed = False
        self.stdin: BinaryIO = cast("BinaryIO", self._input)

    def finish(self) -> tuple[str, ...]:
        self._input.close()
        if self._input.left or self._killed:
            raise Refused("loading failed", operation="restore", resource=self._artefact, cause="exit status 1")
        self._place[self._artefact] = bytes(self._input.body)
        return ()

    def kill(self) -> None:
        self._killed = True
        self._input.close()
