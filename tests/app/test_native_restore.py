"""Native points brought back in another region: chosen from records and that region alone, resumable, never twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from worlds import AWAY, LEDGER, SITE, VOLUMES, WEST, Installation

from drorch.app.bringing_back import BringingBack
from drorch.app.loading import Reader
from drorch.app.native_restore import Found, NativeRestores, RegionRequest, check_all
from drorch.app.region_report import RegionReport
from drorch.app.runbook import PATIENCE
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.native_restore import Made
from drorch.domain.recovery import Step
from drorch.ports import ObjectStore

NATIVES = {"data": ("ebs", ("prod",)), "ledger": ("rds-instance", ("prod",))}


def lived(tmp_path: Path, *texts: str, days: int = 3) -> Installation:
    world = Installation(tmp_path, *(texts or (VOLUMES,)))
    for _ in range(days):
        world.run(8)
        world.clock.turn(days=1)
    return world


def restores(world: Installation, stores: Mapping[str, ObjectStore] | None = None, **over: object) -> NativeRestores:
    return NativeRestores(
        kinds_of=lambda _accounts: world.kinds,
        stores=world.stores if stores is None else stores,
        reader=Reader(keys=world.trusted, identities=(), clock=world.host),
        **{"valid_id": world.valid_id, **over},  # type: ignore[arg-type]
    )


def request(application: str = "shop", **over: object) -> RegionRequest:
    natives = {k: v for k, v in NATIVES.items() if (k == "data") == (application == "shop")}
    return replace(RegionRequest(application, "us-west-2", site=SITE, natives=natives), **over)  # type: ignore[arg-type]


def nothing_said(_kind: str, _resource: str, _recorded: Mapping[str, object]) -> object:
    return SimpleNamespace(name="")


def found(world: Installation, asked: RegionRequest | None = None, **over: object) -> Found:
    return restores(world, **over).find(asked or request(), nothing_said)  # type: ignore[arg-type]


def run(world: Installation, asked: RegionRequest | None = None) -> RegionReport:
    by, asked = restores(world), asked or request()
    located = by.find(asked, nothing_said)
    noted = check_all(located, by.restoring)
    return BringingBack(by.restoring, world.clock).run(asked.application, asked.region, located, noted)


def things(world: Installation, service: str = "ec2") -> list[Made]:
    return [restored.made for restored in world.cloud._place(service, "prod", "us-west-2").restored]


def test_the_newest_point_with_a_copy_there_comes_back_with_its_region_lost(tmp_path: Path) -> None:
    world = lived(tmp_path)
    world.cloud.lose("us-east-1")
    report = run(world)
    (back,) = report.resources
    assert (back.outcome, report.exit_code) == ("done", 0)
    point = world.seen.plans["shop"].catalogue.of("data")[0] if world.seen else None
    assert point is not None and back.located.choice.point.id == point.id
    assert back.data_loss_s == int((world.clock.now() - back.located.choice.cut_at).total_seconds())
    (made,) = things(world)
    assert (made.state, made.source_id) == ("ready", "vol-1")


def test_nothing_is_asked_of_any_other_region(tmp_path: Path) -> None:
    world = lived(tmp_path)
    for kind in world.kinds.values():
        kind.faults.calls.clear()
        kind.faults.black_hole("us-east-1")
    assert run(world).exit_code == 0
    assert not any(kind.faults.met["black hole"] for kind in world.kinds.values())


def test_what_is_made_bears_the_restore_alone_and_no_tag_by_which_a_point_is_known(tmp_path: Path) -> None:
    world = lived(tmp_path)
    run(world)
    (restored,) = world.cloud._place("ec2", "prod", "us-west-2").restored
    point = found(world).located[0].choice.point.id
    assert dict(restored.tags) == {"drorch:restore": f"shop/data/{point}"}


def test_the_same_command_again_makes_nothing_twice(tmp_path: Path) -> None:
    world = lived(tmp_path)
    run(world)
    before = things(world)
    again = run(world)
    assert again.exit_code == 0
    assert [made.native_id for made in things(world)] == [made.native_id for made in before]


@pytest.mark.parametrize("fault", ["before", "after", "throttled", "timeout"])
@pytest.mark.parametrize("at", range(3))
def test_whatever_answer_is_missed_the_end_is_the_same(tmp_path: Path, fault: str, at: int) -> None:
    world = lived(tmp_path)
    world.faults("ebs").order("advance", fault, after=at)  # type: ignore[arg-type]
    assert run(world).exit_code == 0
    assert len(things(world)) == 1


class _Killed(BaseException):
    """As kill -9: nothing is caught on the way."""


@pytest.mark.parametrize("at", range(4))
def test_killed_at_any_call_the_same_command_elsewhere_goes_on_to_the_same_end(tmp_path: Path, at: int) -> None:
    def die() -> None:
        raise _Killed

    world = lived(tmp_path, VOLUMES, LEDGER)
    world.faults("rds-instance").order("advance", die, after=at)
    with pytest.raises(_Killed):
        while True:  # it ends before the kill at the later ones: given again, as people do
            run(world, request("bank"))
    world.clock.turn(minutes=5)
    assert run(world, request("bank")).exit_code == 0
    assert [made.native_id for made in things(world, "rds")] == ["shop-ledger"]


def test_a_restore_that_was_begun_goes_on_with_its_point_though_a_newer_one_came(tmp_path: Path) -> None:
    world = lived(tmp_path)
    by = restores(world)
    first = by.find(request(), nothing_said).located[0]
    by.restoring("ebs").advance(first.order)
    world.clock.turn(days=1)
    world.run(8)
    second = found(world).located[0]
    assert second.begun and second.choice.point.id == first.choice.point.id
    assert [newer.why for newer in second.choice.newer]
    named = found(world, request(resources=("data",), point=second.choice.newer[0].point)).located[0]
    assert named.choice.point.id == second.choice.newer[0].point and not named.begun


def test_the_same_point_comes_back_once_more_under_a_name_of_its_own(tmp_path: Path) -> None:
    world = lived(tmp_path)
    run(world)
    assert run(world, request(resources=("data",), name="again")).exit_code == 0
    assert len(things(world)) == 2


def test_a_time_chooses_the_newest_point_not_after_it(tmp_path: Path) -> None:
    world = lived(tmp_path, days=4)
    newest = found(world).located[0].choice
    at = newest.cut_at - timedelta(minutes=1)
    chosen = found(world, request(at=at)).located[0].choice
    assert chosen.cut_at <= at
    assert newest.point.id in [newer.point for newer in chosen.newer]


def test_without_policy_and_signing_key_the_records_say_where_copies_lie(tmp_path: Path) -> None:
    world = lived(tmp_path)
    bare = restores(world, {WEST: world.stores[WEST]}, valid_id=lambda *_: False)
    (located,) = bare.find(RegionRequest("shop", "us-west-2"), nothing_said).located
    assert (located.vault, located.kind) == (AWAY, "ebs")


def test_a_copy_that_somebody_deleted_is_passed_over_and_named(tmp_path: Path) -> None:
    world = lived(tmp_path)
    newest = found(world).located[0].choice
    gone = {member.native_id for copy in newest.point.copies if copy.vault == AWAY for member in copy.members}
    for snapshot in world.cloud.snapshots():
        if snapshot.native_id in gone:
            world.cloud.remove(snapshot)
    chosen = found(world).located[0].choice
    assert chosen.cut_at < newest.cut_at
    assert newest.point.id in [newer.point for newer in chosen.newer]


def test_a_region_that_does_not_answer_is_unavailable_not_empty(tmp_path: Path) -> None:
    world = lived(tmp_path)
    world.cloud.lose("us-west-2")
    with pytest.raises(Unavailable, match="nothing of shop can be brought back in us-west-2") as caught:
        found(world)
    assert "prod.us-west-2 could not be read" in caught.value.cause


def test_a_region_without_copies_is_told_as_such(tmp_path: Path) -> None:
    world = lived(tmp_path)
    with pytest.raises(NotFound, match="eu-west-1"):
        found(world, request(region="eu-west-1", natives={}))


def test_a_name_that_is_taken_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    world = lived(tmp_path, LEDGER)
    place = world.cloud._place("rds", "prod", "us-west-2")
    place.sources["shop-ledger"] = world.cloud._place("rds", "prod", "us-east-1").sources["shop-ledger"]
    with pytest.raises(Refused, match="the name is taken"):
        run(world, request("bank"))
    assert things(world, "rds") == []


def test_a_provider_that_falls_silent_is_given_up_with_the_next_best_point_named(tmp_path: Path) -> None:
    world = lived(tmp_path)
    by = restores(world)
    located = by.find(request(), nothing_said)
    world.cloud.lose("us-west-2")
    heard: list[Step] = []
    began = world.clock.now()
    report = BringingBack(by.restoring, world.clock, heard.append).run("shop", "us-west-2", located, {})
    (back,) = report.resources
    assert (back.outcome, report.exit_code) == ("failed", 4)
    assert world.clock.now() - began >= PATIENCE
    older = located.located[0].next_best
    assert older and older in back.why
    assert [(step.step, step.outcome) for step in heard] == [("locate", "done"), ("ready", "failed")]


def test_each_thing_is_told_of_as_it_becomes_ready_and_what_is_under_way_with_its_estimate(tmp_path: Path) -> None:
    world = lived(tmp_path)
    by = restores(world)
    located = by.find(request(), nothing_said)
    expected = Found(tuple(replace(each, estimate_s=90) for each in located.located), located.left)
    heard: list[Step] = []
    shown: list[Step] = []
    report = BringingBack(by.restoring, world.clock, heard.append, shown.extend).run("shop", "us-west-2", expected, {})
    assert [(step.step, step.resource, step.outcome) for step in heard] == [
        *[("locate", "data", "done"), ("create", "data", "done"), ("ready", "data", "done")]
    ]
    assert report.steps == tuple(heard)
    (made,) = report.resources[0].made
    assert heard[1].detail == heard[2].detail == f"{made.what} {made.native_id}"
    assert {(step.step, step.resource, step.estimate_s) for step in shown} == {("create", "data", 90)}
    assert shown[0].detail.startswith(f"0 of 1 ready, {made.what} {made.native_id} ")


def test_import_blocks_name_everything_that_has_an_address() -> None:
    made = Made("volume", "vol-9", "ready", address="aws_ebs_volume", import_id="vol-9")
    back = SimpleNamespace(located=SimpleNamespace(resource="data"), made=(made, made))
    report = RegionReport("shop", "us-west-2", (back,), (), {})  # type: ignore[arg-type]
    first, second = report.import_blocks().split("\n\n")
    assert first == 'import {\n  to = aws_ebs_volume.restored_data\n  id = "vol-9"\n}'
    assert "aws_ebs_volume.restored_data_2" in second


def test_what_a_drill_measured_is_the_estimate(tmp_path: Path) -> None:
    world = lived(tmp_path, VOLUMES.rstrip() + "\n        drill: {every: 7d}\n", days=1)
    (drilled,) = world.seen.plans["shop"].catalogue.drills if world.seen else ()
    located = found(world).located[0]
    assert located.estimate_s == drilled.seconds["create"] > 0
    assert found(lived(tmp_path / "other", days=1)).located[0].estimate_s is None
