"""In which order the steps of a runbook go, what each waits for, and what can go side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drorch.domain.recovery import Step
from drorch.domain.runbook import Command, Launch, Recovery, Restore, RunbookStep, SwitchRecord, Wait

DONE, BY_HAND, FAILED, NOT_BEGUN = "done", "by hand", "failed", "not begun"
"""Outcomes of a step: carried out; its fallback was done by a person; neither; what it needs has failed."""

OVER = frozenset({DONE, BY_HAND})
"""Outcomes after which what needs the step can go on."""


def ready(steps: Sequence[RunbookStep], outcomes: Mapping[str, str]) -> tuple[RunbookStep, ...]:
    """The steps that can be carried out now, side by side: not ended, and all that they need is over."""
    return tuple(step for step in steps if step.name not in outcomes and not waits_for(step, outcomes))


def waits_for(step: RunbookStep, outcomes: Mapping[str, str]) -> tuple[str, ...]:
    """The steps that it needs and that are not over."""
    return tuple(name for name in step.needs if outcomes.get(name) not in OVER)


def cut_off(steps: Sequence[RunbookStep], outcomes: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The steps that can never begin any more, each with the steps it needs that failed or were cut off themselves."""
    lost = {name for name, outcome in outcomes.items() if outcome not in OVER}
    found: dict[str, tuple[str, ...]] = {}
    for step in steps:  # each stands behind all that it needs
        why = tuple(name for name in step.needs if name in lost)
        if step.name not in outcomes and why:
            found[step.name] = why
            lost.add(step.name)
    return found


def side_by_side(steps: Sequence[RunbookStep]) -> tuple[tuple[RunbookStep, ...], ...]:
    """The steps in rounds: those of one round need nothing but what earlier rounds have."""
    rounds: list[tuple[RunbookStep, ...]] = []
    over: dict[str, str] = {}
    while now := ready(steps, over):
        rounds.append(now)
        over |= {step.name: DONE for step in now}
    return tuple(rounds)


def resource_of(step: RunbookStep) -> str:
    """The resource that a step brings back; "" for one that brings none back."""
    return step.deed.resource if isinstance(step.deed, Restore) else ""


def launched(recovery: Recovery) -> frozenset[str]:
    """The resources whose image a step launches: of them nothing is made, their copy in the region is the image."""
    images = {step.deed.image for step in recovery.steps if isinstance(step.deed, Launch)}
    return frozenset(resource_of(step) for step in recovery.steps if step.name in images)


def described(step: RunbookStep) -> str:
    """What a step does, for people."""
    deed = step.deed
    if isinstance(deed, Restore):
        return f"bring {deed.resource} back"
    if isinstance(deed, Launch):
        return f"launch the image of step {deed.image} in group {deed.group}, behind {deed.target_group}"
    if isinstance(deed, Wait):
        return f"wait until {deed.http} answers {deed.status}"
    if isinstance(deed, SwitchRecord):
        return f"set {deed.type} {deed.name} to {', '.join(deed.values)}"
    if isinstance(deed, Command):
        return f"run {' '.join(deed.argv)}"
    return f"by hand: {deed.text}"


def runbook_plan(recovery: Recovery) -> tuple[Step, ...]:
    """The steps as ``--plan`` shows them, in an order in which each follows all that it needs."""
    return tuple(Step(step.name, resource_of(step), f"{described(step)}{_after(step)}") for step in recovery.steps)


def _after(step: RunbookStep) -> str:
    return f" (after {', '.join(step.needs)})" if step.needs else ""
