"""The bench of copies finds what it is there to find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import copies

ROOT = Path(__file__).parents[2]


def test_a_small_burst_is_copied_once_into_every_region_by_both(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.copies", "--copies", "12", "--json", str(tmp_path / "told.json")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert [each["made"] for each in told.values()] == [12, 12]
    assert "every copy once, no failure" in run.stdout


@pytest.mark.parametrize("wrong", [{"missing": 1}, {"double": 1}, {"failed": 1}])
def test_a_copy_that_is_missing_double_or_failed_is_no_right_outcome(wrong: dict[str, int]) -> None:
    assert copies.Told().right
    assert not copies.Told(**wrong).right  # type: ignore[arg-type]


def test_places_that_lie_idle_while_copies_wait_are_seen() -> None:
    burst = copies.Burst(None, {}, {region: ["a", "b"] for region in copies.REGIONS})
    west = burst.spans["us-west-2"]
    west["1"] = copies.Span(0, 10, "a")
    west["2"] = copies.Span(20, 30, "b")
    assert burst._busy("us-west-2") == 10 / (copies.PLACES * 20)
