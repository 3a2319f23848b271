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
