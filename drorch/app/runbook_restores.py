"""The resources of a runbook as they were located: what its steps bring back, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from drorch.app.bringing_back import BroughtBack
from drorch.app.native_restore import Found, Located, data_loss
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.native import IMAGE
from drorch.domain.native_restore import RestoreProgress
from drorch.ports import Clock, Made, RestoresSnapshots


@dataclass(frozen=True, slots=True)
class LocatedRestores:
    """Brings located resources back (Restores, of `drorch.app.runbook_hands`)."""

    found: Found
    restoring: Callable[[str], RestoresSnapshots]

    def require(self, wanted: Collection[str]) -> None:
        """Refused for resources of the runbook of which nothing was located, each with why."""
        there = {each.resource for each in self.found.located}
        missing = {name: self.found.left.get(name, "nothing is known of it") for name in sorted({*wanted} - there)}
        if missing:
            cause = "; ".join(f"{name}: {why}" for name, why in missing.items())
            hint = "name the resources that can come back, without the runbook"
            raise Refused("the runbook brings back what is not there", operation="restore", cause=cause, hint=hint)

    def advance(self, resource: str) -> RestoreProgress:
        """As `RestoresSnapshots.advance`."""
        located = self._located(resource)
        return self.restoring(located.kind).advance(located.order)

    def image(self, resource: str) -> tuple[str, str]:
        """(account, id) of the image of the copy that was chosen. NotFound."""
        order = self._located(resource).order
        found = next((part.native_id for part in order.parts if part.role == IMAGE), "")
        if not found:
            raise NotFound(f"the copy of {resource} holds no image", operation="launch", resource=resource)
        return order.account, found

    def outcomes(self, restored: Collection[str], failed: Collection[str], clock: Clock) -> tuple[BroughtBack, ...]:
        """What is there now of the resources that steps bring back; `failed` are those whose step was not done."""
        return tuple(
            BroughtBack(
                located=each,
                made=self._made(each),
                outcome="failed" if each.resource in failed else "done",
                data_loss_s=data_loss(each, clock.now()),
                notes=(*each.choice.notes, *each.notes),
            )
            for each in self.found.located
            if each.resource in restored
        )

    def _located(self, resource: str) -> Located:
        located = next((each for each in self.found.located if each.resource == resource), None)
        if located is None:
            raise NotFound(f"no copy of {resource} was chosen", operation="restore", resource=resource)
        return located

    def _made(self, each: Located) -> tuple[Made, ...]:
        order = each.order
        try:
            found = self.restoring(each.kind).made(order.account, order.region, order.tag, order.id)
        except DrorchError:
            return ()  # the steps have told already what came of it
        return tuple(made for _, made in found)
