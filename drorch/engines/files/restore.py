"""Restoring into a folder: unpacked under a passing name beside it, and renamed when everything is there."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import shutil
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from drorch.domain.errors import Busy, DrorchError, NotFound, Refused, Unavailable
from drorch.domain.native import Inventory
from drorch.engines.files.dump import DATA
from drorch.engines.files.tally import Tally, notes_of
from drorch.engines.files.unpack import Unpacked, give_folders_theirs, unpack
from drorch.engines.files.walk import FOLDER, Walk, open_root

_PASSING = ".{}.drorch-restoring"
_PLAIN = 0o755
_MARK = "user.drorch.restore"
"""An extended attribute (xattr(7)) of the restored folder."""


class FilesTarget:
    """The `RestoreTarget` of files. The folder gets the whole path of what was dumped: `TARGET/srv/shop/uploads`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passing = folder.with_name(_PASSING.format(folder.name))
        self._root = -1
        self._facts: Mapping[str, object] = {}
        self._unpacked: Unpacked | None = None
        self._consumers: list[TarConsumer] = []
        self._mark = ""

    def leave(self, mark: str) -> None:
        """See the port: an extended attribute of the folder."""
        self._mark = mark

    def left(self) -> str:
        """See the port."""
        try:
            mark = os.getxattr(self._folder, _MARK, follow_symlinks=False).decode("utf-8", "replace")
            return mark if any(self._folder.iterdir()) else ""
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP, errno.EPERM):
                return ""
            raise self._failed(error) from error

    @property
    def versions(self) -> Mapping[str, str]:
        """Of what unpacks."""
        return {"python": platform.python_version()}

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Refused when the folder holds anything or cannot be renamed to, or the dump is another engine's.

        Busy while another restore into it is under way; what one that died has left is removed.
        """
        if facts.get("engine") != "files":
            raise self._refused("this is no dump of files")
        self._facts = facts
        self._require_empty()
        try:
            self._root = self._make_passing()
        except OSError as error:
            raise self._failed(error) from error

    def load(self, artefact: str) -> TarConsumer:
        """A consumer for the tar stream. Refused for anything else, and before `prepare`."""
        if self._root < 0:
            raise self._refused("prepare the target first")
        if artefact != DATA:
            raise self._refused(f"a dump of files has no {artefact}")
        consumer = TarConsumer(self._root, self._loaded)
        self._consumers.append(consumer)
        return consumer

    def _loaded(self, unpacked: Unpacked) -> None:
        self._unpacked = unpacked

    def inventory(self, expected: Inventory) -> Inventory:
        """What lies on disk now below each of the paths that were counted exactly."""
        tally = Tally()
        for path, count in expected.tables.items():
            if count is not None and path not in expected.estimated:
                with suppress(NotFound):
                    count_tree(tally, path, self._root)
        return tally.inventory()

    def probe(self, sql: str) -> object:  # noqa: ARG002 - there is no query that could be asked
        """Files answer no queries: always Refused."""
        raise Refused("files answer no probes", operation="probe", resource=str(self._folder))

    def complete(self) -> tuple[str, ...]:
        """Give the folders their owners, modes and times, and the whole its name."""
        if self._root < 0 or self._unpacked is None:
            raise self._refused("nothing was loaded")
        try:
            lost = self._unpacked.lost_xattrs + give_folders_theirs(self._root, self._unpacked.folders)
            self._take_over()
            marked = self._marked()
            self._passing.rename(self._folder)
        except OSError as error:
            raise self._failed(error) from error
        self._close()
        return (*notes_of(self._facts), *self._own_notes(lost), *marked)

    def _marked(self) -> list[str]:
        """Leave the mark; what to say where the file system takes none."""
        try:
            if self._mark:
                os.setxattr(self._root, _MARK, self._mark.encode())
        except OSError as error:
            why = error.strerror or str(error)
            return [f"what was restored could not be noted at the folder ({why}): a runbook would not know it again"]
        return []

    def abandon(self) -> None:
        """Remove what was unpacked. Unavailable when that cannot be done."""
        for consumer in self._consumers:
            consumer.kill()
            consumer.close()
        if self._root < 0:
            return
        try:
            _remove(self._passing)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._close()

    def _close(self) -> None:
        os.close(self._root)
        self._root = -1

    def _require_empty(self) -> None:
        """Absent, or an empty folder that another can be renamed over."""
        try:
            parent = self._folder.parent.stat()
            found = self._folder.lstat()
            if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
                raise self._refused("the target is there, and no folder")
            if any(self._folder.iterdir()):
                raise self._refused("the target is not empty", hint="name another folder")
            if found.st_dev != parent.st_dev:
                raise self._refused("the target is a mount point", hint=f"name a folder in it: {self._folder}/restored")
        except FileNotFoundError as error:
            if not self._folder.parent.is_dir():
                raise self._refused("the folder that the target is to lie in is not there") from error
        except OSError as error:
            raise self._failed(error) from error

    def _make_passing(self) -> int:
        """The new folder, ours alone, open and locked for as long as this lives."""
        with suppress(FileNotFoundError):
            self._remove_remains()
        self._passing.mkdir(mode=0o700)
        root = os.open(self._passing, FOLDER)
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return root

    def _remove_remains(self) -> None:
        remains = os.open(self._passing, FOLDER)
        try:
            fcntl.flock(remains, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(remains).st_uid != os.geteuid():
                raise self._refused(f"{self._passing} is another's")
            _remove(self._passing)
        finally:
            os.close(remains)

    def _take_over(self) -> None:
        """The mode and owner of the empty folder that is replaced; a new one is as open as folders usually are."""
        try:
            found = self._folder.lstat()
        except FileNotFoundError:
            os.fchmod(self._root, _PLAIN)
            return
        if os.geteuid() == 0:
            os.fchown(self._root, found.st_uid, found.st_gid)
        os.fchmod(self._root, stat.S_IMODE(found.st_mode))

    def _own_notes(self, lost: int) -> list[str]:
        notes = [f"{lost} extended attributes could not be set there"] if lost else []
        if os.geteuid() != 0:
            notes.append("owners were not restored, nor setuid and setgid bits: only root can")
        return notes

    def _refused(self, message: str, hint: str = "") -> Refused:
        return Refused(message, operation="restore", resource=str(self._folder), hint=hint)

    def _failed(self, error: OSError) -> DrorchError:
        where = {"operation": "restore", "resource": str(self._folder), "cause": error.strerror or str(error)}
        if error.errno in (errno.EWOULDBLOCK, errno.EEXIST):
            return Busy("another restore into this folder is under way", **where)
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            return Refused("the target appeared meanwhile", **where)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            return Refused("the target cannot be made", **where)
        return Unavailable("the target failed", **where)


def _remove(folder: Path) -> None:
    """Folders may have their own modes already, which can shut out even their owner."""
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(folder)
        except PermissionError:
            _open_up(folder)
            shutil.rmtree(folder)


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _open_up(path)


def count_tree(tally: Tally, path: str, root: int) -> None:
    """Count what was unpacked of `path`, each file's bytes once, as the dump does. NotFound."""
    seen: set[tuple[int, int]] = set()
    place = f"/proc/self/fd/{root}"
    folder, name = open_root(f"{place}{path}".rstrip("/"), place)
    tally.begin(path)
    try:
        for entry in Walk(lambda _path: False, lambda _path: None).entries(path, folder, name):
            mode, inode = entry.info.st_mode, (entry.info.st_dev, entry.info.st_ino)
            if stat.S_ISREG(mode):
                tally.file(path, 0 if inode in seen else entry.info.st_size)
                if entry.info.st_nlink > 1:
                    seen.add(inode)
            elif entry.opened < 0:
                tally.file(path)
    finally:
        os.close(folder)


class TarConsumer:
    """A `Consumer` without a process: a thread unpacks what comes through a pair of sockets.

    Sockets, since one that is shut down wakes whoever reads or writes, and no descriptor is closed under a thread.
    """

    def __init__(self, root: int, loaded: Callable[[Unpacked], None]) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.stdin: BinaryIO = cast("BinaryIO", self._ours.makefile("wb", buffering=0))
        self._loaded = loaded
        self._killed = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(root,), name="unpack", daemon=True)
        self._thread.start()

    def _run(self, root: int) -> None:
        try:
            with self._theirs.makefile("rb", buffering=0) as source:
                unpacked = unpack(cast("BinaryIO", source), root, self._killed.is_set)
            if not self._killed.is_set():
                self._loaded(unpacked)
        except DrorchError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it
            self._error = Unavailable("unpacking failed", operation="restore", cause=str(error))
        finally:
            with suppress(OSError):
                self._theirs.shutdown(socket.SHUT_RDWR)  # whoever still writes is told

    def finish(self) -> tuple[str, ...]:
        """Wait for the last file. Raises why it was not unpacked to the end."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)
        self._thread.join()
        self.close()
        if self._killed.is_set():
            raise Refused("loading was ended", operation="restore")
        if self._error is not None:
            raise self._error
        return ()

    def kill(self) -> None:
        """End it; what was unpacked goes with the target."""
        if self._thread.is_alive():
            self._killed.set()
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)
            self._thread.join()

    def close(self) -> None:
        """For whoever writes, who alone knows that nothing is being written now."""
        self.stdin.close()
        self._ours.close()
        self._theirs.close()
