"""Drills of whole applications: points found without the home region, steps in order, measured, always cleared away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from worlds import AWAY, SITE, VOLUMES, Installation, restores_of

from drorch.app.drill_alone import drilling_in
from drorch.app.drill_sweep import LATE, DrillSweep
from drorch.app.jobs import HostSpec, ScenarioJob, VaultSpec
from drorch.app.passing import scene_of
from drorch.domain.action import Drill, ScenarioDrill
from drorch.domain.catalogue import Drilled
from drorch.domain.errors import Busy, Refused, Unavailable
from drorch.domain.native_drill import drill_id
from drorch.domain.native_restore import TAG_DRILL, TAG_RESTORE, NativeRestore, RestorePart
from drorch.domain.scenario import SCENARIO, scenario_order
from drorch.kinds.memory.cloud import Restored
from drorch.wiring.scenario import scenario_drill

SHOP = (
    VOLUMES.rstrip()
    + """
      - name: ledger
        kind: rds-instance
        identifier: shop-ledger
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
      - name: web
        kind: ami
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
    recovery:
      regions: {us-west-2: {data: {zone: us-west-2a, attach: i-1}}}
      steps:
        - {name: told, manual: tell everybody, needs: []}
        - {name: ledger, restore: ledger}
        - {name: data, restore: data, needs: []}
        - {name: image, restore: web, needs: [ledger]}
        - {name: up, launch: {image: image, group: web, target_group: web}}
        - {name: answers, wait: {http: "https://dr.example.com/", status: 200, for: 5m}}
        - {name: switch, record: {zone: Z1, name: shop.example.com, type: A, value: 192.0.2.7, ttl: 60},
           fallback: at the registrar}
        - {name: warm, command: [/bin/true]}
    drill: {every: 30d, scenario: region, max_hours: 2}
"""
)
DATA = (
    SHOP[: SHOP.index("      - name: ledger")]
    + """
    recovery:
      regions: {us-west-2: {data: {zone: us-west-2a}}}
      steps: [{name: data, restore: data}]
    drill: {every: 30d, scenario: region, max_hours: 2}
"""
)
PAUSED = SHOP.replace("needs: [ledger]", "needs: [pause]").replace(
    "- {name: image,", "- {name: pause, manual: look, needs: [ledger]}\n        - {name: image,"
)
Lived = Callable[..., Installation]
RESTORES = ("data", "ledger", "web")


@pytest.fixture(scope="module")
def moulds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Installation]:
    """Applications whose snapshots have copies away, and of which no drill has been made."""
    made = {}
    for name, text in (("shop", SHOP), ("paused", PAUSED), ("data", DATA)):
        made[name] = Installation(tmp_path_factory.mktemp(name), text)
        made[name].hands.held = True
        made[name].run(10)
    return made


@pytest.fixture
def lived(moulds: Mapping[str, Installation], tmp_path: Path) -> Lived:
    """One of them with a life of its own; a pass begins its drill and leaves it at that, while `held`."""

    def twin(name: str = "shop", *, held: bool = True) -> Installation:
        world = moulds[name].twin(tmp_path / "twin")
        world.hands.held = held
        world.seen = world.reconciler.look(fresh=True)
        return world

    return twin


def things(world: Installation, tag: str = TAG_DRILL) -> list[Restored]:
    places = world.cloud._places.items()
    return [r for (_, _, region), place in places if region == "us-west-2" for r in place.restored if tag in r.tags]


def rehearse(world: Installation, cancel: Event | None = None) -> dict[str, object]:
    assert world.seen is not None
    action = ScenarioDrill("shop", SCENARIO, AWAY, "", "asked")
    return world.rehearsed(scene_of(world.seen, action), cancel)


def drills(world: Installation) -> tuple[Drilled, ...]:
    for vault in world.stores:
        world.reconciler.observer.refresh(vault, "shop", SCENARIO, world.clock.now())
    return world.reconciler.look(fresh=True).plans["shop"].catalogue.drills


def test_a_due_drill_brings_back_what_the_runbook_restores_and_is_not_due_again_before_its_time(lived: Lived) -> None:
    world = lived(held=False)
    world.run(4)
    assert [type(a) for a in world.hands.started if isinstance(a, Drill)] == [ScenarioDrill]
    (drilled,) = drills(world)
    assert (drilled.resource, drilled.vault, drilled.restorable) == (SCENARIO, AWAY, True)
    assert drilled.seconds["total"] >= drilled.seconds["create"] > 0
    assert things(world) == []
    world.clock.turn(days=29)
    world.run(6)
    assert len(drills(world)) == 1
    world.clock.turn(days=1)
    world.run(10)
    assert len(drills(world)) == 2


# --- what it does ---------------------------------------------------------------------------------------------------


def test_the_proof_tells_every_step_and_what_was_left_out_and_which_points_were_brought_back(lived: Lived) -> None:
    world = lived()
    outcome = rehearse(world)
    told = {str(step["step"]): step for step in outcome["steps"]}  # type: ignore[attr-defined]
    assert [name for name, step in told.items() if step["outcome"] == "done"] == ["ledger", "data", "image", "clear"]
    left = ["told", "up", "answers", "switch", "warm"]
    assert [name for name, step in told.items() if step["outcome"] == "left out"] == left
    assert all(str(told[name]["detail"]).startswith("left out in a drill: ") for name in left)
    assert all(isinstance(told[name]["took_s"], int) for name in ("ledger", "data", "image"))
    assert set(outcome["points"]) == set(RESTORES)  # type: ignore[call-overload]
    paths = [i.path for i in world.memory("gcs-eu").list("") if f"/{SCENARIO}/" in i.path and i.path.endswith(".json")]
    assert len(paths) == 1 and f"records/shop/{SCENARIO}/" in paths[0] and paths[0].endswith(f"-{AWAY}.json")


def test_what_it_makes_is_a_drills_under_names_of_its_own_and_the_image_is_one_instance(lived: Lived) -> None:
    world = lived()
    asked: dict[str, NativeRestore] = {}
    for name in ("ebs", "rds-instance", "ami"):
        inner = world.kinds[name].inner
        advance = inner.advance  # type: ignore[attr-defined]

        def noted(restore: NativeRestore, advance: object = advance) -> object:
            asked[restore.resource] = restore
            return advance(restore)  # type: ignore[operator]

        inner.advance = noted  # type: ignore[attr-defined]
    began = world.clock.now()
    rehearse(world)
    until = began + timedelta(hours=2)
    for name, restore in asked.items():
        assert restore.tags[TAG_DRILL] == restore.id == drill_id(SITE, "shop", name, restore.point, until)
        assert TAG_RESTORE not in restore.tags
        assert vars(restore.options)["name"] == f"drorch-drill-{restore.point}"
        assert "attach" not in vars(restore.options)
    assert vars(asked["data"].options)["zone"] == "us-west-2a"
    assert vars(asked["web"].options)["count"] == 1


def test_steps_go_in_their_order_through_those_that_are_left_out(lived: Lived) -> None:
    world = lived("paused")
    order: list[str] = []
    for name in ("ebs", "rds-instance", "ami"):
        world.faults(name).order("advance", lambda name=name: order.append(name), times=99)
    rehearse(world)
    ledger_done = max(i for i, name in enumerate(order) if name == "rds-instance")
    assert order.index("ami") > ledger_done > order.index("ebs")


def test_points_are_found_without_the_home_region_and_its_vaults(lived: Lived) -> None:
    world = lived()
    world.cloud.lose("us-east-1")
    assert rehearse(world)["outcome"] == "restorable"
    assert things(world) == []


def test_a_restore_that_a_person_has_begun_does_not_choose_the_point_of_a_drill(lived: Lived) -> None:
    world = lived()
    assert world.seen is not None
    older = world.seen.plans["shop"].catalogue.of("data")[0]
    leave(world, f"shop/data/{older.id}", tag=TAG_RESTORE)
    world.clock.turn(days=1)
    world.run(10)
    outcome = rehearse(world)
    assert outcome["points"]["data"] != older.id  # type: ignore[index]
    assert len(things(world, TAG_RESTORE)) == 1, "what somebody restored is not the drill's to clear away"


# --- what fails -----------------------------------------------------------------------------------------------------


def test_what_never_becomes_ready_fails_when_its_time_is_up_and_all_of_it_is_cleared_away(lived: Lived) -> None:
    world = lived()
    world.cloud.pending_for = None
    began = world.clock.now()
    outcome = rehearse(world)
    assert outcome["outcome"] == "failed" and "not ready in the time" in str(outcome["why"])
    assert {s["step"]: s["outcome"] for s in outcome["steps"]}["image"] == "not begun"  # type: ignore[attr-defined]
    assert timedelta(hours=2) <= world.clock.now() - began < timedelta(hours=3)
    assert things(world) == []


def test_a_failed_drill_is_an_alarm_and_is_tried_again_within_a_day(lived: Lived) -> None:
    world = lived()
    world.cloud.pending_for = None
    rehearse(world)
    world.cloud.pending_for = 1
    world.hands.held = False
    assert [drilled.well for drilled in drills(world)] == [False]
    seen = world.run(2)
    assert [h.resource for h in seen.holds if h.alarm == "drill-failed"] == [SCENARIO]
    world.clock.turn(days=1)
    seen = world.run(10)
    assert not [h for h in seen.holds if h.alarm == "drill-failed"]
    assert [d.well for d in drills(world)] == [True, False]


def test_a_region_that_stops_answering_says_nothing_about_the_copies(lived: Lived) -> None:
    world = lived()
    world.faults("ebs").order("advance", lambda: world.cloud.lose("us-west-2"), after=1)
    with pytest.raises(Unavailable, match="stopped answering"):
        rehearse(world)
    world.cloud.give_back("us-west-2")
    assert drills(world) == ()
    assert things(world), "left to the sweeper"
    world.clock.turn(hours=3)
    sweep = DrillSweep(SITE, world.kinds)
    sweep.known(world.policies, world.clock.now(), clear=True)
    sweep.wait()
    assert things(world) == []


def test_an_interruption_leaves_no_proof_and_clears_away_what_it_can(lived: Lived) -> None:
    world, cancel = lived(), Event()
    world.faults("rds-instance").order("advance", cancel.set, after=1)
    with pytest.raises(Unavailable, match="interrupted"):
        rehearse(world, cancel)
    assert things(world) == [] and drills(world) == ()


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("method", ["advance", "discard"])
@pytest.mark.parametrize("kind", ["ebs", "rds-instance", "ami"])
def test_whatever_answer_is_missed_nothing_is_left(lived: Lived, kind: str, method: str, fault: str) -> None:
    world = lived()
    world.faults(kind).order(method, fault)  # type: ignore[arg-type]
    outcome = rehearse(world)
    assert (outcome["outcome"], outcome["left"], things(world)) == ("restorable", [], [])


# --- kill -9 --------------------------------------------------------------------------------------------------------


class _Killed(BaseException):
    """As kill -9."""


KILLED = [(kind, "advance", at) for kind in ("ebs", "rds-instance", "ami") for at in range(3)]
KILLED += [(kind, "discard", 0) for kind in ("ebs", "rds-instance", "ami")]


@pytest.mark.parametrize(("kind", "method", "at"), KILLED)
def test_killed_at_any_call_of_any_step_the_next_worker_goes_on_and_clears_up(
    lived: Lived, kind: str, method: str, at: int
) -> None:
    world, dead = lived(), False

    def die() -> None:
        nonlocal dead
        dead = True
        raise _Killed

    def gone(*_: object) -> None:
        raise _Killed

    kept = {name: of.discard for name, of in world.kinds.items()}
    for of in world.kinds.values():
        discard = of.discard
        of.discard = lambda *a, discard=discard: gone() if dead else discard(*a)  # type: ignore[method-assign]
    world.faults(kind).order(method, die, after=at)
    with pytest.raises(_Killed):
        rehearse(world)
    for name, discard in kept.items():
        world.kinds[name].discard = discard  # type: ignore[method-assign]
    before = {r.tags[TAG_DRILL] for r in things(world)}
    world.clock.turn(minutes=20)
    seen: set[str] = set()
    for name in ("ebs", "rds-instance", "ami"):
        world.faults(name).order("advance", lambda: seen.update(r.tags[TAG_DRILL] for r in things(world)), times=9)
    outcome = rehearse(world)
    assert (outcome["outcome"], things(world)) == ("restorable", [])
    assert not before & seen, "a second set beside the first"
    assert len({drill.split("/")[4] for drill in seen}) == 1, "all of it may be there as long"


def test_what_a_killed_one_left_is_gone_before_the_newest_point_is_brought_back(lived: Lived) -> None:
    world = lived()
    assert world.seen is not None
    begun = world.seen.plans["shop"].catalogue.of("data")[0].id
    world.clock.turn(days=1)
    world.run(10)
    left = drill_id(SITE, "shop", "data", begun, world.clock.now() + timedelta(hours=1))
    leave(world, left)
    beside: set[str] = set()
    world.faults("ebs").order("advance", lambda: beside.update(r.tags[TAG_DRILL] for r in things(world)), times=9)
    outcome = rehearse(world)
    assert outcome["points"]["data"] == world.seen.plans["shop"].catalogue.of("data")[0].id  # type: ignore[index]
    assert outcome["points"]["data"] != begun and left not in beside  # type: ignore[index]
    assert things(world) == []


# --- one at a time --------------------------------------------------------------------------------------------------


def leave(world: Installation, value: str, tag: str = TAG_DRILL) -> None:
    """Something that somebody began to bring back, under a tag."""
    assert world.seen is not None
    point = world.seen.plans["shop"].catalogue.of("data")[-1]
    copied = point.copy_in(AWAY)
    assert copied is not None
    part = RestorePart(copied.members[0].native_id)
    order = NativeRestore(
        "prod", "us-west-2", "shop", "data", "p", world.clock.now(), tag, value, {tag: value}, (part,), 0
    )
    world.kinds["ebs"].advance(order)


@pytest.mark.parametrize("whose", ["other/shop/data", f"{SITE}/bank/ledger"])
def test_beside_the_drill_of_another_it_does_not_begin_and_touches_nothing(lived: Lived, whose: str) -> None:
    world = lived()
    leave(world, f"{whose}/p/20990101T000000Z")
    with pytest.raises(Busy, match="another drill goes on"):
        rehearse(world)
    assert len(things(world)) == 1
    assert drills(world) == ()


def test_what_outlived_its_time_does_not_stand_in_the_way(lived: Lived) -> None:
    world = lived()
    leave(world, drill_id(SITE, "bank", "ledger", "p", world.clock.now() - LATE))
    assert rehearse(world)["outcome"] == "restorable"


# --- by order, and in its worker ------------------------------------------------------------------------------------


def test_a_person_can_order_it_and_it_counts_like_any_other(lived: Lived) -> None:
    world = lived()
    assert world.seen is not None
    world.hands.held = False
    finished = world.orders().rehearse(world.seen, world.seen.plans["shop"], "")
    assert finished.result["outcome"] == "restorable"
    assert [drilled.well for drilled in drills(world)] == [True]


def test_what_cannot_be_drilled_is_refused_with_a_hint(lived: Lived) -> None:
    world = lived()
    assert world.seen is not None
    plan = world.seen.plans["shop"]
    with pytest.raises(Refused, match="eu-west-1 is no region of the runbook") as told:
        world.orders().rehearse(world.seen, plan, "eu-west-1")
    assert told.value.hint == "us-west-2"
    bare = replace(plan, policy=plan.policy.model_copy(update={"scenario": None}))
    with pytest.raises(Refused, match="no drill of the whole application") as told:
        world.orders().rehearse(world.seen, bare, "")
    assert "drill: {every: 30d, scenario: region}" in told.value.hint


def job(world: Installation, state: Path) -> ScenarioJob:
    """As the daemon composes it, through the pipe."""
    (policy,) = world.policies
    assert policy.scenario is not None
    order = scenario_order(policy, policy.scenario, site=SITE, vaults=tuple(world.stores), looks=())
    vaults = tuple(VaultSpec(name, "memory") for name in world.stores)
    made = ScenarioJob(order, vaults, world.trusted, world.key.text(), HostSpec(state=str(state)))
    return ScenarioJob.from_json(json.loads(json.dumps(made.to_json())))


def carry_out(world: Installation, state: Path) -> Mapping[str, Any]:
    restoring = restores_of(world.kinds)
    return scenario_drill(job(world, state), restoring, world.stores, {}, world.clock, lambda _progress: None, Event())


def test_in_its_worker_it_brings_back_with_the_kinds_own_options_and_signs_the_proof(
    lived: Lived, tmp_path: Path
) -> None:
    world = lived("data")
    outcome = carry_out(world, tmp_path / "state")
    assert (outcome["outcome"], outcome["left"], outcome["unwritten"]) == ("restorable", [], {})
    assert [drilled.well for drilled in drills(world)] == [True]


def test_while_this_host_drills_in_the_account_another_drill_does_not_begin(lived: Lived, tmp_path: Path) -> None:
    world = lived("data")
    with drilling_in(str(tmp_path), ["prod"], "drill of bank/ledger"):
        with pytest.raises(Busy, match="drilling:prod is locked") as told:
            carry_out(world, tmp_path)
        assert "drill of bank/ledger" in told.value.cause
        with drilling_in(str(tmp_path), ["vault"], "another account"):
            pass
    assert things(world) == [] and drills(world) == ()
    assert carry_out(world, tmp_path)["outcome"] == "restorable"


# --- what a failed one holds ----------------------------------------------------------------------------------------


def test_after_a_failed_drill_of_the_whole_nothing_of_it_is_let_go(lived: Lived) -> None:
    world = lived()
    world.cloud.pending_for = None
    rehearse(world)
    world.cloud.pending_for = 1
    for _ in range(4):
        world.clock.turn(days=1)
        world.reconciler.cancel()
        seen = world.run(6)
    held = {(h.resource, h.alarm) for h in seen.holds if "whole application" in h.reason and h.resource != SCENARIO}
    assert held == {(name, "drill-failed") for name in RESTORES}
