"""What a change of policies does, for who reviews it: covered, promised, kept and cut, before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from drorch.domain.cadence import Ground, told
from drorch.domain.feasibility import ways_left
from drorch.domain.instant import to_text
from drorch.domain.model import FailureLevel
from drorch.domain.policy import Policy, ResourcePolicy, VaultRule
from drorch.domain.policy_changes import (
    Change,
    Where,
    changed_promises,
    changed_reach,
    changed_resource,
    changed_vault,
    joined,
    kept_text,
)
from drorch.domain.policy_changes_scenario import changed_scenario
from drorch.domain.policy_figures import Figures, Held, Side, figures, per_day

Covered = tuple[str, str, FailureLevel]
"""Application, dataset and level that a copy of it survives."""


class Fate(StrEnum):
    """What becomes of an application."""

    ADDED = "added"
    LOST = "lost"
    RENAMED = "renamed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls per day when nothing fails: each cut, each copy of a snapshot, each dump that goes into a vault."""

    cuts: float = 0.0
    copies: float = 0.0
    uploads: float = 0.0

    def __add__(self, other: Calls) -> Calls:
        return Calls(self.cuts + other.cuts, self.copies + other.copies, self.uploads + other.uploads)

    def to_json(self) -> dict[str, object]:
        """Its numbers."""
        return {"cuts": round(self.cuts, 2), "copies": round(self.copies, 2), "uploads": round(self.uploads, 2)}


@dataclass(frozen=True, slots=True)
class ApplicationDiff:
    """One application that differs, by its new name (of one that is lost, its old)."""

    application: str
    fate: Fate
    formerly: str
    changes: tuple[Change, ...]
    figures: tuple[Figures, ...]
    calls_before: Calls
    calls_after: Calls


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """Every application that differs. `lost` and `gained`: what a copy survived that nothing survives now, and what
    something survives that nothing did.
    """

    applications: tuple[ApplicationDiff, ...] = ()
    lost: frozenset[Covered] = field(default_factory=frozenset)
    gained: frozenset[Covered] = field(default_factory=frozenset)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, the risky ones first, each sort by application."""
        every = [change for application in self.applications for change in application.changes]
        return tuple(sorted(every, key=lambda change: not change.risky))

    @property
    def loosened(self) -> bool:
        """Whether a level is covered no longer, or a promise was loosened or taken back."""
        return any(change.loosened for change in self.changes)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An application before and after; None where it is not there. At least one is."""

    old: Policy | None
    new: Policy | None

    @property
    def name(self) -> str:
        """The name that it is told under."""
        policy = self.new or self.old
        return "" if policy is None else policy.application

    def resources(self) -> Iterator[tuple[ResourcePolicy | None, ResourcePolicy | None]]:
        """Each resource before and after, by name or by what it was called; those that are gone last."""
        left = {} if self.old is None else {resource.name: resource for resource in self.old.resources}
        for resource in () if self.new is None else self.new.resources:
            named = (resource.name, *resource.formerly)
            yield left.pop(next((name for name in named if name in left), ""), None), resource
        for resource in left.values():
            yield resource, None

    def dataset_now(self, dataset: str) -> str:
        """What a dataset of the old policy is called in the new one; its old name where it is gone."""
        if self.new is None or any(resource.dataset == dataset for resource in self.new.resources):
            return dataset
        carried = (new.dataset for old, new in self.resources() if old and new and old.dataset == dataset)
        return next(carried, dataset)


def diff(
    old: Sequence[Policy], new: Sequence[Policy], ground: Ground, now: datetime, held: Held | None = None
) -> PolicyDiff:
    """What comes with `new` in the place of `old`; all are valid. `ground` says where vaults lie and what they lock.

    `held` is what lies in vaults now, where anybody knows.
    """
    applications: list[ApplicationDiff] = []
    lost: set[Covered] = set()
    gained: set[Covered] = set()
    for pair in _pairs(old, new):
        if pair.old == pair.new:
            continue
        before = {(pair.name, pair.dataset_now(dataset), level) for dataset, level in _covered(pair.old, ground)}
        after = {(pair.name, dataset, level) for dataset, level in _covered(pair.new, ground)}
        lost |= before - after
        gained |= after - before
        found = _application(pair, before - after, after - before, now, held or Held())
        if found.changes:
            applications.append(found)
    return PolicyDiff(tuple(applications), frozenset(lost), frozenset(gained))


def _pairs(old: Sequence[Policy], new: Sequence[Policy]) -> Iterator[_Pair]:
    """Every application before and after, by name or by what it was called, in the order of their names."""
    left = {policy.application: policy for policy in old}
    pairs = []
    for policy in new:
        named = (policy.application, *policy.formerly)
        pairs.append(_Pair(left.pop(next((name for name in named if name in left), ""), None), policy))
    pairs += [_Pair(policy, None) for policy in left.values()]
    yield from sorted(pairs, key=lambda pair: pair.name)


def _covered(policy: Policy | None, ground: Ground) -> Iterator[tuple[str, FailureLevel]]:
    """Every dataset and level that some copy survives; of an application that has left nothing is made any more."""
    if policy is None or policy.retired is not None:
        return
    for resource in policy.resources:
        at = ground.told_of(resource)
        for level in FailureLevel:
            if ways_left(level, resource, at.vaults, at.locks):
                yield resource.dataset, level


# --- one application -----------------------------------------------------------------------------------------------


def _application(pair: _Pair, lost: set[Covered], gained: set[Covered], now: datetime, held: Held) -> ApplicationDiff:
    named = dict(_figures(pair, now, held))
    changes: list[Change] = list(_fate(pair, lost))
    if pair.old is not None and pair.new is not None:
        changes += _leaving(pair.old, pair.new)
        changes += _coverage(lost, gained)
        changes += changed_reach(pair.old, pair.new)
        changes += changed_scenario(pair.old, pair.new)
        changes += _promises(pair)
        changes += _resources(pair, named)
    old, new = pair.old, pair.new
    renamed = old is not None and new is not None and old.application != new.application
    fate = Fate.ADDED if old is None else Fate.LOST if new is None else Fate.RENAMED if renamed else Fate.CHANGED
    return ApplicationDiff(
        application=pair.name,
        fate=fate,
        formerly=old.application if old is not None and renamed else "",
        changes=tuple(changes),
        figures=tuple(named.values()),
        calls_before=_calls(old),
        calls_after=_calls(new),
    )


def _fate(pair: _Pair, lost: set[Covered]) -> Iterator[Change]:
    name = pair.name
    if pair.old is None and pair.new is not None:
        made = ", ".join(f"{each.name} ({each.kind}, {each.schedule})" for each in pair.new.resources)
        yield Change("application-added", name, f"a new application: {made}")
    elif pair.new is None:
        levels = tuple(level for level in FailureLevel if level in {level for *_, level in lost})
        text = "its file is gone: nothing new is cut, nothing is deleted (retired: says that it leaves)"
        text += f"; covered no longer: {joined(levels)}" if levels else ""
        # An application that had left already loses nothing with its file.
        risky = bool(levels)
        yield Change("application-lost", name, text, levels=levels, risky=risky, loosened=risky)
    elif pair.old is not None and pair.old.application != name:
        yield Change("application-renamed", name, f"was {pair.old.application}; its history goes on")


def _leaving(old: Policy, new: Policy) -> Iterator[Change]:
    if old.retired == new.retired:
        return
    if new.retired is None:
        yield Change("application-returned", new.application, "it does not leave any more: it is cut again")
        return
    until = new.retired.until
    text = f"it leaves at {to_text(new.retired.since)}: {new.retired.reason}; its points "
    text += "are kept by its rules" if until is None else f"may go after {to_text(until)}"
    first = old.retired is None
    kind = "application-retired" if first else "retirement-changed"
    yield Change(kind, new.application, text, risky=True, loosened=first)


def _coverage(lost: set[Covered], gained: set[Covered]) -> Iterator[Change]:
    """One change per dataset and direction."""
    for covered, kind, what in ((lost, "level-lost", "covered no longer"), (gained, "level-covered", "covered now")):
        for application, dataset in sorted({(application, dataset) for application, dataset, _ in covered}):
            levels = tuple(level for level in FailureLevel if (application, dataset, level) in covered)
            gone = kind == "level-lost"
            where = Where(application, dataset=dataset, levels=levels)
            yield where.change(kind, f"{what}: {joined(levels)}", risky=gone, loosened=gone)


def _promises(pair: _Pair) -> Iterator[Change]:
    """Once per dataset that there is before and after: its resources bear the same promises."""
    told_of: set[str] = set()
    after = {} if pair.new is None else {resource.dataset: resource for resource in pair.new.resources}
    for resource in () if pair.old is None else pair.old.resources:
        dataset = pair.dataset_now(resource.dataset)
        if dataset in after and dataset not in told_of:
            told_of.add(dataset)
            yield from changed_promises(pair.name, resource, after[dataset])


def _resources(pair: _Pair, named: Mapping[tuple[str, str], Figures]) -> Iterator[Change]:
    for old, new in pair.resources():
        if new is None and old is not None:
            text = "nothing new is cut; its points are kept, and reported as left behind"
            yield Change("resource-lost", pair.name, text, resource=old.name, dataset=old.dataset, risky=True)
        elif old is None and new is not None:
            text = f"a new resource of kind {new.kind}, {told(new) or new.schedule}"
            yield Change("resource-added", pair.name, text, resource=new.name, after=str(new.schedule))
        elif old is not None and new is not None:
            yield from changed_resource(pair.name, old, new)
            yield from _vaults(pair, old, new, named)


def _vaults(
    pair: _Pair, old: ResourcePolicy, new: ResourcePolicy, named: Mapping[tuple[str, str], Figures]
) -> Iterator[Change]:
    before, after = _rules(pair.old, old), _rules(pair.new, new)
    for vault in (vault for vault in before if vault not in after):
        text = f"nothing new goes to {vault}; what lies there is kept, and reported as left behind"
        gone = kept_text(before[vault].keep)
        yield Change("vault-lost", pair.name, text, resource=new.name, vault=vault, before=gone, risky=True)
    for vault, rule in after.items():
        if vault in before:
            yield from changed_vault(pair.name, (old, before[vault]), (new, rule), named[new.name, vault])
        else:
            come = kept_text(rule.keep)
            text = f"points go to {vault}, too: {come}"
            yield Change("vault-added", pair.name, text, resource=new.name, vault=vault, after=come)


# --- figures -------------------------------------------------------------------------------------------------------


def _figures(pair: _Pair, now: datetime, held: Held) -> Iterator[tuple[tuple[str, str], Figures]]:
    """By resource and vault: every one there is before or after."""
    for old, new in pair.resources():
        resource = new or old
        if resource is None:
            continue
        before, after = _sides(pair.old, old), _sides(pair.new, new)
        for vault in dict.fromkeys([*after, *before]):
            name = (pair.name, resource.name, vault)
            yield name[1:], figures(name, before.get(vault), after.get(vault), held, now)


def _sides(policy: Policy | None, resource: ResourcePolicy | None) -> dict[str, Side]:
    if policy is None or resource is None:
        return {}
    return {vault: Side(policy, resource, rule) for vault, rule in _rules(policy, resource).items()}


def _rules(policy: Policy | None, resource: ResourcePolicy) -> dict[str, VaultRule]:
    """By vault, each with the keep rules in force: those of an application that has left, where it says its own."""
    rules = {rule.vault: rule for rule in resource.targets}
    retired = None if policy is None else policy.retired
    if retired is None or retired.keep is None:
        return rules
    return {vault: rule.model_copy(update={"keep": retired.keep}) for vault, rule in rules.items()}


def _calls(policy: Policy | None) -> Calls:
    total = Calls()
    for resource in () if policy is None or policy.retired is not None else policy.resources:
        total += Calls(cuts=per_day(resource.schedule))  # type: ignore[arg-type]  # grids are frozen, and hashable
        for side in (Side(policy, resource, rule) for rule in resource.targets if policy is not None):
            if not resource.native:
                total += Calls(uploads=side.per_day)
            elif not side.rule.home:
                total += Calls(copies=side.per_day)
    return total
