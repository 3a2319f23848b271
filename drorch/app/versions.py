"""Where a store keeps versions, what was signed may lie beneath what somebody wrote or deleted over it.

The current object is read first, and is believed when it is what was signed; only when it is not are the versions asked
for, the oldest first. A store without versions has none to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from drorch.crypto.minisign import BadSignature
from drorch.domain.errors import Damaged, NotFound, Refused
from drorch.ports import ObjectStore, ObjectVersion

Shadowed = Callable[[str], object]
"""Hears of every path whose current object is not what was signed while an older version is."""

Found = TypeVar("Found")


def nobody(_path: str) -> None:
    """Hears of shadowed paths where nobody wants to know."""


class ObjectDamaged(Damaged):
    """One object is not what was signed. `leaf` counts from 1, `offset` is the byte of `path` at which it begins."""

    def __init__(
        self,
        path: str,
        cause: str,
        *,
        vault: str,
        leaf: int | None = None,
        offset: int | None = None,
        missing: bool = False,
    ) -> None:
        super().__init__(
            f"{path} is damaged",
            operation="verify",
            vault=vault,
            cause=cause,
            hint="another vault may hold a good copy: --from VAULT; an older point: --at TIME or --point ID",
        )
        self.path, self.leaf, self.offset, self.missing = path, leaf, offset, missing


def older_versions(store: ObjectStore, path: str) -> list[ObjectVersion]:
    """Every version of exactly this path, oldest first, delete markers left out. Raises what a listing raises."""
    return [found for found in store.history(path) if found.path == path and found.version and not found.marker]


def read_at_most(store: ObjectStore, path: str, most: int, version: str = "") -> bytes:
    """A small object. Raises Damaged when it has more than `most` bytes."""
    data = bytearray()
    chunks = store.read(path, 0, most + 1, version=version) if version else store.read(path, 0, most + 1)
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            raise ObjectDamaged(path, f"it has more than {most} bytes", vault=store.vault)
    return bytes(data)


def read_valid(
    store: ObjectStore,
    path: str,
    most: int,
    check: Callable[[bytes, Callable[[], datetime]], Found],
    shadowed: Shadowed = nobody,
) -> Found:
    """What `check` makes of the small object at `path`: of the current one, else of its oldest version that holds.

    `check` is given the bytes and how to ask when the store wrote them, and raises Damaged or BadSignature. The current
    object is read once more before it is given up: the network may have flipped a bit. When nothing holds, what was
    wrong with the current object is raised; NotFound when there is none.
    """
    wrong: Refused | None = None
    for _ in range(2):
        try:
            return check(read_at_most(store, path, most), lambda: store.stat(path).modified)
        except NotFound as error:
            wrong = wrong or error
            break
        except (Damaged, BadSignature) as error:
            wrong = wrong or error
    for found in older_versions(store, path):
        try:
            value = check(read_at_most(store, path, most, found.version), partial(_modified, found))
        except (NotFound, Damaged, BadSignature):
            continue
        shadowed(path)
        return value
    assert wrong is not None  # noqa: S101 - the loop above leaves with a value or an error
    raise wrong


def sized(store: ObjectStore, path: str, size: int, shadowed: Shadowed = nobody) -> str:
    """The version of `path` that has the signed size: "" for the current object. Raises ObjectDamaged."""
    try:
        found = store.stat(path).size
    except NotFound as error:
        wrong = ObjectDamaged(path, "it is missing", vault=store.vault, missing=True)
        wrong.__cause__ = error
    else:
        if found == size:
            return ""
        wrong = ObjectDamaged(path, f"it has {found} bytes, signed are {size}", vault=store.vault)
    older = next((version.version for version in older_versions(store, path) if version.size == size), None)
    if older is None:
        raise wrong
    shadowed(path)
    return older


def _modified(found: ObjectVersion) -> datetime:
    return found.modified
