"""The part of the planner that sweeps: what nobody can need, and nothing else. Pure.

Own uploads that were never ended, data that no manifest ever named, old heads, the records of points that are gone
everywhere. Each is looked at again, strongly and alone, before it is removed (`drorch.app.sweep`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Sweep
from drorch.domain.instant import from_compact
from drorch.domain.plan_expiry import why_held
from drorch.domain.policy import ResourcePolicy

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

LEFTOVER_AFTER = timedelta(days=30)
HEADS_AFTER = timedelta(days=35)
RECORDS_AFTER = timedelta(days=90)
SHORTEST_WAIT = timedelta(days=1)
"""No upload is taken for given up before it is a day old, however short dumps are."""
_AT_ONCE = 500
"""Objects removed by one action: the next pass takes the rest."""


def plan_sweep(application: str, resource: ResourcePolicy, observed: Observed, now: datetime) -> Iterator[Action]:
    """Uploads, data and records of one resource that can go."""
    if observed.stale or why_held(resource, observed) is not None:
        return
    catalogue = observed.catalogue
    known = {point.id for point in catalogue.of(resource.name)}
    for left in catalogue.leftovers:
        old = left.cut_at + LEFTOVER_AFTER < now and not left.expired and left.point not in known
        if left.resource == resource.name and old and left.vault not in observed.unread:
            reason = "data without a manifest for more than 30 days, and no vault has the point"
            yield Sweep(application, resource.name, left.vault, left.point, reason, "data", left.paths)
    for vault, uploads in catalogue.uploads.items():
        stale = sorted(path for path, begun in uploads.items() if _upload_is_over(path, begun, resource, observed, now))
        if stale and vault not in observed.unread:
            reason = f"{len(stale)} uploads older than the longest dump were never ended"
            yield Sweep(application, resource.name, vault, "", reason, "uploads", tuple(stale[:_AT_ONCE]))
    if observed.unread:
        return  # a vault that could not be read may still hold the point whose records these are
    for gone in catalogue.bygone:
        if gone.resource == resource.name and gone.since + RECORDS_AFTER < now:
            reason = "no vault has held the point for 90 days"
            yield Sweep(application, resource.name, gone.vault, gone.point, reason, "records", gone.paths)


def _upload_is_over(path: str, begun: datetime, resource: ResourcePolicy, observed: Observed, now: datetime) -> bool:
    took = (point.facts.get("dump_seconds") for point in observed.catalogue.of(resource.name))
    longest = timedelta(seconds=max((seconds for seconds in took if isinstance(seconds, int)), default=0))
    return f"/{resource.name}/" in path and begun + max(2 * longest, SHORTEST_WAIT) < now


def plan_old_heads(application: str, observed: Observed, now: datetime) -> Iterator[Action]:
    """Heads older than 35 days, but the first of each month, and never the newest."""
    if observed.stale or observed.skewed or observed.never_read:
        return
    for vault, paths in sorted(observed.catalogue.heads.items()):
        old = old_heads(paths, now) if vault not in observed.unread else ()
        if old:
            reason = f"{len(old)} heads are older than 35 days (the first of each month stays)"
            yield Sweep(application, "", vault, "", reason, "heads", old[:_AT_ONCE])


def old_heads(paths: Sequence[str], now: datetime) -> tuple[str, ...]:
    """Of the paths of an application's heads in one vault those that can go."""
    months: set[tuple[int, int]] = set()
    old = []
    ordered = sorted(paths)
    for path in ordered[:-1]:
        try:
            at = from_compact(path.rpartition("/")[2].removesuffix(".json"))
        except ValueError:
            continue
        first = (at.year, at.month) not in months
        months.add((at.year, at.month))
        if not first and at + HEADS_AFTER < now:
            old.append(path)
    return tuple(old)
