"""One thread per vault: the same parts go to all of them at once, and a vault that fails or stalls is left behind.

Memory is bounded by a pool of part buffers: a buffer is shared by all vaults and returns after the last of them, so the
slowest vault sets the pace until its own deadline. Nothing is visible in any vault before `commit`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self

from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.ports import ObjectStore, Upload

DEPTH = 1
"""Parts that may wait for a vault besides the one it is writing."""
STALL = timedelta(minutes=5)
_ABORT_WAIT = timedelta(seconds=30)
_POLL = 0.1
"""Real seconds between two looks at the cancel event and at the deadlines while nothing happens."""


class Part:
    """One part's buffer on its way to the vaults in `holders`. Guarded by the lock of its `VaultWriters`."""

    __slots__ = ("abandoned", "buffer", "holders")

    def __init__(self, size: int) -> None:
        self.buffer = memoryview(bytearray(size))
        self.holders: set[str] = set()
        self.abandoned = False
        """A thread that hangs may still read it: it is never filled again."""


@dataclass(slots=True)
class _Task:
    run: Callable[[], None]
    part: Part | None = None


class VaultWriters:
    """Writes to several vaults at once. A context: leaving it aborts what was not committed.

    `lost` says which vaults were dropped and why. Methods raise Unavailable when no vault is left or `cancel` is set.
    All of them belong to one thread; `stall` is the longest that one call to a vault may take by `monotonic`.
    """

    def __init__(
        self,
        stores: Mapping[str, ObjectStore],
        part_bytes: int,
        *,
        stall: timedelta = STALL,
        cancel: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changed = threading.Condition()
        self.lost: dict[str, DrorchError] = {}
        self.part_bytes = part_bytes
        self._stall = stall
        self._cancel = cancel or threading.Event()
        self._monotonic = monotonic
        self._free: deque[Part] = deque()
        self._room = DEPTH + 2  # one being filled, one being written, and those that wait
        self._writers = {vault: _Writer(vault, store, self) for vault, store in stores.items()}
        self._tick: Callable[[], None] = lambda: None
        for writer in self._writers.values():
            writer.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def on_wait(self, tick: Callable[[], None]) -> None:
        """`tick` is called in the caller's thread whenever it waits: a place to report progress."""
        self._tick = tick

    @property
    def good(self) -> tuple[str, ...]:
        """The vaults still written to."""
        return tuple(vault for vault in self._writers if vault not in self.lost)

    def written(self) -> dict[str, int]:
        """Bytes of data that each vault has taken."""
        return {vault: writer.written for vault, writer in self._writers.items()}

    def acquire(self) -> Part:
        """A free part buffer; waits for the slowest vault."""
        with self.changed:
            self.wait_for(lambda: bool(self._free) or self._room > 0)
            if self._free:
                return self._free.popleft()
            self._room -= 1
        return Part(self.part_bytes)

    def write(self, path: str, part: Part, length: int) -> None:
        """Hand a part over: the next of the object at `path` in every vault."""
        with self.changed:
            part.holders = set(self.good)
            data = part.buffer[:length].toreadonly()
            for vault in self.good:
                writer = self._writers[vault]
                writer.tasks.append(_Task(partial(writer.write, path, data), part))
            if not part.holders:
                self._free.append(part)
            self.changed.notify_all()
        self.check()

    def commit(self) -> None:
        """Make every object written so far visible in the vaults still good; returns when all are done or dropped."""
        self._everywhere(_Writer.commit)

    def settle(self) -> None:
        """Returns when all that was written so far is through in the vaults still good, nothing of it visible yet."""
        self._everywhere(lambda _writer: None)

    def put(self, objects: Sequence[tuple[str, bytes]], *, last: bool = False) -> None:
        """Write small objects, in this order, in every vault; `last`: what was begun is not cancelled any more."""
        self._everywhere(lambda writer: writer.put(objects), cancellable=not last)

    def look(self, check: Callable[[ObjectStore], None]) -> None:
        """`check` every vault: one that fails it is dropped as one that fails a write."""
        self._everywhere(lambda writer: writer.look(check))

    def _everywhere(self, task: Callable[[_Writer], None], *, cancellable: bool = True) -> None:
        with self.changed:
            self.check()
            for vault in self.good:
                writer = self._writers[vault]
                writer.tasks.append(_Task(partial(task, writer)))
            self.changed.notify_all()
            self.wait_for(lambda: not any(self._writers[vault].busy for vault in self.good), cancellable=cancellable)
            self.check(cancellable=cancellable)

    def wait_for(self, ready: Callable[[], bool], *, cancellable: bool = True) -> None:
        """Wait on `changed`, which the caller holds, until `ready`; drops vaults that stall meanwhile."""
        while not ready():
            self.check(cancellable=cancellable)
            self._tick()
            if not ready():
                self.changed.wait(_POLL)

    def check(self, *, cancellable: bool = True) -> None:
        """Drop the vaults that stall; raise when cancelled or when none is left."""
        if cancellable and self._cancel.is_set():
            raise Unavailable("it was cancelled", operation="dump", hint="the next pass begins again")
        with self.changed:
            now = self._monotonic()
            for vault in self.good:
                since = self._writers[vault].since
                if since is not None and now - since > self._stall.total_seconds():
                    self._writers[vault].abandoned = True
                    self.drop(vault, _stalled(vault, self._stall))
            if not self.good:
                causes = "; ".join(f"{vault}: {error}" for vault, error in self.lost.items())
                raise Unavailable("no vault is left to write to", operation="dump", cause=causes or "none was given")

    def drop(self, vault: str, error: DrorchError) -> None:
        """Leave a vault behind: its thread aborts what it wrote as soon as the call it is in returns."""
        with self.changed:
            if vault in self.lost:
                return
            self.lost[vault] = error
            writer = self._writers[vault]
            waiting = [task.part for task in writer.tasks if task.part is not None]
            writer.tasks.clear()
            if writer.part is not None and threading.current_thread() is not writer.thread:
                writer.part.abandoned = True
                waiting.append(writer.part)
            for part in waiting:
                self.release(vault, part)
            self.changed.notify_all()

    def release(self, vault: str, part: Part) -> None:
        """`vault` needs the part no more; after the last one it is free again (replaced, if a thread hangs on it)."""
        with self.changed:
            if vault not in part.holders:
                return
            part.holders.discard(vault)
            if not part.holders:
                if part.abandoned:
                    self._room += 1
                else:
                    self._free.append(part)
            self.changed.notify_all()

    def abort(self) -> None:
        """End all threads; what was not committed is dropped. A thread that hangs in a vault is left behind."""
        with self.changed:
            for writer in self._writers.values():
                writer.ending = True
                for task in writer.tasks:
                    if task.part is not None:
                        self.release(writer.vault, task.part)
                writer.tasks.clear()
            self.changed.notify_all()
            begun, wait = self._monotonic(), min(self._stall, _ABORT_WAIT).total_seconds()
            while any(not (writer.ended or writer.abandoned) for writer in self._writers.values()):
                if self._monotonic() - begun > wait:
                    break
                self.changed.wait(_POLL)

    def now(self) -> float:
        """The present for deadlines, in seconds."""
        return self._monotonic()


class _Writer:
    """One vault's thread. Its fields are guarded by `writers.changed`; the store is called without the lock."""

    def __init__(self, vault: str, store: ObjectStore, writers: VaultWriters) -> None:
        self.vault = vault
        self.tasks: deque[_Task] = deque()
        self.since: float | None = None
        self.part: Part | None = None
        self.written = 0
        self.ending = False
        self.ended = False
        self.abandoned = False
        """A call to the store has taken too long; nobody waits for this thread any more."""
        self._store = store
        self._writers = writers
        self._uploads: dict[str, Upload] = {}
        self.thread = threading.Thread(target=self._run, name=f"vault {vault}", daemon=True)

    @property
    def busy(self) -> bool:
        return bool(self.tasks) or self.since is not None

    def _run(self) -> None:
        try:
            while (task := self._next()) is not None:
                try:
                    task.run()
                except DrorchError as error:
                    self._writers.drop(self.vault, error)
                except Exception as error:  # noqa: BLE001 - a fault in one adapter must not take the other vaults along
                    self._writers.drop(self.vault, _fault(self.vault, error))
                finally:
                    self._done(task)
            for upload in self._uploads.values():
                with suppress(Exception):  # what the store keeps of it costs space and harms nobody
                    upload.abort()
        finally:
            with self._writers.changed:
                self.ended = True
                self.since = None
                self._writers.changed.notify_all()

    def _next(self) -> _Task | None:
        with self._writers.changed:
            self._writers.changed.wait_for(lambda: self.tasks or self.ending or self.vault in self._writers.lost)
            if self.ending or self.vault in self._writers.lost:
                return None
            task = self.tasks.popleft()
            self.part = task.part
            self.since = self._writers.now()
            return task

    def _done(self, task: _Task) -> None:
        with self._writers.changed:
            self.since = self.part = None
            if task.part is not None:
                self._writers.release(self.vault, task.part)
            self._writers.changed.notify_all()

    def _progressed(self) -> None:
        """One call to the store has returned. Raises when the vault was given up meanwhile: nothing more is sent."""
        with self._writers.changed:
            self.since = self._writers.now()
            if self.ending or self.vault in self._writers.lost:
                raise Unavailable("the vault was given up", vault=self.vault)

    def write(self, path: str, data: memoryview) -> None:
        upload = self._uploads.get(path)
        if upload is None:
            upload = self._uploads[path] = self._store.upload(path)
            self._progressed()
        size = self._store.limits.part_bytes
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            upload.write(piece)
            self.written += len(piece)
            self._progressed()

    def commit(self) -> None:
        for path in list(self._uploads):
            self._uploads[path].commit()
            del self._uploads[path]
            self._progressed()

    def put(self, objects: Sequence[tuple[str, bytes]]) -> None:
        for path, body in objects:
            put_once(self._store, path, body)
            self._progressed()

    def look(self, check: Callable[[ObjectStore], None]) -> None:
        check(self._store)


def put_once(store: ObjectStore, path: str, body: bytes) -> None:
    """Write a small object once. One that is there already, or after a lost reply, with the same bytes is as good.

    Raises AlreadyExists when others are there.
    """
    try:
        store.put(path, body)
    except (AlreadyExists, OutcomeUnknown):
        try:
            found = b"".join(store.read(path, 0, len(body) + 1))
        except NotFound:
            found = None
        if found != body:
            raise


def _stalled(vault: str, stall: timedelta) -> Unavailable:
    return Unavailable(
        "the vault made no progress",
        operation="write",
        vault=vault,
        cause=f"one call took longer than {stall.total_seconds():.0f} s",
        hint="the copy is shipped later from another vault",
    )


def _fault(vault: str, error: Exception) -> Refused:
    return Refused(
        "a fault in the store's adapter", operation="write", vault=vault, cause=f"{type(error).__name__}: {error}"
    )
