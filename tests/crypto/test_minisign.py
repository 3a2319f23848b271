"""Keys and signatures go both ways between drorch and the `minisign` program; what was tampered with is refused."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drorch.crypto.minisign import BadSignature, PublicKey, SecretKey, UnknownSigner, verify
from drorch.domain.errors import InvalidInput, Refused

KEY = SecretKey(bytes(range(1, 9)), bytes(range(32)))
DATA = b'{"format":1,"type":"manifest"}\n'
COMMENT = "drorch v1 manifest acme/shop/orders/manifest.json"
SIGNATURE = KEY.sign(DATA, COMMENT)

# Made by `minisign -G -f` (version 0.11) with the password "pw".
WITH_PASSWORD = (
    "untrusted comment: minisign encrypted secret key\n"
    "RWRTY0IyW328A0wwm4rc37N8cJxANxAGMzuUlgtawjwzHO4YTcgAAAACAAAAAAAAAEAAAAAANd16dQHV2or8D/tu0cx5FUx0kwjpyevp/9/UoXnZH3sF"
    "8yRdvwWvMbqz7xoSuiqFzY43XY7DacSpi+MxIjTlifcCYMtXZgmfWbYHpP8zopRlm1dOhm4j5RpJqSNl69p8YGLu0gbTuA8=\n"
)


def lines_of(signature: bytes) -> list[bytes]:
    return signature.split(b"\n")


def with_line(number: int, line: bytes, signature: bytes = SIGNATURE) -> bytes:
    lines = lines_of(signature)
    lines[number] = line
    return b"\n".join(lines)


class Folder:
    """A folder with the files that the program wants, and the program run in it."""

    def __init__(self, path: Path, run_program) -> None:
        self.path = path
        self._run = run_program

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def minisign(self, *arguments: str | Path) -> bytes:
        return self._run("minisign", *arguments)

    def new_pair(self) -> tuple[str, str]:
        """Secret and public key file as the program writes them, without password."""
        self.minisign("-G", "-W", "-f", "-p", self.path / "p.pub", "-s", self.path / "s.key")
        return (self.path / "s.key").read_text(), (self.path / "p.pub").read_text()


@pytest.fixture
def folder(tmp_path, run_program) -> Folder:
    return Folder(tmp_path, run_program)


@pytest.mark.parametrize("data", [b"", DATA, bytes(range(256)) * 5000])
def test_the_program_verifies_our_signature(data, folder):
    message = folder.write("m", data)
    folder.write("m.minisig", KEY.sign(data, COMMENT))
    shown = folder.minisign("-V", "-Q", "-m", message, "-P", KEY.public.text())
    assert shown.decode().strip() == COMMENT


def test_the_program_reads_our_two_line_public_key(folder):
    message = folder.write("m", DATA)
    folder.write("m.minisig", SIGNATURE)
    public = folder.write("ours.pub", KEY.public.file_text())
    assert b"Signature and comment signature verified" in folder.minisign("-V", "-m", message, "-p", public)


@pytest.mark.parametrize("data", [b"", DATA, bytes(range(256)) * 5000])
def test_we_verify_the_programs_signature_made_with_its_own_key(data, folder):
    _, public = folder.new_pair()
    message = folder.write("m", data)
    folder.minisign("-S", "-s", folder.path / "s.key", "-m", message, "-t", "kept für später")
    key = PublicKey.parse(public)
    verified = verify(data, (folder.path / "m.minisig").read_bytes(), [KEY.public, key])
    assert (verified.key, verified.trusted_comment) == (key, "kept für später")


def test_the_program_signs_with_our_secret_key_exactly_as_we_do(folder):
    """Ed25519 is deterministic: same key, data and comment, same bytes."""
    message = folder.write("m", DATA)
    secret = folder.write("ours.key", KEY.text())
    folder.minisign("-S", "-s", secret, "-m", message, "-t", COMMENT, "-c", "signature from drorch")
    assert (folder.path / "m.minisig").read_bytes() == SIGNATURE


def test_we_sign_with_the_programs_secret_key_and_the_program_verifies(folder):
    secret, public = folder.new_pair()
    key = SecretKey.parse(secret)
    assert key.public == PublicKey.parse(public)
    message = folder.write("m", DATA)
    folder.write("m.minisig", key.sign(DATA, COMMENT))
    assert COMMENT.encode() in folder.minisign("-V", "-m", message, "-p", folder.path / "p.pub")


def test_the_program_derives_our_public_key_from_our_secret_key(folder):
    secret = folder.write("ours.key", KEY.text())
    folder.minisign("-R", "-f", "-s", secret, "-p", folder.path / "derived.pub")
    assert PublicKey.parse((folder.path / "derived.pub").read_text()) == KEY.public


@pytest.mark.parametrize("key_id", [bytes(range(8)), bytes(range(8, 0, -1)), b"\xff" * 8, b"\x0a" + bytes(7)])
def test_our_public_key_file_is_the_programs_to_the_byte(key_id, folder):
    key = SecretKey(key_id, bytes(32))
    folder.minisign("-R", "-f", "-s", folder.write("s.key", key.text()), "-p", folder.path / "p.pub")
    assert key.public.file_text() == (folder.path / "p.pub").read_text()


def test_the_program_reads_comments_as_long_as_we_write_them(folder):
    message = folder.write("m", DATA)
    folder.write("m.minisig", KEY.sign(DATA, "t" * 8000, "u" * 1000))
    assert b"t" * 8000 in folder.minisign("-V", "-m", message, "-P", KEY.public.text())


def test_a_legacy_signature_of_the_program_is_refused_as_such(folder):
    _, public = folder.new_pair()
    message = folder.write("m", DATA)
    folder.minisign("-S", "-l", "-s", folder.path / "s.key", "-m", message, "-t", COMMENT)
    with pytest.raises(BadSignature, match="legacy signature, not pre-hashed"):
        verify(DATA, (folder.path / "m.minisig").read_bytes(), [PublicKey.parse(public)])


def test_a_secret_key_survives_its_file():
    again = SecretKey.parse(KEY.text())
    assert again.public == KEY.public
    assert again.sign(DATA, COMMENT) == SIGNATURE
    assert len(again.secret_bytes) == 64
    assert again.key_id == KEY.key_id


def test_our_secret_key_file_has_the_layout_of_minisign():
    """Algorithms, no key derivation, key id, 64-byte key, BLAKE2b-256 over algorithm, key id and key."""
    comment, line, end = KEY.text().split("\n")
    data = base64.b64decode(line)
    assert comment.startswith("untrusted comment: ")
    assert end == ""
    assert len(data) == 158
    assert data[:54] == b"Ed\0\0B2" + bytes(48)
    assert data[54:62] == KEY.key_id
    assert data[62:126] == KEY.secret_bytes
    assert data[94:126] == KEY.public.point
    assert data[126:] == hashlib.blake2b(b"Ed" + data[54:126], digest_size=32).digest()


def test_a_public_key_is_read_bare_or_as_a_file():
    assert PublicKey.parse(KEY.public.text()) == KEY.public
    assert PublicKey.parse(KEY.public.file_text()) == KEY.public
    assert PublicKey.parse(f"  {KEY.public.text()}\n") == KEY.public
    assert KEY.public.text().startswith("RW")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RW",
        "untrusted comment: minisign public key\n",
        KEY.public.text()[:-1],
        KEY.public.text() + "A",
        KEY.public.text() + "====",
        KEY.public.text() + "\n" + KEY.public.text(),
        "AA" + KEY.public.text()[2:],
        KEY.public.text().replace("R", "ä", 1),
        KEY.text(),
    ],
)
def test_a_bad_public_key_is_refused(text):
    with pytest.raises(InvalidInput, match="not a minisign public key"):
        PublicKey.parse(text)


def spoilt_file(place: int) -> str:
    comment, line, _ = KEY.text().split("\n")
    data = bytearray(base64.b64decode(line))
    data[place] ^= 1
    return f"{comment}\n{base64.b64encode(data).decode()}\n"


@pytest.mark.parametrize("place", [0, 1, 4, 5, 54, 61, 62, 93, 94, 125, 126, 157])
def test_a_damaged_secret_key_is_refused_without_being_repeated(place):
    text = spoilt_file(place)
    with pytest.raises(InvalidInput, match="minisign secret key") as caught:
        SecretKey.parse(text)
    assert text.split("\n")[1][90:120] not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("spoil", [lambda _: "", lambda t: t.split("\n")[1], lambda t: t[:-10], lambda t: t + t])
def test_a_secret_key_file_of_another_form_is_refused_without_being_repeated(spoil):
    with pytest.raises(InvalidInput, match="not a minisign secret key file") as caught:
        SecretKey.parse(spoil(KEY.text()))
    assert KEY.text().split("\n")[1][90:120] not in str(caught.value)


def test_the_checksum_that_minisign_leaves_zero_is_accepted_but_the_key_must_fit_itself():
    comment, line, _ = KEY.text().split("\n")
    data = bytearray(base64.b64decode(line))
    data[126:] = bytes(32)
    assert SecretKey.parse(f"{comment}\n{base64.b64encode(data).decode()}\n").public == KEY.public
    data[70] ^= 1
    with pytest.raises(InvalidInput, match="damaged"):
        SecretKey.parse(f"{comment}\n{base64.b64encode(data).decode()}\n")


def test_a_secret_key_with_a_password_is_refused_with_a_way_out():
    with pytest.raises(Refused, match=r"protected by a password.*minisign -G -W") as caught:
        SecretKey.parse(WITH_PASSWORD)
    assert "drorch key new --signing" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_secret_key_of_an_unknown_derivation_is_refused():
    with pytest.raises(InvalidInput, match="unknown kind"):
        SecretKey.parse(spoilt_file(2))


def test_the_representation_of_a_secret_key_shows_nothing_secret():
    for shown in (repr(KEY), str(KEY), f"{KEY}", f"{[KEY]}"):
        assert KEY.public.name in shown
        assert KEY.secret_bytes.hex()[:16] not in shown
        assert len(shown) < 40


def test_two_generated_keys_differ():
    first, second = SecretKey.generate(), SecretKey.generate()
    assert first.key_id != second.key_id
    assert first.secret_bytes[:32] != second.secret_bytes[:32]


def test_a_signature_says_whose_it_is_and_what_it_is_for():
    verified = verify(DATA, SIGNATURE, [SecretKey.generate().public, KEY.public])
    assert verified.key == KEY.public
    assert verified.trusted_comment == COMMENT


def test_a_stranger_is_named_by_the_id_that_minisign_would_print(folder):
    _, public = folder.new_pair()
    stranger = SecretKey.parse((folder.path / "s.key").read_text())
    with pytest.raises(UnknownSigner, match=stranger.public.name) as caught:
        verify(DATA, stranger.sign(DATA, COMMENT), [KEY.public])
    assert public.splitlines()[0].endswith(stranger.public.name)
    assert isinstance(caught.value, BadSignature)
    assert caught.value.exit_code == 3


def test_with_no_trusted_key_everybody_is_a_stranger():
    with pytest.raises(UnknownSigner):
        verify(DATA, SIGNATURE, [])


def test_a_stranger_who_uses_a_trusted_key_id_is_refused():
    stranger = SecretKey(KEY.key_id, bytes(range(1, 33)))
    with pytest.raises(BadSignature, match="not what key") as caught:
        verify(DATA, stranger.sign(DATA, COMMENT), [KEY.public])
    assert not isinstance(caught.value, UnknownSigner)


def test_of_two_trusted_keys_with_one_id_the_right_one_is_found():
    twin = SecretKey(KEY.key_id, bytes(range(1, 33)))
    assert verify(DATA, SIGNATURE, [twin.public, KEY.public]).key == KEY.public


@pytest.mark.parametrize("data", [b"", DATA + b"\n", DATA[:-1], DATA.replace(b"manifest", b"manifesT")])
def test_other_data_are_refused(data):
    with pytest.raises(BadSignature, match="data are not what key"):
        verify(data, SIGNATURE, [KEY.public])


def test_another_trusted_comment_is_refused():
    altered = with_line(2, b"trusted comment: drorch v1 manifest acme/shop/customers/manifest.json")
    with pytest.raises(BadSignature, match="trusted comment was altered"):
        verify(DATA, altered, [KEY.public])


def test_the_comment_of_another_signature_is_refused():
    other = lines_of(KEY.sign(b"other data", "another comment"))
    with pytest.raises(BadSignature, match="trusted comment was altered"):
        verify(DATA, with_line(2, other[2], with_line(3, other[3])), [KEY.public])


def test_the_untrusted_comment_is_just_that():
    assert verify(DATA, with_line(0, b"untrusted comment: anything"), [KEY.public]).trusted_comment == COMMENT


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\n\n\n\n",
        SIGNATURE[:-1],
        SIGNATURE + b"\n",
        SIGNATURE + SIGNATURE,
        SIGNATURE.replace(b"\n", b"\r\n"),
        with_line(0, b"a comment"),
        with_line(2, b"trusted comment:x"),
        with_line(1, lines_of(SIGNATURE)[1] + b"A"),
        with_line(1, lines_of(SIGNATURE)[1][:-4]),
        with_line(1, b" " + lines_of(SIGNATURE)[1]),
        with_line(1, lines_of(SIGNATURE)[1][:-2] + b"x="),
        with_line(3, lines_of(SIGNATURE)[3][:-4]),
        with_line(3, b""),
        with_line(1, base64.b64encode(b"EX" + base64.b64decode(lines_of(SIGNATURE)[1])[2:])),
    ],
)
def test_a_malformed_signature_is_refused(signature):
    with pytest.raises(BadSignature, match="signature is not valid"):
        verify(DATA, signature, [KEY.public])


def test_every_flipped_bit_of_a_signature_is_refused_except_in_the_untrusted_comment():
    start, end = len(b"untrusted comment: "), SIGNATURE.index(b"\n")
    for place in range(len(SIGNATURE) * 8):
        if start <= place // 8 < end:
            continue
        damaged = bytearray(SIGNATURE)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BadSignature):
            verify(DATA, bytes(damaged), [KEY.public])


def test_every_cut_of_a_signature_is_refused():
    for length in range(len(SIGNATURE)):
        with pytest.raises(BadSignature):
            verify(DATA, SIGNATURE[:length], [KEY.public])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_signature(signature):
    with pytest.raises(BadSignature):
        verify(DATA, signature, [KEY.public])


@pytest.mark.parametrize("comment", ["two\nlines", "a\rreturn", "a\ttab", "an \x1b[31mescape", "t" * 8001])
def test_a_comment_that_would_not_come_back_is_refused(comment):
    with pytest.raises(Refused, match="one line of printable characters"):
        KEY.sign(DATA, comment)
    with pytest.raises(Refused, match="at most 1000 bytes"):
        KEY.sign(DATA, "fine", comment)


def test_a_trusted_comment_that_is_not_text_is_refused():
    """Only somebody with the key can make one; nothing downstream has to cope with it."""
    head = lines_of(SIGNATURE)
    raw = base64.b64decode(head[1])[10:]
    comment = b"\xff\xfe"
    second = base64.b64encode(KEY._private.sign(raw + comment))
    with pytest.raises(BadSignature, match="UTF-8"):
        verify(DATA, with_line(2, b"trusted comment: " + comment, with_line(3, second)), [KEY.public])
