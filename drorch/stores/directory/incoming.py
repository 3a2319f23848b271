"""Files on their way into a folder: written aside, flushed to disk, then linked to their names, write-once."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, OutcomeUnknown, Refused
from drorch.ports import check_path
from drorch.stores import Parts

if TYPE_CHECKING:
    from drorch.stores.directory import DirectoryStore

INCOMING = ".incoming"
NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_BYTES = 255
"""The longest name that file systems take."""


class DirectoryUpload:
    """An upload into a file of its own, linked to its name by `commit`."""

    def __init__(self, store: DirectoryStore, path: str) -> None:
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._incoming = Incoming(store, path, "upload")

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


class Incoming:
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
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
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
            flush_folder(folder)
        except OSError as error:
            raise OutcomeUnknown(
                "it is visible, but its folder could not be flushed to disk", **self._where, cause=error.strerror or ""
            ) from error


def _incoming_name(path: str) -> str:
    """A name of its own, which carries the path where there is room for it."""
    token = secrets.token_hex(16)
    name = f"{token}.{quote(path, safe='')}"
    return name if len(name) <= _NAME_BYTES else token


def flush_folder(folder: int) -> None:
    """fsync of a folder; some network file systems do not know it (EINVAL) and need none."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
