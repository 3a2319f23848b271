"""A small installation for tests of the loop: one application with a volume set and a database, and a reconciler that
is driven by a clock turned by hand. It keeps the promises of `drorch.app.reconcile.Reconciler`, with nothing behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from drorch.app.observe import World
from drorch.app.passing import ApplicationPlan, Finished, Pass
from drorch.app.policies import LoadedPolicy, PolicySet
from drorch.domain.action import Action, Copy, Cut, Drill
from drorch.domain.admit import is_heavy
from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.errors import DrorchError
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, FailureDomain, FailureLevel, Member, RecoveryPoint, Vault
from drorch.domain.objective import Places, status
from drorch.domain.plan import Observed
from drorch.domain.policy import DrillRule, Home, Keep, Objective, Policy, ResourcePolicy, VaultRule
from drorch.domain.schedule import Every

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOME, AWAY, OFF = "prod.us-east-1", "prod.us-west-2", "gcs-eu"
DOMAINS = {
    HOME: FailureDomain("aws", "us-east-1", "prod"),
    AWAY: FailureDomain("aws", "us-west-2", "prod"),
    OFF: FailureDomain("gcp", "europe-west1"),
}
_KEEP = Keep(last=3)


class NoOptions(BaseModel):
    """The options of a kind that has none."""


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def resource(name: str, kind: str, **changes: object) -> ResourcePolicy:
    native = kind in ("ebs", "rds-instance")
    rules = (HOME, AWAY) if native else (OFF,)
    values: dict[str, object] = {
        "name": name,
        "kind": kind,
        "dataset": name,
        "home": DOMAINS[HOME],
        "schedule": Every(hours(1)),
        "options": NoOptions(),
        "native": native,
        "targets": tuple(VaultRule(vault=vault, keep=_KEEP, home=vault == HOME) for vault in rules),
        "drill": None if native else DrillRule(every=timedelta(days=7), from_=(OFF,)),
        "objectives": {
            FailureLevel.REGION: Objective(rpo=hours(9), rto=hours(2)),
            FailureLevel.PROVIDER: Objective(rpo=hours(48)),
        },
        "exempt": {FailureLevel.PROVIDER: "runbook 12"} if native else {},
    }
    return ResourcePolicy.model_validate(values | changes)


def policy(name: str = "shop", resources: Iterable[ResourcePolicy] | None = None) -> Policy:
    made = tuple(resources) if resources is not None else (resource("data", "ebs"), resource("orders", "postgres"))
    return Policy(
        application=name, owner="team@example.com", home=Home(account="prod", region="us-east-1"), resources=made
    )


def point(
    name: str,
    of: str,
    cut_at: datetime,
    *copies: PointCopy,
    slot: str = "",
    kind: str = "ebs",
    application: str = "shop",
) -> RecoveryPoint:
    slot = slot or cut_at.strftime("%Y-%m-%dT%H:00Z")
    return RecoveryPoint(name, application, of, kind, slot, cut_at, tuple(copies))


def native_copy(vault: str, state: CopyState = CopyState.USABLE, **more: object) -> PointCopy:
    return PointCopy(vault, state, members=(Member(f"snap-{vault}", "vol-1", bytes=8 << 30),), **more)  # type: ignore[arg-type]


def drilled(at: datetime, *, passed: bool = True, total: int = 60) -> Drilled:
    return Drilled("orders", OFF, "p-orders", at, at, passed, {"total": total})


def planned(
    of: Policy | None = None,
    catalogue: Catalogue | None = None,
    actions: Iterable[Action] = (),
    now: datetime = NOW,
    never_read: frozenset[str] = frozenset(),
) -> ApplicationPlan:
    of, catalogue = of or policy(), catalogue or Catalogue("shop")
    stands = status(of, catalogue, Places(DOMAINS, never_read), now)
    return ApplicationPlan(of, catalogue, Observed(catalogue), tuple(actions), stands)


def loaded(of: Policy, *, stale: bool = False) -> LoadedPolicy:
    return LoadedPolicy(of, f"{of.application}.yaml", "", "", "", stale)


def passed(*plans: ApplicationPlan, now: datetime = NOW, world: World | None = None, **more: object) -> Pass:
    policies = more.pop("policies", PolicySet(tuple(loaded(plan.policy) for plan in plans)))
    by_name = {plan.policy.application: plan for plan in plans}
    return Pass(now, policies, world or World(now), by_name, **more)  # type: ignore[arg-type]


def cut(of: str = "data", name: str = "p1", *, heavy: bool = False) -> Cut:
    vault, into = ("", (OFF,)) if heavy else (HOME, ())
    return Cut("shop", of, vault, name, "slot is due", "2026-11-20T09:00Z", 1, into)


def copy(name: str = "p1") -> Copy:
    return Copy("shop", "data", AWAY, name, "lacks it", HOME)


def drill() -> Drill:
    return Drill("shop", "orders", OFF, "p-orders", "due")


class HandClock:
    """Time passes only when somebody sleeps. `each` is called after every sleep."""

    def __init__(self, now: datetime = NOW) -> None:
        self.at = now
        self.each: Callable[[], object] = lambda: None

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.each()


class HandObserver:
    """Vaults of which everything is known, but for those in `unknown`."""

    def __init__(self) -> None:
        self.vaults: Mapping[str, Vault] = {OFF: Vault(OFF, DOMAINS[OFF])}
        self.unknown: frozenset[str] = frozenset()

    def checked_at(self, vault: str) -> datetime | None:
        return None if vault in self.unknown else NOW

    def never_read(self, world: World) -> frozenset[str]:
        return self.unknown


class HandReconciler:
    """Starts every action of `due` once, in one go; each ends after its time in `lasts` (at once when not named).

    A native cut or copy shows as pending for `pending` after it was done. `then` maps the key of an action to what is
    due once it ended. `fails` maps keys to errors.
    """

    def __init__(self, clock: HandClock, due: Iterable[Action] = ()) -> None:
        self.clock = clock
        self.due = list(due)
        self.lasts: dict[str, timedelta] = {}
        self.fails: dict[str, DrorchError] = {}
        self.then: dict[str, list[Action]] = {}
        self.pending = timedelta()
        self.shown_after = timedelta()
        self.becomes = CopyState.USABLE
        self.policies = PolicySet((loaded(policy()),))
        self.unread: dict[str, str] = {}
        self.extra: list[Action] = []
        self.observer = HandObserver()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.attempts: dict[tuple[str, str, str], datetime] = {}
        self.passes = 0
        self.cancelled = self.closed = False
        self.started: list[Action] = []
        self._running: dict[str, tuple[Action, datetime]] = {}
        self._made: list[tuple[Action, datetime]] = []

    def run_pass(self, *, start: object = True) -> Pass:
        self.passes += 1
        finished = self.harvest()
        actions = [*self.due, *self.extra]
        plan = planned(catalogue=self._catalogue(), actions=actions, now=self.clock.now())
        begun = tuple(self.due) if start else ()
        for action in begun:
            self.due.remove(action)
            self.started.append(action)
            self._running[action.key] = (action, self.clock.now() + self.lasts.get(action.key, timedelta()))
        finished += self.harvest()
        world = World(self.clock.now(), unread=self.unread)
        return Pass(self.clock.now(), self.policies, world, {"shop": plan}, (), begun, finished, self.running_count())

    def harvest(self) -> tuple[Finished, ...]:
        over = [action for action, end in self._running.values() if end <= self.clock.now()]
        finished = []
        for action in over:
            del self._running[action.key]
            error = self.fails.get(action.key)
            if error is None:
                self.due.extend(self.then.pop(action.key, ()))
                self._made.append((action, self.clock.now()))
            finished.append(Finished(action, "" if error else "done", error))
            self.outcomes[(action.name, finished[-1].outcome)] += 1
            self.attempts[(action.application, action.resource, finished[-1].outcome)] = self.clock.now()
        return tuple(finished)

    def running_count(self) -> int:
        return len(self._running)

    def heavy_running(self) -> tuple[Action, ...]:
        return tuple(action for action, _ in self._running.values() if is_heavy(action))

    def cancel(self) -> None:
        self.cancelled = True
        for action in self.heavy_running():
            self._running[action.key] = (action, self.clock.now())
            self.fails[action.key] = DrorchError("it was cancelled")

    def close(self) -> None:
        self.closed = True

    def _catalogue(self) -> Catalogue:
        copies: dict[str, list[PointCopy]] = {}
        for action, at in self._made:
            if isinstance(action, Cut | Copy) and not is_heavy(action) and self.clock.now() >= at + self.shown_after:
                ready = self.clock.now() >= at + self.pending
                state = self.becomes if ready else CopyState.PENDING
                copies.setdefault(action.point, []).append(native_copy(action.vault, state))
        return Catalogue("shop", tuple(point(name, "data", NOW, *made) for name, made in copies.items()))
