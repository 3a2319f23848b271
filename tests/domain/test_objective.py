"""Attained RPO and RTO: the table of failure levels, and never better than a brute-force look at every copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import resource

from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.model import Copy, CopyState, FailureDomain, FailureLevel, LockMode, RecoveryPoint, survives
from drorch.domain.objective import Places, Standing, status
from drorch.domain.policy import Home, Objective, Policy, ResourcePolicy, VaultRule
from drorch.domain.policy import Keep as KeepRules

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOME = FailureDomain("aws", "us-east-1", "prod")
DOMAINS = {
    "prod.us-east-1": HOME,
    "prod.us-west-2": FailureDomain("aws", "us-west-2", "prod"),
    "s3-home": FailureDomain("aws", "us-east-1", "vault"),
    "s3-west": FailureDomain("aws", "us-west-2", "vault"),
    "gcs-eu": FailureDomain("gcp", "europe-west1"),
}
ZONE, REGION, ACCOUNT, PROVIDER, TAMPERING = FailureLevel
LEFT = {
    ZONE: set(DOMAINS),
    REGION: {"prod.us-west-2", "s3-west", "gcs-eu"},
    ACCOUNT: {"s3-home", "s3-west", "gcs-eu"},
    PROVIDER: {"gcs-eu"},
    TAMPERING: set(),
}


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def point(name: str, age: timedelta, *copies: Copy, of: str = "orders") -> RecoveryPoint:
    return RecoveryPoint(name, "shop", of, "postgres", "2026-11-20T09:00Z", NOW - age, copies)


def usable(vault: str, verified: bool = False) -> Copy:
    return Copy(vault, CopyState.USABLE, verified_at=NOW if verified else None)


def rules(*vaults: str) -> tuple[VaultRule, ...]:
    return tuple(VaultRule(vault=vault, keep=KeepRules(last=3)) for vault in vaults)


def orders(name: str = "orders", **changes: object) -> ResourcePolicy:
    values: dict[str, object] = {"targets": rules(*DOMAINS), "exempt": {}, "objectives": {}}
    return resource(name, "postgres", **(values | changes))


def policy(*resources: ResourcePolicy) -> Policy:
    return Policy(
        application="shop", owner="o", home=Home(account="prod", region="us-east-1"), resources=resources or (orders(),)
    )


def level(
    where: FailureLevel,
    *points: RecoveryPoint,
    resources: tuple[ResourcePolicy, ...] = (),
    drills: tuple[Drilled, ...] = (),
    never_read: frozenset[str] = frozenset(),
) -> Standing:
    catalogue = Catalogue("shop", points, drills)
    return status(policy(*resources), catalogue, Places(DOMAINS, never_read), NOW).levels[where]


@pytest.mark.parametrize("where", FailureLevel)
@pytest.mark.parametrize("vault", DOMAINS)
def test_which_copy_survives_which_level(where: FailureLevel, vault: str) -> None:
    assert survives(where, HOME, DOMAINS[vault]) is (vault in LEFT[where])
    attained = level(where, point("p", hours(2), usable(vault))).rpo_attained
    assert attained == (hours(2) if vault in LEFT[where] else None)


def test_a_copy_bound_to_the_home_zone_goes_with_it_and_a_lock_survives_an_attacker() -> None:
    home = FailureDomain("aws", "us-east-1", "prod", "us-east-1a")
    assert not survives(ZONE, home, home)
    assert survives(ZONE, home, FailureDomain("aws", "us-east-1", "prod", "us-east-1b"))
    assert survives(ZONE, home, FailureDomain("aws", "us-west-2", "prod", "us-east-1a"))
    assert survives(TAMPERING, home, home, locked=True)


@pytest.mark.parametrize("state", CopyState)
def test_only_usable_copies_count_expiring_ones_too(state: CopyState) -> None:
    found = level(PROVIDER, point("p", hours(1), Copy("gcs-eu", state)))
    assert (found.rpo_attained is not None) is (state in (CopyState.USABLE, CopyState.EXPIRING))


def test_nothing_at_all_is_none_not_zero_and_a_promise_missed() -> None:
    promised = orders(objectives={REGION: Objective(rpo=hours(4), rto=hours(1))})
    found = level(REGION, resources=(promised,))
    assert (found.rpo_attained, found.rpo_verified, found.rto_attained) == (None, None, None)
    assert (found.rpo_met, found.rto_met) == (False, None)
    assert level(REGION).rpo_met is None


def test_a_vault_that_was_never_read_makes_it_not_known_rather_than_missed() -> None:
    promised = orders(targets=rules("gcs-eu"), objectives={REGION: Objective(rpo=hours(4))})
    found = level(REGION, resources=(promised,), never_read=frozenset({"gcs-eu"}))
    assert found.rpo_met is None and not found.known
    elsewhere = level(REGION, resources=(promised,), never_read=frozenset({"s3-west"}))
    assert elsewhere.rpo_met is False


def test_a_data_time_of_the_future_never_counts() -> None:
    found = level(PROVIDER, point("odd", -hours(1), usable("gcs-eu")), point("p", hours(3), usable("gcs-eu")))
    assert found.rpo_attained == hours(3)
    small = level(PROVIDER, point("p", -timedelta(minutes=1), usable("gcs-eu")))
    assert small.rpo_attained == timedelta()


def test_verified_counts_only_what_a_drill_has_proved() -> None:
    found = level(PROVIDER, point("new", hours(1), usable("gcs-eu")), point("old", hours(9), usable("gcs-eu", True)))
    assert (found.rpo_attained, found.rpo_verified) == (hours(1), hours(9))


def test_a_dataset_is_as_good_as_its_best_resource_an_application_as_bad_as_its_worst_dataset() -> None:
    both = (orders("a", dataset="x"), orders("b", dataset="x"), orders("c"))
    points = [
        point("1", hours(1), usable("gcs-eu"), of="a"),
        point("2", hours(5), usable("gcs-eu", True), of="b"),
        point("3", hours(3), usable("gcs-eu"), of="c"),
    ]
    found = status(policy(*both), Catalogue("shop", tuple(points)), Places(DOMAINS), NOW)
    assert [(d.dataset, d.levels[PROVIDER].rpo_attained) for d in found.datasets] == [("x", hours(1)), ("c", hours(3))]
    assert found.datasets[0].levels[PROVIDER].rpo_verified == hours(5)
    assert found.levels[PROVIDER].rpo_attained == hours(3)
    assert found.levels[PROVIDER].rpo_verified is None, "c was never drilled"


def test_an_exempt_dataset_is_out_of_the_promise_and_says_why() -> None:
    promised = orders("a", objectives={PROVIDER: Objective(rpo=hours(4))})
    exempt = orders("b", objectives={PROVIDER: Objective(rpo=hours(4))}, exempt={PROVIDER: "runbook 12"})
    found = status(
        policy(promised, exempt),
        Catalogue("shop", (point("p", hours(1), usable("gcs-eu"), of="a"),)),
        Places(DOMAINS),
        NOW,
    )
    assert found.levels[PROVIDER].rpo_met is True
    assert found.datasets[1].levels[PROVIDER].exempt == "runbook 12"
    assert found.datasets[1].levels[PROVIDER].rpo_met is None
    alone = status(policy(exempt), Catalogue("shop"), Places(DOMAINS), NOW).levels[PROVIDER]
    assert alone.exempt and alone.rpo_met is None


@pytest.mark.parametrize(
    ("ages", "objectives", "met"),
    [
        ((1, 10), (2, 24), True),  # the larger age has the larger objective
        ((3, 10), (2, 24), False),
        ((1, None), (2, None), True),  # a dataset that promises nothing cannot miss it
        ((1, None), (2, 24), False),
        ((3, None), (2, None), False),
        ((None, None), (None, None), None),
    ],
)
def test_an_application_meets_its_promise_when_every_dataset_meets_its_own(
    ages: tuple[float | None, ...], objectives: tuple[float | None, ...], met: bool | None
) -> None:
    resources = tuple(
        orders(name, objectives={PROVIDER: Objective(rpo=hours(objective), rto=hours(objective))} if objective else {})
        for name, objective in zip("ab", objectives, strict=True)
    )
    points = [
        point(name, hours(age), usable("gcs-eu"), of=name)
        for name, age in zip("ab", ages, strict=True)
        if age is not None
    ]
    assert level(PROVIDER, *points, resources=resources).rpo_met is met
    drills = tuple(
        Drilled(name, "gcs-eu", name, NOW, NOW, True, {"total": round(age * 3600)})
        for name, age in zip("ab", ages, strict=True)
        if age is not None
    )
    rto = level(PROVIDER, *points, resources=resources, drills=drills).rto_met
    unmeasured = any(o and a is None for a, o in zip(ages, objectives, strict=True))
    assert rto is (None if unmeasured else met)


def test_one_dataset_that_misses_outweighs_one_that_is_not_known() -> None:
    late = orders("a", targets=rules("s3-west"), objectives={REGION: Objective(rpo=hours(1))})
    unknown = orders("b", targets=rules("gcs-eu"), objectives={REGION: Objective(rpo=hours(1))})
    found = level(
        REGION,
        point("p", hours(2), usable("s3-west"), of="a"),
        resources=(late, unknown),
        never_read=frozenset({"gcs-eu"}),
    )
    assert found.rpo_met is False and not found.known


def test_a_vault_whose_last_drill_failed_measures_nothing() -> None:
    """What failed since is not known to restore, in whatever time."""
    drills = (
        Drilled("orders", "gcs-eu", "p", NOW - hours(1), NOW, True, {"total": 600}),
        Drilled("orders", "gcs-eu", "p", NOW, NOW, False, {"total": 1}),
    )
    kept = point("p", hours(1), usable("gcs-eu"))
    assert level(REGION, kept, drills=drills[:1]).rto_attained == timedelta(seconds=600)
    found = level(REGION, kept, drills=drills)
    assert (found.rto_attained, found.rto_basis) == (None, "orders: the last drill from gcs-eu did not pass")


def test_rto_is_the_last_drill_of_the_quickest_vault_that_survives() -> None:
    drills = (
        Drilled("orders", "gcs-eu", "p", NOW - hours(1), NOW, True, {"total": 600}),
        Drilled("orders", "gcs-eu", "p", NOW - hours(9), NOW, True, {"total": 60}),
        Drilled("orders", "gcs-eu", "p", NOW - hours(8), NOW, False, {"total": 1}),
        Drilled("orders", "s3-home", "p", NOW, NOW, True, {"total": 30}),
        Drilled("orders", "s3-west", "p", NOW, NOW, True, {}),
        Drilled("other", "gcs-eu", "p", NOW, NOW, True, {"total": 2}),
    )
    kept = point("p", hours(1), *(usable(vault) for vault in ("gcs-eu", "s3-home", "s3-west")))
    assert level(REGION, kept, drills=drills).rto_attained == timedelta(seconds=600)
    assert level(ZONE, kept, drills=drills).rto_attained == timedelta(seconds=30)
    assert level(TAMPERING, kept, drills=drills).rto_attained is None
    assert level(ZONE, drills=drills).rto_attained is None, "there is nothing to restore"


_copies = st.lists(
    st.builds(
        lambda vault, state, verified, lock, flaw: Copy(
            vault,
            state,
            verified_at=NOW if verified else None,
            lock_mode=lock[0],
            locked_until=NOW + timedelta(hours=lock[1]) if lock[0] else None,
            damaged=flaw == "damaged",
            gone=flaw == "gone",
        ),
        st.sampled_from([*DOMAINS, "elsewhere"]),
        st.sampled_from(CopyState),
        st.booleans(),
        st.tuples(st.sampled_from([None, *LockMode]), st.integers(-3, 3)),
        st.sampled_from(["", "", "", "damaged", "gone"]),
    ),
    max_size=4,
    unique_by=lambda copy: copy.vault,
)
_many = st.lists(
    st.builds(
        lambda number, minutes, of, copies: point(str(number), timedelta(minutes=minutes), *copies, of=of),
        st.integers(),
        st.integers(-90, 3000),
        st.sampled_from(["orders", "other"]),
        _copies,
    ),
    max_size=12,
)


def _holds(copy: Copy) -> bool:
    return copy.lock_mode == "compliance" and copy.locked_until is not None and copy.locked_until > NOW


@given(_many, st.sampled_from(FailureLevel))
def test_never_better_than_the_truth(points: list[RecoveryPoint], where: FailureLevel) -> None:
    truth = [
        max(timedelta(), NOW - p.cut_at)
        for p in points
        for copy in p.copies
        if p.cut_at is not None
        and p.resource == "orders"
        and p.cut_at <= NOW + timedelta(minutes=5)
        and copy.state in ("usable", "expiring")
        and not copy.damaged
        and not copy.gone
        and (copy.vault in LEFT[where] or (where is TAMPERING and copy.vault in DOMAINS and _holds(copy)))
    ]
    found = level(where, *points)
    assert found.rpo_attained == min(truth, default=None)
    assert found.rpo_verified is None or (found.rpo_attained is not None and found.rpo_verified >= found.rpo_attained)


def test_an_empty_selection_attains_nothing_and_says_what_is_left_of_before() -> None:
    """RPO +Inf: what is not selected is not protected, whatever points there are of what once was."""
    promised = orders(objectives={REGION: Objective(rpo=hours(4))})
    catalogue = Catalogue("shop", (point("p", hours(1), usable("gcs-eu", verified=True)),), ())
    places = Places(DOMAINS)
    found = status(policy(promised), catalogue, places, NOW, empty=frozenset({"orders"})).levels[REGION]
    assert (found.rpo_attained, found.rpo_verified, found.rpo_met) == (None, None, False)
    assert "selection is empty" in found.why
    assert "gcs-eu" in found.why
    assert status(policy(promised), catalogue, places, NOW, empty=frozenset({"other"})).levels[REGION].rpo_met


# --- tampering -----------------------------------------------------------------------------------------------------


_TWO_DAYS = timedelta(days=2)


def locked(vault: str, left: timedelta = _TWO_DAYS, mode: LockMode | None = LockMode.COMPLIANCE, **more: Any) -> Copy:
    return Copy(vault, CopyState.USABLE, locked_until=NOW + left, lock_mode=mode, **more)


def tampering(
    *points: RecoveryPoint,
    locking: tuple[str, ...] = ("gcs-eu",),
    never_read: tuple[str, ...] = (),
    drills: tuple[Drilled, ...] = (),
) -> Standing:
    promised = orders(objectives={TAMPERING: Objective(rpo=hours(24), rto=hours(1))})
    places = Places(DOMAINS, frozenset(never_read), frozenset(locking))
    return status(policy(promised), Catalogue("shop", points, drills), places, NOW).levels[TAMPERING]


def test_what_survives_tampering_is_the_newest_copy_whose_lock_holds() -> None:
    found = tampering(
        point("new", hours(1), usable("gcs-eu"), usable("s3-west")),
        point("locked", hours(5), locked("gcs-eu", verified_at=NOW), locked("prod.us-east-1", hours(7))),
        point("old", hours(9), locked("gcs-eu")),
    )
    assert (found.rpo_attained, found.rpo_verified, found.rpo_met) == (hours(5), hours(5), True)
    assert found.why == ("orders: newest locked copy in gcs-eu, prod.us-east-1, locked until 2026-11-22T12:00:00Z")


@pytest.mark.parametrize(
    ("copy", "why"),
    [
        (locked("gcs-eu", timedelta()), "the locks in gcs-eu have run out"),
        (locked("gcs-eu", -hours(1)), "the locks in gcs-eu have run out"),
        (
            locked("gcs-eu", mode=LockMode.GOVERNANCE),
            "locks in gcs-eu are of governance mode: an administrator can bypass them",
        ),
        (usable("gcs-eu"), "no lock of a copy in gcs-eu was read back yet"),
        (
            Copy("gcs-eu", CopyState.USABLE, lock_mode=LockMode.GOVERNANCE),
            "the copies in gcs-eu have no lock",
        ),
        (usable("s3-west"), "no usable copy yet in gcs-eu"),
        (Copy("gcs-eu", CopyState.FAILED, locked_until=NOW + hours(9), lock_mode=LockMode.COMPLIANCE), "no usable"),
    ],
    ids=["ends now", "over", "governance", "not read back", "none", "elsewhere", "failed"],
)
def test_a_lock_that_does_not_hold_survives_nothing_and_says_why(copy: Copy, why: str) -> None:
    found = tampering(point("p", hours(1), copy))
    assert (found.rpo_attained, found.rpo_met, found.known) == (None, False, True)
    assert why in found.why


def test_a_mode_that_nobody_knows_is_no_lock() -> None:
    assert tampering(point("p", hours(1), locked("gcs-eu", mode=None))).rpo_attained is None


def test_without_any_lock_it_is_known_that_nothing_survives_and_an_unread_one_is_not_known() -> None:
    found = tampering(point("p", hours(1), usable("gcs-eu")), locking=(), never_read=("gcs-eu",))
    assert (found.known, found.rpo_met) == (True, False)
    assert "no vault that it uses has a lock" in found.why
    unread = tampering(never_read=("gcs-eu",))
    assert (unread.known, unread.rpo_met) == (False, None)
    assert "gcs-eu could not be read yet" in unread.why


def test_the_restore_time_after_tampering_is_that_of_a_vault_with_a_locked_copy() -> None:
    drills = tuple(
        Drilled("orders", vault, "p", NOW, NOW, True, {"total": seconds})
        for vault, seconds in (("gcs-eu", 600), ("s3-west", 30))
    )
    found = tampering(point("p", hours(1), locked("gcs-eu"), usable("s3-west")), drills=drills)
    assert (found.rto_attained, found.rto_met) == (timedelta(seconds=600), True)


@pytest.mark.parametrize("flaw", [{"damaged": True}, {"gone": True}, {"state": CopyState.UNSIGNED}])
def test_a_damaged_gone_or_unsigned_copy_counts_nowhere_and_an_expiring_one_everywhere(flaw: dict[str, Any]) -> None:
    whole = locked("gcs-eu", verified_at=NOW)
    expiring = replace(whole, state=CopyState.EXPIRING, marked_at=NOW, expiring_since=NOW)
    for where in (PROVIDER, TAMPERING):
        assert level(where, point("p", hours(1), expiring)).rpo_attained == hours(1)
        broken = level(where, point("p", hours(1), replace(expiring, **flaw)))
        assert (broken.rpo_attained, broken.rpo_verified) == (None, None)
    places = Places(DOMAINS)
    catalogue = Catalogue("shop", (point("p", hours(1), replace(expiring, **flaw)),))
    assert status(policy(), catalogue, places, NOW).resources[0].newest_cut_at is None
