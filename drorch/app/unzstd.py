"""zstd read as a stream in bounded memory, strictly: whole frames only (RFC 8878), nothing behind them.

`zstandard`'s stream reader is the fastest way in Python and gives no more than was asked for, whatever the ratio;
but it takes the end of its input for the end of the data. `Frames` walks the block headers beside it and knows better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import zstandard

from drorch.domain.errors import Damaged

LARGEST_WINDOW = 128 * 1024 * 1024
"""Bytes; what the stock `zstd -d` takes without being asked (level 3 writes 2 MiB)."""

_OUT_BYTES = 1024 * 1024
_FRAME = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_RLE = 1


class Frames:
    """Where the frames end (RFC 8878, 3.1): fed with all compressed bytes, it says whether the last frame is whole."""

    def __init__(self) -> None:
        self._step: Callable[[bytes], None] = self._magic
        self._head = bytearray()
        self._want = 4
        self._skip = 0
        self._checksum = False
        self._seen = False
        self._told = 0
        self._untold = False

    def feed(self, data: memoryview) -> None:
        """Raises Damaged when the bytes are no frame."""
        position = 0
        while position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
            else:
                step = min(self._want - len(self._head), len(data) - position)
                self._head += data[position : position + step]
            position += step
            if len(self._head) == self._want:
                head = bytes(self._head)
                self._head.clear()
                self._step(head)

    @property
    def whole(self) -> bool:
        """Whether at least one frame was seen and nothing is missing."""
        return self._seen and self._step == self._magic and not self._head and not self._skip

    def fits(self, size: int) -> bool:
        """Whether the frames may hold `size` plain bytes, by what their headers tell; a frame need not tell."""
        return size >= self._told if self._untold else size == self._told

    def _next(self, step: Callable[[bytes], None], want: int) -> None:
        self._step, self._want = step, want

    def _magic(self, head: bytes) -> None:
        magic = int.from_bytes(head, "little")
        if magic == _FRAME:
            self._next(self._descriptor, 1)
        elif magic in _SKIPPABLE:
            self._next(self._skippable, 4)
        else:
            raise _damaged("these bytes begin no frame")

    def _skippable(self, head: bytes) -> None:
        self._skip = int.from_bytes(head, "little")
        self._next(self._magic, 4)

    def _descriptor(self, head: bytes) -> None:
        descriptor = head[0]
        single = bool(descriptor & 0x20)
        self._checksum = bool(descriptor & 0x04)
        size_bytes = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
        self._skip = (0 if single else 1) + (0, 1, 2, 4)[descriptor & 0x03]
        if size_bytes:
            self._next(self._size, size_bytes)
        else:
            self._untold = True
            self._next(self._block, 3)

    def _size(self, head: bytes) -> None:
        self._told += int.from_bytes(head, "little") + (256 if len(head) == 2 else 0)
        self._next(self._block, 3)

    def _block(self, head: bytes) -> None:
        header = int.from_bytes(head, "little")
        self._skip = 1 if header >> 1 & 3 == _RLE else header >> 3
        if header & 1:
            self._seen = True
            self._skip += 4 if self._checksum else 0
            self._next(self._magic, 4)


class _Source:
    """What the stream reader reads from: the parts as they come, watched by `Frames`."""

    def __init__(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        self._parts = iter(parts)
        self.frames = Frames()

    def read(self, _size: int) -> memoryview:
        for part in self._parts:
            if view := memoryview(part):
                self.frames.feed(view)
                return view
        return memoryview(b"")


def decompressed(parts: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
    """The plain bytes, in pieces of up to 1 MiB in one buffer: each is valid only until the next is asked for.

    Errors of `parts` pass through. Raises Damaged for anything but whole frames, at the latest at the end.
    """
    source = _Source(parts)
    out = memoryview(bytearray(_OUT_BYTES))
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(
        source,  # type: ignore[arg-type]  # it calls read() alone
        read_across_frames=True,
    )
    size = 0
    try:
        while count := reader.readinto(out):
            size += count
            yield out[:count]
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from error
    if not source.frames.whole:
        raise _damaged("it ends in the middle of a frame")
    if not source.frames.fits(size):  # libzstd does not look when an empty last block comes in two reads
        raise _damaged(f"it holds {size} bytes, its headers tell of others")


def _damaged(cause: str) -> Damaged:
    return Damaged("the compressed data are not whole zstd frames", operation="decompress", cause=cause)
