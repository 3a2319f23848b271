"""Worlds for the planner, built by hand: points, what was observed, and the decisions sorted out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from passes import OFF, native_copy, policy, resource

from drorch.domain.action import Action, Cut, Expire, Hold, Mark
from drorch.domain.catalogue import Catalogue, Drilled, Head
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan import Observed, SourcesSeen, plan
from drorch.domain.policy import BrakeRule, ResourcePolicy, Retired, VaultRule
from drorch.domain.policy import Keep as KeepRules

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
    observed: Observed,
    of: ResourcePolicy | Iterable[ResourcePolicy] | None = None,
    now: datetime = NOW,
    retired: Retired | None = None,
) -> list[Action]:
    resources = (of or data(),) if isinstance(of, ResourcePolicy) or of is None else tuple(of)
    made = policy("shop", resources).model_copy(update={"retired": retired})
    return list(plan(made, observed, now, point_id))


def only(actions: Iterable[Action], *types: type[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, types)]


def the_cut(actions: Iterable[Action]) -> Cut:
    (found,) = only(actions, Cut)
    assert isinstance(found, Cut)
    return found


def alarms(actions: Iterable[Action]) -> list[str]:
    return [action.alarm for action in actions if isinstance(action, Hold)]


# --- what is let go --------------------------------------------------------------------------------------------------

AN_HOUR_AGO = NOW - timedelta(hours=1)
GRACE = timedelta(days=3)
FREE = BrakeRule(share=100, count=1_000_000)
"""A brake that never finds that too many go."""


def going(vault: str, since: datetime = AN_HOUR_AGO, **more: Any) -> PointCopy:
    """A copy of a dump that has been marked since then."""
    return dumped(vault, CopyState.EXPIRING, **({"marked_at": since, "expiring_since": since} | more))


def series(count: int, *vaults: str, of: str = "orders", start: int = 0, **more: Any) -> list[RecoveryPoint]:
    """One dump an hour, newest first, in each of the vaults."""
    return [point(slot(n), *(dumped(v) for v in vaults), of=of, **more) for n in range(start, start + count)]


def marks(actions: Iterable[Action], mark: str = "expiring", vault: str = "") -> list[str]:
    """The points that get this mark (in this vault), in the order of the plan."""
    found = [action for action in actions if isinstance(action, Mark) and action.mark == mark]
    return [action.point for action in found if vault in ("", action.vault)]


def expired(actions: Iterable[Action], vault: str = "") -> list[str]:
    """The points whose copies (in this vault) are deleted, in the order of the plan."""
    return [action.point for action in actions if isinstance(action, Expire) and vault in ("", action.vault)]


def taken(actions: Iterable[Action]) -> set[tuple[str, str]]:
    """The (vault, point) pairs that a plan marks or deletes."""
    return {(a.vault, a.point) for a in actions if isinstance(a, Expire) or (isinstance(a, Mark) and a.lets_go)}


def why(actions: Iterable[Action], vault: str, point: str) -> str:
    """The one reason that a plan gives for a copy."""
    (found,) = [action.reason for action in actions if (action.vault, action.point) == (vault, point)]
    return found


def head(*live: tuple[str, str], at: datetime = AN_HOUR_AGO, host: str = "here", **changes: Any) -> Head:
    """A head of these (vault, point) pairs, each with the digest that `digests` gives it."""
    vaults: dict[str, dict[str, str]] = {}
    for vault, name in live:
        vaults.setdefault(vault, {})[name] = f"sha-{name}"
    given: dict[str, Any] = {"seq": 7, "digest": "d", "path": "heads/x.json", "lost": {}, "have": frozenset({OFF})}
    given |= {"at": at, "written": at, "host": host, "live": vaults, **changes}
    return Head(**given)


def digests(*live: tuple[str, str]) -> dict[tuple[str, str], str]:
    """What the catalogue says of these live pairs."""
    return {(vault, name): f"sha-{name}" for vault, name in live}


def drilled(ago: timedelta, *, passed: bool = True, vault: str = OFF, of: str = "orders") -> Drilled:
    at = NOW - ago
    return Drilled(of, vault, "p", at, at, passed, {"total": 60})
