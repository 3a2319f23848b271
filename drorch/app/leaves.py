"""The ciphertext of an artefact, leaf by leaf: read ahead in a thread, each leaf verified before it is given away."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator, Sequence
from queue import Empty, Queue
from typing import cast

from drorch.app.versions import (
    ObjectDamaged,
    Shadowed,
    nobody,
    older_versions,
    read_at_most,
    read_valid,
    sized,
)
from drorch.domain import layout
from drorch.domain.errors import Damaged, NotFound, Unavailable
from drorch.domain.record import Record, StoredArtefact, StoredVolume
from drorch.ports import Clock, ObjectStore

__all__ = ["check_sizes", "folder_of", "leaf_digests", "read_at_most", "runs", "verified_leaves"]

LARGEST_LEAF = 16 * 1024 * 1024
"""Bytes; drorch writes leaves of 1 MiB."""

_AHEAD = 8
"""Leaves held at most: what the network brings while the database takes its time."""
_ATTEMPTS = 5
"""Tries to read one leaf; a stream that is cut begins again at the first leaf that is not verified."""
_FIRST_PAUSE = 1.0
_POLL = 0.2
"""Seconds between looks at the cancel event while nothing comes."""


def folder_of(manifest: Record) -> str:
    """The folder of the point's data. Raises Damaged when the manifest names no point."""
    if manifest.cut_at is None:
        raise Damaged("a manifest names no point")
    return layout.data_folder(manifest.application, manifest.resource, manifest.cut_at, manifest.point)


def check_sizes(
    store: ObjectStore, folder: str, artefact: StoredArtefact, shadowed: Shadowed = nobody
) -> dict[str, str]:
    """Every object of the artefact is there with its signed size. Raises Damaged, before a byte of it is read.

    Returns which version of each object has that size: "" where it is the current one.
    """
    if not 0 < artefact.leaf_bytes <= LARGEST_LEAF:
        raise Damaged(
            f"the manifest gives {artefact.name} leaves of {artefact.leaf_bytes} bytes",
            operation="verify",
            vault=store.vault,
            hint=f"this version reads leaves of 1 to {LARGEST_LEAF} bytes",
        )
    signed = [(volume.object, volume.bytes) for volume in artefact.volumes]
    signed.append((artefact.name + layout.LEAVES, artefact.leaves_bytes))
    return {name: sized(store, folder + name, size, shadowed) for name, size in signed}


def leaf_digests(store: ObjectStore, folder: str, artefact: StoredArtefact, shadowed: Shadowed = nobody) -> bytes:
    """The artefact's leaf digests, 32 bytes each, as signed. Raises Damaged when they are others."""
    path, size = folder + artefact.name + layout.LEAVES, artefact.leaves_bytes

    def check(data: bytes, _written: object) -> bytes:
        if len(data) != size or hashlib.sha256(data).hexdigest() != artefact.leaves_sha256:
            raise ObjectDamaged(path, "these are not the digests that were signed", vault=store.vault)
        return data

    return read_valid(store, path, size, check, shadowed)


def verified_leaves(
    store: ObjectStore,
    folder: str,
    artefact: StoredArtefact,
    clock: Clock,
    cancel: threading.Event | None = None,
    *,
    chosen: Sequence[int] | None = None,
    shadowed: Shadowed = nobody,
) -> Generator[memoryview, None, None]:
    """Every leaf in its order (only the `chosen` ones, rising from 0); each is valid only until the next is asked for.

    Raises Damaged (with the leaf's number), Unavailable when a stream stays cut after several tries or `cancel` is set.
    Where the store keeps versions, a leaf that the current object does not have is taken from the oldest version that
    has it. Close the generator to stop reading before the end.
    """
    versions = check_sizes(store, folder, artefact, shadowed)
    digests = leaf_digests(store, folder, artefact, shadowed)
    numbers = range(len(digests) // 32) if chosen is None else chosen
    reader = _Reader(store, folder, artefact, digests, clock, versions, numbers, shadowed)
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


def runs(numbers: Sequence[int]) -> Iterator[range]:
    """Rising numbers as runs of neighbours: each is read in one stream."""
    start = stop = None
    for number in numbers:
        if start is None or number != stop:
            if start is not None and stop is not None:
                yield range(start, stop)
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield range(start, stop)


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

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        artefact: StoredArtefact,
        digests: bytes,
        clock: Clock,
        versions: dict[str, str],
        numbers: Sequence[int],
        shadowed: Shadowed,
    ) -> None:
        self._store, self._folder, self._artefact = store, folder, artefact
        self._digests, self._clock = digests, clock
        self._versions, self._numbers, self._shadowed = versions, numbers, shadowed
        self._chunks: Iterator[bytes] = iter(())
        self._end = artefact.bytes
        self._rest = memoryview(b"")
        self._stopped = False
        self.ready: Queue[memoryview | Exception | None] = Queue()
        self.free: Queue[bytearray | None] = Queue()
        size = min(artefact.leaf_bytes, artefact.bytes)
        for _ in range(min(_AHEAD, len(numbers))):
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
            for run in runs(self._numbers):
                self._drop()
                self._end = min(run.stop * self._artefact.leaf_bytes, self._artefact.bytes)
                self._chunks = self._stream(run.start * self._artefact.leaf_bytes)
                for number in run:
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
        """One verified leaf. A first mismatch may be the network's: it is read once more."""
        start = number * self._artefact.leaf_bytes
        leaf = memoryview(buffer)[: min(self._artefact.leaf_bytes, self._artefact.bytes - start)]
        digest = self._digests[32 * number : 32 * number + 32]
        missing = False
        for _ in range(2):
            try:
                self._read(leaf, start)
            except NotFound:
                missing = True
                break
            if hashlib.sha256(leaf).digest() == digest:
                return leaf
            self._drop()
            self._chunks = self._stream(start)
        if self._older(leaf, digest, start):
            return leaf
        raise self._mismatch(number, start, missing)

    def _older(self, leaf: memoryview, digest: bytes, start: int) -> bool:
        """Whether an older version of the leaf's object has it; that one is read from here on."""
        volume, _ = self._place(start)
        path = self._folder + volume.object
        for found in older_versions(self._store, path):
            if found.size != volume.bytes or found.version == self._versions[volume.object]:
                continue
            self._drop()
            self._versions[volume.object] = found.version
            self._chunks = self._stream(start)
            try:
                self._read(leaf, start)
            except NotFound:
                continue
            if hashlib.sha256(leaf).digest() == digest:
                self._shadowed(path)
                return True
        return False

    def _read(self, leaf: memoryview, start: int) -> None:
        """Fill the leaf from where the stream is; one that is cut begins again at the leaf, after a pause."""
        for attempt in range(_ATTEMPTS):
            try:
                self._fill(leaf)
            except Unavailable:
                self._drop()
                if self._stopped or attempt == _ATTEMPTS - 1:
                    raise
                self._clock.sleep(_FIRST_PAUSE * 2**attempt)
                self._chunks = self._stream(start)
            else:
                return

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
        """The artefact's bytes from `start` to the end of the run, volume after volume."""
        begin = 0
        for volume in self._artefact.volumes:
            first, last = max(start, begin), min(self._end, begin + volume.bytes)
            if first < last:
                missing = last - first
                for chunk in self._open(volume, first - begin, missing):
                    missing -= len(chunk)
                    yield chunk
                if missing:
                    raise Unavailable(f"{volume.object} ended early", operation="read", vault=self._store.vault)
            begin += volume.bytes

    def _open(self, volume: StoredVolume, start: int, length: int) -> Iterator[bytes]:
        path, version = self._folder + volume.object, self._versions[volume.object]
        if version:
            return self._store.read(path, start, length, version=version)
        return self._store.read(path, start, length)

    def _drop(self) -> None:
        self._rest = memoryview(b"")
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

    def _place(self, start: int) -> tuple[StoredVolume, int]:
        """The object that a byte of the artefact lies in, and where in it."""
        offset = start
        for volume in self._artefact.volumes:
            if offset < volume.bytes:
                break
            offset -= volume.bytes
        return volume, offset

    def _mismatch(self, number: int, start: int, missing: bool) -> ObjectDamaged:
        volume, offset = self._place(start)
        leaf = f"leaf {number + 1} of {len(self._digests) // 32} (at byte {offset} of this object)"
        cause = "it is missing" if missing else f"{leaf} is not what was signed"
        path = self._folder + volume.object
        return ObjectDamaged(path, cause, vault=self._store.vault, leaf=number + 1, offset=offset, missing=missing)
