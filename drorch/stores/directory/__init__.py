"""A folder as a vault: a mounted NAS, a second disk.

A part is written to a file in ``.incoming/`` below the root, flushed to disk, and made visible by a hard link, which
fails when the name is taken (link(2): EEXIST): that is the write-once promise. A file system without hard links (FAT)
is refused, because nothing else there both is atomic and never replaces. Symbolic links below the root are neither
followed nor listed, whoever put them there. A folder cannot hold both an object and objects below its path.

Files of a killed process stay in ``.incoming/``: `uploads` shows them, by the path that their names carry.
A file system keeps one version of a file and no locks.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from drorch.domain.errors import (
    DrorchError,
    NotFound,
    NotInThisVersion,
    Refused,
    Unavailable,
)
from drorch.domain.guide import FOLDER, INTO, StockTool, base
from drorch.domain.model import FailureDomain
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores.directory.incoming import INCOMING, NO_LINK, DirectoryUpload, Incoming, flush_folder

CHUNK = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Options(BaseModel):
    """`{type: directory, path: /mnt/dr, provider: onprem, region: office}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    provider: str = Field(min_length=1)
    region: str = Field(min_length=1)

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not path.startswith("/") or "\0" in path:
            raise ValueError("must be an absolute path")
        return path

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider=self.provider, region=self.region)

    @property
    def url(self) -> str:
        """What `from_url` reads."""
        return f"file://{quote(self.path)}"

    @property
    def stock_tools(self) -> tuple[StockTool, ...]:
        """Plain copying."""
        where = f"{base(self.path.rstrip('/'))}{FOLDER}"
        needs = "the folder, mounted where it was or elsewhere"
        return (StockTool("cp", f"ls {where}", f"cp -R {where}. {INTO}/", needs),)


def open_store(name: str, options: Options) -> DirectoryStore:
    """The folder as a vault. Unavailable when it is not there: it is never created, it may just not be mounted."""
    return DirectoryStore(name, options.path)


def from_url(url: str) -> Options:
    """``file:///path``. Raises Refused."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise Refused(f"{url!r} is not the address of a folder", hint="file:///path")
    try:
        return Options(path=unquote(parts.path), provider="onprem", region="unknown")
    except ValidationError as error:
        wrong = "; ".join(str(found["msg"]) for found in error.errors())
        raise Refused(f"{url!r} is not the address of a folder", cause=wrong, hint="file:///path") from error


class DirectoryStore:
    """An ObjectStore over the files below `root`. Safe for threads and for several processes on one machine."""

    def __init__(self, vault: str, root: str, *, limits: StoreLimits | None = None) -> None:
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.lock: LockRule | None = None
        self._root = root
        with self.mapped("open", ""), self.folder(()):
            pass

    def now(self) -> datetime:
        """The file system's own clock (on a NAS: the server's): the time of a file made at this moment."""
        name = secrets.token_hex(16)
        with self.mapped("now", ""), self.folder((INCOMING,), create=True) as folder:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600, dir_fd=folder)
            try:
                return _when(os.fstat(file))
            finally:
                os.close(file)
                os.unlink(name, dir_fd=folder)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walks the folders that can hold the prefix; an unreadable one raises."""
        check_path(prefix + "x", vault=self.vault)
        folder, _, beginning = prefix.rpartition("/")
        with self.mapped("list", prefix):
            yield from self._walk(tuple(folder.split("/")) if folder else (), beginning)

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """As `list`: a file has one version."""
        return (ObjectVersion(info.path, info.size, info.modified) for info in self.list(prefix))

    def stat(self, path: str) -> ObjectInfo:
        """One file's facts."""
        with self.mapped("stat", path), self._opened(path) as (_, found):
            return ObjectInfo(path, found.st_size, _when(found))

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """Reads the file that is there when reading begins."""
        if version:
            raise NotFound("a file has one version", operation="read", vault=self.vault, resource=path)
        with self.mapped("read", path), self._opened(path) as (descriptor, found):
            if start > found.st_size:
                raise Refused(
                    "it ends before the first byte asked for", operation="read", vault=self.vault, resource=path
                )
            end = found.st_size if length is None else min(found.st_size, start + length)
            while start < end:
                chunk = os.pread(descriptor, min(CHUNK, end - start), start)
                if not chunk:
                    raise Unavailable(
                        "it became shorter while it was read", operation="read", vault=self.vault, resource=path
                    )
                start += len(chunk)
                yield chunk

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Through a file of its own, like an upload, so that nobody sees half of it."""
        incoming = Incoming(self, path, "put")
        try:
            incoming.write(body)
            incoming.place(overwrite=overwrite)
        finally:
            incoming.drop()

    def upload(self, path: str) -> DirectoryUpload:
        """Begin an upload into a file in ``.incoming/``."""
        return DirectoryUpload(self, path)

    def delete(self, path: str) -> None:
        """Remove the file; its folders stay."""
        *folders, name = check_path(path, vault=self.vault).split("/")
        with (
            self.mapped("delete", path),
            suppress(FileNotFoundError, NotADirectoryError),
            self.folder(tuple(folders)) as folder,
        ):
            os.unlink(name, dir_fd=folder)

    def lock_of(self, path: str) -> None:
        """None: files have no locks."""
        self.stat(path)

    def extend_lock(self, path: str, until: datetime) -> None:
        """NotInThisVersion."""
        del until
        self.stat(path)
        raise NotInThisVersion("a folder has no locks", operation="extend_lock", vault=self.vault, resource=path)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """The files in ``.incoming/``, those of running uploads too; `begun` is when one was last written to.

        One whose name carries no path is shown by its own.
        """
        with (
            self.mapped("uploads", prefix),
            suppress(FileNotFoundError),
            self.folder((INCOMING,)) as folder,
            os.scandir(folder) as entries,
        ):
            for entry in entries:
                path = unquote(entry.name.partition(".")[2]) or f"{INCOMING}/{entry.name}"
                if path.startswith(prefix) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        yield PendingUpload(path, _when(entry.stat(follow_symlinks=False)), entry.name)

    def abort_upload(self, upload: PendingUpload) -> None:
        """Remove the file."""
        with (
            self.mapped("abort_upload", upload.path),
            suppress(FileNotFoundError),
            self.folder((INCOMING,)) as folder,
        ):
            os.unlink(upload.handle.replace("/", ""), dir_fd=folder)

    def close(self) -> None:
        """Nothing is held open between calls."""

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder, reached without following a link below the root."""
        folder = self._open_root()
        try:
            for part in parts:
                below = self._open_below(folder, part, create=create)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _open_root(self) -> int:
        try:
            return os.open(self._root, _FOLDER)
        except (FileNotFoundError, NotADirectoryError) as error:
            # Never NotFound: a vault that is not mounted holds its objects all the same.
            raise Unavailable(
                "the folder of the vault is not there",
                operation="open",
                vault=self.vault,
                resource=self._root,
                cause=error.strerror or "",
                hint="mount it; a new vault's folder is created by hand",
            ) from error

    @staticmethod
    def _open_below(folder: int, part: str, *, create: bool) -> int:
        try:
            return os.open(part, _FOLDER | NO_LINK, dir_fd=folder)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder)
            flush_folder(folder)
        return os.open(part, _FOLDER | NO_LINK, dir_fd=folder)

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, os.stat_result]]:
        """An object's file and its facts. NotFound when there is no such file, or a folder of that name."""
        *folders, name = check_path(path, vault=self.vault).split("/")
        with self.folder(tuple(folders)) as folder:
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NO_LINK, dir_fd=folder)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "it is not a file")
            yield descriptor, found
        finally:
            os.close(descriptor)

    def _walk(self, parts: tuple[str, ...], beginning: str) -> Iterator[ObjectInfo]:
        folders: list[str] = []
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self.folder(parts) as folder,
            os.scandir(folder) as entries,
        ):
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.startswith(beginning):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        yield ObjectInfo("/".join((*parts, entry.name)), found.st_size, _when(found))
        for name in folders:
            yield from self._walk((*parts, name), "")

    @contextmanager
    def mapped(self, operation: str, path: str) -> Iterator[None]:
        """Raise our errors for the operating system's."""
        try:
            yield
        except DrorchError:
            raise
        except OSError as error:
            kind, message, hint = _meaning(error, operation)
            raise kind(
                message,
                operation=operation,
                vault=self.vault,
                resource=path,
                cause=error.strerror or str(error),
                hint=hint,
            ) from error


def _when(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IMPOSSIBLE = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EINVAL)


def _meaning(error: OSError, operation: str) -> tuple[type[DrorchError], str, str]:
    """(kind, message, hint) for an error of the operating system."""
    if operation in ("stat", "read") and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound, "there is no such object", ""
    if error.errno in _FULL:
        return Unavailable, "the disk is full", "make room in the vault's file system, or raise its quota"
    if error.errno in _FORBIDDEN:
        return Refused, "the file system does not allow it", "see the owner and mode of the vault's folder"
    if error.errno in _IMPOSSIBLE:
        return Refused, "the file system cannot hold or follow this path", "symbolic links are never followed"
    return Unavailable, "the file system failed", ""
