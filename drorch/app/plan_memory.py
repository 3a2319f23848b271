"""What was decided of applications, so that nothing is decided anew while nothing has changed that it was decided from.

A plan with a memory is the same as one without. It is used again only when all that it was made from is as it was, and
before the first instant at which any of its comparisons with the present would come out differently
(`drorch.domain.present`). What asked the present for more than comparisons is not remembered at all.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drorch.domain.action import Action
from drorch.domain.ages import Ages
from drorch.domain.asked import Asked
from drorch.domain.audit import Audit
from drorch.domain.catalogue import Catalogue
from drorch.domain.plan import Failure, Observed
from drorch.domain.policy import Policy

Apart = tuple[Mapping[str, str], str, Audit | None]
"""What no look shows of an application: who holds the locks of its resources, by name; which restore of it runs here,
or ""; the random audit that is picked of it.
"""


@dataclass(frozen=True, slots=True)
class Grounds:
    """All that one application's plan is made from, but for the present.

    `common` is what is the same for every application, `own` what is observed of this one, both by the names of
    `drorch.domain.plan.Observed`; `evidence` and `common_evidence` are what its catalogue is made from. Of `intents`,
    `copied` and `failures`, which are of all applications, only what the planner asks counts.
    """

    policy: Policy
    common: Mapping[str, Any]
    own: Mapping[str, Any]
    evidence: tuple[object, ...]
    common_evidence: tuple[object, ...]
    intents: Mapping[str, datetime]
    copied: Mapping[str, bool]
    failures: Mapping[str, Failure]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A plan with its grounds, the instant that it was made at, and from when on it may be another one (None: never).

    `policy` is that of the grounds with the cadences that measured times make it have, `ages` have the status, and
    `turns` are those of its `Observed`.
    """

    grounds: Grounds
    at: datetime
    until: datetime | None
    asked: tuple[Asked[datetime], Asked[bool], Asked[Failure]]
    policy: Policy
    catalogue: Catalogue
    actions: tuple[Action, ...]
    ages: Ages
    turns: Mapping[tuple[str, str], Mapping[int, datetime]] | None

    def lasts(self, now: datetime) -> bool:
        """Whether the same would be decided from its own grounds at that instant."""
        return self.at <= now and (self.until is None or now < self.until)

    def holds(self, grounds: Grounds, now: datetime) -> bool:
        """Whether the same would be decided from these grounds at that instant."""
        if not self.lasts(now):
            return False
        was = self.grounds
        return (
            (was.policy is grounds.policy or was.policy == grounds.policy)
            and (was.common is grounds.common or was.common == grounds.common)
            and was.evidence == grounds.evidence
            and (was.common_evidence is grounds.common_evidence or was.common_evidence == grounds.common_evidence)
            and was.own == grounds.own
            and self.asked[0].answers_as(grounds.intents)
            and self.asked[1].answers_as(grounds.copied)
            and self.asked[2].answers_as(grounds.failures)
        )

    @property
    def weight(self) -> int:
        """About how much of the memory it takes, in points."""
        turns = sum(len(read) for read in (self.turns or {}).values())
        return 1 + len(self.catalogue.points) + turns // 10


@dataclass(frozen=True, slots=True)
class Glance:
    """What was found to hold of an application in a look, and as what it was `observed`: found again at a glance while
    looks bear the same `number`, which says that they saw the same, and what they do not see is as it was.
    """

    number: int
    policy: Policy
    valid: bool
    apart: Apart
    known: Remembered
    observed: Observed

    def holds(self, number: int, policy: Policy, valid: bool, apart: Apart, now: datetime) -> bool:
        """Whether it does for a look of that number at that instant."""
        same = self.number == number and self.policy is policy and self.valid == valid and self.apart == apart
        return same and self.known.lasts(now)


@dataclass(slots=True)
class PlanMemory:
    """The plans of applications by their names, about so many `points` in all.

    Who came first stays: every pass asks for all of them in the same order, so that forgetting the one that was not
    asked for longest would forget each of them just before it is asked for.
    """

    points: int = 20_000
    _held: int = 0
    _plans: dict[str, Remembered] = field(default_factory=dict)
    _glances: dict[str, Glance] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._plans)

    def find(self, grounds: Grounds, now: datetime) -> Remembered | None:
        """What was decided from the same grounds and holds now; anything else that was decided is forgotten."""
        known = self._plans.get(grounds.policy.application)
        if known is not None and not known.holds(grounds, now):
            self.forget(grounds.policy.application)
            return None
        return known

    def glance(self, number: int, policy: Policy, valid: bool, apart: Apart, now: datetime) -> Glance | None:
        """What the last look found to hold, when that is enough."""
        seen = self._glances.get(policy.application)
        return seen if seen is not None and seen.holds(number, policy, valid, apart, now) else None

    def seen(self, glance: Glance) -> None:
        """A look has found this to hold; of use only for what is remembered."""
        if glance.policy.application in self._plans:
            self._glances[glance.policy.application] = glance

    def keep(self, made: Remembered) -> None:
        """Remember it while there is room."""
        name = made.grounds.policy.application
        self.forget(name)
        if self._held + made.weight <= self.points:
            self._plans[name] = made
            self._held += made.weight

    def only(self, applications: Container[str]) -> None:
        """Forget every other application."""
        for name in [name for name in self._plans if name not in applications]:
            self.forget(name)

    def forget(self, application: str) -> None:
        """Remember nothing of it."""
        self._glances.pop(application, None)
        known = self._plans.pop(application, None)
        if known is not None:
            self._held -= known.weight
