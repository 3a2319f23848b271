"""Where vaults lie: two of one place, or one inside the other, are one vault, however many copies they promise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class _Place:
    """A bucket or the whole of this host's files (`root`), and the folders in it that lead to the vault."""

    root: tuple[str, ...]
    folders: tuple[str, ...]

    def holds(self, other: _Place) -> bool:
        """Whether `other` is this place or lies in it."""
        return self.root == other.root and other.folders[: len(self.folders)] == self.folders


def shared_places(vaults: Mapping[str, tuple[str, BaseModel]]) -> Iterator[tuple[str, str, bool]]:
    """Vaults, by (type, options), that share their place with an earlier one: (vault, the earlier one, the same).

    The last is False where one lies inside the other. Links of folders are followed.
    """
    earlier: dict[str, _Place] = {}
    for name, (kind, options) in vaults.items():
        place = _place(kind, options)
        for other, known in earlier.items():
            if known.holds(place) or place.holds(known):
                yield name, other, place == known
                break
        earlier[name] = place


def _place(kind: str, options: Any) -> _Place:
    path = getattr(options, "path", None)
    if path is not None:
        return _Place((kind,), _folders(os.path.realpath(path)))
    container = getattr(options, "container", None)
    account = getattr(options, "account_name", None)
    root: tuple[str, ...]
    if account is not None:
        root = (kind, str(account), str(container))
    elif container is not None:  # each region of a Swift has containers of its own
        root = (kind, str(options.provider), str(options.region), str(container))
    else:
        root = (kind, str(getattr(options, "endpoint", "")).rstrip("/").lower(), str(getattr(options, "bucket", "")))
    return _Place(root, _folders(str(getattr(options, "prefix", ""))))


def _folders(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)
