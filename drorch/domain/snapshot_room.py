"""Cuts and copies beside the snapshots that an account may have in a region: what would not fit is held. Pure.

AWS refuses the next manual snapshot of RDS when there are as many as the quota says, whoever made them
(`drorch.domain.snapshot_quota`). That is known before the call; nothing is ever let go of to make room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from drorch.domain.action import Action, Copy, Cut, Hold
from drorch.domain.native import SnapshotRoom
from drorch.domain.policy import ResourcePolicy
from drorch.domain.snapshot_quota import COUNTED

FULL = "snapshots-full"
"""The alarm of what does not fit."""

Pool = tuple[str, str]
"""(kind, vault of native snapshots): what AWS counts together."""

Resources = Mapping[tuple[str, str], ResourcePolicy]
"""(application, resource) -> its policy."""

_LAST = datetime.max.replace(tzinfo=UTC)
_HINT = (
    "ask AWS for a higher quota, keep fewer (keep:), or delete what others left there; drorch deletes nothing for it"
)


@dataclass(frozen=True, slots=True)
class RoomSeen:
    """`rooms` are the pools that could be counted; `refused` says of which AWS refused the last one, and how long that
    is heeded. A pool in neither is not known: what is due there is tried, and AWS decides.
    """

    rooms: Mapping[Pool, SnapshotRoom] = field(default_factory=dict)
    refused: Mapping[Pool, str] = field(default_factory=dict)


_TAKING = (Cut, Copy)
"""What takes room; of ten thousand decisions in a pass a few."""


def pools_wanted(actions: Iterable[Action], resources: Resources) -> frozenset[Pool]:
    """Where room is needed: for each cut in its own region and in those that its copies go to."""
    return frozenset(pool for action in actions if isinstance(action, _TAKING) for pool in _pools(action, resources))


def _pools(action: Action, resources: Resources) -> Iterator[Pool]:
    resource = resources.get((action.application, action.resource)) if isinstance(action, Cut | Copy) else None
    if resource is None or resource.kind not in COUNTED:
        return
    if isinstance(action, Copy):
        yield resource.kind, action.vault
    else:
        yield from ((resource.kind, rule.vault) for rule in resource.targets)


def fitted(
    plans: Mapping[str, Sequence[Action]], resources: Resources, seen: RoomSeen
) -> dict[str, tuple[Action, ...]]:
    """The same plans, what does not fit held: cuts before copies, of those the more urgent before the others.

    A cut whose copy would not fit is made, and says so. Applications without a change are not in the answer.
    """
    taking = [action for actions in plans.values() for action in actions if isinstance(action, _TAKING)]
    wanted = [action for action in taking if list(_pools(action, resources))]
    rooms = _Rooms(seen)
    changed: dict[str, dict[Action, Action]] = {}
    cuts = sorted((action for action in wanted if isinstance(action, Cut)), key=lambda cut: (cut.slot, cut.key))
    copies = sorted((action for action in wanted if isinstance(action, Copy)), key=_rank)
    for action in (*cuts, *copies):
        pool = next(_pools(action, resources))
        why = rooms.take(pool, max(1, action.places) if isinstance(action, Copy) else 1)
        if why:
            held = Hold(action.application, action.resource, action.vault, action.point, f"{why}. {_HINT}", FULL)
            changed.setdefault(action.application, {})[action] = held
    for cut in cuts:
        away = [why for pool in list(_pools(cut, resources))[1:] if (why := rooms.full(pool))]
        if away and cut not in changed.get(cut.application, {}):
            told = replace(cut, reason=f"{cut.reason}; its copy will have to wait: {'; '.join(away)}")
            changed.setdefault(cut.application, {})[cut] = told
    return {name: tuple(new.get(action, action) for action in plans[name]) for name, new in changed.items()}


def _rank(copy: Copy) -> tuple[object, ...]:
    return copy.due or _LAST, copy.cut_at or _LAST, copy.application, copy.resource, copy.point


class _Rooms:
    def __init__(self, seen: RoomSeen) -> None:
        self._seen = seen
        self._begun: Counter[Pool] = Counter()

    def take(self, pool: Pool, places: int) -> str:
        """Why there is no room for so many; "" when there is, and it is taken."""
        why = self.full(pool, places)
        if not why:
            self._begun[pool] += places
        return why

    def full(self, pool: Pool, places: int = 1) -> str:
        """Why there is no room for so many more; "" when there is, or when that is not known."""
        if pool in self._seen.refused:
            return self._seen.refused[pool]
        room = self._seen.rooms.get(pool)
        if room is None or room.used + self._begun[pool] + places <= room.most:
            return ""
        kind, vault = pool
        begun = f" and {self._begun[pool]} being begun" if self._begun[pool] else ""
        return f"{vault} has {room.used} of {room.most} manual snapshots of {kind}, everybody's counted{begun}"
