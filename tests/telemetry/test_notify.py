"""sd_notify on a real socket, path and abstract."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from drorch.telemetry.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive_in_one_datagram(tmp_path: Path, abstract: bool) -> None:
    name = f"drorch-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name if abstract else name)
        receiver.settimeout(10)
        Notifier({"NOTIFY_SOCKET": ("@" if abstract else "") + name}).send("READY=1", "STATUS=started")
        assert receiver.recv(4096) == b"READY=1\nSTATUS=started"


def test_a_reload_carries_the_monotonic_time_in_microseconds(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        before = time.monotonic_ns() // 1000
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).reloading("draining")
        first, second, third = receiver.recv(4096).decode().split("\n")
    assert (first, third) == ("RELOADING=1", "STATUS=draining")
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", ["", "relative/path", "/no/such/socket", "@nobody-listens-here"])
def test_nobody_there_to_tell_ends_nothing(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.send("READY=1")
    assert notifier.watchdog == 0


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "180000000"}, 180),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}, 180),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_is_ours_when_it_names_this_process(environ: dict[str, str], seconds: float) -> None:
    assert Notifier(environ).watchdog == seconds
