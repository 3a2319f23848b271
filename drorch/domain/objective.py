"""Attained RPO and RTO per failure level: for resources, datasets and the application. Pure, in data time.

Attained RPO at a level is now minus `cut_at` of the newest usable copy that survives the level; verified RPO counts
only copies that a drill has proved. A dataset is as good as the best of its resources, an application as bad as the
worst of its datasets. A copy that is expiring counts while it is there; one that is damaged, gone or unsigned never.

What survives tampering is decided copy by copy: its lock was read back, holds still, and is of a mode that nobody can
end early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.copy_failure import Cause, failure_of
from drorch.domain.duration import duration_text
from drorch.domain.forecast import SOON, Measured, could_start, growth, measured
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, CopyState, FailureDomain, FailureLevel, LockMode, RecoveryPoint, survives
from drorch.domain.plan_scenario import whole_measured
from drorch.domain.policy import Objective, Policy, ResourcePolicy
from drorch.domain.retention import FUTURE


class Standing(NamedTuple):
    """How one resource, dataset or application stands at one level. None: no such point, not known, no objective.

    `parts` are the datasets of an application: its promise is met when each of theirs is, missed when any is.
    Every pass makes them anew for every application, and a tuple is made several times faster than a dataclass.
    """

    rpo_attained: timedelta | None = None
    rpo_verified: timedelta | None = None
    rto_attained: timedelta | None = None
    objective: Objective | None = None
    known: bool = True
    exempt: str = ""
    why: str = ""
    parts: tuple[Standing, ...] = ()
    rto_basis: str = ""
    """Why `rto_attained` is thought, or why it is not known; "" where nothing is left to restore from."""
    rto_breaks_at: datetime | None = None
    """When growth would make the forecast exceed its objective, as far as that is foreseen."""

    @property
    def rpo_met(self) -> bool | None:
        """None without an objective or while not known; a promise without any point is not met."""
        if self.parts:
            return _all_met([p.rpo_met for p in self.parts if p.objective is not None and p.objective.rpo is not None])
        if self.objective is None or self.objective.rpo is None or self.exempt:
            return None
        if self.rpo_attained is None:
            return False if self.known else None
        return self.rpo_attained <= self.objective.rpo

    @property
    def rto_met(self) -> bool | None:
        """None without an objective or while there is no forecast."""
        if self.parts:
            return _all_met([p.rto_met for p in self.parts if p.objective is not None and p.objective.rto is not None])
        if self.objective is None or self.objective.rto is None or self.exempt or self.rto_attained is None:
            return None
        return self.rto_attained <= self.objective.rto


def _all_met(promises: list[bool | None]) -> bool | None:
    """One that is missed outweighs one that is not known; no promise at all is neither."""
    if not promises or False in promises:
        return False if promises else None
    return None if None in promises else True


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """One resource: its newest usable cut, and how it stands per level."""

    resource: str
    kind: str
    dataset: str
    newest_cut_at: datetime | None
    levels: Mapping[FailureLevel, Standing]


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """One dataset: the best of its resources per level."""

    dataset: str
    resources: tuple[str, ...]
    exempt: Mapping[FailureLevel, str]
    levels: Mapping[FailureLevel, Standing]


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """One application: the worst of its datasets per level."""

    application: str
    policy_valid: bool
    levels: Mapping[FailureLevel, Standing]
    datasets: tuple[DatasetStatus, ...] = ()
    resources: tuple[ResourceStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where vaults lie, which of them were never read (so that nothing is known of them), and which have a lock."""

    domains: Mapping[str, FailureDomain]
    never_read: frozenset[str] = field(default_factory=frozenset)
    locking: frozenset[str] = field(default_factory=frozenset)


def status(
    policy: Policy,
    catalogue: Catalogue,
    places: Places,
    now: datetime,
    *,
    policy_valid: bool = True,
    empty: frozenset[str] = frozenset(),
) -> ApplicationStatus:
    """How an application stands now, at every level. `empty` names resources whose selection is empty: they attain
    nothing, whatever points are left of what they once protected.
    """
    whole = whole_measured(policy, catalogue, now)
    resources = tuple(
        _resource(resource, catalogue, places, now, empty=resource.name in empty, whole=whole.get(resource.name))
        for resource in policy.resources
    )
    names = list(dict.fromkeys(resource.dataset for resource in policy.resources))
    datasets = tuple(_dataset(name, policy, resources) for name in names)
    levels = {level: _worst(level, datasets) for level in FailureLevel}
    return ApplicationStatus(policy.application, policy_valid, levels, datasets, resources)


# --- resources -----------------------------------------------------------------------------------------------------


def _resource(
    resource: ResourcePolicy,
    catalogue: Catalogue,
    places: Places,
    now: datetime,
    *,
    empty: bool,
    whole: Drilled | None = None,
) -> ResourceStatus:
    points = [p for p in catalogue.of(resource.name) if p.cut_at is not None and p.cut_at <= now + FUTURE]
    usable = [p.cut_at for p in points if p.cut_at is not None and any(could_start(copy) for copy in p.copies)]
    took = replace(measured(resource.name, points, catalogue.drills), whole=whole)
    promised = any(objective.rto is not None for objective in resource.objectives.values())
    grows = growth(points) if took.last and promised else None
    levels = {level: _standing(level, resource, points, took, grows, places, now) for level in FailureLevel}
    if empty:
        levels = {level: _of_nothing(standing) for level, standing in levels.items()}
    return ResourceStatus(
        resource=resource.name,
        kind=resource.kind,
        dataset=resource.dataset,
        newest_cut_at=max(usable, default=None),
        levels=levels,
    )


def _of_nothing(standing: Standing) -> Standing:
    """Nothing is protected now; the points of before are still there and are told."""
    why = f"its selection is empty, nothing is protected now ({standing.why})"
    return standing._replace(rpo_attained=None, rpo_verified=None, known=True, why=why)


def _standing(
    level: FailureLevel,
    resource: ResourcePolicy,
    points: Sequence[RecoveryPoint],
    took: Measured,
    grows: float | None,
    places: Places,
    now: datetime,
) -> Standing:
    usable: dict[str, datetime] = {}
    verified: list[datetime] = []
    for point in points:
        for copy in point.copies:
            if point.cut_at is None or not could_start(copy) or not _left(level, resource, copy, places, now):
                continue
            usable[copy.vault] = max(point.cut_at, usable.get(copy.vault, point.cut_at))
            if copy.verified_at is not None:
                verified.append(point.cut_at)
    newest = max(usable.values(), default=None)
    age = None if newest is None else max(now - newest, timedelta())
    targets = {rule.vault for rule in resource.targets} & _places_left(level, resource, places)
    why = _why(level, newest, usable, targets, places)
    if level is FailureLevel.TAMPERING:
        why = _why_locked(newest, usable, points, targets, places, now)
    expected = took.of_application(usable, now) if level is FailureLevel.REGION else took.forecast(usable, now)
    promised = resource.objectives.get(level)
    limit = promised.rto if promised is not None else None
    return Standing(
        rpo_attained=age,
        rpo_verified=max(now - max(verified), timedelta()) if verified else None,
        rto_attained=expected.took,
        rto_basis=expected.basis,
        rto_breaks_at=None if limit is None else expected.breaks_at(limit, grows),
        known=newest is not None or not targets & places.never_read,
        why="; ".join([why, *_newer_but_useless(level, resource, points, newest, places, now)]),
    )


def _newer_but_useless(
    level: FailureLevel,
    resource: ResourcePolicy,
    points: Iterable[RecoveryPoint],
    newest: datetime | None,
    places: Places,
    now: datetime,
) -> list[str]:
    """What would count, were its key not disabled, or had it not failed for a cause that is known."""
    newer = [p for p in points if p.cut_at is not None and (newest is None or p.cut_at > newest)]
    copies = [c for p in newer for c in p.copies if resource.native and _left(level, resource, c, places, now)]
    told = {(copy.vault, why) for copy in copies if (why := copy.shut or _known_cause(copy))}
    return [f"newer in {vault}, but {why}" for vault, why in sorted(told)]


def _known_cause(copy: Copy) -> str:
    cause = failure_of(copy.why).cause
    known = copy.state is CopyState.FAILED and not copy.gone and cause is not Cause.UNKNOWN
    return f"its copy failed: {cause}" if known else ""


def _left(level: FailureLevel, resource: ResourcePolicy, copy: Copy, places: Places, now: datetime) -> bool:
    """Whether this copy is left when the level is lost."""
    domain = places.domains.get(copy.vault)
    still = copy.locked_until is not None and locked(copy, now)
    return domain is not None and survives(level, resource.home, domain, locked=still)


def locked(copy: Copy, now: datetime) -> bool:
    """Whether its lock was read back, holds still, and is of a mode that nobody can end early."""
    return _locked_still(copy, now) and copy.lock_mode is LockMode.COMPLIANCE


def _locked_still(copy: Copy, now: datetime) -> bool:
    return copy.locked_until is not None and now < copy.locked_until


def _places_left(level: FailureLevel, resource: ResourcePolicy, places: Places) -> set[str]:
    """The vaults where copies may be left: for tampering those that lock what is written into them, or whose copies
    the resource has locked.
    """
    locking = places.locking | {rule.vault for rule in resource.targets if rule.lock is not None}
    return {
        vault
        for vault, domain in places.domains.items()
        if survives(level, resource.home, domain, locked=vault in locking)
    }


def _why(
    level: FailureLevel, newest: datetime | None, usable: Mapping[str, datetime], targets: set[str], places: Places
) -> str:
    if newest is not None:
        what = "locked" if level is FailureLevel.TAMPERING else "usable"
        return f"newest {what} copy in " + ", ".join(sorted(v for v, cut_at in usable.items() if cut_at == newest))
    if not targets:
        return "no vault that it uses has a lock" if level is FailureLevel.TAMPERING else "no vault survives"
    unread = sorted(targets & places.never_read)
    if unread:
        return f"{', '.join(unread)} could not be read yet"
    return f"no usable copy yet in {', '.join(sorted(targets))}"


def _why_locked(
    newest: datetime | None,
    usable: Mapping[str, datetime],
    points: Iterable[RecoveryPoint],
    targets: set[str],
    places: Places,
    now: datetime,
) -> str:
    """For level tampering: until when the newest locked copy is locked, or what is wrong with the locks there are."""
    why = _why(FailureLevel.TAMPERING, newest, usable, targets, places)
    copies = [(point, copy) for point in points for copy in point.copies if could_start(copy)]
    if newest is not None:
        ends = [c.locked_until for p, c in copies if p.cut_at == newest and locked(c, now) and c.locked_until]
        return f"{why}, locked until {to_text(max(ends))}" if ends else why
    bypassed = {c.vault for _, c in copies if _locked_still(c, now) and c.lock_mode is LockMode.GOVERNANCE}
    if bypassed:
        return f"locks in {', '.join(sorted(bypassed))} are of governance mode: an administrator can bypass them"
    over = {c.vault for _, c in copies if c.locked_until is not None and c.locked_until <= now}
    if over:
        return f"the locks in {', '.join(sorted(over))} have run out"
    without = {c.vault for _, c in copies if c.lock_mode is not None and c.locked_until is None}
    if without:
        return f"the copies in {', '.join(sorted(without))} have no lock"
    there = {c.vault for _, c in copies} & targets
    if there and not targets & places.never_read:
        return f"no lock of a copy in {', '.join(sorted(there))} was read back yet"
    return why


# --- datasets and the application ----------------------------------------------------------------------------------


def _dataset(name: str, policy: Policy, resources: Iterable[ResourceStatus]) -> DatasetStatus:
    rules = [resource for resource in policy.resources if resource.dataset == name]
    members = [resource for resource in resources if resource.dataset == name]
    exempt = dict(rules[0].exempt)
    levels = {}
    for level in FailureLevel:
        standings = [member.levels[level] for member in members]
        best = min(standings, key=lambda s: (s.rpo_attained is None, s.rpo_attained or timedelta()))
        quickest = min(standings, key=lambda s: (s.rto_attained is None, s.rto_attained or timedelta()))
        levels[level] = Standing(
            rpo_attained=best.rpo_attained,
            rpo_verified=min((s.rpo_verified for s in standings if s.rpo_verified is not None), default=None),
            rto_attained=quickest.rto_attained,
            rto_basis=quickest.rto_basis,
            rto_breaks_at=_breaks_at(standings, rules[0].objectives.get(level)),
            objective=rules[0].objectives.get(level),
            known=all(s.known for s in standings) or best.rpo_attained is not None,
            exempt=exempt.get(level, ""),
            why=best.why,
        )
    return DatasetStatus(name, tuple(member.resource for member in members), exempt, levels)


def _breaks_at(standings: Iterable[Standing], objective: Objective | None) -> datetime | None:
    """When the last of those that keep the promise would not any more; None when one of them is not seen to end."""
    if objective is None or objective.rto is None:
        return None
    keeping = [s.rto_breaks_at for s in standings if s.rto_attained is not None and s.rto_attained <= objective.rto]
    known = [at for at in keeping if at is not None]
    return max(known) if known and len(known) == len(keeping) else None


def _worst(level: FailureLevel, datasets: Iterable[DatasetStatus]) -> Standing:
    """The application's standing: the worst attained of all datasets that are not exempt; met only if all are.

    The objective shown is that of the dataset that stands worst, else the strictest that any of them has.
    """
    counted = [(d, d.levels[level]) for d in datasets if not d.levels[level].exempt]
    if not counted:
        return Standing(exempt="every dataset is exempt", why="every dataset is exempt")

    def badness(entry: tuple[DatasetStatus, Standing]) -> tuple[bool, bool, timedelta]:
        _, standing = entry
        return (standing.rpo_met is False, standing.rpo_attained is None, standing.rpo_attained or timedelta())

    dataset, worst = max(counted, key=badness)
    standings = [standing for _, standing in counted]
    slowest, basis = max(
        ((d, s) for d, s in counted), key=lambda e: (e[1].rto_attained is None, e[1].rto_attained or timedelta())
    )
    promised = [s.objective for s in standings if s.objective is not None]
    strictest = min(promised, key=lambda o: (o.rpo is None, o.rpo or timedelta()), default=None)
    return Standing(
        rpo_attained=_all_or_none([s.rpo_attained for s in standings]),
        rpo_verified=_all_or_none([s.rpo_verified for s in standings]),
        rto_attained=basis.rto_attained,
        rto_basis=f"{slowest.dataset}: {basis.rto_basis}" if basis.rto_basis else "",
        rto_breaks_at=min((s.rto_breaks_at for s in standings if s.rto_breaks_at is not None), default=None),
        objective=worst.objective or strictest,
        known=all(s.known for s in standings),
        why=f"{dataset.dataset}: {worst.why}",
        parts=tuple(standings),
    )


def growing(status: ApplicationStatus, now: datetime) -> Iterator[tuple[str, FailureLevel, str]]:
    """(dataset, level, words) of every promise of a recovery time that growth breaks within `SOON`."""
    for dataset in status.datasets:
        for level, standing in dataset.levels.items():
            at, objective = standing.rto_breaks_at, standing.objective
            if at is None or standing.exempt or at > now + SOON or objective is None or objective.rto is None:
                continue
            limit = duration_text(objective.rto)
            why = f"at its growth a restore takes more than the promised {limit} from {at:%Y-%m-%d} on"
            yield dataset.dataset, level, f"{why} ({standing.rto_basis})"


def _all_or_none(ages: list[timedelta | None]) -> timedelta | None:
    """The largest, or None as soon as one dataset has none: an application is as bad as its worst dataset."""
    known = [age for age in ages if age is not None]
    return max(known) if len(known) == len(ages) else None
