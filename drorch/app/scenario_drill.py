"""The drill of a whole application: the restores of its runbook, under a drill's tags, measured, cleared away.

Points are found as they would be without the home region. Everything bears the tag of its resource's own drill, so that
what a killed worker leaves the next one clears away before it begins anew; when none comes, it goes when its time is up
(`drorch.app.drill_sweep`). What a drill leaves out (launches, records, commands, people) stands in the proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from threading import Event

from drorch import __version__
from drorch.app.clearing_away import ClearingAway
from drorch.app.runbook import CarryingOut
from drorch.app.scenario_points import Rehearsal, ScenarioPoints
from drorch.app.signing import write_record
from drorch.crypto.ids import point_id, site_key
from drorch.crypto.minisign import SecretKey
from drorch.domain.catalogue_point import RESTORABLE
from drorch.domain.errors import DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.instant import to_slot
from drorch.domain.native_restore import READY, Made
from drorch.domain.record import Record, RecordType, compose
from drorch.domain.recovery import Step
from drorch.domain.runbook import Recovery, Restore, RunbookStep, StepProgress
from drorch.domain.runbook_order import DONE, FAILED
from drorch.domain.scenario import LEFT_OUT, SCENARIO, ScenarioOrder
from drorch.domain.scenario_rule import REGION
from drorch.ports import Clock, ObjectStore, RestoresSnapshots

LATE = "it was not ready in the time that a drill may take"


class InterruptedDrill(Exception):
    """The worker is to stop: nothing is judged, and what was made is cleared away."""


@dataclass(slots=True)
class _Course:
    """What came of a drill so far. `missing` says of which resources nothing can be brought back; `silent` and
    `refused` are the steps that say nothing about their copies.
    """

    until: datetime
    missing: Mapping[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    made: dict[str, tuple[Made, ...]] = field(default_factory=dict)
    silent: dict[str, DrorchError] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    seconds: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """What went wrong, of the steps that were carried out."""
        wrong = (step for step in self.steps if step.resource and step.outcome not in (DONE, LEFT_OUT))
        return "; ".join(f"{step.step}: {step.detail}" for step in wrong)


@dataclass(frozen=True, slots=True)
class ScenarioDrill:
    """Runs one. `points` finds what is brought back, `restoring` gives its kind; the rest is as in `NativeDrill`."""

    points: ScenarioPoints
    restoring: Callable[[str], RestoresSnapshots]
    stores: Mapping[str, ObjectStore]
    clock: Clock
    key: SecretKey
    ticker: Callable[[], float]
    report: Callable[[Mapping[str, object]], None] = lambda _progress: None
    cancel: Event | None = None

    def run(self, order: ScenarioOrder) -> dict[str, object]:
        """The outcome, as that of a drill of one resource; the proof goes to all of `stores`.

        Raises, and leaves no proof, when the copies could not be judged: another drill goes on in their accounts
        (Busy), options that name what is not there, a region that does not answer, an interruption. What was made is
        cleared away in any case, as far as it can be.
        """
        chosen = self.points.choose(order)
        found = chosen.found
        if chosen.left:
            self._clear(chosen.left, _Course(chosen.until))
        course, began = _Course(chosen.until, dict(chosen.missing)), self.ticker()
        try:
            for each in found.values():
                self.restoring(each.kind).check_restore(each.order)
            self._carry_out(order, found, course)
        except InterruptedDrill as error:
            cause = "the worker is to stop"
            raise Unavailable("the drill was interrupted", operation="drill", cause=cause) from error
        finally:
            self._clear(found, course)
        self._judge(course)
        course.seconds["total"] = math.ceil(self.ticker() - began)
        proof = _proof(order, found, course, self.key, self.clock.now())
        lost = write_record(proof, self.key, self.stores, self.stores.__getitem__)
        return _outcome(proof, course) | {"unwritten": {vault: str(error) for vault, error in lost.items()}}

    def _carry_out(self, order: ScenarioOrder, found: Mapping[str, Rehearsal], course: _Course) -> None:
        began = self.ticker()

        def hand(step: RunbookStep) -> StepProgress:
            return self._look(step, found, course)

        def shown(_steps: tuple[Step, ...]) -> None:
            made = [one for of in course.made.values() for one in of]
            ready, so_far = sum(one.state == READY for one in made), math.ceil(self.ticker() - began)
            told = f"drill of {order.application}: {ready} of {len(made)} ready"
            # The seconds move even while a provider shows nothing new: that is no worker that has stopped.
            self.report({"step": told, "resource": SCENARIO, "seconds": so_far})

        steps = tuple(step.step for step in order.steps if not step.left_out)
        rounds = CarryingOut({Restore.word: hand}, self.clock, lambda _step, _text: False, shown=shown)
        ended = rounds.run(order.application, order.region, Recovery(steps=steps)).steps
        course.seconds["create"] = math.ceil(self.ticker() - began)
        by_name = {step.step: step for step in ended}
        for step in order.steps:
            out = Step(step.name, "", f"left out in a drill: {step.left_out}", outcome=LEFT_OUT)
            course.steps.append(by_name.get(step.name, out))

    def _look(self, step: RunbookStep, found: Mapping[str, Rehearsal], course: _Course) -> StepProgress:
        """One look at a resource; remembers what says nothing about its copy."""
        if self.cancel is not None and self.cancel.is_set():
            raise InterruptedDrill
        resource = step.deed.resource if isinstance(step.deed, Restore) else ""
        if resource not in found:
            return StepProgress(failed=course.missing[resource])
        each, late = found[resource], self.clock.now() >= course.until
        try:
            progress = self.restoring(each.kind).advance(each.order)
        except (Unavailable, OutcomeUnknown) as error:
            course.silent[resource] = error
            if late:
                return StepProgress(failed=str(error))
            raise
        except NotFound:
            raise  # the snapshot is gone: that says something about the copy
        except Refused as error:
            course.refused[resource] = error
            raise
        course.silent.pop(resource, None)
        course.made[resource] = progress.made
        if progress.failed:
            told = "; ".join(f"{m.what} {m.native_id}: {m.detail or m.state}" for m in progress.failed)
            return StepProgress(failed=f"the provider could not make it: {told}")
        if not progress.done and late:
            return StepProgress(failed=LATE)
        return StepProgress(progress.done, progress.waiting or f"{len(progress.made)} made of point {each.order.point}")

    def _judge(self, course: _Course) -> None:
        """Raises what says nothing about the copies."""
        for resource, silent in course.silent.items():
            raise Unavailable(
                "the region stopped answering", operation="drill", resource=resource, cause=str(silent)
            ) from silent
        for refused in course.refused.values():
            raise refused

    def _clear(self, found: Mapping[str, Rehearsal], course: _Course) -> None:
        """Everything goes, what was brought back last first; what is left after a while is told and the sweeper's."""
        discards = {name: partial(self._discarded, found[name]) for name in reversed(list(found))}
        clearing = ClearingAway(self.clock, self.ticker, self.report, self.cancel)
        left, step = clearing.run(discards, course.made, subject=SCENARIO, resource="")
        course.left = [f"{made.what} {made.native_id}" for made in left]
        course.seconds["clear"] = step.took_s or 0
        course.steps.append(step)

    def _discarded(self, each: Rehearsal) -> tuple[Made, ...]:
        order = each.order
        return self.restoring(each.kind).discard(order.account, order.region, order.tag, order.id)


def _proof(
    order: ScenarioOrder, found: Mapping[str, Rehearsal], course: _Course, key: SecretKey, at: datetime
) -> Record:
    """Filed under a point of its own, of no resource: a reader that knows nothing of it counts it for nothing."""
    first = next(iter(found.values()))
    return compose(
        RecordType.PROOF,
        site=order.site,
        at=at,
        application=order.application,
        resource=SCENARIO,
        point=point_id(site_key(key), order.application, SCENARIO, to_slot(at), 1),
        cut_at=min(each.order.cut_at for each in found.values()),
        vault=first.vault,
        outcome=FAILED if course.why else RESTORABLE,
        why=course.why or None,
        probes=[],
        counts={"compared": 0, "differing": 0},
        seconds=dict(course.seconds),
        bytes=sum(part.bytes for each in found.values() for part in each.order.parts),
        tools={"drorch": __version__},
        scenario=REGION,
        region=order.region,
        points={name: each.order.point for name, each in found.items()},
        steps=[_said(step) for step in course.steps],
    )


def _said(step: Step) -> dict[str, object]:
    """Of a step in a record, without what is not known."""
    return {key: value for key, value in replace(step, estimate_s=None).to_json().items() if value is not None}


def _outcome(proof: Record, course: _Course) -> dict[str, object]:
    body = proof.body
    names = ("application", "resource", "point", "vault", "cut_at", "outcome", "seconds", "bytes", "points", "region")
    return {name: body[name] for name in names} | {
        "probes": [],
        "differences": [],
        "steps": [step.to_json() for step in course.steps],
        "why": course.why or None,
        "left": list(course.left),
        "scenario": REGION,
        "proof": dict(body),
    }
