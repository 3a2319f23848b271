"""Carrying out a runbook: ask the hand of every step that can go on, until each has ended, and say how far it is.

Steps that need nothing of each other go side by side; one that fails stops what needs it and nothing else. Nothing is
remembered: whoever gives the same command again goes on where this one ended, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from drorch.app.failpoint import reach
from drorch.app.pauses import pauses
from drorch.app.runbook_hands import Ask, Hand, asked
from drorch.domain.errors import DrorchError, NotInThisVersion, OutcomeUnknown, Refused, Unavailable, worst_code
from drorch.domain.recovery import Step
from drorch.domain.runbook import Recovery, RunbookStep, StepProgress
from drorch.domain.runbook_order import BY_HAND, DONE, FAILED, NOT_BEGUN, cut_off, described, ready, resource_of
from drorch.ports import Clock

FIRST_PAUSE = 1.0
"""Seconds between the first two rounds, and after a step has ended."""

PATIENCE = timedelta(minutes=15)
"""So long nobody may answer about one step before it is given up."""

FALLBACK_AFTER = timedelta(minutes=2)
"""So long instead where a person can do it another way."""


@dataclass(frozen=True, slots=True)
class RunbookReport:
    """How a runbook went: its steps as they ended, in its order, and what people must know or still have to do."""

    application: str
    region: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    to_do: tuple[str, ...] = ()
    exit_code: int = 0

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4), and more."""
        return {
            "application": self.application,
            "region": self.region,
            "steps": [step.to_json() for step in self.steps],
            "notes": list(self.notes),
            "to_do": list(self.to_do),
        }


@dataclass(slots=True)
class _Under:
    """One step on its way. `why` is set once it has failed and its fallback is asked for."""

    step: RunbookStep
    began: datetime
    detail: str = ""
    silent_since: datetime | None = None
    why: DrorchError | None = None


@dataclass(slots=True)
class _Course:
    """One carrying out: what is under way, what has ended and how."""

    application: str
    region: str
    steps: Sequence[RunbookStep]
    under: dict[str, _Under] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Step] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)

    def report(self) -> RunbookReport:
        steps = tuple(self.ended[step.name] for step in self.steps)
        code = worst_code(self.codes)
        return RunbookReport(self.application, self.region, steps, tuple(self.notes), tuple(self.to_do), code)


class CarryingOut:
    """Runs the rounds. `hands` has the hand of every word of a step; `heard` gets each step as it ends, `shown` those
    under way after each round, their `took_s` being the time so far. `estimates` has the seconds that steps are
    expected to take, by their names.
    """

    def __init__(
        self,
        hands: Mapping[str, Hand],
        clock: Clock,
        ask: Ask,
        heard: Callable[[Step], None] = lambda _step: None,
        shown: Callable[[tuple[Step, ...]], None] = lambda _steps: None,
        estimates: Mapping[str, int | None] | None = None,
    ) -> None:
        self._hands = hands
        self._clock = clock
        self._ask = ask
        self._heard = heard
        self._shown = shown
        self._estimates = estimates or {}

    def check(self, recovery: Recovery, refused: Mapping[str, Refused] | None = None) -> None:
        """Look, before anything begins, whether every step has its hand; `refused` says why a word has none here.

        Raises Refused.
        """
        for step in recovery.steps:
            word = step.deed.word
            if refused and word in refused:
                raise refused[word]
            if word not in self._hands:
                raise NotInThisVersion(f"step {step.name}: {word} in a runbook is not in this version")

    def run(self, application: str, region: str, recovery: Recovery) -> RunbookReport:
        """Until every step has ended. Raises nothing of the tree: what fails is in the report."""
        course = _Course(application, region, recovery.steps)
        between = pauses(FIRST_PAUSE)
        while True:
            before = len(course.outcomes)
            for step in ready(recovery.steps, course.outcomes):
                self._go_on(course, step)
            for name, needs in cut_off(recovery.steps, course.outcomes).items():
                self._cut_off(course, name, needs)
            if not ready(recovery.steps, course.outcomes):
                return course.report()
            if len(course.outcomes) > before:
                between = pauses(FIRST_PAUSE)
                continue  # what needed it can begin at once
            now = self._clock.now()
            self._shown(tuple(self._so_far(under, now) for under in course.under.values()))
            self._clock.sleep(next(between))

    def _go_on(self, course: _Course, step: RunbookStep) -> None:
        under = course.under.get(step.name)
        if under is None:
            under = course.under[step.name] = _Under(step, self._clock.now())
            reach(f"step.{step.deed.word}.before")
        try:
            progress = self._look(under)
        except (Unavailable, OutcomeUnknown) as error:
            now = self._clock.now()
            under.silent_since, under.detail = under.silent_since or now, str(error)
            if now - under.silent_since >= (FALLBACK_AFTER if step.fallback else PATIENCE):
                self._failed(course, under, error)
        except DrorchError as error:
            self._failed(course, under, error)
        else:
            under.silent_since, under.detail = None, progress.detail
            if progress.failed:
                self._failed(course, under, Unavailable(progress.failed, operation=f"step {step.name}"))
            elif progress.done:
                course.notes += [f"{step.name}: {note}" for note in progress.notes]
                self._end(course, under, DONE if under.why is None else BY_HAND, progress.detail)

    def _look(self, under: _Under) -> StepProgress:
        step = under.step
        if under.why is not None:
            return asked(self._ask, step, f"{under.why.message}. Instead: {step.fallback}")
        progress = self._hands[step.deed.word](step)
        reach(f"step.{step.deed.word}.called")
        return progress

    def _failed(self, course: _Course, under: _Under, error: DrorchError) -> None:
        """Its fallback is a person's; without one, or when that was not done either, it has failed."""
        if under.step.fallback and under.why is None:
            under.why, under.silent_since = error, None
            return
        first = under.why or error
        course.codes.add(first.exit_code)
        course.to_do.append(f"{under.step.name}: {under.step.fallback or described(under.step)}")
        self._end(course, under, FAILED, str(first))

    def _end(self, course: _Course, under: _Under, outcome: str, detail: str) -> None:
        del course.under[under.step.name]
        told = f"{under.why.message}; {detail}" if under.why is not None and outcome == BY_HAND else detail
        ended = replace(self._so_far(under, self._clock.now()), detail=told or described(under.step), outcome=outcome)
        course.outcomes[under.step.name], course.ended[under.step.name] = outcome, ended
        if outcome != FAILED:
            reach(f"step.{under.step.deed.word}.recorded")
        self._heard(ended)

    def _cut_off(self, course: _Course, name: str, needs: tuple[str, ...]) -> None:
        step = next(step for step in course.steps if step.name == name)
        ended = Step(name, resource_of(step), f"needs {', '.join(needs)}", outcome=NOT_BEGUN)
        course.outcomes[name], course.ended[name] = NOT_BEGUN, ended
        course.to_do.append(f"{name}: {described(step)}")
        self._heard(ended)

    def _so_far(self, under: _Under, now: datetime) -> Step:
        name, took = under.step.name, int((now - under.began).total_seconds())
        detail = under.detail or described(under.step)
        return Step(name, resource_of(under.step), detail, self._estimates.get(name), took)
