"""Post-quantum keys of age, for reading: ``mlkem768x25519`` (C2SP age.md; HPKE of RFC 9180 in base mode).

The KEM is ML-KEM-768 with X25519 (X-Wing, HPKE id 0x647a), the KDF HKDF-SHA-256, the cipher ChaCha20-Poly1305, the info
``age-encryption.org/mlkem768x25519``. An identity is a seed of 32 bytes, of which SHAKE256 makes both secret keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from drorch.crypto import bech32
from drorch.crypto.age_header import AgeError

KIND = "mlkem768x25519"
SHARE_BYTES = 1120
"""ML-KEM-768 ciphertext of 1,088 bytes, then the X25519 share of 32."""
SEED_BYTES = 32

_RECIPIENT = "age1pq"
_INFO = b"age-encryption.org/mlkem768x25519"
_MLKEM_SEED_BYTES = 64
_POINT_BYTES = 32
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True)
class HybridIdentity:
    """A parsed ``AGE-SECRET-KEY-PQ-1...``; its representation shows nothing secret."""

    secret: MLKEM768X25519PrivateKey
    point: X25519PrivateKey
    public: bytes

    kind = KIND

    @classmethod
    def from_seed(cls, seed: bytes) -> HybridIdentity:
        """The identity of a 32-byte seed."""
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + _POINT_BYTES)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        point = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        public = lattice.public_key().public_bytes_raw() + point.public_key().public_bytes_raw()
        return cls(MLKEM768X25519PrivateKey(lattice, point), point, public)

    @property
    def recipient(self) -> str:
        """``age1pq1...``, about 2,000 characters."""
        return bech32.encode(_RECIPIENT, self.public)

    def open(self, share: bytes, body: bytes) -> bytes | None:
        """The file key of a stanza for this identity, None of one for another; AgeError for a share of low order."""
        try:
            self.point.exchange(X25519PublicKey.from_public_bytes(share[-_POINT_BYTES:]))
        except ValueError:
            raise AgeError(
                "the age header is malformed",
                operation="decrypt",
                cause=f"the X25519 part of an {KIND} share is a point of low order",
            ) from None
        try:
            return _SUITE.decrypt(share + body, self.secret, info=_INFO)
        except InvalidTag:
            return None
