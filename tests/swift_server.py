"""A real Swift for tests, started once by whoever asks first and gone with the process."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import requests

HERE = Path(__file__).parent
USER, KEY = "test:tester", "testing"


@dataclass(frozen=True)
class SwiftServer:
    """Where it listens."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What Swift's own clients need to use it."""
        return {"ST_AUTH": f"{self.url}/auth/v1.0", "ST_USER": USER, "ST_KEY": KEY}

    @property
    def s3_environment(self) -> dict[str, str]:
        """What AWS's clients need to use its S3 door."""
        return {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_DEFAULT_REGION": "us-east-1"}

    def sign_in(self) -> tuple[str, str]:
        """(URL of the account, a token)."""
        reply = requests.get(f"{self.url}/auth/v1.0", headers={"X-Auth-User": USER, "X-Auth-Key": KEY}, timeout=30)
        reply.raise_for_status()
        return reply.headers["X-Storage-Url"], reply.headers["X-Auth-Token"]

    def container(self) -> str:
        """A new, empty container."""
        name = f"acme-{uuid.uuid4().hex[:8]}"
        account, token = self.sign_in()
        requests.put(f"{account}/{name}", headers={"X-Auth-Token": token}, timeout=30).raise_for_status()
        return name

    def names(self, container: str) -> list[str]:
        """Every object of a container, hidden or not."""
        account, token = self.sign_in()
        reply = requests.get(f"{account}/{container}", headers={"X-Auth-Token": token}, timeout=30)
        reply.raise_for_status()
        return reply.text.splitlines()

    def remove(self, container: str, name: str) -> None:
        """Delete one object behind everybody's back."""
        account, token = self.sign_in()
        url = f"{account}/{container}/{name}"
        requests.delete(url, headers={"X-Auth-Token": token}, timeout=30).raise_for_status()


@functools.cache
def running() -> SwiftServer:
    """The server of this process."""
    folder = Path(tempfile.mkdtemp(prefix="drorch-swift-", dir=_attributed()))
    process = subprocess.Popen(
        [sys.executable, str(HERE / "swift_process.py"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr").open("wb"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.stdin.close)
    port = process.stdout.readline().strip()
    assert port.isdigit(), (folder / "stderr").read_text()[-2000:]
    return SwiftServer(f"http://127.0.0.1:{int(port)}")


def _attributed() -> str | None:
    """Memory where its files can have attributes (Linux 6.6 and later) and there is plenty of it."""
    shared = "/dev/shm"
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free < 2 << 30:
        return None
    with tempfile.NamedTemporaryFile(dir=shared) as file:
        try:
            os.setxattr(file.name, "user.swift.metadata", b"x" * 3000)
        except OSError:
            return None
    return shared
