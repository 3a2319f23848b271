"""The ciphertext of an artefact, leaf by leaf: read ahead in a thread, each leaf verified before it is given away."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator
from queue import Empty, Queue
from typing import cast

from drorch.domain import layout
from drorch.domain.errors import Damaged, NotFound, Unavailable
from drorch.domain.record import Record, StoredArtefact
from drorch.ports import Clock, ObjectStore

LARGEST_LEAF = 16 * 1024 * 1024
"""Bytes; drorch writes leaves of 1 MiB."""

_AHEAD = 8
"""Leaves held at most: what the network brings while the database takes its time."""
_ATTEMPTS = 5
"""Tries for one leaf; a stream that is cut begins again at the first leaf that is not verified."""
_FIRST_PAUSE = 1.0
_POLL = 0.2
"""Seconds between looks at the cancel event while nothing comes."""


def folder_of(manifest: Record) -> str:
    """The folder of the point's data. Raises Damaged when the manifest names no point."""
    if manifest.cut_at is None:
        raise Damaged("a manifest names no point")
    return layout.data_folder(manifest.application, manifest.resource, manifest.cut_at, manifest.point)


def check_sizes(store: ObjectStore, folder: str, artefact: StoredArtefact) -> None:
    """Every object of the artefact is there with its signed size. Raises Damaged, before a byte of it is read."""
    if not 0 < artefact.leaf_bytes <= LARGEST_LEAF:
        raise Damaged(
            f"the manifest gives {artefact.name} leaves of {artefact.leaf_bytes} bytes",
            operation="verify",
            vault=store.vault,
            hint=f"this version reads leaves of 1 to {LARGEST_LEAF} bytes",
        )
    signed = [(volume.object, volume.bytes) for volume in artefact.volumes]
    signed.append((artefact.name + layout.LEAVES, artefact.leaves_bytes))
    for name, size in signed:
        try:
            found = store.stat(folder + name).size
        except NotFound as error:
            raise _damaged(store, folder + name, "it is missing") from error
        if found != size:
            raise _damaged(store, folder + name, f"it has {found} bytes, signed are {size}")


def leaf_digests(store: ObjectStore, folder: str, artefact: StoredArtefact) -> bytes:
    """The artefact's leaf digests, 32 bytes each, as signed. Raises Damaged when they are others."""
    path, size = folder + artefact.name + layout.LEAVES, artefact.leaves_bytes
    data = read_at_most(store, path, size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != artefact.leaves_sha256:
        raise _damaged(store, path, "these are not the digests that were signed")
    return data


def read_at_most(store: ObjectStore, path: str, most: int) -> bytes:
    """A small object. Raises Damaged when it has more than `most` bytes."""
    data = bytearray()
    for chunk in store.read(path, 0, most + 1):
        data += chunk
        if len(data) > most:
            raise _damaged(store, path, f"it has more than {most} bytes")
    return bytes(data)


def verified_leaves(
    store: ObjectStore,
    folder: str,
    artefact: StoredArtefact,
    clock: Clock,
    cancel: threading.Event | None = None,
) -> Generator[memoryview, None, None]:
    """Every leaf in its order; each piece is valid only until the next is asked for.

    Raises Damaged (with the leaf's number), Unavailable when a stream stays cut after several tries or `cancel` is set.
    Close the generator to stop reading before the end.
    """
    check_sizes(store, folder, artefact)
    reader = _Reader(store, folder, artefact, leaf_digests(store, folder, artefact), clock)
    thread = threading.Thread(target=reader.run, name=f"read {artefact.name}", daemon=True)
    thread.start()
    try:
        while (item := _wait(reader.ready, cancel)) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
            reader.recycle(item)
    finally:
        reader.stop()


def _wait(ready: Queue[memoryview | Exception | None], cancel: threading.Event | None) -> memoryview | Exception | None:
    if cancel is None:
        return ready.get()
    while True:
        if cancel.is_set():
            raise Unavailable("it was interrupted", operation="read", hint="the same command may be given again")
        try:
            return ready.get(timeout=_POLL)
        except Empty:
            continue


class _Reader:
    """Fills buffers from `free`, hands them over in `ready`; ends with None or with the error that ended it."""

    def __init__(self, store: ObjectStore, folder: str, artefact: StoredArtefact, digests: bytes, clock: Clock) -> None:
        self._store, self._folder, self._artefact = store, folder, artefact
        self._digests, self._clock = digests, clock
        self._chunks: Iterator[bytes] = self._stream(0)
        self._rest = memoryview(b"")
        self._stopped = False
        self.ready: Queue[memoryview | Exception | None] = Queue()
        self.free: Queue[bytearray | None] = Queue()
        size = min(artefact.leaf_bytes, artefact.bytes)
        for _ in range(min(_AHEAD, len(digests) // 32)):
            self.free.put(bytearray(size))

    def stop(self) -> None:
        """The thread ends at its next leaf; one that hangs in the network is left behind (it is a daemon thread)."""
        self._stopped = True
        self.free.put(None)

    def recycle(self, leaf: memoryview) -> None:
        """The leaf's buffer may be filled again."""
        self.free.put(cast("bytearray", leaf.obj))

    def run(self) -> None:
        try:
            for number in range(len(self._digests) // 32):
                buffer = self.free.get()
                if buffer is None or self._stopped:
                    return
                self.ready.put(self._leaf(number, buffer))
            self.ready.put(None)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other thread raises it
            self.ready.put(error)
        finally:
            self._drop()

    def _leaf(self, number: int, buffer: bytearray) -> memoryview:
        """One verified leaf. A cut stream and a first mismatch (it may be the network's) are read once more."""
        start = number * self._artefact.leaf_bytes
        leaf = memoryview(buffer)[: min(self._artefact.leaf_bytes, self._artefact.bytes - start)]
        digest = self._digests[32 * number : 32 * number + 32]
        mismatched = False
        for attempt in range(_ATTEMPTS):
            try:
                self._fill(leaf)
            except Unavailable:
                self._drop()
                if self._stopped or attempt == _ATTEMPTS - 1:
                    raise
                self._clock.sleep(_FIRST_PAUSE * 2**attempt)
            else:
                if hashlib.sha256(leaf).digest() == digest:
                    return leaf
                self._drop()
                if mismatched:
                    break
                mismatched = True
            self._chunks = self._stream(start)
        raise self._mismatch(number, start)

    def _fill(self, leaf: memoryview) -> None:
        filled = 0
        while filled < len(leaf):
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise Unavailable(f"{self._artefact.name} ended early", operation="read", vault=self._store.vault)
                self._rest = memoryview(chunk)
            step = min(len(self._rest), len(leaf) - filled)
            leaf[filled : filled + step] = self._rest[:step]
            self._rest = self._rest[step:]
            filled += step

    def _stream(self, start: int) -> Iterator[bytes]:
        """The artefact's bytes from `start`, volume after volume."""
        for volume in self._artefact.volumes:
            if start >= volume.bytes:
                start -= volume.bytes
                continue
            missing = volume.bytes - start
            for chunk in self._store.read(self._folder + volume.object, start, missing):
                missing -= len(chunk)
                yield chunk
            if missing:
                raise Unavailable(f"{volume.object} ended early", operation="read", vault=self._store.vault)
            start = 0

    def _drop(self) -> None:
        self._rest = memoryview(b"")
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

    def _mismatch(self, number: int, start: int) -> Damaged:
        offset = start
        for volume in self._artefact.volumes:
            if offset < volume.bytes:
                break
            offset -= volume.bytes
        return _damaged(
            self._store,
            self._folder + volume.object,
            f"leaf {number + 1} of {len(self._digests) // 32} (at byte {offset} of this object) is not what was signed",
        )


def _damaged(store: ObjectStore, path: str, cause: str) -> Damaged:
    return Damaged(
        f"{path} is damaged",
        operation="verify",
        vault=store.vault,
        cause=cause,
        hint="another vault may hold a good copy: --from VAULT; an older point: --at TIME or --point ID",
    )
