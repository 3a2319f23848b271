"""One artefact on its way: producer -> zstd -> age -> digests -> all vaults at once, in bounded memory.

One thread reads, two compress, the caller's encrypts and digests, one per vault writes (`drorch.app.vault_writers`):
all of these release the interpreter's lock. No temporary file, one read of the source whatever the number of vaults.
Nothing becomes visible here: the caller commits once every producer has ended well.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import zstandard

from drorch.app.vault_writers import Part, VaultWriters
from drorch.crypto.age import Encryptor
from drorch.crypto.age_chunks import PLAIN_BYTES, SEALED_BYTES
from drorch.domain import layout
from drorch.domain.errors import DrorchError, InvalidInput, Unavailable
from drorch.domain.record import StoredArtefact, StoredVolume
from drorch.ports import ObjectStore, Producer

LEAF_BYTES = 1024 * 1024
LARGEST_VOLUME = 64 * 1024 * LEAF_BYTES
LEVEL = 3
FRAME_BYTES = 2 * 1024 * 1024
"""Plain bytes of a zstd frame. Level 3 looks back 2 MiB at most (its window): a frame no longer than that needs no copy
of what came before, which makes it a fifth faster and hardly larger (docs/decisions/0030)."""
_COMPRESSORS = 2
_WAITING = 6
"""Frames, compressed or not yet, between the producer and encryption: with fewer the stages wait for each other."""
_PIPE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cutting:
    """How the ciphertext is cut: bytes of a part and of a volume, the same for all vaults of a point."""

    part_bytes: int
    volume_bytes: int


def cutting(stores: Mapping[str, ObjectStore], largest: int = LARGEST_VOLUME) -> Cutting:
    """The largest part and the smallest volume that the vaults' limits allow.

    Raises InvalidInput when there is no vault, or when their parts do not fit into one another in whole MiB.
    """
    limits = {vault: store.limits for vault, store in stores.items()}
    if not limits:
        raise InvalidInput("a dump needs a vault")
    part = max(limit.part_bytes for limit in limits.values())
    unfit = [vault for vault, limit in limits.items() if limit.part_bytes % LEAF_BYTES or part % limit.part_bytes]
    volume = min(largest, *(limit.part_bytes * limit.max_parts for limit in limits.values())) // part * part
    if unfit or not volume:
        raise InvalidInput(f"these vaults cannot take one dump together: {', '.join(sorted(unfit or limits))}")
    return Cutting(part, volume)


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """How far one artefact is: bytes read, bytes of ciphertext made, bytes each vault has taken (of the whole dump)."""

    name: str
    plain_bytes: int
    cipher_bytes: int
    vaults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What went to the vaults: the artefact as the manifest will sign it, its leaf digests, the plain bytes."""

    artefact: StoredArtefact
    leaves: bytes
    plain_bytes: int


def stream_artefact(
    name: str,
    producer: Producer,
    recipients: Sequence[str],
    writers: VaultWriters,
    folder: str,
    volume_bytes: int,
    progress: Callable[[StreamProgress], None] = lambda _progress: None,
) -> StreamResult:
    """Send what `producer` gives to every vault of `writers`, as objects named `name` + ``.zst.age`` below `folder`.

    Raises the producer's own error when it did not end well, Unavailable when no vault is left or it was cancelled;
    the producer is killed then, and the caller leaves `writers`, which aborts every upload.
    """
    cutter = _Cutter(name + layout.ENCRYPTED, folder, Encryptor(recipients), writers, volume_bytes)
    reader = _Reader(producer, writers)

    def tell() -> None:
        progress(StreamProgress(name, reader.plain_bytes, cutter.bytes, writers.written()))

    writers.on_wait(tell)
    try:
        reader.start()
        while (packed := reader.next()) is not None:
            cutter.take(packed)
            tell()
        artefact = cutter.finish()
        tell()
    except BaseException:
        reader.stop()
        raise
    finally:
        writers.on_wait(lambda: None)
    return StreamResult(artefact, bytes(cutter.leaves), reader.plain_bytes)


class _Piece:
    """A frame's worth of the stream: plain bytes in a pooled buffer, then the frame. Guarded by the writers' lock."""

    __slots__ = ("buffer", "filled", "frame")

    def __init__(self, buffer: memoryview, filled: int) -> None:
        self.buffer = buffer
        self.filled = filled
        self.frame: bytes | None = None


class _Reader:
    """Reads the producer, compresses piece after piece, and waits for the producer's end.

    Every piece is a zstd frame of its own (RFC 8878, 3.1: frames may follow one another), so several are compressed at
    the same time, and none needs a copy of what came before it. Shares the lock of the writers.
    """

    def __init__(self, producer: Producer, writers: VaultWriters) -> None:
        self.plain_bytes = 0
        self._producer = producer
        self._source = cast("io.RawIOBase", producer.stdout)
        self._writers = writers
        self._changed = writers.changed
        self._free = deque(memoryview(bytearray(FRAME_BYTES)) for _ in range(_WAITING))
        self._raw: deque[_Piece] = deque()
        self._pieces: deque[_Piece] = deque()
        """In the order of the stream, compressed or not yet."""
        self._ended = False
        self._stopped = False
        self._error: Exception | None = None
        with suppress(OSError, AttributeError):  # not a pipe, or the user's share of pipe memory is used up
            fcntl.fcntl(producer.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def start(self) -> None:
        """Begin to read; the threads end with the stream, or when it is stopped."""
        targets = [("reader", self._read_all), *[("compressor", self._compress_all)] * _COMPRESSORS]
        for name, target in targets:
            threading.Thread(target=self._run, args=(target,), name=name, daemon=True).start()

    def next(self) -> bytes | None:
        """The next frame; None after a good end. Raises what ended it badly."""
        with self._changed:
            self._writers.wait_for(self._has_news)
            self._writers.check()
            if self._error is not None:
                raise self._error
            if not self._pieces:
                return None
            frame = self._pieces.popleft().frame
            self._changed.notify_all()
            return frame

    def stop(self) -> None:
        """Kill the producer; the threads end with it."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._producer.kill()

    def _has_news(self) -> bool:
        if self._error is not None:
            return True
        return self._pieces[0].frame is not None if self._pieces else self._ended

    def _run(self, work: Callable[[], None]) -> None:
        error: Exception | None = None
        try:
            work()
        except DrorchError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the caller's thread must hear of it
            error = Unavailable("reading from the dump process failed", operation="dump", cause=str(failure))
        with self._changed:
            self._error = self._error or error
            self._ended = self._ended or error is not None
            self._changed.notify_all()

    def _read_all(self) -> None:
        first = True
        while (buffer := self._empty_buffer()) is not None:
            filled = 0
            while filled < FRAME_BYTES and (count := self._source.readinto(buffer[filled:])):
                filled += count
            if filled or first:  # nothing at all is a frame, too
                self._hand_over(_Piece(buffer, filled))
            first = False
            if filled < FRAME_BYTES:
                break
        if not self._stopped:
            self._producer.finish()
        with self._changed:
            self._ended = True

    def _empty_buffer(self) -> memoryview | None:
        """A buffer that nothing reads any more; None when it was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._stopped)
            return None if self._stopped else self._free.popleft()

    def _hand_over(self, piece: _Piece) -> None:
        with self._changed:
            self.plain_bytes += piece.filled
            # What is compressed and not taken yet is memory, too: the slowest vault sets the pace.
            self._changed.wait_for(lambda: len(self._pieces) < _WAITING or self._stopped)
            self._pieces.append(piece)
            self._raw.append(piece)
            self._changed.notify_all()

    def _compress_all(self) -> None:
        zstd = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        while (piece := self._next_raw()) is not None:
            frame = zstd.compress(piece.buffer[: piece.filled])
            with self._changed:
                self._free.append(piece.buffer)
                piece.frame = frame
                self._changed.notify_all()

    def _next_raw(self) -> _Piece | None:
        """What is to be compressed next; None after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._raw or self._ended or self._stopped)
            return self._raw.popleft() if self._raw and not self._stopped else None


class _Cutter:
    """Compressed bytes in; encrypted, digested parts out to the vaults, volume after volume."""

    def __init__(self, name: str, folder: str, encryptor: Encryptor, writers: VaultWriters, volume_bytes: int) -> None:
        self.bytes = 0
        """Of ciphertext so far."""
        self.leaves = bytearray()
        self._name, self._folder = name, folder
        self._encryptor, self._writers = encryptor, writers
        self._volume_bytes = volume_bytes
        self._volumes: list[StoredVolume] = []
        self._volume_sha = hashlib.sha256()
        self._in_volume = 0
        self._part: Part | None = None
        self._filled = 0
        self._digested = 0
        self._straddling = memoryview(bytearray(SEALED_BYTES))
        self._copy(encryptor.header)

    def take(self, data: bytes) -> None:
        """Encrypt straight into the part buffer; only a chunk that straddles two parts is copied."""
        view = memoryview(data)
        while view:
            room = self._space()
            fits = self._fitting(len(view), len(room))
            if fits:
                self._advance(self._encryptor.update_into(view[:fits], room))
            else:
                fits = min(len(view), PLAIN_BYTES)
                self._copy(self._straddling[: self._encryptor.update_into(view[:fits], self._straddling)])
            view = view[fits:]

    def finish(self) -> StoredArtefact:
        """The last chunk, part and volume."""
        self._copy(self._encryptor.finish())
        if self._filled:
            self._send()
        if self._in_volume:
            self._end_volume()
        return StoredArtefact(
            name=self._name,
            bytes=self.bytes,
            header_bytes=self._encryptor.header_bytes,
            leaf_bytes=LEAF_BYTES,
            leaves_sha256=hashlib.sha256(self.leaves).hexdigest(),
            volumes=tuple(self._volumes),
        )

    def _fitting(self, count: int, room: int) -> int:
        """The most of `count` plain bytes whose chunks fit into `room`; 0 when the next chunk does not."""
        excess = self._encryptor.room(count) - room
        return count if excess <= 0 else max(0, count - -(-excess // SEALED_BYTES) * PLAIN_BYTES)

    def _space(self) -> memoryview:
        """What is left of the part; never empty."""
        if self._part is None:
            self._part = self._writers.acquire()
        return self._part.buffer[self._filled :]

    def _copy(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            room = self._space()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            view = view[count:]
            self._advance(count)

    def _advance(self, count: int) -> None:
        """`count` more bytes are in the part: digest the leaves that are full while they are hot."""
        self._filled += count
        self.bytes += count
        while self._filled - self._digested >= LEAF_BYTES:
            self._digest(LEAF_BYTES)
        if self._filled == self._writers.part_bytes:
            self._send()

    def _digest(self, count: int) -> None:
        part = self._part
        if part is None:
            return
        leaf = part.buffer[self._digested : self._digested + count]
        self.leaves += hashlib.sha256(leaf).digest()
        self._volume_sha.update(leaf)
        self._digested += count

    def _send(self) -> None:
        part = self._part
        if part is None:
            return
        if self._digested < self._filled:
            self._digest(self._filled - self._digested)
        self._writers.write(self._folder + self._object(), part, self._filled)
        self._in_volume += self._filled
        self._part, self._filled, self._digested = None, 0, 0
        if self._in_volume == self._volume_bytes:
            self._end_volume()

    def _end_volume(self) -> None:
        self._volumes.append(StoredVolume(self._object(), self._in_volume, self._volume_sha.hexdigest()))
        self._volume_sha, self._in_volume = hashlib.sha256(), 0

    def _object(self) -> str:
        return layout.volume_name(self._name, len(self._volumes))
