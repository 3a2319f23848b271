"""Proving that an age key opens what it should, without opening any dump.

A token is 32 random bytes, sealed to one recipient. They are the seed of an Ed25519 key (RFC 8032): who opens the token
can sign with it, and the public half, which lies beside it, tells whether an answer is good. An answer names its time
and gives nothing away, so it may be read aloud, and it proves nothing for any other time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from drorch.crypto.age import decrypt_stream, encrypt_stream
from drorch.domain.errors import Damaged, Usage
from drorch.domain.instant import from_compact, to_compact

NONCE_BYTES = 32
_PREFIX = "drorch-key-1"
_FORM = re.compile(rf"{_PREFIX}\.([0-9a-f]{{16}})\.(\d{{8}}T\d{{6}}Z)\.([A-Za-z0-9_-]{{86}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What is public of a token: the age file, the SHA-256 of what is in it, and the Ed25519 key of that, in hex."""

    sealed: bytes
    sha256: str
    public: str


@dataclass(frozen=True, slots=True)
class Answer:
    """That the key of the recipient with this `fingerprint` opened its token at `at` (UTC, whole seconds)."""

    fingerprint: str
    at: datetime
    signature: bytes

    def text(self) -> str:
        """One word, to be typed or pasted."""
        signature = base64.urlsafe_b64encode(self.signature).rstrip(b"=").decode("ascii")
        return f"{_PREFIX}.{self.fingerprint}.{to_compact(self.at)}.{signature}"

    @classmethod
    def parse(cls, text: str) -> Answer:
        """The inverse of `text`. Raises Usage."""
        match = _FORM.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            signature = base64.urlsafe_b64decode(match[3] + "==")
            return cls(match[1], from_compact(match[2]), signature)
        except (ValueError, binascii.Error):
            raise Usage("this is not an answer of `drorch key check`", hint=f"it begins with {_PREFIX}.") from None


def fingerprint(recipient: str) -> str:
    """The first 16 hex digits of the SHA-256 of a recipient's text: a short name for a folder."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


def new_token(recipient: str) -> Token:
    """A fresh token for a recipient. Raises like `encrypt_stream`."""
    nonce, sealed = secrets.token_bytes(NONCE_BYTES), io.BytesIO()
    encrypt_stream(io.BytesIO(nonce), sealed, [recipient])
    return Token(sealed.getvalue(), hashlib.sha256(nonce).hexdigest(), _public(nonce))


def answer(token: Token, site: str, recipient: str, identities: Sequence[str], at: datetime) -> Answer:
    """Open the token and sign. Raises NoMatchingIdentity for other keys, Damaged when it is not what lies beside it."""
    opened = io.BytesIO()
    decrypt_stream(io.BytesIO(token.sealed), opened, identities)
    nonce = opened.getvalue()
    fits = len(nonce) == NONCE_BYTES and hmac.compare_digest(hashlib.sha256(nonce).hexdigest(), token.sha256)
    if not fits or _public(nonce) != token.public:
        raise Damaged("the token is not what lies beside it says", operation="key check")
    at = at.replace(microsecond=0)
    signature = Ed25519PrivateKey.from_private_bytes(nonce).sign(_message(site, recipient, at))
    return Answer(fingerprint(recipient), at, signature)


def fits(token: Token, site: str, recipient: str, given: Answer) -> bool:
    """Whether the answer was given by somebody who had opened this very token."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(token.public))
        public.verify(given.signature, _message(site, recipient, given.at))
    except (InvalidSignature, ValueError):
        return False
    return given.fingerprint == fingerprint(recipient)


def _message(site: str, recipient: str, at: datetime) -> bytes:
    return f"{_PREFIX} {site} {recipient} {to_compact(at)}".encode()


def _public(nonce: bytes) -> str:
    return Ed25519PrivateKey.from_private_bytes(nonce).public_key().public_bytes_raw().hex()
