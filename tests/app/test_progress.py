"""Progress tells bytes, the rate of late, the time left; steps tell what was done and how it ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from dumped import NOON

from drorch.app.progress import Meter, Progress, Steps
from drorch.domain.recovery import Step

MIB = 1024 * 1024


def test_the_first_look_knows_neither_rate_nor_time_left() -> None:
    meter = Meter("load", "orders", 100, NOON)
    assert meter.at(NOON) == Progress("load", "orders", 0, 100, None, None)


def test_rate_and_time_left_follow_the_last_seconds_not_the_whole_way() -> None:
    meter = Meter("load", "orders", 1000 * MIB, NOON)
    now = NOON
    for _ in range(100):
        now += timedelta(seconds=1)
        meter.advance(4 * MIB, now)
    for _ in range(30):
        now += timedelta(seconds=1)
        progress = meter.advance(1 * MIB, now)
    assert progress.done == 430 * MIB
    assert progress.rate == pytest.approx(MIB, rel=0.01)
    assert progress.left == pytest.approx(timedelta(seconds=570), abs=timedelta(seconds=6))
    assert progress.share == pytest.approx(0.43)


def test_the_rate_falls_while_nothing_comes() -> None:
    meter = Meter("load", "orders", 10 * MIB, NOON)
    busy = meter.advance(MIB, NOON + timedelta(seconds=1)).rate
    later = meter.at(NOON + timedelta(seconds=10))
    idle = later.rate
    assert later.elapsed == timedelta(seconds=10)
    assert busy is not None
    assert idle is not None
    assert idle < busy / 5


def test_an_unknown_total_gives_no_share_and_no_time_left() -> None:
    meter = Meter("load", "orders", None, NOON)
    progress = meter.advance(MIB, NOON + timedelta(seconds=1))
    assert (progress.share, progress.left) == (None, None)
    assert progress.rate == MIB


def test_progress_goes_through_a_pipe_as_whole_numbers() -> None:
    progress = Progress("load", "orders", 5, 10, 2.4, timedelta(seconds=2.6), timedelta(minutes=1.5))
    assert progress.to_json() == {
        "step": "load",
        "resource": "orders",
        "done": 5,
        "total": 10,
        "rate": 2,
        "left_s": 3,
        "elapsed_s": 90,
    }


def test_steps_are_timed_and_end_done_or_failed() -> None:
    heard: list[Step] = []
    ticks = iter([0.0, 2.6, 10.0, 11.0, 20.0, 25.0])
    steps = Steps(heard.append, lambda: next(ticks))
    with steps.step("locate", "", "looking"):
        steps.detail("found p1", "orders")
    with steps.step("probe", "orders", "select 1"):
        steps.fail()
    with pytest.raises(ValueError, match="broken"), steps.step("load", "orders", "data"):
        raise ValueError("broken")
    assert heard == steps.taken
    assert [(step.step, step.detail, step.took_s, step.outcome) for step in heard] == [
        ("locate", "found p1", 3, "done"),
        ("probe", "select 1", 1, "failed"),
        ("load", "data", 5, "failed"),
    ]
