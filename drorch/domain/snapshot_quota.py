"""How many manual snapshots of RDS a set of policies comes to hold, beside those that AWS lets an account have.

Volumes and images are counted in the same way, for `drorch doctor`, which asks what AWS allows of them.
A hundred of instances and a hundred of clusters in each region (RDS and Aurora user guides, quotas; both can be raised;
those of AWS Backup do not count). Beyond them every cut and every copy is refused with SnapshotQuotaExceeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import get_args

from drorch.domain.duration import duration_text
from drorch.domain.policy import Keep, Policy, ResourcePolicy, VaultRule
from drorch.domain.policy_form import LimitedKind
from drorch.domain.schedule import Every, Schedule

QUOTA = 100
COUNTED: tuple[str, ...] = get_args(LimitedKind)
"""The kinds whose snapshots are counted, each for itself."""

MOST = 1000
"""Where counting ends, for each rule and for the grace: ten times what RDS allows."""
_SECOND = timedelta(seconds=1)
_FROM = datetime(2026, 12, 25, 23, 59, 59, tzinfo=UTC)
_DAYS = 14
"""Every weekday, before and after the end of a month and a year: how far the rules overlap depends on the day."""

_MIDNIGHT = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
_STARTS: dict[str, Callable[[datetime], datetime]] = {
    "hourly": lambda t: t.replace(minute=0, second=0, microsecond=0),
    "daily": lambda t: t.replace(**_MIDNIGHT),  # type: ignore[arg-type]
    "weekly": lambda t: t.replace(**_MIDNIGHT) - timedelta(days=t.weekday()),  # type: ignore[arg-type]
    "monthly": lambda t: t.replace(day=1, **_MIDNIGHT),  # type: ignore[arg-type]
    "yearly": lambda t: t.replace(month=1, day=1, **_MIDNIGHT),  # type: ignore[arg-type]
}


@dataclass(frozen=True, slots=True)
class Holding:
    """What a region of an account (`vault`) comes to hold of one kind when nothing fails, in snapshots.

    `kept` are those that rules and floors keep at the most, `leaving` those that are marked and in their grace, or
    being replaced just now. Manual and pinned points, and what others make there, come on top.
    """

    vault: str
    kind: str
    resources: int
    kept: int
    leaving: int
    grace: timedelta

    @property
    def total(self) -> int:
        """All of them."""
        return self.kept + self.leaving

    @property
    def fits(self) -> bool:
        """Whether they are no more than AWS allows unless it was asked for more."""
        return self.total <= QUOTA

    def __str__(self) -> str:
        sum_ = f"{self.kept} kept + {self.leaving} in the grace of {duration_text(self.grace)} = {self.total}"
        return (
            f"{self.vault}: {self.resources} of kind {self.kind} come to hold {sum_} manual snapshots "
            f"{'<=' if self.fits else '>'} {QUOTA}, AWS's default quota there"
        )

    def to_json(self) -> dict[str, object]:
        """Its numbers, and whether they fit."""
        return {
            "vault": self.vault,
            "kind": self.kind,
            "resources": self.resources,
            "kept": self.kept,
            "leaving": self.leaving,
            "total": self.total,
            "quota": QUOTA,
            "fits": self.fits,
        }


def holdings(policies: Iterable[Policy], grace: timedelta) -> tuple[Holding, ...]:
    """One entry for each vault and kind that any of `policies` has such snapshots in, by vault."""
    counts: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for policy in policies:
        for resource in policy.resources:
            for rule in resource.targets if resource.kind in COUNTED else ():
                counts.setdefault((rule.vault, resource.kind), []).append(counted(resource, rule, grace))
    return tuple(
        Holding(vault, kind, len(each), sum(k for k, _ in each), sum(n for _, n in each), grace)
        for (vault, kind), each in sorted(counts.items())
    )


def counted(resource: ResourcePolicy, rule: VaultRule, grace: timedelta) -> tuple[int, int]:
    """How many points of a resource of any kind a vault comes to hold at the most: kept, and leaving or just arriving.

    Each is MOST where there are as many, or more. Manual and pinned points and what the brake holds come on top.
    """
    kept = most_kept(rule.keep, resource.floor, resource.schedule, rule.every)  # type: ignore[arg-type]
    return kept, min(arriving(resource.schedule, rule.every, grace) + 1, MOST)  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def most_kept(rules: Keep, floor: int, schedule: Schedule, every: timedelta | None) -> int:
    """How many points of the grid `rules` and `floor` keep together at the most, where each slot was cut; 1000 at most.

    The vault takes the first point of each slot of `every`.
    """
    days = (_FROM + timedelta(days=day) for day in range(_DAYS))
    return max(len(kept_instants(rules, floor, schedule, every, now)) for now in days)


@lru_cache(maxsize=1024)
def arriving(schedule: Schedule, every: timedelta | None, grace: timedelta) -> int:
    """How many points come within `grace` at the most: each makes one go, which stays for as long. 1000 at most."""
    return max(_within(schedule, every, _FROM + timedelta(days=day), grace) for day in range(_DAYS))


def _within(schedule: Schedule, every: timedelta | None, now: datetime, grace: timedelta) -> int:
    """The points of the `grace` that ends with the newest one."""
    instants = list(islice(_backwards(schedule, every, now), 1))
    for instant in islice(_backwards(schedule, every, now), 1, MOST):
        if instant <= instants[0] - grace:
            break
        instants.append(instant)
    return len(instants)


def kept_instants(rules: Keep, floor: int, schedule: Schedule, every: timedelta | None, now: datetime) -> set[datetime]:
    """The slots of the grid whose points `rules` and `floor` keep at `now`, where each slot was cut; 1000 at most.

    The vault takes the first point of each slot of `every`.
    """
    found = set(islice(_backwards(schedule, every, now), min(max(rules.last, floor), MOST)))
    for name, start_of in _STARTS.items():
        found |= set(islice(_backwards(schedule, every, now, start_of), min(getattr(rules, name), MOST)))
    newest = next(_backwards(schedule, every, now), now)
    for instant in islice(_backwards(schedule, every, now), MOST if rules.within is not None else 0):
        if rules.within is None or instant < newest - rules.within:
            break
        found.add(instant)
    return set(sorted(found, reverse=True)[:MOST])


def _backwards(
    schedule: Schedule,
    every: timedelta | None,
    now: datetime,
    start_of: Callable[[datetime], datetime] | None = None,
) -> Iterator[datetime]:
    """The grid as the vault gets it, newest first; with `start_of` the newest point of each of those spans of time."""
    zone = schedule.zone
    with suppress(OverflowError, ValueError):  # the calendar begins
        while True:
            instant = _newest(schedule, every, now)  # type: ignore[arg-type]
            yield instant
            before = instant if start_of is None else start_of(instant.astimezone(zone)).astimezone(UTC)
            now = min(before, instant) - _SECOND


@lru_cache(maxsize=4096)
def _newest(schedule: Schedule, every: timedelta | None, now: datetime) -> datetime:
    """The newest instant of the grid that is not after `now`, and the first in its slot of `every`.

    Remembered: the days that are counted from look back at mostly the same points.
    """
    if every is None:
        return schedule.slot_at(now)
    slots = Every(every)
    while True:
        start = slots.slot_at(min(now, schedule.slot_at(now)))
        first = schedule.next_after(start - _SECOND)
        if first <= now:
            return first
        now = start - _SECOND
