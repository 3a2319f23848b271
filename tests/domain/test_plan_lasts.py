"""A plan made of a present lasts until its horizon: at every instant before, the same world gives the same plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from passes import AWAY, DOMAINS, OFF, policy
from planner_worlds import Drawn, worlds
from planning import NOW, WEST, drilled, head, hours, point_id, seen

from drorch.domain.action import Action, Copy, Cut
from drorch.domain.ages import Ages
from drorch.domain.asked import Asked
from drorch.domain.catalogue_upkeep import Bygone
from drorch.domain.copy_urgency import with_due
from drorch.domain.intent_keys import copy_intent
from drorch.domain.model import FailureDomain, FailureLevel, LockMode, RecoveryPoint
from drorch.domain.objective import ApplicationStatus, Places, status
from drorch.domain.plan import Failure, Observed, plan
from drorch.domain.policy import DrillRule, LockRule, Objective, Policy, Retired
from drorch.domain.present import FAILS, Horizon, holds_present
from drorch.domain.schedule import Cron, Every
from drorch.domain.window import Window

INSTANT = timedelta.resolution
WHERE = {**DOMAINS, WEST: FailureDomain("aws", "us-west-2", "prod")}
PLACES = Places(WHERE, frozenset(), frozenset({OFF}))


def decided(of: Policy, observed: Observed, now: datetime) -> tuple[tuple[Action, ...], ApplicationStatus]:
    """As a pass decides it."""
    actions = plan(of, observed, now, point_id)
    standing = status(of, observed.catalogue, PLACES, now)
    return with_due(actions, of, observed.catalogue, standing, WHERE, now), standing


def lasting(of: Policy, observed: Observed, now: datetime) -> tuple[tuple[Action, ...], ApplicationStatus, Horizon]:
    """The same of a present. Raises what is raised when it cannot be told how long that lasts."""
    horizon = Horizon(now)
    asked = replace(observed, intents=Asked(observed.intents), failures=Asked(observed.failures))
    actions, standing = decided(of, asked, horizon.present())
    if holds_present(actions):
        raise TypeError("the present is part of it")
    return actions, standing, horizon


_schedules = st.sampled_from(
    [Every(hours(1)), Every(hours(24), hours(3)), Cron("15 */6 * * *", "Europe/Berlin"), Cron("0 3 * * 6", "UTC")]
)
_windows = st.sampled_from([None, None, Window(22 * 60, 240, "Europe/Berlin"), Window(60, 180, days=frozenset({6}))])
_ago = st.integers(-3000, 60000).map(lambda n: NOW - timedelta(minutes=n))
_moments = st.one_of(_ago, st.sampled_from([NOW, NOW + INSTANT, NOW - INSTANT]))


@st.composite
def more(draw: st.DrawFn, world: Drawn) -> tuple[Policy, Observed]:
    """The world under a schedule, a window, a retirement, and with what else may be observed."""
    of = world.of.model_copy(
        update={
            "schedule": draw(_schedules),
            "window": None if world.native else draw(_windows),
            "drill": None if world.native else draw(st.sampled_from([None, DrillRule(every=hours(30), from_=(OFF,))])),
        }
    )
    if world.native and draw(st.booleans()):
        locked = [rule.model_copy(update={"lock": _lock}) if rule.vault == AWAY else rule for rule in of.targets]
        of = of.model_copy(update={"targets": tuple(locked)})
    rpo = {FailureLevel.REGION: Objective(rpo=hours(draw(st.integers(1, 99))))}
    other = of.model_copy(update={"name": "other", "dataset": "other", "objectives": rpo})
    made = policy("shop", (of, other)).model_copy(update={"retired": draw(st.none() | _retired())})
    points = _worn(draw, world)
    observed = seen(*points, *_of_another(points, draw(st.integers(-40, 40))), **world.given)
    catalogue = replace(
        observed.catalogue,
        drills=tuple(drilled(NOW - at, passed=draw(st.booleans()), vault=OFF) for at in draw(_few)),
        head=draw(st.none() | st.builds(lambda at, host: head(at=at, host=host), _moments, st.sampled_from("ah"))),
        bygone=tuple(Bygone(OFF, of.name, "gone", at, ("records/x",)) for at in draw(_few)),
        uploads={OFF: {f"data/shop/{of.name}/x": at for at in draw(_few)}},
    )
    names = [p.id for p in world.points]
    observed = replace(
        observed,
        catalogue=catalogue,
        host="h",
        intents={copy_intent(p, AWAY): at for p, at in zip(names, draw(_few), strict=False)},
        state_since=draw(st.none() | _moments),
        turns=draw(st.sampled_from([None, {}, {(of.name, OFF): {n: NOW - hours(9) for n in range(100)}}])),
        locks={OFF: _lock} if draw(st.booleans()) else {},
        running=draw(st.sampled_from([{}, {}, {of.name: "a dump"}])),
        unread=draw(st.sampled_from([{}, {}, {}, {world.vaults[1]: "timed out"}])),
        copied=draw(st.none() | st.just(set(names[:1]))),
    )
    actions = plan(made, observed, world.now, point_id)
    failed = [a for a in actions if isinstance(a, Copy | Cut) and draw(st.booleans())]
    return made, replace(
        observed, failures={a.key: Failure(draw(_moments), draw(st.integers(1, 7)), "x") for a in failed}
    )


def _of_another(points: list[RecoveryPoint], shift: int) -> list[RecoveryPoint]:
    """A second dataset's, each a while before or after."""
    ago = timedelta(hours=shift, minutes=7)
    dated = [(p, p.cut_at) for p in points if p.cut_at is not None]
    return [replace(p, id=f"{p.id}'", resource="other", cut_at=at - ago) for p, at in dated[::2]]


_lock = LockRule.model_validate({"for": "10d"})
_few = st.lists(_moments, max_size=3)


@st.composite
def _retired(draw: st.DrawFn) -> Retired:
    since = draw(_moments)
    until = draw(st.none() | st.just(since + hours(24)))
    return Retired.model_construct(since=since, until=until, keep=None, reason="sold")


def _worn(draw: st.DrawFn, world: Drawn) -> list[RecoveryPoint]:
    """The points, some copies of them with the times that matter to locks, keys and failures."""
    times = ("usable_at", "locked_until", "failed_at", "carry_until")

    def worn(copy: Any) -> Any:
        changes: Mapping[str, Any] = {name: draw(_moments) for name in times if draw(st.integers(0, 3)) == 0}
        mode = draw(st.sampled_from([None, LockMode.COMPLIANCE, LockMode.GOVERNANCE]))
        return replace(copy, lock_mode=mode, **changes)

    return [replace(p, copies=tuple(worn(copy) for copy in p.copies)) for p in world.points]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), worlds())
def test_until_its_horizon_a_plan_and_its_promises_are_what_they_would_be_anew(given: Any, world: Drawn) -> None:
    made, observed = given.draw(more(world))
    try:
        actions, standing, horizon = lasting(made, observed, world.now)
    except FAILS:
        return  # nothing is remembered of it
    assert (actions, Ages(standing).at(world.now)) == decided(made, observed, world.now)
    end = horizon.until or world.now + timedelta(days=1000)
    part = given.draw(st.floats(0, 1))
    for later in (end - INSTANT, world.now + (end - INSTANT - world.now) * part):
        assert (actions, Ages(standing).at(later)) == decided(made, observed, later)
