"""What a policy costs and keeps when nothing fails: points per vault in steady state, calls per day. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from drorch.domain.feasibility import interval_of
from drorch.domain.instant import to_text
from drorch.domain.model import RecoveryPoint
from drorch.domain.plan_expiry import candidates_in
from drorch.domain.policy import Policy, ResourcePolicy, VaultRule
from drorch.domain.retention import Candidate, Verdict, keep
from drorch.domain.schedule import Every, Schedule
from drorch.domain.snapshot_quota import kept_instants

_DAY = timedelta(days=1)
_FROM = datetime(2026, 11, 2, tzinfo=UTC)
_DAYS = 28
"""Whole weeks without a change of the clock in most zones: calls of a cron grid are counted over them."""


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in vaults: the points by (application, resource), as the new policies call them (of what they lost, as
    the old did), and the vaults of which it is known.
    """

    points: Mapping[tuple[str, str], Sequence[RecoveryPoint]] = field(default_factory=dict)
    vaults: frozenset[str] = frozenset()

    def of(self, application: str, resource: str, vault: str) -> Sequence[RecoveryPoint] | None:
        """The points of a resource; None where nobody knows whether there are any in this vault."""
        return self.points.get((application, resource), ()) if vault in self.vaults else None


@dataclass(frozen=True, slots=True)
class Side:
    """A resource in one vault under one of two policies; `rule` has the keep rules in force."""

    policy: Policy
    resource: ResourcePolicy
    rule: VaultRule

    @property
    def per_day(self) -> float:
        """How many points get there on an average day; none of an application that has left."""
        if self.policy.retired is not None:
            return 0.0
        rate = per_day(self.resource.schedule)  # type: ignore[arg-type]  # the grids are frozen values, and hashable
        if self.rule.every is None:
            return rate
        return min(rate, _DAY / interval_of(self.resource.schedule, self.rule.every))

    def kept(self, now: datetime) -> set[datetime]:
        """The instants of the points that it keeps in steady state; 1000 at most."""
        return kept_instants(self.rule.keep, self.resource.floor, self.resource.schedule, self.rule.every, now)

    def judged(self, candidates: Iterable[Candidate], now: datetime) -> tuple[Verdict, ...]:
        """What its retention says of these points."""
        resource = self.resource
        zone, manual = resource.schedule.zone, resource.keep_manual
        return keep(self.rule.keep, candidates, zone=zone, floor=resource.floor, keep_manual=manual, now=now)


@dataclass(frozen=True, slots=True)
class Figures:
    """One resource in one vault before and after. None: it is not there (before, after), or not known.

    `expiring` are the points of the steady state before that the rules after would not keep, by their times. `held`
    points lie there by the cache, and `held_expiring` of them would begin to expire that do not yet. `each` is what a
    point takes, in bytes. `left` says that no new points go there any more and that those that lie there are kept.
    `reach` is the age of the oldest point in steady state.
    """

    application: str
    resource: str
    vault: str
    per_day_before: float
    per_day_after: float
    points_before: int | None
    points_after: int | None
    expiring: tuple[datetime, ...] = ()
    reach_before: timedelta | None = None
    reach_after: timedelta | None = None
    left: bool = False
    held: int | None = None
    held_expiring: tuple[Candidate, ...] | None = None
    each: int | None = None

    @property
    def would_expire(self) -> int:
        """How many points of the steady state."""
        return len(self.expiring)

    @property
    def held_would_expire(self) -> int | None:
        """How many of those that lie there."""
        return None if self.held_expiring is None else len(self.held_expiring)

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """From when to when those are that would expire: those that lie there, where they are known."""
        known = None if self.held_expiring is None else [candidate.cut_at for candidate in self.held_expiring]
        times = self.expiring if known is None else known
        return (min(times), max(times)) if times else None

    @property
    def bytes_before(self) -> int | None:
        """What its points take in steady state before, if a point's size is known."""
        return None if self.each is None or self.points_before is None else self.each * self.points_before

    @property
    def bytes_after(self) -> int | None:
        """And after."""
        return None if self.each is None or self.points_after is None else self.each * self.points_after

    def to_json(self) -> dict[str, object]:
        """Its numbers."""
        return {
            "application": self.application,
            "resource": self.resource,
            "vault": self.vault,
            "left": self.left,
            "points_per_day": {"before": round(self.per_day_before, 2), "after": round(self.per_day_after, 2)},
            "points": {"before": self.points_before, "after": self.points_after},
            "reach_s": {"before": _seconds(self.reach_before), "after": _seconds(self.reach_after)},
            "would_expire": self.would_expire,
            "held": self.held,
            "held_would_expire": self.held_would_expire,
            "expiring": None
            if self.span is None
            else dict(zip(("oldest", "newest"), map(to_text, self.span), strict=True)),
            "held_expiring": None
            if self.held_expiring is None
            else [{"point": each.point, "cut_at": to_text(each.cut_at)} for each in self.held_expiring],
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
        }


def figures(name: tuple[str, str, str], before: Side | None, after: Side | None, lies: Held, now: datetime) -> Figures:
    """The figures of `name` (application, resource, vault), which at least one of both sides has."""
    there = [] if before is None else [Candidate(str(at), at) for at in sorted(before.kept(now))]
    stay = [candidate.cut_at for candidate in there] if after is None else _then(before, after, there, now)
    verdicts = () if after is None else after.judged(there, now)
    held, going, each = _held(lies.of(*name), before, after, now)
    return Figures(
        *name,
        per_day_before=before.per_day if before else 0.0,
        per_day_after=after.per_day if after else 0.0,
        points_before=len(there) if before else None,
        points_after=len(stay),
        expiring=tuple(verdict.candidate.cut_at for verdict in verdicts if not verdict.kept),
        reach_before=_reach([candidate.cut_at for candidate in there], now),
        reach_after=_reach(stay, now),
        left=after is None,
        held=held,
        held_expiring=going,
        each=each,
    )


def _then(before: Side | None, after: Side, there: Sequence[Candidate], now: datetime) -> list[datetime]:
    """The points of the steady state after; an application that has left keeps of those before what its rules keep."""
    if after.policy.retired is not None and before is not None:
        return [verdict.candidate.cut_at for verdict in after.judged(there, now) if verdict.kept]
    return sorted(after.kept(now))


def _reach(instants: Sequence[datetime], now: datetime) -> timedelta | None:
    return now - min(instants) if instants else None


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())


def _held(
    points: Sequence[RecoveryPoint] | None, before: Side | None, after: Side | None, now: datetime
) -> tuple[int | None, tuple[Candidate, ...] | None, int | None]:
    """How many points lie there, which of them begin to expire, and what the newest takes if it is a dump."""
    side = after or before
    if points is None or side is None or side.resource.template:
        return None, None, None
    candidates = candidates_in(points, side.rule, side.resource, now, over=False)
    sizes = (copy.bytes for p in points if (copy := p.copy_in(side.rule.vault)) is not None and copy.usable)
    each = None if side.resource.native else next((size for size in sizes if size), None)
    if after is None:
        return len(candidates), (), each
    stay = {verdict.candidate.point for verdict in after.judged(candidates, now) if verdict.kept}
    kept = candidates if before is None else [v.candidate for v in before.judged(candidates, now) if v.kept]
    return len(candidates), tuple(candidate for candidate in kept if candidate.point not in stay), each


@lru_cache(maxsize=1024)
def per_day(schedule: Schedule) -> float:
    """Slots of a grid on an average day."""
    if isinstance(schedule, Every):
        return _DAY / schedule.period
    count, until, at = 0, _FROM + _DAYS * _DAY, schedule.next_after(_FROM - timedelta(seconds=1))
    while at < until:
        count, at = count + 1, schedule.next_after(at)
    return count / _DAYS if count else _DAY / schedule.longest_gap()
