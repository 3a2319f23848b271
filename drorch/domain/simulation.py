"""What would be left of an application if something were lost now, and whether that keeps its promises. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from drorch.domain.catalogue import Catalogue
from drorch.domain.catalogue_native import AS_RECORDED
from drorch.domain.forecast import Forecast, could_start, measured
from drorch.domain.loss import Loss
from drorch.domain.model import Copy, FailureLevel
from drorch.domain.objective import Places, locked
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.retention import FUTURE


class Fate(StrEnum):
    """What becomes of a resource. It runs on when its home stands and copies of it, or places for them, are lost."""

    LOST = "lost"
    RUNS_ON = "runs_on"
    UNTOUCHED = "untouched"


class Verdict(StrEnum):
    """How a promise fares, the worst first."""

    MISSED = "missed"
    UNKNOWN = "unknown"
    UNMEASURED = "unmeasured"
    MET = "met"
    EXEMPT = "exempt"
    NO_PROMISE = "no_promise"
    RUNS_ON = "runs_on"
    UNTOUCHED = "untouched"


BADNESS = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Left:
    """The newest copy in a vault that survives, from which a restore could start. `recorded`: records alone speak of
    it, its vault was never listed here.
    """

    vault: str
    point: str
    cut_at: datetime
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class ResourceLoss:
    """One resource: `left` newest first, one for each vault; `taken` the vaults whose usable copies are lost; `age` of
    the newest data that are left (None: nothing is). Not `known` while a vault that may hold more was never read.
    """

    resource: str
    kind: str
    dataset: str
    fate: Fate
    left: tuple[Left, ...]
    taken: tuple[str, ...]
    age: timedelta | None
    recovery: Forecast
    drilled: bool
    known: bool
    why: str

    @property
    def data_loss(self) -> timedelta | None:
        """None when nothing is left; nothing is lost while its home stands."""
        return self.age if self.fate is Fate.LOST else timedelta()


@dataclass(frozen=True, slots=True)
class DatasetLoss:
    """One dataset, as good as the best of its resources. `levels` are those whose loss it suffers, `rpo` and `rto` the
    strictest that any of them promises, `exempt` why one promises nothing. `unmeasured` are the resources with copies
    left of which no drill was ever made: what they would take is not known.
    """

    dataset: str
    resources: tuple[str, ...]
    fate: Fate
    levels: tuple[FailureLevel, ...]
    rpo: timedelta | None
    rto: timedelta | None
    exempt: str
    data_loss: timedelta | None
    recovery: timedelta | None
    recovery_basis: str
    unmeasured: tuple[str, ...]
    known: bool
    why: str

    @property
    def rpo_met(self) -> bool | None:
        """None without an objective, while its home stands, and while a vault that may hold more was never read."""
        if self.rpo is None or self.fate is not Fate.LOST:
            return None
        if self.data_loss is not None and self.data_loss <= self.rpo:
            return True
        return False if self.known else None

    @property
    def rto_met(self) -> bool | None:
        """As `rpo_met`. Missed when every way back that is left was measured and is too slow or failed its last drill,
        and when none is left.
        """
        if self.rto is None or self.fate is not Fate.LOST:
            return None
        if self.recovery is not None and self.recovery <= self.rto:
            return True
        return None if self.unmeasured or not self.known else False

    @property
    def verdict(self) -> Verdict:
        """In a word."""
        if self.fate is not Fate.LOST:
            return Verdict.RUNS_ON if self.fate is Fate.RUNS_ON else Verdict.UNTOUCHED
        if self.rpo is None and self.rto is None:
            return Verdict.EXEMPT if self.exempt else Verdict.NO_PROMISE
        if False in (self.rpo_met, self.rto_met):
            return Verdict.MISSED
        if self.rpo is not None and self.rpo_met is None:
            return Verdict.UNKNOWN
        if self.rto is not None and self.rto_met is None:
            return Verdict.UNMEASURED if self.unmeasured else Verdict.UNKNOWN
        return Verdict.MET


@dataclass(frozen=True, slots=True)
class ApplicationLoss:
    """One application: as bad as its worst dataset."""

    application: str
    policy_valid: bool
    datasets: tuple[DatasetLoss, ...]
    resources: tuple[ResourceLoss, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its datasets."""
        return min((dataset.verdict for dataset in self.datasets), key=BADNESS.index, default=Verdict.UNTOUCHED)


def simulate(
    policy: Policy,
    catalogue: Catalogue,
    places: Places,
    losses: Sequence[Loss],
    now: datetime,
    *,
    policy_valid: bool = True,
) -> ApplicationLoss:
    """What all of `losses`, at once, would leave of an application at `now`."""
    resources = tuple(_resource(each, catalogue, places, losses, now) for each in policy.resources)
    names = dict.fromkeys(resource.dataset for resource in policy.resources)
    datasets = tuple(_dataset(name, policy, resources, losses) for name in names)
    return ApplicationLoss(policy.application, policy_valid, datasets, resources)


# --- resources -------------------------------------------------------------------------------------------------------


def _resource(
    resource: ResourcePolicy, catalogue: Catalogue, places: Places, losses: Sequence[Loss], now: datetime
) -> ResourceLoss:
    points = [p for p in catalogue.of(resource.name) if p.cut_at is not None and p.cut_at <= now + FUTURE]
    left: dict[str, Left] = {}
    taken: set[str] = set()
    for point in points:
        for copy in point.copies:
            if point.cut_at is None or not could_start(copy):
                continue
            if not _survives(resource, copy, places, losses, now):
                taken.add(copy.vault)
            elif copy.vault not in left or point.cut_at > left[copy.vault].cut_at:
                left[copy.vault] = Left(copy.vault, point.id, point.cut_at, copy.why == AS_RECORDED)
    ordered = tuple(sorted(left.values(), key=lambda each: (now - each.cut_at, each.vault)))
    targets = {rule.vault for rule in resource.targets if _may_hold(resource, rule.vault, places, losses)}
    spoken_of = {copy.vault for point in points for copy in point.copies}
    unread = sorted((targets & places.never_read) - spoken_of)
    fate = _fate(resource, taken, targets, losses)
    took = measured(resource.name, points, catalogue.drills)
    return ResourceLoss(
        resource=resource.name,
        kind=resource.kind,
        dataset=resource.dataset,
        fate=fate,
        left=ordered,
        taken=tuple(sorted(taken)),
        age=max(now - ordered[0].cut_at, timedelta()) if ordered else None,
        recovery=took.forecast(left, now),
        drilled=bool(took.last),
        known=not unread,
        why=_why(resource, fate, ordered, taken, targets, unread),
    )


def _survives(resource: ResourcePolicy, copy: Copy, places: Places, losses: Iterable[Loss], now: datetime) -> bool:
    place = places.domains.get(copy.vault)
    held = locked(copy, now)
    return place is not None and not any(loss.takes(resource.home, place, locked=held) for loss in losses)


def _may_hold(resource: ResourcePolicy, vault: str, places: Places, losses: Iterable[Loss]) -> bool:
    """Whether copies may be left there: after tampering where something is locked."""
    place = places.domains.get(vault)
    locks = vault in places.locking or any(r.vault == vault and r.lock is not None for r in resource.targets)
    return place is not None and not any(loss.takes(resource.home, place, locked=locks) for loss in losses)


def _fate(resource: ResourcePolicy, taken: set[str], targets: set[str], losses: Sequence[Loss]) -> Fate:
    if any(loss.hits(resource.home) for loss in losses):
        return Fate.LOST
    return Fate.RUNS_ON if taken or any(rule.vault not in targets for rule in resource.targets) else Fate.UNTOUCHED


def _why(
    resource: ResourcePolicy,
    fate: Fate,
    left: Sequence[Left],
    taken: set[str],
    targets: set[str],
    unread: Sequence[str],
) -> str:
    if fate is Fate.UNTOUCHED:
        return "nothing of it lies there"
    told = []
    if fate is Fate.RUNS_ON:
        lost = taken or {rule.vault for rule in resource.targets} - targets
        told.append(f"its home stands; its copies in {', '.join(sorted(lost))} are lost")
    if left:
        vaults = ", ".join(each.vault for each in left if each.cut_at == left[0].cut_at)
        told.append(f"left: point {left[0].point} in {vaults}")
    else:
        told.append(f"no usable copy in {', '.join(sorted(targets))}" if targets else "no copy survives")
    if unread:
        told.append(f"{', '.join(unread)} was never read")
    return "; ".join(told)


# --- datasets --------------------------------------------------------------------------------------------------------


def _dataset(name: str, policy: Policy, resources: Iterable[ResourceLoss], losses: Sequence[Loss]) -> DatasetLoss:
    """Lost when the home of any of its resources is; the copies of all of them bring it back."""
    rules = [resource for resource in policy.resources if resource.dataset == name]
    members = [resource for resource in resources if resource.dataset == name]
    levels = tuple(dict.fromkeys(loss.level for loss in losses if any(loss.hits(rule.home) for rule in rules)))
    fate = min((member.fate for member in members), key=list(Fate).index)
    lost = fate is Fate.LOST
    told = [member for member in members if lost or member.fate is fate]
    best = min(told, key=lambda m: (m.age is None, m.age or timedelta()))
    quickest = min(members, key=lambda m: (m.recovery.took is None, m.recovery.took or timedelta()))
    unmeasured = tuple(member.resource for member in members if member.left and not member.drilled)
    rpo, rto, exempt = _promised(rules[0], levels)
    return DatasetLoss(
        dataset=name,
        resources=tuple(member.resource for member in members),
        fate=fate,
        levels=levels,
        rpo=rpo,
        rto=rto,
        exempt=exempt,
        data_loss=best.age if lost else timedelta(),
        recovery=quickest.recovery.took if lost else None,
        recovery_basis=_basis(quickest, unmeasured) if lost else "",
        unmeasured=unmeasured if lost else (),
        known=all(member.known for member in members),
        why=best.why,
    )


def _basis(quickest: ResourceLoss, unmeasured: tuple[str, ...]) -> str:
    """Of the dataset's forecast; of what was never drilled, that it may be quicker."""
    if quickest.recovery.took is None or not unmeasured:
        return quickest.recovery.basis
    return f"{quickest.recovery.basis}; no drill of {', '.join(unmeasured)} has been made"


def _promised(rule: ResourcePolicy, levels: Collection[FailureLevel]) -> tuple[timedelta | None, timedelta | None, str]:
    """(rpo, rto, exempt): the strictest of what the lost levels promise, and why one of them promises nothing."""
    counted = [rule.objectives[level] for level in levels if level in rule.objectives and level not in rule.exempt]
    rpo = min((objective.rpo for objective in counted if objective.rpo is not None), default=None)
    rto = min((objective.rto for objective in counted if objective.rto is not None), default=None)
    return rpo, rto, next((rule.exempt[level] for level in levels if level in rule.exempt), "")
