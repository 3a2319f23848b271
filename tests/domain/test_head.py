"""Heads: when one is written and what it says, what is missing since the last one, and who else is at work."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import AWAY, HOME, OFF
from planning import (
    AN_HOUR_AGO,
    FAILED,
    NOW,
    WEST,
    alarms,
    data,
    digests,
    dumped,
    head,
    hours,
    only,
    orders,
    planned,
    point,
    recorded,
    seen,
    slot,
)

from drorch.domain.action import EXECUTABLE, Action, Hold, WriteHead
from drorch.domain.catalogue import Catalogue
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.head import Removed, head_content, other_host, plan_head, removed
from drorch.domain.instant import to_text
from drorch.domain.model import RecoveryPoint

SECOND = timedelta(seconds=1)
A, B = point(slot(1), dumped(OFF), dumped(WEST), of="orders"), point(slot(2), dumped(OFF), of="orders")
LIVE = ((OFF, A.id), (OFF, B.id), (WEST, A.id))


def known(*points: RecoveryPoint, **more: Any) -> Catalogue:
    """What the catalogue says of these points, all of them live."""
    live = [(copy.vault, p.id) for p in points for copy in p.copies if copy.usable]
    return seen(*points, more={"digests": digests(*live), **more}).catalogue


def heads(catalogue: Catalogue, now: Any = NOW, **changes: Any) -> list[Action]:
    given: dict[str, Any] = {"host": "here", "object_vaults": (OFF, WEST)}
    return list(plan_head("shop", seen(catalogue=catalogue, **(given | changes)), now))


def written(actions: Iterable[Action]) -> list[tuple[int, str]]:
    return [(a.seq, a.reason) for a in actions if isinstance(a, WriteHead)]


def let_go(vault: str, of: RecoveryPoint, *, gone: bool = True) -> LetGo:
    return LetGo(vault, "orders", of.id, NOW, NOW, gone, NOW)


# --- when a head is written -----------------------------------------------------------------------------------------


def test_the_first_head_is_written_when_there_is_something_to_say() -> None:
    assert heads(known(A)) == [WriteHead("shop", "", "", "", "there is no head yet", 1, (OFF, WEST))]
    assert not heads(known())


def test_a_head_is_written_every_hour_and_on_every_change() -> None:
    for ago, due in ((hours(1), True), (hours(1) - SECOND, False)):
        last = head(*LIVE, at=NOW - ago)
        assert bool(written(heads(known(A, B, head=last)))) is due
    last = head(*LIVE, at=NOW - SECOND)
    assert written(heads(known(A, head=last))) == [(8, "what is live has changed")]
    assert written(heads(known(A, B, point(slot(3), dumped(OFF), of="orders"), head=last)))
    again = seen(A, B, more={"digests": digests(*LIVE) | {(OFF, A.id): "another record"}, "head": last}).catalogue
    assert written(heads(again)) == [(8, "what is live has changed")]
    assert written(heads(known(A, B, head=head(*LIVE, at=NOW - hours(2))))) == [
        (8, "the last head is of 2026-11-20T07:30:00Z")
    ]


def test_a_head_goes_into_the_vaults_that_take_records() -> None:
    (found,) = heads(known(A), unread={WEST: "timeout"})
    assert isinstance(found, WriteHead) and found.into == (OFF,)
    assert not written(heads(known(A), unread={WEST: "timeout", OFF: "timeout"}))


def test_a_host_without_a_name_in_heads_writes_none_and_tells_what_is_missing_all_the_same() -> None:
    found = heads(known(A, head=head(*LIVE)), host="")
    assert not written(found) and alarms(found) == ["removed"]


@pytest.mark.parametrize(("ahead", "alarm"), [(0, ""), (300, ""), (301, "clock")])
def test_no_head_is_written_before_the_last_one_and_a_clock_that_is_far_off_is_an_alarm(ahead: int, alarm: str) -> None:
    at = NOW + ahead * SECOND
    reason = f"the last head is of {to_text(at)}: no new one before that"
    assert heads(known(A, B, head=head(*LIVE, at=at))) == [Hold("shop", "", "", "", reason, alarm)]


def test_the_plan_of_an_application_ends_with_its_head() -> None:
    found = planned(seen(catalogue=known(A), host="here", object_vaults=(OFF, WEST)), orders())
    assert len(only(found, WriteHead)) == 1


# --- what is missing ------------------------------------------------------------------------------------------------


def test_what_was_live_and_is_gone_without_a_mark_was_removed_by_somebody() -> None:
    catalogue = known(A, head=head(*LIVE))
    assert removed(catalogue, {}) == (Removed(OFF, "", B.id),)
    (found,) = only(heads(catalogue), Hold)
    what = f"it was live in {OFF}, and nobody let it go: somebody removed it"
    assert found == Hold("shop", "", OFF, B.id, what, "removed")


def test_one_copy_that_is_missing_is_told_with_its_resource() -> None:
    left = point(slot(1), dumped(OFF), of="orders")
    assert removed(known(left, B, head=head(*LIVE)), {}) == (Removed(WEST, "orders", A.id),)


def test_what_was_let_go_with_a_mark_is_missed_by_nobody() -> None:
    assert not removed(known(A, head=head(*LIVE), let_go=(let_go(OFF, B),)), {})
    for other in (let_go(WEST, B), let_go(OFF, A), let_go(OFF, B, gone=False)):
        assert removed(known(A, head=head(*LIVE), let_go=(other,)), {}), "the mark is of that copy and says expired"


def test_a_vault_that_was_not_read_says_nothing_of_what_is_missing() -> None:
    catalogue = known(head=head(*LIVE))
    assert {(entry.vault, entry.point) for entry in removed(catalogue, {OFF: "timeout"})} == {(WEST, A.id)}
    assert not removed(catalogue, {OFF: "timeout", WEST: "timeout"})


def test_a_copy_that_is_there_in_whatever_state_was_not_removed() -> None:
    damaged = point(slot(2), dumped(OFF, FAILED), of="orders")
    assert not removed(known(A, damaged, head=head(*LIVE)), {})


def test_a_native_copy_of_which_only_records_are_left_was_removed_unless_it_was_let_go() -> None:
    made = point(slot(1), recorded(HOME), recorded(AWAY, FAILED, gone=True))
    for catalogue in (known(made), known(made, head=head((HOME, made.id), (AWAY, made.id)))):
        assert removed(catalogue, {}) == (Removed(AWAY, "data", made.id),)
    assert not removed(known(made, let_go=(let_go(AWAY, made),)), {})
    assert not removed(known(made), {AWAY: "timeout"})


def test_without_a_head_nothing_is_missed() -> None:
    assert not removed(known(A), {})


def test_what_is_missing_is_told_again_with_the_day_on_which_it_was_first_seen() -> None:
    since = NOW - timedelta(days=9)
    last = head((OFF, A.id), lost={OFF: {B.id: to_text(since)}})
    assert removed(known(A, head=last), {}) == (Removed(OFF, "", B.id, since),)
    found = only(heads(known(A, head=last)), Hold)[0]
    assert found.reason.endswith("somebody removed it (missing since 2026-11-11T09:30:00Z)")
    unread = head((OFF, A.id), lost={OFF: {B.id: "soon"}})
    assert removed(known(A, head=unread), {}) == (Removed(OFF, "", B.id),)


def test_what_came_back_is_not_missing_any_more() -> None:
    last = head((OFF, A.id), lost={OFF: {B.id: to_text(AN_HOUR_AGO)}})
    assert not removed(known(A, B, head=last), {})
    live, lost = head_content(known(A, B, head=last), {}, NOW)
    assert B.id in live[OFF] and not lost


# --- what a head says -----------------------------------------------------------------------------------------------


def test_a_head_says_what_is_live_in_each_vault_and_what_is_missing_since_when() -> None:
    live, lost = head_content(known(A, head=head(*LIVE)), {}, NOW)
    assert live == {OFF: {A.id: f"sha-{A.id}"}, WEST: {A.id: f"sha-{A.id}"}}
    assert lost == {OFF: {B.id: to_text(NOW)}}


@pytest.mark.parametrize(("ago", "told"), [(timedelta(days=35) - SECOND, True), (timedelta(days=35), False)])
def test_what_is_missing_is_carried_on_for_35_days(ago: timedelta, told: bool) -> None:
    last = head((OFF, A.id), (WEST, A.id), lost={OFF: {B.id: to_text(NOW - ago)}})
    _, lost = head_content(known(A, head=last), {}, NOW)
    assert lost == ({OFF: {B.id: to_text(NOW - ago)}} if told else {})


def test_of_a_vault_that_was_not_read_a_head_says_what_the_one_before_said() -> None:
    last = head(*LIVE, lost={WEST: {B.id: to_text(AN_HOUR_AGO)}, OFF: {"x": to_text(AN_HOUR_AGO)}})
    stale = point(slot(1), dumped(OFF), dumped(WEST), of="orders")
    live, lost = head_content(known(stale, head=last), {WEST: "timeout"}, NOW)
    assert live == {OFF: {A.id: f"sha-{A.id}"}, WEST: {A.id: f"sha-{A.id}"}}
    assert lost == {WEST: {B.id: to_text(AN_HOUR_AGO)}, OFF: {B.id: to_text(NOW), "x": to_text(AN_HOUR_AGO)}}
    nothing, none = head_content(known(stale, head=head((OFF, A.id))), {WEST: "timeout"}, NOW)
    assert (nothing, none) == ({OFF: {A.id: f"sha-{A.id}"}}, {})
    first, _ = head_content(known(stale), {WEST: "timeout"}, NOW)
    assert first == {OFF: {A.id: f"sha-{A.id}"}}


@given(st.sets(st.sampled_from(LIVE)), st.sets(st.sampled_from(LIVE)), st.sets(st.sampled_from([OFF, WEST])))
def test_nothing_that_was_live_is_forgotten_but_by_a_mark(
    before: set[tuple[str, str]], there: set[tuple[str, str]], unread: set[str]
) -> None:
    """It is live, or missing, or in a vault of which nothing new is known."""
    points = {p.id: p for p in (A, B)}
    copies = {name: [dumped(vault) for vault, of in sorted(there) if of == name] for name in points}
    left = [point(points[name].slot, *made, of="orders") for name, made in copies.items() if made]
    live, lost = head_content(known(*left, head=head(*before)), dict.fromkeys(unread, "timeout"), NOW)
    for vault, name in before:
        assert name in live.get(vault, {}) or name in lost.get(vault, {})
        assert ((vault, name) in there or vault in unread) == (name in live.get(vault, {}))


# --- another host ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "host", "fresh"),
    [
        (head(host="there", at=NOW), "here", True),
        (head(host="there", at=NOW - hours(2) + SECOND), "here", True),
        (head(host="there", at=NOW - hours(2)), "here", False),
        (head(host="there", at=NOW + hours(9)), "here", True),
        (head(host="here", at=NOW), "here", False),
        (head(host="there", at=NOW), "", False),
        (None, "here", False),
    ],
)
def test_a_head_of_another_host_is_fresh_for_two_hours(last: Any, host: str, fresh: bool) -> None:
    found = other_host(known(head=last), host, NOW)
    assert bool(found) is fresh
    assert not fresh or ("there" in found and "(here)" in found)


def test_the_words_say_when_this_host_goes_on() -> None:
    found = other_host(known(head=head(host="there")), "here", NOW)
    assert found == (
        "there wrote a head at 2026-11-20T08:30:00Z: another drorch is at work for this site. Stop it; "
        "this host (here) goes on when that head is two hours old, at 2026-11-20T10:30:00Z"
    )


def test_everything_that_touches_the_world_is_frozen_and_says_what_it_would_be() -> None:
    def found(ago: timedelta) -> list[Action]:
        last = head(host="there", at=NOW - ago)
        points = [point(slot(n), recorded(HOME)) for n in range(1, 9)]
        return planned(seen(catalogue=known(*points, head=last), host="here"), data())

    free = found(hours(2))
    assert only(free, *EXECUTABLE) and "other-host" not in alarms(free)
    frozen = found(hours(2) - SECOND)
    assert not only(frozen, *EXECUTABLE)
    held = [(a.vault, a.point) for a in frozen if isinstance(a, Hold) and a.alarm == "other-host"]
    assert held == [("", ""), *((a.vault, a.point) for a in free if isinstance(a, EXECUTABLE))]
    (cut,) = [a.reason for a in frozen if "(cut: slot" in a.reason]
    assert cut.startswith("there wrote a head at ") and cut.endswith("(cut: slot 2026-11-20T09:00Z is due)")
