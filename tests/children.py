"""What the children of this process show of themselves while something runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class Watch:
    """Reads, as fast as it can, the arguments and environment of every child that this process starts meanwhile."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}
        self.text = b""
        self._before: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        own = Path(f"/proc/{os.getpid()}")
        mine = (own / "cmdline").read_bytes()
        while not self._end.wait(0.0005):
            for task in own.glob("task/*/children"):
                for pid in set(self._read(task).split()) - self._before:
                    words, variables = (
                        self._read(Path(f"/proc/{pid.decode()}/{name}")) for name in ("cmdline", "environ")
                    )
                    # Between fork and exec a child still shows its parent.
                    if not words or words == mine:
                        continue
                    self.text += words + variables
                    names = {item.split(b"=")[0].decode() for item in variables.split(b"\0") if item}
                    self.seen.setdefault(os.path.basename(words.split(b"\0")[0]).decode(), set()).update(names)  # noqa: PTH119

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError:
            return b""

    def __enter__(self) -> Watch:
        tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        self._before = {pid for task in tasks for pid in self._read(task).split()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
