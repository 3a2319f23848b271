"""`drorch run`: a pass at every tick, until it is told to stop.

SIGTERM, SIGINT   nothing new starts; what runs may end within the grace; workers that do not are abandoned, which
                  commits nothing; exit 0.
SIGHUP            (`systemctl reload`) drains: nothing new starts, what runs ends in its own time, then the process
                  executes itself again and so reads its configuration (and its code) anew, under the same process id.
                  A configuration that is invalid is refused, and the daemon goes on under the one that it has.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from drorch import __version__
from drorch.app.clock import Gate
from drorch.app.locks import Locks
from drorch.app.once import Passes
from drorch.daemon.publishing import Counts, Publisher
from drorch.domain.errors import DrorchError, Unavailable
from drorch.domain.instant import to_text
from drorch.telemetry.notify import Notifier
from drorch.telemetry.status_page import StatusPage

log = structlog.get_logger()

LOCK = "daemon"
"""The lock of whoever makes passes over a state folder: the daemon, and `run --once` as long as it lasts."""
GREEN_TICKS = 3
GRACE = timedelta(seconds=20)
"""From the order to stop to the exit; the unit's TimeoutStopSec is longer."""

_BEAT = 5.0
_BUSY_BEAT = 0.2


class Reconciling(Passes, Counts, Protocol):
    """What the daemon asks of the reconciler."""

    def close(self) -> None:
        """Let everything go; called when nothing is under way."""


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`state` is the state folder; `listen` is host and port of the listener, None for none."""

    state: Path
    tick: timedelta = timedelta(seconds=60)
    listen: tuple[str, int] | None = None
    grace: timedelta = GRACE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The process around the daemon. `execute` replaces the process by a new one of itself, `leave` ends it at once,
    without waiting for threads that hang in a call.
    """

    environ: Mapping[str, str]
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    execute: Callable[[], object]
    leave: Callable[[int], object]


def surroundings() -> Surroundings:
    """This process."""
    return Surroundings(os.environ, lambda: datetime.now(UTC), time.monotonic, _execute_again, _leave_now)


def run_daemon(
    reconciler: Reconciling,
    settings: DaemonSettings,
    *,
    check: Callable[[], object] = lambda: None,
    around: Surroundings | None = None,
) -> int:
    """Run until told to stop; the exit code. On the main thread, which alone receives signals.

    `check` reads the configuration and raises when it is invalid. Raises Busy when another daemon has the state
    folder, Refused when `http.listen` cannot be had, both before anything starts.
    """
    with Locks(settings.state).held(LOCK, "drorch run"):
        return _Daemon(reconciler, settings, check, around or surroundings()).run()


class _Daemon:
    def __init__(
        self, reconciler: Reconciling, settings: DaemonSettings, check: Callable[[], object], around: Surroundings
    ) -> None:
        self._reconciler, self._settings, self._check, self._around = reconciler, settings, check, around
        self._notifier = Notifier(around.environ)
        self._publisher = Publisher(settings.state, __version__, reconciler, around.now())
        self._tick = settings.tick.total_seconds()
        self._turn = threading.Lock()
        """Held by whoever uses the reconciler: a pass, or this thread while it drains or stops."""
        self._draining = self._stopping = False
        self._running = 0
        self._begun = self._ended = around.monotonic()
        # Safe to put into from a signal handler, which an Event or a Queue is not.
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Its defaults would drop a run that is a second late; two at once would be two planners.
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._scheduler.add_job(
            self._pass,
            "interval",
            seconds=self._tick,
            id="pass",
            name="pass",
            next_run_time=around.now(),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )

    def run(self) -> int:
        page = self._listener()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            for number in before:
                signal.signal(number, self._ordered)
            self._scheduler.start()
            if page is not None:
                page.start()
            self._notifier.send("READY=1", "STATUS=started; the first pass is under way")
            log.info("daemon started", tick_seconds=self._tick, state=str(self._settings.state), version=__version__)
            return self._serve()
        finally:
            if self._scheduler.running:
                self._scheduler.shutdown(wait=False)
            if page is not None:
                page.close()
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _listener(self) -> StatusPage | None:
        if self._settings.listen is None:
            return None
        host, port = self._settings.listen
        return StatusPage(host, port, metrics=lambda: self._publisher.page, health=self.unhealthy)

    def _ordered(self, number: int, _frame: Any) -> None:
        self._orders.put("reload" if number == signal.SIGHUP else "stop")

    # --- passes ---

    def _pass(self) -> None:
        """One tick, on the scheduler's thread."""
        with self._turn:
            if self._stopping:
                return
            around, publisher = self._around, self._publisher
            self._begun = began = around.monotonic()
            try:
                seen = self._reconciler.run_pass(start=Gate(lambda: not (self._draining or self._stopping)))
                publisher.passed(seen, around.monotonic() - began, around.now())
            except Exception as error:  # noqa: BLE001  whatever a pass ends in, the next one is made
                publisher.failed(error, around.monotonic() - began, around.now())
            finally:
                self._ended = around.monotonic()
                self._running = self._reconciler.running_count()
        alarms = f"alarms: {', '.join(sorted(publisher.alarms.kinds)) or 'none'}"
        words = f"last pass ended at {to_text(around.now())}, {self._running} actions under way, {alarms}"
        self._notifier.send(f"STATUS={'draining; ' if self._draining else ''}{words}")

    def unhealthy(self) -> str:
        """Why the daemon is not healthy; "" while a pass ended within three ticks, whatever its outcome."""
        silent = self._around.monotonic() - self._ended
        if silent <= GREEN_TICKS * self._tick:
            return ""
        return f"no pass has ended for {silent:.0f} s, more than {GREEN_TICKS} ticks of {self._tick:.0f} s"

    def _beat(self) -> None:
        if self._notifier.watchdog and not self.unhealthy():
            # A drain takes as long as the longest dump: a reload that waits for it is not to time out meanwhile.
            extend = (f"EXTEND_TIMEOUT_USEC={int(self._notifier.watchdog * 1e6)}",) if self._draining else ()
            self._notifier.send("WATCHDOG=1", *extend)
        late = self._around.monotonic() - self._begun > 1.5 * self._tick
        if late and not self._turn.locked():
            # The tick follows the wall clock: one that was set back by an hour would be silent for an hour.
            self._scheduler.modify_job("pass", next_run_time=self._around.now())

    # --- orders ---

    def _serve(self) -> int:
        pace = min(_BEAT, self._tick, self._notifier.watchdog / 3 or _BEAT)
        while True:
            order = self._next_order(_BUSY_BEAT if self._draining else pace)
            if order == "stop":
                return self._stop()
            if order == "reload" and not self._draining:
                self._drain()
            self._beat()
            if self._draining and self._drained():
                code = self._again()
                if code is not None:
                    return code

    def _next_order(self, wait: float) -> str:
        try:
            return self._orders.get(timeout=wait)
        except queue.Empty:
            return ""

    def _drain(self) -> None:
        self._notifier.reloading("reloading: checking the configuration")
        if self._valid():
            self._draining = True
            self._notifier.send(f"STATUS=draining; {self._running} actions under way")
            log.info("drain began", running=self._running)

    def _valid(self) -> bool:
        try:
            self._check()
        except DrorchError as error:
            log.error("reload refused", error=str(error))
            self._draining = False
            self._notifier.send("READY=1", "STATUS=reload refused, running under the configuration that it had")
            return False
        return True

    def _drained(self) -> bool:
        """Whether nothing is under way; the turn stays taken then, so that nothing begins any more."""
        if not self._turn.acquire(blocking=False):
            return False
        if self._harvested():
            return True
        self._turn.release()
        return False

    def _harvested(self) -> bool:
        self._steadily(self._reconciler.harvest)
        self._running = self._reconciler.running_count()
        return not self._running

    @staticmethod
    def _steadily(step: Callable[[], object]) -> None:
        """A fault in one step must not keep the daemon from ending."""
        try:
            step()
        except Exception as error:
            log.error("step failed", error=str(error), exc_info=error)

    def _again(self) -> int | None:
        """Execute the process again; None when the configuration has become invalid meanwhile. The turn is held."""
        if not self._valid():
            self._turn.release()
            return None
        self._stopping = True
        self._scheduler.shutdown(wait=False)
        self._steadily(self._reconciler.close)
        log.info("drained, executing again")
        # Between here and the new image's first lines a further SIGHUP would end the process, as a clean exit at that.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self._around.execute()
        except OSError as error:
            raise Unavailable("drorch could not be executed again", cause=str(error)) from error
        finally:
            self._turn.release()
        return 0

    def _stop(self) -> int:
        """Half of the grace for workers to end by themselves, the rest for their end after they were told to."""
        self._stopping = True
        self._notifier.send("STOPPING=1", "STATUS=stopping")
        log.info("stop began", running=self._running)
        grace = self._settings.grace.total_seconds()
        end = self._around.monotonic() + grace
        patience = end - grace / 2
        cancelled = False
        while self._around.monotonic() < end:
            if self._turn.acquire(timeout=_BUSY_BEAT):
                try:
                    if self._harvested():
                        self._steadily(self._reconciler.close)
                        log.info("daemon stopped")
                        return 0
                    if not cancelled and self._around.monotonic() >= patience:
                        cancelled = True
                        log.info("workers abandoned", actions=[a.key for a in self._reconciler.heavy_running()])
                        self._steadily(self._reconciler.cancel)
                finally:
                    self._turn.release()
            if self._next_order(_BUSY_BEAT) == "stop":  # asked twice: no patience any more
                patience = self._around.monotonic()
        log.warning("daemon stopped", left_behind=self._running, pass_under_way=self._turn.locked())
        self._around.leave(0)
        return 0


def _execute_again() -> None:
    """The same interpreter with the same arguments; the operating system keeps the process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  no shell, our own arguments


def _leave_now(code: int) -> None:
    """A thread that hangs in a call to a lost region would keep the interpreter from ending. What is cut off is what
    kill -9 cuts off: workers see their pipe close and commit nothing, intents are on disk.
    """
    sys.stderr.flush()
    os._exit(code)
