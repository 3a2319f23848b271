"""Passphrases of age: a file key wrapped under scrypt (C2SP age.md, "scrypt"; RFC 7914 with r = 8 and p = 1)."""

from __future__ import annotations

import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from drorch.crypto.age_header import AgeError, Stanza, checked_body, decode_base64, encode_base64
from drorch.domain.errors import InvalidInput, Unavailable

KIND = "scrypt"
WORK_FACTOR = 18
"""log2 of N for what is written, as `age -p` writes it: 256 MiB of memory and about a second."""
WORK_FACTOR_LIMIT = 22
"""The largest log2 of N that is read, as in the `age` program: 4 GiB of memory. Whoever wrote the file chose it."""

_LABEL = b"age-encryption.org/v1/scrypt"
_SALT_BYTES = 16
_BLOCK_SIZE = 8
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_ZERO_NONCE = bytes(12)


def wrap(file_key: bytes, passphrase: str, work_factor: int = WORK_FACTOR) -> Stanza:
    """The stanza from which ``passphrase`` gets the file key; it must stand alone in its header.

    Raises InvalidInput for an empty passphrase, Unavailable when there is not enough memory.
    """
    if not passphrase:
        raise InvalidInput("the passphrase is empty")
    salt = secrets.token_bytes(_SALT_BYTES)
    body = ChaCha20Poly1305(_derive(passphrase, salt, work_factor)).encrypt(_ZERO_NONCE, file_key, None)
    return Stanza((KIND, encode_base64(salt), str(work_factor)), body)


def check(stanza: Stanza) -> tuple[bytes, int]:
    """Salt and work factor of a stanza. Raises AgeError for one that the format forbids or that is too costly."""
    if len(stanza.arguments) != 3:
        raise _forbidden("a passphrase stanza does not have exactly two arguments")
    try:
        salt = decode_base64(stanza.arguments[1].encode("ascii"))
    except ValueError:
        raise _forbidden("a passphrase salt is not canonical unpadded base64") from None
    if len(salt) != _SALT_BYTES:
        raise _forbidden("a passphrase salt is not of 16 bytes")
    number = stanza.arguments[2]
    if not _NUMBER.fullmatch(number):
        raise _forbidden("a work factor is not a decimal number without leading zeros")
    if int(number) > WORK_FACTOR_LIMIT:
        raise _forbidden(f"its work factor {number} is above the limit of {WORK_FACTOR_LIMIT}")
    checked_body(stanza)
    return salt, int(number)


def unwrap(stanza: Stanza, passphrase: str) -> bytes | None:
    """The file key, still to be checked against the header's MAC; None for another passphrase. Raises like `check`."""
    salt, work_factor = check(stanza)
    key = _derive(passphrase, salt, work_factor)
    try:
        return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
    except InvalidTag:
        return None


def _derive(passphrase: str, salt: bytes, work_factor: int) -> bytes:
    try:
        kdf = Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=_BLOCK_SIZE, p=1)
        return kdf.derive(passphrase.encode("utf-8", "surrogateescape"))
    except MemoryError:
        needed = (128 * _BLOCK_SIZE << work_factor) >> 20
        raise Unavailable(
            "there is not enough memory for this passphrase", cause=f"its work factor takes {needed} MiB"
        ) from None


def _forbidden(cause: str) -> AgeError:
    return AgeError("the age header is malformed", operation="decrypt", cause=cause)
