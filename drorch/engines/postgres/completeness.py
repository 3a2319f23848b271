"""Whether a dump holds everything that its source has: its table of contents against the catalogue of its snapshot.

The contents stand at the head of an archive and are read as they stream by; the rest passes untouched, but for its last
bytes. A dump that fails here ends like a pg_dump that failed: nothing of it is committed.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import BinaryIO, cast

from drorch.domain.errors import Damaged
from drorch.engines.postgres.archive import FIRST_TRY, LARGEST_HEAD, contents
from drorch.engines.postgres.connection import Session
from drorch.engines.postgres.expected import Expected, Key, expected, shown

_END = bytes(5)
"""How the last block of data ends: the length 0, a sign and four bytes (pg_backup_custom.c, `_EndData`, `_EndLOs`)."""

_NAMED = 10
"""So many missing objects are named."""

_BLOBS_PER_ENTRY = 1000
"""Large objects in one entry of pg_dump 17 and newer (pg_dump.c, MAX_BLOBS_PER_ARCHIVE_ENTRY)."""

_ENTRY = re.compile(r"^\d+; (?P<class>\d+) (?P<oid>\d+) (?P<text>.*)$")


class Head:
    """The first bytes of an archive, kept only until pg_restore has read the table of contents from them."""

    def __init__(self, pg_restore: str) -> None:
        self.lines: list[str] | None = None
        self._pg_restore = pg_restore
        self._kept = bytearray()
        self._ask_at = FIRST_TRY

    def feed(self, part: memoryview) -> None:
        """The next bytes, until `lines` are known. Damaged when they are no archive's."""
        self._kept += part
        if len(self._kept) >= self._ask_at:
            self._ask(last=len(self._kept) > LARGEST_HEAD)
            self._ask_at = 2 * len(self._kept)

    def end(self) -> list[str]:
        """The contents, when no more bytes come. Damaged when they are not whole."""
        if self.lines is None:
            self._ask(last=True)
        return cast("list[str]", self.lines)

    def _ask(self, *, last: bool) -> None:
        try:
            self.lines = contents(self._pg_restore, bytes(self._kept))
        except Damaged as error:
            raise Damaged("what pg_dump wrote is no archive", operation="dump", cause=error.cause) from error
        if self.lines is not None:
            self._kept = bytearray()
        elif last:
            raise Damaged("the dump ends within its table of contents", operation="dump")


class Watched(io.RawIOBase):
    """pg_dump's output, its head shown to a `Head`, its last bytes remembered (unbuffered: a read may be short)."""

    def __init__(self, source: BinaryIO, head: Head, began: Callable[[], None]) -> None:
        """`began` is called when the first bytes are there: pg_dump holds its locks then."""
        super().__init__()
        self.tail = b""
        self._began = began
        self._source = cast("io.RawIOBase", source)
        self._head = head

    def readable(self) -> bool:
        """It is read from, nothing else."""
        return True

    def fileno(self) -> int:
        """The pipe's own."""
        return self._source.fileno()

    def readinto(self, buffer: object) -> int | None:
        """As the pipe's."""
        view = memoryview(cast("bytearray", buffer)).cast("B")
        count = self._source.readinto(view)
        if count:
            if not self.tail:
                self._began()
            if self._head.lines is None:
                self._head.feed(view[:count])
            self.tail = (self.tail + bytes(view[max(0, count - len(_END)) : count]))[-len(_END) :]
        return count

    def close(self) -> None:
        """Close the pipe."""
        self._source.close()
        super().close()


def check_end(lines: Iterable[str], tail: bytes, resource: str) -> None:
    """Damaged unless an archive with data ends as its last block of data does."""
    texts = (match["text"] for line in lines if (match := _ENTRY.match(line)))
    if tail != _END and any(text.startswith(("TABLE DATA ", "BLOBS ")) for text in texts):
        raise Damaged(
            "the dump ends within its data, though pg_dump reported no error", operation="dump", resource=resource
        )


class Completeness:
    """Gathers the contents of a dump's archives, of which there are `archives`; after the last they are compared."""

    def __init__(self, session: Session, resource: str, not_dumped: list[str], archives: int = 1) -> None:
        self._ask: Callable[[], Expected] = lambda: expected(session, resource, not_dumped)
        self._show: Callable[[list[Key]], list[str]] = lambda keys: shown(session, resource, keys)
        self._resource = resource
        self._awaited = archives
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, lines: list[str], tail: bytes) -> None:
        """One archive's contents and last bytes. Damaged when, all being there, anything of the source is not."""
        check_end(lines, tail, self._resource)
        with self._lock:
            self._lines += lines
            self._awaited -= 1
            if self._awaited:
                return
        self._compare()

    def _compare(self) -> None:
        wanted = self._ask()
        found = _keys(self._lines)
        if twice := [key for key, count in found.items() if count > 1 and key[0] == 0]:
            raise Damaged(
                "rows are in the dump twice",
                operation="dump",
                resource=self._resource,
                cause=", ".join(self._show(sorted(twice)[:_NAMED])),
            )
        missing = sorted(wanted.objects - found.keys())
        names = self._show(missing[:_NAMED]) if missing else []
        names += ["and more"] if len(missing) > _NAMED else []
        names += missing_by_number(wanted, self._lines)
        if names:
            raise Damaged(
                "the dump is not complete: what the database has is not in its table of contents",
                operation="dump",
                resource=self._resource,
                cause=", ".join(names),
                hint="look at the programs that `tools: {postgres: [...]}` and PATH find; run pg_dump by hand",
            )


def _keys(lines: Iterable[str]) -> Counter[Key]:
    """Of every entry; rows have the class 0 (a sequence's value and such have the oid 0, too)."""
    matches = (_ENTRY.match(line) for line in lines)
    return Counter((int(match["class"]), int(match["oid"])) for match in matches if match and _is_object(match))


def _is_object(match: re.Match[str]) -> bool:
    return match["class"] != "0" or match["text"].startswith("TABLE DATA ")


def missing_by_number(wanted: Expected, lines: Iterable[str]) -> list[str]:
    """What is counted because it has no entry with its own number: values of sequences, grouped large objects. Pure."""
    texts = [match["text"] for line in lines if (match := _ENTRY.match(line))]
    found = []
    values = len({text for text in texts if text.startswith("SEQUENCE SET ")})  # several streams may hold the same
    if values < wanted.sequences:
        found.append(f"values of {wanted.sequences - values} of {wanted.sequences} sequences")
    if any(text.startswith("BLOB METADATA ") for text in texts):
        entries, needed = _count(texts, "BLOB METADATA "), math.ceil(wanted.large_objects / _BLOBS_PER_ENTRY)
    else:
        entries, needed = _count(texts, "BLOB "), wanted.large_objects
    if entries < needed or (wanted.large_objects and not _count(texts, "BLOBS ")):
        found.append(f"some of {wanted.large_objects} large objects")
    return found


def _count(texts: Iterable[str], start: str) -> int:
    return sum(text.startswith(start) for text in texts)
