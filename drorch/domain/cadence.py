"""How often a resource is cut that says no schedule: as seldom as the objectives of its dataset allow.

A cadence is derived from the policy alone, so that it stays what it is; only where a measured time to a usable copy
shows that it keeps no promise, a shorter one is taken. Nothing of this is stored. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drorch.domain.catalogue import Catalogue
from drorch.domain.duration import duration_text
from drorch.domain.feasibility import Arithmetic, judge
from drorch.domain.instant import slot_start
from drorch.domain.model import FailureDomain, FailureLevel, RecoveryPoint
from drorch.domain.policy import DerivedCadence, LockRule, Policy, ResourcePolicy
from drorch.domain.retention import FUTURE
from drorch.domain.schedule import Every
from drorch.domain.time_to_usable import slowest

_MINUTES = (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2880, 10080)
GRID = tuple(timedelta(minutes=minutes) for minutes in _MINUTES)
"""The cadences there are. Every one is a multiple of the first, so that what the first cannot keep none can."""

_ANYWHERE = FailureDomain("?", "?", "?")
_ANY_LOCK = LockRule.model_construct(for_=timedelta.max)


@dataclass(frozen=True, slots=True)
class Ground:
    """What cadences are judged on: where vaults lie, their locks (None: not known here), how far a restore reaches."""

    vaults: Mapping[str, FailureDomain] | None
    locks: Mapping[str, LockRule] | None = None
    reach_back: timedelta | None = None

    def told_of(self, resource: ResourcePolicy) -> Ground:
        """With vaults that survive everything, and locks that hold, where nobody knows: that asks for the most."""
        dumped = () if resource.native else tuple(rule.vault for rule in resource.targets)
        vaults = dict.fromkeys(dumped, _ANYWHERE) if self.vaults is None else self.vaults
        locks = dict.fromkeys(dumped, _ANY_LOCK) if self.locks is None else self.locks
        return Ground(vaults, locks, self.reach_back)


@dataclass(frozen=True, slots=True)
class Underivable:
    """A resource (by its place in the dataset) that says no schedule, and why none follows."""

    index: int
    message: str
    hint: str


def derived(
    resources: Sequence[ResourcePolicy], ground: Ground
) -> tuple[tuple[ResourcePolicy, ...], tuple[Underivable, ...]]:
    """The resources of one dataset, those with a `cadence` under the schedule that follows from the objectives.

    One after the other, snapshots before dumps, takes charge of the levels that it survives and that none before it, or
    with a schedule of its own, keeps. What no cadence keeps is left to `judge`: the shortest stands for it.
    """
    settled = list(resources)
    wrong: list[Underivable] = []
    kept = _kept([resource for resource in resources if resource.cadence is None], ground)
    waiting = [index for index, resource in enumerate(resources) if resource.cadence is not None]
    left = {}
    for index in sorted(waiting, key=lambda i: not resources[i].native):
        own = _judged(resources[index], GRID[0], ground)
        charge = {level for level, way in own.items() if way.feasible} - kept.keys()
        if charge:
            settled[index] = _longest(resources[index], frozenset(charge), ground)
            kept |= dict.fromkeys(charge, settled[index].name)
        else:
            left[index] = own
    for index, own in left.items():
        if own.keys() - kept.keys():
            settled[index] = _longest(resources[index], frozenset(own.keys() - kept.keys()), ground)
        else:
            wrong.append(Underivable(index, *_why_none(resources[index], own, kept)))
    return tuple(settled), tuple(wrong)


def refined(resource: ResourcePolicy, times: Mapping[str, timedelta], ground: Ground) -> ResourcePolicy:
    """The resource under a shorter cadence, if the slowest `times` to a usable copy (by vault) ask for one.

    Never under one that is shorter than such a time: a point would be cut before the one before it is usable, and
    copies of one source wait for each other. Where none is left the derived one stands, and says that it is not kept.
    """
    if resource.cadence is None or not resource.cadence.charge:
        return resource
    charge, asked = frozenset(resource.cadence.charge), resource.cadence.asked
    for period in reversed([period for period in GRID if period <= asked]):
        ways = _judged(resource, period, ground, times)
        mine = [ways[level] for level in charge if level in ways]
        keeps = len(mine) == len(charge) and all(way.feasible for way in mine)
        if keeps and (period == asked or all(period >= times.get(way.vault, timedelta()) for way in mine)):
            return _at(resource, period, charge, ways, times)
    return _at(resource, asked, charge, _judged(resource, asked, ground, times), times)


def of_another_grid(
    resource: ResourcePolicy, points: Iterable[RecoveryPoint], now: datetime
) -> Iterator[RecoveryPoint]:
    """The points that fill the current slot of a derived cadence under the name of a slot that its grid does not have.

    They were cut in it, when the cadence was another: so a change of grids cuts at once only where nothing was cut in
    the slot, and no two points lie further apart than the longer slot of the two grids.
    """
    if resource.cadence is None:
        return
    start = resource.schedule.slot_at(now)
    for point in points:
        named = None if point.manual else _start(point.slot)
        if named is None or resource.schedule.slot_at(named) == named:
            continue
        if start <= (point.cut_at or named) <= now + FUTURE:
            yield point


def by_measure(policy: Policy, catalogue: Catalogue, ground: Ground, now: datetime) -> Policy:
    """The policy, its derived cadences shortened where the times that copies took ask for that."""
    if all(resource.cadence is None for resource in policy.resources):
        return policy

    def shortened(resource: ResourcePolicy) -> ResourcePolicy:
        points = catalogue.of(resource.name)
        found = {rule.vault: slowest(points, rule.vault, now) for rule in resource.targets}
        return refined(resource, {vault: time for vault, time in found.items() if time is not None}, ground)

    return policy.model_copy(update={"resources": tuple(shortened(resource) for resource in policy.resources)})


def told(resource: ResourcePolicy) -> str:
    """``every 6h: region rpo 9h, time to usable 1h30m assumed``; "" for a schedule that the file says."""
    cadence = resource.cadence
    if cadence is None or cadence.level is None:
        return ""
    now = resource.schedule.longest_gap()
    changed = f" instead of {duration_text(cadence.asked)}" if now != cadence.asked else ""
    basis = "measured" if cadence.measured else "assumed"
    time = f"time to usable {duration_text(cadence.allowance)} {basis}"
    late = "" if cadence.kept else ": no cadence keeps that"
    return f"{resource.schedule}{changed}: {cadence.level} rpo {duration_text(cadence.rpo)}, {time}{late}"


def _longest(resource: ResourcePolicy, charge: frozenset[FailureLevel], ground: Ground) -> ResourcePolicy:
    """Under the longest cadence that keeps all of `charge`, else under the shortest there is."""
    for period in reversed(GRID):
        ways = _judged(resource, period, ground)
        if all(level in ways and ways[level].feasible for level in charge):
            return _at(resource, period, charge, ways, {}, asked=period)
    return _at(resource, GRID[0], charge, _judged(resource, GRID[0], ground), {}, asked=GRID[0])


def _kept(resources: Sequence[ResourcePolicy], ground: Ground) -> dict[FailureLevel, str]:
    """Every level whose RPO they keep, and which of them does."""
    kept: dict[FailureLevel, str] = {}
    for resource in resources:
        at = ground.told_of(resource)
        for way in judge([resource], at.vaults, locks=at.locks, reach_back=at.reach_back):
            if way.feasible and way.rpo is not None:
                kept.setdefault(way.level, resource.name)
    return kept


def _judged(
    resource: ResourcePolicy, period: timedelta, ground: Ground, times: Mapping[str, timedelta] | None = None
) -> dict[FailureLevel, Arithmetic]:
    """The arithmetic of every level with an RPO that the resource survives, cut every `period`."""
    at = ground.told_of(resource)
    measured = {(resource.name, vault): time for vault, time in (times or {}).items()}
    ways = judge([_every(resource, period)], at.vaults, measured, locks=at.locks, reach_back=at.reach_back)
    return {way.level: way for way in ways if way.rpo is not None and way.total is not None}


def _every(resource: ResourcePolicy, period: timedelta) -> ResourcePolicy:
    offset = resource.cadence.offset if resource.cadence is not None else timedelta()
    return resource.model_copy(update={"schedule": Every(period, offset % period)})


def _at(
    resource: ResourcePolicy,
    period: timedelta,
    charge: frozenset[FailureLevel],
    ways: Mapping[FailureLevel, Arithmetic],
    times: Mapping[str, timedelta],
    *,
    asked: timedelta | None = None,
) -> ResourcePolicy:
    before = resource.cadence or DerivedCadence(asked=period)
    ordered = tuple(level for level in FailureLevel if level in charge)
    mine = [ways[level] for level in ordered if level in ways]
    late = [way for way in mine if not way.feasible]
    tightest = min(late or mine, key=lambda way: way.rpo or timedelta())
    cadence = DerivedCadence(
        asked=asked or before.asked,
        offset=before.offset,
        charge=ordered,
        level=tightest.level,
        vault=tightest.vault,
        rpo=tightest.rpo or timedelta(),
        allowance=tightest.allowance or timedelta(),
        measured=tightest.vault in times,
        kept=not late,
    )
    return _every(resource, period).model_copy(update={"cadence": cadence})


def _why_none(
    resource: ResourcePolicy, own: Mapping[FailureLevel, Arithmetic], kept: Mapping[FailureLevel, str]
) -> tuple[str, str]:
    hint = "schedule: {every: 1h}, or objectives: {region: {rpo: 9h}}"
    promised = [level for level, said in resource.objectives.items() if said.rpo and level not in resource.exempt]
    if not promised:
        return f"schedule is missing, and no rpo of dataset {resource.dataset} says how often it is to be cut", hint
    if not own:
        levels = ", ".join(promised)
        message = f"schedule is missing, and no copy of it survives what dataset {resource.dataset} promises: {levels}"
        return message, "let one copy go where it does, or schedule: {every: 1h}"
    by = ", ".join(sorted({kept[level] for level in own if level in kept}))
    message = f"schedule is missing, and {by} keeps every rpo of dataset {resource.dataset} that it could keep"
    return message, "schedule: {every: 1d}, or leave out that of the other"


def _start(slot: str) -> datetime | None:
    try:
        return slot_start(slot)
    except ValueError:
        return None
