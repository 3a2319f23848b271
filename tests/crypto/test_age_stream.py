"""Pieces of any size, damage anywhere, and the manners of the two streams."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drorch.crypto import age
from drorch.domain.errors import Refused

IDENTITY, RECIPIENT = age.new_identity()
CHUNK = 65_536


def encrypted(data: bytes) -> bytes:
    sink = io.BytesIO()
    age.encrypt_stream(io.BytesIO(data), sink, [RECIPIENT])
    return sink.getvalue()


SMALL = b"a small file"
SMALL_FILE = encrypted(SMALL)
LARGE = b"".join(bytes([number]) * CHUNK for number in range(3)) + b"end"
LARGE_FILE = encrypted(LARGE)


def release(data: bytes, step: int = CHUNK) -> tuple[bytes, bool]:
    """What a reader lets out of the file, and whether it called the file good."""
    decryptor = age.Decryptor([IDENTITY])
    out = bytearray()
    try:
        for start in range(0, len(data), step):
            out += decryptor.update(data[start : start + step])
        out += decryptor.finish()
    except age.AgeError:
        return bytes(out), False
    return bytes(out), True


def test_every_flipped_bit_of_a_small_file_is_refused_with_nothing_let_out():
    for place in range(len(SMALL_FILE) * 8):
        damaged = bytearray(SMALL_FILE)
        damaged[place // 8] ^= 1 << place % 8
        assert release(bytes(damaged)) == (b"", False), f"bit {place % 8} of byte {place // 8}"


def test_every_cut_of_a_small_file_is_refused_with_nothing_let_out():
    for length in range(len(SMALL_FILE)):
        assert release(SMALL_FILE[:length]) == (b"", False), f"cut at {length}"


def test_every_missing_byte_of_a_small_file_is_refused_with_nothing_let_out():
    for place in range(len(SMALL_FILE)):
        assert release(SMALL_FILE[:place] + SMALL_FILE[place + 1 :]) == (b"", False), f"byte {place} removed"


def test_every_flipped_bit_and_cut_of_an_armored_file_is_refused(run_program):
    """Armor is text: the line feed at its end may be missing, and nothing else."""
    armored = run_program("age", "-a", "-r", RECIPIENT, given=SMALL)
    for place in range(len(armored) * 8):
        damaged = bytearray(armored)
        damaged[place // 8] ^= 1 << place % 8
        assert release(bytes(damaged)) == (b"", False), f"bit {place % 8} of byte {place // 8}"
    for length in range(len(armored) - 1):
        assert release(armored[:length]) == (b"", False), f"cut at {length}"
    assert release(armored[:-1]) == (SMALL, True)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100))
def test_trailing_bytes_are_refused(trailing):
    assert release(SMALL_FILE + trailing) == (b"", False)


LARGE_FILE_PLACES = st.integers(0, len(LARGE_FILE) - 1)


@settings(deadline=None, max_examples=100)
@given(LARGE_FILE_PLACES, st.integers(1, 255), st.sampled_from([1000, CHUNK, 1_000_000]))
@example(len(LARGE_FILE) - 1, 1, CHUNK)
def test_damage_in_a_large_file_lets_out_a_true_beginning_at_most(place, mask, step):
    damaged = bytearray(LARGE_FILE)
    damaged[place] ^= mask
    out, good = release(bytes(damaged), step)
    assert not good
    assert LARGE.startswith(out)
    assert len(out) <= place


@settings(deadline=None, max_examples=100)
@given(LARGE_FILE_PLACES)
def test_a_cut_large_file_lets_out_a_true_beginning_at_most(length):
    out, good = release(LARGE_FILE[:length])
    assert not good
    assert LARGE.startswith(out)


def test_chunks_that_change_places_are_refused():
    start = age.Encryptor([RECIPIENT]).header_bytes + 16
    sealed = CHUNK + 16
    first, second = LARGE_FILE[start : start + sealed], LARGE_FILE[start + sealed : start + 2 * sealed]
    out, good = release(LARGE_FILE[:start] + second + first + LARGE_FILE[start + 2 * sealed :])
    assert (out, good) == (b"", False)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_raise_nothing_but_the_one_error(data, with_version_line):
    assert release((b"age-encryption.org/v1\n" if with_version_line else b"") + data) == (b"", False)


@settings(deadline=None, max_examples=200)
@given(LARGE_FILE_PLACES.map(lambda place: place % 200), st.binary(max_size=20), st.integers(0, 20))
def test_a_header_with_something_replaced_raises_nothing_but_the_one_error(place, inserted, removed):
    altered = SMALL_FILE[:place] + inserted + SMALL_FILE[place + removed :]
    assert release(altered) == ((SMALL, True) if altered == SMALL_FILE else (b"", False))


PIECES = [0, 1, 15, 16, 17, 4096, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 16, 200_000]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([0, 1, 15, 16, 17, 4096, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 16, 200_000]), max_size=8)
)
def test_pieces_of_any_size_give_the_same_file_both_ways(sizes):
    data = b"".join(bytes([number + 1]) * size for number, size in enumerate(sizes))
    encryptor = age.Encryptor([RECIPIENT])
    file = bytearray(encryptor.header)
    plain = memoryview(data)
    for size in sizes:
        file += encryptor.update(plain[:size])
        plain = plain[size:]
    file += encryptor.finish()
    decryptor = age.Decryptor([IDENTITY])
    out = bytearray()
    rest = memoryview(bytes(file))
    for size in [*sizes, len(file)]:
        out += decryptor.update(rest[:size])
        rest = rest[size:]
    out += decryptor.finish()
    assert bytes(out) == data


@pytest.mark.parametrize("step", [1, 100, CHUNK, CHUNK + 16, 1_000_000])
def test_a_callers_buffer_is_filled_with_exactly_what_update_would_give(step):
    encryptor, decryptor = age.Encryptor([RECIPIENT]), age.Decryptor([IDENTITY])
    data = LARGE[-200_000:] if step > 1 else LARGE[-CHUNK - 10 :]
    buffer = bytearray(2_000_000)
    file = bytearray(encryptor.header)
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        room = encryptor.room(len(piece))
        count = encryptor.update_into(piece, buffer)
        assert count == room
        file += buffer[:count]
    file += encryptor.finish()
    out = bytearray()
    for start in range(0, len(file), step):
        piece = bytes(file[start : start + step])
        room = decryptor.room(len(piece))
        count = decryptor.update_into(piece, buffer)
        assert count <= room
        out += buffer[:count]
    out += decryptor.finish()
    assert bytes(out) == data


def test_a_callers_buffer_that_is_too_small_is_refused_and_nothing_is_lost():
    encryptor, decryptor = age.Encryptor([RECIPIENT]), age.Decryptor([IDENTITY])
    with pytest.raises(Refused, match="too small"):
        encryptor.update_into(LARGE, bytearray(10))
    file = bytes(encryptor.header) + encryptor.update(LARGE) + encryptor.finish()
    with pytest.raises(Refused, match="too small"):
        decryptor.update_into(file, bytearray(10))
    assert decryptor.update(file) + decryptor.finish() == LARGE


def test_nothing_comes_out_of_a_finished_stream():
    """A second final chunk under the same nonce would give both away."""
    encryptor = age.Encryptor([RECIPIENT])
    encryptor.finish()
    for call in (encryptor.finish, lambda: encryptor.update(b"more")):
        with pytest.raises(Refused, match="has ended"):
            call()


def test_nothing_comes_out_of_a_reader_after_damage_though_good_chunks_follow():
    decryptor = age.Decryptor([IDENTITY])
    damaged = bytearray(LARGE_FILE)
    damaged[1000] ^= 1
    with pytest.raises(age.AgeError):
        decryptor.update(damaged)
    for call in (decryptor.finish, lambda: decryptor.update(LARGE_FILE)):
        with pytest.raises(Refused, match="has ended"):
            call()


class Trickle(io.RawIOBase):
    """Gives and takes a few bytes at a time, as pipes and sockets do."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = min(len(buffer), 1009, len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count

    def write(self, data) -> int:
        count = min(len(data), 1013)
        self.data += data[:count]
        return count


def test_files_that_give_and_take_little_at_a_time_lose_nothing():
    middle, end = Trickle(), Trickle()
    age.encrypt_stream(Trickle(LARGE), middle, [RECIPIENT])
    age.decrypt_stream(middle, end, [IDENTITY])
    assert bytes(end.data) == LARGE


class OnlyReadAndWrite:
    """The least that a file object has; its write returns nothing."""

    def __init__(self, data: bytes = b"") -> None:
        self.source = io.BytesIO(data)
        self.written = bytearray()

    def read(self, count: int) -> bytes:
        return self.source.read(count)

    def write(self, data) -> None:
        self.written += data


def test_file_objects_with_nothing_but_read_and_write_will_do():
    file = OnlyReadAndWrite(LARGE)
    age.encrypt_stream(file, file, [RECIPIENT])
    back = OnlyReadAndWrite(bytes(file.written))
    age.decrypt_stream(back, back, [IDENTITY])
    assert bytes(back.written) == LARGE


class NothingYet(io.RawIOBase):
    def readinto(self, buffer) -> None:
        return None


def test_a_source_that_would_block_is_refused_and_not_taken_for_data_or_its_end():
    sink = io.BytesIO()
    with pytest.raises(Refused, match="non-blocking"):
        age.encrypt_stream(NothingYet(), sink, [RECIPIENT])


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def readinto(self, buffer) -> int:
        count = min(len(buffer), self.left)
        self.left -= count
        return count


class Count(io.RawIOBase):
    size = 0

    def write(self, data) -> int:
        self.size += len(data)
        return len(data)


def test_memory_is_bounded_whatever_the_size_of_the_file(tmp_path):
    path = tmp_path / "zeros.age"
    size = 48 * 1024 * 1024
    tracemalloc.start()
    try:
        with path.open("wb") as sink:
            age.encrypt_stream(Zeros(size), sink, [RECIPIENT])
        counted = Count()
        with path.open("rb") as source:
            age.decrypt_stream(source, counted, [IDENTITY])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted.size == size
    assert peak < 8 * 1024 * 1024


def test_a_hostile_header_or_armor_without_end_is_given_up_early():
    class Endless(io.RawIOBase):
        given = 0

        def __init__(self, start: bytes, filling: bytes) -> None:
            self.start, self.filling = start, filling

        def readinto(self, buffer) -> int:
            data = (self.start + self.filling * len(buffer))[: len(buffer)]
            self.start = b""
            buffer[:] = data
            self.given += len(data)
            return len(data)

    sources = [
        Endless(b"age-encryption.org/v1\n", b"-> a\nAAAA\n"),
        Endless(b"age-encryption.org/v1\n-> ", b"a"),
        Endless(b"", b"\n"),
        Endless(b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"A"),
    ]
    for source in sources:
        with pytest.raises(age.AgeError):
            age.decrypt_stream(source, io.BytesIO(), [IDENTITY])
        assert source.given <= 4 * 1024 * 1024
