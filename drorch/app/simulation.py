"""What is known of applications without asking what is lost: from what answers, and from the cache where it may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from drorch.app.databases import DatabaseLists
from drorch.app.observe import Observer
from drorch.app.policies import PolicySet
from drorch.app.report import Json, seconds
from drorch.domain.catalogue import Catalogue
from drorch.domain.feasibility import domains_of
from drorch.domain.instant import to_text
from drorch.domain.loss import Loss
from drorch.domain.objective import Places
from drorch.domain.policy import Policy
from drorch.domain.simulation import ApplicationLoss, DatasetLoss, Fate, ResourceLoss, Verdict


@dataclass(frozen=True, slots=True)
class Known:
    """One application: its policy with every template replaced, its catalogue, and where its vaults lie."""

    policy: Policy
    valid: bool
    catalogue: Catalogue
    places: Places


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known at `at`. `seen` maps every vault that matters to when it was last read completely (None: never),
    `unread` those that were not read now to why.
    """

    at: datetime
    known: tuple[Known, ...]
    seen: Mapping[str, datetime | None]
    unread: Mapping[str, str]


def picture(
    policies: PolicySet,
    observer: Observer,
    databases: DatabaseLists,
    locking: Collection[str],
    now: datetime,
) -> Picture:
    """Of all valid `policies`; changes nothing. What `observer` may not ask keeps its last known state."""
    world = observer.observe([loaded.policy for loaded in policies.valid], now)
    catalogue: Callable[[Policy], Catalogue] = partial(observer.catalogue, world=world)
    never_read = observer.never_read(world)
    known: list[Known] = []
    seen: dict[str, datetime | None] = {}
    for loaded in databases.expand(policies, catalogue, now).valid:
        domains = domains_of(loaded.policy, observer.vaults)
        places = Places(domains, never_read, frozenset(locking))
        known.append(Known(loaded.policy, not loaded.stale, catalogue(loaded.policy), places))
        for resource in loaded.policy.resources:
            seen |= dict.fromkeys(rule.vault for rule in resource.targets)
    seen |= {name: observer.checked_at(name) for name in observer.vaults}
    for vault in {view.vault.name for view in world.natives}:  # one view per kind: the oldest speaks
        listed = [view.at for view in world.natives if view.vault.name == vault]
        seen[vault] = None if None in listed else min(at for at in listed if at is not None)
    return Picture(now, tuple(known), seen, dict(world.unread))


def simulation_json(
    losses: Iterable[Loss],
    seen: Picture,
    found: Iterable[ApplicationLoss],
    closed: Mapping[str, str],
    invalid: Iterable[str] = (),
) -> Json:
    """`simulate`: null is not known, or none. `closed` maps vaults that were not asked to why; `invalid` names
    applications whose policy never was valid here: nothing of them is known.
    """
    found = list(found)
    verdicts = Counter(dataset.verdict for application in found for dataset in application.datasets)
    vaults = {
        name: {"seen_at": _time(at), "asked": name not in closed, "why": closed.get(name) or seen.unread.get(name)}
        for name, at in sorted(seen.seen.items())
    }
    return {
        "at": to_text(seen.at),
        "lose": [str(loss) for loss in losses],
        "verdicts": {verdict.value: verdicts[verdict] for verdict in Verdict},
        "applications": [_application(each) for each in found],
        "invalid": sorted(invalid),
        "vaults": vaults,
    }


def _application(found: ApplicationLoss) -> Json:
    return {
        "application": found.application,
        "policy_valid": found.policy_valid,
        "verdict": found.verdict.value,
        "datasets": [_dataset(dataset) for dataset in found.datasets],
        "resources": [_resource(resource) for resource in found.resources],
    }


def _dataset(dataset: DatasetLoss) -> Json:
    return {
        "dataset": dataset.dataset,
        "resources": list(dataset.resources),
        "fate": dataset.fate.value,
        "verdict": dataset.verdict.value,
        "levels": [level.value for level in dataset.levels],
        "exempt": dataset.exempt or None,
        "rpo_objective_s": seconds(dataset.rpo),
        "data_loss_s": seconds(dataset.data_loss),
        "rpo_met": dataset.rpo_met,
        "rto_objective_s": seconds(dataset.rto),
        "recovery_s": seconds(dataset.recovery),
        "rto_basis": dataset.recovery_basis or None,
        "rto_met": dataset.rto_met,
        "why": dataset.why,
    }


def _resource(resource: ResourceLoss) -> Json:
    lost = resource.fate is Fate.LOST
    return {
        "resource": resource.resource,
        "kind": resource.kind,
        "dataset": resource.dataset,
        "fate": resource.fate.value,
        "data_as_of": _time(resource.left[0].cut_at) if lost and resource.left else None,
        "data_loss_s": seconds(resource.data_loss),
        "recovery_s": seconds(resource.recovery.took) if lost else None,
        "rto_basis": resource.recovery.basis or None if lost else None,
        "left": [
            {"vault": each.vault, "point": each.point, "cut_at": to_text(each.cut_at), "recorded": each.recorded}
            for each in resource.left
        ],
        "lost": list(resource.taken),
        "why": resource.why,
    }


def _time(when: datetime | None) -> str | None:
    return None if when is None else to_text(when)


def only(policies: PolicySet, applications: Collection[str]) -> PolicySet:
    """Those of the named applications, all without names."""
    valid = tuple(each for each in policies.valid if not applications or each.policy.application in applications)
    return replace(policies, valid=valid)
