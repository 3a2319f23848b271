"""Programs that ask on a terminal, with somebody there who types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Typed(NamedTuple):
    """How the program ended, its standard output, and all that stood on its terminal."""

    code: int
    out: bytes
    shown: str


def at_a_terminal(command: Sequence[str], *lines: str, environ: Mapping[str, str] | None = None) -> Typed:
    """Run the program in a session of its own at a new terminal; each line is typed when a question ends in ``: ``."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "-c", "-w", *command], stdin=follower, stdout=subprocess.PIPE, stderr=follower, env=environ
    )
    os.close(follower)
    shown, waiting, end = b"", list(lines), time.monotonic() + 60
    while time.monotonic() < end and select.select([leader], [], [], end - time.monotonic())[0]:
        try:
            piece = os.read(leader, 1024)
        except OSError:  # everybody has closed the terminal
            break
        shown += piece
        if waiting and shown.endswith(b": "):
            os.write(leader, waiting.pop(0).encode() + b"\n")
    out, _ = process.communicate(timeout=60)
    os.close(leader)
    return Typed(process.returncode, out, shown.decode(errors="replace"))
