"""An alarm is one error line at its start, one line at its end, and a kind while it stands."""

from __future__ import annotations

from structlog.testing import capture_logs

from drorch.telemetry.alarms import Alarms

EMPTY = ("empty-selection", "shop/data")


def test_an_alarm_is_told_once_at_its_start_and_once_at_its_end() -> None:
    alarms = Alarms()
    with capture_logs() as lines:
        alarms.settle({EMPTY: "nothing matches"})
        alarms.settle({EMPTY: "still nothing matches"})
        assert alarms.kinds == {"empty-selection"}
        alarms.settle({})
    assert [(line["event"], line["log_level"], line["subject"]) for line in lines] == [
        ("alarm began", "error", "shop/data"),
        ("alarm ended", "info", "shop/data"),
    ]
    assert lines[0]["why"] == "nothing matches"
    assert alarms.kinds == frozenset()


def test_a_second_subject_of_one_kind_is_told_and_keeps_the_kind_standing() -> None:
    alarms = Alarms()
    second = ("empty-selection", "blog/data")
    with capture_logs() as lines:
        alarms.settle({EMPTY: "a"})
        alarms.settle({EMPTY: "a", second: "b"})
        alarms.settle({second: "b"})
    assert [line["subject"] for line in lines] == ["shop/data", "blog/data", "shop/data"]
    assert alarms.kinds == {"empty-selection"}


def test_one_more_alarm_leaves_the_others_standing() -> None:
    alarms = Alarms()
    alarms.settle({EMPTY: "a"})
    alarms.also("pass-failed", "the loop", "no policies")
    assert alarms.kinds == {"empty-selection", "pass-failed"}
