"""The consumers of a restore: the client program behind a filter of the dump's own lines, and the accounts' script."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, cast

from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.engines.mysql_family.access import Access, Child

_LARGEST_SCRIPT = 64 * 1024 * 1024
_LONGEST_LINE = 1024 * 1024
"""Bytes of a line from which on it can be no head of a definition: it is handed on as it comes."""

_SANDBOX = re.compile(rb"/\*M?!999999\\- [^\n]*\n")
_DEFINER = re.compile(
    rb"^((?:CREATE (?:OR REPLACE )?|/\*!50013 |/\*!50003 CREATE\*/ /\*!50017 |/\*!50106 CREATE\*/ /\*!50117 )DEFINER=)"
    rb"`(?:[^`\n]|``)*`(?:@`(?:[^`\n]|``)*`)?",
    re.MULTILINE,
)


class Intake(io.RawIOBase):
    """The writable end that a pump sees. Every write takes all of the bytes or raises."""

    def __init__(self, accept: Callable[[memoryview], None]) -> None:
        super().__init__()
        self._accept = accept

    def writable(self) -> bool:
        """It is written to, nothing else."""
        return True

    def write(self, part: object) -> int:
        """Hand on the bytes. BrokenPipeError when the reader has left; `finish` then tells why."""
        view = memoryview(cast("bytes", part)).cast("B")
        self._accept(view)
        return len(view)


class Lines:
    """The dump as the client at hand can take it.

    The line that begins MariaDB's sandbox is left out: clients that know it are told by an option, others stop at it.
    With `own_definers` every object is made the restoring user's: heads of definitions stand at the start of a line,
    where no row and no string of a row can stand.
    """

    def __init__(self, *, own_definers: bool) -> None:
        self._own = own_definers
        self._first = True
        self._held = b""
        self._within = False

    def feed(self, part: bytes | memoryview) -> bytes:
        """What may be handed on now; the rest is held until its line is whole."""
        data = self._held + bytes(part)
        self._held = b""
        if self._first:
            if b"\n" not in data and len(data) < _LONGEST_LINE:
                self._held = data
                return b""
            self._first = False
            data = _SANDBOX.sub(b"", data, count=1) if _SANDBOX.match(data) else data
        return self._with_definers(data) if self._own else data

    def end(self) -> bytes:
        """What was held: the last line without an end."""
        held, self._held = self._held, b""
        return held

    def _with_definers(self, data: bytes) -> bytes:
        begin = 0
        if self._within:  # the end of a line of which a part was handed on
            begin = data.find(b"\n") + 1
            if not begin:
                return data
            self._within = False
        end = data.rfind(b"\n") + 1
        tail = data[end:]
        if len(tail) >= _LONGEST_LINE:
            self._within = True
        else:
            self._held, tail = tail, b""
        lines = data[begin:end]
        if b"DEFINER=" in lines:  # few parts have it, and the search line by line is slow
            lines = _DEFINER.sub(rb"\1CURRENT_USER", lines)
        return data[:begin] + lines + tail


class DataConsumer:
    """The client, reading the dump; what it leaves with tells whether all of it was loaded."""

    def __init__(self, access: Access, lines: Lines, loaded: Callable[[], tuple[str, ...]]) -> None:
        shown = access.place.shown
        self._child = Child(access.start(access.client_argv(access.place.database), reads=True), "restore", shown)
        self._sink = cast("io.RawIOBase", self._child.process.stdin)
        self._lines = lines
        self._loaded = loaded
        self._shown = shown
        self.stdin: BinaryIO = cast("BinaryIO", Intake(self._accept))

    def finish(self) -> tuple[str, ...]:
        """Close the input, wait; notes for people. Raises unless everything was loaded."""
        with suppress(OSError, ValueError):  # a client that has left says why by its exit
            self._send(self._lines.end())
        with suppress(OSError):
            self._sink.close()
        self._child.wait()
        return self._loaded()

    def kill(self) -> None:
        """End the client at once; what it has loaded is the target's to drop."""
        self._child.kill()
        with suppress(OSError):
            self._sink.close()

    def _accept(self, part: memoryview) -> None:
        try:
            self._send(self._lines.feed(part))
        except ValueError as error:  # `kill` closed the pipe
            raise BrokenPipeError("the load was cancelled") from error

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._sink.write(view) or 0 :]


class ScriptConsumer:
    """Gathers a small script and hands it over at the end; nothing is run before all of it has come."""

    def __init__(self, run: Callable[[str], tuple[str, ...]]) -> None:
        self._run = run
        self._script = bytearray()
        self._failure: DrorchError | None = None
        self.stdin: BinaryIO = cast("BinaryIO", Intake(self._accept))

    def _accept(self, part: memoryview) -> None:
        if len(self._script) + len(part) > _LARGEST_SCRIPT:
            self._failure = Refused("the script of the accounts is too long", operation="restore")
        if self._failure is not None:
            raise BrokenPipeError("the script is not taken")
        self._script += part

    def finish(self) -> tuple[str, ...]:
        """Run the script; notes for people."""
        if self._failure is not None:
            raise self._failure
        try:
            text = self._script.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Damaged("the script of the accounts is no text", operation="restore") from error
        return self._run(text)

    def kill(self) -> None:
        """Run nothing."""
        self._failure = self._failure or Unavailable("it was cancelled", operation="restore")
