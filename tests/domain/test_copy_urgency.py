"""When a promise would break without a copy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from passes import AWAY, DOMAINS, HOME, NOW, hours, native_copy, point, policy, resource

from drorch.domain.action import Action, Copy, Hold
from drorch.domain.catalogue import Catalogue
from drorch.domain.copy_urgency import with_due
from drorch.domain.model import FailureLevel, RecoveryPoint
from drorch.domain.objective import Places, status
from drorch.domain.policy import Objective, ResourcePolicy


def copy(name: str, of: str = "data") -> Copy:
    return Copy("shop", of, AWAY, name, "lacks it", HOME, "", "ebs", 1)


def dated(points: Iterable[RecoveryPoint], *actions: Action, of: ResourcePolicy | None = None) -> tuple[Action, ...]:
    """The actions with their dates, for a region RPO of 9 h."""
    rules = policy(resources=[of or resource("data", "ebs")])
    catalogue = Catalogue("shop", tuple(points))
    stands = status(rules, catalogue, Places(DOMAINS), NOW)
    return with_due(actions, rules, catalogue, stands, DOMAINS, NOW)


def due(points: Iterable[RecoveryPoint], *copies: Copy, of: ResourcePolicy | None = None) -> list[timedelta | None]:
    """From now to when each copy's promise breaks."""
    found = [action for action in dated(points, *copies, of=of) if isinstance(action, Copy)]
    return [None if action.due is None else action.due - NOW for action in found]


NEW = point("new", "data", NOW - hours(1), native_copy(HOME))
OLD = point("old", "data", NOW - hours(3), native_copy(HOME))
THERE = point("there", "data", NOW - hours(5), native_copy(HOME), native_copy(AWAY))


def test_a_promise_breaks_when_the_newest_surviving_point_is_older_than_the_rpo() -> None:
    assert due([NEW, THERE], copy("new")) == [hours(4)]


def test_a_missed_promise_has_broken_in_the_past() -> None:
    late = point("there", "data", NOW - hours(12), native_copy(AWAY))
    assert due([NEW, late], copy("new")) == [hours(-3)]


def test_where_nothing_survives_the_promise_counts_as_missed_since_the_cut() -> None:
    assert due([NEW], copy("new")) == [hours(-1)]


def test_only_the_newest_of_a_resource_s_copies_serves_a_promise() -> None:
    assert due([NEW, OLD, THERE], copy("old"), copy("new")) == [None, hours(4)]


def test_a_copy_that_renews_nothing_has_no_date_but_says_its_age() -> None:
    older = point("older", "data", NOW - hours(7), native_copy(HOME))
    (found,) = dated([older, THERE], copy("older"))
    assert isinstance(found, Copy) and (found.due, found.cut_at) == (None, NOW - hours(7))


def test_levels_that_the_copy_does_not_survive_and_exempt_ones_do_not_press() -> None:
    provider = resource("data", "ebs", objectives={FailureLevel.PROVIDER: Objective(rpo=hours(1))}, exempt={})
    exempt = resource("data", "ebs", exempt={FailureLevel.REGION: "not needed"})
    assert due([NEW, THERE], copy("new"), of=provider) == [None]
    assert due([NEW, THERE], copy("new"), of=exempt) == [None]


def test_of_several_levels_the_first_to_break_presses() -> None:
    both = {FailureLevel.ZONE: Objective(rpo=hours(2)), FailureLevel.REGION: Objective(rpo=hours(9))}
    # The zone's promise is kept by the newer point at home; this copy renews only the region's.
    assert due([NEW, THERE], copy("new"), of=resource("data", "ebs", objectives=both)) == [hours(4)]


def test_other_actions_stay_as_they_are() -> None:
    hold = Hold("shop", "data", AWAY, "new", "waits")
    assert dated([NEW], hold) == (hold,)
    assert dated([NEW, THERE], hold, copy("new"))[0] is hold
