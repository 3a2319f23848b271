"""What the core asks of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from drorch.domain.errors import Refused
from drorch.domain.model import ObjectLock
from drorch.domain.policy import LockRule


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as the store lists it: path below the vault's prefix, bytes, and the store's own time of writing."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object, or a delete marker (`marker`) over the versions before it.

    `version` is the store's own word for it, "" where the store keeps one version only.
    """

    path: str
    size: int
    modified: datetime
    version: str = ""
    marker: bool = False


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """Parts that wait for the end of an upload: invisible, and billed. `handle` is the store's own word for it."""

    path: str
    begun: datetime
    handle: str


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """A store's limits as data: bytes of every part but the last, how many parts one object may have, and how many
    entries of a listing are asked for at once.
    """

    part_bytes: int = 8 * 1024 * 1024
    max_parts: int = 10_000
    page: int = 1000


class Upload(Protocol):
    """One object on its way in. Nothing is visible at its path before `commit` returned; then all of it is."""

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Send the next part: exactly `limits.part_bytes` bytes, only the last may be shorter (it may be empty).

        The buffer belongs to the caller again when this returns. AlreadyExists may come here already, where a store
        refuses when the upload begins.
        """

    def commit(self) -> None:
        """Make the object visible, write-once: AlreadyExists when the path is taken (and nothing is left behind).

        The store's size of the object is compared with what was written: Damaged when they differ.
        """

    def abort(self) -> None:
        """Drop what was sent; leaves no part behind where the store allows; harmless after commit and twice.

        May raise when parts could not be dropped: they would stay, and cost.
        """


class ObjectStore(Protocol):
    """A vault for dumps and records: flat paths, write-once, strongly consistent reads of what was committed.

    Paths are relative, `/`-separated, of printable ASCII without `..`, empty parts or a leading `/`: Refused otherwise.

    With a `lock` every object that is written once, and for which `layout.lockable` holds, is locked by the creating
    request itself (parts of a multipart upload included), until `now()` + the rule's length by the store's clock.
    """

    vault: str
    limits: StoreLimits
    lock: LockRule | None

    def now(self) -> datetime:
        """The store's own present, aware, UTC, from a reply of this moment (its Date header). Unavailable without."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose path starts with `prefix`, page by page, in any order.

        Raises Unavailable at any item: a listing that did not end is incomplete, never short.
        """

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version and delete marker of every path that starts with `prefix`, those of a path together, oldest
        first. What the store keeps: on one without versions it is `list`. Raises as `list`.
        """

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts. NotFound when it is known to be absent."""

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """The bytes from `start` (at most `length`), in chunks of the adapter's choice, bounded memory.

        `version` names one that `history` showed, "" the current one. NotFound when absent; Unavailable when the stream
        ends before the length the store announced; Refused when `start` lies behind the end (an empty object read from
        0 yields nothing).
        """

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Write a small object in one request. Write-once unless `overwrite`: AlreadyExists when the path is taken."""

    def upload(self, path: str) -> Upload:
        """Begin a streamed object of unknown length, write-once."""

    def delete(self, path: str) -> None:
        """Remove one object, all its versions and delete markers; harmless when absent.

        Refused while a lock stands; `vault check` removes what it wrote, `app.expiry` alone what has expired.
        """

    def lock_of(self, path: str) -> ObjectLock | None:
        """The lock of the current version, read back now; None for none. NotFound when absent."""

    def extend_lock(self, path: str, until: datetime) -> None:
        """Lock the current version until `until` at least, in the mode of `lock`; a longer lock stays as it is.

        NotInThisVersion where the store has no locks. A 200 proves nothing: read it back (`lock_of`).
        """

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """Unfinished uploads of paths that start with `prefix`; none where the store cannot list them. As `list`."""

    def abort_upload(self, upload: PendingUpload) -> None:
        """Drop the parts of an unfinished upload; harmless when it is gone."""

    def close(self) -> None:
        """Release connections."""


PATH_LENGTH = 900
PART_LENGTH = 200


def check_path(path: str, *, vault: str = "") -> str:
    """`path` itself, if every store can hold it; Refused otherwise. A prefix is legal when ``prefix + "x"`` is.

    Beyond what `ObjectStore` says: no part begins with a dot (folders keep unfinished and hidden files there), a part
    has at most 200 characters (file systems take 255 bytes), a path at most 900 (S3 and GCS take 1,024 bytes with the
    vault's prefix).
    """
    parts = path.split("/")
    if not (path.isascii() and path.isprintable()):
        wrong = "it holds other than printable ASCII characters"
    elif "" in parts:
        wrong = "it is empty, begins or ends with '/', or has an empty part"
    elif any(part.startswith(".") for part in parts):
        wrong = "a part of it begins with a dot"
    elif len(path) > PATH_LENGTH or max(map(len, parts)) > PART_LENGTH:
        wrong = f"it is longer than {PATH_LENGTH} characters, or a part than {PART_LENGTH}"
    else:
        return path
    raise Refused(f"{path[:PATH_LENGTH]!r} cannot be the path of an object", vault=vault, cause=wrong)
