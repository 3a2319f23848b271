"""What each application needs, from what a pass saw: its catalogue folded, its plan made, its promises measured.

Passes remember what they decided (`drorch.app.plan_memory`); whatever looks a second time, under a lock, decides anew.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from drorch.app.locks import Locks, resource_lock, restoring_lock
from drorch.app.observe import Observer, World, of_applications
from drorch.app.passing import ApplicationPlan, Guards
from drorch.app.plan_memory import Apart, Glance, Grounds, PlanMemory, Remembered
from drorch.domain.action import Action
from drorch.domain.ages import Ages
from drorch.domain.asked import Asked
from drorch.domain.brake import approved_pairs
from drorch.domain.cadence import Ground, by_measure
from drorch.domain.catalogue import Catalogue
from drorch.domain.copy_urgency import with_due
from drorch.domain.feasibility import domains_of
from drorch.domain.intent_keys import copied_point
from drorch.domain.objective import ApplicationStatus, Places, status
from drorch.domain.plan import Failure, Observed, PointId, plan
from drorch.domain.policy import Policy
from drorch.domain.present import FAILS, Horizon, holds_present

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the world, and what this process knows beside it. Made once, for all applications.

    Looks that differ in nothing but the present have the same `number`.
    """

    number: int
    world: World
    now: datetime
    intents: Mapping[str, datetime]
    copied: Mapping[str, bool]
    failures: Mapping[str, Failure]
    never_read: frozenset[str]
    common: Mapping[str, Any]
    common_evidence: tuple[object, ...]


class Planner:
    """Plans applications one by one. Holds what passes have decided, nothing that must survive."""

    def __init__(
        self,
        *,
        observer: Observer,
        point_id: PointId,
        locks: Locks,
        guards: Guards,
        drills: bool,
        state_since: Callable[[], datetime | None],
    ) -> None:
        self._observer = observer
        self._point_id = point_id
        self._locks = locks
        self._guards = guards
        self._drills = drills
        self._state_since = state_since
        self._memory = PlanMemory()
        self._before: tuple[Any, ...] = ()
        self._number = 0

    def look(
        self, world: World, now: datetime, intents: Mapping[str, datetime], failures: Mapping[str, Failure]
    ) -> Look:
        """What all applications are planned from."""
        guards, observer = self._guards, self._observer
        never_read = observer.never_read(world)
        common: Mapping[str, Any] = {
            "object_vaults": tuple(observer.vaults),
            "unread": world.unread,
            "state_since": self._state_since(),
            "drills": self._drills,
            "never_read": never_read & set(observer.vaults),
            "skewed": world.skewed,
            "host": guards.host,
            "grace": guards.grace,
            "brake": guards.brake,
            "approved": approved_pairs(world.approvals, now),
            "locks": guards.locks,
            "locks_unread": {view.vault.name: view.locks_why for view in world.natives if view.locks_why},
            "keys": world.keys,
            "shared": world.shared,
        }
        evidence = (never_read, *observer.common_evidence(world))
        told = dict(failures)
        seen = (common, evidence, *of_applications(world), intents, told)
        if self._before == seen:
            common, evidence = self._before[:2]  # the same objects: each application sees at once that they are
        else:
            self._before = seen
            self._number += 1
        copied = dict.fromkeys((point for key in intents if (point := copied_point(key))), True)
        return Look(self._number, world, now, intents, copied, told, never_read, common, evidence)

    def planned(self, policy: Policy, look: Look, *, valid: bool) -> ApplicationPlan:
        """The application's plan, as remembered where nothing of it can have changed."""
        apart = self._apart(policy)
        glance = self._memory.glance(look.number, policy, valid, apart, look.now)
        if glance is None:
            grounds = self._grounds(policy, look, apart, valid=valid)
            known = self._memory.find(grounds, look.now)
            if known is None:
                known = self._decided(grounds, look)
                if known is None:
                    return self._fresh(grounds, look)
                self._memory.keep(known)
            observed = _observed(grounds, known.catalogue, known.turns)
            glance = Glance(look.number, policy, valid, apart, known, observed)
            self._memory.seen(glance)
        known = glance.known
        return ApplicationPlan(known.policy, known.catalogue, glance.observed, known.actions, known.ages.at(look.now))

    def fresh(self, policy: Policy, look: Look, *, valid: bool, held: Container[str] = ()) -> ApplicationPlan:
        """The plan, decided anew. `held` are the resources whose locks are this process's own, for the actions that are
        being planned.
        """
        running, restoring, audit = self._apart(policy)
        others = {name: holder for name, holder in running.items() if name not in held}
        return self._fresh(self._grounds(policy, look, (others, restoring, audit), valid=valid), look)

    @property
    def remembered(self) -> int:
        """How many applications' plans are remembered."""
        return len(self._memory)

    def forget(self, application: str) -> None:
        """Decide anew of it at the next look: something has changed that is not seen in the world."""
        self._memory.forget(application)

    def only(self, applications: Container[str]) -> None:
        """Remember nothing of other applications than these."""
        self._memory.only(applications)

    def _fresh(self, grounds: Grounds, look: Look) -> ApplicationPlan:
        catalogue = self._observer.catalogue(grounds.policy, look.world, look.now)
        observed = _observed(grounds, catalogue, self._turns(grounds.policy))
        policy, actions, standing = self._decide(grounds, observed, look, look.now)
        return ApplicationPlan(policy, catalogue, observed, actions, standing)

    def _decided(self, grounds: Grounds, look: Look) -> Remembered | None:
        """What is decided now, and until when; None where that cannot be told."""
        horizon = Horizon(look.now)
        now = horizon.present()
        asked = Asked(look.intents), Asked(look.copied), Asked(look.failures)
        turns = self._turns(grounds.policy)
        try:
            catalogue = self._observer.catalogue(grounds.policy, look.world, now)
            policy, actions, standing = self._decide(grounds, _observed(grounds, catalogue, turns, asked), look, now)
        except FAILS as error:  # a fault of another kind is one without a memory, too
            log.debug("plan not remembered", application=grounds.policy.application, asked=str(error))
            return None
        if holds_present(actions):
            return None
        for each in asked:
            each.close()
        alone = replace(grounds, intents={}, copied={}, failures={})
        return Remembered(alone, look.now, horizon.until, asked, policy, catalogue, actions, Ages(standing), turns)

    def _decide(
        self, grounds: Grounds, observed: Observed, look: Look, now: datetime
    ) -> tuple[Policy, tuple[Action, ...], ApplicationStatus]:
        """The policy with the cadences that measured times make it have, what is to be done, and how it stands."""
        catalogue, locks = observed.catalogue, self._guards.locks
        domains = domains_of(grounds.policy, self._observer.vaults)
        policy = by_measure(grounds.policy, catalogue, Ground(domains, locks, grounds.policy.reach_back), now)
        actions = plan(policy, observed, now, self._point_id)
        places = Places(domains, look.never_read, frozenset(self._guards.locks))
        empty = frozenset(name for name, seen in observed.sources.items() if not seen.why and not seen.sources)
        standing = status(policy, catalogue, places, now, policy_valid=not observed.stale, empty=empty)
        return policy, with_due(actions, policy, catalogue, standing, domains, now), standing

    def _grounds(self, policy: Policy, look: Look, apart: Apart, *, valid: bool) -> Grounds:
        world, application = look.world, policy.application
        running, restoring, audit = apart
        own: Mapping[str, Any] = {
            "sources": {r.name: self._observer.sources_of(r, world) for r in policy.resources if r.native},
            "claimed": {r.name: why for r in policy.resources if (why := world.claims.get((application, r.name)))},
            "running": running,
            "servers": {r.name: "" if r.native else str(getattr(r.options, "server", "")) for r in policy.resources},
            "stale": not valid,
            "restoring": restoring,
            "audit": audit,
        }
        evidence = self._observer.evidence(policy, world)
        seen = look.intents, look.copied, look.failures
        return Grounds(policy, look.common, own, evidence, look.common_evidence, *seen)

    def _apart(self, policy: Policy) -> Apart:
        name = policy.application
        locks = ((r.name, self._locks.holder(resource_lock(name, r.name))) for r in policy.resources)
        held = {resource: holder for resource, holder in locks if holder}
        return held, self._locks.sharer(restoring_lock(name)), self._guards.audit(name)

    def _turns(self, policy: Policy) -> Mapping[tuple[str, str], Mapping[int, datetime]] | None:
        return None if self._guards.turns is None else self._guards.turns(policy.application)


def _observed(
    grounds: Grounds,
    catalogue: Catalogue,
    turns: Mapping[tuple[str, str], Mapping[int, datetime]] | None,
    asked: tuple[Asked[datetime], Asked[bool], Asked[Failure]] | None = None,
) -> Observed:
    intents, copied, failures = asked or (grounds.intents, grounds.copied, grounds.failures)
    return Observed(
        catalogue=catalogue,
        intents=intents,
        copied=copied,
        failures=failures,
        turns=turns,
        **grounds.common,
        **grounds.own,
    )
