"""The restores of a runbook, of what was located in its region; and what of them is there, for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drorch.app.bringing_back import DONE, BroughtBack
from drorch.app.native_restore import Found, Located, data_loss
from drorch.app.runbook import RunbookReport
from drorch.domain.errors import NotFound
from drorch.domain.native_restore import RestoreProgress
from drorch.domain.runbook import Recovery
from drorch.domain.runbook_order import launched
from drorch.ports import Clock, RestoresSnapshots


class LocatedRestores:
    """Brings back what was located (Restores); what it has seen last of each is kept for the report."""

    def __init__(self, found: Found, restoring: Callable[[str], RestoresSnapshots]) -> None:
        self._found = found
        self._restoring = restoring
        self.progress: dict[str, RestoreProgress] = {}

    def advance(self, resource: str) -> RestoreProgress:
        """One look at it."""
        located = self._located(resource)
        progress = self._restoring(located.kind).advance(located.order)
        self.progress[resource] = progress
        return progress

    def image(self, resource: str) -> tuple[str, str]:
        """Of the located copy."""
        located = self._located(resource)
        part = next((part for part in located.order.parts if part.role == "image"), None)
        if part is None:
            raise NotFound(f"no image of {resource} was located", operation="restore", vault=located.vault)
        return located.order.account, part.native_id

    def _located(self, resource: str) -> Located:
        located = next((each for each in self._found.located if each.resource == resource), None)
        if located is None:
            cause = self._found.left.get(resource, "no copy of it lies there")
            raise NotFound(f"{resource} cannot be brought back", operation="restore", cause=cause)
        return located


def to_bring_back(found: Found, recovery: Recovery) -> tuple[Located, ...]:
    """Of what was located that of which steps of the runbook make something."""
    wanted = recovery.restored - launched(recovery)
    return tuple(each for each in found.located if each.resource in wanted)


def brought_back(
    found: Found, restores: LocatedRestores, recovery: Recovery, report: RunbookReport, clock: Clock
) -> tuple[BroughtBack, ...]:
    """How it went with every located resource of the runbook; of a launched one with its image."""
    outcomes: Mapping[str, str] = {step.resource: step.outcome for step in report.steps if step.resource}
    details = {step.resource: step.detail for step in report.steps if step.resource}
    now = clock.now()
    return tuple(
        BroughtBack(
            located=each,
            made=restores.progress[each.resource].made if each.resource in restores.progress else (),
            outcome=outcomes[each.resource],
            data_loss_s=data_loss(each, now),
            why="" if outcomes[each.resource] == DONE else details[each.resource],
            notes=each.notes,
        )
        for each in found.located
        if each.resource in recovery.restored
    )
