"""Ending a worker with everything it started: all processes of its session, whatever their groups."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def session_members(session: int) -> tuple[int, ...]:
    """The process ids of a session, zombies left out (proc(5): the sixth field of ``/proc/PID/stat``)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended while we looked
            stat = (entry / "stat").read_text(errors="replace")
            state, _, _, its_session = stat[stat.rindex(")") + 1 :].split()[:4]
            if int(its_session) == session and state not in "ZX":
                found.append(int(entry.name))
    return tuple(found)


def kill_session(session: int, *, spare: int = 0) -> None:
    """Kill every process of the session but `spare`. The caller leads it, or has not yet reaped its leader."""
    for _ in range(3):  # one that was being started while we looked is met the next time
        members = [pid for pid in session_members(session) if pid != spare]
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
