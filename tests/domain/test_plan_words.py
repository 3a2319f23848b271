"""What the planner says: actions and holds as people and scripts get them, and the instants at which they turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from passes import AWAY, HOME, OFF
from planning import (
    FAILED,
    NOW,
    PENDING,
    SLOT,
    WEST,
    alarms,
    data,
    drilled,
    dumped,
    head,
    hours,
    only,
    orders,
    planned,
    point,
    point_id,
    recorded,
    seen,
    slot,
    the_cut,
)
from pydantic import BaseModel, Field

from drorch.domain.action import Action, Cut, Drill, Hold, Settling
from drorch.domain.catalogue import Catalogue
from drorch.domain.head import other_host
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, Member, Oddity, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan import Failure, Observed, SourcesSeen, newest_usable
from drorch.domain.policy import DrillRule, VaultRule
from drorch.domain.policy import Keep as KeepRules

SECOND = timedelta(seconds=1)
FIRST = point_id("shop", "data", SLOT, 1)
DUMP = point_id("shop", "orders", SLOT, 1)
SETTLE = "settling for 5m"


def holds(actions: list[Action], alarm: str | None = None) -> list[Action]:
    """The holds (with this alarm)."""
    return [a for a in actions if isinstance(a, Hold) and alarm in (None, a.alarm)]


# --- cuts -----------------------------------------------------------------------------------------------------------


def test_a_cut_of_snapshots_and_one_of_a_dump() -> None:
    assert planned(seen()) == [Cut("shop", "data", HOME, FIRST, f"slot {SLOT} is due", SLOT, 1)]
    of_server = planned(seen(servers={"orders": "db:5432"}), orders())
    assert of_server == [Cut("shop", "orders", "", DUMP, f"slot {SLOT} is due", SLOT, 1, (OFF, WEST), "db:5432")]


def test_a_later_attempt_and_one_that_is_resumed() -> None:
    taken = frozenset({FIRST})
    (second,) = planned(seen(catalogue=Catalogue("shop", taken=taken)))
    assert (second.point, second.reason) == (
        point_id("shop", "data", SLOT, 2),
        f"slot {SLOT}: attempt 2, the earlier ones failed",
    )
    part = point(SLOT, recorded(HOME, PENDING, partial=True))
    cut = the_cut(planned(seen(part)))
    assert cut.reason == f"slot {SLOT}: not every creating call of the point was made"
    assert (cut.point, cut.attempt, cut.resumed, cut.into) == (FIRST, 1, True, ())


def test_a_part_of_a_point_that_has_another_sites_id_is_resumed_as_the_next_attempt() -> None:
    part = replace(point(SLOT, recorded(HOME, PENDING, partial=True)), id="foreign")
    cut = the_cut(planned(seen(catalogue=Catalogue("shop", (part,), taken=frozenset({FIRST})))))
    assert (cut.point, cut.attempt) == ("foreign", 2)


def test_a_part_elsewhere_or_of_a_dump_is_not_resumed() -> None:
    away = point(SLOT, recorded(HOME), recorded(AWAY, PENDING, partial=True))
    assert not only(planned(seen(away)), Cut)
    dump = point(SLOT, dumped(OFF, PENDING, partial=True), of="orders")
    assert not only(planned(seen(dump), orders()), Cut)


def test_a_partial_copy_is_found_among_others_of_the_slot() -> None:
    failed = point(SLOT, recorded(HOME, FAILED), attempt=1, late=timedelta(minutes=28))
    part = point(SLOT, recorded(HOME, PENDING, partial=True), attempt=2, late=timedelta(minutes=29))
    cut = the_cut(planned(seen(failed, part)))
    assert (cut.point, cut.attempt, cut.resumed) == (part.id, 2, True), "and waits for no failure before it"


def test_vaults_that_were_not_read() -> None:
    (home,) = holds(planned(seen(unread={HOME: "timeout"})), "vault-unread")
    assert home == Hold(
        "shop", "data", HOME, "", f"slot {SLOT}: {HOME} was not read completely (timeout)", "vault-unread"
    )
    both = planned(seen(unread={OFF: "timeout", WEST: "denied"}), orders())
    (dump,) = holds(both, "vault-unread")
    assert dump == Hold(
        "shop", "orders", "", "", f"slot {SLOT}: {OFF} was not read completely (timeout)", "vault-unread"
    )
    assert not holds(planned(seen(unread={AWAY: "timeout"})), "vault-unread")


def test_what_runs_and_what_settles() -> None:
    running = planned(seen(running={"data": "cut (process 7)"}))
    assert running == [Settling("shop", "data", HOME, FIRST, f"slot {SLOT}: cut (process 7) is running")]
    begun = planned(seen(intents={FIRST: NOW - timedelta(minutes=4)}))
    reason = f"slot {SLOT}: a call begun at 2026-11-20T09:26:00Z may still show; {SETTLE}"
    assert begun == [Settling("shop", "data", HOME, FIRST, reason)]


def _young(minute: int, since: timedelta, of: Any = None) -> list[Action]:
    now = NOW.replace(minute=minute)
    made = point(slot(1), recorded(HOME), recorded(AWAY)) if of is None else point(slot(1), dumped(OFF), of="orders")
    return planned(seen(made, state_since=now - since), of or data(), now)


def test_a_state_folder_that_is_new_settles_a_young_slot_of_snapshots() -> None:
    reason = f"slot {SLOT} is young and the state folder is new: a cut may be under way; settling"
    assert holds(_young(4, timedelta())) == [Settling("shop", "data", HOME, FIRST, reason)]
    assert not only(_young(4, timedelta(minutes=5) - SECOND), Cut)
    assert only(_young(4, timedelta(minutes=5)), Cut)
    assert only(_young(5, timedelta()), Cut)
    assert only(_young(4, timedelta(), orders(OFF)), Cut), "a dump's intents lie with its lock"


def test_attempts_that_failed() -> None:
    failed = [point(SLOT, recorded(HOME, FAILED), attempt=n, late=timedelta(minutes=20 + n)) for n in (1, 2)]
    (held,) = holds(planned(seen(*failed)))
    reason = "2 attempt(s) at this slot failed, next try at 2026-11-20T09:32:00Z"
    assert held == Hold("shop", "data", HOME, point_id("shop", "data", SLOT, 3), reason)
    assert not only(planned(seen(*failed), now=NOW + timedelta(minutes=2) - SECOND), Cut)
    assert the_cut(planned(seen(*failed), now=NOW + timedelta(minutes=2))).attempt == 3


def test_a_record_that_nobody_signed_is_no_attempt_and_delays_none() -> None:
    planted = point(SLOT, PointCopy(OFF, CopyState.UNSIGNED), of="orders", late=timedelta(minutes=29))
    assert only(planned(seen(planted), orders()), Cut)


def test_an_attempt_of_the_future_delays_none_of_now() -> None:
    for ahead, waits in ((5, True), (6, False)):
        failed = point(SLOT, recorded(HOME, FAILED), cut_at=NOW + timedelta(minutes=ahead))
        assert bool(only(planned(seen(failed)), Cut)) is not waits
    unknown = point(SLOT, recorded(HOME, FAILED), cut_at=None)
    assert only(planned(seen(unknown)), Cut)


def test_sources_that_are_not_seen() -> None:
    told = "its sources could not be seen: timeout"
    assert planned(seen(sources={"data": SourcesSeen(why="timeout")})) == [
        Hold("shop", "data", HOME, "", told, "sources-unread")
    ]
    (unseen,) = planned(seen(sources={}))
    assert unseen.reason == "its sources could not be seen: its sources were not observed"


def test_selections_that_match_nothing_or_less_than_before() -> None:
    (empty,) = planned(seen(sources={"data": SourcesSeen()}))
    reason = f"nothing in {HOME} matches {{}}: nothing would be protected"
    assert empty == Hold("shop", "data", HOME, "", reason, "empty-selection")
    members = (Member("s1", "vol-1"), Member("s2", "vol-2"), Member("s3", "vol-3"))
    before = point(slot(1), replace(recorded(HOME), members=members), recorded(AWAY))
    assert holds(planned(seen(before))) == [
        Hold(
            "shop",
            "data",
            HOME,
            before.id,
            f"{gone} was in the last point and is gone from the selection",
            "member-gone",
        )
        for gone in ("vol-2", "vol-3")
    ]


class Picky(BaseModel):
    """Options with a name of their own in the file, one that is left out, and one that is no text."""

    from_: tuple[str, ...] = Field(("a",), alias="from")
    note: str | None = None
    since: date = date(2026, 1, 1)


def test_what_matches_nothing_is_said_as_the_file_says_it() -> None:
    (empty,) = planned(seen(sources={"data": SourcesSeen()}), data(options=Picky()))
    assert "matches {'from': ['a'], 'since': '2026-01-01'}:" in empty.reason


def test_members_are_those_of_the_latest_usable_point_at_home() -> None:
    members = (Member("s1", "vol-1"), Member("s2", "vol-2"))
    older = point(slot(2), replace(recorded(HOME), members=members), recorded(AWAY))
    newer = point(slot(1), recorded(HOME), recorded(AWAY))
    assert not alarms(planned(seen(newer, older)))
    failed = point(slot(1), replace(recorded(HOME, FAILED), members=()))
    assert alarms(planned(seen(failed, older))) == ["member-gone"]
    away = point(slot(1), replace(recorded(AWAY), members=members))
    assert not alarms(planned(seen(away)))


def test_the_first_of_each_slot_of_a_vaults_own_cadence_is_cut_into_it() -> None:
    vaults = (
        VaultRule(vault=OFF, keep=KeepRules(last=60)),
        VaultRule(vault=WEST, keep=KeepRules(last=60), every=hours(6)),
    )
    of = orders(targets=vaults)  # the slot of six hours began at 06:00

    def into(*points: RecoveryPoint) -> tuple[str, ...]:
        return the_cut(planned(seen(*points), of)).into

    def made(at: timedelta, **more: Any) -> RecoveryPoint:
        return point(slot(1), dumped(OFF), of="orders", cut_at=NOW.replace(hour=6, minute=0) + at, **more)

    assert into() == (OFF, WEST)
    assert into(made(timedelta())) == (OFF,)
    assert into(made(-SECOND)) == (OFF, WEST)
    assert into(replace(made(timedelta()), slot="manual:x")) == (OFF, WEST)
    assert into(replace(made(timedelta()), copies=(dumped(OFF, FAILED),))) == (OFF, WEST)
    assert into(replace(made(timedelta()), cut_at=None)) == (OFF, WEST)
    for ahead, taken in ((5, True), (6, False)):
        future = replace(made(timedelta()), cut_at=NOW + timedelta(minutes=ahead))
        assert into(future) == ((OFF,) if taken else (OFF, WEST))


def test_where_no_vault_wants_the_slots_point_none_is_cut() -> None:
    of = orders(targets=(VaultRule(vault=OFF, keep=KeepRules(last=60), every=hours(6)),))
    assert not only(planned(seen(point(slot(1), dumped(OFF), of="orders")), of), Cut)


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_call_that_failed() -> None:
    key = the_cut(planned(seen())).key
    failures = {key: Failure(NOW - timedelta(minutes=6), 2, "denied")}
    reason = "cut failed 2 times, next try at 2026-11-20T09:34:00Z: denied"
    assert planned(seen(failures=failures)) == [Hold("shop", "data", HOME, FIRST, reason, "cut-failed")]
    assert not only(planned(seen(failures=failures), now=NOW + timedelta(minutes=4) - SECOND), Cut)


# --- another source -------------------------------------------------------------------------------------------------


def _identified(*identities: str, before: tuple[str, ...] = ("old-a", "old-b"), **changes: Any) -> list[Action]:
    last = point(slot(1), recorded(HOME), recorded(AWAY), identities=frozenset(before))
    sources = tuple(Source("vol-1", identity=identity) for identity in identities)
    return planned(seen(last, sources={"data": SourcesSeen(sources)}), data(**changes))


def test_a_name_that_is_reused() -> None:
    last = point_id("shop", "data", slot(1), 1)
    (held,) = holds(_identified("new-b", "new-a"))
    reason = (
        "it names new-a, new-b now, its last points are of old-a, old-b: a reused name is no continuation. Rename the "
        "resource, or say that its history goes on with formerly: [data]"
    )
    assert held == Hold("shop", "data", HOME, last, reason, "another-source")
    assert not only(_identified("new-a"), Cut), "nothing is cut beside a history that is not its own"


def test_what_is_the_same_source_or_not_known_to_be_another() -> None:
    assert not holds(_identified("old-a", "new"))
    assert not holds(_identified("new", before=()))
    assert not holds(_identified("new", formerly=("data",)))
    assert holds(_identified("new", formerly=("ledger",)), "another-source")
    assert not holds(_identified("", before=("vol-1",))), "the id of a source is its identity where it has no other"
    assert not holds(_identified(), "another-source")


def test_the_history_is_that_of_the_newest_usable_point_that_knows_its_source() -> None:
    known = point(slot(3), recorded(HOME), recorded(AWAY), identities=frozenset({"old"}))
    unknown = point(slot(1), recorded(HOME), recorded(AWAY))
    failed = point(slot(2), recorded(HOME, FAILED), identities=frozenset({"vol-1"}))
    (held,) = holds(planned(seen(unknown, failed, known)), "another-source")
    assert held.point == known.id


def test_dumps_have_no_sources_that_are_seen() -> None:
    last = point(slot(1), dumped(OFF), dumped(WEST), of="orders", identities=frozenset({"old"}))
    found = planned(seen(last, sources={"orders": SourcesSeen((Source("x", identity="new"),))}), orders())
    assert not holds(found, "another-source")


# --- drills ---------------------------------------------------------------------------------------------------------

DRILLED = orders(OFF, drill=DrillRule(every=timedelta(days=7), from_=(OFF,)))
OFTEN = orders(OFF, drill=DrillRule(every=hours(6), from_=(OFF,)))


def drills(*made: Any, of: Any = DRILLED, **changes: Any) -> list[Action]:
    usable = point(SLOT, dumped(OFF), of="orders")
    found = planned(seen(usable, more={"drills": made}, **changes), of)
    return [a for a in found if isinstance(a, Drill | Settling) or (isinstance(a, Hold) and a.alarm)]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ((), f"no drill from {OFF} yet"),
        ((drilled(timedelta(days=7)),), "last passed at 2026-11-13T09:30:00Z, due every 7d"),
        ((drilled(timedelta(days=1), passed=False),), "the drill at 2026-11-19T09:30:00Z failed"),
        ((drilled(-hours(9)), drilled(timedelta(days=8))), "last passed at 2026-11-12T09:30:00Z, due every 7d"),
        ((drilled(hours(1), vault=WEST), drilled(hours(1), of="data")), f"no drill from {OFF} yet"),
    ],
)
def test_why_a_drill_is_due(made: tuple[Any, ...], reason: str) -> None:
    assert drills(*made) == [Drill("shop", "orders", OFF, DUMP, reason)]


def test_when_a_drill_is_not_due() -> None:
    assert not drills(drilled(timedelta(days=7) - SECOND))
    assert not drills(drilled(-timedelta(minutes=5)))
    failed = drilled(timedelta(days=1) - SECOND, passed=False)
    reason = "the drill of p at 2026-11-19T09:30:01Z failed; it is tried again within a day"
    assert drills(failed) == [Hold("shop", "orders", OFF, "p", reason, "drill-failed")]
    assert only(drills(drilled(hours(6), passed=False), of=OFTEN), Drill), "sooner where drills are more frequent"
    assert not only(drills(drilled(hours(6) - SECOND, passed=False), of=OFTEN), Drill)


def test_nothing_is_drilled_by_a_clock_that_may_be_wrong() -> None:
    """Its proof would outweigh those of all the time in between."""
    assert not only(drills(skewed="the vault is 9 minutes behind"), Drill)


def test_a_drill_waits_for_what_runs() -> None:
    reason = f"drill from {OFF} is due, but dump is running"
    assert drills(running={"orders": "dump"}) == [Settling("shop", "orders", OFF, DUMP, reason)]


def test_each_vault_that_is_drilled_is_looked_at_by_itself() -> None:
    of = orders(drill=DrillRule(every=timedelta(days=7), from_=("nas", OFF, WEST)))
    usable = point(SLOT, dumped(OFF), dumped(WEST), of="orders")
    found = planned(seen(usable, more={"drills": (drilled(hours(1)),)}), of)
    assert [a.vault for a in only(found, Drill)] == [WEST]
    unread = planned(seen(usable, unread={OFF: "timeout"}), of)
    assert [a.vault for a in only(unread, Drill)] == [WEST]


def test_snapshots_are_drilled_where_their_rule_says_and_need_no_identity() -> None:
    of = data(drill=DrillRule(every=timedelta(days=7), from_=(HOME,)))
    world = replace(seen(point(SLOT, recorded(HOME))), drills=False)
    assert [drill.vault for drill in only(planned(world, of), Drill)] == [HOME]
    assert not only(planned(world, data()), Drill)


@pytest.mark.parametrize(("ahead", "wanted"), [(5, True), (6, False)])
def test_what_is_drilled_is_at_most_five_minutes_ahead(ahead: int, wanted: bool) -> None:
    near = point(SLOT, dumped(OFF), of="orders", cut_at=NOW + timedelta(minutes=ahead))
    older = point(slot(1), dumped(OFF), of="orders")
    (found,) = only(planned(seen(near, older), DRILLED), Drill)
    assert (found.point == near.id) is wanted


def test_of_a_point_whose_data_time_is_not_known_nobody_says_that_it_is_ahead() -> None:
    unknown = point(SLOT, dumped(OFF), of="orders", cut_at=None)
    assert [a.point for a in only(planned(seen(unknown), DRILLED), Drill)] == [unknown.id]
    ahead = point(slot(-9), dumped(OFF), of="orders")
    assert newest_usable((ahead, unknown), OFF) == ahead
    assert newest_usable((ahead, unknown), OFF, NOW) == unknown
    assert newest_usable((ahead,), OFF, NOW) is None


def test_a_copy_that_is_not_usable_is_not_drilled() -> None:
    unsigned = point(SLOT, PointCopy(OFF, CopyState.UNSIGNED), of="orders")
    assert not only(planned(seen(unsigned), DRILLED), Drill)


# --- another host ---------------------------------------------------------------------------------------------------


def test_what_stands_still_says_what_it_would_be() -> None:
    last = head(host="there", at=NOW - hours(0.5))
    said, held = holds(planned(seen(host="here", more={"head": last})), "other-host")
    assert said == Hold("shop", "", "", "", other_host(Catalogue("shop", head=last), "here", NOW), "other-host")
    reason = f"{other_host(Catalogue('shop', head=last), 'here', NOW)} (cut: slot {SLOT} is due)"
    assert held == Hold("shop", "data", HOME, FIRST, reason, "other-host")


# --- what does not fit ----------------------------------------------------------------------------------------------


def test_what_left_the_policy_and_what_does_not_fit() -> None:
    gone = [point(SLOT, dumped(OFF), of=name) for name in ("ledger", "books")]
    odd = Oddity(OFF, "somebody wrote over it", "orders", "p", "tampering")
    found = planned(seen(*gone, point(SLOT, dumped(OFF), of="orders"), more={"oddities": (odd,)}), orders(OFF))
    assert holds(found) == [
        Hold("shop", "books", "", "", "not in the policy any more: its points are kept", "left-behind"),
        Hold("shop", "ledger", "", "", "not in the policy any more: its points are kept", "left-behind"),
        Hold("shop", "orders", OFF, "p", "somebody wrote over it", "tampering"),
    ]


def test_records_go_where_they_can_be_written() -> None:
    observed = Observed(Catalogue("shop"), object_vaults=(OFF, WEST), unread={WEST: "timeout"})
    assert observed.writable == (OFF,)
