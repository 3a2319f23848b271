"""zstd frames are read whole or not at all, in memory that no input can stretch."""

from __future__ import annotations

import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.app.unzstd import LARGEST_WINDOW, decompressed
from drorch.domain.errors import Damaged


def compressed(data: bytes, **options: bool) -> bytes:
    """One frame of unknown content size, as the dump pipeline writes it."""
    writer = zstandard.ZstdCompressor(level=3, **options).compressobj()
    return writer.compress(data) + writer.flush()


def read(blob: bytes, piece: int = 65_536) -> bytes:
    return b"".join(bytes(part) for part in decompressed(blob[at : at + piece] for at in range(0, len(blob), piece)))


SAMPLES = {
    "empty": b"",
    "short": b"a",
    "zeros": bytes(3_000_000),
    "text": b"orders\t12\n" * 20_000,
    "noise": random.Random(1).randbytes(400_000),
    "one block": random.Random(2).randbytes(131_072),
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("piece", [3, 65_536, 1 << 20])
def test_frames_come_out_as_they_went_in(data: bytes, checksum: bool, piece: int) -> None:
    blob = compressed(data, write_checksum=checksum)
    assert read(blob, max(piece, len(blob) // 5000)) == data


def test_frames_one_after_the_other_and_skippable_ones_are_read_as_zstd_does() -> None:
    skippable = (0x184D2A51).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"12345"
    known_size = zstandard.ZstdCompressor().compress(b"two")
    assert read(compressed(b"one") + skippable + known_size) == b"onetwo"


@settings(max_examples=80, deadline=None)
@given(sample=st.sampled_from(sorted(SAMPLES)), checksum=st.booleans(), share=st.floats(0, 1, exclude_max=True))
def test_a_frame_cut_anywhere_is_damaged(sample: str, checksum: bool, share: float) -> None:
    blob = compressed(SAMPLES[sample], write_checksum=checksum)
    with pytest.raises(Damaged):
        read(blob[: int(share * len(blob))])


def test_a_short_frame_cut_at_every_byte_is_damaged() -> None:
    blob = compressed(b"orders\t12\n" * 50, write_checksum=True)
    for end in range(len(blob)):
        with pytest.raises(Damaged):
            read(blob[:end])


@pytest.mark.parametrize("rest", [b"\0", b"rubbish", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\x09\0\0\0abc"])
def test_anything_behind_the_last_frame_is_damaged(rest: bytes) -> None:
    with pytest.raises(Damaged):
        read(compressed(b"data") + rest)


def test_a_frame_that_asks_for_a_huge_window_is_damaged_before_it_gets_one() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=LARGEST_WINDOW.bit_length())
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = writer.compress(b"small") + writer.flush()
    with pytest.raises(Damaged, match="memory"):
        read(blob)


def test_the_stock_largest_window_is_taken() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=LARGEST_WINDOW.bit_length() - 1)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert read(writer.compress(b"small") + writer.flush()) == b"small"


def test_a_frame_of_extreme_ratio_comes_out_in_small_pieces() -> None:
    blob = compressed(bytes(300_000_000))
    assert len(blob) < 20_000
    tracemalloc.start()
    total = sum(len(part) for part in decompressed([blob]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 300_000_000
    assert peak < 8_000_000


def test_errors_of_the_source_pass_through() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield compressed(b"data")[:5]
        raise Damaged("leaf 3 is damaged")

    with pytest.raises(Damaged, match="leaf 3"):
        list(decompressed(broken()))


@pytest.mark.parametrize("before", [b"", zstandard.ZstdCompressor().compress(b"words")])
def test_a_frame_that_holds_less_than_its_header_tells_is_damaged_however_it_arrives(before: bytes) -> None:
    frame = before + bytes.fromhex("28b52ffd206c010000")  # of 108 bytes, it says; its only block is empty
    for piece in (1, 3, len(frame)):
        with pytest.raises(Damaged):
            list(decompressed(frame[at : at + piece] for at in range(0, len(frame), piece)))
