"""How long copies took: the last twenty, those that renewed something, the slowest of a week; and what that breaks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import NOW
from policy_words import VAULTS, policy_of

from drorch.domain.catalogue import Catalogue
from drorch.domain.instant import to_slot
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.time_to_usable import measured, slowest, unkept, usual

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICY = """
    version: 1
    application: shop
    home: {account: prod, region: us-east-1}
    objectives: {region: {rpo: 9h}}
    resources:
      - name: orders
        kind: postgres
        connection: {host: h}
        schedule: {every: 6h}
        vaults: [s3-west, gcs-eu]
        keep: {last: 9}
"""


def dumps(*minutes: int, every: timedelta = 6 * HOUR, state: CopyState = CopyState.USABLE) -> tuple[RecoveryPoint, ...]:
    """The newest first, each with the minutes from its cut to its usable copy."""
    found = []
    for number, took in enumerate(minutes):
        cut_at = NOW - (number + 4) * every
        copy = Copy("s3-west", state, usable_at=cut_at + took * MINUTE)
        found.append(RecoveryPoint(f"p{number}", "shop", "orders", "postgres", to_slot(cut_at), cut_at, (copy,)))
    return tuple(found)


def test_all_but_the_slowest_of_the_last_twenty_took_so_long_at_the_most() -> None:
    points = dumps(*range(1, 21), 300, 300)
    assert usual(points, "s3-west", NOW) == 19 * MINUTE
    assert usual(points[:7], "s3-west", NOW) == 7 * MINUTE, "the slowest of fewer"


@pytest.mark.parametrize(
    "points",
    [
        (),
        dumps(1, 2, 3, 4),
        dumps(*range(9), state=CopyState.FAILED),
        dumps(*range(9), every=-HOUR),
    ],
)
def test_too_few_copies_or_such_as_count_for_nothing_tell_nothing(points: tuple[RecoveryPoint, ...]) -> None:
    assert usual(points, "s3-west", NOW) is None
    assert slowest(points, "s3-west", NOW) is None
    assert usual(dumps(*range(9)), "gcs-eu", NOW) is None


def test_an_expiring_copy_tells_what_it_took() -> None:
    assert usual(dumps(*range(1, 10), state=CopyState.EXPIRING), "s3-west", NOW) == 9 * MINUTE


def test_a_copy_that_came_after_a_newer_one_was_usable_is_not_counted() -> None:
    """Every sixth became usable long after the next ones were."""
    points = dumps(*(5000 if number % 6 == 0 and number else 10 for number in range(30)))
    assert usual(points, "s3-west", NOW) == 10 * MINUTE


@given(st.lists(st.integers(0, 350), max_size=70), st.integers(1, 12))
def test_the_slowest_of_a_week_is_the_longest_that_was_usual_after_any_copy_of_it(
    minutes: Sequence[int], hours: int
) -> None:
    points = dumps(*minutes, every=hours * HOUR)
    order = sorted(points, key=lambda point: point.copies[0].usable_at or NOW, reverse=True)
    week = [p for p in order if (p.copies[0].usable_at or NOW) > NOW - 7 * DAY]
    then = [usual(order[first:], "s3-west", NOW) for first in range(max(len(week), 1))]
    known = [time for time in then if time is not None]
    found = slowest(points, "s3-west", NOW)
    if hours >= 6:  # no copy is later than the next point's: all of them renew something
        assert found == max(known, default=None)
    assert found is None or found <= 350 * MINUTE


def test_what_is_measured_is_by_resource_and_vault() -> None:
    catalogue = Catalogue("shop", dumps(*[10] * 9))
    assert measured(policy_of(POLICY), catalogue, NOW) == {("shop", "orders", "s3-west"): 10 * MINUTE}


@pytest.mark.parametrize(
    ("minutes", "late"),
    [(10, []), (180, []), (200, [])],
)
def test_a_promise_that_another_vault_keeps_is_kept(minutes: int, late: list[str]) -> None:
    """No copy in gcs-eu was measured: a quarter of the interval is assumed there."""
    catalogue = Catalogue("shop", dumps(*[minutes] * 9))
    assert [str(line) for line in unkept(policy_of(POLICY), catalogue, VAULTS, {}, NOW)] == late


def test_a_promise_that_the_only_vault_breaks_by_its_times_is_told_with_the_sum() -> None:
    policy = policy_of(POLICY.replace("[s3-west, gcs-eu]", "[s3-west]"))
    assert not unkept(policy, Catalogue("shop", dumps(*[180] * 9)), VAULTS, {}, NOW)
    (line,) = unkept(policy, Catalogue("shop", dumps(*[200] * 9)), VAULTS, {}, NOW)
    assert str(line) == "orders at region: 6h + 3h20m = 9h20m > 9h via s3-west"
