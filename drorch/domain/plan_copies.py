"""The part of the planner that brings points where they are missing: native copies, shipped dumps, records.

A vault is owed exactly the points that its own keep rules would keep if they were there, newest first.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Copy, Hold, Replicate, Settling, Ship, WriteRecord
from drorch.domain.copy_failure import told_failure
from drorch.domain.instant import to_text
from drorch.domain.intent_keys import copy_intent
from drorch.domain.intermediate import by_way_of, is_needed
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.plan_full import foretold
from drorch.domain.plan_keys import Trouble, trouble
from drorch.domain.policy import ResourcePolicy, VaultRule
from drorch.domain.retention import FUTURE, Candidate, keep
from drorch.domain.schedule import Every
from drorch.domain.waits import AFTER_FAILURE, SETTLING

if TYPE_CHECKING:
    from drorch.domain.plan import Observed


def plan_copies(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """A Copy or Ship for every point that a vault lacks, or why it has to wait."""
    points = observed.catalogue.of(resource.name)
    for rule in resource.targets:
        wrong = trouble(resource, rule, observed, now)
        if rule.home or rule.vault in observed.unread or all(_there(p, rule.vault) or not p.usable for p in points):
            if wrong is not None:
                yield Hold(application, resource.name, rule.vault, "", wrong.why, wrong.alarm)
            continue
        yield from _to_vault(application, resource, rule, observed, now, wrong)


def _to_vault(
    application: str,
    resource: ResourcePolicy,
    rule: VaultRule,
    observed: Observed,
    now: datetime,
    wrong: Trouble | None,
) -> Iterator[Action]:
    """What `wrong` holds is told once, by its newest point."""
    points = observed.catalogue.of(resource.name)
    anchors: set[str] = set()
    probe, told = wrong is not None and wrong.probe, False
    for point in owed(points, resource, rule, observed.unread, now):
        if _there(point, rule.vault) or (observed.skewed and point.cut_at and point.cut_at > now + FUTURE):
            continue  # by a host's clock that is behind everything is of the future and would be kept everywhere
        if wrong is not None and not probe and wrong.concerns(point.copy_in(resource.targets[0].vault)):
            if not told:
                yield Hold(application, resource.name, rule.vault, point.id, wrong.why, wrong.alarm)
            told = True
            continue
        action = _bring(application, resource, rule, point, observed, now)
        if isinstance(action, Copy) and action.intermediate:
            yield action
        elif isinstance(action, Copy):
            probe = False
            yield foretold(action, points, point, resource, rule, anchors)
        elif action is not None:
            yield action
    if wrong is not None and not told:
        yield Hold(application, resource.name, rule.vault, "", wrong.why, wrong.alarm)


def _there(point: RecoveryPoint, vault: str) -> bool:
    """Whether the vault has its copy, or will have it without anything being begun."""
    there = point.copy_in(vault)
    return there is not None and (there.whole or (there.state is CopyState.PENDING and not there.partial))


def _bring(
    application: str, resource: ResourcePolicy, rule: VaultRule, point: RecoveryPoint, observed: Observed, now: datetime
) -> Action | None:
    there = point.copy_in(rule.vault)
    if there is not None and there.state in (CopyState.UNSIGNED, CopyState.UNSUPPORTED):
        reason = f"a record that this host does not accept lies there ({there.why}): nothing is written beside it"
        return Hold(application, resource.name, rule.vault, point.id, reason, "unsigned")
    source = next(
        (c for c in point.copies if c.usable and c.vault not in observed.unread and c.vault != rule.vault), None
    )
    if source is None:
        return None
    if source.carry_until is not None and now >= source.carry_until:
        reason = (
            f"its signing key is trusted until {to_text(source.carry_until)}: a copy made now would count for nothing"
        )
        return Hold(application, resource.name, rule.vault, point.id, reason)
    if there is None:
        reason = f"{rule.vault} lacks it"
    elif there.partial:
        reason = f"{rule.vault}: not every member's copy was begun"
    else:
        reason = f"{rule.vault}: its copy failed ({told_failure(there.why)})"
    if resource.native:
        return _copy_on(application, resource, rule, point, observed, now, reason)
    if there is not None:
        return None  # a damaged copy of a dump is repaired, not shipped again (plan_care)
    if resource.name in observed.running:
        reason = f"{rule.vault} lacks it, but {observed.running[resource.name]} is running"
        return Settling(application, resource.name, rule.vault, point.id, reason)
    return Ship(application, resource.name, rule.vault, point.id, reason, source.vault)


def _copy_on(
    application: str,
    resource: ResourcePolicy,
    rule: VaultRule,
    point: RecoveryPoint,
    observed: Observed,
    now: datetime,
    reason: str,
) -> Action | None:
    """The native copy, or why it waits."""
    home, there = resource.targets[0].vault, point.copy_in(rule.vault)
    source = _native_source(resource, rule, point, observed)
    if source is None:
        return None
    places = _places(source, there, home)
    begun = observed.intents.get(copy_intent(point.id, rule.vault))
    if begun is not None and (there is None or there.partial) and now < begun + SETTLING:
        reason = f"a copy begun at {to_text(begun)} may still show; settling"
        copying = "", source.vault, resource.kind, places
        return Settling(application, resource.name, rule.vault, point.id, reason, *copying)
    tried = max((at for at in (begun, there.failed_at if there else None) if at is not None), default=None)
    if tried is not None and there is not None and not there.partial and now < tried + AFTER_FAILURE:
        reason += f"; next try at {to_text(tried + AFTER_FAILURE)}"
        return Hold(application, resource.name, rule.vault, point.id, reason, "copy-failed")
    if source.vault != home:
        reason += f"; from {source.vault}, for the copy in {home} is not usable"
    how = source.vault, rule.kms_key or "", resource.kind, places
    copy = Copy(application, resource.name, rule.vault, point.id, reason, *how)
    return by_way_of(copy, source, observed, now) if is_needed(resource, rule, source, observed) else copy


def _native_source(
    resource: ResourcePolicy, rule: VaultRule, point: RecoveryPoint, observed: Observed
) -> PointCopy | None:
    """The home's copy; where that was read and is none, and a copy was begun or the home's does not open, another.

    A copy of a copy is made whole: no other is taken while the home does not answer, or for a destination that is new.
    """
    home, there = resource.targets[0].vault, point.copy_in(rule.vault)
    if home in observed.unread:
        return None
    first = point.copy_in(home)
    if first is not None and (first.usable or first.state is CopyState.PENDING):
        return first if first.usable else None
    if there is None and (first is None or not first.shut):
        return None
    others = (point.copy_in(other.vault) for other in resource.targets if other.vault not in (home, rule.vault))
    return next((c for c in others if c is not None and c.usable and c.vault not in observed.unread), None)


def _places(source: PointCopy, there: PointCopy | None, home: str) -> int:
    """How many copies are still to be begun: an image has as many as volumes, whatever else it is made of.

    A copy names as its source the member of the cut, whichever copy it is made from.
    """
    begun = {member.source_id for member in there.members} if there is not None and there.partial else set()
    first = source.vault == home
    left = [m for m in source.members if m.role != "image" and (m.native_id if first else m.source_id) not in begun]
    return max(1, len(left))


def fillers(points: Iterable[RecoveryPoint], unread: Container[str] = ()) -> set[str]:
    """The ids of the points that fill their slots: of each slot's usable ones the earliest that can be read now."""
    filled: dict[str, tuple[bool, datetime, str]] = {}
    for point in points:
        if point.usable and not point.manual and point.cut_at is not None:
            far = not any(copy.usable and copy.vault not in unread for copy in point.copies)
            rank = (far, point.cut_at, point.id)
            filled[point.slot] = min(rank, filled.get(point.slot, rank))
    return {rank[-1] for rank in filled.values()}


def owed(
    points: Sequence[RecoveryPoint], resource: ResourcePolicy, rule: VaultRule, unread: Container[str], now: datetime
) -> tuple[RecoveryPoint, ...]:
    """The usable points that the vault's rules would keep, newest first, one per slot of the vault's own cadence."""
    filled = fillers(points, unread)
    usable = [p for p in points if p.usable and p.cut_at is not None and (p.manual or p.id in filled)]
    if rule.every is not None:
        usable = _first_per_slot(usable, rule.every)
    candidates = [Candidate(p.id, p.cut_at, pinned=p.pinned, manual=p.manual) for p in usable if p.cut_at is not None]
    verdicts = keep(
        rule.keep,
        candidates,
        zone=resource.schedule.zone,
        floor=resource.floor,
        keep_manual=resource.keep_manual,
        now=now,
    )
    wanted = {verdict.candidate.point for verdict in verdicts if verdict.kept}
    return tuple(point for point in usable if point.id in wanted)


def _first_per_slot(points: list[RecoveryPoint], every: timedelta) -> list[RecoveryPoint]:
    """The earliest point of each slot of `every`, manual points as they are; the order is kept."""
    grid = Every(every)
    first: dict[datetime, str] = {}
    for point in reversed(points):
        if point.cut_at is not None and not point.manual:
            first.setdefault(grid.slot_at(point.cut_at), point.id)
    wanted = set(first.values())
    return [point for point in points if point.manual or point.id in wanted]


def plan_records(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """Native records of copies that became usable, and records that lie in some object vaults but not in all."""
    readable = [vault for vault in observed.object_vaults if vault not in observed.unread]
    if resource.native and readable:
        for point in observed.catalogue.of(resource.name):
            for copy in point.copies:
                if copy.state is CopyState.USABLE and not copy.recorded_in and copy.vault not in observed.unread:
                    reason = f"the copy in {copy.vault} became usable"
                    yield WriteRecord(application, resource.name, copy.vault, point.id, reason, tuple(readable))
    for record in observed.catalogue.scattered:
        if record.resource != resource.name or (record.until is not None and now >= record.until):
            continue  # of a key that is trusted no longer, a record written now would count for nothing
        sources = sorted(vault for vault in record.have if vault not in observed.unread)
        for vault in readable:
            if vault not in record.have and sources:
                reason = f"{vault} lacks a record that {sources[0]} has"
                yield Replicate(application, resource.name, vault, record.point, reason, sources[0], record.path)
