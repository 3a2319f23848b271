"""The system's clock, and the gate that says whether anything new may start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

_SLICE = 0.1


class SystemClock:
    """The present. Sleeping ends early when `stop` is set, from a signal handler too.

    It waits in slices, because an Event that is waited for must not be set by a handler on the same thread: the
    handler may come while the wait holds the Event's own lock.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait; not at all once the process is asked to stop."""
        if self._stop is None:
            time.sleep(max(seconds, 0))
            return
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


class Gate:
    """Whether anything new may start. A pass asks for its truth at the moment of starting, after it has looked: one
    that is under way when the order to stop comes starts nothing either.
    """

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open

    def __bool__(self) -> bool:
        return self._is_open()


class WorkerClock:
    """The present; sleeping ends early when the worker is to stop."""

    def __init__(self, cancel: threading.Event) -> None:
        self._cancel = cancel

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait, or return at once when told to stop."""
        self._cancel.wait(seconds)
