"""The consumers of a restore: pg_restore behind a reader of the archive's head, and the roles' script."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.engines.postgres.archive import FIRST_TRY, LARGEST_HEAD, Arrangement, arrange, contents
from drorch.engines.postgres.child import Child, memory_file, start
from drorch.engines.postgres.fit import Fit
from drorch.engines.postgres.place import Place

_LARGEST_SCRIPT = 64 * 1024 * 1024


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


@dataclass(frozen=True, slots=True)
class Load:
    """One data load: which pg_restore, where to, how, and what to do afterwards with the head and what was deferred."""

    program: str
    place: Place
    fit: Fit
    single_transaction: bool
    afterwards: Callable[[bytes, Arrangement], tuple[str, ...]]


class DataConsumer:
    """Reads an archive's head until its table of contents is whole, leaves out what does not fit, loads the rest."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._head = bytearray()
        self._ask_at = FIRST_TRY
        self._arrangement = Arrangement()
        self._child: Child | None = None
        self._failure: DrorchError | None = None
        self._satisfied = False
        self.stdin: BinaryIO = cast("BinaryIO", Intake(self._accept))

    def finish(self) -> tuple[str, ...]:
        """Close the input, wait, then do what was deferred; notes for people. Raises unless everything was loaded."""
        try:
            if self._failure is None and self._child is None:
                self._begin(last=True)
        except DrorchError as error:
            self._failure = error
        except BrokenPipeError:
            pass  # pg_restore left: its exit status and last words follow
        if self._child is not None:
            self._close_input()
        if self._failure is not None:
            self.kill()
            raise self._failure
        try:
            cast("Child", self._child).wait()
        except Refused as error:
            if self._load.fit.lacking and not error.hint:
                error.hint = f"the target cannot have these extensions: {', '.join(self._load.fit.lacking)}"
            raise
        fit = self._load.fit
        return (*fit.notes, *fit.role_notes, *self._arrangement.notes, *self._afterwards())

    def kill(self) -> None:
        """End pg_restore at once; its transaction is rolled back."""
        if self._child is not None:
            self._child.kill()
        elif self._failure is None:
            self._failure = Unavailable("it was cancelled", operation="restore", resource=self._load.place.shown)

    def _afterwards(self) -> tuple[str, ...]:
        return self._load.afterwards(bytes(self._head), self._arrangement)

    def _accept(self, part: memoryview) -> None:
        if self._failure is not None:
            raise BrokenPipeError("the load has failed")
        if self._child is not None:
            self._send(part)
            return
        self._head += part
        if len(self._head) < self._ask_at:
            return
        try:
            self._begin(last=False)
        except DrorchError as error:
            self._failure = error
            raise BrokenPipeError("the load has failed") from error

    def _begin(self, *, last: bool) -> None:
        """Ask for the contents of what came so far; start pg_restore once they are whole."""
        head = bytes(self._head)
        lines = contents(self._load.program, head)
        if lines is None:
            if last or len(head) > LARGEST_HEAD:
                raise Damaged("the dump ends within its table of contents", operation="restore")
            self._ask_at = 2 * len(head)
            return
        self._arrangement = arrange(lines, self._load.fit.rules)
        argv = [self._load.program, "--no-password", "--exit-on-error", *self._load.fit.flags]
        argv += ["--single-transaction"] if self._load.single_transaction else []
        listing = "\n".join(self._arrangement.listing).encode() + b"\n"
        with memory_file(listing) as (path, descriptor):
            argv += [f"--use-list={path}", f"--dbname={self._load.place.conninfo()}"]
            process = start(argv, self._load.place, reads=True, files=[descriptor])
        self._child = Child(process, "restore", self._load.place.shown)
        self._send(memoryview(head))

    def _send(self, part: memoryview) -> None:
        child = cast("Child", self._child)
        sink = cast("BinaryIO", child.process.stdin)
        try:
            while part and not self._satisfied:
                part = part[sink.write(part) :]
        except BrokenPipeError:
            # It reads no further than the last entry that it was told to load.
            if child.process.wait() != 0:
                raise
            self._satisfied = True

    def _close_input(self) -> None:
        stream = cast("Child", self._child).process.stdin
        if stream is not None:
            with suppress(OSError):
                stream.close()


class ScriptConsumer:
    """Gathers a small script and hands it over at the end; nothing is run before all of it has come."""

    def __init__(self, run: Callable[[str], tuple[str, ...]]) -> None:
        self._run = run
        self._script = bytearray()
        self._killed = False
        self.stdin: BinaryIO = cast("BinaryIO", Intake(self._accept))

    def _accept(self, part: memoryview) -> None:
        if self._killed or len(self._script) + len(part) > _LARGEST_SCRIPT:
            self._killed = True
            raise BrokenPipeError("the script is too long, or loading it was cancelled")
        self._script += part

    def finish(self) -> tuple[str, ...]:
        """Run the script; notes for people."""
        if self._killed:
            raise Unavailable("it was cancelled", operation="restore")
        try:
            text = self._script.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Damaged("the script of the roles is no text", operation="restore") from error
        return self._run(text)

    def kill(self) -> None:
        """Run nothing."""
        self._killed = True
