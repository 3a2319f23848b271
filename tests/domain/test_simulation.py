"""What would be left: losing more never improves anything, and a copy in a lost domain never counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes import policy, resource

from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.catalogue_native import AS_RECORDED
from drorch.domain.errors import Usage
from drorch.domain.loss import Loss, parse_loss, reached_no_more, require_known
from drorch.domain.model import Copy, CopyState, FailureDomain, FailureLevel, LockMode, RecoveryPoint
from drorch.domain.objective import Places
from drorch.domain.policy import Keep, Objective, ResourcePolicy, VaultRule
from drorch.domain.simulation import BADNESS, ApplicationLoss, DatasetLoss, Fate, ResourceLoss, Verdict, simulate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOME = FailureDomain("aws", "us-east-1", "prod")
OFFICE = FailureDomain("onprem", "office")
DOMAINS = {
    "prod.us-east-1": HOME,
    "prod.us-west-2": FailureDomain("aws", "us-west-2", "prod"),
    "vault.us-east-1": FailureDomain("aws", "us-east-1", "vault"),
    "s3-west": FailureDomain("aws", "us-west-2", "vault"),
    "gcs-eu": FailureDomain("gcp", "europe-west1"),
    "nas": OFFICE,
}
ZONE, REGION, ACCOUNT, PROVIDER, TAMPERING = FailureLevel


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def lose(*words: str) -> list[Loss]:
    return [parse_loss(word) for word in words]


def usable(vault: str, **more: Any) -> Copy:
    return Copy(vault, CopyState.USABLE, **more)


def point(name: str, age: float, *copies: Copy, of: str = "orders") -> RecoveryPoint:
    return RecoveryPoint(name, "shop", of, "postgres", "2026-11-20T09:00Z", NOW - hours(age), copies)


def drill(vault: str = "gcs-eu", seconds: int = 600, *, of: str = "orders", passed: bool = True) -> Drilled:
    return Drilled(of, vault, "p", NOW, NOW, passed, {"total": seconds})


def orders(name: str = "orders", **changes: Any) -> ResourcePolicy:
    targets = tuple(VaultRule(vault=vault, keep=Keep(last=3)) for vault in changes.pop("vaults", DOMAINS))
    return resource(name, "postgres", **({"targets": targets, "exempt": {}, "objectives": {}, "home": HOME} | changes))


def lost(
    *words: str,
    points: tuple[RecoveryPoint, ...] = (),
    drills: tuple[Drilled, ...] = (),
    resources: tuple[ResourcePolicy, ...] = (),
    never_read: frozenset[str] = frozenset(),
) -> ApplicationLoss:
    places = Places(DOMAINS, never_read, frozenset({"gcs-eu"}))
    of = policy("shop", resources or (orders(),))
    return simulate(of, Catalogue("shop", points, drills), places, lose(*words), NOW)


def dataset(*words: str, **world: Any) -> DatasetLoss:
    (found,) = lost(*words, **world).datasets
    return found


def the_resource(*words: str, **world: Any) -> ResourceLoss:
    (found,) = lost(*words, **world).resources
    return found


# --- how a loss is said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["zone:us-east-1a", "region:us-east-1", "account:prod", "provider:aws", "tampering", "region"]
)
def test_a_loss_reads_as_it_was_written(text: str) -> None:
    assert str(parse_loss(text)) == text


@pytest.mark.parametrize("text", ["", "us-east-1", "region:", "regions:us-east-1", "tampering:prod", ":", "Region"])
def test_what_is_no_loss_is_refused_with_the_words_there_are(text: str) -> None:
    with pytest.raises(Usage) as refused:
        parse_loss(text)
    assert "tampering" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("zone:us-east-1a", set(DOMAINS)),
        ("region:us-east-1", {"prod.us-west-2", "s3-west", "gcs-eu", "nas"}),
        ("region:europe-west1", set(DOMAINS) - {"gcs-eu"}),
        ("account:prod", {"vault.us-east-1", "s3-west", "gcs-eu", "nas"}),
        ("account:vault", {"prod.us-east-1", "prod.us-west-2", "gcs-eu", "nas"}),
        ("provider:aws", {"gcs-eu", "nas"}),
        ("provider", {"gcs-eu", "nas"}),
        ("tampering", set()),
    ],
)
def test_which_copies_survive_which_loss(text: str, left: set[str]) -> None:
    found = the_resource(text, points=(point("p", 1, *(usable(vault) for vault in DOMAINS)),))
    assert {each.vault for each in found.left} == left
    assert set(found.taken) == set(DOMAINS) - left


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("zone:us-east-1a", True),
        ("zone:us-east-1-bos-1a", True),
        ("zone:us-east-10a", False),
        ("zone:us-east-1", False),
        ("zone:us-west-2a", False),
        ("region:us-west-2", False),
        ("account:vault", False),
        ("provider:gcp", False),
        ("tampering", True),
        ("account", True),
    ],
)
def test_whose_home_is_lost(text: str, hit: bool) -> None:
    assert parse_loss(text).hits(HOME) is hit
    zoned = FailureDomain("aws", "us-east-1", "prod", "us-east-1b")
    assert not parse_loss("zone:us-east-1a").hits(zoned)


def test_a_name_that_nothing_has_is_a_slip_and_not_good_news() -> None:
    with pytest.raises(Usage) as refused:
        require_known(lose("region:us-esat-1"), [HOME], DOMAINS.values())
    assert "us-east-1, us-west-2" in refused.value.hint
    require_known(
        lose("region:us-west-2", "account:vault", "provider:gcp", "zone:us-east-1a", "tampering"),
        [HOME],
        [*DOMAINS.values()],
    )
    with pytest.raises(Usage):
        require_known(lose("zone:eu-west-1a"), [HOME], DOMAINS.values())


def test_who_answers_no_more() -> None:
    def silent(*words: str, homes: tuple[FailureDomain, ...] = (HOME,)) -> set[str]:
        return {name for name, place in DOMAINS.items() if reached_no_more(lose(*words), homes, place)}

    assert silent("region:us-east-1") == silent("region") == {"prod.us-east-1", "vault.us-east-1"}
    assert silent("account:prod") == {"prod.us-east-1", "prod.us-west-2"}
    assert silent("provider:aws", "region:europe-west1") == set(DOMAINS) - {"nas"}
    assert silent("tampering") == silent("zone:us-east-1a") == set()
    assert silent("region", homes=(HOME, OFFICE)) == {"prod.us-east-1", "vault.us-east-1", "nas"}


# --- what becomes of it ----------------------------------------------------------------------------------------------


def test_data_loss_and_recovery_against_the_promise_of_the_level() -> None:
    promised = orders(objectives={REGION: Objective(rpo=hours(4), rto=hours(1)), PROVIDER: Objective(rpo=hours(9))})
    points = (point("new", 2, usable("s3-west")), point("old", 7, usable("gcs-eu"), usable("s3-west")))
    world: dict[str, Any] = {"points": points, "drills": (drill(),), "resources": (promised,)}
    found = dataset("region:us-east-1", **world)
    assert (found.data_loss, found.recovery, found.verdict) == (hours(2), timedelta(seconds=600), Verdict.MET)
    assert found.why == "left: point new in s3-west"
    assert found.recovery_basis == "drill of 20 Nov, from gcs-eu"
    outside = dataset("provider:aws", **world)
    assert (outside.levels, outside.data_loss, outside.verdict) == ((PROVIDER,), hours(7), Verdict.MET)
    both = dataset("provider:aws", "region:us-east-1", **world)
    assert (both.rpo, both.rto, both.verdict) == (hours(4), hours(1), Verdict.MISSED), "the strictest applies"


def test_what_has_its_home_elsewhere_runs_on_or_is_untouched() -> None:
    files = orders("files", home=OFFICE, vaults=("s3-west",), objectives={REGION: Objective(rpo=hours(1))})
    found = lost("provider:aws", resources=(files,), points=(point("p", 9, usable("s3-west"), of="files"),))
    (one,), (own,) = found.datasets, found.resources
    assert (own.fate, own.taken, own.data_loss, one.verdict) == (
        Fate.RUNS_ON,
        ("s3-west",),
        timedelta(),
        Verdict.RUNS_ON,
    )
    assert own.why == "its home stands; its copies in s3-west are lost; no copy survives"
    untouched = lost("region:us-east-1", resources=(files,))
    assert (untouched.datasets[0].verdict, untouched.datasets[0].why) == (Verdict.UNTOUCHED, "nothing of it lies there")


def test_a_target_in_the_lost_place_is_touched_though_nothing_was_copied_there_yet() -> None:
    files = orders("files", home=OFFICE, vaults=("s3-west", "nas"))
    assert lost("provider:aws", resources=(files,)).resources[0].fate is Fate.RUNS_ON


def test_only_what_a_lock_keeps_is_left_after_tampering() -> None:
    held = usable("gcs-eu", locked_until=NOW + hours(1), lock_mode=LockMode.COMPLIANCE)
    bypassed = usable("nas", locked_until=NOW + hours(1), lock_mode=LockMode.GOVERNANCE)
    found = the_resource("tampering", points=(point("new", 1, usable("s3-west"), bypassed), point("old", 5, held)))
    assert [(each.vault, each.point) for each in found.left] == [("gcs-eu", "old")]
    both = the_resource("tampering", "provider:gcp", points=(point("old", 5, held),))
    assert both.left == ()


def test_nothing_left_misses_a_recovery_time_too() -> None:
    promised = orders(objectives={REGION: Objective(rto=hours(1))})
    found = dataset(
        "region", resources=(promised,), points=(point("p", 1, usable("prod.us-east-1")),), drills=(drill(),)
    )
    assert (found.data_loss, found.recovery, found.rto_met, found.verdict) == (None, None, False, Verdict.MISSED)
    assert found.why.startswith("no usable copy in gcs-eu, nas")


def test_a_vault_that_was_never_read_leaves_it_not_known_unless_what_is_known_will_do() -> None:
    promised = orders(objectives={REGION: Objective(rpo=hours(4))}, vaults=("s3-west", "gcs-eu"))
    world: dict[str, Any] = {"resources": (promised,), "never_read": frozenset({"gcs-eu"})}
    late = dataset("region", points=(point("p", 5, usable("s3-west")),), **world)
    assert (late.rpo_met, late.verdict) == (None, Verdict.UNKNOWN)
    assert "gcs-eu was never read" in late.why
    assert dataset("region", points=(point("p", 1, usable("s3-west")),), **world).verdict is Verdict.MET
    assert (
        dataset("region", "provider:gcp", points=(point("p", 5, usable("s3-west")),), **world).verdict is Verdict.MISSED
    )


def test_a_copy_that_records_alone_speak_of_counts_and_says_so() -> None:
    recorded = usable("prod.us-west-2", why=AS_RECORDED)
    found = the_resource("account:vault", points=(point("p", 1, recorded),), never_read=frozenset({"prod.us-west-2"}))
    assert found.left[0].recorded
    assert found.known


def test_a_recovery_time_that_nobody_measured_is_neither_met_nor_missed() -> None:
    promised = orders(objectives={REGION: Objective(rto=hours(1))})
    found = dataset("region", resources=(promised,), points=(point("p", 1, usable("gcs-eu")),))
    assert (found.verdict, found.recovery_basis) == (Verdict.UNMEASURED, "no drill of it has been made")


def test_ways_back_that_failed_their_last_drill_or_are_too_slow_miss_it() -> None:
    promised = orders(objectives={REGION: Objective(rto=hours(1))})
    world: dict[str, Any] = {"resources": (promised,), "points": (point("p", 1, usable("gcs-eu")),)}
    assert dataset("region", drills=(drill(seconds=3601),), **world).verdict is Verdict.MISSED
    assert dataset("region", drills=(drill(passed=False),), **world).verdict is Verdict.MISSED


def test_a_dataset_is_brought_back_by_the_best_of_its_resources() -> None:
    objectives = {REGION: Objective(rpo=hours(4), rto=hours(1))}
    two = tuple(orders(name, dataset="x", objectives=objectives) for name in ("volumes", "dump"))
    points = (point("1", 1, usable("prod.us-west-2"), of="volumes"), point("2", 5, usable("gcs-eu"), of="dump"))
    found = dataset("region", resources=two, points=points, drills=(drill(seconds=7200, of="dump"),))
    assert (found.data_loss, found.recovery) == (hours(1), hours(2))
    assert (found.rpo_met, found.rto_met) == (True, None), "volumes may be quicker: no drill of them was made"
    assert found.recovery_basis == "drill of 20 Nov, from gcs-eu; no drill of volumes has been made"


def test_an_exempt_level_promises_nothing_and_others_still_do() -> None:
    promised = orders(
        objectives={PROVIDER: Objective(rpo=hours(1)), REGION: Objective(rpo=hours(2))}, exempt={PROVIDER: "runbook 12"}
    )
    assert dataset("provider:aws", resources=(promised,)).verdict is Verdict.EXEMPT
    assert dataset("provider:aws", resources=(promised,)).exempt == "runbook 12"
    assert dataset("provider:aws", "region", resources=(promised,)).verdict is Verdict.MISSED
    assert dataset("zone:us-east-1a", resources=(promised,)).verdict is Verdict.NO_PROMISE


def test_the_worst_dataset_speaks_for_the_application() -> None:
    late = orders("late", objectives={REGION: Objective(rpo=hours(1))})
    fine = orders("fine", objectives={REGION: Objective(rpo=hours(9))})
    points = tuple(point(name, 2, usable("gcs-eu"), of=name) for name in ("late", "fine"))
    found = lost("region", resources=(fine, late), points=points)
    assert [each.verdict for each in found.datasets] == [Verdict.MET, Verdict.MISSED]
    assert found.verdict is Verdict.MISSED


# --- properties ------------------------------------------------------------------------------------------------------

_WORDS = [
    *(
        "zone:us-east-1a",
        "region:us-east-1",
        "region:us-west-2",
        "region:europe-west1",
        "account:prod",
        "account:vault",
    ),
    *("provider:aws", "provider:gcp", "provider:onprem", "tampering", *(level.value for level in FailureLevel)),
]
_losses = st.sets(st.sampled_from(_WORDS), min_size=1, max_size=4)
_NAMES = ("volumes", "dump", "files")
_points = st.lists(
    st.builds(
        lambda number, age, of, copies: point(str(number), age, *copies, of=of),
        st.integers(0, 99),
        st.integers(0, 12),
        st.sampled_from(_NAMES),
        st.lists(
            st.builds(
                lambda vault, lock, damaged: usable(
                    vault, damaged=damaged, lock_mode=lock, locked_until=NOW + hours(1) if lock else None
                ),
                st.sampled_from([*DOMAINS]),
                st.sampled_from([None, *LockMode]),
                st.sampled_from([False, False, True]),
            ),
            max_size=3,
            unique_by=lambda copy: copy.vault,
        ),
    ),
    max_size=5,
    unique_by=lambda made: made.id,
)
_drilled = st.lists(
    st.builds(
        lambda vault, seconds, of, passed: drill(vault, seconds, of=of, passed=passed),
        st.sampled_from([*DOMAINS]),
        st.sampled_from([60, 3000, 9000]),
        st.sampled_from(_NAMES),
        st.booleans(),
    ),
    max_size=4,
)
_ALL = {level: Objective(rpo=hours(4), rto=hours(1)) for level in (REGION, ACCOUNT, PROVIDER)}
RESOURCES = (
    orders("volumes", dataset="x", objectives=_ALL, vaults=("prod.us-east-1", "prod.us-west-2")),
    orders("dump", dataset="x", objectives=_ALL, vaults=("s3-west", "gcs-eu")),
    orders("files", home=OFFICE, objectives={REGION: Objective(rpo=hours(2))}, exempt={PROVIDER: "kept on tape"}),
)


def _later(span: timedelta | None) -> tuple[bool, timedelta]:
    return span is None, span or timedelta()


@settings(deadline=None)
@given(_points, _drilled, _losses, _losses, st.sets(st.sampled_from([*DOMAINS])))
def test_losing_more_never_improves_anything(
    points: list[RecoveryPoint], drills: list[Drilled], some: set[str], others: set[str], never_read: set[str]
) -> None:
    world: dict[str, Any] = {"resources": RESOURCES, "points": tuple(points), "drills": tuple(drills)}
    world["never_read"] = frozenset(never_read)
    before, after = lost(*some, **world), lost(*some, *others, **world)
    for less, more in zip(before.resources, after.resources, strict=True):
        assert {each.vault for each in more.left} <= {each.vault for each in less.left}
        assert list(Fate).index(more.fate) <= list(Fate).index(less.fate)
        assert _later(more.data_loss) >= _later(less.data_loss)
    for one, two in zip(before.datasets, after.datasets, strict=True):
        assert BADNESS.index(two.verdict) <= BADNESS.index(one.verdict)
        assert _later(two.data_loss) >= _later(one.data_loss)
        if one.fate is Fate.LOST:
            assert _later(two.recovery) >= _later(one.recovery)


@settings(deadline=None)
@given(_points, _losses)
def test_a_copy_in_a_lost_domain_never_counts(points: list[RecoveryPoint], words: set[str]) -> None:
    """By a look at every copy that knows nothing of the code's own way of telling."""
    found = lost(*words, resources=RESOURCES, points=tuple(points))
    homes = {each.name: each.home for each in RESOURCES}
    for each in found.resources:
        home = homes[each.resource]
        for left in each.left:
            place = DOMAINS[left.vault]
            for word in words:
                level, _, name = word.partition(":")
                part = getattr(place, level, "")
                if name:
                    assert part != name
                elif level == "region":
                    assert (place.provider, place.region) != (home.provider, home.region)
                elif level == "provider":
                    assert place.provider != home.provider
                elif level == "account":
                    assert (place.provider, place.account) != (home.provider, home.account)
                elif level == "tampering":
                    (copy,) = [c for p in points if p.id == left.point for c in p.copies if c.vault == left.vault]
                    assert copy.lock_mode is LockMode.COMPLIANCE
