from __future__ import annotations

import time

import pytest

from drorch.domain.errors import Refused
from drorch.steps.command import LocalCommand, LocalCommands

COMMANDS = LocalCommands({"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})


def ended(command: LocalCommand) -> int:
    deadline = time.monotonic() + 20
    while (status := command.ended()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return status


def test_a_command_is_run_without_a_shell() -> None:
    command = COMMANDS.begin(("/bin/echo", "$HOME", "; false"))
    assert ended(command) == 0
    assert command.said() == "$HOME ; false"


def test_its_status_and_its_last_line_are_told() -> None:
    command = COMMANDS.begin(("/bin/sh", "-c", "echo one; echo two >&2; echo; exit 7"))
    assert (ended(command), command.said()) == (7, "two")


def test_one_that_was_killed_says_by_what() -> None:
    assert ended(COMMANDS.begin(("/bin/sh", "-c", "kill -9 $$"))) == -9


def test_it_sees_nothing_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    command = COMMANDS.begin(("/bin/sh", "-c", "env; pwd; cat"))
    assert ended(command) == 0
    command._output.seek(0)
    said = command._output.read().decode()
    assert "hunter2" not in said
    assert said.endswith("/\n")


def test_a_program_that_writes_without_end_waits_for_nobody() -> None:
    command = COMMANDS.begin(("/bin/sh", "-c", "head -c 1000000 /dev/zero; echo; printf 'the\\tend'"))
    assert (ended(command), command.said()) == (0, "the?end")


def test_a_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match=r"cannot be started.*no such file"):
        COMMANDS.begin(("/nowhere/reindex",))
