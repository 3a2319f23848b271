"""Counting everybody's snapshots where AWS limits them, before one more is asked for; and heeding what AWS refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from drorch.app.copy_places import CopyPlaces
from drorch.app.passing import ApplicationPlan
from drorch.domain.action import Action, Copy, Cut
from drorch.domain.errors import Busy, DrorchError, Throttled
from drorch.domain.instant import to_text
from drorch.domain.native import SnapshotRoom
from drorch.domain.snapshot_quota import COUNTED
from drorch.domain.snapshot_room import Pool, Resources, RoomSeen, fitted, pools_wanted

AGAIN = timedelta(minutes=15)
"""How long a refusal is heeded: the count may lag behind, and a quota may be raised on request."""

_CODE = "SnapshotQuotaExceeded"
_UNDER_WAY = re.compile(r"across regions|in progress", re.IGNORECASE)
"""What RDS says under the same code when no more copies may be under way: ``Cannot copy more than 20 snapshots across
regions``; when there is no room it is ``Cannot create more than 100 manual snapshots``."""


class Lister(Protocol):
    """Whoever can count snapshots."""

    def snapshot_rooms(self, pools: Iterable[Pool]) -> Mapping[Pool, SnapshotRoom]:
        """Of everybody's snapshots, as far as that could be asked: one call for each account and region."""


class SnapshotRooms:
    """Asks only while a cut or a copy is due that AWS counts. Nothing of it must survive this process."""

    def __init__(self, lister: Lister, copies: CopyPlaces) -> None:
        self._lister = lister
        self._copies = copies
        self._resources: Resources = {}
        self._refused: dict[Pool, tuple[str, datetime]] = {}

    def fitted(self, plans: Mapping[str, ApplicationPlan], now: datetime) -> dict[str, ApplicationPlan]:
        """The plans, with what does not fit held."""
        self._resources = {(name, r.name): r for name, plan in plans.items() for r in plan.policy.resources}
        counted = (name for name, plan in plans.items() if any(r.kind in COUNTED for r in plan.policy.resources))
        actions = {name: plans[name].actions for name in counted}
        wanted = pools_wanted((action for each in actions.values() for action in each), self._resources)
        if not wanted:
            return dict(plans)
        self._refused = {pool: (why, until) for pool, (why, until) in self._refused.items() if now < until}
        refused = {pool: f"{why}; next try at {to_text(until)}" for pool, (why, until) in self._refused.items()}
        seen = RoomSeen(self._lister.snapshot_rooms(wanted), refused)
        changed = fitted(actions, self._resources, seen)
        return {name: replace(p, actions=changed[name]) if name in changed else p for name, p in plans.items()}

    def waits(self, action: Action, error: DrorchError, now: datetime) -> bool:
        """Whether the error only says that AWS has no room now, no place for one more copy, or wants fewer calls."""
        if isinstance(error, Throttled) or self._refused_room(action, error, now):
            return True
        if isinstance(action, Copy) and isinstance(error, Busy):
            self._copies.refused(action, error, now)
            return True
        return False

    def _refused_room(self, action: Action, error: DrorchError, now: datetime) -> bool:
        """Whether it was for want of room; then nothing is asked for there for `AGAIN`."""
        resource = self._resources.get((action.application, action.resource))
        if resource is None or resource.kind not in COUNTED or not isinstance(action, Cut | Copy):
            return False
        of_copies = isinstance(action, Copy) and _UNDER_WAY.search(error.cause)
        if not isinstance(error, Busy) or of_copies or not error.cause.startswith(_CODE):
            return False
        why = f"AWS refused another manual snapshot of {resource.kind} in {action.vault} ({error.cause})"
        self._refused[resource.kind, action.vault] = why, now + AGAIN
        return True
