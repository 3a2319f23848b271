"""How commands end whatever happens: reserved names, faults, signals, closed pipes, odd locales."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from desks import Desk, typed

from drorch.cli import screen
from drorch.cli.backup import worst
from drorch.cli.main import COMMANDS
from drorch.domain.errors import Busy, Damaged, DrorchError, Refused, Unavailable, Usage


@pytest.mark.parametrize("command", [("nosuch",), ("policy", "nosuch"), ("--nosuch",), ("status", "--nosuch")])
def test_unknown_command_or_option_is_usage(command: tuple[str, ...]) -> None:
    said = typed(*command)
    assert (said.code, said.out) == (2, "")
    assert "nosuch" in said.err


def test_every_command_is_told_by_help() -> None:
    said = typed("--help")
    assert (said.code, said.err) == (0, "")
    for name in COMMANDS:
        assert f"\n  {name} " in said.out
    assert "verify" in typed("vault", "--help").out


def test_no_command_at_all_is_help() -> None:
    said = typed()
    assert said.code == 2
    assert "drorch restore --help" in said.out + said.err


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([Refused("")], 3),
        ([Usage("")], 2),
        ([Refused(""), Unavailable("")], 4),
        ([Busy(""), Refused(""), Damaged("")], 6),
        ([Damaged(""), DrorchError("")], 6),
        ([Refused(""), DrorchError("")], 1),
        ([Usage(""), Refused("")], 3),
    ],
)
def test_exit_code_of_several_outcomes(errors: list[DrorchError], code: int) -> None:
    assert worst(errors) == code


# --- faults --------------------------------------------------------------------------------------------------------


def test_fault_in_drorch_is_words_without_a_traceback_and_without_a_secret(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"no good: password={'x' * 12}")

    monkeypatch.setattr("drorch.wiring.host.open_host", broken)
    said = desk.drorch("plan")
    assert (said.code, said.out) == (1, "")
    first, second = said.err.splitlines()
    assert first.startswith("drorch: a fault in drorch itself: RuntimeError: no good: password=[redacted] (at /")
    assert "please report" in second


def test_state_folder_that_cannot_be_written_is_told(desk: Desk) -> None:
    for state in ("drorch.yaml", "/proc/nowhere", "/sys"):
        desk.write_config(state=f"state: {state}")
        for command in (("plan",), ("run", "--once"), ("status",), ("backup", "shop")):
            said = desk.drorch(*command)
            assert said.code == 4, said.err
            assert "state folder must be writable" in said.err


def test_damaged_cache_is_made_anew(desk: Desk) -> None:
    assert desk.drorch("plan").code == 0
    for path in desk.state.glob("cache.sqlite*"):
        path.unlink()
    (desk.state / "cache.sqlite").write_bytes(b"no database, " * 1000)
    assert desk.drorch("plan").code == 0


# --- processes -----------------------------------------------------------------------------------------------------


def test_reader_that_leaves_early_ends_it_quietly(lived: Desk) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "drorch", "--config", str(lived.config), "status", "--json"]
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(command, env=lived.environ, stdout=out, stderr=subprocess.PIPE, timeout=30, check=False)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == b""


def test_full_disk_behind_stdout_is_told(lived: Desk) -> None:
    command = [sys.executable, "-m", "drorch", "--config", str(lived.config), "points", "shop"]
    with Path("/dev/full").open("wb") as out:
        done = subprocess.run(command, env=lived.environ, stdout=out, stderr=subprocess.PIPE, timeout=30, check=False)
    assert done.returncode == 4
    assert done.stderr == b"drorch: the answer could not be written: No space left on device\n"


@pytest.mark.parametrize("environ", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_locale_can_show_a_name_that_it_has_no_letters_for(lived: Desk, environ: dict[str, str]) -> None:
    shown = lived.run("points", "shop", environ=environ)
    assert shown.code == 0, shown.err
    assert re.search(r": f(ü|\\xfc)r v2; pinned until [-0-9 :]+$", shown.out, re.MULTILINE)
    told = lived.run("points", "shop", "--json", environ=environ)
    assert told.code == 0
    assert told.json["points"][0]["note"] == "für v2"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_backup_that_is_stopped_leaves_no_point_and_no_process(desk: Desk, number: signal.Signals, code: int) -> None:
    desk.write_policy(drill="")
    assert desk.drorch("vault", "init", "nas").code == 0
    with desk.server.session(desk.database) as session, session.transaction():
        session.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")  # the dump waits for it
        with desk.start("backup", "shop") as process:
            until(lambda: waiting_for_a_lock(desk))
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert (out, err.splitlines()[-1]) == ("", "drorch: stopped")
    until(lambda: not desk.server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'drorch%'"))
    assert desk.points() == []


def until(true: object, seconds: float = 20) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def waiting_for_a_lock(desk: Desk) -> bool:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{desk.database}'"  # noqa: S608
    return bool(desk.server.value(query))


def test_help_and_restore_help_import_no_sdk() -> None:
    heavy = {"boto3", "botocore", "google", "azure", "psycopg", "moto"}
    heavy |= {"pydantic", "yaml", "structlog", "cryptography"}
    for arguments in (["--help"], ["restore", "--help"], ["--version"]):
        program = (
            "import sys\nfrom drorch.cli.main import main\n"
            f"try:\n    main({arguments})\nexcept SystemExit as end:\n    assert not end.code\n"
            "print('\\n', sorted({part for name in sys.modules for part in (name, name.partition('.')[0])}))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
        imported = set(done.stdout.splitlines()[-1].strip(" []").replace("'", "").split(", "))
        assert "click" in imported
        assert imported & heavy == set()


# --- the screen ----------------------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], width: int | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(screen, "columns", lambda: width)
    rows = [("cut", "orders", "slot is due, and " + "a long reason " * 5), ("a heading",), ("keep", "x", "short")]
    screen.table(("ACTION", "WHAT\nRESOURCE", "REASON"), rows)
    return capsys.readouterr().out.splitlines()


def test_table_in_a_pipe_is_a_line_per_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(capsys, None, monkeypatch)
    assert lines[0] == "        WHAT"
    assert lines[1] == "ACTION  RESOURCE  REASON"
    assert lines[2].startswith("cut     orders    slot is due, and a long reason a long")
    assert lines[3:] == ["a heading", "keep    x         short"]


def test_table_wraps_its_prose_beside_the_row_where_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, 60, monkeypatch)
    assert lines[2] == "cut     orders    slot is due, and a long reason a long"
    assert lines[3] == "                  reason a long reason a long reason a long"
    assert lines[-2:] == ["a heading", "keep    x         short"]
    assert max(map(len, lines)) <= 60


def test_table_puts_its_prose_beneath_the_row_where_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, 40, monkeypatch)
    assert lines[1:3] == ["ACTION  RESOURCE", "cut     orders"]
    assert lines[3] == "    slot is due, and a long reason a"
    assert max(map(len, lines)) <= 40


def test_text_from_elsewhere_gives_a_terminal_no_orders() -> None:
    assert screen.prose("a\n b\x1b[2J\x07c  d") == "a b?[2J?c d"


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_only_on_a_terminal_and_not_where_they_are_unwanted(
    lived: Desk, environ: dict[str, str], coloured: bool
) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "drorch", "--config", str(lived.config), "status"]
    with subprocess.Popen(command, env=lived.environ | environ, stdout=slave, stderr=slave) as process:
        assert process.wait(30) == 0
    os.close(slave)
    text = os.read(master, 65536).decode()
    os.close(master)
    assert ("\x1b[" in text) is coloured
    assert "orders" in text


def test_no_colours_in_a_pipe(lived: Desk) -> None:
    said = lived.run("status", environ={"TERM": "xterm-256color"})
    assert said.code == 0
    assert "\x1b" not in said.out + said.err
