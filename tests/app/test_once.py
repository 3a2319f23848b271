"""`run --once`: until nothing can be started and nothing that it started is pending; the exit code says how it went."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from passes import AWAY, HOME, NOW, OFF, HandClock, HandReconciler, copy, cut, drill, hours

from drorch.app.once import OnceReport, run_once
from drorch.app.policies import InvalidPolicy, PolicySet
from drorch.domain.action import Action, Hold
from drorch.domain.errors import Damaged, DrorchError, Finding, OutcomeUnknown, Refused, Unavailable, Usage
from drorch.domain.model import CopyState

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def reconciler(clock: HandClock, *due: Action) -> HandReconciler:
    return HandReconciler(clock, due)


def names(report: OnceReport) -> list[str]:
    return [each.action.name for each in report.finished]


def test_nothing_due_is_one_pass_and_no_time(clock: HandClock) -> None:
    report = run_once(reconciler(clock), clock)
    assert report == OnceReport(1, (), (), 0)
    assert clock.now() == NOW


def test_it_goes_on_until_what_follows_is_done_too_drills_included(clock: HandClock) -> None:
    world = reconciler(clock, cut("orders", heavy=True))
    world.lasts = {cut("orders", heavy=True).key: hours(3)}
    world.then = {cut("orders", heavy=True).key: [drill()]}
    report = run_once(world, clock)
    assert (names(report), report.exit_code, report.pending) == (["cut", "drill"], 0, ())
    assert hours(3) <= clock.now() - NOW < hours(3) + 5 * MINUTE


def test_it_waits_for_snapshots_and_copies_that_it_began(clock: HandClock) -> None:
    world = reconciler(clock, cut())
    world.pending, world.then = 40 * MINUTE, {cut().key: [copy()]}
    report = run_once(world, clock)
    assert (names(report), report.exit_code) == (["cut", "copy"], 0)
    assert 40 * MINUTE <= clock.now() - NOW < 42 * MINUTE
    assert world.passes < 300  # one per ten seconds, not one per turn of the loop


def test_a_cut_that_no_listing_shows_yet_is_pending_all_the_same(clock: HandClock) -> None:
    world = reconciler(clock, cut())
    world.shown_after = 3 * MINUTE
    assert run_once(world, clock).exit_code == 0
    assert clock.now() - NOW >= 3 * MINUTE


def test_what_ends_in_the_pass_itself_is_followed_by_a_look_at_once(clock: HandClock) -> None:
    world = reconciler(clock, cut("orders", heavy=True))
    world.then = {cut("orders", heavy=True).key: [drill()]}
    report = run_once(world, clock)
    assert names(report) == ["cut", "drill"]
    assert clock.now() - NOW < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([Unavailable("no answer")], 4),
        ([OutcomeUnknown("no reply")], 4),
        ([Refused("too old"), Unavailable("no answer")], 4),
        ([Refused("too old")], 3),
        ([Usage("never typed, yet refused")], 3),
        ([Damaged("a leaf differs"), Unavailable("no answer"), Refused("too old")], 6),
        ([DrorchError("a fault"), Unavailable("no answer")], 1),
        ([DrorchError("a fault"), Damaged("a leaf differs")], 6),
    ],
)
def test_of_several_outcomes_the_worst_is_the_exit_code(clock: HandClock, errors: list[DrorchError], code: int) -> None:
    actions = [cut("orders", f"p{i}", heavy=True) for i in range(len(errors))]
    actions = [Action(a.application, f"r{i}", "", a.point, "") for i, a in enumerate(actions)]
    world = reconciler(clock, *actions)
    world.fails = {action.key: error for action, error in zip(actions, errors, strict=True)}
    report = run_once(world, clock)
    assert report.exit_code == code
    assert all(any(str(error) in problem for problem in report.problems) for error in errors)


def test_an_action_that_failed_and_then_succeeded_was_done(clock: HandClock) -> None:
    dump = cut("orders", heavy=True)
    world = reconciler(clock, dump, drill())
    world.lasts = {drill().key: MINUTE, dump.key: timedelta(seconds=1)}
    world.fails = {dump.key: Unavailable("no answer")}

    def try_again() -> None:
        if dump.key in world.fails and clock.now() > NOW + timedelta(seconds=30):
            del world.fails[dump.key]
            world.due.append(dump)

    clock.each = try_again
    report = run_once(world, clock)
    assert [each.outcome for each in report.finished if each.action == dump] == ["unavailable", "done"]
    assert (report.exit_code, report.problems) == (0, ())


def test_an_invalid_policy_lets_the_others_go_on_and_ends_with_3(clock: HandClock) -> None:
    world = reconciler(clock, drill())
    finding = Finding("policies/blog.yaml", 3, 1, "owner is missing")
    world.policies = PolicySet(world.policies.valid, (finding,), (InvalidPolicy("blog", "blog.yaml"),))
    report = run_once(world, clock)
    assert (names(report), report.exit_code) == (["drill"], 3)
    assert report.problems == ("invalid: blog.yaml (1 findings)",)


def test_a_vault_that_could_not_be_read_ends_with_4(clock: HandClock) -> None:
    world = reconciler(clock)
    world.unread = {OFF: "no route"}
    report = run_once(world, clock)
    assert (report.exit_code, report.problems) == (4, ("gcs-eu was not read completely: no route",))


@pytest.mark.parametrize(
    ("alarm", "code"), [("empty-selection", 3), ("sources-unread", 4), ("vault-unread", 4), ("member-gone", 0), ("", 0)]
)
def test_holds_count_when_they_kept_the_run_from_what_was_due(clock: HandClock, alarm: str, code: int) -> None:
    world = reconciler(clock)
    world.extra = [Hold("shop", "data", HOME, "", "nothing matches", alarm)]
    assert run_once(world, clock).exit_code == code


def test_what_the_provider_could_not_complete_ends_with_4_and_is_named(clock: HandClock) -> None:
    world = reconciler(clock, cut())
    world.pending, world.becomes = MINUTE, CopyState.FAILED
    report = run_once(world, clock)
    assert (report.exit_code, report.pending) == (4, ())
    assert f"cut of shop/data in {HOME}: the provider could not complete it" in report.problems[0]


def test_after_the_timeout_the_rest_stays_pending_and_is_named(clock: HandClock) -> None:
    world = reconciler(clock, cut(), cut("orders", "p2", heavy=True))
    world.pending, world.then = hours(1), {cut().key: [copy()]}
    world.lasts = {cut("orders", "p2", heavy=True).key: hours(5)}
    clock.each = lambda: (
        world.due.append(drill()) if clock.now() >= NOW + 10 * MINUTE and drill() not in world.due else None
    )
    report = run_once(world, clock, timeout=10 * MINUTE)
    assert report.exit_code == 4
    assert world.cancelled
    assert 10 * MINUTE <= clock.now() - NOW < 11 * MINUTE
    assert report.pending == (
        f"cut of shop/data: p1 in {HOME} is pending",
        f"copy of shop/data: p1 in {AWAY} is pending",
        f"drill of shop/orders in {OFF} was not started",
        "cut of shop/orders was abandoned",
    )
    assert drill() not in world.started
    assert [each.error for each in report.finished] == [None, None]  # abandoning is no failure of its own


def test_told_to_stop_it_starts_nothing_more(clock: HandClock) -> None:
    stop = threading.Event()
    world = reconciler(clock, cut("orders", heavy=True))
    world.lasts, world.then = {cut("orders", heavy=True).key: MINUTE}, {cut("orders", heavy=True).key: [drill()]}
    clock.each = lambda: stop.set() if clock.now() >= NOW + MINUTE / 2 else None
    report = run_once(world, clock, stop=stop)
    assert world.started == [cut("orders", heavy=True)]
    assert (report.exit_code, report.pending) == (4, ("cut of shop/orders was abandoned",))


def test_an_order_to_stop_while_a_pass_looks_keeps_it_from_starting(clock: HandClock) -> None:
    stop = threading.Event()
    world = reconciler(clock, cut())
    looked = world.harvest

    def look() -> tuple[object, ...]:
        stop.set()
        return looked()

    world.harvest = look  # type: ignore[method-assign,assignment]
    report = run_once(world, clock, stop=stop)
    assert world.started == []
    assert (report.exit_code, report.pending) == (4, (f"cut of shop/data in {HOME} was not started",))


def test_a_stop_when_all_is_done_is_no_failure(clock: HandClock) -> None:
    stop = threading.Event()
    stop.set()
    report = run_once(reconciler(clock), clock, stop=stop)
    assert (report.exit_code, report.pending) == (0, ())


def test_what_does_not_end_within_the_grace_is_left_behind_and_said(clock: HandClock) -> None:
    world = reconciler(clock, copy())
    world.lasts = {copy().key: hours(9)}
    report = run_once(world, clock, timeout=MINUTE, grace=timedelta(seconds=0.2))
    assert report.pending == ("1 actions did not end within 0 s",)
    assert report.exit_code == 4


def test_a_lock_that_another_process_holds_is_waited_for_without_spinning(clock: HandClock) -> None:
    """An action that starts and ends without a word (its lock was taken) comes back at every pass."""
    world = reconciler(clock, copy())
    silent = world.harvest

    def busy() -> tuple[object, ...]:
        if clock.now() < NOW + 5 * MINUTE and world.running_count():
            world._running.clear()
            world.due.append(copy())
            return ()
        return silent()

    world.harvest = busy  # type: ignore[method-assign,assignment]
    report = run_once(world, clock)
    assert (names(report), report.exit_code) == (["copy"], 0)
    assert world.passes < 60
