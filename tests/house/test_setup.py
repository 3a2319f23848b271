"""The two commands of the README on a bare machine: what is missing is named, nothing is half-made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _copy(folder: Path) -> Path:
    checkout = folder / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    for name in ("venv", "packages"):
        (checkout / ".ci" / name).write_bytes((ROOT / ".ci" / name).read_bytes())
    (checkout / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return checkout


def _run(checkout: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", f".ci/{script}", *arguments],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_python_without_ensurepip_names_the_package(tmp_path: Path) -> None:
    """Debian splits venv from python3: the message says which package to install."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ensurepip.py").write_text("raise ImportError('not on this system')\n")
    checkout = _copy(tmp_path)
    ran = _run(checkout, "venv", "demo", PYTHON=sys.executable, PYTHONPATH=str(broken))
    assert ran.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in ran.stderr
    assert not (checkout / ".venv").exists()


def test_no_python_at_all_is_named(tmp_path: Path) -> None:
    """A missing interpreter is not a shell error."""
    ran = _run(_copy(tmp_path), "venv", "demo", PYTHON="python-that-is-not-there")
    assert ran.returncode == 1
    assert "needs Python 3.11 or newer" in ran.stderr


def test_missing_programs_are_named_where_nothing_may_be_installed(tmp_path: Path) -> None:
    """A user without root reads the one command that somebody with root has to type."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for name, body in {"id": "echo 1000", "sudo": "exit 1", "ls": "exit 2"}.items():
        (bare / name).write_text(f"#!/bin/sh\n{body}\n")
        (bare / name).chmod(0o755)
    (bare / "dirname").symlink_to("/usr/bin/dirname")
    checkout = _copy(tmp_path)
    ran = subprocess.run(
        ["/bin/sh", ".ci/packages"], cwd=checkout, env={"PATH": str(bare)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    for package in ("age", "minisign", "zstd", "postgresql", "prometheus", "systemd"):
        assert package in ran.stderr
    assert "sudo apt-get install" in ran.stderr
