"""Wheels for the crisis kit: drorch's own, packed from what is installed, and all that it needs in the same versions.

The hashes are those of the files as the package index of this host gave them: who installs from the kit gets these
bytes, or an error.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import drorch
from drorch.app.environment import child_environment
from drorch.domain.errors import Refused, Unavailable

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?", re.DOTALL)
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_PACKED = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a wheel of ours, so that the same installation gives the same bytes."""
_PATIENCE = 900.0
"""Seconds for which pip may take to get everything."""
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def needed(extras: Iterable[str]) -> dict[str, str]:
    """Name -> version of every installed distribution that drorch with these extras asks for, itself left out.

    Markers but those of extras are not weighed: what is installed and named by somebody comes along.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("drorch", frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name != "drorch":
            found[name] = distribution.version
        waiting += _asked_for(distribution.requires or (), wanted)
    return dict(sorted(found.items()))


def _asked_for(requires: Iterable[str], wanted: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in requires:
        match = _REQUIREMENT.match(text)
        if match is None:
            continue
        of_extras = set(_EXTRA.findall(match[3] or ""))
        if not of_extras or of_extras & wanted:
            extras = frozenset(part.strip() for part in (match[2] or "").split(",") if part.strip())
            yield re.sub(r"[-_.]+", "-", match[1]).lower(), extras


def own_wheel(folder: Path) -> Path:
    """Pack the drorch that runs here as a wheel into `folder`. Refused when nothing says how it was installed."""
    try:
        distribution = importlib.metadata.distribution("drorch")
    except importlib.metadata.PackageNotFoundError as error:
        raise Refused(
            "drorch's own wheel cannot be made",
            operation="kit",
            cause="drorch runs from a folder and is not installed as a package",
            hint="pip install drorch, into the environment that runs it",
        ) from error
    info = f"drorch-{distribution.version}.dist-info"
    files = dict(_package_files())
    files |= {f"{info}/{name}": text.encode() for name, text in _metadata(distribution).items()}
    rows = "".join(f"{name},sha256={_urlsafe(body)},{len(body)}\n" for name, body in sorted(files.items()))
    files[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\n".encode()
    path = folder / f"drorch-{distribution.version}-py3-none-any.whl"
    path.write_bytes(_zipped(files))
    return path


def _package_files() -> Iterator[tuple[str, bytes]]:
    root = Path(drorch.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield f"drorch/{path.relative_to(root).as_posix()}", path.read_bytes()


def _metadata(distribution: importlib.metadata.Distribution) -> dict[str, str]:
    """The installed METADATA and entry points (https://packaging.python.org/specifications/binary-distribution-format/)."""
    wheel = "Wheel-Version: 1.0\nGenerator: drorch kit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    names = ("METADATA", "entry_points.txt")
    return {name: text for name in names if (text := distribution.read_text(name))} | {"WHEEL": wheel}


def _urlsafe(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            entry = zipfile.ZipInfo(name, _PACKED)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, body)
    return whole.getvalue()


def fetch_wheels(folder: Path, versions: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Have this environment's pip bring a wheel of each into `folder`, building what has none.

    Refused without pip, Unavailable when it fails.
    """
    if not versions:
        return
    own = {k: v for k, v in environ.items() if k.startswith("PIP_") or k.lower() in _PROXIES}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", f"--wheel-dir={folder}", *(f"{name}=={version}" for name, version in versions.items())]
    try:
        done = subprocess.run(
            command,
            env=child_environment(environ) | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable("pip did not bring the wheels in time", operation="kit", hint=_WITHOUT) from error
    if done.returncode == 0:
        return
    said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it does not say why")
    if "No module named pip" in done.stderr:
        raise Refused("there is no pip beside this drorch", operation="kit", cause=sys.executable, hint=_WITHOUT)
    raise Unavailable("pip could not bring the wheels", operation="kit", cause=said[:300], hint=_WITHOUT)


_WITHOUT = "--no-wheels leaves them out; the kit then needs a package index on the day itself"


def requirements(folder: Path, versions: Mapping[str, str], *, hashed: bool) -> str:
    """requirements.txt: with the hash of every wheel in `folder`, or with versions alone."""
    if not hashed:
        head = "# No hashes: no wheel but drorch's own was brought (--no-wheels).\n"
        return head + "".join(f"{name}=={version}\n" for name, version in {**versions, **_own()}.items())
    head = f"# The very files in wheels/, for {this_platform()}.\n"
    lines = []
    for path in sorted(folder.glob("*.whl")):
        name, version, *_ = path.name.split("-")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-').lower()}=={version} --hash=sha256:{digest}\n")
    return head + "".join(lines)


def _own() -> dict[str, str]:
    return {"drorch": importlib.metadata.version("drorch")}


def this_platform() -> str:
    """What the wheels are for, such as ``CPython 3.11 on Linux x86_64``."""
    python = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    return f"{python} on {platform.system()} {platform.machine()}"
