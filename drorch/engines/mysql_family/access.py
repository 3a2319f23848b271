"""Client programs as the way to a server: the password in an option file, one statement list per question.

The option file has no name anywhere: it lies in memory (memfd_create(2)), programs inherit its descriptor and open it
as ``/proc/self/fd/N``. So not even a kill -9 leaves it behind, and no argument and no environment holds a secret.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from drorch.domain.errors import Refused, Unavailable
from drorch.engines.mysql_family.clients import Client, choose, confining
from drorch.engines.mysql_family.failures import failure
from drorch.engines.mysql_family.handshake import Greeting, check, greet
from drorch.engines.mysql_family.place import Place, option_lines
from drorch.engines.mysql_family.vendor import Vendor

Row = tuple[str | None, ...]

_PIPE_BYTES = 1024 * 1024
_LONGEST_ANSWER = 300
"""Seconds for a question of a dump: a connection that stalls says nothing."""
_LOCK_ANSWER = 20.0
"""Seconds for a word of the session that holds a lock; connecting alone may take 15."""
_TAIL_BYTES = 8 * 1024
_ENVIRONMENT = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_ESCAPES = {"t": "\t", "n": "\n", "0": "\0", "\\": "\\"}


class Access:
    """A way to one server; `close` it. Made by `open_access`. Every session of `ask` begins with the words `before`."""

    def __init__(self, vendor: Vendor, place: Place, greeting: Greeting, client: Client) -> None:
        self.vendor = vendor
        self.place = place
        self.greeting = greeting
        self.client = client
        self.before = ""
        lines = option_lines(place, dict(vendor.tls), offered=greeting.tls)  # type: ignore[arg-type]
        self._options = os.memfd_create("drorch-options", os.MFD_CLOEXEC)
        with os.fdopen(self._options, "w", closefd=False) as file:
            os.fchmod(self._options, 0o600)  # programs ignore an option file that everybody may write to
            file.write(lines)

    def close(self) -> None:
        """Let the option file go; harmless twice."""
        options, self._options = self._options, -1
        if options >= 0:
            os.close(options)

    def argv(self, program: str, *arguments: str) -> list[str]:
        """A program's arguments: our option file and no other."""
        return [program, f"--defaults-file=/proc/self/fd/{self._options}", *arguments]

    @property
    def inherited(self) -> tuple[int, ...]:
        """Descriptors that a program with `argv` needs."""
        return (self._options,)

    def client_argv(self, database: str) -> list[str]:
        """The client's arguments for reading statements: what stands in them cannot run commands here."""
        flags = ["--batch", "--skip-column-names", "--skip-auto-rehash", *confining(self.client, self.vendor)]
        return self.argv(self.client.path, *flags, *([f"--database={database}"] if database else []))

    def ask(
        self, statements: str, operation: str, *, database: str | None = None, timeout: float | None = None
    ) -> list[Row]:
        """All rows of all statements, NULL as None (the text NULL too). `database` "" means none; `timeout` in seconds.

        Raises what the client's error means, Unavailable when it takes longer than `timeout`; statements before the
        failing one have been carried out. Without `timeout` a dump's questions have five minutes, others as long as it
        takes.
        """
        name = self.place.database if database is None else database
        try:
            done = subprocess.run(
                self.client_argv(name),
                input=f"{self.before}{statements}".encode(),
                capture_output=True,
                check=False,
                env=_ENVIRONMENT,
                pass_fds=self.inherited,
                cwd="/",
                timeout=timeout or (_LONGEST_ANSWER if operation == "dump" else None),
            )
        except OSError as error:
            raise Unavailable("a client did not start", resource=self.client.path, cause=str(error)) from error
        except subprocess.TimeoutExpired as error:
            shown = self.place.at(name).shown
            raise Unavailable("the server does not answer", operation=operation, resource=shown) from error
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace")
            shown = self.place.at(name).shown
            raise failure(os.path.basename(self.client.path), done.returncode, words, operation, shown)  # noqa: PTH119
        return [_row(line) for line in done.stdout.decode("utf-8", "replace").split("\n")[:-1]]

    def start(self, argv: Sequence[str], *, reads: bool = False) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own; `reads`: it reads from us, else it writes to us."""
        try:
            process = subprocess.Popen(
                list(argv),
                bufsize=0,
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                pass_fds=self.inherited,
                process_group=0,
                cwd="/",
            )
        except OSError as error:
            raise Unavailable("a client did not start", resource=argv[0], cause=str(error)) from error
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # the user's share of pipe memory may be used up: a smaller one serves as well
                    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return process


def open_access(vendor: Vendor, place: Place, tools: Sequence[Path], operation: str) -> Access:
    """Ask who answers, choose a client for it, log in once. Raises as `handshake`, `clients` and `failures` say."""
    greeting = greet(place, operation)
    check(vendor, greeting, place, operation)
    purpose = f"for a server of version {greeting.version}"
    client = choose(vendor, tools, vendor.programs.client, greeting.series, purpose)
    access = Access(vendor, place, greeting, client)
    try:
        _log_in(access, operation)
    except BaseException:
        access.close()
        raise
    return access


def _log_in(access: Access, operation: str) -> None:
    """The first session: TLS is looked at, since an old client falls back to none; so is the vendor behind a proxy."""
    query = "SELECT version(); SHOW SESSION STATUS LIKE 'Ssl_cipher'"
    (version,), (_, cipher) = access.ask(query, operation, database="")
    where = {"operation": operation, "resource": access.place.shown}
    if access.place.tls in ("verify-full", "require") and not cipher:
        raise Refused("the session is not encrypted", hint="a newer client, or `tls: off`", **where)
    if ("mariadb" in str(version).lower()) != access.greeting.mariadb:
        raise Refused("the server is not what it said it is", cause=f"{access.greeting.version}, {version}", **where)


def _row(line: str) -> Row:
    return tuple(None if field == "NULL" else _unescaped(field) for field in line.split("\t"))


def _unescaped(field: str) -> str:
    """What the client's batch form escapes (mysql, ``--raw``)."""
    if "\\" not in field:
        return field
    pieces = field.split("\\")
    found, index = [pieces[0]], 1
    while index < len(pieces):
        piece = pieces[index]
        if piece:
            found.append(_ESCAPES.get(piece[0], piece[0]) + piece[1:])
            index += 1
        else:  # two backslashes: one, and the next piece is plain
            found.append("\\" + (pieces[index + 1] if index + 1 < len(pieces) else ""))
            index += 2
    return "".join(found)


def quoted(name: str) -> str:
    """An identifier as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A string as SQL writes it, whatever the server's sql_mode makes of backslashes."""
    return f"CONVERT(0x{value.encode().hex()} USING utf8mb4)" if value else "''"


class Child:
    """One running program: its end, its last words, and how to end it early."""

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
            program = os.path.basename(cast("list[str]", self.process.args)[0])  # noqa: PTH119
            words = self._words.decode("utf-8", "replace")
            raise failure(program, status, words, self._operation, self._resource)

    def kill(self) -> None:
        """End the whole process group at once; harmless after the end."""
        if self.process.poll() is None:
            self._killed = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Keeper:
    """A session that holds a lock of the server by name while it lives: one restore per database at a time."""

    def __init__(self, access: Access, name: str) -> None:
        argv = [*access.client_argv(""), "--unbuffered"]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            pass_fds=access.inherited,
            process_group=0,
            cwd="/",
        )
        self._input = cast("BinaryIO", self._process.stdin)
        self._output = cast("BinaryIO", self._process.stdout)
        self._name = name
        self._shown = access.place.shown

    def lock(self) -> bool:
        """Whether the lock is ours now. Unavailable when the server does not say."""
        answer = self._say(f"SET SESSION wait_timeout = 31536000; SELECT GET_LOCK({text(self._name)}, 0);")
        if not answer:
            raise Unavailable("the server does not answer", operation="restore", resource=self._shown)
        return answer == b"1"

    def release(self) -> None:
        """Let the lock go now, then leave; harmless twice. A server that says nothing lets it go with the session."""
        if self._process.poll() is None:
            self._say(f"SELECT RELEASE_LOCK({text(self._name)});")
            with suppress(OSError):
                self._input.close()
            self._process.wait()
        self._output.close()

    def _say(self, statements: str) -> bytes:
        """The first line of the answer; nothing when none comes, and then the session is at its end."""
        late = threading.Timer(_LOCK_ANSWER, self._process.kill)
        late.daemon = True
        late.start()
        try:
            self._input.write(statements.encode() + b"\n")
            self._input.flush()
            return self._output.readline().strip()
        except OSError:
            return b""
        finally:
            late.cancel()
