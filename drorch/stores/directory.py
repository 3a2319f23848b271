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
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from drorch.domain.errors import (
    AlreadyExists,
    Damaged,
    DrorchError,
    NotFound,
    NotInThisVersion,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.domain.guide import FOLDER, INTO, StockTool, base
from drorch.domain.model import FailureDomain
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import Parts

CHUNK = 1024 * 1024
INCOMING = ".incoming"
_NAME_BYTES = 255
"""The longest name that file systems take."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC


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
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600, dir_fd=folder)
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
        incoming = _Incoming(self, path, "put")
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
            return os.open(part, _FOLDER | _NO_LINK, dir_fd=folder)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder)
            _flush_folder(folder)
        return os.open(part, _FOLDER | _NO_LINK, dir_fd=folder)

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, os.stat_result]]:
        """An object's file and its facts. NotFound when there is no such file, or a folder of that name."""
        *folders, name = check_path(path, vault=self.vault).split("/")
        with self.folder(tuple(folders)) as folder:
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=folder)
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


class DirectoryUpload:
    """An upload into a file of its own, linked to its name by `commit`."""

    def __init__(self, store: DirectoryStore, path: str) -> None:
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._incoming = _Incoming(store, path, "upload")

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Append the part to the file."""
        self._parts.add(len(part))
        try:
            self._incoming.write(part)
        except DrorchError:
            self._parts.end("a part could not be written")
            raise

    def commit(self) -> None:
        """Flush the file to disk and link it to its name, write-once."""
        self._parts.commit()
        try:
            self._incoming.place(overwrite=False)
        finally:
            self._incoming.drop()

    def abort(self) -> None:
        """Remove the file."""
        self._parts.end("it was given up")
        self._incoming.drop()


class _Incoming:
    """One unfinished file in ``.incoming/``, mode 600."""

    def __init__(self, store: DirectoryStore, path: str, operation: str) -> None:
        *folders, self._target = check_path(path, vault=store.vault).split("/")
        self._folders = tuple(folders)
        self._store = store
        self._operation = operation
        self._path = path
        self._size = 0
        self._name = _incoming_name(path)
        with self._mapped(), store.folder((INCOMING,), create=True) as folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
            self._file = os.open(self._name, flags, 0o600, dir_fd=folder)
        self._open = True

    def _mapped(self) -> AbstractContextManager[None]:
        return self._store.mapped(self._operation, self._path)

    def write(self, body: bytes | bytearray | memoryview) -> None:
        """All of it, or an error."""
        rest = memoryview(body)
        with self._mapped():
            while rest:
                written = os.write(self._file, rest)
                self._size += written
                rest = rest[written:]

    def place(self, *, overwrite: bool) -> None:
        """Durable first, then visible under its name, then durable there."""
        with self._mapped():
            os.fsync(self._file)
            if (size := os.fstat(self._file).st_size) != self._size:
                raise Damaged(f"{size} bytes were kept of {self._size}", **self._where)
            with (
                self._store.folder((INCOMING,)) as incoming,
                self._store.folder(self._folders, create=True) as folder,
            ):
                if overwrite:
                    os.replace(self._name, self._target, src_dir_fd=incoming, dst_dir_fd=folder)
                else:
                    self._link(incoming, folder)
                self._flush(folder)

    def drop(self) -> None:
        """Remove the file in ``.incoming/``; what was placed stays. Harmless twice; what cannot be removed is left."""
        if not self._open:
            return
        self._open = False
        with suppress(OSError):
            os.close(self._file)
        with suppress(OSError, DrorchError), self._store.folder((INCOMING,)) as incoming:
            os.unlink(self._name, dir_fd=incoming)

    @property
    def _where(self) -> dict[str, str]:
        return {"operation": self._operation, "vault": self._store.vault, "resource": self._path}

    def _link(self, incoming: int, folder: int) -> None:
        try:
            os.link(self._name, self._target, src_dir_fd=incoming, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError as error:
            # NFS may carry a link out, lose the reply, and refuse the repetition: it is ours if it is this very file.
            there = os.stat(self._target, dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(there, os.fstat(self._file)):
                raise AlreadyExists("it exists already", **self._where) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            raise Refused(
                "this file system has no hard links, and without them nothing is written once",
                **self._where,
                cause=error.strerror or "",
                hint="keep the vault on another file system (ext4, XFS, ZFS, NFS ...)",
            ) from error

    def _flush(self, folder: int) -> None:
        try:
            _flush_folder(folder)
        except OSError as error:
            raise OutcomeUnknown(
                "it is visible, but its folder could not be flushed to disk", **self._where, cause=error.strerror or ""
            ) from error


def _incoming_name(path: str) -> str:
    """A name of its own, which carries the path where there is room for it."""
    token = secrets.token_hex(16)
    name = f"{token}.{quote(path, safe='')}"
    return name if len(name) <= _NAME_BYTES else token


def _flush_folder(folder: int) -> None:
    """fsync of a folder; some network file systems do not know it (EINVAL) and need none."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


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
