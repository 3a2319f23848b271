"""The recorded crisis: a small one comes back whole, and what stands in a record is what stood on the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.crisis.estate import Contents
from bench.crisis.record import Record, Timed, outcomes_of, steps_of, table
from bench.crisis.terminal import Screen, Shot, at_a_terminal
from bench.measure import Wrong

ROOT = Path(__file__).parents[2]


def shot(*lines: str) -> Shot:
    return Shot("drorch", 0, 1.0, lines)


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_a_table_that_is_drawn_anew_leaves_its_frames_and_the_lines_that_stay() -> None:
    screen = Screen()
    screen.feed("one\ntwo  3s\n  5s so far\n", 1)
    screen.feed("\x1b[2A\x1b[Jtwo  4s\n  6s so far\n", 2)
    screen.feed("\x1b[2A\x1b[J\x1b[32mdone\x1b[0m two\r\n", 3)
    assert screen.lines == ("one", "done two")
    assert [(frame.seconds, frame.lines) for frame in screen.frames] == [
        (2, ("two  3s", "  5s so far")),
        (3, ("two  4s", "  6s so far")),
    ]


def test_a_line_that_is_written_over_is_a_frame_and_a_code_in_two_pieces_is_one() -> None:
    screen = Screen()
    for seconds, text in enumerate(("10 %", "\r\x1b", "[K20 %", "\r\x1b[Kdone\r\n")):
        screen.feed(text, seconds)
    assert screen.lines == ("done",)
    assert [frame.lines for frame in screen.frames] == [("10 %",), ("20 %",)]


def test_a_command_has_a_terminal_and_somebody_who_answers(tmp_path: Path) -> None:
    code = "import os; print(os.isatty(2), os.get_terminal_size().columns, input('Go on? [y/N]: ') == 'y'); exit(5)"
    questions = []

    def answer(question: str) -> str:
        questions.append(question)
        return "y"

    made = at_a_terminal([sys.executable, "-c", code], "typed", folder=tmp_path, env={}, answer=answer)
    assert (made.typed, made.code) == ("typed", 5)
    assert made.lines == ("Go on? [y/N]: y", "True 140 True")
    assert questions == ["Go on? [y/N]:"]


# --- what is read off it ---------------------------------------------------------------------------------------------


def test_steps_are_read_off_the_screens_of_both_sorts_of_restore() -> None:
    dump = shot(
        "     done  load       41 s  data.pgcustom.zst.age", "     done  load        2 s  more", "restored shop"
    )
    assert steps_of(dump) == {"load": 43}
    runbook = shot(
        "ledger is back",
        "STEP     ENDED      TOOK",
        "ledger   done       1m3s  database instance shop-ledger",
        "                          that has a long detail",
        "dns      by hand    2m1s  AWS did not answer",
        "healthy  not begun        needs site",
        "note: ledger: by hand",
    )
    expected = {"ledger": ("done", 63.0), "dns": ("by hand", 121.0), "healthy": ("not begun", None)}
    assert outcomes_of(runbook) == expected


def test_the_table_has_no_ratio_where_nothing_was_said_beforehand() -> None:
    lines = [Timed("", "load", 40, 50), Timed("", "verify", None, 1, "by hand")]
    assert table(lines).splitlines()[2:] == ["| load | 40 s | 50 s | 1.25 |  |", "| verify | - | 1 s | - | by hand |"]


def test_a_row_that_differs_is_no_right_outcome() -> None:
    before = Contents({"orders": (2, "ab")}, 1)
    record = Record("", [])
    record.compare("orders", before, Contents({"orders": (2, "ab")}, 9))
    for other in ({"orders": (2, "ac")}, {"orders": (3, "ab")}, {}, {"orders": (2, "ab"), "more": (0, "")}):
        with pytest.raises(Wrong, match="not what was there"):
            record.compare("orders", before, Contents(other, 1))


# --- all of it -------------------------------------------------------------------------------------------------------


def test_a_small_shop_comes_back_from_both_losses_and_the_record_is_whole(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    options = ["--gb", "0", "--quick", "--no-wheels", "--record", str(tmp_path), "--json", str(told)]
    command = [sys.executable, "-m", "bench.crisis", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = {(line["scenario"], line["what"]): line for line in json.loads(told.read_text())["timed"]}
    region, provider = (tmp_path / f"{name}.md" for name in ("region", "provider"))
    assert "DIFFERS" not in region.read_text() + provider.read_text()
    assert lines["The provider is lost", "orders: load"]["estimated"]
    assert "shop is back in us-west-2" in region.read_text()
    assert "restored shop/orders from gs://shop-dr-offsite" in provider.read_text()
    for page in (region, provider):
        assert "/drorch-demo-" not in page.read_text()
        assert "\x1b" not in page.read_text()
