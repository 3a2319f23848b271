"""Whether a promise can be kept at all: the arithmetic of intervals, before anything is cut.

Some resource of a dataset must survive the level with interval + allowance <= RPO. The interval is the longest gap of
the grid of the vault; the allowance is the measured time until a point is usable there (p95), else a quarter of it.

Tampering is survived in a vault (native copies: where their entry has a `lock:`) whose lock is in compliance mode and
lasts long enough: for interval + allowance, or
the lock of the newest usable point could end before the next one is usable; and for `reach_back` where a policy has it.
No lock of a dataset that promises it may outlast what retention keeps (`outlasting`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from drorch.domain.duration import duration_text
from drorch.domain.keep_span import shortest_keep
from drorch.domain.model import FailureDomain, FailureLevel, Vault, place_of, survives
from drorch.domain.policy import AWS, LockRule, Objective, Policy, ResourcePolicy, VaultRule
from drorch.domain.schedule import Every, Schedule

Measured = Mapping[tuple[str, str, str], timedelta]
"""Application, resource and vault -> the time from cut to usable copy there (p95)."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The best that a dataset can do at a level: through `vault` by `resource`, or through nothing ("" and None).

    `why` says where the allowance comes from, or why nothing survives. `rpo` is None where only an RTO is promised.
    `lock` is how long the vault locks what it gets (level tampering only), `reach_back` how long a policy wants it to.
    `closed` is the longest time for which a cut that failed may have to wait for its window.
    """

    dataset: str
    level: FailureLevel
    rpo: timedelta | None
    resource: str
    vault: str
    interval: timedelta | None
    allowance: timedelta | None
    feasible: bool
    why: str
    lock: timedelta | None = None
    reach_back: timedelta | None = None
    closed: timedelta | None = None

    @property
    def total(self) -> timedelta | None:
        """Interval and allowance together: the RPO that can be promised."""
        if self.interval is None or self.allowance is None:
            return None
        return self.interval + self.allowance

    @property
    def late(self) -> bool:
        """Whether interval and allowance are more than the RPO."""
        return self.total is not None and self.rpo is not None and self.total > self.rpo

    @property
    def lock_needed(self) -> timedelta | None:
        """How long the lock must last at the least; None where none is needed."""
        if self.lock is None or self.total is None:
            return None
        return max(self.total, self.reach_back or timedelta())

    @property
    def sum(self) -> str:
        """``6h + 1h30m = 7h30m <= 2d via gcs-eu; lock 35d >= reach_back 30d``, or why there is nothing to add up."""
        if self.interval is None or self.allowance is None or self.total is None:
            return self.why
        total = f"{duration_text(self.interval)} + {duration_text(self.allowance)} = {duration_text(self.total)}"
        sums = []
        if self.rpo is not None:
            sums.append(f"{total} {'>' if self.late else '<='} {duration_text(self.rpo)} via {self.vault}")
        if self.lock is not None and self.lock_needed is not None:
            sign = ">=" if self.lock >= self.lock_needed else "<"
            what = f"interval + allowance {duration_text(self.lock_needed)}"
            if self.reach_back is not None and self.lock_needed == self.reach_back:
                what = f"reach_back {duration_text(self.reach_back)}"
            sums.append(f"lock {duration_text(self.lock)}{'' if sums else f' of {self.vault}'} {sign} {what}")
        if self.closed is not None and self.rpo is not None and not self.late and self.total + self.closed > self.rpo:
            sums.append(f"missed once a cut fails and waits up to {duration_text(self.closed)} for its window")
        return "; ".join(sums) or self.why

    def __str__(self) -> str:
        return f"{self.dataset} at {self.level}: {self.sum}"


def feasibility(
    policy: Policy,
    vaults: Mapping[str, FailureDomain] | None,
    measured: Measured | None = None,
    locks: Mapping[str, LockRule] | None = None,
) -> tuple[Arithmetic, ...]:
    """The arithmetic of every dataset and level that promises an RPO, and every promise that nothing survives.

    `vaults` are the object vaults of the host configuration, `locks` those of them that lock what they get. Without
    them (None) a promise that may depend on them is left out: it cannot be judged.
    """
    times = {(resource, vault): time for (app, resource, vault), time in (measured or {}).items() if _is(policy, app)}
    names = dict.fromkeys(resource.dataset for resource in policy.resources)
    return tuple(
        arithmetic
        for name in names
        for arithmetic in judge(
            [r for r in policy.resources if r.dataset == name],
            vaults,
            times,
            locks=locks,
            reach_back=policy.reach_back,
        )
    )


def unjudged(policy: Policy, locks: Mapping[str, LockRule] | None) -> bool:
    """Whether `policy` promises level tampering by dumps, and nobody knows here which vaults have locks."""
    return locks is None and any(
        not resource.native and FailureLevel.TAMPERING in resource.objectives.keys() - resource.exempt.keys()
        for resource in policy.resources
    )


def _is(policy: Policy, application: str) -> bool:
    return policy.application == application


def judge(
    resources: Sequence[ResourcePolicy],
    vaults: Mapping[str, FailureDomain] | None,
    measured: Mapping[tuple[str, str], timedelta] | None = None,
    *,
    locks: Mapping[str, LockRule] | None = None,
    reach_back: timedelta | None = None,
) -> Iterator[Arithmetic]:
    """The arithmetic of one dataset, whose `resources` bear the same objectives and exemptions."""
    dumps = any(not resource.native for resource in resources)
    for level in FailureLevel:
        objective = resources[0].objectives.get(level)
        if objective is None or level in resources[0].exempt:
            continue
        tampering = level is FailureLevel.TAMPERING
        ways = list(_ways(level, objective, resources, vaults, measured or {}, locks or {}, reach_back))
        best = min(ways, key=lambda way: (not way.feasible, way.total or timedelta()), default=None)
        if best is None:
            why = _nothing(resources[0].dataset, level)
            best = Arithmetic(resources[0].dataset, level, objective.rpo, "", "", None, None, False, why)
        elif objective.rpo is None and not tampering:
            continue
        open_question = dumps and (vaults is None or (tampering and locks is None))
        if best.feasible or not open_question:
            yield best


def _ways(
    level: FailureLevel,
    objective: Objective,
    resources: Sequence[ResourcePolicy],
    vaults: Mapping[str, FailureDomain] | None,
    measured: Mapping[tuple[str, str], timedelta],
    locks: Mapping[str, LockRule],
    reach_back: timedelta | None,
) -> Iterator[Arithmetic]:
    """Every way to survive the level: by a resource through a vault that is left."""
    for resource in resources:
        for rule in resource.targets:
            if _left(level, resource, rule, vaults, locks):
                way = _way(level, objective, resource, rule, measured)
                tampering = level is FailureLevel.TAMPERING
                lock = lock_in(resource, rule, locks)
                yield _locked(way, lock.for_, reach_back) if tampering and lock is not None else way


def _left(
    level: FailureLevel,
    resource: ResourcePolicy,
    rule: VaultRule,
    vaults: Mapping[str, FailureDomain] | None,
    locks: Mapping[str, LockRule],
) -> bool:
    domain = native_domain(rule.vault) if resource.native else (vaults or {}).get(rule.vault)
    lock = lock_in(resource, rule, locks)
    return domain is not None and survives(level, resource.home, domain, locked=lock is not None and lock.holds)


def ways_left(
    level: FailureLevel,
    resource: ResourcePolicy,
    vaults: Mapping[str, FailureDomain] | None,
    locks: Mapping[str, LockRule] | None,
) -> tuple[str, ...]:
    """The vaults of a resource that survive a level, however late a copy gets there."""
    return tuple(rule.vault for rule in resource.targets if _left(level, resource, rule, vaults, locks or {}))


def lock_in(resource: ResourcePolicy, rule: VaultRule, locks: Mapping[str, LockRule]) -> LockRule | None:
    """What locks the copies of a resource in one of its vaults: native ones their own entry, dumps the vault's rule."""
    return rule.lock if resource.native else locks.get(rule.vault)


def _locked(way: Arithmetic, lock: timedelta, reach_back: timedelta | None) -> Arithmetic:
    """The same way with the lock of its vault, feasible only if that lasts long enough."""
    locked = replace(way, lock=lock, reach_back=reach_back)
    return replace(locked, feasible=way.feasible and lock >= (locked.lock_needed or timedelta()))


@dataclass(frozen=True, slots=True)
class LockOutlasts:
    """A vault of a resource (entry `index` of its `copies` or `vaults`) that keeps points locked which retention lets
    go.
    """

    index: int
    vault: str
    lock: timedelta
    keep: timedelta
    grace: timedelta

    @property
    def sum(self) -> str:
        """``lock 35d > 12h + grace 3d = 3d12h``."""
        total = duration_text(self.keep + self.grace)
        parts = f"{duration_text(self.keep)} + grace {duration_text(self.grace)} = {total}"
        return f"lock {duration_text(self.lock)} > {parts}"


def outlasting(
    resource: ResourcePolicy, locks: Mapping[str, LockRule] | None, grace: timedelta
) -> Iterator[LockOutlasts]:
    """Every vault of a resource that promises level tampering whose lock outlasts what retention keeps at the least.

    A point is deleted at the earliest `grace` after the age below which no rule of the vault lets any point go
    (`shortest_keep`). A longer lock, of either mode, would make retention wait for it.
    """
    if FailureLevel.TAMPERING in resource.objectives and FailureLevel.TAMPERING not in resource.exempt:
        yield from _outlasting(resource, locks, grace)


def held_by_locks(resource: ResourcePolicy, grace: timedelta) -> Iterator[LockOutlasts]:
    """As `outlasting`, of native copies that promise nothing against tampering: they are kept until their lock ends."""
    if resource.native and not list(outlasting(resource, None, grace)):
        yield from _outlasting(resource, None, grace)


def keys_beside_locks(resource: ResourcePolicy) -> Iterator[VaultRule]:
    """Locked native copies under a key of the home account: who rules there cannot delete the copy, but can have
    the key deleted after seven days (KMS API, ScheduleKeyDeletion). A key by its ARN may be of another account.
    """
    for rule in resource.targets if resource.native else ():
        key = rule.kms_key
        at_home = place_of(rule.vault)[0] == resource.home.account
        if rule.lock is not None and key is not None and at_home and not key.startswith("arn:"):
            yield rule


def _outlasting(
    resource: ResourcePolicy, locks: Mapping[str, LockRule] | None, grace: timedelta
) -> Iterator[LockOutlasts]:
    for index, rule in enumerate(rule for rule in resource.targets if not rule.home):
        lock = lock_in(resource, rule, locks or {})
        if lock is None:
            continue
        keep = shortest_keep(rule.keep, resource.floor, resource.schedule, rule.every)
        if lock.for_ - grace > keep:
            yield LockOutlasts(index, rule.vault, lock.for_, keep, grace)


def native_domain(vault: str) -> FailureDomain:
    """The failure domain of a native vault by its name ``ACCOUNT.REGION``."""
    account, region = place_of(vault)
    return FailureDomain(AWS, region, account)


def domains_of(policy: Policy, vaults: Mapping[str, Vault]) -> dict[str, FailureDomain]:
    """Where every vault that may hold copies of an application lies; `vaults` are those of objects."""
    native = (rule.vault for resource in policy.resources if resource.native for rule in resource.targets)
    return {name: vault.domain for name, vault in vaults.items()} | {name: native_domain(name) for name in native}


def _way(
    level: FailureLevel,
    objective: Objective,
    resource: ResourcePolicy,
    rule: VaultRule,
    measured: Mapping[tuple[str, str], timedelta],
) -> Arithmetic:
    interval = interval_of(resource.schedule, rule.every)
    known = measured.get((resource.name, rule.vault))
    allowance = interval / 4 if known is None else known
    why = "allowance: a quarter of the interval" if known is None else "allowance: measured, 95 of 100 points"
    feasible = objective.rpo is None or interval + allowance <= objective.rpo
    closed = None if resource.window is None else resource.window.longest_closed()
    return Arithmetic(
        resource.dataset,
        level,
        objective.rpo,
        resource.name,
        rule.vault,
        interval,
        allowance,
        feasible,
        why,
        closed=closed,
    )


def interval_of(schedule: Schedule, every: timedelta | None) -> timedelta:
    """The longest time between two points of `schedule` in a vault that takes the first of each slot of `every`."""
    gap = schedule.longest_gap()
    if every is None:
        return gap
    if isinstance(schedule, Every):
        return -(-every // gap) * gap
    # Points of a cron grid lie unevenly: the first after the start of a slot may be a whole gap late.
    return every + gap


def _nothing(dataset: str, level: FailureLevel) -> str:
    lost = {
        FailureLevel.ZONE: "the loss of its zone",
        FailureLevel.REGION: "the loss of its region",
        FailureLevel.ACCOUNT: "the loss of its account",
        FailureLevel.PROVIDER: "the loss of its provider",
        FailureLevel.TAMPERING: "tampering: no vault that it goes to has a lock in compliance mode",
    }
    return f"nothing of dataset {dataset} survives {lost[level]}"
