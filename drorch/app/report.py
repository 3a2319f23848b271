"""What commands report, as the stable JSON of the contract. Pure. null means none or not known, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from drorch.app.passing import ApplicationPlan
from drorch.domain.action import Waiting, deletions_digest
from drorch.domain.audit import AuditsSeen
from drorch.domain.automated import Automated, Replica, Replicated
from drorch.domain.cadence import told
from drorch.domain.copy_failure import told_failure
from drorch.domain.feasibility import Arithmetic
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, CopyState, FailureDomain, FailureLevel, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.objective import Standing
from drorch.domain.policy import Policy
from drorch.domain.time_to_usable import measured
from drorch.domain.unprotected import Place, UnprotectedSeen

Json = dict[str, object]


def status_json(
    now: datetime,
    plans: Mapping[str, ApplicationPlan],
    invalid: Iterable[str] = (),
    automated: Mapping[tuple[str, str], Automated] | None = None,
    unkept: Mapping[str, Iterable[Arithmetic]] | None = None,
    audits: AuditsSeen | None = None,
) -> Json:
    """`status`. `invalid` names applications whose policy never was valid here: nothing else is known of them.

    `automated` is what RDS keeps by itself, by application and resource; `unkept` what each application cannot keep by
    the times that were measured; `audits` how random audits stand, None where none are asked for.
    """
    known = [
        {**_application(plan, automated or {}, now), "unkept": unkept_json((unkept or {}).get(name, ()))}
        for name, plan in plans.items()
    ]
    unknown: list[Json] = [
        {"application": name, "policy_valid": False, "levels": {}, "datasets": [], "resources": [], "unkept": []}
        for name in sorted(set(invalid) - plans.keys())
    ]
    told = audits.to_json() if audits is not None else None
    return {"at": to_text(now), "applications": [*known, *unknown], "audits": told}


def plan_json(
    now: datetime,
    plans: Mapping[str, ApplicationPlan],
    waiting: Iterable[Waiting] = (),
    unkept: Mapping[str, Iterable[Arithmetic]] | None = None,
) -> Json:
    """`plan`. The digest covers the sorted (vault, point) deletions of all applications.

    What of `waiting` is a copy in the queue, or throttled, says so: its place in the queue (from 1, null without a
    queue) and what for. `unkept` is what an application cannot keep by the times that were measured.
    """
    actions = [action for plan in plans.values() for action in plan.actions]
    queued = {w.action.key: {"waiting": {"place": w.place or None, "reason": w.why}} for w in waiting if w.told}
    return {
        "at": to_text(now),
        "digest": deletions_digest(actions),
        "actions": [{**action.to_json(), **queued.get(action.key, {})} for action in actions],
        "cadences": [cadence for plan in plans.values() for cadence in cadences_json(plan.policy)],
        "unkept": [
            {"application": name, **entry} for name, found in (unkept or {}).items() for entry in unkept_json(found)
        ],
    }


def cadences_json(policy: Policy) -> list[Json]:
    """Every cadence of a policy that follows from its objectives: how often, and why."""
    found: list[Json] = []
    for resource in policy.resources:
        cadence = resource.cadence
        if cadence is not None and cadence.level is not None:
            found.append(
                {
                    "application": policy.application,
                    "resource": resource.name,
                    "every_s": seconds(resource.schedule.longest_gap()),
                    "by_policy_s": seconds(cadence.asked),
                    "level": cadence.level.value,
                    "vault": cadence.vault,
                    "rpo_s": seconds(cadence.rpo),
                    "time_to_usable_s": seconds(cadence.allowance),
                    "measured": cadence.measured,
                    "kept": cadence.kept,
                    "why": told(resource),
                }
            )
    return found


def unkept_json(found: Iterable[Arithmetic]) -> list[Json]:
    """Promises that cannot be kept by the times that were measured, with the arithmetic."""
    return [
        {"dataset": each.dataset, "level": each.level.value, "vault": each.vault, "arithmetic": each.sum}
        for each in found
    ]


def points_json(points: Iterable[RecoveryPoint], domains: Mapping[str, FailureDomain]) -> Json:
    """`points`, in the order given. `domains` says where the vaults lie; of others only the name is known."""
    return {"points": [_point(point, domains) for point in points]}


# --- status --------------------------------------------------------------------------------------------------------


def _application(plan: ApplicationPlan, automated: Mapping[tuple[str, str], Automated], now: datetime) -> Json:
    status = plan.status
    took: dict[str, dict[str, int | None]] = {}
    for (_, resource, vault), time in measured(plan.policy, plan.catalogue, now).items():
        took.setdefault(resource, {})[vault] = seconds(time)
    cadences = {str(each["resource"]): each for each in cadences_json(plan.policy)}
    return {
        "application": status.application,
        "policy_valid": status.policy_valid,
        "levels": _levels(status.levels),
        "datasets": [
            {
                "dataset": dataset.dataset,
                "resources": list(dataset.resources),
                "exempt": {level.value: reason for level, reason in dataset.exempt.items()},
                "levels": _levels(dataset.levels),
            }
            for dataset in status.datasets
        ],
        "resources": [
            {
                "resource": resource.resource,
                "kind": resource.kind,
                "newest_cut_at": _time(resource.newest_cut_at),
                "levels": _levels(resource.levels),
                "automated": _automated(automated.get((status.application, resource.resource))),
                "cadence": cadences.get(resource.resource),
                "time_to_usable_s": took.get(resource.resource, {}),
            }
            for resource in status.resources
        ],
    }


def _automated(kept: Automated | None) -> Json | None:
    """null for what is no database of RDS. `counts`: no level is attained by it in this version."""
    if kept is None:
        return None
    if kept.unseen:
        return {"counts": False, "unseen": kept.unseen}
    return {
        "counts": False,
        "unseen": None,
        "retention_days": kept.retention_days,
        "latest_restorable_at": _time(kept.latest),
        "deletion_protection": kept.protected,
        "replicated": [
            {
                **_replication(each),
                "retention_days": each.retention_days,
                "latest_restorable_at": _time(each.latest),
            }
            for each in kept.replicated
        ],
        "replicas": [{"id": each.identifier, **_replication(each)} for each in kept.replicas],
    }


def _replication(each: Replicated | Replica) -> Json:
    return {
        "region": each.region,
        "status": each.status or None,
        "wrong": each.why or None,
        "unseen": each.unseen or None,
    }


def _levels(levels: Mapping[FailureLevel, Standing]) -> Json:
    return {level.value: _standing(standing) for level, standing in levels.items()}


def _standing(standing: Standing) -> Json:
    promised = None if standing.exempt else standing.objective
    return {
        "rpo_objective_s": seconds(promised.rpo) if promised else None,
        "rpo_attained_s": seconds(standing.rpo_attained),
        "rpo_verified_s": seconds(standing.rpo_verified),
        "rto_objective_s": seconds(promised.rto) if promised else None,
        "rto_attained_s": seconds(standing.rto_attained),
        "rto_basis": standing.rto_basis or None,
        "rto_breaks_at": _time(standing.rto_breaks_at),
        "rpo_met": standing.rpo_met,
        "rto_met": standing.rto_met,
        "why": standing.why,
    }


def seconds(span: timedelta | None) -> int | None:
    """Whole seconds, rounded up: what missed its objective by less than a second does not read as if it met it."""
    return None if span is None else math.ceil(span.total_seconds())


# --- points --------------------------------------------------------------------------------------------------------


def _point(point: RecoveryPoint, domains: Mapping[str, FailureDomain]) -> Json:
    return {
        "id": point.id,
        "application": point.application,
        "resource": point.resource,
        "kind": point.kind,
        "slot": point.slot,
        "cut_at": _time(point.cut_at),
        "pinned": point.pinned,
        "note": point.note or None,
        "suspect": point.suspect or None,
        "partial": point.partial or None,
        "copies": [_copy(copy, domains.get(copy.vault)) for copy in point.copies],
    }


def _copy(copy: Copy, domain: FailureDomain | None) -> Json:
    members = [
        {"native_id": m.native_id, "role": m.role, "source_id": m.source_id, "bytes": m.bytes or None}
        for m in copy.members
    ]
    size = copy.bytes or sum(member.bytes for member in copy.members)
    return {
        "vault": copy.vault,
        "state": copy.shown,
        "why": told_failure(copy.why) if copy.state is CopyState.FAILED else copy.why or None,
        "provider": domain.provider if domain else None,
        "account": (domain.account or None) if domain else None,
        "region": domain.region if domain else None,
        "members": members,
        "path": copy.path or None,
        "bytes": size or None,
        "locked_until": _time(copy.locked_until),
        "verified_at": _time(copy.verified_at),
    }


def _time(when: datetime | None) -> str | None:
    return None if when is None else to_text(when)


# --- unprotected ---------------------------------------------------------------------------------------------------


def unprotected_json(now: datetime, bare: UnprotectedSeen) -> Json:
    """`unprotected`: what no policy selects, what of it is ignored, and what could not be seen."""
    found = [_bare(place, source) for place, sources in bare.found.items() for source in sources]
    ignored = [{**_bare(entry.place, entry.source), "reason": entry.reason} for entry in bare.ignored]
    unseen = [{**_place(place), "why": why} for place, why in sorted(bare.unseen.items())]
    return {"at": to_text(now), "unprotected": found, "ignored": ignored, "unseen": unseen}


def _bare(place: Place, source: Source) -> Json:
    return {
        **_place(place),
        "id": source.source_id,
        "bytes": source.bytes or None,
        "instance": source.instance or None,
        "engine": source.settings.get("engine"),
        "tags": dict(sorted(source.tags.items())),
    }


def _place(place: Place) -> Json:
    return dict(zip(("kind", "account", "region"), place, strict=True))
