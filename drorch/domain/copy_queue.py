"""Which native copies start now and which wait for a place, filled to the provider's quota. Pure.

AWS lets so many copies be under way into one region of an account, whoever began them. They are admitted by how soon
the promise that they serve would be missed; everything that waits has a place in the queue and a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drorch.domain.action import Copy, Settling, Waiting
from drorch.domain.model import place_of

PATIENCE = timedelta(days=1)
"""A copy that serves no promise is as urgent as one whose promise is missed so long after it began to wait."""

_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CopyQuota:
    """How AWS counts the copies of a kind: `places` under way at once into one region of an account.

    `per_origin`: into one region from one other. `whole`: one call begins all of it (an image with its volumes), so it
    waits until every place that it takes is free. `page` is where AWS says so.
    """

    service: str
    places: int
    page: str
    whole: bool = False
    per_origin: bool = False


_EBS_PAGE = "Amazon EBS endpoints and quotas: concurrent snapshot copies per destination Region"
_RDS_PAGE = "Amazon RDS user guide, copying a DB snapshot, limitations: 20 in progress to a destination Region"
_AURORA_PAGE = "Amazon Aurora user guide, copying a DB cluster snapshot, limitations: 5 from one Region to another"

QUOTAS: Mapping[str, CopyQuota] = {
    "ebs": CopyQuota("ec2", 20, _EBS_PAGE),
    "ami": CopyQuota("ec2", 20, _EBS_PAGE, whole=True),
    "rds-instance": CopyQuota("rds", 20, _RDS_PAGE),
    "rds-cluster": CopyQuota("rds-cluster", 5, _AURORA_PAGE, per_origin=True),
}
"""By kind of resource; kinds of one `service` share their places. `limits: {copies: ...}` overrides `places`."""


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """What AWS counts together. `origin` is "" where copies from everywhere share the places."""

    service: str
    account: str
    region: str
    origin: str = ""

    def __str__(self) -> str:
        told = f" from {self.origin}" if self.origin else ""
        return f"{self.service} copies into {self.account}.{self.region}{told}"


Source = tuple[str, str, str]
"""(application, resource, destination vault): AWS copies one snapshot of the same source after the other."""


@dataclass(frozen=True, slots=True)
class CopiesSeen:
    """What is under way before anything new starts.

    `taken` are the places in use by everybody, `foreign` those of them that are not this site's, `unknown` says of
    which lanes that is not known and why. `sources` maps what is being copied to its point. `told` are quotas that AWS
    named when it refused, `refused` the lanes of which it did so in the last pass. `waited` says since when an action
    (by its key) has been waiting.
    """

    taken: Mapping[Lane, int] = field(default_factory=dict)
    foreign: Mapping[Lane, int] = field(default_factory=dict)
    unknown: Mapping[Lane, str] = field(default_factory=dict)
    sources: Mapping[Source, str] = field(default_factory=dict)
    told: Mapping[Lane, int] = field(default_factory=dict)
    refused: Set[Lane] = frozenset()
    waited: Mapping[str, datetime] = field(default_factory=dict)


def lane_of(action: Copy | Settling) -> Lane | None:
    """The lane of a copy, begun or wanted; None for what no quota counts."""
    quota = QUOTAS.get(action.kind)
    if quota is None:
        return None
    account, region = place_of(action.vault)
    return Lane(quota.service, account, region, place_of(action.source)[1] if quota.per_origin else "")


def source_of(action: Copy | Settling) -> Source:
    """What AWS copies one at a time."""
    return action.application, action.resource, action.vault


def quota_of(lane: Lane, limits: Mapping[str, int]) -> int:
    """Places of a lane: what the host configuration says of its service, else the default of AWS."""
    default = next((quota.places for quota in QUOTAS.values() if quota.service == lane.service), 1)
    return limits.get(lane.service, default)


def admit_copies(
    copies: Iterable[Copy], seen: CopiesSeen, limits: Mapping[str, int], now: datetime
) -> tuple[tuple[Copy, ...], tuple[Waiting, ...]]:
    """What starts, the most urgent first (with as many `places` as it gets), and what waits, in the same order.

    A copy of several members takes what is free and the rest later; an image waits for all of its places, nobody goes
    past it meanwhile, and one that is larger than the quota has the lane for itself.
    """
    queue = _Queue(seen, limits)
    for action in sorted(copies, key=lambda action: _rank(action, seen, now)):
        queue.take(action)
    return tuple(queue.start), tuple(queue.wait)


def _rank(action: Copy, seen: CopiesSeen, now: datetime) -> tuple[object, ...]:
    due = action.due if action.due is not None else seen.waited.get(action.key, now) + PATIENCE
    return due, action.cut_at or _LAST, action.application, action.resource, action.vault, action.point


class _Queue:
    def __init__(self, seen: CopiesSeen, limits: Mapping[str, int]) -> None:
        self.start: list[Copy] = []
        self.wait: list[Waiting] = []
        self._seen, self._limits = seen, limits
        self._taken = Counter(dict(seen.taken))
        self._sources = dict(seen.sources)
        self._closed: set[Lane] = set()
        self._places: Counter[Lane] = Counter()
        self._probed: set[Lane] = set()

    def take(self, action: Copy) -> None:
        lane = lane_of(action)
        if lane is None:
            self.start.append(action)
            return
        why, granted = self._granted(action, lane)
        if not granted:
            self._places[lane] += 1
            self.wait.append(Waiting(action, why, self._places[lane]))
            return
        self._taken[lane] += granted
        self._sources[source_of(action)] = action.point
        self._probed.add(lane)
        self.start.append(replace(action, places=granted))

    def _granted(self, action: Copy, lane: Lane) -> tuple[str, int]:
        """How many places it gets now; 0 with the reason."""
        if lane in self._seen.unknown:
            return f"how many {lane} are under way is not known ({self._seen.unknown[lane]})", 0
        other = self._sources.get(source_of(action), action.point)
        if other != action.point:
            return f"{other}, of the same source, goes first: AWS copies one after the other", 0
        quota = self._quota(lane)
        free = quota - self._taken[lane]
        if lane in self._seen.refused:  # AWS named no number: one tries, the others wait for how that ends
            free = min(free, 0 if lane in self._probed else 1)
        wanted = max(1, action.places)
        if lane not in self._closed and free >= (min(wanted, quota) if QUOTAS[action.kind].whole else 1):
            return "", wanted if QUOTAS[action.kind].whole else min(wanted, free)
        self._closed.add(lane)
        return self._why(lane, quota), 0

    def _quota(self, lane: Lane) -> int:
        quota = quota_of(lane, self._limits)
        return min(quota, self._seen.told.get(lane, quota))

    def _why(self, lane: Lane, quota: int) -> str:
        foreign = self._seen.foreign.get(lane, 0)
        others = f", {foreign} of them not of this site" if foreign else ""
        return f"{self._taken[lane]} of {quota} {lane} are under way{others}"
