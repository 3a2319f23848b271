"""Object stores: one module per `type:` of the host configuration, each under the suite in tests/contract.

A module exports `Options` (importable without its SDK, with a `domain`), `open_store(name, options, ...)` and
`from_url(url)`. Adapters do not import each other; the one thing they share is the bookkeeping below.
"""

from __future__ import annotations

from drorch.domain.errors import Refused
from drorch.ports import StoreLimits


class Parts:
    """What every upload must know about its parts: how many, how many bytes, and whether one more may follow."""

    def __init__(self, limits: StoreLimits, *, vault: str, resource: str) -> None:
        self.count = 0
        self.bytes = 0
        self._limits = limits
        self._short = False
        self._over = ""
        self._where = {"operation": "upload", "vault": vault, "resource": resource}

    def add(self, size: int) -> None:
        """Count the next part before it is sent. Refused when no part may follow, or not one of this size."""
        if self._over or self._short:
            raise Refused(f"no part may follow: {self._over or 'a shorter one was the last'}", **self._where)
        if size > self._limits.part_bytes:
            raise Refused(f"a part of {size} bytes is larger than {self._limits.part_bytes}", **self._where)
        if self.count == self._limits.max_parts:
            raise Refused(f"an object may have at most {self._limits.max_parts} parts", **self._where)
        self._short = size < self._limits.part_bytes
        self.count += 1
        self.bytes += size

    def end(self, why: str) -> None:
        """The upload is over: no part may follow, and it cannot be committed. The first reason stands."""
        self._over = self._over or why

    def commit(self) -> None:
        """The upload ends here, well. Refused when it is over already."""
        if self._over:
            raise Refused(f"it cannot be committed: {self._over}", **self._where)
        self._over = "it was committed"
