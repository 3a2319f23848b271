"""The part of the planner that takes care of what lies in vaults: locks, reading by turns, repair. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, Lock, Repair, Verify
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.plan_expiry import why_held
from drorch.domain.policy import ResourcePolicy
from drorch.domain.retention import FUTURE

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

TURNS = 100
"""One turn a day, each reading a hundredth of the leaves: after a hundred days every byte was read."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def turn_of(now: datetime) -> int:
    """Which hundredth of the leaves is read today (UTC)."""
    return (now - _EPOCH) // _DAY % TURNS


def plan_care(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """Lock, Verify and Repair for the vaults of one resource of dumps."""
    if resource.native:
        return
    points = [p for p in observed.catalogue.of(resource.name) if not (p.cut_at and p.cut_at > now + FUTURE)]
    for rule in resource.targets:
        if rule.vault in observed.unread:
            continue
        there = [(point, copy) for point in points if (copy := point.copy_in(rule.vault)) is not None]
        yield from _locks(application, resource, rule.vault, there, observed, now)
        yield from _verify(application, resource, rule.vault, there, observed, now)
        yield from _repairs(application, resource, there, observed)


def _locks(
    application: str,
    resource: ResourcePolicy,
    vault: str,
    there: list[tuple[RecoveryPoint, Copy]],
    observed: Observed,
    now: datetime,
) -> Iterator[Action]:
    """The floor's newest points are locked for the whole length again every day; every other lock is read back once."""
    rule = observed.locks.get(vault)
    if rule is None:
        return
    usable = [(point, copy) for point, copy in there if copy.usable]
    for number, (point, copy) in enumerate(usable):
        floor = number < resource.floor and copy.state is CopyState.USABLE
        extend = floor and (copy.locked_until is None or copy.locked_until < now + rule.for_ - _DAY)
        if copy.lock_mode is None:
            reason = "its lock was not read back yet"
        elif extend:
            reason = "one of the newest points of the floor: its lock is extended every day"
        else:
            continue
        if observed.skewed:
            yield Hold(
                application, resource.name, vault, point.id, f"{reason}; no lock while {observed.skewed}", "clock"
            )
        else:
            yield Lock(application, resource.name, vault, point.id, reason, extend)


def _verify(
    application: str,
    resource: ResourcePolicy,
    vault: str,
    there: list[tuple[RecoveryPoint, Copy]],
    observed: Observed,
    now: datetime,
) -> Iterator[Action]:
    settled = any(copy.usable and point.cut_at is not None and point.cut_at + _DAY <= now for point, copy in there)
    if observed.turns is None or not settled:
        return  # what was written today was read when it was written
    turn = turn_of(now)
    read = observed.turns.get((resource.name, vault), {})
    at = read.get(turn)
    if (at is None or now - at > _DAY) and resource.name not in observed.running:
        reason = f"turn {turn} of {TURNS} of reading what lies there"
        yield Verify(application, resource.name, vault, "", reason, turn)


def _repairs(
    application: str, resource: ResourcePolicy, there: list[tuple[RecoveryPoint, Copy]], observed: Observed
) -> Iterator[Action]:
    """A damaged copy is written again from a good one; what retention is letting go is not worth it."""
    for point, copy in there:
        if copy.state is not CopyState.FAILED or copy.expiring_since is not None or copy.expired_at is not None:
            continue
        good = [c for c in point.copies if c.usable and c.vault != copy.vault and c.vault not in observed.unread]
        what = f"its copy is damaged ({copy.why})"
        source = f"{good[0].vault} has a good one" if good else "no vault has a good one"
        stale = ("its policy file is invalid", "") if observed.stale else None
        hold = stale or why_held(resource, observed, after_drill=False)
        but = f", but {hold[0]}" if good and hold is not None else ""
        # An alarm, repaired or not: somebody or something has changed what lies there.
        yield Hold(application, resource.name, copy.vault, point.id, f"{what}; {source}{but}", "damaged")
        if good and hold is None:
            yield Repair(application, resource.name, copy.vault, point.id, f"{what}; {source}", good[0].vault)


def coverage(turns: Mapping[int, datetime]) -> datetime | None:
    """Since when every byte was read: the oldest of the latest turns. None before there was one of each."""
    return min(turns.values()) if len(turns) == TURNS else None
