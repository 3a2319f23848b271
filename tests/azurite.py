"""Azurite, Azure's own emulator of its Blob Storage: one server per process, a container for each who asks.

`.ci/azurite` installs it beside the interpreter.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from azure.storage.blob import ContainerClient

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has (https://learn.microsoft.com/azure/storage/common/storage-connect-azurite)."""


_BOUND = ("/bin/sh", "-c", '"$@" >/dev/null & read -r _; kill -9 $!; wait', "sh")
"""A program that ends when its input is closed: with us, however we end."""


def connection_string(port: int) -> str:
    """What the SDK needs to talk to the emulator, or to what stands before it, on `port`."""
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"


@functools.cache
def port() -> int:
    """The port of this process's Azurite, which answers. It ends with the process."""
    folder = tempfile.mkdtemp(prefix="azurite-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen = int(free.getsockname()[1])
    command = [_program(), "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", folder]
    server = subprocess.Popen([*_BOUND, *command, "--blobPort", str(chosen)], stdin=subprocess.PIPE)
    atexit.register(_end, server, folder)
    _await(server, chosen)
    return chosen


def container() -> str:
    """A new, empty container."""
    name = f"acme-{uuid.uuid4().hex[:12]}"
    with ContainerClient.from_connection_string(connection_string(port()), name) as client:
        client.create_container()
    return name


def _program() -> str:
    program = Path(sys.prefix) / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        raise FileNotFoundError(f"{program} is not there: run `sh .ci/azurite`")
    return str(program)


def _await(server: subprocess.Popen[bytes], chosen: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError("azurite has ended")
        try:
            urlopen(f"http://127.0.0.1:{chosen}/{ACCOUNT}", timeout=5).close()
        except HTTPError:  # it wants a signature
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("azurite does not answer")


def _end(server: subprocess.Popen[bytes], folder: str) -> None:
    server.communicate()
    shutil.rmtree(folder, ignore_errors=True)
