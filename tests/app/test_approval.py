"""What a digest names, and when nothing is released: a changed plan, an incomplete view, clocks that differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from passes import HOME, NOW, OFF, hours, native_copy, passed, planned, point, policy

from drorch.app.approval import to_release
from drorch.app.observe import World
from drorch.app.passing import ApplicationPlan, Pass
from drorch.domain.action import Action, Braked, Expire, Hold, Keep, Mark, deletions_digest, digest_of
from drorch.domain.catalogue import Catalogue, Leftover
from drorch.domain.errors import DrorchError, Refused, Unavailable, Usage

DATA = point("p1", "data", NOW - hours(5), native_copy(HOME))
GOING: tuple[Action, ...] = (
    Keep("shop", "data", HOME, "p0", "last 1 of 3"),
    Mark("shop", "data", HOME, "p1", "no keep rule keeps it", "expiring", (OFF,)),
    Mark("shop", "data", HOME, "p4", "kept again", "kept", (OFF,)),
    Expire("shop", "orders", OFF, "p2", "no keep rule keeps it"),
    Braked("shop", "orders", OFF, "p3", "the brake holds it: too many (no rule)", "brake", "mark"),
)


def shop(actions: Iterable[Action] = GOING, **observed: Any) -> ApplicationPlan:
    made = planned(catalogue=Catalogue("shop", (DATA,)), actions=actions)
    return replace(made, observed=replace(made.observed, **({"object_vaults": (OFF,)} | observed)))


def blog(actions: Iterable[Action] = (), **observed: Any) -> ApplicationPlan:
    made = planned(policy("blog"), Catalogue("blog"), actions)
    return replace(made, observed=replace(made.observed, **observed))


def digest(*plans: ApplicationPlan) -> str:
    return deletions_digest(action for plan in plans for action in plan.actions)


def refused(seen: Pass, typed: str) -> DrorchError:
    with pytest.raises(DrorchError) as caught:
        to_release(seen, typed)
    return caught.value


@pytest.mark.parametrize("typed", [digest(shop()), digest(shop())[:16], f" {digest(shop())[:20].upper()}\n"])
def test_the_digest_or_its_beginning_names_exactly_the_deletions(typed: str) -> None:
    whole, releases = to_release(passed(shop()), typed)
    assert whole == digest_of([(HOME, "p1"), (OFF, "p2"), (OFF, "p3")])
    told = [(r.vault, r.resource, r.point, r.deletes, r.held) for r in releases]
    assert told == [
        (OFF, "orders", "p2", True, False),
        (OFF, "orders", "p3", False, True),
        (HOME, "data", "p1", False, False),
    ]
    assert (releases[2].cut_at, releases[2].bytes) == (DATA.cut_at, 8 << 30)
    assert releases[0].to_json()["bytes"] is releases[0].to_json()["cut_at"] is None


def test_all_plans_together_have_a_digest_and_each_has_its_own() -> None:
    other = blog([Expire("blog", "orders", OFF, "b1", "no rule")])
    seen = passed(shop(), other)
    for plans in ((shop(), other), (shop(),), (other,)):
        whole, releases = to_release(seen, digest(*plans)[:16])
        assert whole == digest(*plans)
        assert {r.application for r in releases} == {plan.policy.application for plan in plans}


def test_a_plan_that_has_changed_is_refused_with_the_digest_of_now() -> None:
    other = blog([Expire("blog", "orders", OFF, "b1", "no rule")])
    more = (*GOING, Mark("shop", "data", HOME, "p5", "no rule", "expiring"))
    error = refused(passed(shop(more), other), digest(shop()))
    assert isinstance(error, Refused)
    assert error.exit_code == 3
    assert "the plan has changed since: look at it again" in error.hint
    for plans in ((shop(more), other), (shop(more),), (other,)):
        assert digest(*plans)[:16] in error.hint
    assert "nothing is to be deleted now" in refused(passed(shop(())), digest(shop())).hint


@pytest.mark.parametrize("typed", ["", digest(shop())[:15], "z" * 64, digest(shop()) + "0", "--all"])
def test_what_is_no_digest_is_a_slip_of_the_hand(typed: str) -> None:
    error = refused(passed(shop()), typed)
    assert isinstance(error, Usage)
    assert error.exit_code == 2


def test_a_plan_that_deletes_nothing_has_nothing_to_approve() -> None:
    hold = Hold("shop", "data", HOME, "p1", "marked; deleted no earlier than 2026-11-23T09:30:00Z")
    assert "deletes nothing" in refused(passed(shop([hold])), digest_of([])).message


@pytest.mark.parametrize("flaw", [{"unread": {OFF: "timed out"}}, {"never_read": frozenset({OFF})}])
def test_nothing_is_released_while_a_vault_in_question_is_not_read(flaw: dict[str, Any]) -> None:
    error = refused(passed(shop(**flaw)), digest(shop()))
    assert isinstance(error, Unavailable)
    assert "gcs-eu could not be read" in error.cause
    elsewhere = {key: type(value)(["other"]) if key == "never_read" else {"other": "x"} for key, value in flaw.items()}
    assert to_release(passed(shop(**elsewhere)), digest(shop()))[1], "a vault that it does not use is no obstacle"


@pytest.mark.parametrize(
    ("flaw", "words"),
    [({"skewed": "gcs-eu is 9m ahead"}, "gcs-eu is 9m ahead"), ({"stale": True}, "the policy file of shop is invalid")],
)
def test_nothing_is_released_while_clocks_differ_or_the_policy_is_invalid(flaw: dict[str, Any], words: str) -> None:
    error = refused(passed(shop(**flaw)), digest(shop()))
    assert isinstance(error, Refused)
    assert words in str(error)


def test_what_is_wrong_with_an_application_that_deletes_nothing_is_no_obstacle() -> None:
    sick = blog(stale=True, skewed="x", unread={OFF: "timed out"})
    assert to_release(passed(shop(), sick), digest(shop(), sick))[1]


def test_a_mismatch_names_what_could_not_be_read() -> None:
    seen = passed(shop(), world=World(NOW, unread={OFF: "timed out"}))
    assert "gcs-eu could not be read: timed out" in refused(seen, "0" * 64).cause


def test_data_without_a_manifest_have_the_time_of_their_folder() -> None:
    left = Leftover(OFF, "orders", "p2", NOW - hours(9), ("drorch/v1/data/x",), expired=True)
    made = shop()
    made = replace(made, catalogue=replace(made.catalogue, leftovers=(left,)))
    times = {release.point: release.cut_at for release in to_release(passed(made), digest(made))[1]}
    assert times == {"p1": DATA.cut_at, "p2": NOW - hours(9), "p3": None}
