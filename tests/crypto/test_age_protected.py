"""Identity files under a passphrase go both ways between drorch and the `age` program, which asks on a terminal."""

from __future__ import annotations

import io

import pytest
from terminals import at_a_terminal

from drorch.crypto import age, age_scrypt
from drorch.crypto.age_armor import armor
from drorch.crypto.age_header import AgeError, NoMatchingIdentity
from drorch.crypto.age_protected import protect, read_identity_file
from drorch.domain.errors import InvalidInput, Refused, Unavailable

PASSPHRASE = "correct hörse battery staple"
CHEAP = 4
"""A work factor for tests: 16 KiB."""


@pytest.fixture(scope="module")
def protected(keys: tuple[str, str]) -> str:
    """The identity under the passphrase, as `key new` writes it."""
    return protect(keys[0] + "\n", PASSPHRASE)


def test_the_age_program_decrypts_with_our_protected_identity(keys, protected, tmp_path):
    sink = io.BytesIO()
    age.encrypt_stream(io.BytesIO(b"the dump"), sink, [keys[1]])
    (tmp_path / "key.age").write_text(protected)
    (tmp_path / "dump.age").write_bytes(sink.getvalue())
    command = ["age", "-d", "-i", str(tmp_path / "key.age"), str(tmp_path / "dump.age")]
    assert at_a_terminal(command, PASSPHRASE).out == b"the dump"


@pytest.mark.parametrize("options", [["-p"], ["-p", "-a"]])
def test_we_read_the_identity_that_the_age_program_protected(options, keys, tmp_path):
    plain = tmp_path / "key.txt"
    plain.write_text(f"# a comment\n{keys[0]}\n")
    data = at_a_terminal(["age", *options, str(plain)], PASSPHRASE, PASSPHRASE).out
    assert keys[0].encode() not in data
    assert read_identity_file(data, lambda: PASSPHRASE) == (keys[0],)


def test_ours_is_armored_costs_what_the_age_programs_costs_and_is_never_the_same_twice(keys, protected):
    lines = protected.splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----")
    assert max(map(len, lines)) == 64
    assert age_scrypt.WORK_FACTOR == 18
    first, second = protect(keys[0], PASSPHRASE, CHEAP), protect(keys[0], PASSPHRASE, CHEAP)
    assert first.splitlines()[3:] != second.splitlines()[3:]


def test_a_plain_identity_file_asks_nobody(keys):
    assert read_identity_file(keys[0].encode(), lambda: pytest.fail("asked")) == (keys[0],)


def test_a_wrong_passphrase_opens_nothing_and_is_not_repeated(keys):
    data = protect(keys[0], PASSPHRASE, CHEAP).encode()
    with pytest.raises(NoMatchingIdentity, match="the passphrase does not open this file") as caught:
        read_identity_file(data, lambda: "hunter2-hunter2")
    assert caught.value.exit_code == 3
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


def test_without_anybody_to_ask_a_protected_file_is_refused(keys):
    with pytest.raises(Refused, match="nobody to ask"):
        read_identity_file(protect(keys[0], PASSPHRASE, CHEAP).encode())


def test_an_empty_passphrase_protects_nothing(keys):
    with pytest.raises(InvalidInput, match="empty"):
        protect(keys[0], "")


@pytest.mark.parametrize("inside", ["no identity at all\n", "\u00e4\n", ""])
def test_what_is_no_identity_under_the_passphrase_is_refused_like_a_plain_file(inside):
    with pytest.raises(InvalidInput, match="identity file"):
        read_identity_file(protect(inside, PASSPHRASE, CHEAP).encode(), lambda: PASSPHRASE)


def test_a_damaged_protected_file_is_damage(keys):
    text = protect(keys[0], PASSPHRASE, CHEAP)
    with pytest.raises(AgeError, match="END line is missing") as caught:
        read_identity_file(text[:-40].encode(), lambda: PASSPHRASE)
    assert caught.value.exit_code == 6


def test_a_file_for_a_recipient_instead_of_a_passphrase_says_so(keys):
    sink = io.BytesIO()
    age.encrypt_stream(io.BytesIO(keys[0].encode()), sink, [keys[1]])
    with pytest.raises(NoMatchingIdentity, match="it needs an identity, not a passphrase"):
        read_identity_file(armor(sink.getvalue()).encode(), lambda: PASSPHRASE)


def test_a_work_factor_above_the_limit_is_refused_before_any_work(keys):
    text = f"age-encryption.org/v1\n-> scrypt {'A' * 22} 23\n{'A' * 43}\n--- {'A' * 43}\n".encode() + bytes(32)
    with pytest.raises(AgeError, match="work factor 23 is above the limit of 22"):
        read_identity_file(text, lambda: PASSPHRASE)


def test_missing_memory_is_unavailable_with_the_amount(keys, monkeypatch):
    def starved(*arguments: object, **named: object) -> object:
        raise MemoryError

    monkeypatch.setattr(age_scrypt, "Scrypt", starved)
    with pytest.raises(Unavailable, match="256 MiB"):
        protect(keys[0], PASSPHRASE)


def test_the_program_reads_what_we_protected_with_another_work_factor(keys, tmp_path):
    path = tmp_path / "key.age"
    path.write_text(protect("any text", PASSPHRASE, CHEAP))
    assert at_a_terminal(["age", "-d", str(path)], PASSPHRASE).out == b"any text"
