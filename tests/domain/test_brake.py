"""The brake: never more than it allows, never the last of anything, whatever the plan says; and approvals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import HOME, OFF, policy
from planning import (
    FREE,
    NOW,
    SLOT,
    WEST,
    dumped,
    going,
    hours,
    orders,
    point,
    recorded,
    seen,
    series,
    slot,
    taken,
)

from drorch.domain.action import Action, Braked, Expire, Keep, Mark, Repair, Sweep, deletions, digest_of
from drorch.domain.brake import APPROVED_FOR, approved_pairs, brake
from drorch.domain.catalogue import Catalogue
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.policy import BrakeRule, ResourcePolicy
from drorch.domain.record import Record, RecordType, compose

DAY = timedelta(days=1)
NONE: frozenset[tuple[str, str]] = frozenset()


def mark(of: RecoveryPoint, vault: str = OFF) -> Mark:
    return Mark("shop", of.resource, vault, of.id, "no keep rule keeps it", "expiring", (OFF,))


def expire(of: RecoveryPoint, vault: str = OFF) -> Expire:
    return Expire("shop", of.resource, vault, of.id, "marked for longer than 3d", (OFF,))


def world(points: Iterable[RecoveryPoint], *let_go: LetGo) -> Catalogue:
    return seen(*points, more={"let_go": let_go}).catalogue


def let_go(name: str, ago: timedelta, vault: str = OFF) -> LetGo:
    return LetGo(vault, "orders", name, NOW, NOW - ago, False, NOW - ago)


def braked(
    points: Sequence[RecoveryPoint],
    actions: Sequence[Action],
    rule: BrakeRule = FREE,
    *gone: LetGo,
    approved: frozenset[tuple[str, str]] = NONE,
    of: ResourcePolicy | None = None,
    now: datetime = NOW,
) -> tuple[Action, ...]:
    return brake(policy("shop", (of or orders(floor=1),)), actions, world(points, *gone), rule, approved, now)


def passing(found: Iterable[Action]) -> list[str]:
    return [action.point for action in found if not isinstance(action, Braked)]


def old(count: int, *vaults: str, start: int = 30) -> list[RecoveryPoint]:
    """Points that were all there before the last day, newest first."""
    return series(count, *(vaults or (OFF,)), start=start)


# --- too many -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usable", "rule", "allowed"),
    [
        (30, BrakeRule(share=20, count=10), 6),
        (31, BrakeRule(share=20, count=10), 7),  # the share is rounded up
        (30, BrakeRule(share=20, count=4), 4),
        (30, BrakeRule(share=100, count=4), 4),
        (3, BrakeRule(share=1, count=10), 1),  # of few copies one may go
        (101, BrakeRule(share=99, count=1000), 100),
        (200, BrakeRule(), 10),
    ],
)
def test_the_smaller_of_share_and_count_goes_in_the_order_of_the_plan(
    usable: int, rule: BrakeRule, allowed: int
) -> None:
    points = old(usable)
    oldest_first = [mark(p) for p in reversed(points[1:])]
    found = braked(points, oldest_first, rule)
    assert passing(found) == [a.point for a in oldest_first][:allowed]
    assert [type(a) for a in found[allowed:]] == [Braked] * (usable - 1 - allowed)


def test_as_many_as_were_added_in_the_window_may_go_on_top() -> None:
    rule = BrakeRule(share=1, count=1)
    before = old(9)
    assert len(passing(braked(before, [mark(p) for p in before[1:]], rule))) == 1
    for added in (1, 3):
        points = [*series(added, OFF, WEST), *before]
        assert len(passing(braked(points, [mark(p) for p in before], rule))) == 1 + added
        assert len(passing(braked(points, [mark(p, WEST) for p in before], rule))) == 1 + added, "in each vault"


@pytest.mark.parametrize(
    ("usable_at", "adds"),
    [
        (NOW, True),
        (NOW - DAY + timedelta(seconds=1), True),
        (NOW - DAY, False),
        (NOW + timedelta(seconds=1), False),  # a store's clock that runs ahead adds nothing
    ],
)
def test_a_copy_was_added_when_it_became_usable(usable_at: datetime, adds: bool) -> None:
    points = [*old(9), point(slot(90), dumped(OFF, usable_at=usable_at), of="orders")]
    found = braked(points, [mark(p) for p in points[1:9]], BrakeRule(share=1, count=1))
    assert len(passing(found)) == 1 + adds


def test_a_copy_of_which_nobody_knows_when_it_came_adds_nothing() -> None:
    points = [*old(9), point(slot(90), dumped(OFF), of="orders", cut_at=None)]
    assert len(passing(braked(points, [mark(p) for p in points[1:9]], BrakeRule(share=1, count=1)))) == 1


def test_what_was_marked_in_the_window_counts_once_and_what_was_marked_before_it_does_not() -> None:
    points, rule = old(30), BrakeRule(share=100, count=5)
    marked = [let_go("a", hours(1)), let_go("a", hours(2)), let_go("b", hours(23)), let_go("c", DAY)]
    elsewhere = [let_go(name, hours(1), WEST) for name in "efghij"]
    found = braked(points, [mark(p) for p in points[1:]], rule, *marked, *elsewhere)
    assert len(passing(found)) == 3
    reason = next(a.reason for a in found if isinstance(a, Braked))
    of_five = f"5 may go from {OFF} within 1d, 2 were marked before"
    assert reason == f"the brake holds it: {of_five} (no keep rule keeps it)"


def test_marks_of_a_clock_that_was_ahead_count_and_more_than_allowed_before_lets_nothing_go() -> None:
    points, rule = old(30), BrakeRule(share=100, count=2)
    assert len(passing(braked(points, [mark(p) for p in points[1:]], rule, let_go("a", -hours(99))))) == 1
    many = [let_go(name, hours(1)) for name in "abcde"]
    assert not passing(braked(points, [mark(points[5])], rule, *many))


def test_the_window_is_that_of_the_rule() -> None:
    points = old(30)
    rule = BrakeRule(share=100, count=2, per=timedelta(hours=2))
    assert len(passing(braked(points, [mark(p) for p in points[1:]], rule, let_go("a", hours(3))))) == 2


def test_each_vault_has_its_own_count() -> None:
    points = old(20, OFF, WEST)
    both = [mark(p, vault) for p in reversed(points[1:]) for vault in (OFF, WEST)]
    found = braked(points, both, BrakeRule(share=100, count=3))
    assert sorted(taken(found)) == sorted((v, p.id) for p in points[-3:] for v in (OFF, WEST))


def test_a_deletion_was_counted_when_it_was_marked_and_is_not_counted_again() -> None:
    points = old(30)
    found = braked(points, [expire(p) for p in points[1:]], BrakeRule(share=1, count=1))
    assert passing(found) == [p.id for p in points[1:]]


def test_what_deletes_nothing_is_neither_held_nor_counted() -> None:
    points, rule = old(30), BrakeRule(share=100, count=1)
    harmless = [
        Keep("shop", "orders", OFF, points[0].id, ""),
        Mark("shop", "orders", OFF, points[1].id, "", "kept"),
        Mark("shop", "orders", "", points[2].id, "", "suspect"),
        Repair("shop", "orders", OFF, points[3].id, "", WEST),
        Sweep("shop", "orders", OFF, "", "", "uploads", ("x",)),
    ]
    assert braked(points, [*harmless, mark(points[9])], rule) == (*harmless, mark(points[9]))


def test_a_hold_says_what_it_holds_and_why() -> None:
    points = old(2)
    (held,) = braked(points, [expire(points[0])])
    reason = f"the brake holds it: it is the newest usable copy in {OFF} (marked for longer than 3d)"
    assert held == Braked("shop", "orders", OFF, points[0].id, reason, "brake", "expire")
    (held,) = braked(points, [mark(points[0])])
    assert isinstance(held, Braked) and held.wanted == "mark"


# --- the last of anything -------------------------------------------------------------------------------------------


def why_held(found: Iterable[Action]) -> list[str]:
    return [a.reason.removeprefix("the brake holds it: ").partition(" (")[0] for a in found if isinstance(a, Braked)]


@pytest.mark.parametrize("make", [mark, expire])
def test_the_last_of_anything_stays(make: type[Mark]) -> None:
    cases = [
        (0, {}, {}, f"it is the newest usable copy in {OFF}"),
        (1, {"verified_at": NOW}, {}, f"it is the newest copy that a drill from {OFF} has verified"),
        (1, {}, {"pinned": True}, "it is pinned"),
        (1, {"locked_until": NOW + hours(1)}, {}, "it is locked until 2026-11-20T10:30:00Z"),
    ]
    for place, copy, changes, reason in cases:
        points = old(6)
        points[place] = point(points[place].slot, dumped(OFF, **copy), of="orders", **changes)
        assert why_held(braked(points, [make(points[place])])) == [reason]
        assert passing(braked(points, [make(points[3])])) == [points[3].id]


def test_a_lock_that_is_over_holds_nothing() -> None:
    points = [*old(2), point(slot(40), dumped(OFF, locked_until=NOW), of="orders")]
    assert passing(braked(points, [expire(points[2])]))


def test_an_older_verified_copy_may_go_when_a_newer_one_is_verified() -> None:
    points = [point(slot(n), dumped(OFF, verified_at=NOW), of="orders") for n in (30, 31, 32)]
    assert passing(braked(points, [expire(points[1]), expire(points[2])])) == [points[1].id, points[2].id]


def test_the_newest_copy_that_is_not_suspect_stays() -> None:
    points = [point(slot(n), dumped(OFF), of="orders", suspect="it shrank" if n < 32 else "") for n in range(30, 35)]
    found = braked(points, [mark(p) for p in points[3::-1]])
    assert why_held(found) == [
        f"it is the newest copy in {OFF} that is not suspect",
        f"it is the newest usable copy in {OFF}",
    ]
    assert passing(found) == [points[3].id, points[1].id]


@pytest.mark.parametrize(("floor", "go"), [(1, 4), (2, 4), (3, 0)])
def test_the_floor_is_counted_from_what_would_be_left_of_the_whole_plan(floor: int, go: int) -> None:
    points = old(6)
    found = braked(points, [expire(p) for p in points[2:]], of=orders(floor=floor))
    assert len(passing(found)) == go
    assert (not go and why_held(found) == [f"2 usable copies would be left in {OFF}, the floor is 3"] * 4) or go == 4


def test_a_plan_that_would_leave_nothing_is_held_altogether() -> None:
    points = old(3)
    found = braked(points, [mark(p) for p in reversed(points)])
    left = f"0 usable copies would be left in {OFF}, the floor is 1"
    assert why_held(found) == [left, left, f"it is the newest usable copy in {OFF}"]


def test_the_floor_of_a_resource_that_the_policy_does_not_name_is_one() -> None:
    points = [point(slot(n), dumped(OFF), of="gone") for n in range(30, 33)]
    assert passing(braked(points, [expire(p) for p in points[1:]])) == [p.id for p in points[1:]]
    assert not passing(braked(points[:1], [expire(points[0])]))


def test_only_usable_and_plausible_copies_of_the_same_resource_and_vault_make_another_one_dispensable() -> None:
    last = old(1)[0]
    others = [
        point(SLOT, dumped(OFF, CopyState.FAILED), of="orders"),
        point(slot(1), dumped(OFF, CopyState.UNSIGNED), of="orders"),
        point(slot(2), dumped(WEST), of="orders"),
        point(slot(3), dumped(OFF), of="other"),
        point(slot(-9), dumped(OFF), of="orders"),
        point(slot(4), dumped(OFF), of="orders", cut_at=None),
    ]
    assert why_held(braked([*others, last], [expire(last)])) == [f"it is the newest usable copy in {OFF}"]


@pytest.mark.parametrize(("ahead", "held"), [(5, False), (6, True)])
def test_five_minutes_ahead_are_plausible(ahead: int, held: bool) -> None:
    ahead_of = point(SLOT, dumped(OFF), of="orders", cut_at=NOW + timedelta(minutes=ahead))
    last = old(1)[0]
    assert bool(why_held(braked([ahead_of, last], [expire(last)]))) is held


def test_what_is_left_of_a_deletion_that_was_cut_short_is_the_last_of_nothing() -> None:
    half = point(slot(40), dumped(OFF, CopyState.FAILED, expired_at=NOW - DAY), of="orders")
    assert passing(braked([half], [expire(half)])) == [half.id]


def test_native_copies_are_held_like_any_other() -> None:
    points = [point(slot(n), recorded(HOME)) for n in (30, 31)]
    found = braked(points, [mark(p, HOME) for p in points], of=orders())
    assert why_held(found)[0] == f"it is the newest usable copy in {HOME}"


# --- approvals ------------------------------------------------------------------------------------------------------


def approval(
    *pairs: tuple[str, str], at: datetime = NOW, digest: str = "", kind: RecordType = RecordType.APPROVAL
) -> Record:
    named = digest or digest_of(pairs)
    return compose(kind, site="acme", at=at, digest=named, deletions=[list(pair) for pair in pairs])


def test_what_is_approved_passes_whatever_it_is_and_nothing_else_does() -> None:
    points = old(30)
    wanted = [mark(p) for p in reversed(points) if p != points[1]]
    approved = frozenset({(OFF, points[0].id), (OFF, points[9].id)})
    found = braked(points, wanted, BrakeRule(share=1, count=1), approved=approved)
    assert passing(found) == [points[-1].id, points[9].id, points[0].id]


def test_an_approval_of_one_vault_approves_nothing_in_another() -> None:
    points = old(3, OFF, WEST)
    assert not passing(braked(points, [expire(points[0])], approved=frozenset({(WEST, points[0].id)})))


def test_an_approval_lets_pass_what_it_names_for_an_hour() -> None:
    signed = approval((OFF, "p"), (WEST, "q"))
    for after, passes in (
        (timedelta(), True),
        (hours(1) - timedelta(seconds=1), True),
        (hours(1), False),
        (-hours(1), False),
    ):
        assert approved_pairs([signed], NOW + after) == ({(OFF, "p"), (WEST, "q")} if passes else set())
    assert hours(1) == APPROVED_FOR


def test_several_approvals_add_up_and_one_that_is_over_takes_nothing_away() -> None:
    records = [
        approval((OFF, "p")),
        approval((OFF, "r"), at=NOW - hours(2)),
        approval((WEST, "q"), at=NOW - hours(0.5)),
    ]
    assert approved_pairs(records, NOW) == {(OFF, "p"), (WEST, "q")}


def test_an_approval_whose_digest_is_of_other_deletions_approves_nothing() -> None:
    forged = approval((OFF, "p"), digest=digest_of([(OFF, "q")]))
    assert approved_pairs([forged, approval((WEST, "q"))], NOW) == {(WEST, "q")}


def test_another_record_is_no_approval() -> None:
    pin = compose(
        RecordType.MARK, site="acme", at=NOW, application="shop", resource="orders", point="p", cut_at=NOW, mark="pin",
        digest=digest_of([(OFF, "p")]), deletions=[[OFF, "p"]],
    )  # fmt: skip
    assert not approved_pairs([pin], NOW)


# --- for any plan ---------------------------------------------------------------------------------------------------

_ages = st.integers(0, 200)
_copy = st.sampled_from([None, "usable", "going", "verified", "failed", "locked"])


def _made(hour: int, kinds: tuple[str | None, str | None], pinned: bool, suspect: bool) -> RecoveryPoint:
    copies = {
        "usable": dumped,
        "going": going,
        "verified": lambda vault: dumped(vault, verified_at=NOW),
        "failed": lambda vault: dumped(vault, CopyState.FAILED),
        "locked": lambda vault: dumped(vault, locked_until=NOW + hours(1)),
    }
    there = [copies[kind](vault) for vault, kind in zip((OFF, WEST), kinds, strict=True) if kind]
    return point(slot(hour - 3), *there, of="orders", pinned=pinned, suspect="it shrank" if suspect else "")


_points = st.lists(
    st.builds(_made, _ages, st.tuples(_copy, _copy), st.booleans(), st.booleans()),
    max_size=30,
    unique_by=lambda p: p.id,
)
_rules = st.builds(BrakeRule, share=st.integers(1, 100), count=st.integers(1, 12), per=st.sampled_from([hours(2), DAY]))
_gone = st.lists(
    st.builds(let_go, st.sampled_from("abcdef"), st.integers(-5, 40).map(hours), st.sampled_from([OFF, WEST])),
    max_size=8,
)


def _everything(points: list[RecoveryPoint], data: st.DataObject) -> list[Action]:
    """Any plan at all: what retention would never ask for, too."""
    pairs = [(p, c.vault) for p in points for c in p.copies]
    chosen = data.draw(st.permutations(pairs))
    return [data.draw(st.sampled_from([mark, expire]))(p, vault) for p, vault in chosen if data.draw(st.booleans())]


@given(_points, _rules, _gone, st.data())
def test_marks_of_a_window_are_never_more_than_were_added_and_the_allowance(
    points: list[RecoveryPoint], rule: BrakeRule, gone: list[LetGo], data: st.DataObject
) -> None:
    actions = _everything(points, data)
    found = braked(points, actions, rule, *gone)
    for vault in (OFF, WEST):
        there = [p for p in points if (c := p.copy_in(vault)) is not None and c.usable]
        added = sum(1 for p in there if p.cut_at is not None and NOW - rule.per < p.cut_at <= NOW)
        allowed = added + min(rule.count, -(-rule.share * len(there) // 100))
        spent = len({g.point for g in gone if g.vault == vault and g.at > NOW - rule.per})
        marked = len([a for a in found if isinstance(a, Mark) and a.vault == vault])
        assert marked <= max(0, allowed - spent)


@given(_points, _rules, _gone, st.integers(1, 4), st.data())
def test_whatever_is_asked_the_last_of_anything_is_left(
    points: list[RecoveryPoint], rule: BrakeRule, gone: list[LetGo], floor: int, data: st.DataObject
) -> None:
    found = braked(points, _everything(points, data), rule, *gone, of=orders(floor=floor))
    for vault in (OFF, WEST):
        left = {name for where, name in taken(found) if where == vault}
        there = [p for p in points if (c := p.copy_in(vault)) is not None and c.usable and p.cut_at is not None]
        there = sorted((p for p in there if p.cut_at and p.cut_at <= NOW), key=lambda p: p.cut_at or NOW, reverse=True)
        lasts = [there[:1], [p for p in there if (c := p.copy_in(vault)) and c.verified_at][:1]]
        lasts += [[p for p in there if not p.suspect][:1], [p for p in there if p.pinned]]
        assert not left & {p.id for last in lasts for p in last}
        assert len([p for p in there if p.id not in left]) >= min(floor, len(there))


@given(_points, _rules, _gone, st.data())
def test_the_brake_only_ever_replaces_and_approved_pairs_and_those_alone_pass_it(
    points: list[RecoveryPoint], rule: BrakeRule, gone: list[LetGo], data: st.DataObject
) -> None:
    actions = _everything(points, data)
    pairs = sorted(deletions(actions))
    approved = frozenset(pair for pair in pairs if data.draw(st.booleans()))
    found = braked(points, actions, rule, *gone, approved=approved)
    assert [(a.vault, a.point) for a in found] == [(a.vault, a.point) for a in actions]
    assert deletions(found) == deletions(actions), "so that the digest of what is held is that of what is wanted"
    assert all(a == b for a, b in zip(found, actions, strict=True) if not isinstance(a, Braked))
    assert approved <= taken(found)
    without = braked(points, [a for a in actions if (a.vault, a.point) not in approved], rule, *gone)
    assert len([a for a in found if isinstance(a, Mark)]) - len([a for a in without if isinstance(a, Mark)]) <= len(
        approved
    )
