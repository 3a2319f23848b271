"""Tokens: only the recipient's key answers, for its own time, site and recipient, and the answer can be told by all."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drorch.crypto import age
from drorch.crypto.bech32 import encode
from drorch.crypto.key_token import Answer, Token, answer, fingerprint, fits, new_token
from drorch.domain.errors import Damaged, NotInThisVersion, Usage

NOW = datetime(2026, 11, 24, 21, 0, 7, tzinfo=UTC)
SITE = "acme"


@pytest.fixture(scope="module")
def token(keys: tuple[str, str]) -> Token:
    return new_token(keys[1])


def test_who_holds_the_key_answers_and_the_public_half_tells(keys, token):
    given = answer(token, SITE, keys[1], [age.new_identity()[0], keys[0]], NOW)
    assert fits(token, SITE, keys[1], given)
    assert Answer.parse(f" {given.text()}\n") == given
    assert given.at == NOW


def test_the_token_is_an_age_file_that_the_age_program_opens(keys, token, run_program, key_file):
    nonce = run_program("age", "-d", "-i", key_file, given=token.sealed)
    assert len(nonce) == 32
    assert nonce not in token.sealed
    assert hashlib.sha256(nonce).hexdigest() == token.sha256


def test_another_key_does_not_answer(keys, token):
    with pytest.raises(age.NoMatchingIdentity):
        answer(token, SITE, keys[1], [age.new_identity()[0]], NOW)


def test_an_answer_fits_no_other_time_site_recipient_or_token(keys, token):
    given = answer(token, SITE, keys[1], [keys[0]], NOW)
    other = age.new_identity()[1]
    assert not fits(token, SITE, keys[1], replace(given, at=NOW + timedelta(seconds=1)))
    assert not fits(token, "other", keys[1], given)
    assert not fits(token, SITE, other, given)
    assert not fits(token, SITE, other, replace(given, fingerprint=fingerprint(other)))
    assert not fits(token, SITE, keys[1], replace(given, fingerprint=fingerprint(other)))
    assert not fits(new_token(keys[1]), SITE, keys[1], given)
    assert not fits(replace(token, public="00" * 31), SITE, keys[1], given)


@pytest.mark.parametrize("spoil", [{"sha256": "0" * 64}, {"public": "0" * 64}])
def test_a_token_that_is_not_what_lies_beside_it_gets_no_answer(keys, token, spoil):
    with pytest.raises(Damaged, match="not what lies beside it"):
        answer(replace(token, **spoil), SITE, keys[1], [keys[0]], NOW)


def test_a_sealed_text_of_another_length_is_no_token(keys, token):
    sealed = io.BytesIO()
    age.encrypt_stream(io.BytesIO(b"short"), sealed, [keys[1]])
    with pytest.raises(Damaged):
        answer(replace(token, sealed=sealed.getvalue()), SITE, keys[1], [keys[0]], NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drorch-key-1",
        "x" * 500,
        "drorch-key-2.0123456789abcdef.20261124T210007Z." + "A" * 86,
        "drorch-key-1.0123456789abcdef.20261324T210007Z." + "A" * 86,
        "drorch-key-1.0123456789abcdef.20261124T210007Z." + "A" * 85,
    ],
)
def test_what_is_no_answer_is_refused_as_such(text):
    with pytest.raises(Usage, match="not an answer"):
        Answer.parse(text)


def test_a_recipient_that_cannot_be_written_to_has_no_token():
    with pytest.raises(NotInThisVersion):
        new_token(encode("age1pq", bytes(1216)))
