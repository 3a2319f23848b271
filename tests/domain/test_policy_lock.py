"""Level tampering: which locks keep its promise, how far back they reach, and which ones outlast retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from policy_words import KINDS, VAULTS, policy_of, read, words

from drorch.domain.feasibility import feasibility, held_by_locks, unjudged
from drorch.domain.model import LockMode
from drorch.domain.policy import LockRule
from drorch.domain.vocabulary import Vocabulary

DAY = timedelta(days=1)
TOP = "version: 1\napplication: shop\nowner: me\nhome: {account: prod, region: us-east-1}\n"


def lock(days: float, mode: LockMode = LockMode.COMPLIANCE) -> LockRule:
    return LockRule(for_=days * DAY, mode=mode)


def host(locks: dict[str, LockRule] | None, **changes: Any) -> Vocabulary:
    """A host whose vaults have these locks, its grace three days."""
    return words(locks=locks, **changes)


def dump(name: str = "orders", every: str = "6h", vaults: str = "[s3-west]", keep: str = "{within: 60d}") -> str:
    return (
        f"  - {{name: {name}, kind: postgres, connection: {{host: h}}, schedule: {{every: {every}}},"
        f" vaults: {vaults}, keep: {keep}}}\n"
    )


def volumes(rule: str = "", keep: str = "{within: 60d}", **more: str) -> str:
    """Volumes; `rule` stands in the entry of their copies."""
    given = {"kind": "kind: ebs, select: {tags: {app: shop}}", **more}
    return (
        f"  - {{name: data, {given['kind']}, schedule: {{every: 1h}},"
        f" copies: [{{region: us-west-2{rule}}}], keep: {keep}}}\n"
    )


def shop(tampering: str = "{rpo: 2d}", *resources: str, top: str = "") -> str:
    """A policy that promises level tampering; the promise stands at 5:25, `top` in line 6, if at all."""
    return f"{TOP}objectives: {{tampering: {tampering}}}\n{top}resources:\n" + "".join(resources or (dump(),))


def lines(text: str, locks: dict[str, LockRule] | None) -> list[str]:
    policy = policy_of(text, host(locks))
    return [str(line) for line in feasibility(policy, VAULTS, locks=locks)]


def shown(text: str, locks: dict[str, LockRule] | None, **changes: Any) -> list[str]:
    policy, findings = read(text, host(locks, **changes))
    assert (policy is None) == bool(findings)
    return [str(finding).removeprefix("shop.yaml:") for finding in findings]


# --- which vault survives it ---------------------------------------------------------------------------------------


def test_a_lock_in_compliance_mode_survives_tampering_wherever_it_lies() -> None:
    for vault in VAULTS:
        (line,) = lines(shop("{rpo: 2d}", dump(vaults=f"[{vault}]")), {vault: lock(30)})
        assert line == (
            f"orders at tampering: 6h + 1h30m = 7h30m <= 2d via {vault}; lock 30d >= interval + allowance 7h30m"
        )


@pytest.mark.parametrize(
    "locks", [{}, {"gcs-eu": lock(30)}, {"s3-west": lock(30, LockMode.GOVERNANCE)}], ids=["none", "other", "governance"]
)
def test_no_lock_a_lock_elsewhere_or_one_that_can_be_bypassed_keeps_no_promise(locks: dict[str, LockRule]) -> None:
    for objective in ("{rpo: 30d}", "{rto: 1h}"):
        (line,) = shown(shop(objective), locks)
        assert line == (
            "5:25: tampering is promised, but nothing of dataset orders survives tampering: no vault that it goes to"
            " has a lock in compliance mode (leave the level out, or exempt: {tampering: REASON})"
        )


@pytest.mark.parametrize("rule", ["", ", lock: {for: 14d, mode: governance}"])
def test_native_copies_survive_it_by_a_lock_of_their_own_alone(rule: str) -> None:
    for locks in ({"s3-west": lock(30)}, None):
        assert "nothing of dataset data survives tampering" in shown(shop("{rpo: 2d}", volumes(rule)), locks)[0]


def test_one_vault_of_one_resource_of_the_dataset_is_enough() -> None:
    other = dump("more", "1d").replace("name: more", "name: more, dataset: orders")
    text = shop("{rpo: 2d}", dump(vaults="[gcs-eu]"), other)
    assert lines(text, {"s3-west": lock(30)}) == [
        "orders at tampering: 1d + 6h = 1d6h <= 2d via s3-west; lock 30d >= interval + allowance 1d6h"
    ]


def test_a_lock_does_not_make_a_vault_survive_anything_else() -> None:
    text = shop("{rpo: 2d}", dump(vaults="[s3-home]")).replace("tampering", "region")
    assert "nothing of dataset orders survives the loss of its region" in shown(text, {"s3-home": lock(30)})[0]


# --- how long it must last -----------------------------------------------------------------------------------------


def test_a_lock_lasts_until_the_next_point_is_usable_at_the_least() -> None:
    """Else there are hours in which nothing is locked."""
    assert lines(shop(), {"s3-west": lock(7.5 / 24)})
    (line,) = shown(shop(), {"s3-west": lock(7 / 24)})
    assert line == (
        "5:25: dataset orders cannot keep its promise at tampering: 6h + 1h30m = 7h30m <= 2d via s3-west;"
        " lock 7h < interval + allowance 7h30m (lock: {for: 7h30m} at the least for vault s3-west)"
    )


def test_a_lock_lasts_as_long_as_reach_back() -> None:
    text = shop(top="reach_back: 30d\n")
    assert policy_of(text, host({"s3-west": lock(30)})).reach_back == 30 * DAY
    assert lines(text, {"s3-west": lock(30)}) == [
        "orders at tampering: 6h + 1h30m = 7h30m <= 2d via s3-west; lock 30d >= reach_back 30d"
    ]
    (line,) = shown(text, {"s3-west": lock(29)})
    assert line.endswith("lock 29d < reach_back 30d (lock: {for: 30d} at the least for vault s3-west)")


def test_a_short_reach_back_asks_for_no_less_than_the_next_point() -> None:
    (line,) = shown(shop(top="reach_back: 1h\n"), {"s3-west": lock(7 / 24)})
    assert "lock 7h < interval + allowance 7h30m" in line


def test_a_vault_that_reaches_far_enough_is_found_behind_a_quicker_one() -> None:
    text = shop("{rpo: 2d}", dump(vaults="[gcs-eu, {vault: s3-west, every: 1d}]"), top="reach_back: 30d\n")
    assert lines(text, {"gcs-eu": lock(7), "s3-west": lock(30)}) == [
        "orders at tampering: 1d + 6h = 1d6h <= 2d via s3-west; lock 30d >= reach_back 30d"
    ]


def test_a_recovery_time_alone_needs_a_lock_that_is_long_enough_too() -> None:
    assert lines(shop("{rto: 2h}"), {"s3-west": lock(1)}) == [
        "orders at tampering: lock 1d of s3-west >= interval + allowance 7h30m"
    ]
    (line,) = shown(shop("{rto: 2h}"), {"s3-west": lock(0.25)})
    assert "cannot keep its promise at tampering: lock 6h of s3-west < interval + allowance 7h30m" in line


def test_an_objective_that_is_missed_is_said_as_at_the_other_levels() -> None:
    (line,) = shown(shop("{rpo: 7h}"), {"s3-west": lock(30)})
    assert line.startswith(
        "5:25: dataset orders cannot keep rpo 7h at tampering: 6h + 1h30m = 7h30m > 7h via s3-west; lock 30d >= "
    )
    assert line.endswith("(interval + allowance: cut or copy more often, or promise 7h30m)")


def test_reach_back_without_a_promise_is_an_error() -> None:
    text = shop(top="reach_back: 30d\n").replace("tampering", "region")
    assert shown(text, {}) == [
        "6:1: reach_back is for level tampering, which nothing here promises"
        " (promise it, such as objectives: {tampering: {rpo: 2d}})"
    ]
    by_resource = text.replace("keep:", "objectives: {tampering: {rpo: 2d}}, keep:")
    assert shown(by_resource, {"s3-west": lock(30)}) == []
    by_default = {"defaults": {"objectives": {"tampering": {"rpo": "2d"}}}}
    assert shown(text, {"s3-west": lock(30)}, **by_default) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [("30", "6:13: '30' is not a duration: a bare number has no unit"), ("", "6:12: reach_back must not be empty")],
)
def test_what_is_no_reach_is_refused(value: str, message: str) -> None:
    assert shown(shop(top=f"reach_back: {value}\n"), {"s3-west": lock(30)})[0].startswith(message)


# --- a lock that outlasts retention --------------------------------------------------------------------------------


def test_a_lock_that_outlasts_what_is_kept_is_refused_with_the_sum() -> None:
    (line,) = shown(shop("{rpo: 2d}", dump(keep="{last: 3, daily: 14}")), {"s3-west": lock(30)})
    assert line == (
        "7:91: vault s3-west locks points for longer than they are kept: lock 30d > 12h + grace 3d = 3d12h"
        " (keep: {within: 27d} keeps every point so long)"
    )


@pytest.mark.parametrize(
    ("keep", "days"), [("{last: 3}", 3.5), ("{within: 27d}", 30), ("{last: 109, daily: 7}", 30), ("{daily: 60}", 3.25)]
)
def test_exactly_what_is_kept_and_grace_may_be_locked_and_a_minute_more_not(keep: str, days: float) -> None:
    text = shop("{rpo: 2d}", dump(keep=keep))
    assert shown(text, {"s3-west": lock(days)}) == []
    (line,) = shown(text, {"s3-west": lock(days + 1 / 1440)})
    assert "locks points for longer than they are kept" in line


def test_the_hint_is_followed_with_success() -> None:
    assert shown(shop("{rpo: 2d}", dump(keep="{last: 3, within: 27d}")), {"s3-west": lock(30)}) == []


def test_every_vault_has_its_own_rules_cadence_and_sum_and_all_are_shown() -> None:
    vaults = "[{vault: s3-west, every: 1d, keep: {daily: 28}}, {vault: gcs-eu, keep: {last: 5}}, s3-home]"
    text = shop("{rpo: 2d}", dump(vaults=vaults, keep="{last: 9}"))
    locks = {"s3-west": lock(30), "gcs-eu": lock(5, LockMode.GOVERNANCE), "s3-home": lock(6)}
    assert [line.partition(": ")[2].partition(" (")[0] for line in shown(text, locks)] == [
        "vault gcs-eu locks points for longer than they are kept: lock 5d > 1d + grace 3d = 4d",
        "vault s3-home locks points for longer than they are kept: lock 6d > 2d + grace 3d = 5d",
    ]


def test_the_grace_of_the_host_counts() -> None:
    text = shop("{rpo: 2d}", dump(keep="{within: 20d}"))
    assert shown(text, {"s3-west": lock(30)}, grace=10 * DAY) == []
    assert len(shown(text, {"s3-west": lock(30)}, grace=9 * DAY)) == 1


def test_who_promises_nothing_against_tampering_may_keep_less_than_a_vault_locks() -> None:
    text = shop("{rpo: 2d}", dump(keep="{last: 3}"))
    locks = {"s3-west": lock(30)}
    assert shown(text.replace("tampering", "region"), locks) == []
    exempt = text.replace("keep:", "exempt: {tampering: rebuilt from the feed}, keep:")
    assert shown(exempt, locks) == []
    assert len(shown(text, locks)) == 1


# --- copies of snapshots -------------------------------------------------------------------------------------------

LOCKED = ", lock: {for: 35d, irrevocable: true}"


def test_a_lock_of_copies_in_compliance_mode_keeps_the_promise_without_any_host_configuration() -> None:
    for locks in ({}, None):
        assert lines(shop("{rpo: 2d}", volumes(LOCKED)), locks) == [
            "data at tampering: 1h + 15m = 1h15m <= 2d via prod.us-west-2; lock 35d >= interval + allowance 1h15m"
        ]


def test_the_lock_stands_at_its_entry_and_never_at_home() -> None:
    for rule, mode in ((LOCKED, LockMode.COMPLIANCE), (", lock: {for: 35d, mode: governance}", LockMode.GOVERNANCE)):
        (resource,) = policy_of(shop("{rpo: 2d}", volumes(rule)).replace("tampering", "region")).resources
        assert [target.lock for target in resource.targets] == [None, lock(35, mode)]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{for: 35d}", "nobody can end a lock in compliance mode early, and its copies cost until it ends"),
        ("{for: 35d, irrevocable: false}", "(irrevocable: true, or mode: governance, which an administrator can"),
        ("{for: 35d, mode: governance, irrevocable: true}", "irrevocable belongs to mode compliance"),
        ("{for: 23h, irrevocable: true}", "AWS locks no snapshot for 23h (1d to 36500d)"),
        ("{for: 36501d, mode: governance}", "AWS locks no snapshot for 36501d (1d to 36500d)"),
        ("35d", "must be a mapping, not text (such as {for: 35d})"),
        ("", "lock must not be empty"),
        ("{for: 35d, irrevocable: 1}", "must be true or false"),
        ("{for: 35d, irrevocable: true, mode: legal}", "mode"),
        ("{irrevocable: true}", "for is missing"),
    ],
)
def test_a_lock_of_copies_is_refused_where_it_cannot_be_or_is_not_meant(rule: str, message: str) -> None:
    found = shown(shop("{rpo: 2d}", volumes(f", lock: {rule}")).replace("tampering", "region"), {})
    assert [line for line in found if message in line], found


def test_aws_s_own_limits_may_be_asked_for() -> None:
    for rule in ("{for: 1d, irrevocable: true}", "{for: 36500d, mode: governance}"):
        text = shop("{rpo: 2d}", volumes(f", lock: {rule}")).replace("tampering", "region")
        assert shown(text, {}) == []


def test_kinds_without_locks_refuse_one() -> None:
    text = shop("{rpo: 2d}", volumes(LOCKED, kind="kind: rds-instance, identifier: l")).replace("tampering", "region")
    (line,) = shown(text, {})
    assert "copies of kind rds-instance have no locks (AWS locks snapshots of kind ebs; dumps are locked by a" in line
    later = {**KINDS, "rds-instance": replace(KINDS["rds-instance"], locks_later="images can be deregistered")}
    (line,) = shown(text, {}, kinds=later)
    assert line.endswith("lock on copies of kind rds-instance is not in this version (images can be deregistered)")


def test_a_lock_in_the_vaults_of_a_policy_is_told_where_it_belongs() -> None:
    (line,) = shown(shop("{rpo: 2d}", dump(vaults="[{vault: s3-west, lock: {for: 3d}}]")), {"s3-west": lock(30)})
    assert line.endswith(
        "a vault's lock does not stand in a policy (vaults: {NAME: {lock: {for: 35d}}} in drorch.yaml)"
    )


def test_copies_that_are_locked_for_longer_than_they_are_kept_are_refused_where_tampering_is_promised() -> None:
    (line,) = shown(shop("{rpo: 2d}", volumes(LOCKED, "{last: 3}")), {})
    assert line == (
        "7:90: vault prod.us-west-2 locks points for longer than they are kept: lock 35d > 2h + grace 3d = 3d2h"
        " (keep: {within: 32d} keeps every point so long)"
    )
    text = shop("{rpo: 2d}", volumes(LOCKED, "{last: 3}")).replace("tampering", "region")
    (resource,) = policy_of(text).resources
    assert [found.sum for found in held_by_locks(resource, 3 * DAY)] == ["lock 35d > 2h + grace 3d = 3d2h"]
    (kept,) = policy_of(text.replace("{last: 3}", "{within: 32d}")).resources
    assert list(held_by_locks(kept, 3 * DAY)) == []


# --- what is not known ---------------------------------------------------------------------------------------------


def test_without_a_host_configuration_locks_are_not_checked_and_that_can_be_told() -> None:
    for vocabulary in (host(None), host(None, vaults=None)):
        policy = policy_of(shop("{rpo: 2d}", dump(keep="{last: 3}"), top="reach_back: 30d\n"), vocabulary)
        assert feasibility(policy, vocabulary.vaults, locks=None) == ()
        assert unjudged(policy, None)
        assert not unjudged(policy, {})
    assert not unjudged(policy_of(shop().replace("tampering", "region")), None)


def test_the_other_levels_are_judged_without_locks() -> None:
    text = shop("{rpo: 2d}, region: {rpo: 1h}")
    assert "cannot keep rpo 1h at region" in shown(text, None)[0]


@pytest.mark.parametrize("level", ["region", "tampering"])
def test_spans_beyond_the_calendar_are_errors_of_their_file_and_break_no_sum(level: str) -> None:
    for text in (
        shop("{rpo: 2d}", dump(every="999999999d")),
        shop("{rpo: 2d}", dump(vaults="[{vault: s3-west, every: 999999999d}]")),
        shop("{rpo: 2d}", dump(keep="{within: 999999999d}")),
        shop("{rpo: 999999999d}"),
    ):
        (line,) = shown(text.replace("tampering", level), {"s3-west": lock(30)})
        assert "'999999999d' is longer than a hundred years" in line
