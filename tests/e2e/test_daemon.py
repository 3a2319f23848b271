"""The daemon as a process: signals, its lock, its listener, what it tells systemd, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import daemon_process
import pytest

SOON = 20.0


class Running:
    """A daemon process with a socket that plays systemd."""

    def __init__(self, folder: Path, *, tick: float = 0.1, grace: float = 10, listen: bool = False, **env: str) -> None:
        self.state = folder / "state"
        (self.state / "orders").mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        self.notified: list[str] = []
        self.port = free_port() if listen else 0
        self._errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            command(self.state, tick, grace, *([self.port] if listen else [])),
            stderr=self._errors,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **env},
        )

    def order(self, name: str, text: str = "") -> None:
        """Written whole: a pass may read it at once."""
        (self.state / "orders" / f".{name}").write_text(text)
        (self.state / "orders" / f".{name}").rename(self.state / "orders" / name)

    def take_back(self, name: str) -> None:
        (self.state / "orders" / name).unlink()

    def story(self) -> list[str]:
        path = self.state / "story"
        return path.read_text().splitlines() if path.exists() else []

    def log(self) -> list[dict[str, Any]]:
        whole, _, _ = Path(self._errors.name).read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def messages(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == event]

    def told(self) -> list[str]:
        """Every state that was sent to systemd so far."""
        try:
            while True:
                self.notified.extend(self._socket.recv(8192).decode().split("\n"))
        except BlockingIOError:
            return self.notified

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, (self.story()[-5:], self.told()[-5:], Path(self._errors.name).read_text())
            time.sleep(0.01)

    def until_it_passes(self, text: str = "starts", count: int = 1) -> None:
        wanted = self.story().count(text) + count
        self.until(lambda: self.story().count(text) >= wanted)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(SOON)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=SOON) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()
        self._errors.close()


def command(state: Path, *more: object) -> list[str]:
    return [sys.executable, str(daemon_process.__file__), str(state), *map(str, more)]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def begin(**more: Any) -> Running:
        made.append(Running(tmp_path, **more))
        return made[-1]

    yield begin
    for each in made:
        each.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_daemon_stops_at_once_and_says_so(start: Callable[..., Running], number: int) -> None:
    daemon = start()
    daemon.until_it_passes()
    began = time.monotonic()
    assert daemon.end(number) == 0
    assert time.monotonic() - began < 5
    told = daemon.told()
    assert told.index("READY=1") < told.index("STOPPING=1")
    assert any(state.startswith("STATUS=last pass ended at 20") for state in told)
    assert daemon.story()[-1] == "closes"
    assert [line["event"] for line in daemon.log() if line["event"].startswith(("daemon", "stop"))] == [
        "daemon started",
        "stop began",
        "daemon stopped",
    ]


def test_a_pass_ends_in_one_line_with_its_counts(start: Callable[..., Running]) -> None:
    daemon = start()
    daemon.until(lambda: daemon.messages("pass ended"))
    line = daemon.messages("pass ended")[0]
    assert set(line) >= {"seconds", "started", "finished", "waiting", "running", "holds", "alarms", "level", "at"}
    assert (line["running"], line["holds"], line["alarms"]) == (0, 0, [])


def test_a_dump_that_does_not_end_in_time_is_abandoned_after_half_of_the_grace(start: Callable[..., Running]) -> None:
    daemon = start(grace=1.5)
    daemon.order("heavy")
    daemon.until_it_passes()
    began = time.monotonic()
    assert daemon.end() == 0
    assert 0.7 <= time.monotonic() - began < 5
    assert daemon.story()[-2:] == ["cancels", "closes"]
    assert daemon.messages("workers abandoned")[0]["actions"] == ["cut:shop:orders:2026-11-20T09:00Z"]


def test_a_dump_that_ends_within_the_grace_is_not_abandoned(start: Callable[..., Running]) -> None:
    daemon = start(grace=30)
    daemon.order("heavy")
    daemon.until_it_passes()
    daemon.send(signal.SIGTERM)
    daemon.until(lambda: daemon.messages("stop began"))
    daemon.take_back("heavy")
    assert daemon.process.wait(SOON) == 0
    assert "cancels" not in daemon.story()


def test_asked_twice_it_has_no_patience(start: Callable[..., Running]) -> None:
    daemon = start(grace=60)
    daemon.order("heavy")
    daemon.until_it_passes()
    daemon.send(signal.SIGTERM)
    daemon.until(lambda: daemon.messages("stop began"))
    assert daemon.end() == 0
    assert daemon.story()[-2:] == ["cancels", "closes"]


@pytest.mark.parametrize("stuck", ["hang", "light", "stubborn"])
def test_nothing_that_hangs_keeps_it_beyond_the_grace(start: Callable[..., Running], stuck: str) -> None:
    """A pass that waits for a lost region, a call that does not return, a worker that does not end."""
    daemon = start(grace=1)
    daemon.until_it_passes()
    daemon.order(stuck)
    if stuck == "hang":
        daemon.until(lambda: "hangs" in daemon.story())
    elif stuck == "stubborn":
        daemon.order("heavy")
    daemon.until(lambda: stuck == "hang" or any("1 actions under way" in state for state in daemon.told()))
    began = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - began < 6
    (line,) = daemon.messages("daemon stopped")
    assert (line["left_behind"], line["pass_under_way"]) == ((0, True) if stuck == "hang" else (1, False))


def test_a_second_daemon_is_refused_with_4_and_the_first_goes_on(start: Callable[..., Running]) -> None:
    daemon = start()
    daemon.until_it_passes()
    second = subprocess.run(command(daemon.state, 0.1, 1), capture_output=True, text=True, timeout=SOON, check=False)
    assert second.returncode == 4
    assert f"daemon is locked: drorch run (process {daemon.process.pid})" in second.stderr
    daemon.until_it_passes()


def test_a_killed_daemon_leaves_no_lock_behind(start: Callable[..., Running], tmp_path: Path) -> None:
    daemon = start()
    daemon.until_it_passes()
    assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    (tmp_path / "notify").unlink()
    second = start()
    second.until_it_passes()
    assert second.end() == 0


def test_a_port_that_is_taken_is_refused_with_3_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        state = tmp_path / "state"
        (state / "orders").mkdir(parents=True)
        run = subprocess.run(
            command(state, 0.1, 1, taken.getsockname()[1]), capture_output=True, text=True, timeout=SOON, check=False
        )
    assert run.returncode == 3
    assert "cannot listen on 127.0.0.1" in run.stderr
    assert "Traceback" not in run.stderr
    assert [line.split()[0] for line in (state / "story").read_text().splitlines()] == ["image"]


def test_metrics_are_served_and_lie_in_the_state_folder(start: Callable[..., Running]) -> None:
    daemon = start(tick=1, listen=True)
    daemon.until(lambda: daemon.messages("pass ended"))
    assert daemon.get("/healthz") == (200, "ok\n")
    status, page = daemon.get("/metrics")
    assert status == 200
    assert 'drorch_policy_valid{application="shop"} 1' in page
    assert "drorch_pass_last_end_timestamp_seconds" in page
    assert "drorch_pass_last_end_timestamp_seconds" in (daemon.state / "metrics.prom").read_text()


@pytest.mark.parametrize("kind", ["Unavailable", "RuntimeError"])
def test_a_pass_that_fails_is_an_alarm_and_the_next_one_is_made(start: Callable[..., Running], kind: str) -> None:
    daemon = start(tick=0.4, listen=True)
    daemon.until_it_passes()
    daemon.order("fail", kind)
    daemon.until(lambda: 'drorch_alarm{kind="pass-failed"} 1' in daemon.get("/metrics")[1])
    assert 'drorch_policy_valid{application="shop"} 1' in daemon.get("/metrics")[1]  # the last good picture
    assert daemon.get("/healthz")[0] == 200
    line = daemon.messages("pass failed")[0]
    assert (line["level"], line["kind"], line["error"]) == ("error", kind, "password=[redacted] was refused")
    assert ("Traceback" in line.get("exception", "")) == (kind == "RuntimeError")
    assert "hunter2" not in json.dumps(daemon.log())
    daemon.take_back("fail")
    daemon.until_it_passes()
    daemon.until(lambda: "pass-failed" not in daemon.get("/metrics")[1])
    assert [line["alarm"] for line in daemon.messages("alarm began")] == ["pass-failed"]


def test_a_reload_drains_and_then_runs_the_same_process_anew(start: Callable[..., Running]) -> None:
    daemon = start(tick=0.4, listen=True)
    daemon.order("heavy")
    daemon.until_it_passes()
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.messages("drain began"))
    daemon.until_it_passes("only looks", 3)
    assert daemon.get("/healthz")[0] == 200
    daemon.send(signal.SIGHUP)  # once more changes nothing
    daemon.take_back("heavy")
    daemon.until(lambda: len([line for line in daemon.story() if line.startswith("image")]) == 2)
    daemon.until_it_passes()
    daemon.until(lambda: daemon.told().count("READY=1") == 2)
    story = daemon.story()
    images = [index for index, line in enumerate(story) if line.startswith("image")]
    assert story[images[1]] == story[images[0]] == f"image {daemon.process.pid} MainThread"
    assert story[images[1] - 1] == "closes"
    assert "cancels" not in story
    first_look = story.index("only looks")
    assert "starts" not in story[first_look : images[1]]
    told = [state for state in daemon.told() if state in ("READY=1", "RELOADING=1", "STOPPING=1")]
    assert told == ["READY=1", "RELOADING=1", "READY=1"]
    assert any(state.startswith("MONOTONIC_USEC=") for state in daemon.told())
    daemon.until(lambda: daemon.get("/metrics")[0] == 200)
    assert daemon.end() == 0


def test_a_drain_can_be_cut_short(start: Callable[..., Running]) -> None:
    daemon = start(grace=1)
    daemon.order("heavy")
    daemon.until_it_passes()
    daemon.send(signal.SIGHUP)
    daemon.until_it_passes("only looks")
    assert daemon.end() == 0
    assert daemon.story()[-2:] == ["cancels", "closes"]


@pytest.mark.parametrize("when", ["at once", "after the drain"])
def test_a_reload_of_an_invalid_configuration_is_refused_and_nothing_is_lost(
    start: Callable[..., Running], when: str
) -> None:
    daemon = start()
    daemon.order("heavy")
    daemon.until_it_passes()
    if when == "at once":
        daemon.order("invalid")
    daemon.send(signal.SIGHUP)
    if when == "after the drain":
        daemon.until_it_passes("only looks")
        daemon.order("invalid")
        daemon.take_back("heavy")
    daemon.until(lambda: daemon.messages("reload refused"))
    daemon.until_it_passes("starts", 2)
    assert "tick is not a duration" in daemon.messages("reload refused")[0]["error"]
    assert [line for line in daemon.story() if line.startswith("image")] == [f"image {daemon.process.pid} MainThread"]
    assert [state for state in daemon.told() if state in ("READY=1", "RELOADING=1")] == [
        "READY=1",
        "RELOADING=1",
        "READY=1",
    ]


def test_the_watchdog_is_fed_while_passes_end_and_starves_when_none_does(start: Callable[..., Running]) -> None:
    daemon = start(tick=0.1, listen=True, WATCHDOG_USEC="300000")
    daemon.until(lambda: daemon.told().count("WATCHDOG=1") > 2)
    daemon.order("hang")
    daemon.until(lambda: "hangs" in daemon.story())
    daemon.until(lambda: daemon.get("/healthz")[0] == 503)
    assert daemon.get("/healthz")[1].startswith("no pass has ended for ")
    fed = daemon.told().count("WATCHDOG=1")
    time.sleep(0.4)
    assert daemon.told().count("WATCHDOG=1") == fed
    daemon.take_back("hang")
    daemon.until(lambda: daemon.told().count("WATCHDOG=1") > fed)
    daemon.until(lambda: daemon.get("/healthz") == (200, "ok\n"))
