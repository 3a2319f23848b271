"""Whether a promise can be kept at all: the arithmetic of intervals, before anything is cut.

Some resource of a dataset must survive the level with interval + allowance <= RPO. The interval is the longest gap of
the grid of the vault; the allowance is the measured time until a point is usable there (p95), else a quarter of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from drorch.domain.duration import duration_text
from drorch.domain.model import FailureDomain, FailureLevel, survives
from drorch.domain.policy import AWS, Objective, Policy, ResourcePolicy, VaultRule
from drorch.domain.schedule import Every, Schedule

Measured = Mapping[tuple[str, str, str], timedelta]
"""Application, resource and vault -> the time from cut to usable copy there (p95)."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The best that a dataset can do at a level: through `vault` by `resource`, or through nothing ("" and None).

    `why` says where the allowance comes from, or why nothing survives. `rpo` is None where only an RTO is promised.
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

    @property
    def total(self) -> timedelta | None:
        """Interval and allowance together: the RPO that can be promised."""
        if self.interval is None or self.allowance is None:
            return None
        return self.interval + self.allowance

    @property
    def sum(self) -> str:
        """``6h + 1h30m = 7h30m <= 2d via gcs-eu``, or why there is nothing to add up."""
        if self.interval is None or self.allowance is None or self.total is None or self.rpo is None:
            return self.why
        parts = f"{duration_text(self.interval)} + {duration_text(self.allowance)} = {duration_text(self.total)}"
        return f"{parts} {'<=' if self.feasible else '>'} {duration_text(self.rpo)} via {self.vault}"

    def __str__(self) -> str:
        return f"{self.dataset} at {self.level}: {self.sum}"


def feasibility(
    policy: Policy, vaults: Mapping[str, FailureDomain] | None, measured: Measured | None = None
) -> tuple[Arithmetic, ...]:
    """The arithmetic of every dataset and level that promises an RPO, and every promise that nothing survives.

    `vaults` are the object vaults of the host configuration. Without one (None) a promise that may depend on them is
    left out: it cannot be judged.
    """
    times = {(resource, vault): time for (app, resource, vault), time in (measured or {}).items() if _is(policy, app)}
    names = dict.fromkeys(resource.dataset for resource in policy.resources)
    return tuple(
        arithmetic
        for name in names
        for arithmetic in judge([r for r in policy.resources if r.dataset == name], vaults, times)
    )


def _is(policy: Policy, application: str) -> bool:
    return policy.application == application


def judge(
    resources: Sequence[ResourcePolicy],
    vaults: Mapping[str, FailureDomain] | None,
    measured: Mapping[tuple[str, str], timedelta] | None = None,
) -> Iterator[Arithmetic]:
    """The arithmetic of one dataset, whose `resources` bear the same objectives and exemptions."""
    dataset = resources[0].dataset
    for level in FailureLevel:
        objective = resources[0].objectives.get(level)
        if objective is None or level in resources[0].exempt:
            continue
        open_question = vaults is None and any(not resource.native for resource in resources)
        ways = [
            way
            for resource in resources
            for rule in resource.targets
            if _left(level, resource, rule, vaults)
            for way in (_way(level, objective, resource, rule, measured or {}),)
        ]
        best = min(ways, key=lambda way: way.total or timedelta(), default=None)
        if best is None:
            found = Arithmetic(dataset, level, objective.rpo, "", "", None, None, False, _nothing(dataset, level))
        elif objective.rpo is None:
            continue
        else:
            found = best
        if found.feasible or not open_question:
            yield found


def _left(
    level: FailureLevel, resource: ResourcePolicy, rule: VaultRule, vaults: Mapping[str, FailureDomain] | None
) -> bool:
    domain = native_domain(rule.vault) if resource.native else (vaults or {}).get(rule.vault)
    return domain is not None and survives(level, resource.home, domain)


def native_domain(vault: str) -> FailureDomain:
    """The failure domain of a native vault by its name ``ACCOUNT.REGION``."""
    account, _, region = vault.partition(".")
    return FailureDomain(AWS, region, account)


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
    return Arithmetic(
        resource.dataset, level, objective.rpo, resource.name, rule.vault, interval, allowance, feasible, why
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
        FailureLevel.TAMPERING: "tampering (vaults with a lock are not in this version)",
    }
    return f"nothing of dataset {dataset} survives {lost[level]}"
