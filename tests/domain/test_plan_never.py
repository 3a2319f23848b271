"""What no plan ever does, whatever the world, the rules and the approvals are: it lets nothing go that is the last of
anything, and nothing at all while something that matters is not known.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from passes import AWAY, OFF
from planner_worlds import Drawn, worlds
from planning import (
    NOW,
    PENDING,
    WEST,
    drilled,
    going,
    head,
    hours,
    only,
    taken,
)

from drorch.domain.action import DELETING, Action, Braked, Expire, Mark, Sweep, deletions, deletions_digest
from drorch.domain.model import CopyState
from drorch.domain.native import Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import BrakeRule, DrillRule, Retired
from drorch.domain.retention import FUTURE

Pair = tuple[str, str]


def gone_of(world: Drawn, found: list[Action]) -> set[Pair]:
    """What the plan lets go of that is usable now (not what is left of a deletion that was begun)."""
    usable = {(v, p.id) for v in world.vaults for p in world.points if (c := p.copy_in(v)) is not None and c.usable}
    return taken(found) & usable


def lasts(world: Drawn, vault: str) -> set[Pair]:
    """The newest, the newest verified, the newest that is not suspect, of those there are."""
    there = world.usable(vault)
    firsts = [there[:1], [e for e in there if e[1].verified_at][:1], [e for e in there if not e[0].suspect][:1]]
    return {(vault, entry[0].id) for first in firsts for entry in first}


def needed(world: Drawn, vault: str) -> set[Pair]:
    """What is pinned, what a pending copy is made from, what the next native copy is incremental to, the future."""
    found = {(vault, p.id) for p in world.points if p.pinned or (p.cut_at and p.cut_at > world.now + FUTURE)}
    for p in world.points:
        if any(c.state is PENDING and c.expired_at is None and c.vault != vault for c in p.copies):
            found.add((vault, p.id))
    if world.native and vault == AWAY:
        newest: dict[str, tuple[datetime, str]] = {}
        for p in world.points:
            copy = p.copy_in(vault)
            if copy is not None and copy.usable and p.cut_at is not None:
                newest[copy.kms_key] = max(newest.get(copy.kms_key, (p.cut_at, p.id)), (p.cut_at, p.id))
        found |= {(vault, name) for _, name in newest.values()}
    return found


# --- the last of anything -------------------------------------------------------------------------------------------


@given(worlds())
def test_no_plan_lets_go_of_the_last_of_anything_nor_of_what_is_needed_whatever_is_approved(world: Drawn) -> None:
    found = world.plan()
    gone = gone_of(world, found)
    for vault in world.vaults:
        verified = [(vault, p.id) for p, c in world.usable(vault) if c.verified_at is not None]
        assert not gone & {(vault, p.id) for p, _ in world.usable(vault)[:1]}
        assert not gone & set(verified[:1])
        assert not gone & needed(world, vault)


@given(worlds())
def test_no_plan_goes_below_the_floor_of_points_that_fill_their_slots(world: Drawn) -> None:
    gone = gone_of(world, world.plan())
    for vault in world.vaults:
        there = world.usable(vault)
        filled = {p.slot if not p.manual else p.id for p, _ in there}
        assert len([p for p, _ in there if (vault, p.id) not in gone]) >= min(world.of.floor, len(filled))


@given(worlds(), st.booleans())
def test_after_an_applications_time_the_last_of_anything_goes_only_when_it_is_approved(
    world: Drawn, approve_all: bool
) -> None:
    retired = Retired(since=NOW - hours(999), until=NOW - hours(500), reason="sold")
    other = frozenset({("elsewhere", p.id) for p in world.points})
    found = world.plan(retired, approved=other)
    gone = gone_of(world, found)
    for vault in world.vaults:
        assert not gone & lasts(world, vault)
        there = world.usable(vault)
        assert len([p for p, _ in there if (vault, p.id) not in gone]) >= min(world.of.floor, len(there))
    assert gone_of(world, world.plan(retired, approved=deletions(found))) >= gone


@given(worlds())
def test_a_deletion_comes_only_after_the_grace_and_every_lock(world: Drawn) -> None:
    found = world.plan()
    copies = {(c.vault, p.id): c for p in world.points for c in p.copies}
    for action in only(found, Expire):
        copy = copies.get((action.vault, action.point))
        if copy is None or not copy.usable:
            assert copy is None or copy.expired_at is not None
            continue
        assert copy.expiring_since is not None
        assert copy.expiring_since + world.given["grace"] <= world.now
        assert copy.locked_until is None or copy.locked_until <= world.now
    for action in only(found, Mark):
        assert isinstance(action, Mark)
        state = copies[(action.vault, action.point)]
        assert action.mark != "kept" or state.state is CopyState.EXPIRING
        assert not action.lets_go or state.expiring_since is None


# --- what is not known ----------------------------------------------------------------------------------------------

_holding = st.sampled_from(
    [
        {"stale": True},
        {"skewed": "clocks differ"},
        {"never_read": frozenset({"nas"})},
        {"object_vaults": ()},
        {"unread": {OFF: "timeout", WEST: "timeout"}},
        {"running": {"orders": "dump", "data": "cut"}},
        {"restoring": "restore (process 9)"},
        {"drills": tuple(drilled(hours(1), passed=False, of=name) for name in ("orders", "data"))},
    ]
)


@given(worlds(), _holding, st.booleans())
def test_while_something_that_matters_is_not_known_nothing_is_deleted_and_no_deletion_begins(
    world: Drawn, holding: dict[str, Any], over: bool
) -> None:
    retired = Retired(since=NOW - hours(999), until=NOW - hours(500), reason="sold") if over else None
    drills = {"drills": holding["drills"]} if "drills" in holding else {}
    given = {key: value for key, value in holding.items() if key != "drills"}
    uploads = {v: {f"drorch/v1/data/shop/{world.of.name}/x/y": NOW - hours(9999)} for v in world.vaults}
    more = world.given["more"] | {"uploads": uploads} | drills
    found = world.plan(retired, approved=deletions(world.plan(retired)), more=more, **given)
    assert not taken(found) and not only(found, Expire, Sweep, Braked)
    assert drills or not only(found, *DELETING)


@given(worlds(), st.integers(0, 1))
def test_nothing_is_let_go_in_a_vault_that_was_not_read(world: Drawn, which: int) -> None:
    unread = world.vaults[which]
    found = world.plan(unread={unread: "timeout"})
    assert unread not in {vault for vault, _ in deletions(found)}
    assert not [action for action in only(found, *DELETING) if action.vault == unread]


@given(worlds(), st.integers(0, 3))
def test_while_the_head_of_another_host_is_fresh_nothing_is_done_at_all(world: Drawn, after: int) -> None:
    other = {"head": head(at=world.now - hours(after), host="there")}
    found = world.plan(host="here", more=world.given["more"] | other)
    assert after >= 2 or not only(found, *DELETING, Mark)
    mine = world.plan(host="there", more=world.given["more"] | other)
    assert taken(mine) == taken(world.plan())


@given(worlds())
def test_under_another_sources_identity_nothing_is_let_go(world: Drawn) -> None:
    known = [replace(p, identities=frozenset({"db-OLD"})) for p in world.points]
    sources = {"data": SourcesSeen((Source("vol-1", identity="db-NEW"),))}
    found = replace(world, points=known).plan(sources=sources)
    if world.native and any(p.usable for p in known):
        assert not deletions(found) and not only(found, *DELETING)


# --- what a plan is -------------------------------------------------------------------------------------------------


@given(worlds(), st.data())
def test_a_plan_is_the_same_for_the_same_world_in_whatever_order_it_is_told(world: Drawn, data: st.DataObject) -> None:
    found = world.plan()
    assert found == world.plan()
    shuffled = replace(world, points=data.draw(st.permutations(world.points)))
    copies = [replace(p, copies=tuple(reversed(p.copies))) for p in shuffled.points]
    more = {key: tuple(reversed(value)) for key, value in world.given["more"].items()}
    again = replace(shuffled, points=copies).plan(more=more)
    assert taken(again) == taken(found) and deletions_digest(again) == deletions_digest(found)
    assert shuffled.plan() == found


@given(worlds())
def test_the_brake_and_approvals_change_what_passes_and_never_the_digest(world: Drawn) -> None:
    wanted = world.plan(approved=deletions(world.plan()))
    for changes in ({}, {"brake": BrakeRule(share=1, count=1), "approved": frozenset()}):
        assert deletions_digest(world.plan(**changes)) == deletions_digest(wanted)
    assert not only(wanted, Braked)


@given(worlds())
def test_a_drill_that_passed_after_the_failed_one_lets_the_same_go_as_none(world: Drawn) -> None:
    name = world.of.name
    failed, passed = drilled(hours(30), passed=False, of=name), drilled(hours(29), of=name)
    rule = None if world.native else DrillRule(every=timedelta(days=7), from_=(OFF,))
    drills = replace(world, of=world.of.model_copy(update={"drill": rule}))
    found = drills.plan(more=world.given["more"] | {"drills": (passed, failed)}, drills=False)
    assert taken(found) == taken(world.plan())


@given(worlds())
def test_what_was_marked_is_waited_for_taken_back_or_deleted_and_never_marked_again(world: Drawn) -> None:
    since = world.now - hours(0.5)
    marked = [
        replace(p, copies=tuple(going(c.vault, since) if c.usable else c for c in p.copies)) for p in world.points
    ]
    found = replace(world, points=marked).plan()
    assert not gone_of(world, found)
