"""``drorch restore APP --into region:NAME`` with a runbook: steps, people, commands, plan, report, break glass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumped import DATA, World, table_rows
from policy_words import Returned
from worlds import AWAY, SITE, VOLUMES, Installation

from drorch.app.loading import Reader
from drorch.app.native_restore import NativeRestores
from drorch.app.runbook_dumps import DumpSources
from drorch.aws import AwsAccount, AwsAccounts
from drorch.cli import restore_runbook
from drorch.cli.live import LiveSteps
from drorch.cli.region_sources import Asked, Sources
from drorch.cli.restore_region import bring_back
from drorch.domain.dump_return import DumpReturn
from drorch.domain.errors import NotFound, Refused
from drorch.domain.runbook import Recovery, Restore, RunbookStep, StepProgress
from drorch.ports import LaunchOrder
from drorch.steps import launch
from drorch.wiring import adapters

REGION = "us-west-2"
ROWS = table_rows("orders", 20)
POLICY = (
    VOLUMES
    + """
      - name: web
        kind: ami
        select: {tags: {app: shop}}
        schedule: {every: 1d}
        copies: [{region: us-west-2}]
        keep: {last: 3}
    recovery:
      regions:
        us-west-2:
          data: {zone: us-west-2a}
      steps:
        - {name: volumes, restore: data}
        - {name: image, restore: web, needs: []}
        - {name: site, launch: {image: image, group: dr, target_group: tg}, needs: [volumes]}
        - {name: word, manual: Tell payments}
        - {name: index, command: [/bin/echo, indexed]}
"""
)


class Launches:
    """Launches what it is told, once."""

    orders: list[LaunchOrder] = []  # noqa: RUF012  made anew for each test

    def __init__(self, _accounts: object) -> None:
        pass

    def advance(self, order: LaunchOrder) -> StepProgress:
        self.orders.append(order)
        return StepProgress(len(self.orders) > 1, f"{len(self.orders)} healthy")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An application whose snapshots have copies away and whose runbook lies in the vaults."""
    world = Installation(tmp_path_factory.mktemp("lived"), POLICY)
    world.run(12)
    return world


@pytest.fixture
def world(lived: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The same with its home lost, and with stand-ins for what AWS and a person do."""
    monkeypatch.setattr(Launches, "orders", [])
    monkeypatch.setattr(launch, "AutoScalingLaunches", Launches)
    monkeypatch.setattr(adapters, "restore_options", lambda _kind, said: Returned(**said))
    monkeypatch.setattr(adapters, "restore_model", lambda _kind: Returned)
    answer(monkeypatch, True)
    twin = lived.twin(tmp_path / "twin")
    twin.cloud.lose("us-east-1")
    return twin


def answer(monkeypatch: pytest.MonkeyPatch, word: bool) -> None:
    """What a person says to everything that is asked."""
    monkeypatch.setattr(restore_runbook, "_asking", lambda *_, **__: lambda _step, _text: word)


def sources(world: Installation, *, glass: bool = False, **over: Any) -> Sources:
    restores = NativeRestores(
        kinds_of=lambda _accounts: world.kinds,
        stores=world.stores,
        reader=Reader(keys=world.trusted, identities=(), clock=world.host),
        valid_id=world.valid_id,
    )
    policy = world.policies[0]
    natives: Mapping[str, Any] = {"data": ("ebs", ("prod",)), "web": ("ami", ("prod",))}
    mapped: Mapping[str, Any] = {"data": {"zone": "us-west-2a"}}
    of_policy: dict[str, Any] = {"natives": natives, "mapped": mapped, "recovery": policy.recovery, "commands": True}
    accounts: dict[str, Any] = {"accounts_of": lambda names: AwsAccounts({name: AwsAccount() for name in names})}
    return Sources(restores, world.clock, SITE, **(accounts | ({} if glass else of_policy) | over))


def asked(**over: Any) -> Asked:
    given: dict[str, Any] = dict.fromkeys(("vault", "point", "note", "name", "terraform"), "")
    given |= {"urls": (), "trust": (), "options": (), "resources": (), "at": None}
    given |= {"plan_only": False, "asks": False, "as_json": True}
    return Asked("shop", region=REGION, **(given | over))


def run(world: Installation, capsys: pytest.CaptureFixture[str], asking: Asked, of: Sources) -> tuple[int, Any]:
    code = bring_back(asking, of)
    return code, json.loads(capsys.readouterr().out)


def volumes(world: Installation) -> list[str]:
    return [restored.made.what for restored in world.cloud._place("ec2", "prod", REGION).restored]


def test_the_runbook_is_carried_out_where_no_resource_is_named(
    world: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = run(world, capsys, asked(), sources(world))
    assert code == 0, report
    assert [(s["step"], s["outcome"]) for s in report["steps"]] == [
        *[("volumes", "done"), ("image", "done"), ("site", "done"), ("word", "done"), ("index", "done")]
    ]
    assert [(r["resource"], r["outcome"], r["vault"]) for r in report["resources"]] == [
        ("data", "done", AWAY),
    ]
    assert report["to_do"] == []
    assert report["steps"][-1]["detail"] == "/bin/echo ended with 0: indexed"


def test_an_image_that_is_launched_makes_no_instance_of_its_own(
    world: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    run(world, capsys, asked(), sources(world))
    assert volumes(world) == ["volume"]
    (order,) = set(Launches.orders)
    image = next(s.native_id for s in world.snapshots(AWAY) if s.native_id.startswith("ami"))
    assert (order.account, order.region, order.group) == ("prod", REGION, "dr")
    assert order.image.partition("-")[0] == image.partition("-")[0]


def test_again_nothing_is_made_twice(world: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    run(world, capsys, asked(), sources(world))
    assert run(world, capsys, asked(), sources(world))[0] == 0
    assert volumes(world) == ["volume"]


def test_a_named_resource_is_brought_back_alone(world: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run(world, capsys, asked(resources=("data",)), sources(world))
    assert code == 0
    assert {s["step"] for s in report["steps"]} == {"locate", "create", "ready"}
    assert Launches.orders == []


def test_the_plan_shows_the_steps_and_touches_nothing(world: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = run(world, capsys, asked(plan_only=True), sources(world))
    assert code == 0
    assert [s["step"] for s in plan["steps"]][-5:] == ["volumes", "image", "site", "word", "index"]
    assert [r["resource"] for r in plan["resources"]] == ["data", "web"]
    assert (volumes(world), Launches.orders) == ([], [])


def test_break_glass_carries_the_signed_runbook_out(world: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="commands, which is not allowed here") as refused:
        bring_back(asked(), sources(world, glass=True))
    assert "--allow-commands" in refused.value.hint
    assert volumes(world) == []
    code, report = run(world, capsys, asked(allow_commands=True), sources(world, glass=True))
    assert (code, [s["outcome"] for s in report["steps"]]) == (0, ["done"] * 5)


def test_a_resource_that_does_not_come_back_names_the_next_best_point(
    world: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise Refused("the quota is full")

    world.faults("ebs").order("advance", full)
    code, report = run(world, capsys, asked(), sources(world))
    (back,) = report["resources"]
    assert (code, back["outcome"]) == (3, "failed")
    assert back["why"].startswith("the quota is full")
    assert "what was made stays, the same command goes on with it" in back["why"]


def test_a_host_that_allows_no_commands_begins_nothing(world: Installation) -> None:
    with pytest.raises(Refused, match="not allowed here"):
        bring_back(asked(), sources(world, commands=False))
    assert volumes(world) == []


def test_a_step_that_nobody_did_leaves_what_needs_it_and_says_so(
    world: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, False)
    code, report = run(world, capsys, asked(), sources(world))
    assert code == 4
    assert report["to_do"] == ["word: by hand: Tell payments", "index: run /bin/echo indexed"]
    assert [s["outcome"] for s in report["steps"]][-2:] == ["failed", "not begun"]


def test_people_read_what_is_back_and_what_is_to_be_done(
    world: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bring_back(asked(as_json=False, plan_only=True), sources(world)) == 0
    planned = capsys.readouterr().out
    assert "launch the image of step image in group dr, behind tg" in planned
    answer(monkeypatch, False)
    bring_back(asked(as_json=False), sources(world))
    said = capsys.readouterr()
    assert "data is back from prod.us-west-2" in said.out
    assert "still to be done: word: by hand: Tell payments" in said.err


def test_nobody_at_a_pipe_says_that_it_is_done(world: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asking = restore_runbook._asking(LiveSteps(quiet=True, promised=None), as_json=False)
    with pytest.raises(Refused, match="nobody is here to say that it is done"):
        asking("word", "Tell payments")


def test_options_that_are_not_whole_matter_only_where_something_is_made(
    world: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def demanding(kind: str, said: Mapping[str, Any]) -> Returned:
        if not said:
            raise Refused(f"how {kind} is brought back is not said whole")
        return Returned(**said)

    monkeypatch.setattr(adapters, "restore_options", demanding)
    assert run(world, capsys, asked(), sources(world))[0] == 0
    with pytest.raises(Refused, match="how ami is brought back"):
        bring_back(asked(), replace(sources(world), recovery=Recovery()))


class Loaded:
    """Dumps beside the volumes, and a runbook that brings both back."""

    def __init__(self) -> None:
        self.dumps = World()
        self.dumps.dump("p1", ROWS)
        options = {"data": Returned(zone="us-west-2a"), "orders": DumpReturn(into="memory://back")}
        self.recovery = Recovery(
            {REGION: options},
            (RunbookStep("volumes", Restore("data")), RunbookStep("database", Restore("orders"))),
        )

    @property
    def sources(self) -> DumpSources:
        return DumpSources(self.dumps.stores, self.dumps.reader(), lambda _into: self.dumps.engine, lambda _of: None)

    def of(self, world: Installation) -> Sources:
        return sources(world, recovery=self.recovery, dumps=lambda: self.sources)


def test_dumps_come_back_beside_snapshots(world: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = Loaded()
    code, report = run(world, capsys, asked(), loaded.of(world))
    assert code == 0, report
    assert [(s["step"], s["resource"], s["outcome"]) for s in report["steps"]] == [
        ("volumes", "data", "done"),
        ("database", "orders", "done"),
    ]
    back = {r["resource"]: (r["kind"], r["into"], r["outcome"], r["vault"]) for r in report["resources"]}
    assert back == {"data": ("ebs", None, "done", AWAY), "orders": ("memory", "memory://back", "done", "gcs-eu")}
    assert "orders" not in report["left"]
    assert loaded.dumps.engine.databases["back"][DATA] == ROWS
    loaded.dumps.engine.given.clear()
    assert run(world, capsys, asked(), loaded.of(world))[0] == 0
    assert loaded.dumps.engine.given == {}


def test_the_plan_names_the_target_of_a_dump_and_touches_nothing(
    world: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = Loaded()
    assert bring_back(asked(plan_only=True, as_json=False), loaded.of(world)) == 0
    said = capsys.readouterr().out
    assert "memory into memory://back" in said and "p1" in said and "bring orders back" in said
    _, plan = run(world, capsys, asked(plan_only=True), loaded.of(world))
    told = {r["resource"]: (r["restore"], r["into"]) for r in plan["resources"]}
    assert told["orders"] == ("shop/orders/p1", "memory://back")
    assert (volumes(world), loaded.dumps.engine.databases) == ([], {})


def test_a_runbook_of_dumps_alone_needs_no_snapshot(
    world: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Loaded()
    loaded.recovery = Recovery(loaded.recovery.regions, loaded.recovery.steps[1:])
    of = loaded.of(world)

    def nothing(*_: object) -> None:
        raise NotFound("nothing of shop can be brought back")

    monkeypatch.setattr(NativeRestores, "find", nothing)
    code, report = run(world, capsys, asked(), of)
    assert (code, [r["resource"] for r in report["resources"]]) == (0, ["orders"])
    with pytest.raises(NotFound):
        bring_back(asked(), replace(of, recovery=Loaded().recovery))
