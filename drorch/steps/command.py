"""Running the commands of a runbook: no shell, no input, nothing of drorch's own environment that may be secret."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from drorch.domain.errors import Refused

_TAIL = 4096
"""Bytes of the output that are looked at for its last line."""
_LINE = 200


class LocalCommands:
    """Programs of this host (RunsCommands). `environment` is all that they see of one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def begin(self, argv: Sequence[str]) -> LocalCommand:
        """Start it; what it writes goes into a file without a name, so that it never waits for a reader."""
        output = tempfile.TemporaryFile()  # noqa: SIM115  as long as the program runs
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd="/",
            )
        except OSError as error:
            output.close()
            raise Refused(
                f"{argv[0]} cannot be started", operation="command", cause=(error.strerror or "").lower()
            ) from error
        return LocalCommand(process, output)


class LocalCommand:
    """A program under way (RunningCommand)."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process, self._output = process, output

    def ended(self) -> int | None:
        """As subprocess tells it."""
        return self._process.poll()

    def said(self) -> str:
        """The last line so far, cut to what fits into a table."""
        end = self._output.seek(0, 2)
        self._output.seek(max(0, end - _TAIL))
        lines = self._output.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return "".join(c if c.isprintable() else "?" for c in last)[:_LINE]
