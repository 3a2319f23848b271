"""A private, throw-away server from installed binaries.

It listens on a socket in a folder that nobody else may enter, runs as another uid when we are root, runs no events,
reads no files of this host and is removed at the end. It cannot outlive us, not even a kill -9: a small watching
process, in a session of its own, reads a pipe of which we hold the only writing end. When that closes, for whatever
reason, it ends the server and removes the folder. The ordinary end takes the same way, so it is no untried path.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from drorch.domain.errors import Refused, Unavailable
from drorch.engines.mysql_family.vendor import Vendor

SUPERUSER = "root"
_SOCKET_PATH_MAX = 107
"""Bytes of a socket's path, sun_path less the end mark (unix(7))."""

_WATCH = """
trap '' INT TERM HUP
read -r _
pid=$(cat "$1" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ "$(cut -d' ' -f3 "/proc/$pid/stat")" != Z ]; do sleep 0.05; done
rm -rf -- "$2"
"""

_QUIET = (
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=64M",
    "--event-scheduler=OFF",
    "--local-infile=0",
    "--max-allowed-packet=1G",
    "--character-set-server=utf8mb4",
)


class PrivateServer:
    """One server with its data, socket and log below `folder`, which must be absent or empty.

    `setup` and `program` are paths; `settings` are added to the server's command line. Who may enter the folder may log
    in as the superuser without a password.
    """

    def __init__(self, vendor: Vendor, setup: str, program: str, folder: Path, settings: Sequence[str] = ()) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.data = folder / "data"
        self._vendor = vendor
        self._setup = setup
        self._program = program
        self._settings = (*vendor.server_flags, *_QUIET, *(settings or ("--skip-networking",)))
        self._pid_file = folder / "pid"
        self._uid: int | None = None
        self._gid: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 120) -> None:
        """Make the data folder, start the server, wait until it answers.

        Refused when the folder is in use or its path too long, or when there is no uid to run as; Unavailable with the
        end of the server's log when it does not come up within `timeout` seconds.
        """
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_MAX:
            raise Refused("the path of a private server is too long for a socket", resource=str(self.folder))
        if self.folder.exists() and any(self.folder.iterdir()):
            raise Refused("the folder of a private server must be empty", resource=str(self.folder))
        self._choose_user()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            if self._uid is not None and self._gid is not None:
                os.chown(self.folder, self._uid, self._gid)
            argv = ["/bin/sh", "-c", _WATCH, "drorch-watch", str(self._pid_file), str(self.folder)]
            self._watch = self._popen(argv, stdin=subprocess.PIPE)
            self._set_up()
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
        if server is not None and not self._pid_file.exists():
            server.kill()  # it has not come up, so the watch cannot know it
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
        for name in ("mysql", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                self._uid, self._gid = entry.pw_uid, entry.pw_gid
                return
        raise Refused(
            "a private server does not run as root, and there is no user mysql or nobody", operation="scratch"
        )

    def _popen(self, argv: Sequence[str], **more: int) -> subprocess.Popen[bytes]:
        environment = {"PATH": f"{os.defpath}:/usr/sbin", "LC_ALL": "C", "HOME": "/nonexistent", "TZ": "UTC"}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
        groups: list[int] | None = None if self._uid is None else []
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            list(argv),
            cwd="/",
            env=environment,
            user=self._uid,
            group=self._gid,
            extra_groups=groups,
            start_new_session=True,
            **streams,
        )

    def _set_up(self) -> None:
        flags = [flag.format(self.data) for flag in self._vendor.setup_flags]
        process = self._popen([self._setup, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        if process.returncode != 0:
            cause, hint = _tail(output), "is the disk full?"
            raise Unavailable("a private server could not be set up", operation="scratch", cause=cause, hint=hint)

    def _run(self, timeout: float) -> None:
        argv = [self._program, "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}"]
        argv += [f"--pid-file={self._pid_file}", f"--tmpdir={self.data}", f"--secure-file-priv={self.data}"]
        with (self.folder / "log").open("wb") as log:
            self._server = self._popen([*argv, *self._settings], stderr=log.fileno())
        deadline = time.monotonic() + timeout
        # The pid file comes last, once connections are taken.
        while not (self._pid_file.exists() and self.socket.exists()):
            if self._server.poll() is not None or time.monotonic() > deadline:
                cause = _tail((self.folder / "log").read_bytes())
                raise Unavailable("a private server did not start", operation="scratch", cause=cause)
            time.sleep(0.02)


def _tail(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip()[-1000:]
