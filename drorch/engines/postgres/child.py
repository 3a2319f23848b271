"""Client programs as children: an allow-listed environment, the password in memory, every exit status looked at."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO, cast

from drorch.domain.errors import Busy, DrorchError, Refused, Unavailable
from drorch.engines.postgres.place import Place

_PIPE_BYTES = 1024 * 1024
_TAIL_BYTES = 8 * 1024

_REFUSED = (
    "permission denied",
    "must be owner",
    "must be superuser",
    "row-level security",
    "already exists",
    "does not exist",
    "is not available",
    "syntax error",
    "unrecognized configuration parameter",
    "unsupported version",
    "violates",
    "password authentication failed",
    "no password supplied",
    "invalid ",
)


@contextmanager
def memory_file(content: bytes) -> Iterator[tuple[str, int]]:
    """A file of mode 600 that lies on no disk, as a path for a child that inherits the descriptor.

    libpq takes it for a passfile like any other (it asks for a regular file that no others may read), and nothing is
    left to clean up after a kill -9.
    """
    descriptor = os.memfd_create("drorch", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def passfile_line(password: str) -> bytes:
    """One line of a passfile for every server, since the child knows only one (libpq, 32.16)."""
    return b"*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:").encode() + b"\n"


def environment(passfile: str | None) -> dict[str, str]:
    """All that a child sees of the environment; where to connect stands in its arguments, which hold no password."""
    found = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    if passfile is not None:
        found["PGPASSFILE"] = passfile
    return found


def start(
    argv: Sequence[str], place: Place, *, reads: bool = False, files: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a client in a process group of its own; `reads`: it reads from us, else it writes to us.

    Unavailable when the program cannot be started.
    """
    with memory_file(passfile_line(place.password or "")) as (path, descriptor):
        inherited = [*files, *([descriptor] if place.password else [])]
        try:
            process = subprocess.Popen(
                list(argv),
                bufsize=0,
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(path if place.password else None),
                pass_fds=inherited,
                process_group=0,
                cwd="/",
            )
        except OSError as error:
            raise Unavailable("a PostgreSQL program did not start", resource=argv[0], cause=str(error)) from error
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # the user's share of pipe memory may be used up: a smaller pipe serves as well
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


class Child:
    """One running client: its end, its last words, and how to end it early."""

    def __init__(self, process: subprocess.Popen[bytes], operation: str, resource: str) -> None:
        self.process = process
        self._operation = operation
        self._resource = resource
        self._killed = False
        self._words = bytearray()
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := stream.read(4096):
                self._words += chunk
                del self._words[:-_TAIL_BYTES]

    def wait(self) -> None:
        """Wait for the end. Raises what the last words mean unless the exit status is 0 and nobody killed it."""
        status = self.process.wait()
        self._reader.join(5)
        if self._killed:
            raise Unavailable("it was cancelled", operation=self._operation, resource=self._resource)
        if status != 0:
            raise self.failure(status)

    def failure(self, status: int) -> DrorchError:
        """The error for an exit status, from the program's own words."""
        words = self._words.decode("utf-8", "replace").strip()
        cause = " / ".join(words.splitlines()[-6:]) or f"exit status {status}"
        program = os.path.basename(cast("list[str]", self.process.args)[0])  # noqa: PTH119
        message = f"{program} failed" if status > 0 else f"{program} was ended by signal {-status}"
        where = {"operation": self._operation, "resource": self._resource, "cause": cause}
        if status > 0 and self._operation == "dump" and "does not exist" in words:
            hint = "it was dropped or renamed since the dump began; it is tried again later"
            return Unavailable(f"{program} no longer finds what it dumps", hint=hint, **where)
        if "LOCK TABLE" in words and "permission denied" not in words:
            return Busy(f"{program} did not get its locks in time", hint="another session holds a table", **where)
        if status > 0 and any(sign in words for sign in _REFUSED):
            return Refused(message, **where)
        return Unavailable(message, **where)

    def kill(self) -> None:
        """End the whole process group at once; harmless after the end."""
        if self.process.poll() is None:
            self._killed = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class ChildProducer:
    """A `Producer`: a client whose standard output is one artefact (unbuffered: a read may be short)."""

    def __init__(self, argv: Sequence[str], place: Place, resource: str) -> None:
        process = start(argv, place)
        self.stdout: BinaryIO = cast("BinaryIO", process.stdout)
        self._child = Child(process, "dump", resource)

    def finish(self) -> None:
        """Raises unless the client ended with 0: only then are the bytes worth committing."""
        self._child.wait()
        self.stdout.close()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        with suppress(OSError):
            self.stdout.close()
