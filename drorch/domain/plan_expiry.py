"""The part of the planner that lets go: what retention keeps, what it marks, and what it deletes once a grace is over.

A copy that no rule keeps is marked `expiring`; when the mark has stood for the grace, and everything still says so, it
is deleted. A rule that keeps it again meanwhile takes the mark back (`kept`). Whatever is not known for certain holds
the deletion, never the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Expire, Hold, Keep, Mark
from drorch.domain.catalogue import Drilled
from drorch.domain.duration import duration_text
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.plan_copies import fillers, owed
from drorch.domain.plan_scenario import failed_whole
from drorch.domain.policy import KEEP_NOTHING, Policy, ResourcePolicy, VaultRule
from drorch.domain.policy import Keep as KeepRule
from drorch.domain.record import MarkType
from drorch.domain.retention import FUTURE, Candidate, Verdict, keep

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

_CADENCE = "the first of its slot in this vault's own cadence"


def plan_expiry(policy: Policy, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """Keep, Mark, Expire or Hold for every copy in every vault of the resource."""
    points = observed.catalogue.of(resource.name)
    for rule in resource.targets:
        if rule.vault in observed.unread:
            reason = f"not read completely, so nothing there would be let go: {observed.unread[rule.vault]}"
            yield Hold(policy.application, resource.name, rule.vault, "", reason)
            continue
        if observed.stale:
            reason = "its policy file is invalid, so nothing there would be let go"
            yield Hold(policy.application, resource.name, rule.vault, "", reason)
            continue
        verdicts = judge(policy, resource, rule, observed, now)
        for verdict in verdicts:
            if verdict.kept:
                yield _kept(policy, resource, rule, verdict, points, observed)
        yield from _let_go(policy, resource, rule, [v for v in verdicts if not v.kept], observed, now)
        yield from _begun(policy, resource, rule, points, observed, now)
    named = {rule.vault for rule in resource.targets}
    for vault in sorted({copy.vault for point in points for copy in point.copies} - named):
        reason = "the policy does not name this vault (any more): its copies there are kept"
        yield Hold(policy.application, resource.name, vault, "", reason, "left-behind")


def judge(
    policy: Policy, resource: ResourcePolicy, rule: VaultRule, observed: Observed, now: datetime
) -> tuple[Verdict, ...]:
    """What retention says of every usable copy in one vault, newest first."""
    points = observed.catalogue.of(resource.name)
    rules, over = rules_of(policy, rule, now)
    candidates = candidates_in(points, rule, resource, now, over=over)
    if over:
        candidates = tuple(replace(c, verified=False, proved=False) for c in candidates)
    else:
        awaited = _awaited(points, resource, rule, observed, now)
        candidates = tuple(replace(c, held=c.held or awaited.get(c.point, "")) for c in candidates)
    return keep(
        rules,
        candidates,
        zone=resource.schedule.zone,
        floor=0 if over else resource.floor,
        keep_manual=resource.keep_manual,
        now=now,
    )


def rules_of(policy: Policy, rule: VaultRule, now: datetime) -> tuple[KeepRule, bool]:
    """The keep rules in force in a vault, and whether the application's time is over, so that nothing keeps it."""
    retired = policy.retired
    if retired is None or now < retired.since:
        return rule.keep, False
    if retired.until is not None and now >= retired.until:
        return KEEP_NOTHING, True
    return retired.keep or rule.keep, False


def in_force(policy: Policy, resource: ResourcePolicy, now: datetime) -> ResourcePolicy:
    """The resource under the rules in force: what a vault is owed and what it keeps are judged by the same ones.

    After its application's time it has no floor either: what was let go in one vault is not brought back from another.
    """
    judged = [(rule, *rules_of(policy, rule, now)) for rule in resource.targets]
    if all(keeps is rule.keep for rule, keeps, _ in judged):
        return resource
    rules = tuple(rule.model_copy(update={"keep": keeps}) for rule, keeps, _ in judged)
    floor = 0 if any(over for _, _, over in judged) else resource.floor
    return resource.model_copy(update={"targets": rules, "floor": floor})


def candidates_in(
    points: Sequence[RecoveryPoint], rule: VaultRule, resource: ResourcePolicy, now: datetime, *, over: bool
) -> tuple[Candidate, ...]:
    """The usable points of one vault as retention sees them: one per slot, the rest are duplicates.

    What fills a slot elsewhere makes nothing here a duplicate: that vault may be the one that is lost. `over` says that
    the application's time is: nothing will be incremental to anything any more.
    """
    there = [(p, copy) for p in points if (copy := p.copy_in(rule.vault)) is not None and copy.usable]
    filled = fillers([point for point, _ in there])
    anchors = {} if over else _anchors(there, resource, rule)
    suspects = [p for p in points if p.suspect and p.usable and p.cut_at is not None and p.cut_at <= now + FUTURE]
    suspect = max(suspects, key=lambda p: (p.cut_at, p.id), default=None)
    candidates = []
    for point, copy in there:
        if point.cut_at is None:
            continue
        frozen = suspect is not None and suspect.cut_at is not None and point.cut_at < suspect.cut_at
        candidates.append(
            Candidate(
                point=point.id,
                cut_at=point.cut_at,
                pinned=point.pinned,
                manual=point.manual,
                verified=copy.verified_at is not None,
                proved=any(other.verified_at is not None for other in point.copies),
                frozen=f"point {suspect.id} after it is suspect" if frozen and suspect is not None else "",
                duplicate=not point.manual and point.id not in filled,
                held=_held(point, copy, resource) or anchors.get(point.id, ""),
            )
        )
    return tuple(candidates)


def _held(point: RecoveryPoint, copy: Copy, resource: ResourcePolicy) -> str:
    pending = [c for c in point.copies if c.state is CopyState.PENDING and c.expired_at is None]
    waiting = [c.vault for c in pending if c.vault != copy.vault]
    wanted = {rule.vault for rule in resource.targets}
    missing = sorted(wanted.intersection(waiting))
    return f"source of the pending copy to {', '.join(missing)}" if missing else ""


def _anchors(there: Sequence[tuple[RecoveryPoint, Copy]], resource: ResourcePolicy, rule: VaultRule) -> dict[str, str]:
    """Of a native destination the newest copy under each key: the next copy under it is incremental to that one
    (EBS and RDS copies are incremental only while the most recent copy of the same key still exists).
    """
    newest: dict[str, tuple[datetime, str]] = {}
    for point, copy in there:
        if resource.native and not rule.home and point.cut_at is not None:
            newest[copy.kms_key] = max(newest.get(copy.kms_key, (point.cut_at, point.id)), (point.cut_at, point.id))
    return {
        point: f"the newest copy under {key or 'no key'}: the next is incremental to it"
        for key, (_, point) in newest.items()
    }


def _awaited(
    points: Sequence[RecoveryPoint], resource: ResourcePolicy, rule: VaultRule, observed: Observed, now: datetime
) -> dict[str, str]:
    """What other rules than the vault's own keep rules still need here, by point: the vault's own cadence, and other
    vaults that are owed the point and lack it, which may be brought there from here only.
    """
    needed: dict[str, str] = {}
    for other in resource.targets:
        own = other.vault == rule.vault
        if other.home or (own and rule.every is None):
            continue
        lacking = [p for p in points if own or (there := p.copy_in(other.vault)) is None or not there.usable]
        if not lacking:
            continue
        wanted = {p.id for p in owed(points, resource, other, observed.unread, now)}
        why = _CADENCE if own else f"{other.vault} is owed it and lacks it"
        needed |= {p.id: why for p in lacking if p.id in wanted and p.id not in needed}
    return needed


# --- marks and deletions -------------------------------------------------------------------------------------------


def _kept(
    policy: Policy,
    resource: ResourcePolicy,
    rule: VaultRule,
    verdict: Verdict,
    points: Sequence[RecoveryPoint],
    observed: Observed,
) -> Action:
    point, reason = verdict.candidate.point, "; ".join(verdict.reasons)
    copy = _copy_of(points, point, rule.vault)
    # A mark signed by a clock that is wrong would lose against the one in force, or win against all of a year to come.
    if copy is not None and copy.state is CopyState.EXPIRING and observed.writable and not observed.skewed:
        reason = f"kept again: {reason}"
        into = observed.writable
        return Mark(policy.application, resource.name, rule.vault, point, reason, MarkType.KEPT.value, into)
    return Keep(policy.application, resource.name, rule.vault, point, reason)


def _let_go(
    policy: Policy,
    resource: ResourcePolicy,
    rule: VaultRule,
    verdicts: Sequence[Verdict],
    observed: Observed,
    now: datetime,
) -> Iterator[Action]:
    if not verdicts:
        return
    hold = why_held(resource, observed)
    if hold is not None:
        why, alarm = hold
        reason = f"{len(verdicts)} {'copy' if len(verdicts) == 1 else 'copies'} would be let go, but {why}"
        yield Hold(policy.application, resource.name, rule.vault, "", reason, alarm)
        return
    points = observed.catalogue.of(resource.name)
    for verdict in reversed(verdicts):  # the oldest first, so that a brake spares the newest
        point, reason = verdict.candidate.point, "; ".join(verdict.reasons)
        copy = _copy_of(points, point, rule.vault)
        if copy is not None:
            yield _next_step(policy.application, resource.name, copy, point, reason, observed, now)


def _next_step(
    application: str, resource: str, copy: Copy, point: str, reason: str, observed: Observed, now: datetime
) -> Action:
    vault, into = copy.vault, observed.writable
    if copy.expiring_since is None:
        return Mark(application, resource, vault, point, reason, MarkType.EXPIRING.value, into)
    over = copy.expiring_since + observed.grace
    if now < over:
        waiting = f"{reason}; marked, and deleted no earlier than {to_text(over)}"
        return Hold(application, resource, vault, point, waiting)
    locked = copy.undeletable_until
    if locked is not None and now < locked:
        return Hold(application, resource, vault, point, f"{reason}; locked until {to_text(locked)}")
    grace = duration_text(observed.grace)
    return Expire(application, resource, vault, point, f"{reason}; marked for longer than {grace}", into)


def _begun(
    policy: Policy,
    resource: ResourcePolicy,
    rule: VaultRule,
    points: Sequence[RecoveryPoint],
    observed: Observed,
    now: datetime,
) -> Iterator[Action]:
    """Deletions that were cut short: what is left is no copy any more, and goes.

    A copy that is whole still is judged like every other, whatever a deletion that did not begin has written.
    """
    begun = [
        (point.id, "its deletion was begun and not ended")
        for point in points
        if (copy := point.copy_in(rule.vault)) is not None
        and copy.expired_at is not None
        and copy.state in (CopyState.FAILED, CopyState.PENDING)
        and not point.pinned
    ]
    begun += [
        (left.point, "its manifest is deleted, data of it are left")
        for left in observed.catalogue.leftovers
        if left.expired and (left.resource, left.vault) == (resource.name, rule.vault)
    ]
    hold = why_held(resource, observed)
    for point, reason in begun:
        copy = _copy_of(points, point, rule.vault)
        locked = copy.undeletable_until if copy is not None else None
        if locked is not None and now < locked:
            held = f"{reason}; locked until {to_text(locked)}"
            yield Hold(policy.application, resource.name, rule.vault, point, held)
        elif hold is None:
            yield Expire(policy.application, resource.name, rule.vault, point, reason, observed.writable)
        else:
            why, alarm = hold
            yield Hold(policy.application, resource.name, rule.vault, point, f"{reason}, but {why}", alarm)


def why_held(resource: ResourcePolicy, observed: Observed, *, after_drill: bool = True) -> tuple[str, str] | None:
    """Why nothing of a resource may be let go now, and the alarm of that ("" where time is the cure); None if it may.

    Unread vaults and invalid policies are the caller's: they are told per vault.
    """
    if observed.skewed:
        return observed.skewed, "clock"
    if observed.never_read:
        unknown = ", ".join(sorted(observed.never_read))
        return f"nothing is known of {unknown}, where pins, proofs and marks may lie", ""
    if not observed.object_vaults:
        return "there is no object vault that could hold the marks", "no-object-vault"
    if not observed.writable:
        return "no object vault can take the marks now", ""
    if resource.name in observed.running:
        return f"{observed.running[resource.name]} is running", ""
    if observed.restoring:
        return f"{observed.restoring} is running", ""
    failed = failed_drill(resource, observed) if after_drill else ""
    if failed:
        return failed, "drill-failed"
    return None


def failed_drill(resource: ResourcePolicy, observed: Observed) -> str:
    """Which vault's latest drill of the resource failed, in words; "" when none did.

    Where a vault is not drilled any more, a later drill that passed from another one settles it.
    """
    latest: dict[str, Drilled] = {}
    for drill in observed.catalogue.drills:  # newest first
        if drill.resource == resource.name:
            latest.setdefault(drill.vault, drill)
    drilled = resource.drill.from_ if resource.drill is not None else ()
    passed = max((drill.at for drill in latest.values() if drill.passed), default=None)
    for vault, drill in sorted(latest.items()):
        elsewhere = vault not in drilled and passed is not None and passed > drill.at
        if not drill.well and not elsewhere:
            return f"the drill of {drill.point} from {vault} at {to_text(drill.at)} failed, and none has passed since"
    return failed_whole(resource, observed.catalogue)


def _copy_of(points: Sequence[RecoveryPoint], point: str, vault: str) -> Copy | None:
    found = next((candidate for candidate in points if candidate.id == point), None)
    return found.copy_in(vault) if found is not None else None
