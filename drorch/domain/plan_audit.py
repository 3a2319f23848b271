"""The part of the planner that carries out a random audit, and what an audit may be picked from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Drill, Hold, Settling
from drorch.domain.audit import Audit, Offer
from drorch.domain.catalogue import Drilled
from drorch.domain.forecast import could_start
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, CopyState, FailureDomain, FailureLevel, survives
from drorch.domain.objective import locked
from drorch.domain.plan_expiry import failed_drill
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.retention import FUTURE

if TYPE_CHECKING:
    from drorch.domain.plan import Observed


def offers(policy: Policy, observed: Observed, domains: Mapping[str, FailureDomain], now: datetime) -> Iterator[Offer]:
    """Every point of an application that could be drilled here, once for each level that its copy survives.

    A dump from any vault that was read; snapshots as their own `drill:` says alone, which knows where, how and for how
    long. What is being let go of is left out.
    """
    if policy.retired is not None and now >= policy.retired.since:
        return
    for resource in policy.resources:
        if resource.template or not (observed.drills or resource.native):
            continue
        drilled = resource.drill.from_ if resource.drill is not None else ()
        for point in observed.catalogue.of(resource.name):
            if point.cut_at is None or point.cut_at > now + FUTURE:
                continue
            for copy in point.copies:
                if not _offered(copy, observed) or (resource.native and copy.vault not in drilled):
                    continue
                for level in _levels(copy, resource, domains, now):
                    yield Offer(policy.application, level.value, resource.name, copy.vault, point.id)


def _offered(copy: Copy, observed: Observed) -> bool:
    return could_start(copy) and copy.state is CopyState.USABLE and copy.vault not in observed.unread


def _levels(
    copy: Copy, resource: ResourcePolicy, domains: Mapping[str, FailureDomain], now: datetime
) -> Iterator[FailureLevel]:
    domain = domains.get(copy.vault)
    if domain is not None:
        for level in FailureLevel:
            if survives(level, resource.home, domain, locked=locked(copy, now)):
                yield level


def plan_audit(application: str, resource: ResourcePolicy, observed: Observed) -> Iterator[Action]:
    """The drill of what was picked of this resource until it has its proof; what a failed one leaves to look at."""
    drills = [drill for drill in observed.catalogue.drills if drill.resource == resource.name]
    yield from _failed(application, resource, drills, observed)
    audit = observed.audit
    if audit is None or audit.offer.resource != resource.name or any(d.audit == audit.seed for d in drills):
        return
    if observed.skewed or not (observed.drills or resource.native) or audit.offer.vault in observed.unread:
        return
    yield _drill(application, audit, observed)


def _drill(application: str, audit: Audit, observed: Observed) -> Action:
    offer = audit.offer
    where = application, offer.resource, offer.vault, offer.point
    point = observed.catalogue.find(offer.point)
    copy = point.copy_in(offer.vault) if point is not None else None
    if copy is None or not could_start(copy):
        reason = f"{audit.reason}: there is no usable copy of it any more, and another one is not picked"
        return Hold(*where, reason, "audit-lost")
    if offer.resource in observed.running:
        return Settling(*where, f"{audit.reason}, but {observed.running[offer.resource]} is running")
    return Drill(*where, audit.reason, audit.seed)


def _failed(application: str, resource: ResourcePolicy, drills: list[Drilled], observed: Observed) -> Iterator[Action]:
    """The alarm of an audit that failed where nothing else is drilled: it stands until a drill has passed."""
    latest: dict[str, Drilled] = {}
    for drill in drills:  # newest first
        latest.setdefault(drill.vault, drill)
    ruled = resource.drill.from_ if resource.drill is not None else ()
    for vault, drill in sorted(latest.items()):
        if drill.audit and not drill.well and vault not in ruled and failed_drill(resource, observed):
            reason = f"the audit of {drill.point} at {to_text(drill.at)} failed: drorch drill, and look at its proof"
            yield Hold(application, resource.name, vault, drill.point, reason, "drill-failed")
