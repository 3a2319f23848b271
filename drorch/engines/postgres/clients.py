"""Which installed PostgreSQL programs to use, chosen by the server's version before anything starts.

pg_dump refuses a server newer than itself, pg_restore refuses an archive of a newer pg_dump; and pg_restore 17 or newer
sets ``transaction_timeout``, which servers before 17 do not know, so what it must load needs a server of 17.
"""

from __future__ import annotations

import functools
import glob
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drorch.domain.errors import Refused

OLDEST_SERVER = 10
"""The oldest major version that is supported."""

_LAYOUTS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where Debian's and PGDG's packages keep the programs of each major version."""

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")
_NEEDS_SERVER_17 = 17


@dataclass(frozen=True, slots=True)
class Client:
    """A folder of programs of one major version; `version` as they say it, such as ``15.18``."""

    folder: Path
    major: int
    version: str

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.folder / name)


def major(server_version_num: int) -> int:
    """The major version of ``server_version_num``, such as 150018 (versions of 10 and newer)."""
    return server_version_num // 10000


def server_needed(server_major: int, client_major: int) -> int:
    """The oldest server into which the client that reads a dump can load it."""
    return max(server_major, _NEEDS_SERVER_17) if client_major >= _NEEDS_SERVER_17 else server_major


def folders(tools: Sequence[Path]) -> tuple[Path, ...]:
    """Every folder to search: the configured ones, PATH, then the packages' own, newest version first."""
    on_path = [Path(name) for name in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(name)]  # noqa: PTH117
    packaged = [Path(name) for layout in _LAYOUTS for name in sorted(glob.glob(layout), reverse=True)]  # noqa: PTH207
    return tuple(dict.fromkeys([*tools, *on_path, *packaged]))


def find_clients(tools: Sequence[Path], programs: Sequence[str]) -> tuple[Client, ...]:
    """Every folder that holds all of `programs`, in the order of the search, with the version of the first of them."""
    found = []
    for folder in folders(tools):
        if all(_is_program(folder / program) for program in programs):
            path = folder / programs[0]
            version = _version(str(path), path.stat().st_mtime_ns)
            if version is not None:
                found.append(Client(folder, version[0], version[1]))
    return tuple(found)


def choose_client(clients: Sequence[Client], wanted: int, purpose: str) -> Client:
    """The first client of major version `wanted`, else of the oldest version that is newer.

    Refused, naming the package to install, when only older ones are there.
    """
    for version in sorted({client.major for client in clients if client.major >= wanted}):
        return next(client for client in clients if client.major == version)
    present = ", ".join(sorted({client.version for client in clients})) or "none"
    raise Refused(
        f"PostgreSQL programs of version {wanted} or newer are needed {purpose}",
        cause=f"found: {present}",
        hint=f"install postgresql-client-{wanted} (postgresql-{wanted} for a drill's own server), or name the folder "
        "of its programs under `tools: {postgres: [...]}`",
    )


def _is_program(path: Path) -> bool:
    """A real program: Debian's /usr/bin holds links to pg_wrapper, which picks a version by rules of its own."""
    return os.access(path, os.X_OK) and path.is_file() and path.resolve().name != "pg_wrapper"


@functools.cache
def _version(path: str, modified: int) -> tuple[int, str] | None:  # noqa: ARG001 - a replaced program is asked again
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=20, check=False, env={"LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return (int(match[2]), match[1]) if match and done.returncode == 0 else None
