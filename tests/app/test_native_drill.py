"""Drills of snapshots: brought back under a drill's tags, measured, cleared away whatever happens, told as a proof."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from worlds import AWAY, LEDGER, SITE, VOLUMES, Installation

from drorch.app.drill_sweep import EVERY, LATE, DrillSweep
from drorch.app.native_drill import NativeDrill, NativeDrillOrder
from drorch.cli.screen import progress_words
from drorch.domain.action import Drill
from drorch.domain.errors import Unavailable
from drorch.domain.model import RecoveryPoint
from drorch.domain.native_drill import begun_before, drill_id, until_of
from drorch.domain.native_restore import TAG_DRILL, TAG_EXPIRES, TAG_RESTORE, NativeRestore, RestorePart
from drorch.kinds.memory.cloud import Restored

RULE = "        drill: {every: 7d, max_hours: 2}\n"
DRILLED = VOLUMES.rstrip() + "\n" + RULE
LEDGERS = LEDGER.rstrip() + "\n" + RULE


def lived(tmp_path: Path, text: str = DRILLED) -> Installation:
    world = Installation(tmp_path, text)
    world.run(10)
    return world


PROBES = """\
        drill:
          every: 7d
          probes: [{sql: select 1, expect: "== 3"}]
          connect: {password: {credential: bank-db}}
"""
PROBED = LEDGER.rstrip() + "\n" + PROBES


def points(world: Installation, application: str = "shop", resource: str = "data") -> tuple[RecoveryPoint, ...]:
    assert world.seen is not None
    return world.seen.plans[application].catalogue.of(resource)


def things(world: Installation, service: str = "ec2", region: str = "us-west-2") -> list[Restored]:
    return world.cloud._place(service, "prod", region).restored


def order(world: Installation) -> NativeDrillOrder:
    (point, *_) = points(world)
    copy = point.copy_in(AWAY)
    assert copy is not None and point.cut_at is not None
    parts = tuple(RestorePart(member.native_id) for member in copy.members)
    return NativeDrillOrder(SITE, "shop", "data", AWAY, point.id, point.cut_at, parts, copy.bytes, timedelta(hours=2))


def drill(world: Installation, cancel: Event | None = None) -> NativeDrill:
    ticker = lambda: world.clock.now().timestamp()  # noqa: E731
    return NativeDrill(world.kinds["ebs"], world.stores, world.clock, world.key, ticker, cancel=cancel)


OPTIONS = SimpleNamespace(name="")


def test_a_due_drill_is_run_from_the_copy_away_and_is_restorable_not_verified(tmp_path: Path) -> None:
    world = lived(tmp_path)
    assert [action.vault for action in world.hands.started if isinstance(action, Drill)] == [AWAY]
    (drilled,) = world.seen.plans["shop"].catalogue.drills if world.seen else ()
    assert (drilled.passed, drilled.restorable, drilled.well) == (False, True, True)
    assert drilled.seconds["total"] >= drilled.seconds["create"] > 0
    (copied,) = [c for point in points(world) for c in point.copies if c.vault == AWAY]
    assert copied.verified_at is None
    assert things(world) == []


def test_while_a_provider_shows_nothing_new_the_worker_still_moves(tmp_path: Path) -> None:
    world = lived(tmp_path)
    world.faults("ebs").order("advance", "before", times=6)
    reported: list[dict[str, object]] = []
    slow = replace(drill(world), report=lambda progress: reported.append(dict(progress)))
    slow.run(order(world), OPTIONS)
    assert len(reported) >= 6
    assert all(one != another for one, another in itertools.pairwise(reported)), "it would be ended as one that hangs"
    assert not any(progress_words(progress).endswith(" B") for progress in reported)


def test_it_is_not_due_again_before_its_time_and_leaves_no_alarm(tmp_path: Path) -> None:
    world = lived(tmp_path)
    world.run(5)
    assert sum(isinstance(action, Drill) for action in world.hands.started) == 1
    assert world.seen is not None
    assert not [h for h in world.seen.holds if h.alarm == "drill-failed"]
    world.clock.turn(days=7)
    world.run(10)
    assert sum(isinstance(action, Drill) for action in world.hands.started) == 2


def test_a_drill_of_a_database_does_not_take_the_name_of_the_real_one(tmp_path: Path) -> None:
    world = Installation(tmp_path, LEDGERS)
    made: list[str] = []
    inner = world.kinds["rds-instance"].inner
    advance = inner.advance  # type: ignore[attr-defined]

    def noted(restore: NativeRestore) -> object:
        progress = advance(restore)
        made.extend(m.native_id for m in progress.made)
        return progress

    inner.advance = noted  # type: ignore[attr-defined]
    world.run(10)
    assert set(made) == {f"drorch-drill-{points(world, 'bank', 'ledger')[0].id}"}


def test_probes_that_are_met_verify_the_point(tmp_path: Path) -> None:
    world = lived(tmp_path, PROBED)
    (drilled,) = world.seen.plans["bank"].catalogue.drills if world.seen else ()
    assert (drilled.passed, drilled.restorable, drilled.vault) == (True, False, AWAY)
    verified = {c.vault: c.verified_at for p in points(world, "bank", "ledger") for c in p.copies if p.cut_at}
    assert verified[AWAY] == drilled.at
    assert verified["prod.us-east-1"] is None, "the other copy was not asked"


def test_probes_that_are_not_met_are_an_alarm_until_they_are(tmp_path: Path) -> None:
    world = Installation(tmp_path, PROBED)
    world.answer = 2
    world.run(10)
    assert world.seen is not None
    assert [h.vault for h in world.seen.holds if h.alarm == "drill-failed"] == [AWAY]
    assert all(c.verified_at is None for p in points(world, "bank", "ledger") for c in p.copies)
    world.answer = 3
    world.clock.turn(days=1)
    assert not [h for h in world.run(8).holds if h.alarm == "drill-failed"]


def test_what_a_drill_makes_says_of_whom_it_is_and_until_when_it_may_be_there(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    seen: list[dict[str, str]] = []
    world.faults("ebs").order("advance", lambda: seen.extend(dict(r.tags) for r in things(world)), times=9)
    began = world.clock.now()
    drill(world).run(order(world), OPTIONS)
    until = began + timedelta(hours=2)
    assert seen[0][TAG_DRILL] == drill_id(SITE, "shop", "data", order(world).point, until)
    assert until_of(seen[0][TAG_DRILL]) == until.replace(microsecond=0)
    assert set(seen[0]) == {TAG_DRILL, TAG_EXPIRES}


def test_what_never_becomes_ready_fails_when_its_time_is_up_and_is_cleared_away(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    world.cloud.pending_for = None
    began = world.clock.now()
    outcome = drill(world).run(order(world), OPTIONS)
    assert outcome["outcome"] == "failed"
    assert timedelta(hours=2) <= world.clock.now() - began < timedelta(hours=3)
    assert things(world) == []
    world.cloud.pending_for = 1
    world.run(3)
    assert world.seen is not None
    (told,) = world.seen.plans["shop"].catalogue.drills
    assert not told.well


def test_a_snapshot_that_is_gone_fails_the_drill_and_a_failed_drill_is_told(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    asked = order(world)

    def delete() -> None:
        world.cloud.remove(next(s for s in world.cloud.snapshots() if s.native_id == asked.parts[0].native_id))

    world.faults("ebs").order("advance", delete)
    outcome = drill(world).run(asked, OPTIONS)
    assert (outcome["outcome"], outcome["why"]) == ("failed", "the snapshot is gone")


@pytest.mark.parametrize("fault", ["before", "after", "throttled", "timeout"])
@pytest.mark.parametrize("method", ["advance", "discard"])
@pytest.mark.parametrize("at", range(2))
def test_whatever_answer_is_missed_nothing_is_left_and_the_proof_says_restorable(
    tmp_path: Path, method: str, fault: str, at: int
) -> None:
    world = lived(tmp_path, VOLUMES)
    world.faults("ebs").order(method, fault, after=at)  # type: ignore[arg-type]
    outcome = drill(world).run(order(world), OPTIONS)
    assert (outcome["outcome"], outcome["left"], things(world)) == ("restorable", [], [])


def test_an_interruption_leaves_no_proof_and_clears_away_what_it_can(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    cancel = Event()
    world.faults("ebs").order("advance", cancel.set, after=1)
    with pytest.raises(Unavailable, match="interrupted"):
        drill(world, cancel).run(order(world), OPTIONS)
    assert things(world) == []
    world.run(2)
    assert world.seen is not None and world.seen.plans["shop"].catalogue.drills == ()


class _Killed(BaseException):
    """As kill -9."""


@pytest.mark.parametrize("at", range(4))
def test_killed_at_any_call_the_next_worker_clears_away_what_is_there_and_begins_anew(tmp_path: Path, at: int) -> None:
    def die() -> None:
        world.kinds["ebs"].discard = nothing  # type: ignore[method-assign]
        raise _Killed

    def nothing(*_: object) -> tuple[()]:
        return ()

    world = lived(tmp_path, VOLUMES)
    method, after = ("advance", at) if at < 3 else ("discard", 0)
    world.faults("ebs").order(method, die, after=after)
    with pytest.raises(_Killed):
        drill(world).run(order(world), OPTIONS)
    del world.kinds["ebs"].discard
    before = {r.tags[TAG_DRILL] for r in things(world)}
    seen: set[str] = set()
    world.faults("ebs").order("advance", lambda: seen.update(r.tags[TAG_DRILL] for r in things(world)), times=9)
    outcome = drill(world).run(order(world), OPTIONS)
    assert (outcome["outcome"], things(world)) == ("restorable", [])
    assert len(seen) == 1 and not seen & before, "two sets were there at once, or one half cleared away went on"


def leave(world: Installation, value: str, tag: str = TAG_DRILL) -> None:
    part, now = order(world).parts[0], world.clock.now()
    asked = NativeRestore("prod", "us-west-2", "shop", "data", "p", now, tag, value, {tag: value}, (part,), 0)
    world.kinds["ebs"].advance(asked)


def swept(world: Installation, sweep: DrillSweep, *, clear: bool = True) -> list[str]:
    sweep.known(world.policies, world.clock.now(), clear=clear)
    sweep.wait()
    return [left.why for left in sweep.known(world.policies, world.clock.now(), clear=False)]


def test_what_outlived_its_time_is_cleared_away_and_told(tmp_path: Path) -> None:
    world = lived(tmp_path)
    sweep = DrillSweep(SITE, world.kinds)
    until = world.clock.now() + timedelta(hours=1)
    leave(world, drill_id(SITE, "shop", "data", "dead", until))
    assert swept(world, sweep) == [] and len(things(world)) == 1, "its time is not over"
    world.clock.turn(seconds=(timedelta(hours=1) + LATE).total_seconds())
    assert swept(world, sweep) == ["its time was over; cleared away: 0 of 1 are still there"]
    assert things(world) == []
    world.clock.turn(seconds=EVERY.total_seconds())
    assert swept(world, sweep) == []


@pytest.mark.parametrize("tag", ["other/shop/data/dead/20200101T000000Z", "stranger"])
def test_what_is_anothers_is_never_touched(tmp_path: Path, tag: str) -> None:
    world = lived(tmp_path)
    leave(world, tag)
    assert swept(world, DrillSweep(SITE, world.kinds)) == []
    assert len(things(world)) == 1


def test_our_tag_without_a_time_is_told_and_stays(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave(world, f"{SITE}/shop/data/dead/whenever")
    assert swept(world, DrillSweep(SITE, world.kinds)) == ["no drill gave this tag: nothing of it is touched"]
    assert len(things(world)) == 1


def test_a_restore_is_no_drill_and_is_never_swept(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave(world, "shop/data/p", tag=TAG_RESTORE)
    world.clock.turn(days=400)
    assert swept(world, DrillSweep(SITE, world.kinds)) == []
    assert len(things(world)) == 1


def test_a_look_that_must_not_act_clears_nothing_away(tmp_path: Path) -> None:
    world = lived(tmp_path)
    leave(world, drill_id(SITE, "shop", "data", "dead", world.clock.now() - timedelta(days=1)))
    assert swept(world, DrillSweep(SITE, world.kinds), clear=False) == []
    assert len(things(world)) == 1


def test_of_drills_that_were_begun_only_those_of_the_same_point_count_and_no_strangers() -> None:
    until = datetime(2026, 11, 25, 12, tzinfo=UTC)
    ids = [drill_id(SITE, "shop", "data", "p", until + timedelta(minutes=m)) for m in (60, -5)]
    others = [drill_id(SITE, "shop", "data", "q", until), f"{SITE}/shop/data/p/whenever"]
    assert begun_before([*ids, *others], f"{SITE}/shop/data/p/") == (ids[1], ids[0])


def test_a_region_that_stops_answering_says_nothing_about_the_point(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES)
    asked = order(world)
    world.faults("ebs").order("advance", lambda: world.cloud.lose("us-west-2"), after=1)
    with pytest.raises(Unavailable, match="stopped answering"):
        drill(world).run(asked, OPTIONS)
    world.cloud.give_back("us-west-2")
    world.run(2)
    assert world.seen is not None and world.seen.plans["shop"].catalogue.drills == ()
    assert [r.tags[TAG_DRILL].split("/")[3] for r in things(world)] == [asked.point], "left to the sweeper"


def test_a_failed_drill_is_an_alarm_until_one_ends_well(tmp_path: Path) -> None:
    world = lived(tmp_path, DRILLED)
    world.clock.turn(days=7)
    world.cloud.pending_for = None
    for _ in range(4):
        world.once()
        world.cloud.finish()
        world.clock.turn(minutes=30)
    world.cloud.pending_for = 1
    seen = world.once()
    assert [h.vault for h in seen.holds if h.alarm == "drill-failed"] == [AWAY]
    world.clock.turn(days=1)
    assert not [h for h in world.run(8).holds if h.alarm == "drill-failed"]
