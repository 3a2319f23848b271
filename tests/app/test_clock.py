"""The system's clock, and the gate."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

from drorch.app.clock import Gate, SystemClock


def test_now_is_aware_and_in_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.utcoffset() == timedelta()
    assert before <= now <= datetime.now(UTC)


def test_sleeping_takes_its_time_and_none_once_told_to_stop() -> None:
    stop = threading.Event()
    for clock in (SystemClock(), SystemClock(stop)):
        began = time.monotonic()
        clock.sleep(0.02)
        assert time.monotonic() - began >= 0.02
    stop.set()
    began = time.monotonic()
    SystemClock(stop).sleep(60)
    assert time.monotonic() - began < 5


def test_a_signal_handler_that_sets_the_event_ends_the_sleep() -> None:
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        SystemClock(stop).sleep(60)
        assert time.monotonic() - began < 5
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_gate_is_asked_when_its_truth_is_needed() -> None:
    is_open = [True]
    gate = Gate(lambda: is_open[0])
    assert gate
    is_open[0] = False
    assert not gate
