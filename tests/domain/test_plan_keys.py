"""Keys in the plan: a copy that would fail for its key is held by name, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from passes import AWAY, DOMAINS, HOME, policy
from planning import (
    AN_HOUR_AGO,
    FAILED,
    NOW,
    PENDING,
    USABLE,
    data,
    expired,
    marks,
    only,
    planned,
    point,
    recorded,
    seen,
    slot,
)

from drorch.domain.action import Action, Copy, Cut, Hold, Keep
from drorch.domain.kms import KmsSeen
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, FailureLevel, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.objective import Places, status
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import Keep as KeepRules
from drorch.domain.policy import ResourcePolicy, VaultRule

EAST = "prod.eu-west-1"
KEY = "alias/drorch"
RIGHT = KmsSeen(NOW)
WRONG = KmsSeen(NOW, wrong=f"{KEY}: KeyState is Disabled, not Enabled")
ENCRYPTED = SourcesSeen((Source("vol-1", encrypted=True, kms_key="arn:home"),))
NO_KEY = "snap-9: Given key ID is not accessible"


def volumes(*away: VaultRule) -> ResourcePolicy:
    rules = away or (to(AWAY),)
    return data(targets=(VaultRule(vault=HOME, keep=KeepRules(last=3), home=True), *rules))


def to(vault: str, key: str | None = KEY) -> VaultRule:
    return VaultRule(vault=vault, keep=KeepRules(last=3), kms_key=key)


def held(actions: Iterable[Action], alarm: str) -> list[Hold]:
    return [action for action in actions if isinstance(action, Hold) and action.alarm == alarm]


def copied_to(actions: Iterable[Action]) -> list[str]:
    return [action.vault for action in only(actions, Copy)]


def test_an_encrypted_source_without_a_key_for_its_copies_is_told_before_anything_is_cut() -> None:
    actions = planned(seen(sources={"data": ENCRYPTED}), volumes(to(AWAY, None)))
    (said,) = held(actions, "kms-key-missing")
    assert (said.vault, said.point) == (AWAY, "")
    assert "vol-1 is encrypted" in said.reason and "kms_key: alias/NAME" in said.reason
    assert only(actions, Cut), "the cut itself needs no key"


def test_what_is_encrypted_is_not_copied_without_a_key_and_is_told_once() -> None:
    points = [point(slot(n), recorded(HOME, kms_key="arn:home")) for n in range(3)]
    actions = planned(seen(*points, sources={"data": ENCRYPTED}), volumes(to(AWAY, None)))
    (said,) = held(actions, "kms-key-missing")
    assert said.point == points[0].id
    assert not only(actions, Copy)


def test_points_of_before_the_encryption_go_without_a_key() -> None:
    points = [point(slot(0), recorded(HOME, kms_key="arn:home")), point(slot(1), recorded(HOME))]
    actions = planned(seen(*points, sources={"data": ENCRYPTED}), volumes(to(AWAY, None)))
    assert [action.point for action in only(actions, Copy)] == [points[1].id]
    assert len(held(actions, "kms-key-missing")) == 1


def test_plain_volumes_need_no_key() -> None:
    actions = planned(seen(point(slot(0), recorded(HOME))), volumes(to(AWAY, None)))
    assert copied_to(actions) == [AWAY] and not held(actions, "kms-key-missing")


def test_a_wrong_key_holds_its_own_destination_alone() -> None:
    points = [point(slot(n), recorded(HOME, kms_key="arn:home")) for n in range(2)]
    keys = {(AWAY, KEY): WRONG, (EAST, KEY): RIGHT}
    actions = planned(seen(*points, keys=keys), volumes(to(AWAY), to(EAST)))
    (said,) = held(actions, "kms-key")
    assert said.vault == AWAY and said.point == points[0].id
    assert "KeyState is Disabled" in said.reason and "us-west-2" in said.reason
    assert set(copied_to(actions)) == {EAST}


def test_a_wrong_key_is_told_while_no_copy_is_due() -> None:
    there = point(slot(0), recorded(HOME), recorded(AWAY))
    (said,) = held(planned(seen(there, keys={(AWAY, KEY): WRONG}), volumes()), "kms-key")
    assert said.point == ""


def test_a_key_that_was_never_asked_or_did_not_answer_holds_nothing() -> None:
    one = point(slot(0), recorded(HOME))
    for keys in ({}, {(AWAY, KEY): KmsSeen(unasked="timed out")}):
        actions = planned(seen(one, keys=keys), volumes())
        assert copied_to(actions) == [AWAY] and not held(actions, "kms-key")


def test_a_dry_run_that_is_refused_holds_nothing() -> None:
    keys = {(AWAY, KEY): KmsSeen(NOW, doubt="AccessDeniedException")}
    assert copied_to(planned(seen(point(slot(0), recorded(HOME)), keys=keys), volumes())) == [AWAY]


def test_a_default_key_of_aws_takes_copies_of_its_own_account_alone() -> None:
    keys = {(vault, KEY): KmsSeen(NOW, default=True) for vault in (AWAY, "vault.us-west-2")}
    actions = planned(seen(point(slot(0), recorded(HOME)), keys=keys), volumes(to(AWAY), to("vault.us-west-2")))
    assert copied_to(actions) == [AWAY]
    (said,) = held(actions, "kms-key")
    assert said.vault == "vault.us-west-2" and "crosses accounts" in said.reason


# --- a copy that failed for its key ---------------------------------------------------------------------------------


def broken(hours_ago: float, failed_hours_ago: float, why: str = NO_KEY) -> RecoveryPoint:
    at = NOW - timedelta(hours=failed_hours_ago)
    return point(slot(hours_ago), recorded(HOME), recorded(AWAY, FAILED, why=why, failed_at=at))


def test_after_a_copy_failed_for_its_key_the_others_are_held_with_cause_and_hint() -> None:
    actions = planned(seen(point(slot(0), recorded(HOME)), broken(1, 0.5), keys={(AWAY, KEY): RIGHT}), volumes())
    (said,) = held(actions, "kms-key")
    assert "key not accessible" in said.reason and "kms:CreateGrant" in said.reason
    assert not only(actions, Copy)


def test_what_a_dry_run_doubts_is_told_with_the_failure() -> None:
    keys = {(AWAY, KEY): KmsSeen(NOW, doubt="AccessDeniedException: kms")}
    (said,) = held(planned(seen(broken(1, 0.5), keys=keys), volumes()), "kms-key")
    assert "AccessDeniedException: kms" in said.reason


def test_hours_later_one_copy_tries_and_the_others_wait_for_it() -> None:
    points = [point(slot(n), recorded(HOME)) for n in (0, 1)]
    actions = planned(seen(*points, broken(8, 7), keys={(AWAY, KEY): RIGHT}), volumes())
    assert [action.point for action in only(actions, Copy)] == [points[0].id]
    assert len(held(actions, "kms-key")) == 1
    trying = point(slot(0), recorded(HOME), recorded(AWAY, PENDING))
    actions = planned(seen(trying, points[1], broken(8, 7), keys={(AWAY, KEY): RIGHT}), volumes())
    assert not only(actions, Copy) and len(held(actions, "kms-key")) == 1


def test_a_copy_that_became_usable_since_lets_all_of_them_go() -> None:
    done = point(slot(0), recorded(HOME), recorded(AWAY, USABLE, usable_at=NOW))
    points = [done, point(slot(1), recorded(HOME)), broken(8, 7)]
    assert not held(planned(seen(*points, keys={(AWAY, KEY): RIGHT}), volumes()), "kms-key")


def test_a_key_that_was_mended_since_lets_all_of_them_go() -> None:
    keys = {(AWAY, KEY): KmsSeen(NOW, mended=NOW)}
    actions = planned(seen(point(slot(0), recorded(HOME)), broken(3, 2), keys=keys), volumes())
    assert not held(actions, "kms-key") and len(only(actions, Copy)) == 2


def test_a_copy_that_failed_for_another_reason_holds_itself_alone() -> None:
    actions = planned(
        seen(point(slot(0), recorded(HOME)), broken(1, 0.5, "status failed"), keys={(AWAY, KEY): RIGHT}), volumes()
    )
    assert len(only(actions, Copy)) == 1 and len(held(actions, "copy-failed")) == 1


# --- copies that do not open ----------------------------------------------------------------------------------------


def shut(vault: str, state: CopyState = USABLE, **more: Any) -> PointCopy:
    return recorded(vault, state, shut="its key arn:x is disabled", **more)


def test_copies_that_do_not_open_are_told_by_name_and_none_is_let_go() -> None:
    old = [point(slot(30 + n), recorded(HOME), shut(AWAY)) for n in range(6)]
    actions = planned(seen(*old, keys={(AWAY, KEY): RIGHT}), volumes(), now=NOW)
    (said,) = held(actions, "kms-key")
    assert said.vault == AWAY and "6 copies" in said.reason and "its key arn:x is disabled" in said.reason
    assert not marks(actions, vault=AWAY) and not expired(actions, vault=AWAY)
    assert not [a for a in actions if isinstance(a, Keep) and a.vault == AWAY]
    assert not only(actions, Copy), "what is there is not copied again"


def test_copies_that_do_not_open_push_no_good_one_out() -> None:
    newer = [point(slot(n), recorded(HOME), shut(AWAY)) for n in range(3)]
    older = [point(slot(10 + n), recorded(HOME), recorded(AWAY)) for n in range(3)]
    actions = planned(seen(*newer, *older, keys={(AWAY, KEY): RIGHT}), volumes())
    assert not marks(actions, vault=AWAY)
    assert len([a for a in actions if isinstance(a, Keep) and a.vault == AWAY]) == 3


def test_a_copy_marked_before_its_key_was_disabled_is_not_deleted() -> None:
    since = AN_HOUR_AGO - timedelta(days=9)
    gone = shut(AWAY, CopyState.EXPIRING, marked_at=since, expiring_since=since)
    points = [point(slot(n), recorded(HOME), recorded(AWAY)) for n in range(4)]
    points.append(point(slot(30), recorded(HOME), gone))
    assert not expired(planned(seen(*points), volumes()), vault=AWAY)


def test_a_point_whose_home_copy_does_not_open_is_not_cut_again() -> None:
    actions = planned(seen(point(slot(0), shut(HOME))), volumes())
    assert not only(actions, Cut)


def test_status_says_what_would_count_were_its_key_not_disabled() -> None:
    points = [point(slot(0), recorded(HOME), shut(AWAY)), point(slot(5), recorded(HOME), recorded(AWAY))]
    places = Places(DOMAINS, frozenset())
    stands = status(policy("shop", [volumes()]), seen(*points).catalogue, places, NOW)
    region = stands.resources[0].levels[FailureLevel.REGION]
    assert region.rpo_attained == NOW - (points[1].cut_at or NOW)
    assert f"newer in {AWAY}, but its key arn:x is disabled" in region.why
    assert "key" not in stands.resources[0].levels[FailureLevel.ZONE].why


# --- a source that is gone -------------------------------------------------------------------------------------------

SOURCE_GONE = "snap-9: The source snapshot was deleted"


def orphan(*others: PointCopy, hours_ago: float = 2, away: PointCopy | None = None) -> RecoveryPoint:
    at = NOW - timedelta(hours=hours_ago)
    failed = away or recorded(AWAY, FAILED, why=SOURCE_GONE, failed_at=at)
    return point(slot(3), recorded(HOME, FAILED, gone=True), failed, *others)


def test_a_copy_whose_source_was_deleted_is_made_from_another_copy() -> None:
    actions = planned(seen(orphan(recorded(EAST))), volumes(to(AWAY), to(EAST)))
    (copied,) = [action for action in actions if isinstance(action, Copy)]
    assert (copied.vault, copied.source) == (AWAY, EAST)
    assert "source deleted before the copy was done" in copied.reason and f"from {EAST}" in copied.reason


def test_it_waits_as_long_as_after_any_failure() -> None:
    actions = planned(seen(orphan(recorded(EAST), hours_ago=0.5)), volumes(to(AWAY), to(EAST)))
    assert not only(actions, Copy)
    assert "source deleted before the copy was done" in held(actions, "copy-failed")[0].reason


def test_a_home_that_does_not_answer_is_no_home_without_copies() -> None:
    observed = seen(orphan(recorded(EAST)), unread={HOME: "lost"})
    assert not only(planned(observed, volumes(to(AWAY), to(EAST))), Copy)


def test_a_new_destination_takes_nothing_that_the_home_has_let_go() -> None:
    old = point(slot(3), recorded(HOME, FAILED, gone=True), recorded(EAST))
    assert not only(planned(seen(old), volumes(to(AWAY), to(EAST))), Copy)


def test_what_does_not_open_at_home_is_copied_from_where_it_does() -> None:
    one = point(slot(0), shut(HOME), recorded(EAST))
    (copied,) = only(planned(seen(one), volumes(to(AWAY), to(EAST))), Copy)
    assert isinstance(copied, Copy) and copied.source == EAST


def test_status_says_why_a_newer_copy_failed_where_that_is_known() -> None:
    older = point(slot(5), recorded(HOME), recorded(AWAY))
    for why, says in ((NO_KEY, "its copy failed: key not accessible"), ("status failed", "")):
        failed = point(slot(0), recorded(HOME), recorded(AWAY, FAILED, why=why, failed_at=NOW))
        stands = status(policy("shop", [volumes()]), seen(failed, older).catalogue, Places(DOMAINS, frozenset()), NOW)
        told = stands.resources[0].levels[FailureLevel.REGION].why
        assert (says in told) if says else ("newer" not in told)
