"""Bringing resources back that were named: a runbook of one restore step each, which need nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from drorch.app.native_restore import Found, as_of
from drorch.app.region_report import RegionReport
from drorch.app.runbook import CarryingOut
from drorch.app.runbook_hands import RestoreHand
from drorch.app.runbook_restores import LocatedRestores, ReadyThings
from drorch.domain.recovery import Step
from drorch.domain.runbook import Recovery, Restore, RunbookStep
from drorch.domain.runbook_order import DONE
from drorch.ports import Clock, RestoresSnapshots


class BringingBack:
    """Runs the rounds. `heard` gets each step as it ends, `shown` those under way after each round.

    A resource has the steps `locate`, `create` (one for each thing, once that is ready) and `ready`.
    """

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

    def run(self, application: str, region: str, found: Found, noted: Mapping[str, Sequence[str]]) -> RegionReport:
        """Until every resource is there or has failed. Raises nothing of the tree: what fails is in the report."""
        for each in found.located:
            self._step(Step("locate", each.resource, as_of(each), outcome=DONE))
        restores = LocatedRestores(found, self._restoring, ReadyThings(self._clock, self._step).note)
        report = CarryingOut(
            {Restore.word: RestoreHand(restores)},
            self._clock,
            lambda _step, _text: None,  # nothing here has a person for its fallback
            lambda ended: self._step(replace(ended, step="ready")),
            lambda steps: self._shown(tuple(replace(step, step="create") for step in steps)),
            {each.resource: each.estimate_s for each in found.located},
        ).run(application, region, _runbook(found))
        backs = tuple(
            replace(back, notes=tuple(dict.fromkeys((*back.notes, *restores.notes(back.located.resource)))))
            for back in restores.outcomes([each.resource for each in found.located], report.steps, self._clock, noted)
        )
        return RegionReport(application, region, backs, tuple(self._steps), found.left, report.exit_code)

    def _step(self, step: Step) -> None:
        self._steps.append(step)
        self._heard(step)


def _runbook(found: Found) -> Recovery:
    return Recovery(steps=tuple(RunbookStep(each.resource, Restore(each.resource)) for each in found.located))
