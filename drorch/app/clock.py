"""The system's clock: the one implementation of `Clock` outside tests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime


class SystemClock:
    """The present, UTC. Sleeping ends early when the process is asked to stop."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> datetime:
        """The present, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait `seconds`, or until the stop event is set."""
        self._stop.wait(seconds)
