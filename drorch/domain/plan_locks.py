"""The part of the planner that locks native copies, as the policy says of each place that they are copied to. Pure.

A copy is locked once it is usable, from then for the whole length; the floor's newest points are locked for the whole
length again as time goes on. What is being let go is not locked any more, and no lock is ever made shorter. A copy that
failed at the provider never gets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, Lock
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, CopyState, LockMode, RecoveryPoint
from drorch.domain.policy import LockRule, ResourcePolicy, VaultRule
from drorch.domain.retention import FUTURE

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

_DAY = timedelta(days=1)
_SOON = timedelta(hours=1)
"""A lock that ends so much earlier than it should is long enough: it is put a pass after the copy was seen usable."""
_NO_LOCK = "it is to be locked from when it was usable"
_FLOOR = "one of the newest points of the floor: its lock is extended as time goes on"


def plan_locks(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """Lock (and an alarm for what should have been locked long since) for the copies of one resource of snapshots."""
    if not resource.native:
        return
    points = [p for p in observed.catalogue.of(resource.name) if not (p.cut_at and p.cut_at > now + FUTURE)]
    for rule in resource.targets:
        if rule.lock is None or rule.vault in observed.unread:
            continue
        if why := observed.locks_unread.get(rule.vault):
            reason = f"the locks of its copies could not be listed: {why}"
            yield Hold(application, resource.name, rule.vault, "", reason, "locks-unread")
            continue
        there = [(point, copy) for point in points if (copy := point.copy_in(rule.vault)) is not None and copy.usable]
        for number, (point, copy) in enumerate(there):
            yield from _lock(application, resource, rule, point, copy, observed, now, floor=number < resource.floor)


def _lock(
    application: str,
    resource: ResourcePolicy,
    rule: VaultRule,
    point: RecoveryPoint,
    copy: Copy,
    observed: Observed,
    now: datetime,
    *,
    floor: bool,
) -> Iterator[Action]:
    if rule.lock is None or copy.lock_mode is None or copy.state is not CopyState.USABLE or copy.expired_at is not None:
        return
    until, reason = _wanted(copy, rule.lock, now, floor=floor)
    if until is None:
        return
    if copy.usable_at is not None and copy.usable_at + _SOON < now and reason != _FLOOR:
        yield Hold(application, resource.name, rule.vault, point.id, f"{reason}, {_found(copy)}", "lock-missing")
    if observed.skewed:
        held = f"{reason}; no lock while {observed.skewed}"
        yield Hold(application, resource.name, rule.vault, point.id, held, "clock")
    else:
        yield Lock(application, resource.name, rule.vault, point.id, reason, extend=True, until=until)


def _wanted(copy: Copy, rule: LockRule, now: datetime, *, floor: bool) -> tuple[datetime | None, str]:
    """Until when the copy is to be locked, and why; None when it is locked as it should be, or needs no lock any more.

    Without a signed record nobody knows since when it is usable: then any lock is enough, but for the floor.
    """
    ends = copy.locked_until
    if ends is not None and now < ends and copy.lock_mode is LockMode.COMPLIANCE and not rule.holds:
        return None, ""  # somebody else's lock, which nobody could take back if it were made longer
    weak = rule.holds and copy.lock_mode is LockMode.GOVERNANCE
    whole = now + rule.for_
    own = whole if copy.usable_at is None else copy.usable_at + rule.for_
    if copy.usable_at is None:
        missing = ends is None or weak
    else:
        missing = now + _SOON < own and (ends is None or ends < own - _SOON or weak)
    if missing:
        return (whole if floor else own), _NO_LOCK
    if floor and (ends is None or weak or ends < whole - min(_DAY, rule.for_ / 4)):
        return whole, _FLOOR
    return None, ""


def _found(copy: Copy) -> str:
    if copy.locked_until is None:
        return "and has none"
    return f"and it has one in {copy.lock_mode} mode until {to_text(copy.locked_until)}"
