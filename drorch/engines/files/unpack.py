"""Unpacking a tar stream below one open folder. No name of the archive and no link that it makes leads out of it.

Every step down goes by the descriptor of a folder and follows no link, and nothing that is there is written over.
Symbolic links are made as they were, wherever they lead: nothing is ever written through them.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.engines.files import tar
from drorch.engines.files.tally import printable
from drorch.engines.files.walk import FOLDER

_CHUNK = 1 << 20
_HOLE = bytes(64 * 1024)
"""So many zeros in a row become a hole."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a folder is to have once everything is in it."""

    name: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict[str, bytes]


@dataclass(slots=True)
class Unpacked:
    """What was unpacked: the attributes that folders wait for, how many could not be given to files."""

    folders: list[Attributes] = field(default_factory=list)
    lost_xattrs: int = 0


def unpack(source: BinaryIO, root: int, stopped: Callable[[], bool]) -> Unpacked:
    """Unpack to the end of the archive. Folders are left to their owner alone until `give_folders_theirs`.

    Damaged for what is no archive of ours or ends in its middle; Refused, Unavailable for what the target says.
    """
    unpacking = _Unpacking(root, stopped)
    try:
        with tarfile.open(
            fileobj=source,
            mode="r|",
            bufsize=_CHUNK,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # a list that would grow with every file
                unpacking.member(archive, member)
            _require_end(archive)
    except (tarfile.TarError, ValueError, ArithmeticError) as error:  # the latter two for numbers that are none
        raise Damaged("this is no whole tar archive", operation="restore", cause=str(error)) from error
    finally:
        unpacking.close()
    return unpacking.done


def _require_end(archive: tarfile.TarFile) -> None:
    """tarfile takes any bad header for the end: the end is a second block of zeros, and nothing else after it."""
    rest: IO[bytes] = archive.fileobj  # type: ignore[assignment]
    count = 0
    while piece := rest.read(_CHUNK):
        if piece.strip(b"\0"):
            raise Damaged("a header of the archive is not one", operation="restore")
        count += len(piece)
    if count < tar.BLOCK:
        raise Damaged("the archive ends in its middle", operation="restore")


def give_folders_theirs(root: int, folders: list[Attributes]) -> int:
    """Owners, modes and times, the innermost first; how many extended attributes could not be given."""
    lost = 0
    for folder in reversed(folders):
        descriptor = os.dup(root)
        try:
            for part in folder.name.split("/"):
                below = os.open(part, FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            lost += _give(descriptor, folder)
        finally:
            os.close(descriptor)
    return lost


def _give(descriptor: int, theirs: Attributes) -> int:
    """The owner first, since a change of it takes capabilities and the setuid bit away."""
    if os.geteuid() == 0:
        os.fchown(descriptor, theirs.uid, theirs.gid)
    lost = 0
    for name, value in theirs.xattrs.items():
        try:
            os.setxattr(descriptor, name, value)
        except OSError:  # a file system without them, or only for root
            lost += 1
    os.fchmod(descriptor, _mode(theirs.mode))
    os.utime(descriptor, ns=(theirs.mtime_ns, theirs.mtime_ns))
    return lost


def _mode(mode: int) -> int:
    """Setuid and setgid are another's rights when the owner is not given back."""
    return mode & (0o7777 if os.geteuid() == 0 else 0o1777)


class _Unpacking:
    """One pass over an archive; keeps the folders of the last member open, since the next is mostly their neighbour."""

    def __init__(self, root: int, stopped: Callable[[], bool]) -> None:
        self.done = Unpacked()
        self._root = root
        self._stopped = stopped
        self._open: list[tuple[str, int]] = []

    def member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make one member. Damaged for a name or a type that no dump holds."""
        parts = _parts(member.name)
        try:
            folder, name = self._folder(parts[:-1]), parts[-1]
            if member.isdir():
                self._make_folder(folder, name, "/".join(parts), member)
            elif member.isreg():
                self._make_file(folder, name, archive, member)
            elif member.issym():
                self._make_link(folder, name, member)
            elif member.islnk():
                self._link(folder, name, _parts(member.linkname))
            else:
                raise Damaged("the archive holds what no dump does", resource=printable(member.name))
        except OSError as error:
            raise _failed(error, member.name) from error

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            os.close(self._open.pop()[1])

    def _folder(self, parts: list[str]) -> int:
        """The open folder of a member; made where the archive does not say what it is to be like."""
        same = 0
        while same < min(len(parts), len(self._open)) and self._open[same][0] == parts[same]:
            same += 1
        while len(self._open) > same:
            os.close(self._open.pop()[1])
        for part in parts[same:]:
            within = self._open[-1][1] if self._open else self._root
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=within)
            self._open.append((part, os.open(part, FOLDER, dir_fd=within)))
        return self._open[-1][1] if self._open else self._root

    def _make_folder(self, within: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=within)
        if not stat.S_ISDIR(os.lstat(name, dir_fd=within).st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.done.folders.append(_attributes(path, member))

    def _make_file(self, within: int, name: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        content = archive.extractfile(member)
        if content is None:
            raise Damaged("a file of the archive has no content", resource=printable(member.name))
        descriptor = os.open(name, _NEW, 0o600, dir_fd=within)
        try:
            left = member.size
            while left:
                if self._stopped():
                    raise Unavailable("loading was ended", operation="restore")
                piece = content.read(min(left, _CHUNK))
                if not piece:
                    raise Damaged("the archive ends in its middle", operation="restore")
                left -= len(piece)
                _write(descriptor, memoryview(piece))
            os.ftruncate(descriptor, member.size)  # a hole at the end
            self.done.lost_xattrs += _give(descriptor, _attributes(name, member))
        finally:
            os.close(descriptor)

    def _make_link(self, within: int, name: str, member: tarfile.TarInfo) -> None:
        os.symlink(member.linkname, name, dir_fd=within)
        if os.geteuid() == 0:
            os.chown(name, member.uid, member.gid, dir_fd=within, follow_symlinks=False)
        when = tar.mtime_ns(member)
        os.utime(name, ns=(when, when), dir_fd=within, follow_symlinks=False)

    def _link(self, within: int, name: str, first: list[str]) -> None:
        """Another name of a file; nothing is made on the way to the first one."""
        source = os.dup(self._root)
        try:
            for part in first[:-1]:
                below = os.open(part, FOLDER, dir_fd=source)
                os.close(source)
                source = below
            os.link(first[-1], name, src_dir_fd=source, dst_dir_fd=within, follow_symlinks=False)
        finally:
            os.close(source)


def _parts(name: str) -> list[str]:
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Damaged("a name in the archive leads out of it", operation="restore", resource=printable(name))
    return parts


def _attributes(path: str, member: tarfile.TarInfo) -> Attributes:
    return Attributes(path, member.mode, member.uid, member.gid, tar.mtime_ns(member), tar.xattrs_of(member))


def _write(descriptor: int, data: memoryview) -> None:
    """Write, but for runs of zeros, over which it only goes on: they come back as the holes that they may have been."""
    while data:
        piece, data = data[: len(_HOLE)], data[len(_HOLE) :]
        if piece == _HOLE:
            os.lseek(descriptor, len(piece), os.SEEK_CUR)
            continue
        while piece:
            piece = piece[os.write(descriptor, piece) :]


def _failed(error: OSError, name: str) -> DrorchError:
    where = {"operation": "restore", "resource": printable(name), "cause": error.strerror or str(error)}
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return Unavailable("the target takes no more", **where)
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENOENT):
        return Damaged("a name of the archive does not fit those before it", **where)
    return Refused("a file could not be made", **where)
