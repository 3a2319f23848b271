"""The planner: sharing is taken back when no copy needs it, and never while one does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from passes import HOME
from planning import FAILED, NOW, PENDING, SLOT, USABLE, data, only, planned, point, recorded, seen

from drorch.domain.action import Action, Copy, Hold, Unshare
from drorch.domain.model import Copy as PointCopy
from drorch.domain.plan import Failure

VAULT, NEAR = "vault.us-west-2", "vault.us-east-1"
HOME_RULE, AWAY_RULE = data().targets
CROSSING = data(targets=(HOME_RULE, AWAY_RULE.model_copy(update={"vault": VAULT})))
TWICE = data(targets=(*CROSSING.targets, AWAY_RULE.model_copy(update={"vault": NEAR})))
AT_HOME = recorded(HOME)
MEMBER = AT_HOME.members[0].native_id
SHARED = {("ebs", HOME, "vault"): frozenset({MEMBER, "snap-of-somebody-else"})}


def decided(*copies: PointCopy, of: object = CROSSING, shared: object = SHARED, **more: object) -> list[Action]:
    found = planned(seen(point(SLOT, AT_HOME, *copies), shared=shared, **more), of)  # type: ignore[arg-type]
    return only(found, Unshare, Copy, Hold)


def unshared(*copies: PointCopy, **more: object) -> list[Unshare]:
    return [action for action in decided(*copies, **more) if isinstance(action, Unshare)]


def test_what_is_shared_stays_so_until_its_copy_is_usable() -> None:
    assert not unshared(), "the copy is due"
    assert not unshared(recorded(VAULT, PENDING))
    (taken,) = unshared(recorded(VAULT, USABLE))
    assert (taken.vault, taken.account, taken.members, taken.copies) == (HOME, "vault", (MEMBER,), (VAULT,))
    assert taken.reason == f"shared with vault, and its copy in {VAULT} is usable"


def test_a_copy_that_failed_is_shared_again_when_it_is_tried_again() -> None:
    failed = recorded(VAULT, FAILED, why="key", failed_at=NOW - timedelta(minutes=50))
    (taken,) = unshared(failed)
    assert taken.reason == f"shared with vault, and its copy in {VAULT} failed"
    assert not unshared(replace(failed, failed_at=NOW - timedelta(hours=2))), "it is tried again now"


def test_a_copy_that_was_refused_is_not_shared_while_it_waits_for_its_next_try() -> None:
    key = next(action.key for action in decided() if isinstance(action, Copy))
    assert unshared(failures={key: Failure(NOW - timedelta(minutes=1), 1, "no such key")})
    assert not unshared(failures={key: Failure(NOW - timedelta(minutes=6), 1, "no such key")})


@pytest.mark.parametrize("age", [timedelta(minutes=1), timedelta(minutes=30)])
def test_a_copy_whose_outcome_is_not_known_keeps_it_shared(age: timedelta) -> None:
    begun = {f"{point(SLOT).id}@{VAULT}": NOW - age}
    assert not unshared(intents=begun)
    key = next(action.key for action in decided() if isinstance(action, Copy))
    assert not unshared(intents=begun, failures={key: Failure(NOW, 1, "no reply")})


def test_all_copies_in_the_account_must_have_ended() -> None:
    assert not unshared(recorded(VAULT, USABLE), recorded(NEAR, PENDING), of=TWICE)
    (taken,) = unshared(recorded(VAULT, USABLE), recorded(NEAR, USABLE), of=TWICE)
    assert taken.copies == (NEAR, VAULT)


def test_what_no_policy_wants_any_more_is_taken_back() -> None:
    (taken,) = unshared(of=data())
    assert taken.reason == "shared with vault, and no copy of it is wanted there"
    assert not unshared(recorded(VAULT, PENDING), of=data()), "begun before the policy changed"


@pytest.mark.parametrize("unread", [HOME, VAULT])
def test_nothing_is_taken_back_on_a_view_that_is_not_complete(unread: str) -> None:
    assert not unshared(recorded(VAULT, USABLE), unread={unread: "timeout"})


def test_sharing_that_could_not_be_seen_is_told() -> None:
    held = decided(recorded(VAULT, USABLE), shared={("ebs", HOME, "vault"): "timeout"})
    assert [a.reason for a in held if isinstance(a, Hold)] == [
        "what is shared with vault could not be seen, so nothing is taken back: timeout"
    ]


def test_only_members_of_own_points_of_that_kind_and_place_are_looked_at() -> None:
    usable = recorded(VAULT, USABLE)
    for shared in (
        {("ebs", HOME, "vault"): frozenset({"snap-of-somebody-else"})},
        {("ami", HOME, "vault"): frozenset({MEMBER})},
        {("ebs", VAULT, "prod"): frozenset({MEMBER})},
    ):
        assert not unshared(usable, shared=shared)
