"""The worker of commands that the kill tests type: the product's own, but for the time between two looks."""

from __future__ import annotations

from command_child import SHORT_S

from drorch import worker
from drorch.worker import Wired, WorkerClock

if __name__ == "__main__":
    WorkerClock.sleep = lambda self, seconds: self._cancel.wait(min(seconds, SHORT_S))  # type: ignore[method-assign,func-returns-value]
    worker.main(Wired)
