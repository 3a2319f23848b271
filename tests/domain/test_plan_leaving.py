"""An application that has left: what decides from then on, and what happens to the last of it when its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from passes import AWAY, HOME, OFF
from planning import (
    FREE,
    GRACE,
    NOW,
    WEST,
    data,
    dumped,
    expired,
    going,
    hours,
    marks,
    only,
    orders,
    planned,
    point,
    recorded,
    seen,
    series,
    slot,
    taken,
)

from drorch.domain.action import Action, Braked, Cut, Drill, Keep, Ship, Sweep
from drorch.domain.model import RecoveryPoint
from drorch.domain.plan import Observed
from drorch.domain.policy import DrillRule, Retired
from drorch.domain.policy import Keep as KeepRules


def _native(*vaults: str, hour: int, **more: Any) -> RecoveryPoint:
    return point(slot(hour), *(recorded(vault) for vault in vaults), **more)


def leaving(since: timedelta, until: timedelta | None = None, keep: KeepRules | None = None) -> Retired:
    """Since so long ago, until so long ago."""
    return Retired(since=NOW - since, until=None if until is None else NOW - until, keep=keep, reason="sold")


def retired_plan(retired: Retired, observed: Observed, **changes: Any) -> list[Action]:
    return planned(observed, orders(OFF, **changes), retired=retired)


def test_from_the_day_it_leaves_its_last_rules_decide() -> None:
    points = series(6, OFF, start=30)
    one = KeepRules(last=1)
    cases = [
        (leaving(timedelta(), keep=one), 5),
        (leaving(-timedelta(seconds=1), keep=one), 3),
        (leaving(timedelta()), 3),
        (leaving(timedelta(), until=-timedelta(seconds=1), keep=one), 5),
    ]
    for retired, gone in cases:
        assert len(marks(retired_plan(retired, seen(*points, brake=FREE), floor=1))) == gone


def test_while_it_leaves_the_floor_and_the_verified_one_are_kept_as_ever() -> None:
    proved = point(slot(40), dumped(OFF, verified_at=NOW), of="orders")
    points = [*series(4, OFF, start=30), proved]
    found = retired_plan(leaving(timedelta(), keep=KeepRules(last=1)), seen(*points, brake=FREE))
    assert [a.point for a in only(found, Keep)] == [points[0].id, points[1].id, proved.id]


def test_after_its_time_the_last_ones_are_braked_until_they_are_approved() -> None:
    points = [point(slot(30), dumped(OFF, verified_at=NOW), of="orders"), *series(3, OFF, start=31)]
    over = leaving(hours(9), timedelta())
    found = retired_plan(over, seen(*points, brake=FREE))
    assert not taken(found)
    assert [a.point for a in only(found, Braked)] == [p.id for p in reversed(points)]
    approved = frozenset((OFF, p.id) for p in points)
    assert len(marks(retired_plan(over, seen(*points, approved=approved)))) == 4
    other = frozenset({(OFF, points[3].id)})
    assert marks(retired_plan(over, seen(*points, approved=other))) == [points[3].id]


def test_after_its_time_pins_and_manual_points_still_stay() -> None:
    pinned = point(slot(30), dumped(OFF), of="orders", pinned=True)
    manual = point("manual:2026-11-19T08:00:00Z", dumped(OFF), of="orders")
    found = retired_plan(leaving(hours(9), timedelta()), seen(pinned, manual))
    assert [a.point for a in only(found, Keep)] == [manual.id, pinned.id]


def test_after_its_time_nothing_stays_for_what_would_have_come_next() -> None:
    """No copy is incremental to another any more, and no vault is owed anything."""
    points = [_native(HOME, AWAY, hour=n) for n in (30, 31)]
    lacking = _native(HOME, hour=29)
    approved = frozenset((vault, p.id) for vault in (HOME, AWAY) for p in [*points, lacking])
    found = planned(seen(*points, lacking, approved=approved), data(), retired=leaving(hours(9), timedelta()))
    assert taken(found) == approved - {(AWAY, lacking.id)}


def test_after_its_time_the_grace_is_that_of_every_other() -> None:
    marked = [point(slot(n), going(OFF, NOW - GRACE), of="orders") for n in range(30, 33)]
    over, approved = leaving(hours(9), timedelta()), frozenset((OFF, p.id) for p in marked)
    assert not expired(retired_plan(over, seen(*marked)))
    assert len(expired(retired_plan(over, seen(*marked, approved=approved)))) == 3
    fresh = [point(slot(n), going(OFF), of="orders") for n in range(30, 33)]
    assert not expired(retired_plan(over, seen(*fresh, approved=approved)))


def test_what_has_left_is_neither_cut_nor_drilled_any_more() -> None:
    of = {"drill": DrillRule(every=timedelta(days=7), from_=(OFF,))}
    points = series(2, OFF, start=30)
    assert len(only(retired_plan(leaving(-timedelta(seconds=1)), seen(*points), **of), Cut, Drill)) == 2
    assert not only(retired_plan(leaving(timedelta()), seen(*points), **of), Cut, Drill)
    assert not only(planned(seen(_native(HOME, hour=9)), data(), retired=leaving(timedelta())), Cut)


def test_what_a_vault_is_owed_is_judged_by_the_rules_in_force() -> None:
    points = series(6, WEST, start=30)
    last = Retired(since=NOW - hours(9), keep=KeepRules(last=1), reason="sold")

    def shipped(retired: Retired) -> list[str]:
        return [a.point for a in only(planned(seen(*points), orders(floor=1), retired=retired), Ship)]

    assert shipped(last) == [points[0].id]
    assert shipped(leaving(-timedelta(seconds=1), keep=KeepRules(last=1))) == [p.id for p in points[:3]]


def test_after_its_time_nothing_is_brought_anywhere_any_more() -> None:
    """What was let go in one vault and not yet in another must not come back."""
    points = series(3, WEST, start=30)
    assert not only(planned(seen(*points), orders(), retired=leaving(hours(9), timedelta())), Ship)


def test_what_has_left_is_still_swept() -> None:
    uploads = {OFF: {"drorch/v1/data/shop/orders/x/y": NOW - hours(99)}}
    assert only(retired_plan(leaving(timedelta()), seen(more={"uploads": uploads})), Sweep)
