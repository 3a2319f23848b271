"""What goes on side by side: drawn anew on a terminal, lines in a pipe, nothing where a script reads."""

from __future__ import annotations

import re
import sys
from datetime import timedelta

import pytest
from terminals import at_a_terminal

from drorch.cli.live import LiveSteps
from drorch.domain.recovery import Step

DRAWN = """
from datetime import timedelta
from drorch.cli.live import LiveSteps
from drorch.domain.recovery import Step
live = LiveSteps(promised=timedelta(hours=2))
live.shown([Step("create", "data", "0 of 2 ready", 600, 30), Step("create", "web", "0 of 1 ready", None, 30)])
live.shown([Step("create", "data", "1 of 2 ready", 600, 700)])
live.ended(Step("ready", "data", "2 made of point p", took_s=720, outcome="done"))
live.clear()
"""


def test_a_terminal_shows_the_newest_state_and_keeps_what_has_ended() -> None:
    shown = at_a_terminal([sys.executable, "-c", DRAWN]).shown.replace("\r\n", "\n")
    first, second, last = re.split(r"\x1b\[\d+A\x1b\[J", shown)
    assert [line.split()[:2] for line in first.splitlines()] == [["create", "data"], ["create", "web"], ["0s", "so"]]
    assert "about 9m30s left" in first and "of 2h promised" in first
    assert "1m40s over the estimate" in second
    assert re.findall(r"\x1b\[(\d+)A", shown) == ["3", "2"], "as many lines are taken back as were drawn"
    assert re.sub(r"\x1b\[[0-9;]*m", "", last).split() == [
        "done",
        "ready",
        "data",
        "12m",
        "2",
        "made",
        "of",
        "point",
        "p",
    ]


ASKED = """
import sys
from drorch.cli.live import LiveSteps
from drorch.domain.recovery import Step
live = LiveSteps()
live.shown([Step("create", "data", "0 of 2 ready")])
question = "word: Tell payments" + chr(10) + "Is it done?"
with live.standing(question):
    print(question, end=" [y/N]: ", file=sys.stderr, flush=True)
    live.shown([Step("create", "data", "1 of 2 ready")])
    live.ended(Step("ready", "data", "2 made", took_s=7, outcome="done"))
live.shown([Step("create", "web", "0 of 1 ready")])
live.clear()
"""


def test_a_question_stands_again_below_what_ends_meanwhile_and_nothing_is_drawn_over_it() -> None:
    shown = at_a_terminal([sys.executable, "-c", ASKED]).shown.replace("\r\n", "\n")
    first, standing, last = shown.split("\x1b[2A\x1b[J")
    assert "0 of 2 ready" in first
    question = "word: Tell payments\nIs it done? [y/N]: "
    before, after = standing.split("\r\x1b[K")
    assert before == question
    told, _, rest = after.partition("\n")
    assert "2 made" in told and rest.startswith(question)
    assert "1 of 2 ready" not in shown
    assert "0 of 1 ready" in rest and last == ""


RACED = """
import sys
import threading
from drorch.cli.live import LiveSteps
from drorch.domain.recovery import Step
live = LiveSteps()
draw = live._control
def slowly(text):
    draw(text)
    if "0 of 2" in text:
        asking.start()
        asking.join(0.2)
def ask():
    with live.standing():
        print("Is it done? [y/N]: y", file=sys.stderr, flush=True)
asking = threading.Thread(target=ask)
live._control = slowly
live.shown([Step("create", "data", "0 of 2 ready")])
asking.join()
live.ended(Step("ready", "data", "2 made", took_s=7, outcome="done"))
"""


def test_a_question_that_comes_while_the_table_is_drawn_is_not_taken_for_its_lines() -> None:
    shown = at_a_terminal([sys.executable, "-c", RACED]).shown.replace("\r\n", "\n")
    _, rest = shown.split("\x1b[2A\x1b[J")
    assert rest.splitlines()[0] == "Is it done? [y/N]: y"


def test_a_pipe_gets_a_line_for_what_has_ended_and_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    live = LiveSteps(promised=timedelta(hours=2))
    live.shown([Step("create", "data", "0 of 2 ready")])
    live.ended(Step("ready", "data", "2 made\x1b[31m of point p", took_s=720, outcome="done"))
    live.clear()
    told = capsys.readouterr()
    assert told.out == ""
    assert "\x1b" not in told.err and "2 made" in told.err and len(told.err.splitlines()) == 1


def test_where_a_script_reads_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    live = LiveSteps(quiet=True)
    live.shown([Step("create", "data", "0 of 2 ready")])
    live.ended(Step("ready", "data", "2 made", outcome="failed"))
    assert capsys.readouterr() == ("", "")
