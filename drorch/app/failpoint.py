"""Named instants at which a test kills the process, as a power cut would: nothing is flushed, nothing cleaned up.

``DRORCH_FAILPOINT=NAME`` kills at the first time that NAME is reached, ``NAME:n`` at the n-th. Without the variable
this costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "DRORCH_FAILPOINT"
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Die here with SIGKILL when the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    wanted, _, count = wanted.partition(":")
    if wanted == name:
        _reached[name] += 1
        if _reached[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
