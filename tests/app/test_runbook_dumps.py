"""Dumps as steps of a runbook: side by side, found done again, cut off and begun again, given up, refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from dumped import APPLICATION, DATA, HandClock, World, table_rows

from drorch.app.progress import Progress
from drorch.app.restore import RestoreRequest, restore
from drorch.app.runbook import PATIENCE, CarryingOut, RunbookReport
from drorch.app.runbook_dumps import ATTEMPTS, DumpSources, LoadedDumps, _words
from drorch.app.runbook_hands import ManualHand, RestoreHand
from drorch.domain.dump_return import DatabaseReturn, DumpReturn
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.recovery import Step
from drorch.domain.runbook import Manual, Recovery, Restore, RunbookStep
from drorch.ports import Engine

ROWS = table_rows("orders", 200)
INTO = DumpReturn(into="memory://back")


class Waiting(HandClock):
    """A clock that is turned by sleeping, and lets the threads that load go on meanwhile."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        time.sleep(0.01)


@dataclass
class Region:
    """A world with dumps, and a runbook that brings them back."""

    world: World = field(default_factory=World)
    clock: Waiting = field(default_factory=Waiting)
    wanted: Mapping[str, DumpReturn] = field(default_factory=lambda: {"orders": INTO})
    shown: list[Step] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    last: LoadedDumps | None = None
    target: Callable[..., object] | None = None
    """What the engine's `target` is once points are chosen."""

    def dumps(self, **over: object) -> LoadedDumps:
        def engine(_into: str) -> Engine:
            return self.world.engine

        def password(options: DumpReturn) -> str | None:
            self.passwords.append(options.credential)
            return None

        sources = DumpSources(self.world.stores, self.world.reader(), engine, password)
        dumps = LoadedDumps(APPLICATION, self.wanted, sources, **over)  # type: ignore[arg-type]
        dumps.locate()
        return dumps

    def run(self, *steps: RunbookStep, **over: object) -> RunbookReport:
        dumps = self.last = self.dumps(**over)
        if self.target is not None:
            self.world.engine.target = self.target  # type: ignore[method-assign,assignment]
        hands = {
            "restore": RestoreHand(None, frozenset(), dumps),  # type: ignore[arg-type]  no snapshot is brought back
            "manual": ManualHand(lambda _step, _text: True),
        }
        steps = steps or (RunbookStep("database", Restore("orders")),)
        rounds = CarryingOut(hands, self.clock, lambda _step, _text: True, shown=self.shown.extend)
        try:
            return rounds.run(APPLICATION, "us-west-2", Recovery(steps=steps))
        finally:
            dumps.close()

    @property
    def held(self) -> dict[str, bytes]:
        return {name: of[DATA] for name, of in self.world.engine.databases.items()}


@pytest.fixture
def region() -> Iterator[Region]:
    found = Region()
    found.world.dump("p1", ROWS)
    found.clock.present = found.world.clock.present
    yield found
    if found.last is not None:
        found.last.close()


def test_a_dump_is_in_its_target_and_the_target_says_which_it_is(region: Region) -> None:
    report = region.run()
    assert [(step.step, step.resource, step.outcome) for step in report.steps] == [("database", "orders", "done")]
    assert report.exit_code == 0
    assert region.held == {"back": ROWS}
    assert region.world.engine.marks == {"back": "shop/orders/p1"}
    assert "of point p1 in memory://back" in report.steps[0].detail
    assert region.last is not None
    (back,) = region.last.outcomes(report.steps, region.clock)
    told = back.to_json()
    assert (told["outcome"], told["into"], told["restore"], told["point"]) == (
        "done",
        "memory://back",
        "shop/orders/p1",
        "p1",
    )


def test_the_same_command_again_finds_it_done_and_loads_nothing(region: Region) -> None:
    region.run()
    region.world.engine.given.clear()
    region.world.engine.databases["back"][DATA] += b"orders\tsince\n"  # it is in use
    report = region.run()
    assert report.exit_code == 0
    assert report.steps[0].detail == "memory://back holds point p1 already"
    assert region.world.engine.given == {}


def test_a_target_that_was_begun_with_an_older_point_is_left_so_and_that_is_told(region: Region) -> None:
    region.run()
    region.world.clock.present += timedelta(hours=1)
    region.world.dump("p2", ROWS + b"orders\tmore\n")
    report = region.run()
    assert (report.exit_code, region.held) == (0, {"back": ROWS})
    assert report.notes == ("database: memory://back was restored from point p1 before, and is left so; newer is p2",)


@pytest.mark.parametrize("at", [False, True])
def test_a_target_that_holds_anything_else_is_refused_and_left_as_it_was(region: Region, at: bool) -> None:
    other = region.world.engine
    other.databases["back"] = {DATA: b"mine"}
    other.marks["back"] = "shop/orders/p0" if at else ""
    report = region.run(at=region.world.clock.present if at else None)
    assert (report.exit_code, report.steps[0].outcome) == (3, "failed")
    assert "the target is not empty" in report.steps[0].detail
    assert region.held == {"back": b"mine"}
    assert report.to_do == ("database: bring orders back",)


def test_what_was_restored_by_hand_bears_no_mark_and_is_refused(region: Region) -> None:
    restore(
        RestoreRequest(APPLICATION, "memory://back"), region.world.engine, region.world.stores, region.world.reader()
    )
    assert region.run().exit_code == 3


def test_other_steps_go_on_while_a_dump_is_loaded(region: Region) -> None:
    begun, go_on = threading.Event(), threading.Event()
    target = region.world.engine.target

    def slow(url: str, password: str | None, *, with_globals: bool) -> object:
        found = target(url, password, with_globals=with_globals)
        prepare = found.prepare

        def prepared(facts: Mapping[str, object]) -> None:
            begun.set()
            assert go_on.wait(30)
            prepare(facts)

        found.prepare = prepared  # type: ignore[method-assign]
        return found

    region.world.engine.target = slow  # type: ignore[method-assign,assignment]
    told: list[str] = []

    def ask(step: str, _text: str) -> bool:
        assert begun.wait(30)
        told.append(step)
        go_on.set()
        return True

    dumps = region.dumps()
    hands = {"restore": RestoreHand(None, frozenset(), dumps), "manual": ManualHand(ask)}  # type: ignore[arg-type]
    steps = (RunbookStep("database", Restore("orders")), RunbookStep("word", Manual("say it")))
    report = CarryingOut(hands, region.clock, ask).run(APPLICATION, "us-west-2", Recovery(steps=steps))
    assert (report.exit_code, told, region.held) == (0, ["word"], {"back": ROWS})


def test_a_load_that_is_cut_off_is_begun_again_a_few_times(region: Region) -> None:
    engine, failures = region.world.engine, [Unavailable("the server went away")] * (ATTEMPTS - 1)
    target = engine.target

    def flaky(url: str, password: str | None, *, with_globals: bool) -> object:
        engine.dies_with = failures.pop() if failures and url == INTO.into and password is None else None
        return target(url, password, with_globals=with_globals)

    region.target = flaky
    assert region.run().exit_code == 0
    assert (failures, region.held) == ([], {"back": ROWS})


def test_one_that_never_comes_through_fails_and_its_target_is_as_it_was(region: Region) -> None:
    region.world.engine.dies_with = Unavailable("the server went away")
    report = region.run()
    assert (report.exit_code, report.steps[0].outcome) == (4, "failed")
    assert region.held == {}
    assert region.last is not None
    (back,) = region.last.outcomes(report.steps, region.clock)
    assert back.why.endswith("its target is as it was, the same command begins again")


def test_a_target_that_does_not_answer_is_waited_for_as_long_as_a_provider(region: Region) -> None:
    began = region.clock.now()
    target = region.world.engine.target

    def silent(url: str, password: str | None, *, with_globals: bool) -> object:
        found = target(url, password, with_globals=with_globals)
        found.left = _no_answer  # type: ignore[method-assign]
        return found

    region.target = silent
    report = region.run()
    assert (report.exit_code, report.steps[0].outcome) == (4, "failed")
    assert region.clock.now() - began >= PATIENCE
    assert "nobody answers" in report.steps[0].detail


def _no_answer() -> str:
    raise Unavailable("nobody answers")


def test_nothing_begins_without_what_opens_dumps_and_targets(region: Region) -> None:
    region.wanted = {
        "orders": DatabaseReturn.model_validate({"into": "memory://back", "password": {"credential": "dr"}})
    }
    dumps = region.dumps()
    dumps.check()
    assert region.passwords == ["dr"]
    reader = replace(region.world.reader(), identities=())
    bare = DumpSources(region.world.stores, reader, lambda _into: region.world.engine, lambda _of: None)
    nothing = LoadedDumps(APPLICATION, {"orders": INTO}, bare)
    nothing.locate()
    with pytest.raises(Refused, match="nothing opens them"):
        nothing.check()


def test_a_resource_without_a_dump_is_told_before_anything_begins(region: Region) -> None:
    region.wanted = {"wares": INTO}
    with pytest.raises(NotFound):
        region.dumps()


def test_how_far_it_is_tells_bytes_of_how_many_and_what_a_drill_took(region: Region) -> None:
    dumps = region.dumps()
    located = dumps.located["orders"]
    assert located.estimate_s is None  # no drill has measured it
    words = _words(Progress("load", "orders", 1 << 20, 4 << 20, rate=float(1 << 19)))
    assert words == "load 1.0 MiB of 4.0 MiB (25 %), 512.0 KiB/s"
    assert _words(Progress("load", "orders", 700)) == "load 700 B"


def test_errors_of_the_tree_end_the_step_at_once(region: Region) -> None:
    region.world.engine.dies_with = Refused("no room for it")
    report = region.run()
    assert (report.exit_code, report.steps[0].detail) == (3, str(Refused("no room for it")))
