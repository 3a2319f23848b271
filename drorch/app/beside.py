"""Listings beside the passes, which never wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from drorch.domain.errors import DrorchError

log = structlog.get_logger()

_T = TypeVar("_T")


class Beside:
    """One listing at a time, in a thread that an ending process does not wait for either."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether none is going on."""
        return self._thread is None or not self._thread.is_alive()

    def begin(self, listing: Callable[[], None]) -> None:
        """Begin one; only while `idle`."""
        self._thread = threading.Thread(target=listing, daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Until one that has begun is over, at most so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)


def answered(ask: Callable[[], _T], **where: str) -> _T | str:
    """What was answered, or why nothing was; a fault of one place (`where`, for the log) takes no other along."""
    try:
        return ask()
    except DrorchError as error:
        return str(error)
    except Exception as error:
        log.error("not listed", **where, exc_info=error)
        return f"a fault in drorch itself: {type(error).__name__}: {error}"
