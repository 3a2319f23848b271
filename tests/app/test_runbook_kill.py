"""kill -9 at every step of a runbook, then the same command again: the same end, and nothing made twice.

The world is a folder: what a step makes is a file there, made once and looked for first, as the hands of the product do
it at their providers. A death is a child's, at a failpoint of the product.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from manual_clock import ManualClock

from drorch.app import failpoint
from drorch.app.runbook import CarryingOut
from drorch.app.runbook_hands import (
    CommandHand,
    Hand,
    LaunchHand,
    ManualHand,
    RecordHand,
    RestoreHand,
    WaitHand,
)
from drorch.domain.errors import Unavailable
from drorch.domain.native_restore import CREATING, READY, Made, RestoreProgress
from drorch.domain.runbook import (
    WORDS,
    Command,
    Launch,
    Manual,
    Recovery,
    Restore,
    RunbookStep,
    StepProgress,
    SwitchRecord,
    Wait,
)
from drorch.domain.runbook_order import launched
from drorch.ports import LaunchOrder, RecordOrder

STEPS = (
    RunbookStep("database", Restore("ledger")),
    RunbookStep("image", Restore("web")),
    RunbookStep("site", Launch("image", "dr", "tg"), ("database", "image")),
    RunbookStep("healthy", Wait("http://dr/health", 200, timedelta(minutes=10)), ("site",)),
    RunbookStep("dns", SwitchRecord("Z1", "shop", "CNAME", ("dr",), 60), ("healthy",)),
    RunbookStep("word", Manual("Tell payments"), ("dns",)),
    RunbookStep("reindex", Command(("/bin/reindex",)), ("dns",)),
)
INSTANTS = ("before", "called", "recorded")


class Place:
    """Everything that a runbook changes: a folder, and how often each thing was looked at since it was made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, what: str) -> bool:
        """Whether it was there; made now if it was not. A second making would fail."""
        try:
            with (self.folder / name).open("x") as file:
                file.write(what)
        except FileExistsError:
            return True
        return False

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    # --- as the ports ---

    def restore(self, resource: str) -> RestoreProgress:
        there = self.make(f"instance-{resource}", "restored")
        return RestoreProgress((Made("instance", f"i-{resource}", READY if there else CREATING),), there)

    def image(self, resource: str) -> tuple[str, str]:
        return "prod", f"ami-{resource}"

    def launch(self, order: LaunchOrder) -> StepProgress:
        assert self.has("instance-ledger"), "the site was launched before its database"
        return StepProgress(self.make("group", f"{order.group} runs {order.image}"))

    def status(self, address: str) -> int:
        if not self.has("group"):
            raise Unavailable("nobody answers")
        return 200

    def record(self, order: RecordOrder) -> StepProgress:
        assert self.has("group"), "the record was switched before there was a site"
        return StepProgress(self.make("record", f"{order.name} is {','.join(order.values)}"))

    def ask(self, name: str, text: str) -> bool:
        self.make(f"told-{name}", text)
        return True

    def state(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.folder.iterdir())}


class Reindexed:
    """A command that does nothing the second time, as one in a runbook has to be."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def begin(self, argv: Sequence[str]) -> Reindexed:
        self._place.make("index", " ".join(argv))
        return self

    def ended(self) -> int:
        return 0

    def said(self) -> str:
        return ""


class _Restores:
    def __init__(self, place: Place) -> None:
        self.advance, self.image = place.restore, place.image


class _Port:
    def __init__(self, **methods: object) -> None:
        self.__dict__.update(methods)


def hands(place: Place, recovery: Recovery, clock: ManualClock) -> Mapping[str, Hand]:
    restores = _Restores(place)
    return {
        "restore": RestoreHand(restores, launched(recovery)),
        "launch": LaunchHand(_Port(advance=place.launch), restores, {"image": "web"}, "us-west-2", "shop"),  # type: ignore[arg-type]
        "wait": WaitHand(_Port(status=place.status), clock),  # type: ignore[arg-type]
        "record": RecordHand(_Port(advance=place.record), "prod"),  # type: ignore[arg-type]
        "manual": ManualHand(place.ask),
        "command": CommandHand(Reindexed(place)),
    }


def carry_out(folder: Path) -> int:
    recovery, clock, place = Recovery({"us-west-2": {}}, STEPS), ManualClock(), Place(folder)
    carrying = CarryingOut(hands(place, recovery, clock), clock, place.ask)
    carrying.check(recovery)
    return carrying.run("shop", "us-west-2", recovery).exit_code


def carry_out_in_a_child(folder: Path, die_at: str) -> int:
    """How a child ended that was to die there."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.environ[failpoint.VARIABLE] = die_at
    try:
        os._exit(carry_out(folder))
    except BaseException:  # noqa: BLE001  the child must not go on as a second run of the tests
        traceback.print_exc()
    os._exit(70)


def test_every_word_of_a_step_is_died_at() -> None:
    assert {step.deed.word for step in STEPS} == set(WORDS)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("count", [1, 2])
def test_killed_at_a_step_and_begun_again(word: str, instant: str, count: int, tmp_path: Path) -> None:
    golden, killed = tmp_path / "golden", tmp_path / "killed"
    golden.mkdir()
    killed.mkdir()
    assert carry_out(golden) == 0
    reached = {"before": {"restore": 2}, "called": {"restore": 4, "launch": 2, "record": 2}, "recorded": {"restore": 2}}
    if count > reached[instant].get(word, 1):
        assert carry_out_in_a_child(killed, f"step.{word}.{instant}:{count}") == 0, "it is reached more often now"
        return
    assert carry_out_in_a_child(killed, f"step.{word}.{instant}:{count}") == -signal.SIGKILL, "it was not reached"
    assert carry_out(killed) == 0
    assert Place(killed).state() == Place(golden).state()


def test_killed_at_every_step_one_after_the_other(tmp_path: Path) -> None:
    golden, killed = tmp_path / "golden", tmp_path / "killed"
    golden.mkdir()
    killed.mkdir()
    assert carry_out(golden) == 0
    for word in WORDS:
        for instant in INSTANTS:
            assert carry_out_in_a_child(killed, f"step.{word}.{instant}") == -signal.SIGKILL
    assert carry_out(killed) == 0
    assert Place(killed).state() == Place(golden).state()
    assert json.dumps(Place(killed).state()).count("ami-web") == 1
