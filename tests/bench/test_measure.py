"""What benches tell: medians, their range, ratios, and whether a figure was reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.measure import Figure, spread, tell_figures


def test_a_report_is_a_table_and_a_file_of_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("a pass", "CPU ms", (12.0, 10.0, 14.0), 10), Figure("memory", "MiB", (50.0, 60.0), 60, 0)]
    ratios = {"as fast as boto3": [2.0, 4.0, 3.0]}
    tell_figures("what was measured", figures, ratios, {"cores": 2}, tmp_path / "told.json")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "what was measured",
        "a pass            12.0 CPU ms (10.0-14.0), to reach 10: NOT reached, 1.2 times over",
        "memory            55 MiB (50-60), to reach 60: reached",
        "as fast as boto3  3.00 times (2.00-4.00)",
    ]
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["facts"] == {"cores": 2}
    assert told["figures"]["a pass"] == {
        "unit": "CPU ms",
        "values": [12, 10, 14],
        "median": 12,
        "range": [10, 14],
        "spread": pytest.approx(1 / 3),
        "reach": 10,
        "reached": False,
    }
    assert told["ratios"]["as fast as boto3"]["median"] == 3


def test_a_figure_of_nothing_has_a_spread_too() -> None:
    assert spread([0.0, 0.0])["spread"] == 0
