"""Intermediate copies in the plan: made only where AWS's default key meets another account, never a copy of a point,
and let go only where everything proves what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from passes import AWAY, DOMAINS, HOME, policy
from planning import FAILED, NOW, PENDING, data, only, planned, point, recorded, seen, slot

from drorch.domain.action import Action, Copy, Hold, Settling, Sweep
from drorch.domain.catalogue_intermediate import Intermediate, set_apart
from drorch.domain.catalogue_native import NativeView
from drorch.domain.copy_urgency import with_due
from drorch.domain.intent_keys import through_intent
from drorch.domain.kms import KmsSeen
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import FailureDomain, RecoveryPoint, Vault
from drorch.domain.native import NativeSnapshot
from drorch.domain.objective import Places, status
from drorch.domain.policy import Keep as KeepRules
from drorch.domain.policy import ResourcePolicy, VaultRule

FAR = "vault.us-west-2"
KEY = "alias/drorch"
DEFAULT, OWN = "arn:aws:kms:us-east-1:1:key/default", "arn:aws:kms:us-east-1:1:key/own"
KEYS = {(HOME, DEFAULT): KmsSeen(NOW, default=True), (HOME, KEY): KmsSeen(NOW), (FAR, KEY): KmsSeen(NOW)}


def volumes(vault: str = FAR, key: str = KEY, last: int = 3) -> ResourcePolicy:
    home = VaultRule(vault=HOME, keep=KeepRules(last=3), home=True)
    return data(targets=(home, VaultRule(vault=vault, keep=KeepRules(last=last), kms_key=key)))


def at_home(**more: Any) -> PointCopy:
    given = {"kms_key": DEFAULT, "kms_keys": frozenset({DEFAULT}), "listed": frozenset({f"snap-{HOME}"})}
    return replace(recorded(HOME), **(given | more))


def step(of: RecoveryPoint, state: str = "usable", **changes: Any) -> Intermediate:
    made = Intermediate(HOME, FAR, "data", of.id, "snap-step", f"snap-{HOME}", state, NOW - timedelta(hours=3), OWN)
    return replace(made, **changes)


def after(of: RecoveryPoint, *steps: Intermediate, **more: Any) -> list[Action]:
    return planned(seen(of, more={"intermediates": steps}, keys=KEYS, **more), volumes())


def the_copy(actions: Iterable[Action]) -> Copy:
    (found,) = only(actions, Copy)
    assert isinstance(found, Copy)
    return found


def test_what_aws_default_key_encrypts_is_made_anew_at_home_before_it_crosses_accounts() -> None:
    made = the_copy(after(point(slot(0), at_home())))
    assert (made.vault, made.source, made.kms_key, made.intermediate) == (HOME, HOME, KEY, FAR)
    assert "AWS's default key crosses no account" in made.reason and FAR in made.reason


def test_it_is_as_urgent_as_the_copy_that_it_is_a_step_to() -> None:
    one, of = point(slot(0), at_home()), policy("shop", [volumes()])
    domains = {HOME: DOMAINS[HOME], FAR: FailureDomain("aws", "us-west-2", "vault")}
    standing = status(of, seen(one).catalogue, Places(domains, frozenset()), NOW)
    dated = {}
    for steps in ((), (step(one),)):
        actions = after(one, *steps)
        made = with_due(tuple(actions), of, seen(one).catalogue, standing, domains, NOW)
        dated[the_copy(made).vault] = the_copy(made).due
    assert dated[HOME] == dated[FAR] is not None


def test_then_the_copy_is_made_from_it() -> None:
    one = point(slot(0), at_home())
    made = the_copy(after(one, step(one)))
    assert (made.vault, made.source, made.through, made.intermediate) == (FAR, HOME, ("snap-step",), "")


def test_meanwhile_it_waits() -> None:
    one = point(slot(0), at_home())
    actions = after(one, step(one, "pending"))
    assert not only(actions, Copy, Sweep)
    assert any("is being made" in action.reason for action in only(actions, Hold))


def test_one_that_may_show_yet_is_not_begun_again() -> None:
    one = point(slot(0), at_home())
    actions = after(one, intents={through_intent(one.id, HOME, FAR): NOW - timedelta(minutes=1)})
    assert not only(actions, Copy) and only(actions, Settling)


def test_one_that_failed_is_tried_again_after_an_hour() -> None:
    one = point(slot(0), at_home())
    lately = step(one, "failed", started=NOW - timedelta(minutes=30), why="Given key ID is not accessible")
    actions = after(one, lately)
    assert not only(actions, Copy)
    assert any("key not accessible" in action.reason for action in only(actions, Hold))
    assert the_copy(after(one, step(one, "failed"))).intermediate == FAR


def test_within_the_account_a_copy_goes_straight_under_its_own_key() -> None:
    keys = {**KEYS, (AWAY, KEY): KmsSeen(NOW)}
    made = the_copy(planned(seen(point(slot(0), at_home()), keys=keys), volumes(AWAY)))
    assert (made.vault, made.intermediate, made.through) == (AWAY, "", ())


def test_a_key_of_the_owner_needs_no_step() -> None:
    made = the_copy(after(point(slot(0), at_home(kms_key=OWN, kms_keys=frozenset({OWN})))))
    assert (made.vault, made.intermediate) == (FAR, "")


@pytest.mark.parametrize(
    ("key", "keys", "says"),
    [
        (OWN, {}, "by an alias"),
        (KEY, {(HOME, KEY): KmsSeen(NOW, wrong="alias/drorch: there is no such key")}, "there is no such key"),
        (KEY, {(HOME, KEY): KmsSeen(NOW, default=True)}, "default key of AWS there"),
    ],
)
def test_without_a_key_at_home_it_is_held_by_name(key: str, keys: dict[tuple[str, str], KmsSeen], says: str) -> None:
    actions = planned(seen(point(slot(0), at_home()), keys=KEYS | keys), volumes(key=key))
    assert not only(actions, Copy)
    assert any(says in action.reason for action in only(actions, Hold))


def test_an_image_is_held() -> None:
    actions = planned(seen(point(slot(0), at_home()), keys=KEYS), volumes().model_copy(update={"kind": "ami"}))
    assert not only(actions, Copy)
    assert any("not in this version" in action.reason for action in only(actions, Hold))


# --- letting go ------------------------------------------------------------------------------------------------------


def far(**more: Any) -> PointCopy:
    return replace(recorded(FAR), **more)


def sweeps(actions: Iterable[Action]) -> list[str]:
    return [path for action in actions if isinstance(action, Sweep) for path in action.paths]


def oddities(actions: Iterable[Action]) -> list[Hold]:
    return [action for action in actions if isinstance(action, Hold) and action.alarm == "oddity"]


def test_a_step_goes_when_the_far_copy_is_usable_and_recorded() -> None:
    one = point(slot(0), at_home(), far())
    (gone,) = only(after(one, step(one)), Sweep)
    assert isinstance(gone, Sweep) and (gone.vault, gone.what, gone.paths) == (HOME, "intermediate", ("snap-step",))


@pytest.mark.parametrize(
    "there",
    [
        None,
        far(recorded_in=frozenset()),
        recorded(FAR, PENDING),
        recorded(FAR, FAILED, failed_at=NOW),
        far(shut="its key is disabled"),
    ],
)
def test_a_step_stays_while_it_may_be_needed(there: PointCopy | None) -> None:
    one = point(slot(0), at_home(), *([there] if there else []))
    assert not sweeps(after(one, step(one)))


def test_a_step_stays_while_the_far_vault_or_its_own_was_not_read() -> None:
    one = point(slot(0), at_home(), far())
    for vault in (FAR, HOME):
        assert not sweeps(after(one, step(one), unread={vault: "lost"}))


def test_a_step_to_what_is_not_wanted_any_more_goes() -> None:
    old = point(slot(9), at_home())
    newer = [point(slot(n), at_home(), far()) for n in range(2)]
    observed = seen(old, *newer, more={"intermediates": (step(old),)}, keys=KEYS)
    narrow = volumes(last=1).model_copy(update={"floor": 1})
    assert sweeps(planned(observed, narrow)) == ["snap-step"]
    away = planned(seen(old, more={"intermediates": (step(old),)}, keys=KEYS), volumes(AWAY))
    assert sweeps(away) == ["snap-step"], "no policy names the vault any more"


@pytest.mark.parametrize("changes", [{"stale": True}, {"skewed": "clocks differ"}, {"object_vaults": ()}])
def test_a_step_stays_while_nothing_may_be_let_go(changes: dict[str, Any]) -> None:
    one = point(slot(0), at_home(), far())
    assert not sweeps(after(one, step(one), **changes))


@pytest.mark.parametrize(
    ("home", "changes"),
    [
        ({}, {"made_from": "snap-of-somebody"}),
        ({}, {"kms_key": ""}),
        ({}, {"kms_key": DEFAULT}),
        ({"recorded_in": frozenset()}, {}),
        ({"listed": frozenset({f"snap-{HOME}", "snap-step"})}, {}),
    ],
)
def test_what_is_not_proved_to_be_a_step_is_held_and_told(home: dict[str, Any], changes: dict[str, Any]) -> None:
    one = point(slot(0), at_home(**home), far())
    actions = after(one, step(one, **changes))
    assert not sweeps(actions) and len(oddities(actions)) == 1


def test_a_step_of_a_point_that_nobody_knows_is_held() -> None:
    actions = after(point(slot(0), at_home(), far()), step(point(slot(5))))
    assert not sweeps(actions) and len(oddities(actions)) == 1


# --- what it is in a listing -----------------------------------------------------------------------------------------

TAGS = {
    "drorch:application": "shop",
    "drorch:resource": "data",
    "drorch:slot": slot(0),
    "drorch:point": "p1",
    "drorch:source": "snap-1",
    "drorch:intermediate": FAR,
}


def apart(tags: dict[str, str], *, listed: frozenset[str] = frozenset(), valid: bool = True) -> list[str]:
    shot = NativeSnapshot("snap-2", "prod", "us-east-1", "ec2", "usable", tags, "", NOW, kms_key=OWN)
    view = NativeView(Vault(HOME, FailureDomain("aws", "us-east-1", "prod"), native=True), "ebs", True, (shot,))
    views, steps = set_apart("shop", [view], lambda: listed, frozenset(), lambda *_: valid)
    assert len(views[0].snapshots) + len(steps) == 1
    return [one.native_id for one in steps]


def test_a_step_is_told_by_its_tags() -> None:
    assert apart(TAGS) == ["snap-2"]


@pytest.mark.parametrize("missing", ["drorch:source", "drorch:intermediate"])
def test_without_its_tags_it_is_none(missing: str) -> None:
    assert apart({key: value for key, value in TAGS.items() if key != missing}) == []


def test_what_a_record_lists_is_no_step_whatever_tags_it_bears() -> None:
    assert apart(TAGS, listed=frozenset({"snap-2"})) == []


def test_what_bears_no_valid_id_is_no_step() -> None:
    assert apart(TAGS, valid=False) == []
