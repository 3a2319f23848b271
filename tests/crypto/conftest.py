"""The stock programs that everything here is compared with, and one pair of keys."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from drorch.crypto import age

RunProgram = Callable[..., bytes]


@pytest.fixture(scope="session")
def run_program() -> RunProgram:
    """Run a program with arguments and bytes on its standard input; its output, or a failure that says why."""

    def run(name: str, *arguments: str | Path, given: bytes = b"") -> bytes:
        if shutil.which(name) is None:
            pytest.fail(f"the program {name!r} is needed for this test and is not installed", pytrace=False)
        done = subprocess.run([name, *map(str, arguments)], input=given, capture_output=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{name} exited {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    return run


@pytest.fixture(scope="session")
def keys() -> tuple[str, str]:
    """An identity and its recipient."""
    return age.new_identity()


@pytest.fixture
def key_file(tmp_path: Path, keys: tuple[str, str]) -> Path:
    """The identity in a file, for the age program."""
    path = tmp_path / "key.txt"
    path.write_text(keys[0] + "\n")
    path.chmod(0o600)
    return path
