"""The part of the planner that lets intermediate copies go: each only where a record, a key and its tags prove what it
is, and nobody needs it any more. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import INTERMEDIATE, Action, Hold, Sweep
from drorch.domain.catalogue_intermediate import Intermediate
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.plan_copies import owed
from drorch.domain.plan_expiry import why_held
from drorch.domain.policy import ResourcePolicy

if TYPE_CHECKING:
    from drorch.domain.plan import Observed


def plan_intermediates(
    application: str, resource: ResourcePolicy, observed: Observed, now: datetime
) -> Iterator[Action]:
    """A Sweep for each that is of no use any more: its far copy is usable and recorded, or is not wanted any more.

    What cannot be proved to be one is held, for ever.
    """
    if not any(one.resource == resource.name for one in observed.catalogue.intermediates):
        return
    points = observed.catalogue.of(resource.name)
    rules = [rule for rule in resource.targets if not rule.home]
    wanted = {(rule.vault, p.id) for rule in rules for p in owed(points, resource, rule, observed.unread, now)}
    for one in observed.catalogue.intermediates:
        if one.resource != resource.name:
            continue
        point = observed.catalogue.find(one.point)
        if doubt := _doubt(one, point):
            what = f"{one.native_id} bears the tags of an intermediate copy, but {doubt}: held, never touched"
            yield Hold(application, resource.name, one.vault, one.point, what, "oddity")
            continue
        why = _of_no_use(one, point, observed, wanted)
        if not why or observed.stale or one.vault in observed.unread:
            continue
        hold = why_held(resource, observed, after_drill=False)
        if hold is not None:
            reason = f"the intermediate copy {one.native_id} is of no use any more, but {hold[0]}"
            yield Hold(application, resource.name, one.vault, one.point, reason, hold[1])
        else:
            what = f"the intermediate copy {one.native_id}: {why}"
            yield Sweep(application, resource.name, one.vault, one.point, what, INTERMEDIATE, (one.native_id,))


def _doubt(one: Intermediate, point: RecoveryPoint | None) -> str:
    """Why it may be something else: tags can be written by whoever may tag, a key cannot be put on a snapshot."""
    home = point.copy_in(one.vault) if point is not None else None
    if point is None or home is None:
        return "its point is not known"
    if any(one.native_id in copy.listed for copy in point.copies):
        return "a signed record lists it"
    if one.made_from not in home.listed | {member.native_id for member in home.members}:
        return "no record of its point lists what it was made from"
    if not (home.gone or (home.whole and home.recorded_in)):
        return "the copy that it was made from is not whole and recorded"
    if not one.kms_key or one.kms_key in home.kms_keys:
        return "it is not under a key of its own"
    return ""


def _of_no_use(
    one: Intermediate,
    point: RecoveryPoint | None,
    observed: Observed,
    wanted: Collection[tuple[str, str]],
) -> str:
    """Why it can go; "" while it is needed, or nobody knows."""
    if one.into in observed.unread:
        return ""
    there = point.copy_in(one.into) if point is not None else None
    if there is not None and there.state is CopyState.PENDING:
        return ""
    if there is not None and there.usable and there.recorded_in:
        return f"the copy in {one.into} is usable"
    if there is not None and there.whole:
        return ""
    if (one.into, one.point) not in wanted:
        return f"no copy is wanted in {one.into} any more"
    return ""
