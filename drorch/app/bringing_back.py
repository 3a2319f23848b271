"""Carrying out what `drorch.app.native_restore` located: ask every kind to go on until all is there, and say how far.

Everything runs side by side at the provider; here one round after another looks at all of it. Nothing is remembered:
whoever gives the same command again goes on where this one ended, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drorch.app.native_restore import Found, Located, as_of, data_loss
from drorch.app.pauses import pauses
from drorch.domain.errors import DrorchError, OutcomeUnknown, Unavailable, worst_code
from drorch.domain.instant import to_text
from drorch.domain.native_restore import FAILED, READY, Made
from drorch.domain.recovery import Step
from drorch.ports import Clock, RestoresSnapshots

FIRST_PAUSE = 2.0
"""Seconds between the first two rounds."""

PATIENCE = timedelta(minutes=15)
"""So long a provider may fail to answer about one resource before it is given up."""

DONE = "done"


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """How it went with one resource: `outcome` is `done` or `failed`, `why` what failed, with what to do next."""

    located: Located
    made: tuple[Made, ...]
    outcome: str
    data_loss_s: int
    why: str = ""
    exit_code: int = 0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The stable fields (README: restore into a region)."""
        choice = self.located.choice
        return {
            "resource": self.located.resource,
            "kind": self.located.kind,
            "point": choice.point.id,
            "vault": self.located.vault,
            "cut_at": to_text(choice.cut_at),
            "data_loss_s": self.data_loss_s,
            "restore": self.located.order.id,
            "outcome": self.outcome,
            "why": self.why or None,
            "made": [made_json(made) for made in self.made],
            "newer": [newer.to_json() for newer in choice.newer],
            "notes": list(self.notes),
        }


def made_json(made: Made) -> dict[str, object]:
    """The stable fields of one thing that was made."""
    return {
        "what": made.what,
        "id": made.native_id,
        "state": made.state,
        "detail": made.detail,
        "source_id": made.source_id,
        "endpoint": made.endpoint or None,
    }


@dataclass(frozen=True, slots=True)
class RegionReport:
    """What was brought back in a region, from what, and what of the application was left."""

    application: str
    region: str
    resources: tuple[BroughtBack, ...]
    steps: tuple[Step, ...]
    left: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 when all is there; else the worst, as the contract orders them."""
        return worst_code(each.exit_code for each in self.resources)

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4; README: restore into a region)."""
        return {
            "application": self.application,
            "region": self.region,
            "resources": [each.to_json() for each in self.resources],
            "steps": [step.to_json() for step in self.steps],
            "left": dict(self.left),
        }

    def import_blocks(self) -> str:
        """``import`` blocks for Terraform (1.5 or newer) and OpenTofu of everything that was made."""
        blocks = [
            f'import {{\n  to = {made.address}.{_label(each.located.resource, number)}\n  id = "{made.import_id}"\n}}\n'
            for each in self.resources
            for number, made in enumerate((m for m in each.made if m.address and m.import_id), 1)
        ]
        return "\n".join(blocks)


def _label(resource: str, number: int) -> str:
    """A name that Terraform takes: letters, digits, `_` and `-`, no digit first."""
    return f"restored_{resource}" if number == 1 else f"restored_{resource}_{number}"


@dataclass(slots=True)
class _Under:
    """One resource on its way."""

    located: Located
    began: datetime
    seen: dict[str, tuple[Made, datetime]] = field(default_factory=dict)
    made: tuple[Made, ...] = ()
    notes: tuple[str, ...] = ()
    silent_since: datetime | None = None
    ended: BroughtBack | None = None


class BringingBack:
    """Runs the rounds. `heard` gets each step as it ends, `shown` those under way after each round."""

    def __init__(
        self,
        restoring: Callable[[str], RestoresSnapshots],
        clock: Clock,
        heard: Callable[[Step], None] = lambda _step: None,
        shown: Callable[[tuple[Step, ...]], None] = lambda _steps: None,
    ) -> None:
        self._restoring = restoring
        self._clock = clock
        self._heard = heard
        self._shown = shown
        self._steps: list[Step] = []

    def run(self, application: str, region: str, found: Found, noted: Mapping[str, tuple[str, ...]]) -> RegionReport:
        """Until every resource is there or has failed. Raises nothing of the tree: what fails is in the report."""
        began = self._clock.now()
        under = [
            _Under(each, began, notes=(*each.choice.notes, *each.notes, *noted.get(each.resource, ())))
            for each in found.located
        ]
        for each in under:
            self._step(Step("locate", each.located.resource, as_of(each.located), outcome=DONE))
        between = pauses(FIRST_PAUSE)
        while True:
            for each in under:
                if each.ended is None:
                    self._go_on(each)
            waiting = [each for each in under if each.ended is None]
            if not waiting:
                break
            self._shown(tuple(_now(each, self._clock.now()) for each in waiting))
            self._clock.sleep(next(between))
        ended = tuple(each.ended for each in under if each.ended is not None)
        return RegionReport(application, region, ended, tuple(self._steps), found.left)

    def _go_on(self, under: _Under) -> None:
        now = self._clock.now()
        try:
            progress = self._restoring(under.located.kind).advance(under.located.order)
        except (Unavailable, OutcomeUnknown) as error:
            under.silent_since = under.silent_since or now
            if now - under.silent_since >= PATIENCE:
                self._end(under, error)
            return
        except DrorchError as error:
            self._end(under, error)
            return
        under.silent_since, under.made = None, progress.made
        self._note(under, now)
        if progress.failed:
            told = "; ".join(f"{m.what} {m.native_id}: {m.detail or m.state}" for m in progress.failed)
            self._end(under, Unavailable(f"the provider could not make it: {told}"))
        elif progress.done:
            under.notes = (*under.notes, *progress.notes)
            self._end(under, None)

    def _note(self, under: _Under, now: datetime) -> None:
        """Tell of what has become ready since the last round."""
        for made in under.made:
            known = under.seen.get(made.native_id)
            since = known[1] if known else now
            if made.state == READY and (known is None or known[0].state != READY):
                took = int((now - since).total_seconds())
                detail = f"{made.what} {made.native_id}" + (f" at {made.endpoint}" if made.endpoint else "")
                self._step(Step("create", under.located.resource, detail, took_s=took, outcome=DONE))
            under.seen[made.native_id] = (made, since)

    def _end(self, under: _Under, error: DrorchError | None) -> None:
        located, now = under.located, self._clock.now()
        took = int((now - under.began).total_seconds())
        why = ""
        if error is not None:
            next_best = f"; the next best is {located.next_best}" if located.next_best else ""
            why = f"{error}{next_best}; what was made stays, the same command goes on with it"
        outcome = FAILED if error is not None else DONE
        detail = why or f"{len(under.made)} made of point {located.choice.point.id}"
        self._step(Step("ready", located.resource, detail, took_s=took, outcome=outcome))
        under.ended = BroughtBack(
            located=located,
            made=under.made,
            outcome=outcome,
            data_loss_s=data_loss(located, now),
            why=why,
            exit_code=0 if error is None else error.exit_code,
            notes=tuple(dict.fromkeys(under.notes)),
        )

    def _step(self, step: Step) -> None:
        self._steps.append(step)
        self._heard(step)


def _now(under: _Under, now: datetime) -> Step:
    """What one resource waits for, in a few words, and since when it is under way."""
    located, took = under.located, int((now - under.began).total_seconds())
    ready = sum(made.state == READY for made in under.made)
    slow = next((made for made in under.made if made.state not in (READY, FAILED)), None)
    doing = f", {slow.what} {slow.native_id} {slow.detail or slow.state}" if slow else ""
    detail = f"{ready} of {len(under.made)} ready{doing}"
    if under.silent_since is not None:
        detail = f"no answer since {to_text(under.silent_since)}"
    return Step("create", located.resource, detail, located.estimate_s, took)
