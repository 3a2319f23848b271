from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def year(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.year", "--processes", "1", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_a_small_year_breaks_nothing_and_everything_in_it_happened(tmp_path: Path) -> None:
    told = tmp_path / "year.json"
    run = year("--applications", "2", "--days", "45", "--json", str(told))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every invariant held" in run.stdout
    body = json.loads(told.read_text())
    assert body["broken"] == []
    happened = ("points cut", "copies deleted", "copies taken away by somebody", "processes killed", "marks expired")
    assert all(body["counts"][what] for what in happened), body["counts"]
    assert body["counts"]["of those in place of what was taken"] > 0
    assert body["alarms"]["removed"] > 0
    assert body["comparisons"] >= body["passes"] / 2


@pytest.mark.parametrize(
    ("guard", "applications", "days"), [("newest", 1, 16), ("grace", 1, 16), ("rpo", 1, 10), ("incomplete", 2, 30)]
)
def test_a_year_without_one_of_the_guards_fails_and_says_which(guard: str, applications: int, days: int) -> None:
    run = year("--applications", str(applications), "--days", str(days), "--break", guard)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f": {guard}: " in run.stdout
