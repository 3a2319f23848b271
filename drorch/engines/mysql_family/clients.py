"""Which installed programs to use: of the right vendor, and no older than the server.

An older dump program leaves out, without a word, what it does not know of a newer server. The name of a program does
not tell the vendor: Debian's ``mysqldump`` is MariaDB's.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drorch.domain.errors import Refused
from drorch.engines.mysql_family.vendor import Series, Vendor

_PACKAGED = ("/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local/mysql/bin")
_VERSION = re.compile(r"(?:Distrib|from) (\d+\.\d+[.\d]*)")
_OF_MARIADB = re.compile(r"\d-mariadb\b", re.IGNORECASE)
"""Behind the version; the program's own name and folder, which stand before it, may be anything."""
_PLAIN_VERSION = re.compile(r"Ver (\d+\.\d+[.\d]*)")


@dataclass(frozen=True, slots=True)
class Client:
    """One program that was found; `version` such as ``10.11.19``."""

    path: str
    version: str
    series: Series


def choose(vendor: Vendor, tools: Sequence[Path], names: Sequence[str], wanted: Series, purpose: str) -> Client:
    """The program of series `wanted`, else of the oldest newer one; the first found counts within a series.

    Refused, naming what is there and the package to install, when there are only older ones.
    """
    found = find(vendor, tools, names)
    fitting = sorted((client for client in found if client.series >= wanted), key=lambda client: client.series)
    if fitting:
        return fitting[0]
    present = ", ".join(sorted({client.version for client in found})) or "none"
    if not found and (others := _of_the_other(tools, names)):
        present += f"; {others[0]} is of the other vendor"
    package = vendor.server_package if names == vendor.programs.server else vendor.package
    raise Refused(
        f"{vendor.name}'s {names[0]} of version {'.'.join(map(str, wanted))} or newer is needed {purpose}",
        cause=f"found: {present}",
        hint=f"install {package}, or name the folder of its programs under `tools: {{{vendor.kind}: [...]}}`",
    )


def find(vendor: Vendor, tools: Sequence[Path], names: Sequence[str]) -> tuple[Client, ...]:
    """Every program of one of `names` and of the vendor: in the configured folders, on PATH, in packages' folders."""
    clients = []
    for path in _programs(tools, names):
        version = version_of(_says(str(path), path.stat().st_mtime_ns), vendor)
        if version is not None:
            clients.append(Client(str(path), *version))
    return tuple(clients)


def _of_the_other(tools: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Programs of these names that say their version; none is our vendor's, or they would have been found."""
    says = {path: _says(str(path), path.stat().st_mtime_ns) for path in _programs(tools, names)}
    return [path for path, text in says.items() if _VERSION.search(text) or _PLAIN_VERSION.search(text)]


def _programs(tools: Sequence[Path], names: Sequence[str]) -> Iterator[Path]:
    on_path = [name for name in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(name)]  # noqa: PTH117
    folders = dict.fromkeys([*tools, *map(Path, on_path), *map(Path, _PACKAGED)])
    for path in (folder / name for folder in folders for name in names):
        if path.is_file() and os.access(path, os.X_OK):
            yield path


def version_of(text: str, vendor: Vendor) -> tuple[str, Series] | None:
    """The version in what ``--version`` printed; None for a program of the other vendor."""
    match = _VERSION.search(text) or _PLAIN_VERSION.search(text)
    if match is None or (_OF_MARIADB.search(text) is not None) != (vendor.kind == "mariadb"):
        return None
    major, minor = match[1].split(".")[:2]
    return match[1], (int(major), int(minor))


def confining(client: Client, vendor: Vendor) -> list[str]:
    """The options of `vendor.confine` that this client knows by its own help."""
    text = _says(client.path, Path(client.path).stat().st_mtime_ns, "--help")
    return [option for option in vendor.confine if re.search(rf"{re.escape(option.partition('=')[0])}\b", text)]


@functools.cache
def _says(path: str, modified: int, question: str = "--version") -> str:  # noqa: ARG001 - a replaced one is asked again
    """What a program answers; nothing when it does not."""
    try:
        argv = [path, question] if question == "--version" else [path, "--no-defaults", question]
        done = subprocess.run(argv, capture_output=True, timeout=20, check=False, env={"LC_ALL": "C", "HOME": "/"})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
