"""The worker of the process that the kill tests kill: dumps of kind ``memory``, cut as of now.

A program of its own, because each of its starts imports all that it names.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import fake_worker

from drorch import worker
from drorch.engines.memory import DATA, MemoryEngine, MemorySource

GRACE_S = 3.0


class Present(fake_worker.Fakes):
    """Dumps as of now."""

    def engine(self, kind: str, /) -> Any:
        return MemoryEngine({"main": MemorySource({DATA: fake_worker.ROWS}, cut_at=datetime.now(UTC))})


if __name__ == "__main__":
    worker.GRACE = GRACE_S
    worker.main(Present)
