"""Letting go: the mark, the grace, the deletion; what takes a mark back, and what holds all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from passes import AWAY, HOME, OFF
from planning import (
    AN_HOUR_AGO,
    FAILED,
    FREE,
    GRACE,
    NOW,
    PENDING,
    SLOT,
    USABLE,
    WEST,
    alarms,
    data,
    drilled,
    dumped,
    expired,
    going,
    head,
    hours,
    marks,
    only,
    orders,
    planned,
    point,
    recorded,
    seen,
    series,
    slot,
    taken,
    why,
)

from drorch.domain.action import DELETING, Action, Braked, Expire, Hold, Keep, Mark, deletions_digest
from drorch.domain.catalogue_upkeep import Leftover
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.native import Source
from drorch.domain.plan import Failure, SourcesSeen
from drorch.domain.policy import DrillRule, VaultRule
from drorch.domain.policy import Keep as KeepRules
from drorch.domain.schedule import Cron

LAST_3 = series(3, OFF)
"""What keeps an older point from being needed."""


def old(**more: Any) -> RecoveryPoint:
    """A point that no rule keeps, in OFF."""
    return point(slot(40), dumped(OFF, **more), of="orders")


def plan_of(*points: RecoveryPoint, **changes: Any) -> list[Action]:
    return planned(seen(*LAST_3, *points, **changes), orders(OFF))


# --- mark, grace, deletion ------------------------------------------------------------------------------------------


def test_a_copy_that_no_rule_keeps_is_marked_in_every_vault_that_takes_records() -> None:
    vaults = (OFF, WEST, "nas")
    found = plan_of(old(), object_vaults=vaults, unread={"nas": "timeout"})
    assert only(found, Mark, Expire) == [
        Mark("shop", "orders", OFF, old().id, "no keep rule keeps it", "expiring", (OFF, WEST))
    ]


def test_it_is_deleted_no_earlier_than_the_grace_after_its_mark() -> None:
    for since, over in ((NOW - GRACE, True), (NOW - GRACE + timedelta(seconds=1), False)):
        marked = point(slot(40), going(OFF, since), of="orders")
        found = plan_of(marked)
        assert expired(found) == ([marked.id] if over else []) and not marks(found)
        if over:
            reason = "no keep rule keeps it; marked for longer than 3d"
            assert only(found, Expire) == [Expire("shop", "orders", OFF, marked.id, reason, (OFF,))]
        else:
            waiting = "no keep rule keeps it; marked, and deleted no earlier than 2026-11-20T09:30:01Z"
            assert only(found, Hold) == [Hold("shop", "orders", OFF, marked.id, waiting)]


def test_the_grace_is_that_of_the_host() -> None:
    marked = point(slot(40), going(OFF, NOW - hours(2)), of="orders")
    assert not expired(plan_of(marked, grace=hours(3)))
    assert expired(plan_of(marked, grace=hours(2)))


def test_rules_that_keep_it_again_take_the_mark_back() -> None:
    marked = point(slot(40), going(OFF, NOW - GRACE), of="orders")
    kept = orders(targets=(VaultRule(vault=OFF, keep=KeepRules(last=4)),))
    found = planned(seen(*LAST_3, marked), kept)
    assert only(found, Mark, Expire) == [
        Mark("shop", "orders", OFF, marked.id, "kept again: last 4 of 4", "kept", (OFF,))
    ]
    nowhere = planned(seen(*LAST_3, marked, object_vaults=()), kept)
    assert not only(nowhere, Mark, Expire) and why(nowhere, OFF, marked.id) == "last 4 of 4"


def test_a_pin_takes_the_mark_back() -> None:
    marked = point(slot(40), going(OFF, NOW - GRACE), of="orders", pinned=True)
    assert marks(plan_of(marked), "kept") == [marked.id] and not expired(plan_of(marked))


def test_a_lock_that_is_read_back_is_waited_for() -> None:
    for until, over in ((NOW, True), (NOW + timedelta(seconds=1), False)):
        marked = point(slot(40), going(OFF, NOW - GRACE, locked_until=until), of="orders")
        found = plan_of(marked)
        assert bool(expired(found)) is over
        reason = "no keep rule keeps it; locked until 2026-11-20T09:30:01Z"
        assert over or only(found, Hold) == [Hold("shop", "orders", OFF, marked.id, reason)]


def test_what_is_kept_is_told_with_every_reason() -> None:
    reason = "last 1 of 3; floor: the newest 2 usable points of a vault always stay"
    assert only(plan_of(), Keep)[0] == Keep("shop", "orders", OFF, LAST_3[0].id, reason)


def test_a_copy_with_a_mark_expired_alone_is_marked_anew_and_waited_for() -> None:
    """Whoever deletes marks first: an `expired` without an `expiring` says nothing of a grace."""
    whole = point(slot(40), dumped(OFF, CopyState.EXPIRING, expired_at=NOW - GRACE), of="orders")
    assert marks(plan_of(whole)) == [whole.id] and not expired(plan_of(whole))


def test_copies_in_other_states_are_not_let_go() -> None:
    for state in (CopyState.PENDING, CopyState.FAILED, CopyState.UNSIGNED, CopyState.UNSUPPORTED):
        odd = point(slot(40), dumped(OFF, state), of="orders")
        assert not taken(plan_of(odd))


def test_a_copy_whose_data_time_is_not_known_is_not_let_go() -> None:
    assert not taken(plan_of(replace(old(), cut_at=None)))


def test_the_oldest_goes_first_and_the_brake_spares_the_newest() -> None:
    points = series(12, OFF, start=30)
    found = plan_of(*points)
    assert marks(found) == [p.id for p in reversed(points)][:6]  # three were added, 20% of 15
    assert [a.point for a in only(found, Braked)] == [p.id for p in reversed(points)][6:]


def test_the_digest_of_a_plan_is_that_of_what_it_wants_held_by_the_brake_or_not() -> None:
    points = series(12, OFF, start=30)
    approved = frozenset((OFF, p.id) for p in points)
    digests = {deletions_digest(plan_of(*points, **given)) for given in ({}, {"brake": FREE}, {"approved": approved})}
    assert len(digests) == 1
    assert len(marks(plan_of(*points, approved=approved))) == 12
    other = frozenset((OFF, p.id) for p in points[:2])
    assert set(marks(plan_of(*points, approved=other))) == {p.id for p in [*points[:2], *points[6:]]}


def test_a_deletion_that_failed_waits_and_the_brake_does_not_count_it() -> None:
    marked = point(slot(40), going(OFF, NOW - GRACE), of="orders")
    key = only(plan_of(marked), Expire)[0].key
    found = plan_of(marked, failures={key: Failure(NOW - timedelta(minutes=1), 1, "timeout")})
    assert not expired(found) and "expire-failed" in alarms(found)


# --- what holds it --------------------------------------------------------------------------------------------------

DRILLED_ONCE = orders(OFF, drill=DrillRule(every=timedelta(days=7), from_=(OFF,)))


@pytest.mark.parametrize(
    ("changes", "alarm", "said"),
    [
        ({"skewed": "the vaults' clocks are 9 minutes ahead"}, "clock", "the vaults' clocks are 9 minutes ahead"),
        (
            {"never_read": frozenset({"nas", WEST})},
            "",
            "nothing is known of nas, s3-west, where pins, proofs and marks may lie",
        ),
        ({"object_vaults": ()}, "no-object-vault", "there is no object vault that could hold the marks"),
        (
            {"object_vaults": (WEST,), "unread": {WEST: "timeout"}},
            "",
            "no object vault can take the marks now",
        ),
        ({"running": {"orders": "dump (process 7)"}}, "", "dump (process 7) is running"),
        ({"restoring": "restore (process 9)"}, "", "restore (process 9) is running"),
        (
            {"more": {"drills": (drilled(hours(2), passed=False),)}},
            "drill-failed",
            f"the drill of p from {OFF} at 2026-11-20T07:30:00Z failed, and none has passed since",
        ),
    ],
)
def test_what_holds_every_mark_and_deletion_of_a_resource(changes: Mapping[str, Any], alarm: str, said: str) -> None:
    marked = point(slot(43), going(OFF, NOW - GRACE), of="orders")
    half = point(slot(41), dumped(OFF, FAILED, expired_at=AN_HOUR_AGO), of="orders")
    left = Leftover(OFF, "orders", "x", NOW, ("data/x",), True)
    assert len(taken(plan_of(old(), marked, half, more={"leftovers": (left,)}))) == 4
    given = dict(changes) | {"more": {"leftovers": (left,)} | changes.get("more", {})}
    found = plan_of(old(), marked, half, **given)
    assert not only(found, *DELETING) and not marks(found)
    assert [a for a in only(found, Hold) if said in a.reason] == [
        Hold("shop", "orders", OFF, "", f"2 copies would be let go, but {said}", alarm),
        Hold("shop", "orders", OFF, half.id, f"its deletion was begun and not ended, but {said}", alarm),
        Hold("shop", "orders", OFF, "x", f"its manifest is deleted, data of it are left, but {said}", alarm),
    ]
    assert [a.point for a in only(found, Keep)] == [p.id for p in LAST_3], "what is kept is told all the same"


def test_one_copy_that_is_held_is_one() -> None:
    held = only(plan_of(old(), skewed="clocks differ"), Hold)
    assert [a.reason for a in held] == ["1 copy would be let go, but clocks differ"]


def test_another_resource_that_runs_holds_nothing() -> None:
    assert taken(plan_of(old(), running={"data": "dump"}))


def test_an_unread_vault_lets_nothing_go_and_the_others_do() -> None:
    points = [point(slot(n), dumped(OFF), dumped(WEST), of="orders") for n in (0, 1, 2, 40)]
    half = Leftover(WEST, "orders", "x", NOW, ("data/x",), True)
    observed = seen(*points, unread={WEST: "timeout"}, more={"leftovers": (half,)})
    found = planned(observed, orders(OFF, WEST))
    assert taken(found) == {(OFF, points[3].id)}
    reason = "not read completely, so nothing there would be let go: timeout"
    assert Hold("shop", "orders", WEST, "", reason) in found


def test_a_stale_policy_lets_nothing_go() -> None:
    found = plan_of(old(), stale=True)
    assert not taken(found)
    reason = "its policy file is invalid, so nothing there would be let go"
    assert Hold("shop", "orders", OFF, "", reason) in found


def test_a_vault_that_the_policy_does_not_name_any_more_keeps_what_it_has() -> None:
    points = [point(slot(n), dumped(OFF), dumped("nas"), of="orders") for n in (0, 1, 2, 40)]
    found = planned(seen(*points), orders(OFF))
    assert {vault for vault, _ in taken(found)} == {OFF}
    reason = "the policy does not name this vault (any more): its copies there are kept"
    assert only(found, Hold) == [Hold("shop", "orders", "nas", "", reason, "left-behind")]


def test_a_failed_drill_holds_until_one_passes_from_the_same_vault_while_it_is_drilled() -> None:
    failed, passed = drilled(hours(9), passed=False), drilled(hours(2))
    cases = [
        ((failed,), False),
        ((passed, failed), True),
        ((drilled(hours(2), vault=WEST), failed), False),
        ((drilled(hours(2), of="data"), failed), False),
        ((drilled(hours(1), passed=False), passed), False),
    ]
    for drills, free in cases:
        found = planned(seen(*LAST_3, old(), more={"drills": drills}), DRILLED_ONCE)
        assert bool(taken(found)) is free, drills


def test_a_drill_that_could_only_say_restorable_has_not_failed_and_ends_one_that_has() -> None:
    failed = drilled(hours(9), passed=False)
    restorable = replace(drilled(hours(2), passed=False), restorable=True)
    assert not taken(planned(seen(*LAST_3, old(), more={"drills": (failed,)}), DRILLED_ONCE))
    assert taken(planned(seen(*LAST_3, old(), more={"drills": (restorable, failed)}), DRILLED_ONCE))


def test_a_failed_drill_from_a_vault_that_is_drilled_no_more_is_settled_by_a_later_one_from_elsewhere() -> None:
    failed = drilled(hours(9), passed=False, vault=WEST)
    for other, free in ((drilled(hours(2)), True), (drilled(hours(9)), False), (drilled(hours(10)), False)):
        drills = sorted((failed, other), key=lambda d: d.at, reverse=True)
        found = planned(seen(*LAST_3, old(), more={"drills": tuple(drills)}), DRILLED_ONCE)
        assert bool(taken(found)) is free
    without = planned(seen(*LAST_3, old(), more={"drills": (drilled(hours(2)), failed)}), orders(OFF))
    assert taken(without)


def test_while_another_host_is_at_work_nothing_at_all_is_done() -> None:
    marked = point(slot(40), going(OFF, NOW - GRACE), of="orders")
    fresh = {"head": head(host="there")}
    found = plan_of(marked, old(), host="here", more=fresh)
    assert not only(found, *DELETING, Mark) and "other-host" in alarms(found)
    assert expired(plan_of(marked, host="here", more={"head": head(host="there", at=NOW - hours(2))}))
    assert expired(plan_of(marked, host="here", more={"head": head()}))


def _native(*vaults: str, hour: int, **more: Any) -> RecoveryPoint:
    return point(slot(hour), *(recorded(vault) for vault in vaults), **more)


def test_under_the_name_of_another_source_nothing_is_let_go() -> None:
    points = [_native(HOME, AWAY, hour=n, identities=frozenset({"db-OLD"})) for n in range(1, 9)]

    def found(identity: str, **changes: Any) -> list[Action]:
        sources = {"data": SourcesSeen((Source("vol-1", identity=identity),))}
        return planned(seen(*points, sources=sources), data(**changes))

    assert taken(found("db-OLD"))
    assert not taken(found("db-NEW")) and alarms(found("db-NEW")) == ["another-source"]
    assert taken(found("db-NEW", formerly=("data",))), "it was said that the source was replaced"
    assert not alarms(found("db-NEW", formerly=("data",)))


def test_a_source_that_could_not_be_seen_is_no_other_source() -> None:
    points = [_native(HOME, AWAY, hour=n, identities=frozenset({"db-OLD"})) for n in range(1, 9)]
    assert taken(planned(seen(*points, sources={"data": SourcesSeen(why="timeout")})))


# --- deletions that were cut short ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [FAILED, PENDING])
def test_what_is_left_of_a_deletion_goes_without_another_grace(state: CopyState) -> None:
    half = point(slot(1), dumped(OFF, state, expired_at=AN_HOUR_AGO), of="orders")
    found = planned(seen(*series(3, OFF, start=2), half), orders(OFF))
    reason = "its deletion was begun and not ended"
    assert only(found, Expire) == [Expire("shop", "orders", OFF, half.id, reason, (OFF,))]
    assert not taken(plan_of(replace(half, pinned=True))), "a pin keeps what is left, too"
    assert not taken(plan_of(point(slot(40), dumped(OFF, state), of="orders")))


def test_a_whole_copy_whose_deletion_was_begun_is_judged_like_every_other() -> None:
    whole = point(SLOT, going(OFF, NOW - GRACE, expired_at=AN_HOUR_AGO), of="orders")
    found = planned(seen(*series(2, OFF, start=1), whole), orders(OFF))
    assert not expired(found) and marks(found, "kept") == [whole.id]


def test_data_whose_manifest_was_deleted_with_a_mark_goes_and_no_other() -> None:
    def left(vault: str = OFF, of: str = "orders", *, expired: bool = True) -> Leftover:
        return Leftover(vault, of, "x", NOW, ("data/x",), expired)

    found = plan_of(more={"leftovers": (left(), left(WEST), left(of="data"), left(expired=False))})
    reason = "its manifest is deleted, data of it are left"
    assert only(found, Expire) == [Expire("shop", "orders", OFF, "x", reason, (OFF,))]


# --- what is needed elsewhere ---------------------------------------------------------------------------------------


def test_the_source_of_a_pending_copy_stays_while_the_policy_wants_that_copy() -> None:
    waiting = _native(HOME, hour=40)
    waiting = replace(waiting, copies=(*waiting.copies, recorded(AWAY, PENDING), recorded("prod.eu-west-1", PENDING)))
    found = planned(seen(*(_native(HOME, AWAY, hour=n) for n in range(4)), waiting))
    assert why(found, HOME, waiting.id) == f"source of the pending copy to {AWAY}"
    unwanted = replace(waiting, copies=(recorded(HOME), recorded("prod.eu-west-1", PENDING)))
    gone = planned(seen(*(_native(HOME, AWAY, hour=n) for n in range(4)), unwanted))
    assert (HOME, unwanted.id) in taken(gone)


def test_every_vault_that_waits_for_a_copy_is_named() -> None:
    waiting = point(slot(40), dumped(OFF), dumped(WEST, PENDING), dumped("nas", PENDING), of="orders")
    found = planned(seen(*LAST_3, waiting), orders(OFF, WEST, "nas"))
    assert why(found, OFF, waiting.id) == "source of the pending copy to nas, s3-west"


def test_what_several_vaults_are_owed_stays() -> None:
    keeps = {OFF: KeepRules(last=1), WEST: KeepRules(last=2), "nas": KeepRules(last=1, within=hours(5))}
    rules = tuple(VaultRule(vault=vault, keep=keep) for vault, keep in keeps.items())
    points = series(9, OFF)
    found = planned(seen(*points, brake=FREE), orders(targets=rules, floor=1))
    assert why(found, OFF, points[1].id) == f"{WEST} is owed it and lacks it"
    assert why(found, OFF, points[4].id) == "nas is owed it and lacks it"
    assert marks(found) == [p.id for p in reversed(points[6:])]


def test_a_pending_copy_here_does_not_make_the_others_its_source_twice() -> None:
    waiting = point(slot(40), recorded(HOME, PENDING), recorded(AWAY))
    found = planned(seen(*(_native(HOME, AWAY, hour=n) for n in range(4)), waiting))
    assert why(found, AWAY, waiting.id) == f"source of the pending copy to {HOME}"


def test_the_newest_copy_under_each_key_stays_at_a_native_destination() -> None:
    """The next copy under that key is incremental to it."""

    def keyed(hour: int, key: str) -> RecoveryPoint:
        return point(slot(hour), recorded(HOME), replace(recorded(AWAY), kms_key=key))

    points = (
        [keyed(n, "new") for n in range(4)] + [keyed(n, "old") for n in (40, 41)] + [keyed(n, "") for n in (50, 51)]
    )
    found = planned(seen(*points, brake=FREE))
    assert why(found, AWAY, points[4].id) == "the newest copy under old: the next is incremental to it"
    assert why(found, AWAY, points[6].id) == "the newest copy under no key: the next is incremental to it"
    gone = {name for vault, name in taken(found) if vault == AWAY}
    assert gone == {points[n].id for n in (3, 5, 7)}
    assert {name for vault, name in taken(found) if vault == HOME} == {p.id for p in points[3:]}, "at home, none is"


def test_dumps_have_no_incremental_anchor() -> None:
    keyed = point(slot(40), dumped(OFF, kms_key="old"), of="orders")
    assert marks(plan_of(keyed)) == [keyed.id]


def test_what_another_vault_is_owed_and_lacks_stays_until_it_is_there() -> None:
    rules = (VaultRule(vault=OFF, keep=KeepRules(last=1)), VaultRule(vault=WEST, keep=KeepRules(last=4)))
    points = [point(slot(n), dumped(OFF), *([dumped(WEST)] if n < 3 else []), of="orders") for n in range(6)]
    found = planned(seen(*points, brake=FREE), orders(targets=rules, floor=1))
    assert why(found, OFF, points[3].id) == f"{WEST} is owed it and lacks it"
    assert marks(found, vault=OFF) == [points[n].id for n in (5, 4, 2, 1)]
    damaged = replace(points[1], copies=(dumped(OFF), dumped(WEST, FAILED)))
    again = planned(seen(points[0], damaged, *points[2:], brake=FREE), orders(targets=rules, floor=1))
    assert why(again, OFF, damaged.id) == f"{WEST} is owed it and lacks it"


def test_the_first_of_each_slot_of_a_vaults_own_cadence_stays() -> None:
    rule = VaultRule(vault=OFF, keep=KeepRules(last=2), every=hours(12))
    points = series(30, OFF)
    found = planned(seen(*points, brake=FREE), orders(targets=(rule,), floor=1))
    kept = {a.point: a.reason for a in only(found, Keep)}
    first = [points[n].id for n in (9, 21)]  # 00:00 and 12:00
    assert set(kept) == {*first, points[0].id, points[1].id}
    assert {kept[name] for name in first} == {"the first of its slot in this vault's own cadence"}


def test_days_are_those_of_the_schedules_zone() -> None:
    """23:30 and 22:30 UTC in November are two days in Berlin."""
    points = [
        point(f"2026-11-1{n}", dumped(OFF), of="orders") for n in ("9T23:30Z", "9T22:30Z", "8T22:45Z", "8T21:00Z")
    ]
    rule = VaultRule(vault=OFF, keep=KeepRules(daily=3))
    for zone, gone in (("Europe/Berlin", [3]), ("UTC", [3, 1])):
        of = orders(targets=(rule,), floor=1, schedule=Cron("30 * * * *", zone))
        assert marks(planned(seen(*points, brake=FREE), of)) == [points[n].id for n in gone]


def test_a_duplicate_goes_where_the_earlier_one_lies_and_the_newest_stays() -> None:
    second = point(slot(1), dumped(OFF), of="orders", attempt=2, late=timedelta(minutes=9))
    found = plan_of(second)
    assert why(found, OFF, second.id) == "a duplicate: another point fills its slot"
    newest = point(SLOT, dumped(OFF), of="orders", attempt=2, late=timedelta(minutes=9))
    assert not taken(plan_of(newest))
    assert why(plan_of(newest), OFF, newest.id) == "the newest usable point of a vault always stays, a duplicate or not"


def test_the_verified_one_of_the_vault_and_the_one_proved_elsewhere_stay() -> None:
    here = point(slot(40), dumped(OFF, verified_at=NOW), of="orders")
    there = point(slot(41), dumped(OFF), dumped(WEST, verified_at=NOW), of="orders")
    found = plan_of(here, there)
    assert why(found, OFF, here.id) == "the newest point that a drill has verified"
    assert marks(found) == [there.id]
    found = plan_of(there, point(slot(42), dumped(OFF, verified_at=NOW), of="orders"))
    assert why(found, OFF, there.id) == "the newest point that a drill from another vault has verified"


def test_the_usable_states_are_two() -> None:
    assert [state for state in CopyState if dumped(OFF, state).usable] == [USABLE, CopyState.EXPIRING]
