"""What a walk found: counts per listed path, and everything that is not in the archive as it was on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drorch.domain.native import Inventory

UNIT = "files"
_MOST_NAMES = 100
"""Names that are told of each sort; the counts are of all."""


def printable(path: str) -> str:
    """A path for people and for JSON: bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Tally:
    """Files (all but folders), their bytes (of a file with several names once), per listed path.

    `skipped` are sockets, devices and fifos; `vanished` was gone when its turn came; `changed` while it was read.
    """

    files: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    folders: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("skipped", "vanished", "changed"), 0))
    names: dict[str, list[str]] = field(default_factory=dict)

    def begin(self, root: str) -> None:
        """A listed path counts even when nothing lies there."""
        self.files[root] = self.bytes[root] = 0

    def file(self, root: str, size: int = 0) -> None:
        """One file with `size` bytes of its own."""
        self.files[root] += 1
        self.bytes[root] += size

    def note(self, what: str, path: str) -> None:
        """One more that was skipped, has vanished or changed."""
        self.found[what] += 1
        names = self.names.setdefault(what, [])
        if len(names) < _MOST_NAMES:
            names.append(printable(path))

    def facts(self) -> dict[str, int]:
        """Counts alone, for the manifest, which is not encrypted."""
        return {
            "files": sum(self.files.values()),
            "folders": self.folders,
            "bytes": sum(self.bytes.values()),
            **self.found,
        }

    def inventory(self, word: str = "exact") -> Inventory:
        """Files per path as the inventory's tables; their bytes and the names of what was noted in its details."""
        if word == "off":
            return Inventory(tables={})
        return Inventory(
            tables=dict(self.files),
            estimated=frozenset(self.files) if word == "estimate" else frozenset(),
            bytes=sum(self.bytes.values()),
            details={"unit": UNIT, "bytes_of": dict(self.bytes), **self.names},
        )


_WORDS = {
    "skipped": "{} not stored (sockets, devices, fifos)",
    "vanished": "{} gone before they were read",
    "changed": "{} changed while they were read: they may hold parts of two states",
}


def notes_of(facts: Mapping[str, object]) -> Sequence[str]:
    """What a person who restores must know of a dump, from the manifest's counts."""
    counts = facts.get("counted")
    counts = counts if isinstance(counts, Mapping) else {}
    return [words.format(_files(counts[key])) for key, words in _WORDS.items() if counts.get(key)]


def _files(count: object) -> str:
    return "1 file was" if count == 1 else f"{count} files were"
