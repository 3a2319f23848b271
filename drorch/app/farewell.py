"""What the journal keeps of a point whose records are about to be removed: what an auditor may ask for in later years.

Marks (who pinned it, why it was let go of) and proofs lie among the records of their point, which go when no vault has
held it for a while. Before the first of them goes they stand in a signed entry of the journal, in a vault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from drorch.app.journal import JournalBook
from drorch.app.reading import TrustedKey, read_signed
from drorch.domain.action import Sweep
from drorch.domain.errors import NotFound, Unavailable
from drorch.domain.journal import SWEPT, kept_of
from drorch.domain.record import Record
from drorch.ports import ObjectStore


@dataclass
class Farewell:
    """Told of every sweep of records; `vaults` are the object vaults."""

    book: JournalBook
    vaults: Collection[str]
    store_of: Callable[[str], ObjectStore]
    trusted: Sequence[TrustedKey]
    _told: set[str] = field(default_factory=set)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, action: Sweep, now: datetime) -> None:
        """Write down what the records say. Returns once a vault has it.

        Raises Unavailable when no vault takes it, Busy, BadSignature or Damaged for a record that does not count: then
        nothing may be removed.
        """
        with self._one:
            if set(action.paths) <= self._told:
                return  # those of another vault, the same bytes
            records = self._read(action)
            if records:
                self._write(records, now)
            self._told |= set(action.paths)

    def _read(self, action: Sweep) -> list[Record]:
        store, found = self.store_of(action.vault), []
        for path in action.paths:
            try:
                found.append(read_signed(store, path, self.trusted))
            except NotFound:
                continue  # a sweep that was cut short has removed it already, and had told of it
        return found

    def _write(self, records: Sequence[Record], now: datetime) -> None:
        first = records[0]
        bodies: list[Mapping[str, object]] = [body for record in records if (body := kept_of(record)) is not None]
        where = {"application": first.application, "resource": first.resource, "point": first.point}
        self.book.write(SWEPT, now, self.vaults, **where, cut_at=first.cut_at, records=bodies)
        failed = self.book.deliver(self.vaults, now)
        if not set(self.vaults) - failed.keys():
            raise Unavailable(
                "no vault took the journal's entry of what is to be removed",
                operation="sweep",
                resource=first.resource,
                cause="; ".join(f"{vault}: {why}" for vault, why in sorted(failed.items())),
                hint="nothing was removed; it is tried again",
            )
