"""Restores in the journal: who restored what from where into which kind of target, and how it ended.

No restore waits for it longer than a moment, and none fails for it. Break glass signs nothing, so it writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from drorch.app.beside import Beside
from drorch.app.failpoint import reach
from drorch.app.journal import JournalBook
from drorch.app.restore import RestoreReport, RestoreRequest
from drorch.domain.errors import DrorchError
from drorch.domain.instant import to_text
from drorch.domain.journal import RESTORE
from drorch.ports import Clock

PATIENCE = 10.0
"""Seconds that the vaults have to take the entry; what they did not take waits for the daemon of this host."""

_LONGEST = 300


@dataclass
class RestoreJournal:
    """`book` opens the journal and may raise; `missed` hears why a restore stands in no journal; `by` is the person."""

    book: Callable[[], JournalBook]
    vaults: Collection[str]
    clock: Clock
    by: str
    missed: Callable[[str], None]
    beside: Beside = field(default_factory=Beside)

    def told(self, request: RestoreRequest, run: Callable[[], RestoreReport]) -> RestoreReport:
        """`run`, and an entry of how it ended; raises what it raises."""
        began = self.clock.now()
        wanted = {
            "resource": request.resource,
            "vault": request.vault,
            "at": to_text(request.at) if request.at else "",
            "point": request.point or request.accept_unsigned,
            "note": request.note,
        }
        target = request.into.partition(":")[0]
        try:
            report = run()
        except BaseException as error:
            self.tell(request.application, target, wanted, began, outcome="failed", **_error(error))
            raise
        steps: Counter[str] = Counter()
        for step in report.steps:
            steps[step.step] += step.took_s or 0
        self.tell(
            request.application,
            target,
            wanted,
            began,
            outcome="done",
            resource=report.resource,
            point=report.point,
            cut_at=report.cut_at,
            vault=report.vault,
            bytes=report.bytes,
            data_loss_s=report.data_loss_s,
            steps=dict(steps),
        )
        return report

    def tell(self, application: str, target: str, wanted: Mapping[str, str], began: datetime, **how: object) -> None:
        """Write the entry of a restore that ended now. `target` is its kind, `wanted` what was asked for, `how` at
        least its `outcome`: `done` or `failed`.
        """
        now = self.clock.now()
        content: dict[str, object] = {
            "application": application,
            "by": self.by or None,
            "target": target,
            "wanted": {name: text for name, text in wanted.items() if text},
            "began": to_text(began),
            "took_s": max(0, int((now - began).total_seconds())),
        }
        reach("restore.before-journal")
        try:
            book = self.book()
            book.write(RESTORE, now, self.vaults, **content, **how)
        except DrorchError as error:
            self.missed(str(error))
            return
        self.beside.begin(lambda: _deliver(book, self.vaults, now))
        self.beside.wait(PATIENCE)
        reach("restore.journal-written")


def _deliver(book: JournalBook, vaults: Collection[str], now: datetime) -> None:
    """What fails is tried again by the daemon, which tells."""
    with suppress(Exception):
        book.deliver(vaults, now)


def _error(error: BaseException) -> dict[str, str]:
    """Its kind and its words without the cause, which may name tables: the journal is not encrypted."""
    words = {"why": error.message[:_LONGEST]} if isinstance(error, DrorchError) else {}
    return {"error": type(error).__name__.lower(), **words}
