"""The daemon in this process, its monotonic clock turned by hand; and what it publishes after a pass."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from passes import AWAY, HOME, NOW, OFF, HandClock, HandReconciler, cut, loaded, passed, planned, policy
from structlog.testing import capture_logs

from drorch.app.locks import Locks
from drorch.app.observe import World
from drorch.app.passing import Finished, Pass
from drorch.app.policies import InvalidPolicy, PolicySet
from drorch.daemon import LOCK, DaemonSettings, run_daemon, surroundings
from drorch.daemon.publishing import Publisher, alarms_of
from drorch.domain.action import Hold
from drorch.domain.catalogue_native import NativeView
from drorch.domain.errors import Busy, Finding, Refused, Unavailable
from drorch.domain.model import Vault

TICK = timedelta(seconds=1000)


class Turned:
    """Surroundings whose clocks stand still until they are turned; every pass is counted."""

    def __init__(self, folder: Path) -> None:
        self.monotonic = 0.0
        self.lag = timedelta()
        self.environ = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "30000"}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.environ["NOTIFY_SOCKET"])
        self.socket.settimeout(10)
        self.left: list[int] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + self.lag

    def next_word(self, wanted: str) -> None:
        """Wait until systemd was told so."""
        while wanted not in self.socket.recv(8192).decode():
            pass

    def silence(self, seconds: float) -> list[str]:
        """What is told within a while, after what was told already."""
        words: list[str] = []
        self.socket.setblocking(False)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                words.append(self.socket.recv(8192).decode())
            except BlockingIOError:
                time.sleep(0.01)
        self.socket.settimeout(10)
        return words


def driven(
    folder: Path,
    drive: Callable[[Turned, HandReconciler], None],
    *,
    reconciler: HandReconciler | None = None,
    before: Callable[[Turned], object] = lambda _: None,
) -> tuple[int, HandReconciler]:
    """Run the daemon on this thread and `drive` beside it; it is stopped when that ends."""
    turned, failed = Turned(folder), []
    world = reconciler or HandReconciler(HandClock(datetime.now(UTC)))
    before(turned)

    def beside() -> None:
        try:
            drive(turned, world)
        except BaseException as error:  # noqa: BLE001  told on the test's own thread
            failed.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=beside)
    around = replace(
        surroundings(),
        environ=turned.environ,
        now=turned.now,
        monotonic=lambda: turned.monotonic,
        leave=turned.left.append,
    )
    thread.start()
    code = run_daemon(world, DaemonSettings(folder, TICK, grace=timedelta(seconds=5)), around=around)
    thread.join()
    turned.socket.close()
    if failed:
        raise failed[0]
    return code, world


def test_it_is_green_for_three_ticks_after_a_pass_and_no_longer(tmp_path: Path) -> None:
    held = threading.Event()

    class Held(HandReconciler):
        def run_pass(self, *, start: object = True) -> Pass:
            if self.passes:
                held.wait(20)
            return super().run_pass(start=start)

    def drive(turned: Turned, world: HandReconciler) -> None:
        turned.next_word("STATUS=last pass")
        turned.monotonic = 3 * TICK.total_seconds()  # also brings the next pass, which hangs
        turned.next_word("WATCHDOG=1")
        turned.silence(0.1)
        turned.monotonic += 1
        turned.silence(0.1)
        assert turned.silence(0.2) == []
        held.set()
        turned.next_word("WATCHDOG=1")

    code, world = driven(tmp_path, drive, reconciler=Held(HandClock(datetime.now(UTC))))
    assert (code, world.passes) == (0, 2)


def test_a_clock_that_was_set_back_does_not_silence_the_tick(tmp_path: Path) -> None:
    """The first pass is due an hour from now by the wall clock: as after a clock that ran an hour fast."""

    def drive(turned: Turned, world: HandReconciler) -> None:
        turned.next_word("READY=1")
        turned.silence(0.1)
        assert world.passes == 0
        turned.lag = timedelta()
        turned.monotonic = 1.6 * TICK.total_seconds()
        turned.next_word("STATUS=last pass")

    code, world = driven(tmp_path, drive, before=lambda turned: setattr(turned, "lag", timedelta(hours=1)))
    assert (code, world.passes, world.closed) == (0, 1, True)


def test_what_is_due_is_started_and_the_signal_handlers_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    due = HandReconciler(HandClock(datetime.now(UTC)), [cut()])
    code, world = driven(tmp_path, lambda turned, _: turned.next_word("STATUS=last pass"), reconciler=due)
    assert (code, world.started) == (0, [cut()])
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_lock_is_the_one_that_others_may_take(tmp_path: Path) -> None:
    with (
        Locks(tmp_path).held(LOCK, "drorch run --once"),
        pytest.raises(Busy, match=r"daemon is locked: drorch run --once \(process"),
    ):
        run_daemon(HandReconciler(HandClock()), DaemonSettings(tmp_path))


def test_a_listener_that_is_refused_lets_the_lock_go(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Refused, match="cannot listen"):
            run_daemon(HandReconciler(HandClock()), DaemonSettings(tmp_path, listen=taken.getsockname()))
    assert Locks(tmp_path).holder(LOCK) == ""


# --- what is published ---------------------------------------------------------------------------------------------


def publisher(
    folder: Path, world: HandReconciler | None = None, monotonic: Callable[[], float] = lambda: 0.0
) -> Publisher:
    return Publisher(folder, "1.2.3", world or HandReconciler(HandClock()), NOW, monotonic)


def test_alarms_are_what_a_person_has_to_look_at(tmp_path: Path) -> None:
    holds = (
        Hold("shop", "data", HOME, "", "nothing matches", "empty-selection"),
        Hold("shop", "orders", OFF, "", "slot: not read", "vault-unread"),
        Hold("shop", "orders", "", "", "a dump is running"),
    )
    plan = planned(actions=holds)
    finding = Finding("/etc/drorch/policies/blog.yaml", 3, 1, "owner is missing")
    policies = PolicySet((loaded(plan.policy),), (finding,), (InvalidPolicy("blog", "blog.yaml"),), ("old",))
    seen = passed(plan, policies=policies, world=World(NOW, unread={OFF: "no route"}))
    assert alarms_of(seen) == {
        ("empty-selection", f"shop/data in {HOME}"): "nothing matches",
        ("vault-unread", OFF): "no route",
        ("policy-invalid", "blog.yaml"): "/etc/drorch/policies/blog.yaml:3:1: owner is missing",
        ("policy-missing", "old"): "its file is gone; nothing of it is deleted, and nothing is cut",
    }


def test_a_pass_becomes_metrics_a_file_and_a_line(tmp_path: Path) -> None:
    world = HandReconciler(HandClock())
    world.outcomes[("cut", "done")] = 2
    stale, ended = planned(policy("blog")), Finished(cut(), "", Unavailable("no answer"))
    policies = PolicySet(
        (loaded(policy()), loaded(policy("blog"), stale=True)), (), (InvalidPolicy("blog", "blog.yaml"),), ("old",)
    )
    older, newer = NOW - timedelta(hours=1), NOW
    vault = Vault(AWAY, HandReconciler(HandClock()).observer.vaults[OFF].domain, native=True)
    natives = tuple(NativeView(vault, kind, complete=True, at=at) for kind, at in (("ebs", newer), ("rds", older)))
    seen = passed(
        planned(), stale, policies=policies, world=World(NOW, natives), started=(cut(),), finished=(ended,), running=1
    )
    made = publisher(tmp_path, world)
    with capture_logs() as lines:
        made.passed(seen, 1.25, NOW)
    assert (tmp_path / "metrics.prom").read_text() == made.page
    for line in (
        'drorch_policy_valid{application="shop"} 1',
        'drorch_policy_valid{application="blog"} 0',
        'drorch_policy_valid{application="old"} 0',
        f'drorch_vault_checked_timestamp_seconds{{vault="{AWAY}"}} {int(older.timestamp())}',
        f'drorch_vault_checked_timestamp_seconds{{vault="{OFF}"}} {int(NOW.timestamp())}',
        'drorch_actions_total{action="cut",outcome="done"} 2',
        "drorch_pass_duration_seconds 1.25",
        'drorch_alarm{kind="policy-invalid"} 1',
    ):
        assert f"{line}\n" in made.page
    (ending,) = [line for line in lines if line["event"] == "pass ended"]
    assert (ending["started"], ending["finished"], ending["running"]) == ({"cut": 1}, {"cut unavailable": 1}, 1)


def test_ages_grow_at_every_scrape_while_a_pass_takes_long_and_the_file_is_of_the_pass(tmp_path: Path) -> None:
    seconds = [100.0]
    made = publisher(tmp_path, monotonic=lambda: seconds[0])
    assert made.page == ""
    plan = planned()
    aged = timedelta(seconds=60)
    resources = tuple(
        replace(each, levels={level: was._replace(rpo_attained=aged) for level, was in each.levels.items()})
        for each in plan.status.resources
    )
    status = replace(plan.status, resources=resources)
    made.passed(passed(replace(plan, status=status)), 1, NOW)
    written = (tmp_path / "metrics.prom").read_text()

    def ages(page: str) -> set[str]:
        lines = (line for line in page.splitlines() if line.startswith("drorch_rpo_attained_seconds{"))
        return {line.split()[-1] for line in lines if 'basis="usable"' in line}

    assert made.page == written and ages(written) == {"60"}
    seconds[0] += 7200
    assert ages(made.page) == {"7260"}
    assert f"drorch_pass_last_end_timestamp_seconds {int(NOW.timestamp())}\n" in made.page
    assert (tmp_path / "metrics.prom").read_text() == written


def test_a_failing_pass_keeps_the_last_picture_and_lets_it_grow_old(tmp_path: Path) -> None:
    made = publisher(tmp_path)
    made.failed(Unavailable("no answer"), 1, NOW)
    assert "drorch_rpo" not in made.page
    made.passed(passed(planned()), 1, NOW)
    due = 'drorch_next_due_timestamp_seconds{application="shop",resource="data"}'
    made.failed(Unavailable("no answer"), 2, NOW + timedelta(hours=3))
    assert f"{due} {int(NOW.replace(minute=0).timestamp()) + 3 * 3600}\n" in made.page
    assert 'drorch_alarm{kind="pass-failed"} 1\n' in made.page
    assert "drorch_pass_duration_seconds 2\n" in made.page
    made.passed(passed(planned()), 1, NOW)
    assert "pass-failed" not in made.page


def test_a_state_folder_that_cannot_be_written_does_not_end_the_loop(tmp_path: Path) -> None:
    made = publisher(tmp_path / "absent")
    with capture_logs() as lines:
        made.passed(passed(planned()), 1, NOW)
    assert [line["event"] for line in lines] == ["metrics file not written", "pass ended"]
    assert "drorch_next_due_timestamp_seconds" in made.page


def test_a_fault_in_the_metrics_does_not_end_the_loop(tmp_path: Path) -> None:
    made = publisher(tmp_path)
    made.passed(passed(planned()), 1, NOW)
    page = made.page
    broken = replace(planned(), catalogue=None)  # type: ignore[arg-type]
    with capture_logs() as lines:
        made.passed(passed(broken), 1, NOW)
    assert [line["event"] for line in lines] == ["metrics not computed", "pass ended"]
    assert made.page == page
