"""Compares every plan that passes remember with one that is made anew: now, and at instants before its horizon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from drorch.app.passing import ApplicationPlan
from drorch.app.plan_memory import Remembered
from drorch.app.planning import Look, Planner
from drorch.domain.policy import Policy

INSTANT = timedelta.resolution


class Recollection:
    """`wrong` is in words what was remembered wrongly, `counts` how many plans were remembered, made, or not kept."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()

    def compare(self, planner: Planner, policy: Policy, look: Look, got: ApplicationPlan, *, valid: bool) -> None:
        anew = planner.fresh(policy, look, valid=valid)
        if got != anew:
            self.wrong.append(f"{policy.application} at {look.now}: {_difference(got, anew)}")
        known = planner._memory._plans.get(policy.application)
        if known is not None:
            self._ahead(planner, policy, look, known, valid=valid)

    def _ahead(self, planner: Planner, policy: Policy, look: Look, known: Remembered, *, valid: bool) -> None:
        end = known.until or look.now + timedelta(days=300)
        self.counts["until some instant" if known.until else "for ever"] += 1
        for later in (end - INSTANT, look.now + (end - look.now) / 3):
            anew = planner.fresh(policy, replace(look, now=later), valid=valid)
            if (known.actions, known.ages.at(later)) != (anew.actions, anew.status):
                self.wrong.append(f"{policy.application} at {look.now}, of {later}: not what it would be then")


def _difference(got: ApplicationPlan, anew: ApplicationPlan) -> str:
    parts = ("catalogue", "observed", "actions", "status")
    return ", ".join(part for part in parts if getattr(got, part) != getattr(anew, part))


@contextmanager
def recollected() -> Iterator[Recollection]:
    """While every process that is made here, or was, plans."""
    found = Recollection()
    planned = Planner.planned

    def compared(planner: Planner, policy: Policy, look: Look, *, valid: bool) -> ApplicationPlan:
        before = planner._memory._plans.get(policy.application)
        got = planned(planner, policy, look, valid=valid)
        after = planner._memory._plans.get(policy.application)
        found.counts["not kept" if after is None else "remembered" if after is before else "made"] += 1
        found.compare(planner, policy, look, got, valid=valid)
        return got

    with mock.patch.object(Planner, "planned", compared):
        yield found


def planned_at(world: Any) -> dict[str, tuple[datetime, bool]]:
    """Application -> when the plan that the last look remembers was made, and whether the look made it."""
    planner, seen = world.reconciler._planner, world.seen
    return {name: (known.at, known.at == seen.at) for name, known in planner._memory._plans.items()}
