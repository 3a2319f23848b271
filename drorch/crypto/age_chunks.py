"""The payload of an age file: chunks of 64 KiB under ChaCha20-Poly1305 with counted nonces (C2SP age.md, "Payload")."""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from drorch.crypto.age_header import AgeError, derive

NONCE_BYTES = 16
PLAIN_BYTES = 65_536
TAG_BYTES = 16
SEALED_BYTES = PLAIN_BYTES + TAG_BYTES

BytesLike = bytes | bytearray | memoryview


class _Cipher(Protocol):
    def __call__(self, nonce: bytes, data: BytesLike, associated_data: None, buf: memoryview, /) -> int: ...


class Chunks:
    """One direction of the payload: chunks of ``taken`` bytes become chunks of ``given`` bytes.

    One chunk is held back, for only the last one of the file carries the final mark in its nonce, and which one that is
    shows when the input ends. Chunks that lie whole in the input go through the cipher where they lie.
    """

    def __init__(self, cipher: _Cipher, taken: int, given: int) -> None:
        self._cipher = cipher
        self._taken = taken
        self._given = given
        self._held = memoryview(bytearray(taken))
        self._fill = 0
        self._counter = 0

    def room(self, count: int) -> int:
        """How many bytes `update_into` will write for ``count`` more bytes of input."""
        return max(0, (self._fill + count - 1) // self._taken) * self._given

    def update_into(self, data: memoryview, out: memoryview) -> int:
        """Take all of ``data``; write what is ready into ``out`` (`room` bytes or more); return how many bytes that is.

        Raises AgeError when a chunk does not authenticate: then nothing in ``out`` may be used.
        """
        size = self.room(len(data))
        position = 0
        for start in range(0, size, self._given):
            target = out[start : start + self._given]
            if self._fill:
                position = self._taken - self._fill
                self._held[self._fill :] = data[:position]
                self._fill = 0
                self._apply(self._held, target)
            else:
                self._apply(data[position : position + self._taken], target)
                position += self._taken
        rest = len(data) - position
        self._held[self._fill : self._fill + rest] = data[position:]
        self._fill += rest
        return size

    def finish(self) -> bytes:
        """The final chunk. Raises AgeError when it is missing, empty after others, or does not authenticate."""
        shrink = self._taken - self._given
        if self._fill < shrink:
            raise AgeError("the age file is cut short", operation="decrypt", cause="its final chunk is missing")
        if shrink > 0 and self._fill == shrink and self._counter:
            raise AgeError("the age file is malformed", operation="decrypt", cause="its final chunk is empty")
        out = bytearray(self._fill - shrink)
        self._apply(self._held[: self._fill], memoryview(out), final=True)
        return bytes(out)

    def _apply(self, data: memoryview, out: memoryview, *, final: bool = False) -> None:
        self._cipher((self._counter << 8 | final).to_bytes(12, "big"), data, None, out)
        self._counter += 1


def sealing(file_key: bytes, nonce: bytes) -> Chunks:
    """Plain bytes to chunks; the nonce (16 bytes) stands before them in the file."""
    return Chunks(_cipher(file_key, nonce).encrypt_into, PLAIN_BYTES, SEALED_BYTES)


def opening(file_key: bytes, nonce: bytes) -> Chunks:
    """Chunks to plain bytes."""
    decrypt_into = _cipher(file_key, nonce).decrypt_into

    def authenticated(nonce: bytes, data: BytesLike, associated_data: None, buf: memoryview, /) -> int:
        try:
            return decrypt_into(nonce, data, associated_data, buf)
        except InvalidTag:
            raise AgeError(
                "the age file is damaged", operation="decrypt", cause="a chunk was altered, moved, added or cut"
            ) from None

    return Chunks(authenticated, SEALED_BYTES, PLAIN_BYTES)


def _cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(derive(file_key, nonce, b"payload"))
