"""Post-quantum files, made by a writer of the test's own on HPKE primitives: read when whole, refused for one fault."""

from __future__ import annotations

import hashlib
import io

import pytest
from age_writer import FILE_KEY, IDENTITY, STANZA, VERSION, b64, header, not_canonical, payload
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from drorch.crypto import age
from drorch.crypto.age_keys import parse_identity
from drorch.crypto.bech32 import encode
from drorch.domain.errors import InvalidInput

SEED = bytes(range(32))
HYBRID = encode("age-secret-key-pq-", SEED).upper()
SMALL = payload(b"age")
INFO = b"age-encryption.org/mlkem768x25519"


def public_key(seed: bytes = SEED) -> MLKEM768X25519PublicKey:
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key()
    return MLKEM768X25519PublicKey(lattice, X25519PrivateKey.from_private_bytes(expanded[64:]).public_key())


def sealed(file_key: bytes = FILE_KEY, seed: bytes = SEED, info: bytes = INFO) -> tuple[bytes, bytes]:
    """Share and body of a stanza."""
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    both = suite.encrypt(file_key, public_key(seed), info=info)
    return both[:1120], both[1120:]


def lines(share: bytes, body: bytes, kind: bytes = b"mlkem768x25519") -> list[bytes]:
    text = b64(body)
    return [b"-> " + kind + b" " + b64(share), *(text[start : start + 64] for start in range(0, len(text) + 1, 64))]


def opened(data: bytes, identity: str) -> bytes:
    sink = io.BytesIO()
    age.decrypt_stream(io.BytesIO(data), sink, [identity])
    return sink.getvalue()


SHARE, BODY = sealed()
HYBRID_STANZA = lines(SHARE, BODY)
FOREIGN = lines(*sealed(seed=bytes(32)))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "stanzas",
    [
        HYBRID_STANZA,
        [*FOREIGN, *HYBRID_STANZA],
        [*HYBRID_STANZA, *FOREIGN],
        [b"-> grease x", b"", *HYBRID_STANZA],
        [*STANZA, *HYBRID_STANZA],
    ],
)
def test_a_post_quantum_file_opens_with_its_identity(stanzas):
    assert opened(header(VERSION, *stanzas) + SMALL, HYBRID) == b"age"


def test_in_a_file_for_both_kinds_each_identity_finds_its_stanza():
    data = header(VERSION, *HYBRID_STANZA, *STANZA) + SMALL
    assert opened(data, HYBRID) == opened(data, IDENTITY) == b"age"


@pytest.mark.parametrize(
    ("stanzas", "cause"),
    [
        (lines(SHARE[:-1], BODY), "share is not of 1120"),
        (lines(SHARE + b"\0", BODY), "share is not of 1120"),
        (lines(SHARE, BODY[:-1]), "body is not of 32"),
        (lines(*sealed(FILE_KEY + b"!")), "body is not of 32"),
        ([HYBRID_STANZA[0] + b" x", *HYBRID_STANZA[1:]], "exactly one argument"),
        ([b"-> mlkem768x25519", *HYBRID_STANZA[1:]], "exactly one argument"),
        ([not_canonical(HYBRID_STANZA[0]), *HYBRID_STANZA[1:]], "share is not canonical"),
        ([HYBRID_STANZA[0], not_canonical(HYBRID_STANZA[1])], "body is not canonical"),
        (lines(SHARE[:-32] + bytes(32), BODY), "low order"),
        (lines(SHARE[:-32] + b"\1" + bytes(31), BODY), "low order"),
        (lines(SHARE, BODY, b"X25519"), "share is not of 32"),
    ],
)
def test_one_fault_in_the_stanza_makes_the_file_malformed(stanzas, cause):
    with pytest.raises(age.AgeError, match=cause) as caught:
        opened(header(VERSION, *stanzas) + SMALL, HYBRID)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "stanzas",
    [
        FOREIGN,
        lines(flipped(SHARE, 5), BODY),
        lines(flipped(SHARE, 1100), BODY),
        lines(SHARE, flipped(BODY, 0)),
        lines(SHARE, flipped(BODY, 31)),
        lines(*sealed(info=b"age-encryption.org/another")),
        lines(SHARE, BODY, b"MLKEM768X25519"),
        STANZA,
    ],
)
def test_a_stanza_that_is_not_for_this_identity_opens_nothing(stanzas):
    with pytest.raises(age.NoMatchingIdentity, match="no identity given opens this file"):
        opened(header(VERSION, *stanzas) + SMALL, HYBRID)


def test_another_file_key_than_the_headers_is_seen():
    with pytest.raises(age.AgeError, match="its MAC does not fit"):
        opened(header(VERSION, *lines(*sealed(b"ANOTHER FILE KEY"))) + SMALL, HYBRID)


def test_an_identity_file_may_hold_both_kinds():
    assert age.parse_identity_file(f"{HYBRID}\n{IDENTITY}\n") == (HYBRID, IDENTITY)


def test_the_recipient_of_an_identity_begins_age1pq1_and_an_error_shows_its_beginning_alone():
    recipient = age.recipient_of(HYBRID)
    assert recipient.startswith("age1pq1")
    assert len(recipient) > 1900
    with pytest.raises(age.NoMatchingIdentity) as caught:
        opened(header(VERSION, *STANZA) + SMALL, HYBRID)
    assert recipient[:62] + "..." in str(caught.value)
    assert recipient[:70] not in str(caught.value)


def test_nothing_secret_shows():
    shown = repr(parse_identity(HYBRID))
    assert HYBRID not in shown
    assert SEED.hex() not in shown
    mistyped = HYBRID[:-1] + ("Q" if HYBRID[-1] != "Q" else "P")
    with pytest.raises(InvalidInput, match="checksum") as caught:
        parse_identity(mistyped)
    assert mistyped[20:40] not in str(caught.value)
