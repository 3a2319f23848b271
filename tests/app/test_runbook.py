"""Carrying a runbook out: order, side by side, failures, fallbacks, people, commands, and what is reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from manual_clock import ManualClock

from drorch.app.runbook import FALLBACK_AFTER, PATIENCE, CarryingOut, RunbookReport
from drorch.app.runbook_hands import (
    AskedBeside,
    CommandHand,
    LaunchHand,
    ManualHand,
    RecordHand,
    RestoreHand,
    WaitHand,
    commands_refused,
)
from drorch.domain.errors import DrorchError, NotInThisVersion, OutcomeUnknown, Refused, Unavailable
from drorch.domain.native_restore import CREATING, FAILED, READY, Made, RestoreProgress
from drorch.domain.recovery import Step
from drorch.domain.runbook import (
    Command,
    Deed,
    Launch,
    Manual,
    Recovery,
    Restore,
    RunbookStep,
    StepProgress,
    SwitchRecord,
    Wait,
)
from drorch.domain.runbook_order import cut_off, launched, ready, runbook_plan, side_by_side
from drorch.ports import LaunchOrder, RecordOrder

DONE = StepProgress(True, "done")
GOES = StepProgress(detail="goes on")


def step(name: str, *needs: str, deed: Deed | None = None, fallback: str = "") -> RunbookStep:
    return RunbookStep(name, deed or Restore(name), needs, fallback)


def runbook(*steps: RunbookStep) -> Recovery:
    return Recovery({"us-west-2": {}}, steps)


@dataclass
class World:
    """What each step's hand says, look by look; the last is said again. Errors are raised."""

    says: dict[str, list[StepProgress | DrorchError]]
    clock: ManualClock = field(default_factory=ManualClock)
    looks: list[str] = field(default_factory=list)
    shown: list[tuple[Step, ...]] = field(default_factory=list)
    heard: list[Step] = field(default_factory=list)
    answers: dict[str, bool | None] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def hand(self, of: RunbookStep) -> StepProgress:
        self.looks.append(of.name)
        says = self.says.get(of.name, [DONE])
        said = says.pop(0) if len(says) > 1 else says[0]
        if isinstance(said, DrorchError):
            raise said
        return said

    def ask(self, name: str, text: str) -> bool | None:
        self.questions.append(f"{name}: {text}")
        return self.answers.get(name, True)

    def run(self, *steps: RunbookStep) -> RunbookReport:
        hands = dict.fromkeys(("restore", "launch", "wait", "record", "command"), self.hand)
        hands["manual"] = ManualHand(self.ask)
        carrying = CarryingOut(hands, self.clock, self.ask, self.heard.append, self.shown.append)
        carrying.check(runbook(*steps))
        return carrying.run("shop", "us-west-2", runbook(*steps))


def outcomes(report: RunbookReport) -> dict[str, str]:
    return {step.step: step.outcome for step in report.steps}


# --- order ----------------------------------------------------------------------------------------------------------


DIAMOND = (step("a"), step("b"), step("c", "a", "b"), step("d", "c"))


def test_what_needs_nothing_of_each_other_goes_side_by_side() -> None:
    assert [[s.name for s in of] for of in side_by_side(DIAMOND)] == [["a", "b"], ["c"], ["d"]]
    assert [s.name for s in ready(DIAMOND, {"a": "done"})] == ["b"]
    assert [s.name for s in ready(DIAMOND, {"a": "done", "b": "by hand"})] == ["c"]


def test_what_failed_cuts_off_what_needs_it_and_nothing_else() -> None:
    assert cut_off((*DIAMOND, step("e", "b")), {"a": "failed"}) == {"c": ("a",), "d": ("c",)}


def test_slow_steps_are_looked_at_in_turn_and_what_needs_them_waits() -> None:
    world = World({"a": [GOES, GOES, DONE], "b": [GOES, DONE]})
    report = world.run(*DIAMOND)
    assert world.looks == ["a", "b", "a", "b", "a", "c", "d"]
    assert outcomes(report) == dict.fromkeys("abcd", "done")
    assert report.exit_code == 0
    assert [s.step for s in world.heard] == ["b", "a", "c", "d"]
    assert [s.step for s in report.steps] == ["a", "b", "c", "d"]
    assert [[s.detail for s in of] for of in world.shown] == [["goes on", "goes on"]] + [["goes on"]] * (
        len(world.shown) - 1
    )


def test_the_time_of_each_step_is_its_own() -> None:
    world = World({"a": [GOES, DONE]})
    report = world.run(step("a"), step("b", "a"))
    assert [s.took_s for s in report.steps] == [1, 0]


def test_a_step_that_fails_leaves_the_others_and_what_remains_is_said() -> None:
    world = World({"a": [Refused("somebody else changed it")]})
    report = world.run(*DIAMOND, step("e"))
    assert outcomes(report) == {"a": "failed", "b": "done", "c": "not begun", "d": "not begun", "e": "done"}
    assert report.exit_code == 3
    assert report.to_do == ("a: bring a back", "c: bring c back", "d: bring d back")
    assert [s.detail for s in report.steps][2:4] == ["needs a", "needs c"]


def test_what_nobody_answers_about_is_asked_again_and_given_up_in_the_end() -> None:
    away: list[Any] = [Unavailable("no route"), OutcomeUnknown("no reply"), DONE]
    assert outcomes(World({"a": away}).run(step("a"))) == {"a": "done"}
    world = World({"a": [Unavailable("no route")]})
    began = world.clock.now()
    report = world.run(step("a"))
    assert (outcomes(report), report.exit_code) == ({"a": "failed"}, 4)
    assert PATIENCE <= world.clock.now() - began < PATIENCE + timedelta(minutes=1)


def test_the_worst_code_is_the_runbooks() -> None:
    report = World({"a": [Refused("no")], "b": [StepProgress(failed="it broke")]}).run(step("a"), step("b"))
    assert report.exit_code == 4


# --- people ---------------------------------------------------------------------------------------------------------


def test_a_fallback_is_asked_for_once_the_step_has_failed() -> None:
    world = World({"dns": [Unavailable("Route 53 does not answer")]})
    began = world.clock.now()
    report = world.run(step("dns", fallback="page 12"), step("word", "dns"))
    assert outcomes(report) == {"dns": "by hand", "word": "done"}
    assert world.questions == ["dns: Route 53 does not answer. Instead: page 12"]
    assert FALLBACK_AFTER <= world.clock.now() - began < FALLBACK_AFTER + timedelta(minutes=1)
    assert report.exit_code == 0
    assert report.steps[0].detail == "Route 53 does not answer; a person says that it is done"


def test_a_fallback_that_was_not_done_is_what_failed_first() -> None:
    world = World({"dns": [Refused("somebody else changed it")]}, answers={"dns": False})
    report = world.run(step("dns", fallback="page 12"), step("word", "dns"))
    assert outcomes(report) == {"dns": "failed", "word": "not begun"}
    assert (report.exit_code, report.to_do[0]) == (3, "dns: page 12")


def test_a_person_is_waited_for_while_other_steps_go_on() -> None:
    world = World({"a": [GOES, GOES, DONE]}, answers={"word": None})

    def answer_later(name: str, text: str) -> bool | None:
        return True if "a" in [s.step for s in world.heard] else None

    world.ask = answer_later  # type: ignore[method-assign]
    report = world.run(step("word", deed=Manual("Tell payments")), step("a"))
    assert outcomes(report) == {"word": "done", "a": "done"}
    assert [s.step for s in world.heard] == ["a", "word"]


def test_a_person_who_says_no_fails_the_step() -> None:
    report = World({}, answers={"word": False}).run(step("word", deed=Manual("x")))
    assert outcomes(report) == {"word": "failed"}
    assert report.to_do == ("word: by hand: x",)


def test_questions_are_asked_in_a_thread_one_at_a_time() -> None:
    asked: list[str] = []
    word = threading.Event()

    def ask(name: str, _text: str) -> bool:
        asked.append(name)
        word.wait(10)
        if name == "c":
            raise Refused("there is no terminal")
        return name == "a"

    beside = AskedBeside(ask)
    assert [beside(name, "x") for name in ("a", "b")] == [None, None]
    _until(lambda: asked == ["a"])
    assert beside("a", "x") is None
    word.set()
    _until(lambda: beside("a", "x") is True and beside("b", "x") is False)
    assert asked == ["a", "b"]
    with pytest.raises(Refused, match="no terminal"):
        _until(lambda: beside("c", "x") is not None)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- hands ----------------------------------------------------------------------------------------------------------


class Region:
    """A region in which `web` is an image and everything else is made in two looks."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}

    def advance(self, resource: str) -> RestoreProgress:
        states = self.states.setdefault(resource, [CREATING, READY])
        state = states.pop(0) if len(states) > 1 else states[0]
        made = Made("database instance", f"{resource}-1", state, "creating 10 %")
        return RestoreProgress((made,), state == READY, "10 %" if state == CREATING else "", ("no option group",))

    def image(self, resource: str) -> tuple[str, str]:
        return "prod", f"ami-of-{resource}"


def test_a_restore_is_done_when_the_kind_says_so() -> None:
    hand, of = RestoreHand(Region()), step("database", deed=Restore("ledger"))
    assert hand(of) == StepProgress(False, "0 of 1 ready, database instance ledger-1 creating 10 %")
    assert hand(of) == StepProgress(True, "database instance ledger-1", notes=("no option group",))


def test_a_restore_that_the_provider_could_not_make_has_failed() -> None:
    region = Region()
    region.states["ledger"] = [FAILED]
    told = "the provider could not make it: database instance ledger-1: creating 10 %"
    assert RestoreHand(region)(step("database", deed=Restore("ledger"))).failed == told


def test_of_an_image_that_is_launched_nothing_is_made() -> None:
    steps = (step("image", deed=Restore("web")), step("site", "image", deed=Launch("image", "dr", "tg")))
    assert launched(runbook(*steps)) == {"web"}
    region = Region()
    assert RestoreHand(region, frozenset({"web"}))(steps[0]) == StepProgress(True, "image ami-of-web")
    assert region.states == {}


def test_a_launch_is_ordered_where_the_image_lies() -> None:
    orders: list[LaunchOrder] = []

    class Launches:
        def advance(self, order: LaunchOrder) -> StepProgress:
            orders.append(order)
            return DONE

    hand = LaunchHand(Launches(), Region(), {"image": "web"}, "us-west-2", "shop")
    assert hand(step("site", deed=Launch("image", "dr", "tg"))) == DONE
    assert orders == [LaunchOrder("prod", "us-west-2", "shop", "ami-of-web", "dr", "tg")]


def test_a_record_is_ordered_as_the_runbook_says_it() -> None:
    orders: list[RecordOrder] = []

    class Records:
        def advance(self, order: RecordOrder) -> StepProgress:
            orders.append(order)
            return DONE

    deed = SwitchRecord("Z1", "shop.example.com", "CNAME", ("dr.example.com",), 60, ("www.example.com",))
    assert RecordHand(Records(), "prod")(step("dns", deed=deed)) == DONE
    assert orders == [
        RecordOrder("prod", "Z1", "shop.example.com", "CNAME", ("dr.example.com",), 60, ("www.example.com",))
    ]


class Answering:
    """An address that answers in turn; None: nobody does."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)

    def status(self, address: str) -> int:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise Unavailable(f"{address} does not answer", cause="connection refused")
        return answer


WAITS = step("healthy", deed=Wait("http://dr/health", 200, timedelta(minutes=10)))


def test_a_wait_ends_with_the_answer_that_is_wanted() -> None:
    clock = ManualClock()
    hand = WaitHand(Answering(None, 503, 200), clock)
    assert hand(WAITS) == StepProgress(detail="connection refused")
    clock.turn(minutes=9)
    assert hand(WAITS) == StepProgress(detail="http://dr/health answers 503")
    clock.turn(minutes=9)
    assert hand(WAITS) == StepProgress(True, "http://dr/health answers 200")


def test_a_wait_that_is_too_long_has_failed() -> None:
    clock = ManualClock()
    hand = WaitHand(Answering(503), clock)
    assert not hand(WAITS).failed
    clock.turn(minutes=10)
    assert hand(WAITS).failed == "http://dr/health answers 503, for 10m"


@dataclass
class Commands:
    """Runs nothing; each command runs for one look and ends with `status`."""

    status: int = 0
    begun: list[Sequence[str]] = field(default_factory=list)
    looks: int = 0

    def begin(self, argv: Sequence[str]) -> Commands:
        self.begun.append(argv)
        return self

    def ended(self) -> int | None:
        self.looks += 1
        return None if self.looks == 1 else self.status

    def said(self) -> str:
        return "12 of 90"


def test_a_command_is_begun_once_and_ends_with_its_status() -> None:
    of = step("reindex", deed=Command(("/bin/reindex", "--all")))
    commands = Commands()
    hand = CommandHand(commands)
    assert hand(of) == StepProgress(detail="12 of 90")
    assert hand(of) == StepProgress(True, "/bin/reindex ended with 0: 12 of 90")
    assert commands.begun == [("/bin/reindex", "--all")]
    broken = CommandHand(Commands(status=-9, looks=1))
    assert broken(of).failed == "/bin/reindex ended with -9: 12 of 90"


@pytest.mark.parametrize(
    ("configured", "allow", "hint"),
    [
        (True, False, None),
        (None, True, None),
        (False, False, "drorch.yaml"),
        (False, True, "drorch.yaml"),
        (None, False, "--allow-commands"),
    ],
)
def test_commands_run_only_where_the_host_or_the_person_lets_them(
    configured: bool | None, allow: bool, hint: str | None
) -> None:
    refused = commands_refused(configured=configured, allow_commands=allow)
    assert (refused is None) if hint is None else (refused is not None and hint in refused.hint)


# --- before it begins, and after ------------------------------------------------------------------------------------


def test_what_cannot_be_carried_out_is_refused_before_anything_begins() -> None:
    recovery = runbook(step("a"), step("reindex", deed=Command(("/bin/true",))))
    carrying = CarryingOut({"restore": World({}).hand}, ManualClock(), World({}).ask)
    with pytest.raises(NotInThisVersion, match="step reindex: command"):
        carrying.check(recovery)
    why = commands_refused(configured=None, allow_commands=False)
    assert why is not None
    with pytest.raises(Refused, match="not allowed here"):
        carrying.check(recovery, {"command": why})


def test_the_plan_and_the_report_are_stable_json() -> None:
    steps = (step("image", deed=Restore("web")), step("site", "image", deed=Launch("image", "dr", "tg")))
    assert [s.to_json() for s in runbook_plan(runbook(*steps))] == [
        {
            "step": "image",
            "resource": "web",
            "detail": "bring web back",
            "estimate_s": None,
            "took_s": None,
            "outcome": None,
        },
        {
            "step": "site",
            "resource": "",
            "detail": "launch the image of step image in group dr, behind tg (after image)",
            "estimate_s": None,
            "took_s": None,
            "outcome": None,
        },
    ]
    assert World({}).run(step("a")).to_json() == {
        "application": "shop",
        "region": "us-west-2",
        "steps": [{"step": "a", "resource": "a", "detail": "done", "estimate_s": None, "took_s": 0, "outcome": "done"}],
        "notes": [],
        "to_do": [],
    }
