"""Reading a text file that people wrote: what cannot be read is a finding, not a crash."""

from __future__ import annotations

from io import RawIOBase
from pathlib import Path

from drorch.domain.errors import Finding

LARGEST = 1024 * 1024
"""Bytes; a policy has a few thousand."""

_PIECE = 16 * 1024
"""Bytes read at once: room for the largest text takes longer to get than most texts to read."""


def read_text(path: Path | str, name: str) -> tuple[str | None, list[Finding]]:
    """The text of a UTF-8 file, a byte-order mark at its start taken off, or why there is none. `name` is shown."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  every policy in every pass: twice as fast
            data = _at_most(file, LARGEST + 1)
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


def _at_most(file: RawIOBase, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := file.read(min(_PIECE, size - len(data)))):
        data += piece
    return bytes(data)
