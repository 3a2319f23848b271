"""Vaults that hold real dump points, written by the product's own dump, for tests of the reading side."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import BinaryIO

from drorch.app.dump import DumpLimits, DumpOrder, DumpOutcome, dump
from drorch.app.loading import Reader
from drorch.app.reading import TrustedKey
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.engines.memory import MemoryEngine, MemorySource, MemoryTarget, Options
from drorch.ports import Consumer, ObjectStore, StoreLimits
from drorch.stores.memory import MemoryStore

MIB = 1024 * 1024
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
APPLICATION, RESOURCE, SITE = "shop", "orders", "acme-prod"
DATA, GLOBALS = "data.pgcustom", "globals.sql"


@dataclass
class HandClock:
    """A clock that is turned by hand; sleeping turns it, too, and takes no time."""

    present: datetime = NOON
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.present

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.present += timedelta(seconds=seconds)


def table_rows(table: str, count: int, seed: int = 1, width: int = 40) -> bytes:
    """Lines that do not compress below half."""
    rng = random.Random(seed)
    return b"".join(b"%s\t%s\n" % (table.encode(), rng.randbytes(width).hex().encode()) for _ in range(count))


class WatchedEngine(MemoryEngine):
    """Remembers every byte that any loading process was given, and who was killed."""

    def __init__(self) -> None:
        super().__init__({"main": MemorySource({DATA: b"", GLOBALS: b"CREATE ROLE shop;\n"})})
        self.given: dict[str, bytearray] = {}
        self.killed: list[str] = []
        self.dies_with: Exception | None = None

    def target(self, url: str, password: str | None, *, with_globals: bool) -> MemoryTarget:
        target = super().target(url, password, with_globals=with_globals)
        self._watch(target)
        return target

    def _watch(self, target: MemoryTarget) -> None:
        load = target.load

        def watched(artefact: str) -> Consumer:
            consumer = load(artefact)
            given = self.given.setdefault(artefact, bytearray())
            given.clear()
            write, kill = consumer.stdin.write, consumer.kill

            def noted(part: bytes) -> int:
                if self.dies_with is not None:
                    raise self.dies_with
                given.extend(part)
                return write(part)

            def killed() -> None:
                self.killed.append(artefact)
                kill()

            stdin: BinaryIO = SimpleNamespace(write=noted, close=consumer.stdin.close)  # type: ignore[assignment]
            consumer.stdin, consumer.kill = stdin, killed  # type: ignore[method-assign]
            return consumer

        target.load = watched  # type: ignore[method-assign,assignment]


class World:
    """An engine to dump from and restore into, vaults, keys, and a clock that everything shares."""

    def __init__(self, *vaults: str) -> None:
        self.clock = HandClock()
        self.engine = WatchedEngine()
        self.key = SecretKey.generate()
        self.identity, self.recipient = new_identity()
        self.stores: dict[str, ObjectStore] = {name: self.store(name) for name in vaults or ("gcs-eu",)}

    def store(self, name: str) -> MemoryStore:
        return MemoryStore(name, now=self.clock.now, limits=StoreLimits(part_bytes=MIB))

    def memory(self, name: str = "gcs-eu") -> MemoryStore:
        store = self.stores[name]
        assert isinstance(store, MemoryStore)
        return store

    def dump(
        self,
        point: str = "p1",
        data: bytes | None = None,
        *,
        ago: timedelta = timedelta(minutes=5),
        into: Iterable[str] | None = None,
        volume_bytes: int | None = None,
        longest: timedelta | None = None,
        inventory: str = "exact",
        resource: str = RESOURCE,
        key: SecretKey | None = None,
    ) -> DumpOutcome:
        """Cut a point of `data` as of `ago` before the clock's present; the stores see it five minutes later."""
        present = self.clock.present
        source = self.engine.sources["main"]
        source.cut_at = present - ago
        source.artefacts[DATA] = table_rows("orders", 200) if data is None else data
        names = list(self.stores if into is None else into)
        order = DumpOrder(
            site=SITE,
            application=APPLICATION,
            resource=resource,
            kind="memory",
            point=point,
            slot="2026-11-20T12:00Z",
            recipients=(self.recipient,),
            inventory=inventory,
        )
        self.clock.present = min(present, source.cut_at + timedelta(minutes=5))
        try:
            return dump(
                order,
                self.engine,
                Options(),
                {},
                {name: self.stores[name] for name in names},
                key or self.key,
                clock=self.clock,
                limits=DumpLimits(longest=longest, volume_bytes=volume_bytes),
            )
        finally:
            self.clock.present = present

    def reader(self, keys: Sequence[TrustedKey] | None = None, **more: object) -> Reader:
        trusted = [TrustedKey(self.key.public)] if keys is None else keys
        return Reader(trusted, [self.identity], self.clock, **more)  # type: ignore[arg-type]
