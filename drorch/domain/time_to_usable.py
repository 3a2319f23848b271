"""How long it takes from a cut to its usable copy in a vault, as the catalogue tells of the points that are left. Pure.

Only a copy that renewed something counts: one that became usable when no newer point was usable there yet. What is
brought into a vault that is new, or that was away, only fills its history.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from drorch.domain.catalogue import Catalogue
from drorch.domain.feasibility import Arithmetic, feasibility
from drorch.domain.model import FailureDomain, RecoveryPoint
from drorch.domain.policy import LockRule, Policy
from drorch.domain.retention import FUTURE

_LAST = 20
"""Copies that a time is judged by: of so many the slowest alone is left out."""
_FEWEST = 5
"""Fewer tell nothing: a quarter of the interval is assumed until there are so many."""
_CALM = timedelta(days=7)
"""For so long after copies were slow a cadence stays as if they still were: it does not go to and fro."""
_MOST = 200


def usual(points: Sequence[RecoveryPoint], vault: str, now: datetime) -> timedelta | None:
    """The time that 95 of 100 of the last copies took at the most; None while there are too few."""
    return _usual(_times(points, vault, now))


def slowest(points: Sequence[RecoveryPoint], vault: str, now: datetime) -> timedelta | None:
    """The longest that `usual` has been at any time of the last week."""
    times = _times(points, vault, now)
    recent = max(sum(usable_at > now - _CALM for usable_at, _ in times), 1)
    spans = [span for _, span in times]
    window = sorted(spans[recent - 1 : recent - 1 + _LAST])
    longest = _percentile(window)
    for first in range(recent - 2, -1, -1):  # one copy later each time: one more, and the oldest of twenty less
        insort(window, spans[first])
        if len(window) > _LAST:
            del window[bisect_left(window, spans[first + _LAST])]
        longest = max(filter(None, (longest, _percentile(window))), default=None)
    return longest


def measured(policy: Policy, catalogue: Catalogue, now: datetime) -> dict[tuple[str, str, str], timedelta]:
    """(application, resource, vault) -> what is `usual` there, as far as that is known."""
    found = {
        (policy.application, resource.name, rule.vault): usual(catalogue.of(resource.name), rule.vault, now)
        for resource in policy.resources
        for rule in resource.targets
    }
    return {where: time for where, time in found.items() if time is not None}


def unkept(
    policy: Policy,
    catalogue: Catalogue,
    domains: Mapping[str, FailureDomain],
    locks: Mapping[str, LockRule],
    now: datetime,
) -> tuple[Arithmetic, ...]:
    """What a valid policy promises and cannot keep, by the times that copies took lately. `domains` as `domains_of`."""
    times = measured(policy, catalogue, now)
    return tuple(found for found in feasibility(policy, domains, times, locks) if not found.feasible)


def _usual(times: Sequence[tuple[datetime, timedelta]]) -> timedelta | None:
    return _percentile(sorted(span for _, span in times[:_LAST]))


def _percentile(spans: Sequence[timedelta]) -> timedelta | None:
    """The 95th of sorted spans (nearest rank), in whole seconds, rounded up; None of too few."""
    if len(spans) < _FEWEST:
        return None
    return timedelta(seconds=math.ceil(spans[math.ceil(0.95 * len(spans)) - 1].total_seconds()))


def _times(points: Sequence[RecoveryPoint], vault: str, now: datetime) -> list[tuple[datetime, timedelta]]:
    """When copies that renewed something became usable and how long that took, the newest first."""
    return list(_renewing(points, vault, now))[::-1][:_MOST]


def _renewing(points: Sequence[RecoveryPoint], vault: str, now: datetime) -> Iterator[tuple[datetime, timedelta]]:
    newest: datetime | None = None
    for usable_at, cut_at in sorted(_became_usable(points, vault)):
        if usable_at > now + FUTURE or (newest is not None and cut_at <= newest):
            continue
        newest = cut_at
        yield usable_at, max(usable_at - cut_at, timedelta())


def _became_usable(points: Sequence[RecoveryPoint], vault: str) -> Iterator[tuple[datetime, datetime]]:
    for point in points:
        copy = point.copy_in(vault)
        if copy is not None and copy.whole and copy.usable_at is not None and point.cut_at is not None:
            yield copy.usable_at, point.cut_at
