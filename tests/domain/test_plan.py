"""The planner: due cuts, attempts, drills, retention, and what it holds, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import AWAY, HOME, OFF
from planning import (
    FAILED,
    FREE,
    NOW,
    PENDING,
    SLOT,
    USABLE,
    WEST,
    alarms,
    data,
    dumped,
    hours,
    marks,
    only,
    orders,
    planned,
    point,
    point_id,
    recorded,
    seen,
    series,
    slot,
    taken,
    the_cut,
    why,
)

from drorch.domain.action import (
    EXECUTABLE,
    Action,
    Copy,
    Cut,
    Drill,
    Expire,
    Hold,
    Keep,
    Mark,
    Settling,
    Ship,
    deletions,
)
from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, Member, Oddity, RecoveryPoint
from drorch.domain.plan import Failure, SourcesSeen
from drorch.domain.policy import DrillRule
from drorch.domain.schedule import Cron

# --- cuts ----------------------------------------------------------------------------------------------------------


def test_a_due_slot_is_cut_once() -> None:
    cut = the_cut(planned(seen()))
    assert (cut.slot, cut.attempt, cut.point, cut.vault) == (SLOT, 1, point_id("shop", "data", SLOT, 1), HOME)
    for state in (PENDING, USABLE):
        assert not only(planned(seen(point(SLOT, recorded(HOME, state)))), Cut)


def test_older_slots_are_never_made_up() -> None:
    cut = the_cut(planned(seen(point(slot(30), recorded(HOME)))))
    assert cut.slot == SLOT


@given(st.integers(0, 60 * 24 * 400))
def test_at_any_instant_the_one_slot_that_is_due_is_the_current_one(minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    cut = the_cut(planned(seen(), orders(), now))
    start = datetime.strptime(cut.slot, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    assert start <= now < start + hours(1)
    filled = point(cut.slot, dumped(OFF), dumped(WEST), of="orders")
    assert not only(planned(seen(filled), orders(), now), *EXECUTABLE)


def test_a_day_of_clock_change_has_each_slot_once() -> None:
    """02:30 comes twice on 2026-10-25 in Berlin, and fires once."""
    nightly = orders(schedule=Cron("30 2 * * *", "Europe/Berlin"))
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)
    slots = {the_cut(planned(seen(), nightly, start + timedelta(minutes=15 * n))).slot for n in range(100)}
    assert slots == {"2026-10-24T00:30Z", "2026-10-25T00:30Z"}


def test_the_home_vault_unread_is_a_hold_and_never_a_cut() -> None:
    found = planned(seen(unread={HOME: "timeout"}))
    assert not only(found, *EXECUTABLE, Expire)
    assert "vault-unread" in alarms(found)


def test_a_dump_goes_into_the_vaults_that_can_be_read_and_is_shipped_to_the_others_later() -> None:
    cut = the_cut(planned(seen(unread={OFF: "timeout"}), orders()))
    assert cut.into == (WEST,)
    made = point(SLOT, dumped(WEST), of="orders")
    assert not only(planned(seen(made, unread={OFF: "timeout"}), orders()), *EXECUTABLE)
    assert only(planned(seen(made), orders()), *EXECUTABLE) == [
        Ship("shop", "orders", OFF, made.id, f"{OFF} lacks it", WEST)
    ]
    nowhere = planned(seen(unread={OFF: "timeout", WEST: "timeout"}), orders())
    assert not only(nowhere, *EXECUTABLE) and "vault-unread" in alarms(nowhere)


def test_while_it_runs_it_is_held() -> None:
    found = planned(seen(running={"orders": "cut (process 7)"}), orders())
    assert not only(found, Cut)
    assert "cut (process 7) is running" in only(found, Hold)[0].reason


def test_an_empty_selection_or_one_that_was_not_seen_is_an_alarm_and_never_a_cut() -> None:
    for sources, alarm in (
        (SourcesSeen(), "empty-selection"),
        (SourcesSeen(why="timeout"), "sources-unread"),
        (None, "sources-unread"),
    ):
        found = planned(seen(sources={} if sources is None else {"data": sources}))
        assert not only(found, Cut)
        assert alarms(found) == [alarm]


def test_an_empty_selection_is_an_alarm_after_the_slot_was_filled_too() -> None:
    assert alarms(planned(seen(point(SLOT, recorded(HOME), recorded(AWAY)), sources={"data": SourcesSeen()}))) == [
        "empty-selection"
    ]


def test_a_member_that_is_gone_is_reported_and_the_rest_is_cut() -> None:
    members = (Member("snap-1", "vol-1"), Member("snap-2", "vol-2"))
    before = point(slot(1), replace(recorded(HOME), members=members), recorded(AWAY))
    found = planned(seen(before))
    assert alarms(found) == ["member-gone"]
    assert "vol-2" in only(found, Hold)[0].reason
    assert the_cut(found)


# --- attempts, settling, back-off -----------------------------------------------------------------------------------


def test_an_attempt_that_failed_is_followed_by_the_next_with_back_off() -> None:
    failed = point(SLOT, recorded(HOME, FAILED), late=timedelta(minutes=28))
    found = planned(seen(failed))
    assert not only(found, Cut) and "1 attempt(s)" in only(found, Hold)[0].reason
    cut = the_cut(planned(seen(failed), now=NOW + timedelta(minutes=4)))
    assert (cut.attempt, cut.point) == (2, point_id("shop", "data", SLOT, 2))


def test_the_id_of_a_cut_that_is_gone_is_not_given_again_while_a_copy_of_it_may_show() -> None:
    gone = point_id("shop", "data", SLOT, 1)
    for key in (f"{gone}@{AWAY}", f"{gone}@{HOME}>{AWAY}"):
        cut = the_cut(planned(seen(intents={key: NOW - timedelta(hours=1)})))
        assert (cut.attempt, cut.point) == (2, point_id("shop", "data", SLOT, 2))
        assert cut.reason == f"slot {SLOT}: attempt 2, an earlier one is not seen, and a copy of it may show"


def test_the_attempt_is_the_smallest_whose_id_nothing_bears() -> None:
    taken = frozenset(point_id("shop", "data", SLOT, n) for n in (1, 2, 4))
    assert the_cut(planned(seen(catalogue=Catalogue("shop", taken=taken)))).attempt == 3


def test_a_dump_that_may_lie_in_a_vault_that_was_not_read_keeps_its_id() -> None:
    """It was begun there, and nobody could look since: two dumps under one id would be one too many for ever."""
    name = point_id("shop", "orders", SLOT, 1)
    blind = {"intents": {name: NOW - timedelta(minutes=4)}, "unread": {WEST: "timeout"}, "object_vaults": (OFF, WEST)}
    cut = the_cut(planned(seen(**blind), orders()))
    assert (cut.attempt, cut.point, cut.into) == (2, point_id("shop", "orders", SLOT, 2), (OFF,))
    assert cut.reason == f"slot {SLOT}: attempt 2, an earlier one may lie in {WEST}, not read now"
    two = blind | {"unread": {WEST: "timeout", "nas": "not mounted"}, "object_vaults": (OFF, WEST, "nas")}
    assert the_cut(planned(seen(**two), orders())).reason.endswith(f"may lie in nas, {WEST}, not read now")
    everything_read = the_cut(planned(seen(**blind | {"unread": {}}), orders()))
    assert (everything_read.attempt, everything_read.into) == (1, (OFF, WEST)), "nothing bears it, and nothing settles"
    region = seen(**blind | {"unread": {AWAY: "timeout"}})
    assert the_cut(planned(region, orders())).attempt == 1, "no dump lies in a region"
    assert the_cut(planned(seen(**blind | {"intents": {}}), orders())).attempt == 1


def test_of_a_native_cut_only_its_home_can_tell_whether_its_id_is_borne() -> None:
    name = point_id("shop", "data", SLOT, 1)
    blind = {"intents": {name: NOW - timedelta(minutes=4)}, "unread": {OFF: "timeout"}}
    found = planned(seen(**blind))
    assert not only(found, Cut) and any("settling" in hold.reason for hold in only(found, Hold))
    assert the_cut(planned(seen(**blind), now=NOW + timedelta(minutes=1))).attempt == 1


def test_an_unsigned_record_of_the_slot_neither_fills_it_nor_delays_it() -> None:
    planted = point(SLOT, PointCopy(OFF, CopyState.UNSIGNED), of="orders", late=hours(24 * 365))
    cut = the_cut(planned(seen(planted), orders()))
    assert cut.attempt == 2


def test_an_intent_that_stands_settles_before_the_call_is_made_again() -> None:
    name = point_id("shop", "data", SLOT, 1)
    found = planned(seen(intents={name: NOW - timedelta(minutes=4)}))
    assert not only(found, Cut) and "settling" in only(found, Hold)[0].reason
    assert the_cut(planned(seen(intents={name: NOW - timedelta(minutes=5)}))).attempt == 1


def test_a_young_slot_settles_when_the_state_folder_is_new_and_the_resource_is_not() -> None:
    now = NOW.replace(minute=3)
    older = point(slot(1), recorded(HOME), recorded(AWAY))
    young = {"state_since": now - timedelta(minutes=1)}
    assert not only(planned(seen(older, **young), now=now), Cut)
    assert the_cut(planned(seen(older), now=now))
    assert the_cut(planned(seen(**young), now=now)), "the first point ever waits for nothing"
    assert the_cut(planned(seen(older, **young), now=NOW)), "an old slot shows what was begun in it"


def test_a_cut_that_was_made_in_part_is_resumed_under_its_own_id() -> None:
    part = point(SLOT, recorded(HOME, PENDING, partial=True), attempt=2)
    taken = frozenset(point_id("shop", "data", SLOT, n) for n in (1, 2, 3))
    found = planned(seen(catalogue=Catalogue("shop", (part,), taken=taken)))
    cut = the_cut(found)
    assert (cut.point, cut.attempt, cut.resumed) == (part.id, 2, True)
    held = planned(seen(part, intents={part.id: NOW - timedelta(minutes=2)}))
    assert not only(held, Cut)


def test_a_call_that_failed_is_held_with_back_off_and_an_alarm() -> None:
    key = the_cut(planned(seen())).key
    failed = Failure(NOW - timedelta(minutes=4), 1, "access denied")
    found = planned(seen(failures={key: failed}))
    assert not only(found, Cut) and alarms(found) == ["cut-failed"]
    assert the_cut(planned(seen(failures={key: failed}), now=NOW + timedelta(minutes=1)))


@pytest.mark.parametrize(("count", "minutes"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)])
def test_back_off_doubles_up_to_an_hour(count: int, minutes: int) -> None:
    assert Failure(NOW, count, "").retry_at == NOW + timedelta(minutes=minutes)


def test_what_is_due_and_under_way_is_told_apart_from_what_merely_waits() -> None:
    """A run that ends while another process is at a resource, or a call is undecided, has not done all that was due."""
    due = planned(seen())
    begun = {the_cut(due).point: NOW - timedelta(minutes=1)}
    assert only(planned(seen(intents=begun)), Settling)
    assert only(planned(seen(running={"data": "cut (process 7)"})), Settling)
    assert not only(planned(seen(sources={"data": SourcesSeen()})), Settling)


def test_a_failed_drill_is_an_alarm_until_one_passes() -> None:
    resource = orders(drill=DrillRule(every=timedelta(days=7), from_=(OFF,)))
    made = point(SLOT, dumped(OFF), dumped(WEST), of="orders")
    failed, passed = drilled(0.5, passed=False), drilled(0.25)
    assert "drill-failed" in alarms(planned(seen(made, more={"drills": (failed,)}), resource))
    assert "drill-failed" not in alarms(planned(seen(made, more={"drills": (passed, failed)}), resource))


# --- drills --------------------------------------------------------------------------------------------------------


def drilled(days_ago: float, *, passed: bool = True, vault: str = OFF) -> Drilled:
    at = NOW - timedelta(days=days_ago)
    return Drilled("orders", vault, "p", at, at, passed, {"total": 60})


@pytest.mark.parametrize(
    ("drills", "due"),
    [
        ((), True),
        ((drilled(6.9),), False),
        ((drilled(7),), True),
        ((drilled(0.9, passed=False),), False),
        ((drilled(1, passed=False),), True),
        ((drilled(2), drilled(9, passed=False)), False),
        ((drilled(1, vault=WEST),), True),
        ((drilled(-300), drilled(8)), True),  # signed while the clock was wrong
    ],
)
def test_drills_are_due_from_their_proofs_alone(drills: tuple[Drilled, ...], due: bool) -> None:
    rule = DrillRule(every=timedelta(days=7), from_=(OFF,))
    made = point(SLOT, dumped(OFF), dumped(WEST), of="orders")
    found = only(planned(seen(made, more={"drills": drills}), orders(drill=rule)), Drill)
    assert [action.point for action in found] == ([made.id] if due else [])


def test_the_newest_plausible_point_of_that_vault_is_drilled() -> None:
    rule = DrillRule(every=timedelta(days=7), from_=(OFF,))
    points = [
        point(SLOT, dumped(WEST), of="orders"),
        point(slot(1), dumped(OFF), dumped(WEST), of="orders"),
        point(slot(-99), dumped(OFF), dumped(WEST), of="orders"),
    ]
    (found,) = only(planned(seen(*points), orders(drill=rule)), Drill)
    assert found.point == points[1].id
    held = planned(seen(*points, running={"orders": "cut"}), orders(drill=rule))
    assert not only(held, Drill)
    assert not only(planned(seen(*points, unread={OFF: "away"}), orders(drill=rule)), Drill)


# --- retention -----------------------------------------------------------------------------------------------------


def test_what_no_rule_keeps_is_marked_first_the_oldest_first() -> None:
    points = series(9, OFF, WEST)
    found = planned(seen(*points), orders())
    assert {(type(a), a.into) for a in only(found, *EXECUTABLE) if isinstance(a, Mark)} == {(Mark, (OFF,))}
    assert only(found, *EXECUTABLE) == only(found, Mark), "and nothing is deleted"
    for vault in (OFF, WEST):
        assert [a.point for a in only(found, Keep) if a.vault == vault] == [p.id for p in points[:3]]
        assert marks(found, vault=vault) == [p.id for p in reversed(points[3:])]


def test_nothing_is_let_go_on_an_incomplete_view_or_under_an_invalid_policy() -> None:
    points = series(9, OFF, WEST)
    found = planned(seen(*points, unread={OFF: "timeout"}, object_vaults=(OFF, WEST)), orders())
    assert {vault for vault, _ in taken(found)} == {WEST}
    stale = planned(seen(*points, stale=True), orders())
    assert not only(stale, *EXECUTABLE, Keep) and len(only(stale, Hold)) == 2


def test_the_source_of_a_pending_copy_stays() -> None:
    points = [point(slot(n), recorded(HOME), recorded(AWAY, PENDING if n == 8 else USABLE)) for n in range(9)]
    found = planned(seen(*points))
    assert points[8].id not in marks(found, vault=HOME)
    assert points[7].id in marks(found, vault=HOME)
    assert why(found, HOME, points[8].id) == f"source of the pending copy to {AWAY}"


def test_of_two_points_of_one_slot_the_earliest_is_kept_where_it_lies_the_other_where_it_is_all_there_is() -> None:
    first = point(slot(1), dumped(OFF), of="orders")
    second = point(slot(1), dumped(OFF), dumped(WEST), of="orders", attempt=2, late=timedelta(minutes=9))
    newest = point(SLOT, dumped(OFF), dumped(WEST), of="orders")
    of = orders(floor=1)
    found = planned(seen(first, second, newest, brake=FREE), of)
    verdicts = {(a.vault, a.point): type(a) for a in only(found, Keep, Mark) if a.point != newest.id}
    assert verdicts == {(OFF, first.id): Keep, (OFF, second.id): Mark, (WEST, second.id): Keep}
    assert [(a.vault, a.point) for a in only(found, Ship)] == [(WEST, first.id)]
    lost = planned(seen(first, second, newest, unread={OFF: "gone"}, object_vaults=(OFF, WEST)), of)
    assert [type(a) for a in only(lost, Keep, Mark, Expire)] == [Keep, Keep]


def test_a_duplicate_is_not_brought_anywhere_unless_the_other_one_cannot_be_read() -> None:
    first = point(SLOT, dumped("nas"), of="orders")
    second = point(SLOT, dumped(OFF), of="orders", attempt=2, late=timedelta(minutes=9))
    of = orders(OFF, WEST, "nas")
    assert {(a.vault, a.point) for a in only(planned(seen(first, second), of), Ship)} == {
        (OFF, first.id),
        (WEST, first.id),
    }
    away = planned(seen(first, second, unread={"nas": "away"}), of)
    assert [(a.vault, a.point) for a in only(away, Ship)] == [(WEST, second.id)]


def test_pinned_and_manual_points_are_owed_and_kept() -> None:
    pinned = point(slot(40), dumped(OFF), of="orders", pinned=True)
    manual = point("manual:2026-11-19T08:00:00Z", dumped(OFF), of="orders")
    others = [point(slot(n), dumped(OFF), dumped(WEST), of="orders") for n in range(5)]
    found = planned(seen(pinned, manual, *others), orders())
    assert {a.point for a in only(found, Ship)} == {pinned.id, manual.id}
    assert {pinned.id, manual.id} <= {a.point for a in only(found, Keep) if a.vault == OFF}


def test_what_left_the_policy_and_what_does_not_fit_is_reported_and_untouched() -> None:
    gone = point(SLOT, dumped(OFF), of="ledger")
    odd = Oddity(HOME, "snap-9 bears drorch's tags without a valid id: held, never touched", "data", "x")
    found = planned(seen(gone, more={"oddities": (odd,)}), orders())
    assert alarms(found) == ["left-behind", "oddity"]
    assert not [a for a in found if a.resource in ("ledger", "data") and not isinstance(a, Hold)]


# --- for any world --------------------------------------------------------------------------------------------------

_states = st.sampled_from(list(CopyState))


def _world(make: Callable[..., PointCopy], vaults: tuple[str, ...], of: str) -> st.SearchStrategy[list[RecoveryPoint]]:
    copies = st.fixed_dictionaries({vault: st.none() | _states for vault in vaults})
    entry = st.builds(
        lambda hour, attempt, states, pinned, manual: point(
            f"manual:{slot(hour)[:16]}:00Z" if manual else slot(hour),
            *(make(vault, state) for vault, state in states.items() if state is not None),
            of=of,
            attempt=attempt,
            pinned=pinned,
        ),
        st.integers(0, 12),
        st.integers(1, 2),
        copies,
        st.booleans(),
        st.booleans(),
    )
    return st.lists(entry, max_size=10, unique_by=lambda p: p.id)


_unread = st.dictionaries(st.sampled_from([HOME, AWAY, OFF, WEST]), st.just("timeout"), max_size=2)


@given(_world(dumped, (OFF, WEST, "nas"), "orders"), _unread, st.integers(1, 3))
def test_any_world_of_dumps(points: list[RecoveryPoint], unread: dict[str, str], floor: int) -> None:
    of = orders(OFF, WEST, floor=floor)
    observed = seen(*points, unread=unread)
    found = planned(observed, of)
    assert found == planned(observed, of), "the same world, the same plan"
    _nothing_rash(found, points, unread, floor)
    known = {p.id: p for p in points}
    for action in only(found, Ship):
        there = known[action.point].copy_in(action.vault)
        assert isinstance(action, Ship)
        source = known[action.point].copy_in(action.source)
        assert there is None and source is not None and source.usable and action.source not in unread


@given(_world(recorded, (HOME, AWAY), "data"), _unread, st.integers(1, 3))
def test_any_world_of_snapshots(points: list[RecoveryPoint], unread: dict[str, str], floor: int) -> None:
    found = planned(seen(*points, unread=unread), data(floor=floor))
    _nothing_rash(found, points, unread, floor)
    if HOME in unread:
        assert not only(found, Cut, Copy)


def _nothing_rash(found: list[Action], points: list[RecoveryPoint], unread: dict[str, str], floor: int) -> None:
    assert len(only(found, Cut)) <= 1
    filled = any(p.slot == SLOT and any(c.usable or c.state is PENDING for c in p.copies) for p in points)
    assert not (filled and only(found, Cut))
    assert len({action.key for action in found if isinstance(action, EXECUTABLE)}) == len(only(found, *EXECUTABLE))
    assert not [a for a in only(found, *EXECUTABLE) if a.vault in unread]
    for vault in {vault for vault, _ in deletions(found)}:
        assert vault not in unread
        gone = {name for where, name in deletions(found) if where == vault}
        usable = [p for p in points if (c := p.copy_in(vault)) is not None and c.usable]
        assert not [p for p in usable if p.pinned and p.id in gone]
        left = [p for p in usable if p.id not in gone]
        slots = {p.slot for p in usable if not p.manual}
        assert len(left) >= min(floor, len(slots))
        _one_of_each_slot(found, vault, [p for p in usable if not p.manual])


def _one_of_each_slot(found: list[Action], vault: str, usable: list[RecoveryPoint]) -> None:
    """What the rules keep is the earliest of its slot; another one stays for another reason only."""
    first = {p.slot: p.id for p in sorted(usable, key=lambda p: (p.cut_at or NOW, p.id), reverse=True)}
    for p in usable:
        reasons = [a.reason for a in found if isinstance(a, Keep) and (a.vault, a.point) == (vault, p.id)]
        if p.id != first[p.slot]:
            assert not [reason for reason in reasons if "last" in reason.split(";")[0] or "floor" in reason]


def test_a_host_that_cannot_open_dumps_plans_no_drill() -> None:
    """Identities lie only on hosts that run drills; the others leave them to those."""
    resource = orders(drill=DrillRule(every=timedelta(days=7), from_=(OFF,)))
    usable = point(SLOT, dumped(OFF), dumped(WEST), of="orders")
    assert only(planned(seen(usable), resource), Drill)
    assert not only(planned(seen(usable, drills=False), resource), Drill)
