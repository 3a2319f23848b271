"""Point ids: frozen values, an independent computation, and what they prove."""

from __future__ import annotations

import base64
import hmac
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.crypto.ids import ATTEMPTS, ID_LENGTH, point_id, site_key, verify_point_id
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import Refused

SECRET = SecretKey(bytes(range(8)), bytes(range(32)))
SITE_KEY = site_key(SECRET)
SLOT = "2026-11-20T09:00Z"


def hkdf_by_hand(ikm: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, an empty salt (that is 32 zero bytes) and one block of output."""
    return hmac.digest(hmac.digest(bytes(32), ikm, "sha256"), info + b"\x01", "sha256")


def id_by_hand(message: bytes) -> str:
    return base64.b32encode(hmac.digest(SITE_KEY, message, "sha256")).decode().lower()[:20]


def test_the_site_key_is_hkdf_over_the_64_byte_secret_key_of_the_file():
    seed_and_public = base64.b64decode(SECRET.text().split("\n")[1])[62:126]
    assert hkdf_by_hand(seed_and_public, b"drorch point id") == SITE_KEY


def test_the_site_key_agrees_with_openssl(run_program):
    hexkey = SECRET.secret_bytes.hex()
    info = b"drorch point id".hex()
    out = run_program(
        "openssl", "kdf", "-binary", "-keylen", "32", "-kdfopt", "digest:SHA256",
        "-kdfopt", f"hexkey:{hexkey}", "-kdfopt", f"hexinfo:{info}", "HKDF",
    )  # fmt: skip
    assert out == SITE_KEY


def test_the_id_is_hmac_over_the_four_names_with_nul_between():
    message = b"shop\x00orders\x002026-11-20T09:00Z\x001"
    assert point_id(SITE_KEY, "shop", "orders", SLOT, 1) == id_by_hand(message)
    message = "bäckerei\x00db\x00manual:2026-11-20T09:12:31Z\x0012".encode()
    assert point_id(SITE_KEY, "bäckerei", "db", "manual:2026-11-20T09:12:31Z", 12) == id_by_hand(message)


def test_ids_are_frozen():
    """They stand in tags, paths and records of existing sites: these values never change."""
    assert SITE_KEY.hex() == "83fed3d041237cade5daadbe95bce5035a895184d57616db86c6ee3f3fd70fb4"
    assert point_id(SITE_KEY, "shop", "orders", SLOT, 1) == "dfnwg6nm7o6d6k7ofofv"
    assert point_id(SITE_KEY, "shop", "orders", SLOT, 2) == "xmmwhk6hwkfb5lqnsrgd"
    assert point_id(SITE_KEY, "shop", "orders", "manual:2026-11-20T09:12:31Z", 1) == "4olrirdvyeqk6ftrtuph"


NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)


@settings(deadline=None)
@given(NAMES, NAMES, NAMES, st.integers(1, 10**6))
def test_an_id_has_twenty_characters_that_every_provider_takes_in_a_name(application, resource, slot, attempt):
    assert re.fullmatch(r"[a-z2-7]{20}", point_id(SITE_KEY, application, resource, slot, attempt))
    assert ID_LENGTH == 20


@settings(deadline=None)
@given(st.tuples(NAMES, NAMES, NAMES, st.integers(1, 99)), st.tuples(NAMES, NAMES, NAMES, st.integers(1, 99)))
def test_different_names_have_different_ids(first, second):
    assert (point_id(SITE_KEY, *first) == point_id(SITE_KEY, *second)) == (first == second)


def test_names_that_read_alike_when_joined_have_different_ids():
    made = {
        point_id(SITE_KEY, application, resource, slot, attempt)
        for application, resource, slot, attempt in [
            ("a", "bc", "d", 1),
            ("ab", "c", "d", 1),
            ("a", "b", "cd", 1),
            ("a", "bc", "", 1),
            ("a", "bc", "d1", 1),
            ("a", "bc", "d", 11),
        ]
    }
    assert len(made) == 6


def test_every_attempt_of_a_slot_has_its_own_id_and_is_recognised():
    made = [point_id(SITE_KEY, "shop", "orders", SLOT, attempt) for attempt in range(1, ATTEMPTS + 1)]
    assert len(set(made)) == ATTEMPTS
    found = [verify_point_id(SITE_KEY, point, "shop", "orders", SLOT) for point in made]
    assert found == list(range(1, ATTEMPTS + 1))


@pytest.mark.parametrize(
    ("point", "application", "resource", "slot"),
    [
        ("", "shop", "orders", SLOT),
        ("ä" * 20, "shop", "orders", SLOT),
        ("a" * 20, "shop", "orders", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1).upper(), "shop", "orders", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1)[:-1], "shop", "orders", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1) + "a", "shop", "orders", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, ATTEMPTS + 1), "shop", "orders", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1), "shop", "customers", SLOT),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1), "shop", "orders", "2026-11-20T10:00Z"),
        (point_id(SITE_KEY, "shop", "orders", SLOT, 1), "shop\0orders", SLOT, "1"),
    ],
)
def test_a_forged_or_moved_id_is_nobodys(point, application, resource, slot):
    assert verify_point_id(SITE_KEY, point, application, resource, slot) is None


def test_the_id_of_another_site_is_nobodys():
    other = site_key(SecretKey.generate())
    assert verify_point_id(SITE_KEY, point_id(other, "shop", "orders", SLOT, 1), "shop", "orders", SLOT) is None


@pytest.mark.parametrize("names", [("sh\0op", "orders", SLOT), ("shop", "\0", SLOT), ("shop", "orders", SLOT + "\0")])
def test_a_name_with_a_nul_has_no_id(names):
    with pytest.raises(Refused, match="no point id"):
        point_id(SITE_KEY, *names, 1)


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt):
    with pytest.raises(Refused, match="no point id"):
        point_id(SITE_KEY, "shop", "orders", SLOT, attempt)
