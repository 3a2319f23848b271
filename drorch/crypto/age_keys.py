"""Keys of age: their spellings, identity files, and the wrapping of a file key (C2SP age.md, "X25519").

X25519 is written and read; the post-quantum type (`age_hybrid`) and passphrases (`age_scrypt`) are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from drorch.crypto import age_hybrid, age_scrypt, bech32
from drorch.crypto.age_header import (
    FILE_KEY_BYTES,
    AgeError,
    NoMatchingIdentity,
    Stanza,
    derive,
    encode_base64,
    share_and_body,
)
from drorch.crypto.age_hybrid import HybridIdentity
from drorch.domain.errors import InvalidInput, NotInThisVersion, Refused
from drorch.domain.instant import to_text

_RECIPIENT = "age"
_IDENTITY = "AGE-SECRET-KEY-"
_HYBRID_IDENTITY = "AGE-SECRET-KEY-PQ-"
_KIND = "X25519"
_INFO = b"age-encryption.org/v1/X25519"
_KEY_BYTES = 32
_SHARE_BYTES = {_KIND: _KEY_BYTES, age_hybrid.KIND: age_hybrid.SHARE_BYTES}
_SHOWN = 62
_ZERO_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class Identity:
    """A parsed ``AGE-SECRET-KEY-1...``; its representation shows nothing secret."""

    secret: X25519PrivateKey
    public: bytes

    kind = _KIND

    @property
    def recipient(self) -> str:
        """``age1...``."""
        return bech32.encode(_RECIPIENT, self.public)

    def open(self, share: bytes, body: bytes) -> bytes | None:
        """The file key of a stanza for this identity, None of one for another; AgeError for a share of low order."""
        try:
            shared = self.secret.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise _forbidden("an X25519 share is a point of low order") from None
        key = derive(shared, share + self.public, _INFO)
        try:
            return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, body, None)
        except InvalidTag:
            return None


AnyIdentity = Identity | HybridIdentity


def new_identity() -> tuple[str, str]:
    """A fresh key pair: the identity ``AGE-SECRET-KEY-1...`` (secret) and its recipient ``age1...`` (public)."""
    secret = X25519PrivateKey.generate()
    identity = bech32.encode(_IDENTITY.lower(), secret.private_bytes_raw()).upper()
    return identity, recipient_of(identity)


def recipient_of(identity: str) -> str:
    """The ``age1...`` of an ``AGE-SECRET-KEY-1...``. Raises like `parse_identity`."""
    return parse_identity(identity).recipient


def parse_identity(text: str) -> AnyIdentity:
    """Raises InvalidInput, or NotInThisVersion for the identities of plugins; neither repeats the text."""
    if text.upper().startswith("AGE-PLUGIN-"):
        raise NotInThisVersion("plugin identities are not in this version", hint="`drorch key new` makes an X25519 key")
    try:
        prefix, data = bech32.decode(text)
        if prefix not in (_IDENTITY, _HYBRID_IDENTITY) or len(data) != _KEY_BYTES:
            raise ValueError("it is not of the form AGE-SECRET-KEY-1...")
    except ValueError as error:
        raise InvalidInput(f"this is not an age identity: {error}") from None
    if prefix == _HYBRID_IDENTITY:
        return HybridIdentity.from_seed(data)
    secret = X25519PrivateKey.from_private_bytes(data)
    return Identity(secret, secret.public_key().public_bytes_raw())


def parse_identity_file(text: str) -> tuple[str, ...]:
    """The identities of a file in age-keygen's form: one a line; empty lines and ``#`` lines are passed over.

    Raises InvalidInput naming every bad line by its number, never by its content, and when there is no identity at all;
    NotInThisVersion for the identities of plugins, Refused for a file that is protected by a passphrase
    (`age_protected.read_identity_file` reads those).
    """
    if is_protected(text.encode("utf-8", "surrogateescape")):
        raise Refused("the identity file is protected by a passphrase", hint="--passphrase-file FILE")
    identities: list[str] = []
    bad: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        candidate = line.strip()
        if not candidate or candidate.startswith("#"):
            continue
        try:
            parse_identity(candidate)
        except InvalidInput:
            bad.append(str(number))
        identities.append(candidate)
    if bad:
        raise InvalidInput(f"the identity file is malformed: no AGE-SECRET-KEY-1... in line {', '.join(bad)}")
    if not identities:
        raise InvalidInput("the identity file holds no AGE-SECRET-KEY-1... line")
    return tuple(identities)


def is_protected(data: bytes) -> bool:
    """Whether these bytes of an identity file are an age file themselves, armored or not."""
    return data.lstrip().startswith((b"-----BEGIN AGE ENCRYPTED FILE-----", b"age-encryption.org/"))


def identity_file(identity: str, created: datetime) -> str:
    """The text of an identity file as age-keygen writes it."""
    return f"# created: {to_text(created)}\n# public key: {recipient_of(identity)}\n{identity}\n"


def check_recipient(text: str) -> None:
    """Raises InvalidInput, or NotInThisVersion for recipient types other than X25519 (``age1pq1...`` and the like)."""
    wrap(bytes(FILE_KEY_BYTES), text)


def wrap(file_key: bytes, recipient: str) -> Stanza:
    """The stanza from which the identity of ``recipient`` gets the file key. Raises like `check_recipient`."""
    point = _parse_recipient(recipient)
    ephemeral = X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:
        # An all-zero secret: the "key" is a point of low order, and anybody could open the file.
        raise InvalidInput(f"{recipient} is no public key: it is a point of low order") from None
    body = ChaCha20Poly1305(derive(shared, share + point, _INFO)).encrypt(_ZERO_NONCE, file_key, None)
    return Stanza((_KIND, encode_base64(share)), body)


def unwrap(stanzas: Sequence[Stanza], identities: Sequence[AnyIdentity], passphrase: str = "") -> bytes:
    """The file key (16 bytes), still to be checked against the header's MAC.

    Raises AgeError for stanzas that the format forbids, NoMatchingIdentity when none opens. Unknown types are ignored.
    """
    if any(stanza.kind == age_scrypt.KIND for stanza in stanzas):
        return _unwrap_passphrase(stanzas, passphrase)
    # All of them are checked before any is tried: whether a file is well-formed must not depend on who reads it.
    wrapped = [
        (stanza.kind, *share_and_body(stanza, _SHARE_BYTES[stanza.kind]))
        for stanza in stanzas
        if stanza.kind in _SHARE_BYTES
    ]
    for identity in identities:
        for kind, share, body in wrapped:
            file_key = identity.open(share, body) if kind == identity.kind else None
            if file_key is not None:
                return file_key
    tried = ", ".join(_shortened(identity.recipient) for identity in identities)
    raise NoMatchingIdentity(
        "no identity given opens this file",
        operation="decrypt",
        cause=f"it is encrypted to {len(stanzas)} other recipient{'s' if len(stanzas) > 1 else ''}",
        hint=f"tried the keys of {tried}" if tried else "it needs an identity, not a passphrase",
    )


def _unwrap_passphrase(stanzas: Sequence[Stanza], passphrase: str) -> bytes:
    if len(stanzas) > 1:
        raise _forbidden("a passphrase stanza is not the only one")
    age_scrypt.check(stanzas[0])
    if not passphrase:
        raise NoMatchingIdentity(
            "this file is protected by a passphrase", operation="decrypt", hint="`age -d` asks for it"
        )
    file_key = age_scrypt.unwrap(stanzas[0], passphrase)
    if file_key is None:
        raise NoMatchingIdentity("the passphrase does not open this file", operation="decrypt")
    return file_key


def _shortened(recipient: str) -> str:
    """A post-quantum recipient has 2,000 characters, of which nobody compares more than the first."""
    return recipient if len(recipient) <= _SHOWN else recipient[:_SHOWN] + "..."


def _parse_recipient(text: str) -> bytes:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise InvalidInput("an identity (secret) stands where a recipient belongs", hint="its public key is age1...")
    try:
        prefix, data = bech32.decode(text)
    except ValueError as error:
        raise InvalidInput(f"this is not an age recipient: {error}", hint="recipients are age1...") from None
    if prefix == "age1pq":
        raise NotInThisVersion(
            "age1pq1... recipients are not in this version: post-quantum files are read, not written",
            hint="X25519 ones are: age1...",
        )
    if prefix.startswith("age1"):
        raise NotInThisVersion(f"{prefix}1... recipients are are not in this version", hint="X25519 ones are: age1...")
    if prefix != _RECIPIENT or len(data) != _KEY_BYTES:
        raise InvalidInput("this is not an age recipient: it is not of the form age1...")
    return data


def _forbidden(cause: str) -> AgeError:
    return AgeError("the age header is malformed", operation="decrypt", cause=cause)
