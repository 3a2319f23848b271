"""Restores in the journal: who restored what from where into which kind of target, how it ended, what remains to do.

No restore waits for it longer than a moment, and none fails for it. Break glass has no key to sign with: what it writes
is `drorch.app.restore_report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.app.beside import Beside
from drorch.app.failpoint import reach
from drorch.app.region_report import RegionReport
from drorch.app.restore import RestoreReport, RestoreRequest
from drorch.domain.errors import DrorchError
from drorch.domain.instant import to_text
from drorch.domain.journal import RESTORE
from drorch.domain.recovery import Step
from drorch.domain.runbook_order import DONE, FAILED, NOT_BEGUN
from drorch.ports import Clock

if TYPE_CHECKING:  # it reads policies, which nobody has under break glass
    from drorch.app.journal import JournalBook

PATIENCE = 10.0
"""Seconds that the vaults have to take the entry; what they did not take waits for the daemon of this host."""

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class RegionAsked:
    """What was asked for of a region, as the entry says it."""

    region: str
    vault: str = ""
    at: datetime | None = None
    point: str = ""
    note: str = ""

    @property
    def wanted(self) -> dict[str, str]:
        """The fields as text, "" for what was left open."""
        at = to_text(self.at) if self.at else ""
        return {"vault": self.vault, "at": at, "point": self.point, "note": self.note, "region": self.region}


@dataclass
class RestoreJournal:
    """`book` opens the journal and may raise; `missed` hears why a restore stands in no journal; `by` is the person.

    `local` gets the whole report each time that more of it is known, with what is not for a journal that anybody reads.
    """

    book: Callable[[], JournalBook]
    vaults: Collection[str]
    clock: Clock
    by: str
    missed: Callable[[str], None]
    local: Callable[[Mapping[str, object]], None] = lambda _told: None
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
            self.tell(request.application, target, wanted, began, None, outcome="failed", **_error(error))
            raise
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
            steps=_seconds(report.steps),
            private={"newer": [newer.to_json() for newer in report.newer], "notes": list(report.notes)},
        )
        return report

    def region(self, request: RegionAsked, began: datetime, report: RegionReport, to_do: Sequence[str] = ()) -> None:
        """An entry of every resource that was brought back in a region; one more of what else was done, or remains."""
        wanted, application = request.wanted, report.application
        for back in report.resources:
            choice = back.located.choice
            own = [step for step in report.steps if step.resource == back.located.resource]
            failed = {"error": "unavailable"} if back.outcome != DONE else {}
            self.tell(
                application,
                "region",
                wanted,
                began,
                outcome=back.outcome,
                resource=back.located.resource,
                point=choice.point.id,
                cut_at=choice.cut_at,
                vault=back.located.vault,
                data_loss_s=back.data_loss_s,
                steps=_seconds(own),
                made=[f"{made.what} {made.native_id}"[:_LONGEST] for made in back.made],
                private={"why": back.why, "notes": list(back.notes)},
                **failed,
            )
        others = [step for step in report.steps if not step.resource]
        remains = [*(f"{name}: {how}" for name, how in sorted(report.left.items())), *to_do]
        if others or remains:
            bad = any(step.outcome in (FAILED, NOT_BEGUN) for step in others)
            outcome = FAILED if bad else DONE
            remains = [text[:_LONGEST] for text in remains]
            self.tell(application, "region", wanted, began, outcome=outcome, steps=_seconds(others), remains=remains)

    def tell(
        self,
        application: str,
        target: str,
        wanted: Mapping[str, str],
        began: datetime,
        private: Mapping[str, object] | None = None,
        **how: object,
    ) -> None:
        """Write the entry of a restore that ended now. `target` is its kind, `wanted` what was asked for, `how` at
        least its `outcome`: `done` or `failed`; `private` may name tables, and stays on this machine.
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
        content |= {name: value for name, value in how.items() if value is not None}
        self.local({"at": to_text(now), **content, **(private or {})})
        self._keep(now, content)

    def _keep(self, now: datetime, content: Mapping[str, object]) -> None:
        """Sign it into the journal."""
        reach("restore.before-journal")
        try:
            book = self.book()
            book.write(RESTORE, now, self.vaults, **content)
        except DrorchError as error:
            self.missed(str(error))
            return
        self.beside.begin(lambda: _deliver(book, self.vaults, now))
        self.beside.wait(PATIENCE)
        reach("restore.journal-written")


def _seconds(steps: Iterable[Step]) -> dict[str, int]:
    """How long each took, rounded as they are; those of one name together."""
    found: Counter[str] = Counter()
    for step in steps:
        found[step.step] += step.took_s or 0
    return dict(found)


def _deliver(book: JournalBook, vaults: Collection[str], now: datetime) -> None:
    """What fails is tried again by the daemon, which tells."""
    with suppress(Exception):
        book.deliver(vaults, now)


def _error(error: BaseException) -> dict[str, str]:
    """Its kind and its words without the cause, which may name tables: the journal is not encrypted."""
    words = {"why": error.message[:_LONGEST]} if isinstance(error, DrorchError) else {}
    return {"error": type(error).__name__.lower(), **words}
