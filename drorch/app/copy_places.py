"""Counting the places that copies take: everybody's as the provider lists them, and ours that no listing shows yet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from drorch.app.observe import PendingCopies, World
from drorch.app.observed_places import Place
from drorch.domain.action import Action, Copy, Settling, Waiting
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_POINT, TAG_RESOURCE, TAG_SOURCE
from drorch.domain.copy_queue import QUOTAS, CopiesSeen, Lane, Source, lane_of, source_of
from drorch.domain.errors import Busy
from drorch.domain.native import NativeSnapshot

TOLD_FOR = timedelta(days=1)
"""How long a quota holds that AWS named in a refusal: it may be raised on request."""

_NUMBER = re.compile(r"limit is (\d+)|more than (\d+) snapshots across")
"""``Too many snapshot copies in progress. The limit is 5 for this destination region.`` (EC2), ``Cannot copy more than
20 snapshots across regions`` (RDS)."""


class Lister(Protocol):
    """Whoever can list the copies under way."""

    def pending_copies(self, places: Iterable[Place]) -> Mapping[Place, PendingCopies]:
        """Everybody's, by (service of a quota, account, region); why not, where that failed."""


@dataclass(frozen=True, slots=True)
class _Own:
    """This site's copies that a pass saw under way: by lane the ids of each (of an image those of its snapshots: they
    are what is listed as pending), members by (vault, point), points by source.
    """

    ids: dict[Lane, list[frozenset[str]]] = field(default_factory=dict)
    members: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: dict[Source, str] = field(default_factory=dict)


class CopyPlaces:
    """Counts before every admission, and remembers since when copies wait and what AWS said when it refused.

    Nothing of that must survive this process.
    """

    def __init__(self, observer: Lister) -> None:
        self._observer = observer
        self._waited: dict[str, datetime] = {}
        self._told: dict[Lane, tuple[int, datetime]] = {}
        self._refused: set[Lane] = set()

    def seen(
        self, actions: Sequence[Action], begun: Iterable[Action], world: World, now: datetime
    ) -> CopiesSeen | None:
        """What is under way in the lanes where a copy is due, one listing each; None when none is due.

        `begun` are this process's actions under way. A copy that was begun and shows nowhere takes its places too.
        """
        lanes = {lane for action in actions if isinstance(action, Copy) and (lane := lane_of(action)) is not None}
        if not lanes:
            return None
        listed = self._observer.pending_copies((lane.service, lane.account, lane.region) for lane in lanes)
        own = _own(world)
        taken, foreign, unknown = _counted(lanes, listed, own)
        sources = dict(own.sources)
        unseen: list[Copy | Settling] = [action for action in begun if isinstance(action, Copy)]
        unseen += [action for action in actions if isinstance(action, Settling) and action.places]
        for action in unseen:
            lane = lane_of(action)
            if lane is not None:
                taken[lane] += max(0, max(1, action.places) - own.members[action.vault, action.point])
                sources[source_of(action)] = action.point
        told = {lane: places for lane, (places, at) in self._told.items() if now < at + TOLD_FOR}
        return CopiesSeen(taken, foreign, unknown, sources, told, frozenset(self._refused), dict(self._waited))

    def wait(self, waiting: Iterable[Waiting], now: datetime) -> None:
        """These wait after the pass of `now`; refusals of before have been heeded."""
        copies = [waits.action for waits in waiting if isinstance(waits.action, Copy)]
        self._waited = {action.key: self._waited.get(action.key, now) for action in copies}
        self._refused.clear()

    def refused(self, action: Copy, error: Busy, now: datetime) -> None:
        """AWS had no place for the copy."""
        lane, number = lane_of(action), _NUMBER.search(error.cause)
        if lane is not None and number is not None:
            self._told[lane] = int(number[1] or number[2]), now
        elif lane is not None:
            self._refused.add(lane)


def _counted(
    lanes: Iterable[Lane], listed: Mapping[Place, PendingCopies], own: _Own
) -> tuple[Counter[Lane], dict[Lane, int], dict[Lane, str]]:
    """Places taken by everybody and by others than this site, and of which lanes that is not known."""
    taken: Counter[Lane] = Counter()
    foreign: dict[Lane, int] = {}
    unknown: dict[Lane, str] = {}
    for lane in lanes:
        pending = listed.get((lane.service, lane.account, lane.region), "it was not listed")
        if isinstance(pending, str):
            unknown[lane] = pending
            continue
        ours = own.ids.get(lane, [])
        ids = {copy.native_id for copy in pending if not lane.origin or copy.origin in ("", lane.origin)}
        unlisted = [copy for copy in ours if copy.isdisjoint(ids)]  # begun just now, and none of it is listed yet
        taken[lane], foreign[lane] = len(ids.union(*unlisted)), len(ids.difference(*ours))
    return taken, foreign, unknown


def _own(world: World) -> _Own:
    own = _Own()
    regions = {snapshot.native_id: snapshot.region for view in world.natives for snapshot in view.snapshots}
    for view in world.natives:
        quota = QUOTAS.get(view.kind)
        if quota is None:
            continue
        for snapshot in view.snapshots:
            if snapshot.state == "pending" and TAG_SOURCE in snapshot.tags:
                origin = regions.get(snapshot.tags[TAG_SOURCE], "") if quota.per_origin else ""
                lane = Lane(quota.service, snapshot.account, snapshot.region, origin)
                ids = frozenset(part.native_id for part in snapshot.parts) or frozenset({snapshot.native_id})
                own.ids.setdefault(lane, []).append(ids)
                _add(own, snapshot, view.vault.name, len(ids))
    return own


def _add(own: _Own, snapshot: NativeSnapshot, vault: str, members: int) -> None:
    point = snapshot.tags.get(TAG_POINT, "")
    own.members[vault, point] += members
    own.sources[snapshot.tags.get(TAG_APPLICATION, ""), snapshot.tags.get(TAG_RESOURCE, ""), vault] = point
