"""`drill`: what a person is shown of its measures."""

from __future__ import annotations

import pytest

from drorch.cli.drill import print_drill


def test_seconds_of_every_phase_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_drill(
        {
            "application": "shop",
            "resource": "orders",
            "vault": "nas",
            "outcome": "passed",
            "point": "p1",
            "cut_at": "2026-11-20T09:00:00Z",
            "bytes": 2048,
            "seconds": {"download": 1, "decrypt": 2, "load": 3, "probe": 4, "total": 10},
            "probes": [],
            "differences": [],
        }
    )
    assert "  download 1 s, decrypt 2 s, load 3 s, probe 4 s, total 10 s\n" in capsys.readouterr().out
