"""A worker as it is, with adapters that need no service: ``python fake_worker.py GRACE``.

Vault types: ``directory``, ``stalling`` (a directory that never takes a part), ``refused`` (cannot be opened). Kinds:
``memory``, and ``process``, whose data come from the shell command of its options, in a process group of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from dumped import DATA, table_rows

from drorch import worker
from drorch.app.jobs import HostSpec, VaultSpec
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.native import Inventory
from drorch.engines.memory import MemoryEngine, MemorySource, Options
from drorch.ports import Artefact, ObjectStore, Upload
from drorch.stores.directory import DirectoryStore


class Stalling(DirectoryStore):
    def upload(self, path: str) -> Upload:  # type: ignore[override]
        upload = super().upload(path)
        upload.write = lambda _part: threading.Event().wait()  # type: ignore[method-assign,assignment,return-value]
        return upload


class ShellProducer:
    def __init__(self, command: str) -> None:
        argv = ["/bin/sh", "-c", command]
        self._process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, bufsize=0, env={"PATH": os.defpath}, process_group=0
        )
        self.stdout = cast("BinaryIO", self._process.stdout)

    def finish(self) -> None:
        if status := self._process.wait():
            raise Unavailable("the dump process failed", cause=f"exit status {status}")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()


class ProcessEngine:
    kind = "process"

    @contextmanager
    def dump(self, options: Mapping[str, str], secrets: Mapping[str, str], inventory: str) -> Iterator[ProcessEngine]:
        sys.stdout.write("a line that some library prints\n")
        sys.stdout.flush()
        if "fault" in options:
            raise ZeroDivisionError(options["fault"])
        self.command = options["command"]
        self.cut_at = datetime(2026, 11, 20, 11, tzinfo=UTC)
        self.facts: Mapping[str, object] = {"engine": "process", "region": os.environ.get("AWS_REGION")}
        yield self

    def artefacts(self) -> Sequence[Artefact]:
        return [Artefact("data.sql", lambda: ShellProducer(self.command))]

    def inventory(self) -> Inventory:
        return Inventory({})


class Fakes:
    def __init__(self, host: HostSpec) -> None:
        self.host = host

    def store(self, spec: VaultSpec, /) -> ObjectStore:
        if spec.type == "refused":
            raise Refused("access denied", vault=spec.name)
        return (Stalling if spec.type == "stalling" else DirectoryStore)(spec.name, spec.options["path"])

    def engine(self, kind: str, /) -> Any:
        return ProcessEngine() if kind == "process" else MemoryEngine({"main": MemorySource({DATA: ROWS})})

    def engine_options(self, kind: str, options: Mapping[str, Any], /) -> object:
        return options if kind == "process" else Options(**options)


ROWS = table_rows("orders", 200)

if __name__ == "__main__":
    worker.GRACE = float(sys.argv[1])
    worker.main(Fakes)
