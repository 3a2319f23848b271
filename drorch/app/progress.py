"""How far a restore has come: bytes, rate and time left of a stream, and the steps that are done.

Showing it is the command line's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from drorch.domain.recovery import Step

_WINDOW = timedelta(seconds=15)
"""The rate is that of the last seconds: a mean over hours would hide that the network has just become slow."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a running step. `rate` is bytes per second of late; `total`, `rate`, `left` are None if unknown."""

    step: str
    resource: str
    done: int
    total: int | None = None
    rate: float | None = None
    left: timedelta | None = None
    elapsed: timedelta = timedelta()

    @property
    def share(self) -> float | None:
        """Of the whole, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe; seconds and bytes are whole numbers."""
        return {
            "step": self.step,
            "resource": self.resource,
            "done": self.done,
            "total": self.total,
            "rate": None if self.rate is None else round(self.rate),
            "left_s": None if self.left is None else round(self.left.total_seconds()),
            "elapsed_s": round(self.elapsed.total_seconds()),
        }


class ProgressSink(Protocol):
    """Whoever wants to know. Called often, in the thread that works: it must be quick and must not raise."""

    def __call__(self, progress: Progress) -> None:
        """Take one look."""


class Meter:
    """Counts the bytes of one step; the time is handed in, never read."""

    def __init__(self, step: str, resource: str, total: int | None, now: datetime) -> None:
        self._step, self._resource, self._total = step, resource, total
        self._done = 0
        self._began = now
        self._samples: deque[tuple[datetime, int]] = deque([(now, 0)])

    def advance(self, count: int, now: datetime) -> Progress:
        """`count` more bytes are through."""
        self._done += count
        self._samples.append((now, self._done))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()
        return self.at(now)

    def at(self, now: datetime) -> Progress:
        """The present state; the rate falls while nothing comes."""
        since, done = self._samples[0]
        seconds = (now - since).total_seconds()
        rate = (self._done - done) / seconds if seconds > 0 else None
        left = None
        if rate and self._total is not None:
            left = timedelta(seconds=max(0, self._total - self._done) / rate)
        return Progress(self._step, self._resource, self._done, self._total, rate, left, now - self._began)


def ignore(progress: Progress) -> None:
    """The sink of whoever does not want to know."""


class Steps:
    """What was done, how long it took."""

    def __init__(self, took: Callable[[Step], None] | None, ticker: Callable[[], float]) -> None:
        self.taken: list[Step] = []
        self._took, self._ticker = took, ticker
        self._now = Step("", "", "")
        self._failed = False

    def detail(self, text: str, resource: str = "") -> None:
        """What the running step found."""
        self._now = replace(self._now, detail=text, resource=resource or self._now.resource)

    def fail(self) -> None:
        """The running step ends without an error, but not well."""
        self._failed = True

    @contextmanager
    def step(self, name: str, resource: str, detail: str) -> Iterator[None]:
        """One step; its outcome is `done` or `failed`."""
        self._now = Step(name, resource, detail)
        began, self._failed = self._ticker(), False
        try:
            yield
        except BaseException:
            self._failed = True
            raise
        finally:
            outcome = "failed" if self._failed else "done"
            step = replace(self._now, took_s=round(self._ticker() - began), outcome=outcome)
            self.taken.append(step)
            if self._took is not None:
                self._took(step)
