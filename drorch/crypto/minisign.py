"""minisign keys and signatures (the format of jedisct1's `minisign`), pre-hashed ``ED`` signatures only.

A signature file has four lines: an untrusted comment; algorithm, key id and Ed25519 signature over the BLAKE2b-512 of
the data; a trusted comment; a second signature over the first one and the trusted comment. Key ids (8 bytes) are names,
not proofs. Base64 is the padded one, and only its canonical spelling is taken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from drorch.domain.errors import InvalidInput, Refused

_KEY_ALGORITHM = b"Ed"
_PREHASHED = b"ED"
_NO_PASSWORD = b"\x00\x00"
_PASSWORD = b"Sc"
_CHECKSUM_ALGORITHM = b"B2"
_KEY_ID_BYTES = 8
_SEED_BYTES = 32
_SECRET_BYTES = 64
_CHECKSUM_BYTES = 32
_KDF_BYTES = 48  # salt 32, operations 8, memory 8; all zero without a password
_SECRET_FILE_BYTES = 6 + _KDF_BYTES + _KEY_ID_BYTES + _SECRET_BYTES + _CHECKSUM_BYTES
_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_UNTRUSTED_LIMIT = 1000  # minisign reads lines of at most 1,024 and, the trusted one, 8,192 bytes
_TRUSTED_LIMIT = 8000
_HOW_TO_MAKE = "`drorch key new --signing` or `minisign -G -W` makes one without a password"


class BadSignature(Refused):
    """A signature that is malformed, does not fit the data, or is of a kind that is not taken."""


class UnknownSigner(BadSignature):
    """A signature by a key that is not among the trusted ones."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key (``point``, 32 bytes) and the id (8 bytes) under which signatures name it."""

    key_id: bytes
    point: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """From ``RW...`` alone or the two lines of a ``.pub`` file. Raises InvalidInput."""
        lines = text.strip().splitlines()
        if len(lines) == 2 and lines[0].startswith(_UNTRUSTED):
            del lines[0]
        try:
            (line,) = lines
            data = _decode(line)
            if len(data) != 2 + _KEY_ID_BYTES + 32 or not data.startswith(_KEY_ALGORITHM):
                raise ValueError
        except ValueError:
            raise InvalidInput(
                "this is not a minisign public key", hint="it is RW... or the two lines of a .pub file"
            ) from None
        return cls(data[2 : 2 + _KEY_ID_BYTES], data[2 + _KEY_ID_BYTES :])

    @property
    def name(self) -> str:
        """The key id as minisign prints it."""
        return key_name(self.key_id)

    def text(self) -> str:
        """``RW...``, as ``minisign -P`` takes it."""
        return _encode(_KEY_ALGORITHM + self.key_id + self.point)

    def file_text(self) -> str:
        """The two lines of a ``.pub`` file, as ``minisign -p`` reads it."""
        return f"{_UNTRUSTED}minisign public key {self.name}\n{self.text()}\n"


class SecretKey:
    """A signing key. Its representation shows the public half only."""

    __slots__ = ("_private", "public", "secret_bytes")

    def __init__(self, key_id: bytes, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(key_id, self._private.public_key().public_bytes_raw())
        self.secret_bytes = seed + self.public.point
        """The 64-byte Ed25519 secret key as in the file: seed, then public key."""

    def __repr__(self) -> str:
        return f"SecretKey({self.public.name})"

    @property
    def key_id(self) -> bytes:
        return self.public.key_id

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_bytes(_KEY_ID_BYTES), secrets.token_bytes(_SEED_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text of a secret key file without password.

        Raises Refused for a password-protected key, InvalidInput for anything else; neither repeats the text.
        """
        lines = text.strip().splitlines()
        try:
            _, line = lines
            data = _decode(line)
            if len(data) != _SECRET_FILE_BYTES or data[:2] != _KEY_ALGORITHM or data[4:6] != _CHECKSUM_ALGORITHM:
                raise ValueError
        except ValueError:
            raise InvalidInput("this is not a minisign secret key file", hint=_HOW_TO_MAKE) from None
        if data[2:4] == _PASSWORD:
            raise Refused("the minisign secret key is protected by a password", hint=_HOW_TO_MAKE)
        if data[2:4] != _NO_PASSWORD:
            raise InvalidInput("the minisign secret key is of an unknown kind", hint=_HOW_TO_MAKE)
        return cls._checked(data[6 + _KDF_BYTES :])

    @classmethod
    def _checked(cls, data: bytes) -> Self:
        key_id, secret, checksum = data[:8], data[8:72], data[72:]
        key = cls(key_id, secret[:_SEED_BYTES])
        # minisign 0.11 leaves the checksum of a key without password all zero, and does not look at it when reading.
        if hmac.compare_digest(checksum, bytes(_CHECKSUM_BYTES)):
            checksum = key._checksum()
        if not (hmac.compare_digest(secret, key.secret_bytes) and hmac.compare_digest(checksum, key._checksum())):
            raise InvalidInput("the minisign secret key is damaged", hint=_HOW_TO_MAKE)
        return key

    def text(self) -> str:
        """The two lines of a secret key file without password, as ``minisign -s`` reads it. A secret."""
        data = _KEY_ALGORITHM + _NO_PASSWORD + _CHECKSUM_ALGORITHM + bytes(_KDF_BYTES)
        data += self.key_id + self.secret_bytes + self._checksum()
        return f"{_UNTRUSTED}minisign secret key {self.public.name}\n{_encode(data)}\n"

    def sign(self, data: bytes, trusted_comment: str, untrusted_comment: str = "signature from drorch") -> bytes:
        """The ``.minisig`` file for ``data``. Raises Refused for a comment that minisign could not read back."""
        for comment, limit in ((trusted_comment, _TRUSTED_LIMIT), (untrusted_comment, _UNTRUSTED_LIMIT)):
            if not comment.isprintable() or len(comment.encode()) > limit:
                raise Refused(f"a comment is one line of printable characters, at most {limit} bytes", operation="sign")
        signature = self._private.sign(_digest(data))
        comment_signature = self._private.sign(signature + trusted_comment.encode())
        lines = (
            _UNTRUSTED + untrusted_comment,
            _encode(_PREHASHED + self.key_id + signature),
            _TRUSTED + trusted_comment,
            _encode(comment_signature),
        )
        return "".join(line + "\n" for line in lines).encode()

    def _checksum(self) -> bytes:
        covered = _KEY_ALGORITHM + self.key_id + self.secret_bytes
        return hashlib.blake2b(covered, digest_size=_CHECKSUM_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose signature it is, and the comment that the signature covers."""

    key: PublicKey
    trusted_comment: str


def key_name(key_id: bytes) -> str:
    """A key id (8 bytes) as minisign prints it: upper-case hexadecimal of a little-endian number, no leading zeros."""
    return f"{int.from_bytes(key_id, 'little'):X}"


def verify(data: bytes, signature: bytes, keys: Iterable[PublicKey]) -> Verified:
    """Check a ``.minisig`` file against the data and the trusted keys.

    Raises UnknownSigner when the key id is of none of them, BadSignature when anything else is wrong.
    """
    algorithm, key_id, data_signature, comment, comment_signature = _parse_signature(signature)
    if algorithm != _PREHASHED:
        kind = "a legacy signature, not pre-hashed" if algorithm == _KEY_ALGORITHM else "of an unknown kind"
        raise _bad(f"it is {kind}", hint="`minisign -S` without -l makes pre-hashed ones")
    candidates = [key for key in keys if key.key_id == key_id]
    if not candidates:
        raise UnknownSigner(f"signed by an unknown key {key_name(key_id)}", operation="verify")
    digest = _digest(data)
    for key in candidates:
        if _fits(key, data_signature, digest):
            if not _fits(key, comment_signature, data_signature + comment):
                raise _bad("the trusted comment was altered")
            return Verified(key, _text(comment))
    raise _bad(f"the data are not what key {key_name(key_id)} signed")


def _parse_signature(signature: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Algorithm (2 bytes), key id (8), signature (64), trusted comment, comment's signature (64)."""
    lines = signature.split(b"\n")
    if len(lines) != 5 or lines[4]:
        raise _bad("it does not have exactly four lines")
    if not (lines[0].startswith(_UNTRUSTED.encode()) and lines[2].startswith(_TRUSTED.encode())):
        raise _bad("a comment line is missing")
    try:
        first, second = _decode(lines[1]), _decode(lines[3])
    except ValueError:
        raise _bad("it is not canonical base64") from None
    if len(first) != 2 + _KEY_ID_BYTES + 64 or len(second) != 64:
        raise _bad("it has the wrong length")
    return first[:2], first[2:10], first[10:], lines[2][len(_TRUSTED) :], second


def _fits(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.point).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(comment: bytes) -> str:
    try:
        return comment.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("the trusted comment is not UTF-8") from None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str | bytes) -> bytes:
    """Raises ValueError on anything but canonical padded base64, so that a file has one spelling only."""
    line = text.encode() if isinstance(text, str) else text
    data = binascii.a2b_base64(line)
    if base64.b64encode(data) != line:
        raise ValueError("not canonical base64")
    return data


def _bad(cause: str, hint: str = "") -> BadSignature:
    return BadSignature("the signature is not valid", operation="verify", cause=cause, hint=hint)
