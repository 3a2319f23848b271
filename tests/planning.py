"""Worlds for the planner, built by hand: points, what was observed, and the decisions sorted out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from passes import OFF, native_copy, policy, resource

from drorch.domain.action import Action, Cut, Hold
from drorch.domain.catalogue import Catalogue
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan import Observed, SourcesSeen, plan
from drorch.domain.policy import Keep as KeepRules
from drorch.domain.policy import ResourcePolicy, VaultRule

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SLOT = "2026-11-20T09:00Z"
WEST = "s3-west"
VOLUME = SourcesSeen((Source("vol-1"),))
USABLE, PENDING, FAILED = CopyState.USABLE, CopyState.PENDING, CopyState.FAILED


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def point_id(application: str, of: str, slot: str, attempt: int) -> str:
    return f"{application}/{of}/{slot}/{attempt}"


def data(**changes: object) -> ResourcePolicy:
    """A volume set, hourly, at HOME and AWAY."""
    return resource("data", "ebs", **changes)


def orders(*vaults: str, **changes: object) -> ResourcePolicy:
    """A database, hourly, dumped into vaults; no drill unless told."""
    targets = tuple(VaultRule(vault=vault, keep=KeepRules(last=3)) for vault in vaults or (OFF, WEST))
    return resource("orders", "postgres", **({"targets": targets, "drill": None} | changes))


def point(
    slot: str = SLOT,
    *copies: PointCopy,
    attempt: int = 1,
    of: str = "data",
    late: timedelta = timedelta(minutes=1),
    **changes: Any,
) -> RecoveryPoint:
    """A point cut a minute into its slot."""
    start = datetime.strptime(slot.removeprefix("manual:")[:16], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    made = RecoveryPoint(point_id("shop", of, slot, attempt), "shop", of, "ebs", slot, start + late, copies)
    return replace(made, **changes)


def slot(hours_ago: float) -> str:
    return (NOW.replace(minute=0) - hours(hours_ago)).strftime("%Y-%m-%dT%H:%MZ")


def dumped(vault: str, state: CopyState = USABLE, **more: Any) -> PointCopy:
    return PointCopy(vault, state, path="data/", recorded_in=frozenset({vault}), **more)


def recorded(vault: str, state: CopyState = USABLE, **more: Any) -> PointCopy:
    return native_copy(vault, state, recorded_in=frozenset({OFF}), **more)


def seen(*points: RecoveryPoint, **changes: Any) -> Observed:
    newest_first = tuple(sorted(points, key=lambda p: (p.cut_at or NOW, p.id), reverse=True))
    catalogue = changes.pop("catalogue", None) or Catalogue(
        "shop", newest_first, taken=frozenset(p.id for p in points), **changes.pop("more", {})
    )
    given: dict[str, Any] = {"catalogue": catalogue, "object_vaults": (OFF,), "sources": {"data": VOLUME}}
    return Observed(**(given | changes))


def planned(
    observed: Observed, of: ResourcePolicy | Iterable[ResourcePolicy] | None = None, now: datetime = NOW
) -> list[Action]:
    resources = (of or data(),) if isinstance(of, ResourcePolicy) or of is None else tuple(of)
    return list(plan(policy("shop", resources), observed, now, point_id))


def only(actions: Iterable[Action], *types: type[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, types)]


def the_cut(actions: Iterable[Action]) -> Cut:
    (found,) = only(actions, Cut)
    assert isinstance(found, Cut)
    return found


def alarms(actions: Iterable[Action]) -> list[str]:
    return [action.alarm for action in actions if isinstance(action, Hold)]
