"""The embedded AWS that kills with SIGKILL whoever asks it for something: the machine that asks loses its power there.

What is killed is the process at the other end of the connection, whichever that is: a command, or a worker of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from drorch.demo.aws import EmbeddedAws
from drorch.demo.aws_calls import identify

ASKED, DONE = "asked", "done"
"""Killed when the call has arrived and before anything of it is done; when it is done and before the reply."""
READING = ("Describe", "List", "Get", "Head", "AssumeRole", "GenerateDataKeyWithoutPlaintext")
"""How operations begin that change nothing."""


class KillingAws(EmbeddedAws):
    """`changes` are the operations that changed something since `watch`, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []
        self.killed = 0
        self.silent: frozenset[str] = frozenset()
        """Services and regions of which a request fails the test: `unwanted` has what came all the same."""
        self.unwanted: list[str] = []
        self._order: tuple[str, int, str] | None = None

    def watch(self) -> None:
        """Forget what was asked."""
        self.changes.clear()
        self.unwanted.clear()
        self.silent = frozenset()
        self._order, self.killed = None, 0

    def kill_at(self, operation: str, count: int, instant: str) -> None:
        """Kill whoever asks for `operation` for the `count`-th time from now on; once."""
        self.watch()
        self._order = (operation, count, instant)

    def _gate(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = identify(environ)
        if call is None:
            return super()._gate(environ, start_response)
        if {call.service, call.region} & self.silent:
            self.unwanted.append(f"{call.service} {call.operation} {call.region}")
        operation = call.operation or _path(environ)
        dying = self._dies_at(operation)
        if dying == ASKED:
            raise self._kill(environ)
        reply = super()._gate(environ, start_response)
        if not operation.startswith(READING):
            self.changes.append(operation)
        if dying == DONE:
            raise self._kill(environ)
        return reply

    def _dies_at(self, operation: str) -> str:
        if self._order is None or self._order[0] != operation:
            return ""
        _, count, instant = self._order
        self._order = (operation, count - 1, instant) if count > 1 else None
        return instant if count == 1 else ""

    def _kill(self, environ: dict[str, Any]) -> ConnectionAbortedError:
        os.kill(_peer(int(environ["REMOTE_PORT"]), int(environ["SERVER_PORT"])), signal.SIGKILL)
        self.killed += 1
        return ConnectionAbortedError("whoever asked was killed, as ordered")


def _path(environ: dict[str, Any]) -> str:
    """What a call of a protocol without operations asks for: ``GET rrset``, ``POST rrset``."""
    return f"{environ['REQUEST_METHOD'].capitalize()} {environ['PATH_INFO'].rstrip('/').rpartition('/')[2]}"


def _peer(port: int, server: int) -> int:
    """The process that holds the other end of a connection from `port` of this host (proc(5), /proc/net/tcp)."""
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if (local, remote) == (port, server):
            inode = fields[9]
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and inode and _holds(process, f"socket:[{inode}]"):
            return int(process.name)
    raise AssertionError(f"nobody is at the other end of port {port}")


def _holds(process: Path, what: str) -> bool:
    try:
        return any(str(entry.readlink()) == what for entry in (process / "fd").iterdir())
    except OSError:
        return False  # it has ended, or is another user's
