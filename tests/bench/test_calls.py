"""The bench of calls finds what it is there to find."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bench import calls


def told(**counts: int) -> list[calls._Told]:
    return [calls._Told(Counter({("ec2", name, "us-east-1"): count for name, count in counts.items()}), 1.5)]


def test_as_many_calls_are_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {10: told(DescribeSnapshots=2), 200: told(DescribeSnapshots=2)}
    assert calls._report(found, tmp_path / "told.json") == 0
    assert "no more calls" in capsys.readouterr().out
    body = json.loads((tmp_path / "told.json").read_text())
    assert body["ratios"]["calls, many of few"]["median"] == 1
    assert body["facts"]["calls"]["200"] == {"ec2 DescribeSnapshots us-east-1": 2}


@pytest.mark.parametrize("more", [told(DescribeSnapshots=3), told(DescribeSnapshots=1, DescribeVolumes=2)])
def test_more_calls_with_more_applications_fail_it(more: list[calls._Told], capsys: pytest.CaptureFixture[str]) -> None:
    assert calls._report({10: told(DescribeSnapshots=2), 200: more}, None) == 1
    assert "MORE calls" in capsys.readouterr().out
