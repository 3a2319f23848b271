"""A world in memory that keeps a journal."""

from __future__ import annotations

from pathlib import Path

from worlds import EU, ORDERS, SITE, WEST, Installation

from drorch.app.farewell import Farewell
from drorch.app.journal import JournalBook, JournalKeeper
from drorch.app.passing import Guards
from drorch.domain import layout
from drorch.domain.record import Record, parse_at

DESK = ORDERS.replace("resources:", "objectives: {region: {rpo: 36h}, provider: {rpo: 2d, rto: 1h}}\n    resources:")


class Journalling(Installation):
    """As `Installation`; `book` and `keeper` are the journal of the process that lives now."""

    def __init__(self, state: Path, *texts: str, guards: Guards | None = None, **more: bool) -> None:
        self.marked = True
        super().__init__(state, *(texts or (DESK,)), guards=guards, **more)

    def restart(self, *, without: tuple[str, ...] = ()) -> None:  # type: ignore[override]
        super().restart(without=without)
        self.book = JournalBook(
            self.state,
            self.locks,
            site=SITE,
            host="dr1",
            signing=lambda: self.key,
            store_of=self.stores.__getitem__,
            marked=lambda _store: self.marked,
        )
        self.keeper = JournalKeeper(self.book, (WEST, EU))
        self.reconciler._journal = self.keeper
        self.light._farewell = Farewell(self.book, (WEST, EU), self.stores.__getitem__, self.trusted).tell

    def hours(self, count: int, *, passes: int = 2) -> None:
        """So many hours with so many passes in each, and the end of what is brought to the vaults."""
        for _ in range(count * passes):
            self.once()
            self.keeper.beside.wait()
            self.clock.turn(minutes=60 / passes)

    def entries(self, vault: str) -> list[Record]:
        """What the journal of a vault says, oldest first, each at its own path and with a signature beside it."""
        objects = self.memory(vault).objects
        paths = sorted(path for path in objects if path.startswith(layout.JOURNAL) and path.endswith(".json"))
        assert all(path + layout.SIGNATURE in objects for path in paths)
        return [parse_at(path, b"".join(self.memory(vault).read(path))) for path in paths]
