"""The part of the planner that takes sharing back: a snapshot is shared with another account while that one copies it.

What is shared is asked of the provider in every pass and remembered nowhere. Only members of the application's own
points are looked at, and only accounts that its copies go to, or went to when this host last looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Copy, Hold, Settling, Unshare
from drorch.domain.intent_keys import copy_intent
from drorch.domain.model import CopyState, RecoveryPoint, place_of
from drorch.domain.policy import ResourcePolicy

if TYPE_CHECKING:
    from drorch.domain.plan import Observed


def plan_sharing(
    application: str, resource: ResourcePolicy, observed: Observed, copies: Sequence[Action], now: datetime
) -> Iterator[Action]:
    """Unshare for every member of a point that is shared and that no copy needs to be; `copies` is what was decided
    about copies. Nothing is taken back on a view that is not complete.
    """
    if not resource.native:
        return
    home = resource.targets[0].vault
    for (kind, vault, account), shared in sorted(observed.shared.items(), key=lambda entry: entry[0]):
        if (kind, vault) != (resource.kind, home) or home in observed.unread:
            continue
        if isinstance(shared, str):
            if any(place_of(rule.vault)[0] == account for rule in resource.targets):
                reason = f"what is shared with {account} could not be seen, so nothing is taken back: {shared}"
                yield Hold(application, resource.name, home, "", reason)
            continue
        for point in observed.catalogue.of(resource.name):
            members = _members(point, home, account, shared, observed)
            if members:
                yield from _taken_back(application, resource, point, account, members, observed, copies, now)


def _taken_back(
    application: str,
    resource: ResourcePolicy,
    point: RecoveryPoint,
    account: str,
    members: tuple[str, ...],
    observed: Observed,
    copies: Sequence[Action],
    now: datetime,
) -> Iterator[Action]:
    home = resource.targets[0].vault
    named = {rule.vault for rule in resource.targets} | {copy.vault for copy in point.copies}
    into = tuple(sorted(vault for vault in named if place_of(vault)[0] == account))
    unread = [vault for vault in into if vault in observed.unread]
    if unread:
        reason = f"shared with {account}; whether that is still needed is not known: {unread[0]} was not read"
        yield Hold(application, resource.name, home, point.id, reason)
        return
    if any(_needed(point, vault, observed, copies, now) for vault in into):
        return
    what = "; ".join(filter(None, (_became(point, vault) for vault in into))) or "no copy of it is wanted there"
    reason = f"shared with {account}, and {what}"
    yield Unshare(application, resource.name, home, point.id, reason, account, members, into)


def _needed(point: RecoveryPoint, vault: str, observed: Observed, copies: Sequence[Action], now: datetime) -> bool:
    """Whether a copy there is under way, may be, or is to be begun now.

    A copy whose last call failed is begun later: until then nothing is shared for it.
    """
    there = point.copy_in(vault)
    if there is not None and there.state is CopyState.PENDING:
        return True
    if copy_intent(point.id, vault) in observed.intents and there is None:
        return True
    decided = [a for a in copies if (a.vault, a.point) == (vault, point.id)]
    return any(isinstance(a, Settling) or (isinstance(a, Copy) and not _waits(a, observed, now)) for a in decided)


def _waits(copy: Copy, observed: Observed, now: datetime) -> bool:
    failure = observed.failures.get(copy.key)
    return failure is not None and now < failure.retry_at


def _became(point: RecoveryPoint, vault: str) -> str:
    there = point.copy_in(vault)
    if there is None:
        return ""
    return f"its copy in {vault} is usable" if there.usable else f"its copy in {vault} failed"


def _members(
    point: RecoveryPoint, home: str, account: str, shared: frozenset[str], observed: Observed
) -> tuple[str, ...]:
    """What of the point is shared: members of its copy at home, and intermediate copies for that account."""
    copy = point.copy_in(home)
    own = [member.native_id for member in copy.members] if copy else []
    own += [
        i.native_id for i in observed.catalogue.intermediates if i.point == point.id and place_of(i.into)[0] == account
    ]
    return tuple(native_id for native_id in own if native_id in shared)
