"""Reading a text file that people wrote: what cannot be read is a finding, not a crash."""

from __future__ import annotations

import os
from pathlib import Path

from drorch.domain.errors import Finding

LARGEST = 1024 * 1024
"""Bytes; a policy has a few thousand."""

_PIECE = 16 * 1024
"""Bytes read at once: room for the largest text takes longer to get than most texts to read."""


def read_text(path: Path | str, name: str) -> tuple[str | None, list[Finding]]:
    """The text of a UTF-8 file, a byte-order mark at its start taken off, or why there is none. `name` is shown."""
    try:
        data = _at_most(path, LARGEST + 1)
    except OSError as error:
        return None, [Finding(name, 1, 1, f"cannot be read: {(error.strerror or 'unknown').lower()}")]
    if len(data) > LARGEST:
        return None, [Finding(name, 1, 1, f"longer than {LARGEST // 1024} KiB", "one application per file")]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        return None, [Finding(name, line, column, "not UTF-8 text", "save the file as UTF-8")]


def _at_most(path: Path | str, size: int) -> bytes:
    """The first bytes of a file; by the calls of the system alone, for every policy is read in every pass."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _PIECE)
        while data and len(data) < size and (piece := os.read(descriptor, min(_PIECE, size - len(data)))):
            data += piece
        return data
    finally:
        os.close(descriptor)
