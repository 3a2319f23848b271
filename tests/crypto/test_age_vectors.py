"""The published vectors of age, C2SP/CCTV: each file decrypts, or fails, as its own head says.

`cctv_age.json` names their source and licence. A vector is a head of ``key: value`` lines, an empty line, and the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from drorch.crypto import age
from drorch.crypto.age_chunks import NONCE_BYTES, PLAIN_BYTES, SEALED_BYTES
from drorch.crypto.age_header import derive
from drorch.domain.errors import DrorchError


class Vector(NamedTuple):
    expect: str
    payload: str
    identities: tuple[str, ...]
    passphrases: tuple[str, ...]
    file_key: bytes
    data: bytes

    @classmethod
    def read(cls, text: str) -> Vector:
        head, _, data = base64.b64decode(text).partition(b"\n\n")
        said = [line.split(": ", 1) for line in head.decode().splitlines()]

        def all_of(key: str) -> tuple[str, ...]:
            return tuple(value for name, value in said if name == key)

        if all_of("compressed"):
            data = zlib.decompress(data)
        payload = (*all_of("payload"), "")[0]
        key = bytes.fromhex(all_of("file key")[0])
        return cls(all_of("expect")[0], payload, all_of("identity"), all_of("passphrase"), key, data)


DOCUMENT = json.loads((Path(__file__).parent / "cctv_age.json").read_text())
VECTORS = {name: Vector.read(text) for name, text in DOCUMENT["vectors"].items()}

# What an error says, by what a vector expects.
FAILURES = {
    "header failure": ("the age header", "not an age file", "another version", "cut short"),
    "HMAC failure": ("its MAC does not fit",),
    "no match": ("no identity given opens this file", "the passphrase does not open this file"),
    "payload failure": ("the age payload", "cut short", "final chunk", "altered"),
    "armor failure": ("the age armor", "not an age file"),
}
STRANGER = age.new_identity()[0]
"""For the files that are too broken to be for anybody."""


def opened(vector: Vector, passphrase: str) -> tuple[bytes, DrorchError | None]:
    """What came out before the end or the error, and the error."""
    out = bytearray()
    decryptor = age.Decryptor(vector.identities or [STRANGER], passphrase=passphrase)
    try:
        for start in range(0, len(vector.data), 4096):
            out += decryptor.update(vector.data[start : start + 4096])
        out += decryptor.finish()
    except DrorchError as error:
        return bytes(out), error
    return bytes(out), None


def whole_chunks(vector: Vector) -> bytes:
    """What a reader may give of a broken payload: every chunk up to the first bad or final one."""
    data = dearmored(vector.data)
    start = data.index(b"\n---") + len(b"\n--- ") + 43 + len(b"\n")
    nonce, payload = data[start : start + NONCE_BYTES], data[start + NONCE_BYTES :]
    cipher = ChaCha20Poly1305(derive(vector.file_key, nonce, b"payload"))
    out = b""
    for number, place in enumerate(range(0, len(payload), SEALED_BYTES)):
        chunk = payload[place : place + SEALED_BYTES]
        for final in (0, 1) if len(chunk) == SEALED_BYTES else (1,):
            with suppress(InvalidTag):
                out += cipher.decrypt(number.to_bytes(11, "big") + bytes([final]), chunk, None)
                break
        else:
            return out
        if final:
            return out
    return out


def dearmored(data: bytes) -> bytes:
    if not data.startswith(b"-----BEGIN"):
        return data
    return base64.b64decode(b"".join(data.split(b"-----")[2].splitlines()))


@pytest.mark.parametrize("name", VECTORS)
def test_the_vector_decrypts_or_fails_as_it_should(name):
    vector = VECTORS[name]
    for passphrase in vector.passphrases or ("",):
        plain, error = opened(vector, passphrase)
        if vector.expect == "success":
            assert error is None
        else:
            assert isinstance(error, age.AgeError)
            assert any(words in str(error) for words in FAILURES[vector.expect]), str(error)
            assert isinstance(error, age.NoMatchingIdentity) == (vector.expect == "no match")
        authentic = whole_chunks(vector) if vector.expect == "payload failure" else plain
        assert hashlib.sha256(authentic).hexdigest() == (vector.payload or hashlib.sha256(b"").hexdigest())
        # Whether the chunk held back is the last one shows when the next byte comes: of a bad file it stays inside.
        assert authentic.startswith(plain)
        assert len(authentic) - len(plain) <= PLAIN_BYTES


def test_all_the_published_vectors_are_here():
    assert len(VECTORS) == 143
    assert {vector.expect for vector in VECTORS.values()} == {"success", *FAILURES}
