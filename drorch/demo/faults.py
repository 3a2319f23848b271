"""Faults on order, for the embedded clouds: what real services do on a bad day, at a moment that a test chooses."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Literal, get_args

Mode = Literal["before", "after", "throttle", "credentials-expired", "denied", "short"]
"""``before``: refused with 503, nothing happened. ``after``: done, then the connection is cut without a reply.
``throttle``: the service's own throttling error. ``credentials-expired``: the service's own error for an old token.
``denied``: the service's own refusal for a caller without the right.
``short``: done, but the reply's body ends half-way, short of its announced length."""


class Faults:
    """Orders by operation, used up as they are met, and a count of every call. Safe for threads.

    Operations are the API's own names (``CopySnapshot``, ``PutObject``, ``objects.insert``).
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str, str]] = Counter()
        """Calls by (service, operation, region), refused ones included."""
        self._lock = threading.Lock()
        self._failing: list[tuple[str, str, Mode, int]] = []
        self._stale: dict[str, int] = {}
        self._half: Counter[str] = Counter()

    def count(self, service: str, operation: str, region: str) -> None:
        """Note that a call came in."""
        with self._lock:
            self.calls[service, operation, region] += 1

    def fail_next(self, operation: str, mode: Mode, *, times: int = 1, region: str = "") -> None:
        """Let the next `times` calls of `operation` (in `region`, if named) fail. SDKs repeat: give them enough."""
        if mode not in get_args(Mode):
            raise ValueError(f"unknown mode {mode!r}")
        with self._lock:
            self._failing.append((operation, region, mode, times))

    def stale(self, operation: str, passes: int) -> None:
        """Answer the next `passes` listings as the same listing was answered before (a listing may have many pages)."""
        with self._lock:
            self._stale[operation] = passes

    def half(self, operation: str, times: int = 1) -> None:
        """Let the next `times` listings of `operation` answer their first page and fail at the next."""
        with self._lock:
            self._half[operation] += times

    def clear(self) -> None:
        """Forget every order and every count."""
        with self._lock:
            self.calls.clear()
            self._failing.clear()
            self._stale.clear()
            self._half.clear()

    def take(self, operation: str, region: str, *, later_page: bool) -> Mode | None:
        """The fault that this call is to meet, if any; it is used up."""
        with self._lock:
            if later_page and self._half[operation]:
                self._half[operation] -= 1
                return "before"
            for place, (wanted, where, mode, times) in enumerate(self._failing):
                if wanted == operation and where in ("", region):
                    if times > 1:
                        self._failing[place] = (wanted, where, mode, times - 1)
                    else:
                        del self._failing[place]
                    return mode
        return None

    def take_stale(self, operation: str, *, later_page: bool) -> bool:
        """Whether this call of a listing is to be answered with its earlier reply."""
        with self._lock:
            left = self._stale.get(operation, 0)
            if later_page:
                return operation in self._stale and left >= 0
            if left <= 0:
                self._stale.pop(operation, None)
                return False
            self._stale[operation] = left - 1
            return True
