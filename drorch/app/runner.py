"""Heavy jobs in processes of their own: one worker each, told through a pipe, gone when the pipe closes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

from drorch.app.environment import ambient_sdk_environment, child_environment
from drorch.app.jobs import Job
from drorch.app.processes import kill_session
from drorch.app.worker_protocol import error_of
from drorch.domain.errors import DrorchError, Unavailable

WORKER = (sys.executable, "-m", "drorch.worker")
STALL = timedelta(minutes=30)
"""A worker that reports no progress for so long is ended. Longer than the deadline of a single vault."""
GRACE = timedelta(seconds=15)
"""From the order to stop until everything that is left of the worker is killed."""
_LONGEST_LINE = 32 * 1024 * 1024
_STDERR_BYTES = 16 * 1024
_PIPE_BYTES = 1024 * 1024
"""Room for any job, so that starting a worker never waits for it."""
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: what it reported, or the error. `crash` is the end of its standard error, for the journal."""

    result: Mapping[str, Any] | None = None
    error: DrorchError | None = None
    crash: str = ""

    def get(self) -> Mapping[str, Any]:
        """The result. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.result or {}


class LocalRunner:
    """Starts workers on this host."""

    def __init__(
        self,
        *,
        command: Sequence[str] = WORKER,
        environ: Mapping[str, str] = os.environ,
        stall: timedelta = STALL,
        grace: timedelta = GRACE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = tuple(command)
        self._environ = environ
        self._stall = stall
        self._grace = grace
        self._monotonic = monotonic

    def start(self, job: Job, lock_fd: int | None = None) -> Handle:
        """Start a worker; it inherits `lock_fd`, so that the lock is held as long as it lives. Raises Unavailable."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment(self._environ),
                pass_fds=() if lock_fd is None else (lock_fd,),
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable("a worker did not start", operation=job.name, cause=str(error)) from error
        body = job.to_json() | {"environment": ambient_sdk_environment(self._environ)}
        return Handle(process, job.name, body, self._stall, self._grace, self._monotonic)


class Handle:
    """One worker. `poll` must be called from time to time: it is what ends a worker that stalls."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        body: Mapping[str, Any],
        stall: timedelta,
        grace: timedelta,
        monotonic: Callable[[], float],
    ) -> None:
        self.progress: Mapping[str, Any] = {}
        """What the worker reported last."""
        self._process = process
        self._name = name
        self._stall, self._grace, self._monotonic = stall, grace, monotonic
        self._heard = monotonic()
        self._told_to_end: float | None = None
        self._stalled = False
        self._last: Mapping[str, Any] | None = None
        self._words: deque[bytes] = deque(maxlen=_STDERR_BYTES // 1024)
        self._outcome: Outcome | None = None
        self._closed = threading.Event()
        threads = ((self._listen, process.stdout), (self._keep_words, process.stderr))
        self._threads = [threading.Thread(target=target, args=(pipe,), daemon=True) for target, pipe in threads]
        for thread in self._threads:
            thread.start()
        with suppress(OSError):  # a user's share of pipe memory may be used up
            fcntl.fcntl(_stream(process.stdin), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with suppress(BrokenPipeError):  # it is gone already: `poll` says how
            _stream(process.stdin).write(json.dumps(body).encode() + b"\n")
            _stream(process.stdin).flush()

    @property
    def pid(self) -> int:
        """The worker's process id, which is its session's too."""
        return self._process.pid

    def poll(self) -> Outcome | None:
        """How it ended, or None while it runs."""
        if self._outcome is not None:
            return self._outcome
        if self._ended():
            # Before it is reaped its number cannot be another's: what it left behind goes first.
            kill_session(self.pid)
            self._outcome = self._conclude(self._process.wait())
            return self._outcome
        now = self._monotonic()
        if self._told_to_end is None:
            if self._last is not None:
                self._told_to_end = now
            elif now - self._heard > self._stall.total_seconds():
                self._stalled = True
                self.cancel()
        elif now - self._told_to_end > self._grace.total_seconds():
            kill_session(self.pid)
        return None

    def cancel(self) -> None:
        """Tell it to abandon what it does, safely; `poll` kills it when it takes too long. Harmless twice."""
        if self._told_to_end is None:
            self._told_to_end = self._monotonic()
        with suppress(OSError):
            _stream(self._process.stdin).close()

    def wait(self, timeout: timedelta | None = None) -> Outcome | None:
        """Wait for the end; None when `timeout` passed first."""
        began = self._monotonic()
        while (outcome := self.poll()) is None:
            if timeout is not None and self._monotonic() - began > timeout.total_seconds():
                return None
            self._closed.wait(_POLL)
            if self._closed.is_set():
                time.sleep(0.01)
        return outcome

    def _ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _listen(self, pipe: IO[bytes]) -> None:
        while line := pipe.readline(_LONGEST_LINE):
            event = _event(line)
            if event.get("event") == "progress":
                if event["progress"] != self.progress:
                    self._heard = self._monotonic()
                self.progress = event["progress"]
            elif event:
                self._last = event
        self._closed.set()

    def _keep_words(self, pipe: IO[bytes]) -> None:
        while words := pipe.read1(1024):  # type: ignore[attr-defined]
            self._words.append(words)

    def _conclude(self, status: int) -> Outcome:
        for thread in self._threads:
            thread.join(2)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                _stream(pipe).close()
        crash = b"".join(self._words).decode("utf-8", "replace")[-_STDERR_BYTES:]
        if self._last is not None and self._last["event"] == "done":
            return Outcome(result=self._last["outcome"], crash=crash)
        if self._stalled:
            cause = f"nothing moved for {self._stall.total_seconds():.0f} s"
            return Outcome(error=self._error("the worker made no progress and was ended", cause), crash=crash)
        if self._last is not None:
            return Outcome(error=error_of(self._last), crash=crash)
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        if self._told_to_end is not None:
            return Outcome(error=self._error("it was cancelled", how), crash=crash)
        return Outcome(error=self._error("the worker ended without a word", how), crash=crash)

    def _error(self, message: str, cause: str) -> Unavailable:
        return Unavailable(message, operation=self._name, cause=cause, hint="the next pass begins again")


_BODIES = {"progress": "progress", "done": "outcome"}


def _event(line: bytes) -> Mapping[str, Any]:
    """The event that a line holds; empty when it is none, as a line that the worker's death cut."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    name = event.get("event") if isinstance(event, dict) else None
    if not isinstance(name, str):
        return {}
    whole = name == "failed" or (name in _BODIES and isinstance(event.get(_BODIES[name]), dict))
    return event if whole else {}


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("workers are started with pipes")
    return pipe
