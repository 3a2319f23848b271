"""One pass as values: what was seen, decided, started and finished; what carries heavy actions out; what guards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from drorch.app.carry import Scene
from drorch.app.locks import Lock
from drorch.app.observe import World
from drorch.app.policies import PolicySet
from drorch.domain.action import Action, Copy, Drill, Expire, Hold, Repair, Sweep, Verify, Waiting
from drorch.domain.admit import Admitted
from drorch.domain.audit import Audit, AuditsSeen
from drorch.domain.automated import Automated
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import DrorchError
from drorch.domain.key_proof import KeysSeen
from drorch.domain.native_drill import DrillLeft
from drorch.domain.objective import ApplicationStatus
from drorch.domain.plan import Observed
from drorch.domain.policy import BrakeRule, LockRule, Policy
from drorch.domain.unprotected import UnprotectedSeen


@dataclass(frozen=True, slots=True)
class Finished:
    """One action that ended. `error` is None when it was done; `result` is what a worker reported."""

    action: Action
    text: str
    error: DrorchError | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """`done`, or the kind of the error in lower case."""
        return "done" if self.error is None else type(self.error).__name__.lower()


class Handle(Protocol):
    """A heavy action under way in its own process."""

    def poll(self) -> Finished | None:
        """How it ended, or None while it runs."""

    def cancel(self) -> None:
        """Abandon it safely: nothing half-written is committed."""


class HeavyHands(Protocol):
    """Starts dumps, ships and drills in workers."""

    def start(self, action: Action, scene: Scene, lock: Lock) -> Handle:
        """Start it; the worker inherits the resource's lock."""


@dataclass(frozen=True, slots=True)
class ApplicationPlan:
    """One application in one pass."""

    policy: Policy
    catalogue: Catalogue
    observed: Observed
    actions: tuple[Action, ...]
    status: ApplicationStatus


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass saw, decided, started and finished."""

    at: datetime
    policies: PolicySet
    world: World
    plans: Mapping[str, ApplicationPlan] = field(default_factory=dict)
    waiting: tuple[Waiting, ...] = ()
    started: tuple[Action, ...] = ()
    finished: tuple[Finished, ...] = ()
    running: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)
    keys: KeysSeen | None = None
    unprotected: UnprotectedSeen | None = None
    """What no policy selects, where the host configuration asks for that."""
    automated: Mapping[tuple[str, str], Automated] = field(default_factory=dict)
    """(application, resource) -> what RDS keeps of it by itself, as far as that was seen."""
    drills_left: tuple[DrillLeft, ...] = ()
    """What drills of native points left behind past their time."""

    audits: AuditsSeen | None = None
    """What is known of random audits, where the host configuration asks for them."""

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Every hold of every application."""
        return tuple(action for p in self.plans.values() for action in p.actions if isinstance(action, Hold))


@dataclass(frozen=True, slots=True)
class Guards:
    """What a host says about deletion, locks, heads and reading by turns. Without `host` no heads are written, without
    `turns` ((application) -> resource and vault -> turn -> when it was read) nothing is read by turns. What it answers
    is remembered with a plan: it changes with `Cache.changes`, or with what `turn_read` is told.
    """

    grace: timedelta = timedelta(days=3)
    brake: BrakeRule = field(default_factory=BrakeRule)
    locks: Mapping[str, LockRule] = field(default_factory=dict)
    host: str = ""
    turns: Callable[[str], Mapping[tuple[str, str], Mapping[int, datetime]]] | None = None
    turn_read: Callable[[Verify, datetime], None] = lambda _action, _at: None
    audit: Callable[[str], Audit | None] = lambda _application: None
    """The random audit that is picked of an application."""


def planned_again(action: Action, again: Pass) -> Action | None:
    """The same deletion as the second plan has it; None when it does not want it any more."""
    p = again.plans.get(action.application)
    return next((a for a in p.actions if a.key == action.key and type(a) is type(action)), None) if p else None


def scene_of(seen: Pass, action: Action) -> Scene:
    """What concerns the whole application (a head) is carried out beside its first resource."""
    p = seen.plans[action.application]
    resource = next((r for r in p.policy.resources if r.name == action.resource), p.policy.resources[0])
    sources = p.observed.sources.get(action.resource)
    return Scene(resource, p.catalogue, seen.world, sources.sources if sources else (), policy=p.policy)


def held_back(admitted: Admitted, seen: Pass, throttled: Callable[[str, Action], str]) -> Admitted:
    """What may start, without what its provider would throttle: `throttled` says why (kind, action), or ""."""
    start: list[Action] = []
    wait = list(admitted.wait)
    for action in admitted.start:
        why = throttled(scene_of(seen, action).resource.kind, action)
        if why:
            wait.append(Waiting(action, why, throttled=True))
        else:
            start.append(action)
    return Admitted(tuple(start), tuple(wait))


def written_to(action: Action, vaults: Collection[str]) -> set[str]:
    """The vaults that are not as they were when the action has ended; `vaults` are those of objects."""
    if isinstance(action, Drill | Verify | Repair):
        return set(vaults)
    into = getattr(action, "into", ())
    deleted = (action.vault,) if isinstance(action, Expire | Sweep) and action.vault in vaults else ()
    written = action.name in ("ship", "replicate", "lock") and action.vault in vaults
    return {*into, *deleted} or ({action.vault} if written else set())


def where_of(action: Action) -> dict[str, str]:
    """What a line of the log says of an action."""
    fields = {
        "application": action.application,
        "resource": action.resource,
        "vault": action.vault,
        "point": action.point,
    }
    if isinstance(action, Copy):
        fields["source"] = action.source
    return {key: value for key, value in fields.items() if value}
