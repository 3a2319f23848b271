"""Two resources that select the same: one goes on, the other is held, and never both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from passes import HOME, NOW, policy, resource

from drorch.domain.catalogue_native import NativeView
from drorch.domain.claims import Claimant, claims
from drorch.domain.model import FailureDomain, Vault
from drorch.domain.native import NativeSnapshot, Source
from drorch.domain.policy import Policy, ResourcePolicy, Retired

VAULT = Vault(HOME, FailureDomain("aws", "us-east-1", "prod"), native=True)


def application(name: str, *names: str, kind: str = "ebs") -> Policy:
    return policy(name, [resource(each, kind) for each in names])


def snapshot(of: Claimant, volume: str, hours_ago: float, state: str = "usable", **tags: str) -> NativeSnapshot:
    own = {"drorch:application": of[0], "drorch:resource": of[1], **tags}
    started = NOW - timedelta(hours=hours_ago)
    return NativeSnapshot(f"snap-{of}-{hours_ago}", "prod", "us-east-1", "ec2", state, own, volume, started)


def held(
    policies: Iterable[Policy], selects: Mapping[Claimant, str], *snapshots: NativeSnapshot
) -> dict[Claimant, str]:
    """`selects` maps (application, resource) to the numbers of volumes, such as "12"."""
    policies = list(policies)
    owner = {id(r): (p.application, r.name) for p in policies for r in p.resources}

    def selected(of: ResourcePolicy) -> list[Source]:
        return [Source(f"vol-{number}") for number in selects.get(owner[id(of)], "")]

    return claims(policies, selected, [NativeView(VAULT, "ebs", True, snapshots)], NOW)


def test_of_two_that_never_cut_it_the_first_name_goes_on_and_the_alarm_names_both() -> None:
    found = held(
        [application("shop", "data"), application("bank", "data")], {("shop", "data"): "12", ("bank", "data"): "2"}
    )
    assert list(found) == [("shop", "data")]
    assert found["shop", "data"].startswith(f"bank/data selects vol-2 in {HOME}, too, and goes on with it")


def test_within_an_application_the_resource_that_stands_first_goes_on() -> None:
    found = held([application("shop", "zeta", "alpha")], {("shop", "zeta"): "1", ("shop", "alpha"): "1"})
    assert list(found) == [("shop", "alpha")]


def test_who_cut_it_last_goes_on_whatever_the_names_are() -> None:
    both = [application("bank", "data"), application("shop", "data")]
    selects = {("bank", "data"): "1", ("shop", "data"): "1"}
    old = snapshot(("shop", "data"), "vol-1", 5)
    assert list(held(both, selects, old)) == [("bank", "data")]
    assert list(held(both, selects, old, snapshot(("bank", "data"), "vol-1", 1))) == [("shop", "data")]


def test_cuts_that_failed_and_copies_say_nothing_about_who_cuts_it() -> None:
    both = [application("bank", "data"), application("shop", "data")]
    selects = {("bank", "data"): "1", ("shop", "data"): "1"}
    failed = snapshot(("shop", "data"), "vol-1", 1, "failed")
    copied = snapshot(("shop", "data"), "vol-1", 1, **{"drorch:source": "snap-1"})
    assert list(held(both, selects, failed, copied)) == [("shop", "data")]


def test_kinds_do_not_stand_in_each_others_way_and_neither_do_other_volumes() -> None:
    apart = [application("bank", "data"), application("shop", "data", kind="rds-instance")]
    assert held(apart, {("bank", "data"): "1", ("shop", "data"): "1"}) == {}
    alike = [application("bank", "data"), application("shop", "data")]
    assert held(alike, {("bank", "data"): "1", ("shop", "data"): "2"}) == {}


def test_an_application_that_has_left_claims_nothing() -> None:
    left = application("bank", "data").model_copy(update={"retired": Retired(since=NOW, reason="sold")})
    assert held([left, application("shop", "data")], {("bank", "data"): "1", ("shop", "data"): "1"}) == {}


def test_a_source_that_a_listing_shows_twice_is_no_second_resource() -> None:
    assert held([application("shop", "data")], {("shop", "data"): "11"}) == {}


@given(
    selects=st.lists(st.text("123", max_size=3), min_size=1, max_size=5),
    ages=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("123"), st.integers(0, 9)), max_size=8),
)
def test_what_goes_on_shares_nothing_and_what_is_held_shares_something_with_it(
    selects: list[str], ages: list[tuple[int, str, int]]
) -> None:
    """No circle of three stops them all."""
    wanted = {(f"app{n}", "data"): numbers for n, numbers in enumerate(selects)}
    snapshots = [snapshot((f"app{n}", "data"), f"vol-{v}", age) for n, v, age in ages]
    found = held([application(name, "data") for name, _ in wanted], wanted, *snapshots)
    going = [set(numbers) for claimant, numbers in wanted.items() if claimant not in found]
    assert sum(map(len, going)) == len(set().union(*going))
    assert all(any(set(wanted[claimant]) & other for other in going) for claimant in found)
