"""The resources of a runbook as they were located: what its steps bring back, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from drorch.app.native_restore import Found, Located
from drorch.app.region_report import BroughtBack
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.native import IMAGE
from drorch.domain.native_restore import READY, RestoreProgress
from drorch.domain.recovery import Step
from drorch.domain.runbook import Recovery
from drorch.domain.runbook_order import DONE, FAILED, OVER, launched, resource_of
from drorch.ports import Clock, Made, RestoresSnapshots


class ReadyThings:
    """Tells of each thing that is made as it becomes ready, with how long that took since it was first seen."""

    def __init__(self, clock: Clock, heard: Callable[[Step], None]) -> None:
        self._clock = clock
        self._heard = heard
        self._since: dict[str, datetime] = {}
        self._told: set[str] = set()

    def note(self, resource: str, things: Iterable[Made]) -> None:
        """These there are of the resource now."""
        now = self._clock.now()
        for made in things:
            since = self._since.setdefault(made.native_id, now)
            if made.state == READY and made.native_id not in self._told:
                self._told.add(made.native_id)
                detail = f"{made.what} {made.native_id}" + (f" at {made.endpoint}" if made.endpoint else "")
                self._heard(Step("create", resource, detail, took_s=int((now - since).total_seconds()), outcome=DONE))


@dataclass(frozen=True, slots=True)
class LocatedRestores:
    """Brings located resources back (Restores, of `drorch.app.runbook_hands`). `noted` hears what there is of each."""

    found: Found
    restoring: Callable[[str], RestoresSnapshots]
    noted: Callable[[str, Iterable[Made]], None] = lambda _resource, _made: None
    _last: dict[str, RestoreProgress] = field(default_factory=dict)

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
        progress = self._last[resource] = self.restoring(located.kind).advance(located.order)
        self.noted(resource, progress.made)
        return progress

    def image(self, resource: str) -> tuple[str, str]:
        """(account, id) of the image of the copy that was chosen. NotFound."""
        order = self._located(resource).order
        found = next((part.native_id for part in order.parts if part.role == IMAGE), "")
        if not found:
            raise NotFound(f"the copy of {resource} holds no image", operation="launch", resource=resource)
        return order.account, found

    def notes(self, resource: str) -> tuple[str, ...]:
        """What its provider's kind says of it, once it is back."""
        last = self._last.get(resource)
        return last.notes if last is not None and last.done else ()

    def outcomes(
        self, restored: Collection[str], steps: Iterable[Step], clock: Clock, noted: Mapping[str, Sequence[str]]
    ) -> tuple[BroughtBack, ...]:
        """What is there now of the resources that `steps`, as they ended, bring back; `noted` was said before."""
        ended = {step.resource: step for step in steps if step.resource}
        return tuple(
            BroughtBack(
                located=each,
                restore=each.order.id,
                made=self._made(each),
                outcome=DONE if ended[each.resource].outcome in OVER else FAILED,
                data_loss_s=each.choice.data_loss_s(clock.now()),
                why=_why(each, ended[each.resource]),
                notes=(*each.choice.notes, *each.notes, *noted.get(each.resource, ())),
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
        if each.resource in self._last:
            return self._last[each.resource].made
        order = each.order
        try:
            found = self.restoring(each.kind).made(order.account, order.region, order.tag, order.id)
        except DrorchError:
            return ()  # the steps have told already what came of it
        return tuple(made for _, made in found)


def estimates(found: Found, recovery: Recovery, loads: Mapping[str, int | None]) -> dict[str, int | None]:
    """Seconds by step, of those that make something: what a drill of the resource took, None where none has.

    `loads` has them by resource, of those that are dumps.
    """
    images = launched(recovery)
    made = {each.resource: each.estimate_s for each in found.located if each.resource not in images}
    measured = {**made, **loads}
    return {step.name: measured.get(resource_of(step)) for step in recovery.steps}


def _why(each: Located, ended: Step) -> str:
    """Why it is not back, and what to do next; "" when it is."""
    if ended.outcome in OVER:
        return ""
    next_best = f"; the next best is {each.next_best}" if each.next_best else ""
    return f"{ended.detail}{next_best}; what was made stays, the same command goes on with it"
