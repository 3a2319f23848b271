"""Producers of test data: a real child process, and one that behaves as badly as a test wants."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from contextlib import suppress
from typing import BinaryIO, cast

from drorch.domain.errors import Unavailable


class Given:
    """Bytes that are there already."""

    def __init__(self, body: bytes) -> None:
        self.stdout: BinaryIO = io.BytesIO(body)
        self.finished = self.killed = False

    def finish(self) -> None:
        self.finished = True

    def kill(self) -> None:
        self.killed = True


class Process:
    """A shell command's output; its exit status counts."""

    def __init__(self, command: str) -> None:
        self.process = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE, bufsize=0)
        self.stdout = cast("BinaryIO", self.process.stdout)

    def finish(self) -> None:
        status = self.process.wait()
        if status:
            raise Unavailable("the dump process failed", operation="dump", cause=f"exit status {status}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(OSError):
            self.stdout.close()


class Silent:
    """Writes `body` and then neither goes on nor ends, until it is killed; or ends its output but not itself."""

    def __init__(self, body: bytes, *, closes: bool = False) -> None:
        reading, self._writing = os.pipe()
        self.stdout: BinaryIO = os.fdopen(reading, "rb", buffering=0)
        self.killed = threading.Event()
        os.write(self._writing, body)
        self._closes = closes
        if closes:
            os.close(self._writing)

    def finish(self) -> None:
        if not self.killed.wait(60):
            raise AssertionError("nobody killed the process that did not end")
        raise Unavailable("it was killed")

    def kill(self) -> None:
        if not self.killed.is_set():
            self.killed.set()
            if not self._closes:
                os.close(self._writing)


class Broken:
    """A producer whose pipe fails."""

    def __init__(self) -> None:
        self.stdout: BinaryIO = cast("BinaryIO", self)
        self.killed = False
        self._reads = 0

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    def readinto(self, buffer: memoryview) -> int:
        self._reads += 1
        if self._reads > 2:
            raise OSError(5, "Input/output error")
        buffer[:] = os.urandom(len(buffer))
        return len(buffer)

    def finish(self) -> None:
        """Never called: the pipe fails before."""

    def kill(self) -> None:
        self.killed = True
