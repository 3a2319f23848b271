"""Identity files that are protected by a passphrase, as `age -p` writes them and `age -i` reads them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from drorch.crypto import age_chunks, age_header, age_scrypt
from drorch.crypto.age import Decryptor
from drorch.crypto.age_armor import armor
from drorch.crypto.age_chunks import NONCE_BYTES
from drorch.crypto.age_header import FILE_KEY_BYTES
from drorch.crypto.age_keys import is_protected, parse_identity_file
from drorch.domain.errors import InvalidInput, Refused

__all__ = ["Ask", "is_protected", "protect", "read_identity_file"]

Ask = Callable[[], str]
"""Gets the passphrase when it turns out that one is needed; may raise Refused."""


def protect(text: str, passphrase: str, work_factor: int = age_scrypt.WORK_FACTOR) -> str:
    """The armored age file of an identity file's text. Raises like `age_scrypt.wrap`."""
    file_key, nonce = secrets.token_bytes(FILE_KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = age_header.encode([age_scrypt.wrap(file_key, passphrase, work_factor)], file_key)
    data = text.encode()
    chunks = age_chunks.sealing(file_key, nonce)
    sealed = bytearray(chunks.room(len(data)))
    count = chunks.update_into(memoryview(data), memoryview(sealed))
    return armor(header + nonce + bytes(sealed[:count]) + chunks.finish())


def read_identity_file(data: bytes, ask: Ask | None = None) -> tuple[str, ...]:
    """The identities in the bytes of a file, which `ask` is called for when it is protected by a passphrase.

    Raises like `parse_identity_file`; Refused when a passphrase is needed and there is nobody to ask,
    NoMatchingIdentity for a wrong one, AgeError for a protected file that is damaged, Unavailable without the memory.
    """
    if is_protected(data):
        if ask is None:
            raise Refused(
                "the identity file is protected by a passphrase, and there is nobody to ask",
                hint="--passphrase-file FILE, or passphrase: {file: ...} beside the identity",
            )
        decryptor = Decryptor([], passphrase=ask())
        data = bytes(decryptor.update(data)) + decryptor.finish()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # The error itself quotes the bytes.
        raise InvalidInput("the identity file is not UTF-8 text") from None
    return parse_identity_file(text)
