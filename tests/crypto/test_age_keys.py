"""Spellings of age keys, and the errors of bad ones."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.crypto import age, bech32
from drorch.domain.errors import InvalidInput, NotInThisVersion, Refused

# 2,000 characters of a real post-quantum recipient add nothing: the prefix decides, a correct checksum comes with it.
POST_QUANTUM = bech32.encode("age1pq", bytes(1216))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", InvalidInput, "PREFIX1DATA"),
        ("age1", InvalidInput, "PREFIX1DATA"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB", InvalidInput, "not an age recipient"),
        ("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwx", InvalidInput, "checksum"),
        ("age1Zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", InvalidInput, "mixed"),
        ("AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE869XEEXVN73EQUNUJWJ", InvalidInput, "age1"),
        (bech32.encode("age", bytes(31)), InvalidInput, "age1"),
        (bech32.encode("agf", bytes(32)), InvalidInput, "age1"),
        (bech32.encode("age", bytes(32)), InvalidInput, "low order"),
        (POST_QUANTUM, NotInThisVersion, r"age1pq1\.\.\. .*: post-quantum files are read, not written"),
        (bech32.encode("age1yubikey", bytes(33)), NotInThisVersion, "age1yubikey1"),
    ],
)
def test_a_bad_recipient_is_refused_when_checked_and_before_anything_is_written(text, error, message):
    with pytest.raises(error, match=message) as caught:
        age.check_recipient(text)
    assert caught.value.exit_code == 3
    sink = io.BytesIO()
    with pytest.raises(error, match=message):
        age.encrypt_stream(io.BytesIO(b"data"), sink, [age.new_identity()[1], text])
    assert sink.getvalue() == b""


def test_a_good_recipient_is_accepted(keys):
    age.check_recipient(keys[1])
    assert keys[1].startswith("age1")


def test_encrypting_to_nobody_is_refused():
    with pytest.raises(InvalidInput, match="no recipient"):
        age.Encryptor([])


def test_decrypting_with_nothing_is_refused():
    with pytest.raises(InvalidInput, match="no identity"):
        age.Decryptor([])


def test_a_header_longer_than_a_reader_takes_is_not_written(keys):
    with pytest.raises(InvalidInput, match="3000 recipients are too many"):
        age.Encryptor([keys[1]] * 3000)


def test_an_identity_where_a_recipient_belongs_is_refused_without_being_repeated(keys):
    with pytest.raises(InvalidInput, match="secret") as caught:
        age.check_recipient(keys[0])
    assert keys[0] not in str(caught.value)


def test_an_identity_file_may_have_comments_empty_lines_and_several_identities(keys):
    other = age.new_identity()[0]
    text = f"# a comment\n\n{keys[0]}\r\n   \n#{other}\n{other}\n"
    assert age.parse_identity_file(text) == (keys[0], other)


def mistyped(identity: str) -> str:
    return identity[:-1] + ("Q" if identity[-1] != "Q" else "P")


@pytest.mark.parametrize(
    "spoil",
    [
        mistyped,
        str.lower,
        lambda identity: identity[:-1],
        lambda identity: identity + " " + identity,
        lambda identity: "key: " + identity,
        lambda _: bech32.encode("age-secret-key-", bytes(31)).upper(),
        lambda _: bech32.encode("age-secret-kez-", bytes(32)).upper(),
    ],
)
def test_a_bad_line_of_an_identity_file_is_named_by_number_and_never_repeated(spoil, keys):
    bad = spoil(keys[0])
    with pytest.raises(InvalidInput, match=r"in line 2, 4$") as caught:
        age.parse_identity_file(f"# comment\n{bad}\n{keys[0]}\n{bad}\n")
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert bad not in shown
    assert keys[0][20:40].lower() not in shown.lower()
    assert caught.value.exit_code == 3


def test_a_bad_identity_string_is_refused_without_being_repeated(keys):
    with pytest.raises(Refused, match="not an age identity") as caught:
        age.Decryptor([mistyped(keys[0])])
    assert keys[0][20:40] not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n"])
def test_an_identity_file_without_identity_is_refused(text):
    with pytest.raises(InvalidInput, match=r"holds no AGE-SECRET-KEY-1"):
        age.parse_identity_file(text)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n",
        "age-encryption.org/v1\n-> scrypt a 18\n",
    ],
)
def test_a_protected_identity_file_is_not_taken_for_a_malformed_one(text):
    with pytest.raises(Refused, match="protected by a passphrase"):
        age.parse_identity_file(text)


def test_identities_of_plugins_are_refused_as_not_built():
    with pytest.raises(NotInThisVersion, match="plugin identities are not in this version"):
        age.parse_identity_file("AGE-PLUGIN-YUBIKEY-1QQQQ\n")


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["age", "age-secret-key-", "a1b"]))
def test_bech32_comes_back_as_it_went_in(data, prefix):
    assert bech32.decode(bech32.encode(prefix, data)) == (prefix, data)
    assert bech32.decode(bech32.encode(prefix, data).upper()) == (prefix.upper(), data)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.data())
def test_bech32_sees_every_single_wrong_character(data, draw):
    text = bech32.encode("age", data)
    place = draw.draw(st.integers(4, len(text) - 1))
    other = draw.draw(st.sampled_from([c for c in "qpzry9x8gf2tvdw0s3jn54khce6mua7l" if c != text[place]]))
    with pytest.raises(ValueError, match="checksum"):
        bech32.decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        # BIP 173, "Test vectors": invalid strings, one fault each.
        "\x201nwldj5",
        "\x7f1axkwrx",
        "\u00801eym55h",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\u00ff",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
    ],
)
def test_the_invalid_strings_of_bip_173_are_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        bech32.decode(text)


@pytest.mark.parametrize("bits", [[31], [0, 0, 0], [0, 1]])
def test_bech32_padding_that_is_not_canonical_is_refused(bits):
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    values = bech32._expand("age") + bits
    polymod = bech32._polymod(values + [0] * 6) ^ 1
    text = "age1" + "".join(alphabet[v] for v in bits + [polymod >> 5 * (5 - i) & 31 for i in range(6)])
    with pytest.raises(ValueError, match="padding"):
        bech32.decode(text)
