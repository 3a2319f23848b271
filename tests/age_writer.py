"""A writer of age files of its own, from the specification and primitives alone.

So a misunderstanding in the module under test cannot hide in its own output.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from drorch.crypto import age
from drorch.crypto.bech32 import decode, encode

SECRET = bytes(range(1, 33))
IDENTITY = encode("age-secret-key-", SECRET).upper()
PUBLIC = decode(age.recipient_of(IDENTITY))[1]
FILE_KEY = b"YELLOW SUBMARINE"
NONCE = bytes(range(16))
VERSION = b"age-encryption.org/v1"
CHUNK = 65_536


def hkdf(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256 and one block of output."""
    return hmac.digest(hmac.digest(salt or bytes(32), ikm, "sha256"), info + b"\x01", "sha256")


def b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def x25519(file_key: bytes = FILE_KEY, public: bytes = PUBLIC, secret: bytes = bytes([7] * 32)) -> tuple[bytes, bytes]:
    """Share and body of an X25519 stanza."""
    ephemeral = X25519PrivateKey.from_private_bytes(secret)
    share = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    key = hkdf(shared, share + public, b"age-encryption.org/v1/X25519")
    return share, ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)


SHARE, BODY = x25519()
STANZA = [b"-> X25519 " + b64(SHARE), b64(BODY)]
STRANGER = [b"-> X25519 " + b64(x25519(public=bytes([9] + [0] * 31))[0]), b64(bytes(32))]


def header(*lines: bytes, mac: Callable[[bytes], bytes] = lambda line: line, key: bytes = FILE_KEY) -> bytes:
    """The lines given, and the MAC line over them, passed through ``mac``."""
    text = b"\n".join(lines) + b"\n---"
    value = hmac.digest(hkdf(key, b"", b"header"), text, hashlib.sha256)
    return text.removesuffix(b"---") + mac(b"--- " + b64(value) + b"\n")


def payload(*chunks: bytes, final: int | None = None, first: int = 0) -> bytes:
    """The chunks sealed in turn, the last one (or number ``final``) as the final one, counted from ``first``."""
    cipher = ChaCha20Poly1305(hkdf(FILE_KEY, NONCE, b"payload"))
    last = len(chunks) - 1 if final is None else final
    sealed = [
        cipher.encrypt((first + number).to_bytes(11, "big") + bytes([number == last]), chunk, None)
        for number, chunk in enumerate(chunks)
    ]
    return NONCE + b"".join(sealed)


def armor(data: bytes, columns: int = 64) -> list[bytes]:
    text = base64.b64encode(data)
    body = [text[start : start + columns] for start in range(0, len(text), columns)]
    return [b"-----BEGIN AGE ENCRYPTED FILE-----", *body, b"-----END AGE ENCRYPTED FILE-----"]


def not_canonical(text: bytes) -> bytes:
    """The same bytes in unpadded base64 whose left-over bits are not zero."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-1] + alphabet[alphabet.index(text[-1:]) + 1 :][:1]
