"""`drill APP --scenario region`: what a person is shown, and what is refused before anything begins."""

from __future__ import annotations

from typing import Any

import pytest

from drorch.cli.drill_scenario import print_scenario
from drorch.cli.main import main

OUTCOME: dict[str, Any] = {
    "application": "shop",
    "region": "us-west-2",
    "outcome": "restorable",
    "cut_at": "2026-11-20T09:00:00Z",
    "bytes": 2048,
    "seconds": {"create": 300, "clear": 20, "total": 321},
    "steps": [
        {"step": "data", "outcome": "done", "detail": "1 made of point p1", "took_s": 300},
        {"step": "switch", "outcome": "left out", "detail": "left out in a drill: the record", "took_s": None},
    ],
    "left": [],
}


def test_every_step_is_shown_with_its_time_and_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_scenario(OUTCOME)
    shown = capsys.readouterr().out
    assert "shop in us-west-2: restorable\n" in shown
    assert "  data as of 2026-11-20T09:00:00Z at the oldest, 2.0 KiB, ready after 300 s\n" in shown
    assert "  data    done: 1 made of point p1 (300 s)\n" in shown
    assert "  switch  left out: left out in a drill: the record\n" in shown
    assert "it is not verified" in shown


def test_what_failed_and_what_is_left_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [{"step": "data", "outcome": "failed", "detail": "the snapshot is gone", "took_s": 3}]
    print_scenario(OUTCOME | {"outcome": "failed", "steps": steps, "left": ["volume vol-1"]})
    shown = capsys.readouterr().out
    assert "failed: the snapshot is gone" in shown and "volume vol-1" in shown and "not verified" not in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["shop", "data", "--scenario", "region"], "drills the whole application"),
        (["shop", "--from", "prod.us-west-2", "--scenario", "region"], "drills the whole application"),
        (["shop", "--into", "us-west-2"], "--into is for --scenario"),
        (["shop", "--scenario", "provider"], "provider"),
    ],
)
def test_words_that_make_no_sense_together_are_refused(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["drill", *words])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err
