"""Walking a tree by the descriptors of its folders: nothing that somebody links or moves meanwhile leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.engines.files.tally import printable

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Without waiting: a fifo may have taken the place of a file."""

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a tree: its absolute path, its name in the open `folder`, and what it was when it was listed.

    `opened` is the descriptor of a folder, -1 for all else. Descriptors are valid until the next entry is asked for.
    """

    path: str
    name: str
    folder: int
    info: os.stat_result
    opened: int = -1


class Vanished(Exception):
    """It was listed, and when its turn came it was gone, or something else."""


def failed(error: OSError, path: str, operation: str = "dump") -> DrorchError:
    """The error of the tree for one that a path gave."""
    where = {"operation": operation, "resource": printable(path), "cause": error.strerror or str(error)}
    if error.errno in _FORBIDDEN:
        hint = "let drorch read it (systemd/drorch-files.conf), or exclude it: a dump that lacks files is none"
        return Refused("a file cannot be read", hint=hint, **where)
    if error.errno == errno.EMFILE:
        return Unavailable("too many folders within each other", hint="raise LimitNOFILE", **where)
    return Unavailable("reading a file failed", **where)


def open_root(path: str, granted: str) -> tuple[int, str]:
    """The open folder that holds `path`, and its name there ("." for `granted` itself when it is a folder).

    Links above and at `granted` are whoever wrote the host configuration's; below it none is followed. NotFound when
    it is not there, Refused for a link or what may not be read.
    """
    try:
        info = Path(granted).stat()
        if path == granted and not stat.S_ISDIR(info.st_mode):
            real = Path(granted).resolve()
            return os.open(real.parent, FOLDER), real.name
        folder = os.open(granted, FOLDER & ~os.O_NOFOLLOW)
    except OSError as error:
        raise _no_root(error, granted) from error
    parts = path[len(granted.rstrip("/")) + 1 :].split("/") if path != granted else ["."]
    try:
        for part in parts[:-1]:
            below = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        _require_no_link(parts[-1], folder, path)
    except OSError as error:
        os.close(folder)
        raise _no_root(error, path) from error
    except DrorchError:
        os.close(folder)
        raise
    return folder, parts[-1]


def _require_no_link(name: str, folder: int, path: str) -> None:
    if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
        raise Refused(
            "a listed path is a symbolic link, and none is followed",
            operation="dump",
            resource=printable(path),
            hint="list the path that it leads to, and grant it",
        )


def _no_root(error: OSError, path: str) -> DrorchError:
    if error.errno == errno.ENOENT:
        return NotFound("a listed path is not there", operation="dump", resource=printable(path))
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        hint = "no symbolic link below what the host configuration grants is followed"
        return Refused("a listed path cannot be reached", operation="dump", resource=printable(path), hint=hint)
    return failed(error, path)


class Walk:
    """The entries of one tree, a folder before what is in it, names in the order of their bytes.

    `skips` is asked about every path below the root; `vanished` hears of what was gone when its turn came.
    """

    def __init__(self, skips: Callable[[str], bool], vanished: Callable[[str], None]) -> None:
        self._skips = skips
        self._vanished = vanished

    def entries(self, path: str, folder: int, name: str) -> Iterator[Entry]:
        """Everything from `name` in the open `folder` on, which is called `path`. Raises as `failed`."""
        open_folders: list[tuple[int, str, Iterator[str]]] = []
        try:
            waiting = iter([name])
            below, inside = path, folder
            while True:
                found = next(waiting, None)
                if found is None:
                    if not open_folders:
                        return
                    os.close(inside)
                    inside, below, waiting = open_folders.pop()
                    continue
                here = below if inside == folder else f"{below.rstrip('/')}/{found}"
                entry = None if inside != folder and self._skips(here) else self._entry(here, found, inside)
                if entry is None:
                    continue
                if entry.opened < 0:
                    yield entry
                    continue
                open_folders.append((inside, below, waiting))
                inside, below, waiting = entry.opened, here, iter(())
                yield entry
                waiting = iter(_names(entry))
        finally:
            while inside != folder:
                os.close(inside)
                inside = open_folders.pop()[0]

    def _entry(self, path: str, name: str, folder: int) -> Entry | None:
        try:
            info = os.lstat(name, dir_fd=folder)
            if not stat.S_ISDIR(info.st_mode):
                return Entry(path, name, folder, info)
            opened = os.open(name, FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno not in _GONE:
                raise failed(error, path) from error
            self._vanished(path)
            return None
        return Entry(path, name, folder, os.fstat(opened), opened)


def _names(entry: Entry) -> list[str]:
    try:
        return sorted(os.listdir(entry.opened), key=os.fsencode)  # noqa: PTH208 (of a descriptor)
    except OSError as error:
        raise failed(error, entry.path) from error


def open_file(entry: Entry) -> int:
    """A descriptor of a regular file. Vanished when it is none any more; Refused, Unavailable as `failed`."""
    try:
        descriptor = os.open(entry.name, FILE, dir_fd=entry.folder)
    except OSError as error:
        if error.errno in (*_GONE, errno.ENXIO):
            raise Vanished from error
        raise failed(error, entry.path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Vanished
    return descriptor


def link_of(entry: Entry) -> str:
    """Where a symbolic link leads, as it stands there. Vanished when it is none any more."""
    try:
        return os.readlink(entry.name, dir_fd=entry.folder)
    except OSError as error:
        if error.errno in (*_GONE, errno.EINVAL):
            raise Vanished from error
        raise failed(error, entry.path) from error


_KEPT = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def xattrs(descriptor: int) -> dict[str, bytes]:
    """The extended attributes that belong to the data: those of users, ACLs and capabilities; none where none are.

    Labels of security modules are not among them: the system that a tree is restored on gives its own.
    """
    found: dict[str, bytes] = {}
    with suppress(OSError):
        for name in os.listxattr(descriptor):
            if name.startswith("user.") or name in _KEPT:
                with suppress(OSError):  # taken away meanwhile
                    found[name] = os.getxattr(descriptor, name)
    return found
