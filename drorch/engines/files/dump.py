"""Dumping: one walk, read as fast as its reader takes it, as a tar stream that nothing on disk can spoil.

Every header tells a size before the content comes. A file that shrinks meanwhile is filled up with zeros and one that
grows is cut there, as GNU tar does (its manual, section 3.9.2); both are counted as changed.
"""

from __future__ import annotations

import io
import os
import platform
import stat
import tarfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from drorch.domain.errors import Refused, Unavailable
from drorch.domain.host_path import granting
from drorch.domain.instant import floor_second
from drorch.domain.native import Inventory
from drorch.engines.files import tar
from drorch.engines.files.options import Exclusion, Options
from drorch.engines.files.tally import Tally
from drorch.engines.files.walk import Entry, Vanished, Walk, failed, link_of, open_file, open_root, xattrs
from drorch.ports import Artefact

DATA = "files.tar"

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


@contextmanager
def open_session(
    options: Options, granted: Sequence[str], word: str, now: Callable[[], datetime]
) -> Iterator[FilesSession]:
    """Check that every path is granted and there; the walk begins with the stream."""
    grants = {path: _granted(path, granted) for path in options.roots}
    for path, grant in grants.items():
        os.close(open_root(path, grant)[0])
    session = FilesSession(grants, Exclusion(options.exclude), word, floor_second(now()))
    try:
        yield session
    finally:
        session.end()


def _granted(path: str, granted: Sequence[str]) -> str:
    grant = granting(path, granted)
    if grant is None:
        raise Refused(
            "this path is not granted to the application",
            operation="dump",
            resource=path,
            hint="paths: {APPLICATION: [PATH, ...]} in the host configuration",
        )
    return grant


class FilesSession:
    """The `DumpSession` of files: no snapshot, but a walk that starts at `cut_at` by this host's clock."""

    def __init__(self, grants: Mapping[str, str], exclusion: Exclusion, word: str, cut_at: datetime) -> None:
        self.cut_at = cut_at
        self.facts: Mapping[str, object] = _facts()
        self._grants = grants
        self._exclusion = exclusion
        self._word = word
        self._tally = Tally()
        self._producer: TarProducer | None = None

    def artefacts(self) -> Sequence[Artefact]:
        """One tar stream of all paths."""
        return (Artefact(DATA, self._open),)

    def inventory(self) -> Inventory:
        """What the stream held, counted as it passed; `facts` has the counts, too. Refused before its end."""
        if self._producer is None or not self._producer.ended:
            raise Refused("files are counted as they are dumped", operation="dump", hint="dump them first")
        self.facts = {**_facts(), "counted": self._tally.facts()}
        return self._tally.inventory(self._word)

    def _open(self) -> TarProducer:
        self.end()
        self._tally = Tally()
        self._producer = TarProducer(Archive(self._grants, self._exclusion, self._tally).parts())
        return self._producer

    def end(self) -> None:
        """Close what is open."""
        if self._producer is not None:
            self._producer.kill()


def _facts() -> dict[str, object]:
    system = os.uname()
    return {
        "engine": "files",
        "server_version": f"{system.sysname} {system.release}",
        "client_version": f"Python {platform.python_version()}",
        "flags": ["pax"],
        "roles_without_password": [],
    }


class Archive:
    """The bytes of the archive. Member names are the absolute paths without their first slash, as GNU tar's are."""

    def __init__(self, grants: Mapping[str, str], exclusion: Exclusion, tally: Tally) -> None:
        self._grants = grants
        self._exclusion = exclusion
        self._tally = tally
        self._parents: set[str] = set()
        self._linked: dict[tuple[int, int], str] = {}

    def parts(self) -> Generator[bytes, None, None]:
        """Whole headers, pieces of content, the end. Raises as `walk.failed`: what cannot be read ends the dump."""
        for root, grant in self._grants.items():
            self._tally.begin(root)
            yield from self._above(root)
            folder, name = open_root(root, grant)
            try:
                for entry in self._walk(root).entries(root, folder, name):
                    yield from self._member(root, entry)
            finally:
                os.close(folder)
        yield tar.END

    def _walk(self, root: str) -> Walk:
        return Walk(
            lambda path: self._exclusion.leaves_out(root, path), lambda path: self._tally.note("vanished", path)
        )

    def _above(self, root: str) -> Iterator[bytes]:
        """The folders above a path, without what is in them: their modes guard what is restored below them."""
        parts = root[1:].split("/")[:-1]
        for count in range(1, len(parts) + 1):
            path = "/" + "/".join(parts[:count])
            if path in self._parents:
                continue
            self._parents.add(path)
            try:
                info = Path(path).stat()
            except OSError as error:
                raise failed(error, path) from error
            yield tar.header(path[1:] + "/", info, tarfile.DIRTYPE)

    def _member(self, root: str, entry: Entry) -> Iterator[bytes]:
        mode = entry.info.st_mode
        name = entry.path[1:]
        if entry.opened >= 0:
            self._tally.folders += 1
            if name:  # "/" itself is whatever is restored into
                yield tar.header(name + "/", entry.info, tarfile.DIRTYPE, xattrs=xattrs(entry.opened))
        elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            self._tally.note("skipped", entry.path)
        else:
            try:
                yield from self._linked_to(root, entry) or self._content(root, entry)
            except Vanished:
                self._tally.note("vanished", entry.path)

    def _linked_to(self, root: str, entry: Entry) -> Sequence[bytes]:
        """The member for another name of a file that is in the archive already; nothing for any other file."""
        first = self._linked.get((entry.info.st_dev, entry.info.st_ino))
        if first is None or entry.info.st_nlink < 2:
            return ()
        self._tally.file(root)
        return (tar.header(entry.path[1:], entry.info, tarfile.LNKTYPE, link=first),)

    def _content(self, root: str, entry: Entry) -> Iterator[bytes]:
        name = entry.path[1:]
        if stat.S_ISLNK(entry.info.st_mode):
            member = tar.header(name, entry.info, tarfile.SYMTYPE, link=link_of(entry))
            self._tally.file(root)
            yield member
            return
        descriptor = open_file(entry)
        try:
            info = os.fstat(descriptor)
            if info.st_nlink > 1:
                self._linked[info.st_dev, info.st_ino] = name
            self._tally.file(root, info.st_size)
            yield tar.header(name, info, tarfile.REGTYPE, size=info.st_size, xattrs=xattrs(descriptor))
            yield from self._bytes(entry, descriptor, info)
        finally:
            os.close(descriptor)

    def _bytes(self, entry: Entry, descriptor: int, before: os.stat_result) -> Iterator[bytes]:
        left = before.st_size
        try:
            while left and (piece := os.read(descriptor, min(left, _CHUNK))):
                left -= len(piece)
                yield piece
            after = os.fstat(descriptor)
        except OSError as error:
            raise failed(error, entry.path) from error
        if left or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            self._tally.note("changed", entry.path)
        while left:
            piece = _ZEROS[: min(left, _CHUNK)]
            left -= len(piece)
            yield piece
        yield tar.padding(before.st_size)


class TarProducer:
    """A `Producer` without a process: whoever reads drives the walk."""

    def __init__(self, parts: Generator[bytes, None, None]) -> None:
        self._source = _Source(parts)
        self.stdout: BinaryIO = cast("BinaryIO", self._source)

    @property
    def ended(self) -> bool:
        """Whether the archive came to its end."""
        return self._source.ended

    def finish(self) -> None:
        """Raises unless everything was read to the end."""
        if not self._source.ended:
            raise Unavailable("the dump did not come to its end", operation="dump")
        self._source.close()

    def kill(self) -> None:
        """No more is read; a piece that is being read now is the last."""
        self._source.stop()


class _Source(io.RawIOBase):
    """The parts as a file that is only read, by one thread; any other may stop it."""

    def __init__(self, parts: Generator[bytes, None, None]) -> None:
        self.ended = False
        self._parts = parts
        self._part = memoryview(b"")
        self._stopped = False
        self._reading = threading.Lock()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        with self._reading:
            return self._fill(memoryview(cast("bytearray", buffer)).cast("B"))

    def _fill(self, into: memoryview) -> int:
        while not self._part and not self.ended:
            if self._stopped:
                raise Unavailable("the dump was ended", operation="dump")
            part = next(self._parts, None)
            self.ended = part is None
            self._part = memoryview(part or b"")
        count = min(len(into), len(self._part))
        into[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def stop(self) -> None:
        """Close the files once the reading thread is out of them: a generator that runs cannot be closed."""
        self._stopped = True
        if self._reading.acquire(timeout=_PATIENCE):
            try:
                self._parts.close()
            finally:
                self._reading.release()


_PATIENCE = 2.0
"""Seconds for a read to end: on a network file system it may hang for as long as it likes."""
