"""Locks that die with their holder (flock): one daemon per state folder, one activity per resource.

A worker inherits the descriptor of its resource's lock, so that a held lock means that something is running.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drorch.domain.errors import Busy, Unavailable

_LOOKS = 8
_LOOK_S = 0.002


class Lock:
    """A held lock. `descriptor` may be inherited; the lock is free when every copy of it is closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def release(self) -> None:
        """Let go; harmless twice."""
        if self.descriptor >= 0:
            with suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = -1


class Locks:
    """The lock files below ``STATE/locks``."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "locks"
        self._within = f"{self._folder}{os.sep}"

    def take(self, name: str, what: str) -> Lock:
        """Take the lock `name` or raise Busy at once, naming who holds it; `what` is written down for the others."""
        path = self._path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"cannot make the lock file {path}",
                cause=error.strerror or "",
                hint="the state folder must be writable for this user",
            ) from error
        try:
            _lock(descriptor)
        except OSError as error:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another drorch"
            os.close(descriptor)
            raise Busy(
                f"{name} is locked", cause=holder, hint="it is free when that ends; nothing to clean up"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{what} (process {os.getpid()})\n".encode(), 0)
        return Lock(path, descriptor)

    @contextmanager
    def held(self, name: str, what: str) -> Iterator[Lock]:
        """As `take`, released at the end of the block."""
        lock = self.take(name, what)
        try:
            yield lock
        finally:
            lock.release()

    @contextmanager
    def shared(self, name: str, what: str) -> Iterator[None]:
        """Hold `name` beside others who share it, for the block. Unavailable where no lock can be made."""
        path = self._path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(descriptor, f"{what} (process {os.getpid()})\n".encode(), 0)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError as error:
            raise Unavailable(f"cannot make the lock file {path}", cause=error.strerror or "") from error
        try:
            yield
        finally:
            os.close(descriptor)

    def sharer(self, name: str) -> str:
        """What one of those says who share `name` now; empty when nobody does."""
        return self._whose(name, fcntl.LOCK_EX)

    def holder(self, name: str) -> str:
        """What holds the lock `name` now; empty when nothing does."""
        return self._whose(name, fcntl.LOCK_SH)

    def _whose(self, name: str, wanted: int) -> str:
        """Who keeps this process from having the lock so for an instant."""
        try:
            descriptor = os.open(f"{self._within}{name}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            fcntl.flock(descriptor, wanted | fcntl.LOCK_NB)
        except OSError:
            return os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another drorch"
        else:
            return ""
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _lock(descriptor: int) -> None:
    """A look at who holds the lock (`Locks.holder`) locks it for an instant, too: that must not count as held."""
    for number in range(1, _LOOKS + 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOOK_S * number)  # longer and longer: whoever looks at a steady pace falls out of step
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def resource_lock(application: str, resource: str) -> str:
    """The name of a resource's lock; no name contains the separator."""
    return f"{application}.{resource}"


def drilling_lock(account: str) -> str:
    """What a drill in an account holds; no name holds its separator."""
    return f"drilling:{account}"


def restoring_lock(application: str) -> str:
    """What restores of an application share, so that nothing of it is let go meanwhile; no name holds its separator."""
    return f"restoring:{application}"
