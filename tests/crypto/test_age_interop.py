"""Files go both ways between drorch, the `age` program and pyrage."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest

from drorch.crypto import age

CHUNK = 65_536
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1024 * 1024 + 3]


def plain(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def encrypted(data: bytes, *recipients: str) -> bytes:
    sink = io.BytesIO()
    age.encrypt_stream(io.BytesIO(data), sink, recipients)
    return sink.getvalue()


def decrypted(data: bytes, *identities: str) -> bytes:
    sink = io.BytesIO()
    age.decrypt_stream(io.BytesIO(data), sink, identities)
    return sink.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_the_age_program_opens_our_files(size, run_program, keys, key_file):
    assert run_program("age", "-d", "-i", key_file, given=encrypted(plain(size), keys[1])) == plain(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["binary", "armored"])
def test_we_open_the_age_programs_files(size, form, run_program, keys):
    options = ["-a"] if form == "armored" else []
    data = run_program("age", *options, "-r", keys[1], given=plain(size))
    assert data.startswith(b"-----BEGIN" if form == "armored" else b"age-encryption.org/v1\n")
    assert decrypted(data, keys[0]) == plain(size)


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_opens_our_files(size, keys):
    identity = pyrage.x25519.Identity.from_str(keys[0])
    assert pyrage.decrypt(encrypted(plain(size), keys[1]), [identity]) == plain(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("armored", [False, True])
def test_we_open_pyrages_files(size, armored, keys):
    recipient = pyrage.x25519.Recipient.from_str(keys[1])
    assert decrypted(pyrage.encrypt(plain(size), [recipient], armored=armored), keys[0]) == plain(size)


def test_each_of_several_recipients_opens_a_file_wherever_it_was_written(run_program, tmp_path):
    pairs = [age.new_identity() for _ in range(3)]
    recipients = [recipient for _, recipient in pairs]
    ours = encrypted(b"for three", *recipients)
    theirs = run_program("age", *(part for each in recipients for part in ("-r", each)), given=b"for three")
    for number, (identity, _) in enumerate(pairs):
        path = tmp_path / f"{number}.txt"
        path.write_text(identity + "\n")
        assert run_program("age", "-d", "-i", path, given=ours) == b"for three"
        assert decrypted(theirs, identity) == b"for three"
        assert decrypted(ours, identity) == b"for three"


def test_the_fitting_one_of_several_identities_is_found(keys):
    others = [age.new_identity()[0] for _ in range(2)]
    assert decrypted(encrypted(b"x", keys[1]), *others, keys[0]) == b"x"


def test_the_length_of_the_file_is_header_and_nonce_and_sixteen_bytes_a_chunk(keys):
    encryptor = age.Encryptor([keys[1]])
    data = bytes(encryptor.header) + bytes(encryptor.update(plain(2 * CHUNK + 1))) + encryptor.finish()
    assert data[: encryptor.header_bytes].endswith(b"\n")
    assert data[: encryptor.header_bytes].splitlines()[-1].startswith(b"--- ")
    assert len(data) == encryptor.header_bytes + 16 + 2 * CHUNK + 1 + 3 * 16
    assert decrypted(data, keys[0]) == plain(2 * CHUNK + 1)


def test_two_files_of_the_same_data_have_nothing_in_common(keys):
    first, second = encrypted(b"the same", keys[1]), encrypted(b"the same", keys[1])
    assert first.splitlines()[1:] != second.splitlines()[1:]
    assert first[-24:] != second[-24:]


def test_age_keygens_identity_file_is_read_and_ours_is_read_by_it(run_program, tmp_path):
    path = tmp_path / "theirs.txt"
    run_program("age-keygen", "-o", path)
    text = path.read_text()
    (identity,) = age.parse_identity_file(text)
    assert f"# public key: {age.recipient_of(identity)}\n" in text

    identity, recipient = age.new_identity()
    ours = tmp_path / "ours.txt"
    ours.write_text(age.identity_file(identity, datetime(2026, 11, 20, 9, 15, tzinfo=UTC)))
    assert run_program("age-keygen", "-y", ours).decode().strip() == recipient
    assert run_program("age", "-d", "-i", ours, given=encrypted(b"kept", recipient)) == b"kept"


def test_an_identity_file_has_the_form_of_age_keygen(keys):
    text = age.identity_file(keys[0], datetime(2026, 11, 20, 9, 15, 7, 999_999, tzinfo=UTC))
    assert text == f"# created: 2026-11-20T09:15:07Z\n# public key: {keys[1]}\n{keys[0]}\n"
    assert age.parse_identity_file(text) == (keys[0],)


def test_pyrage_and_we_agree_on_the_public_key_of_an_identity():
    identity = pyrage.x25519.Identity.generate()
    assert age.recipient_of(str(identity)) == str(identity.to_public())


def test_the_published_example_pair_of_the_specification():
    """C2SP age.md, "The X25519 recipient type"."""
    identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    assert age.recipient_of(identity) == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_a_whole_file_on_disk_goes_through_unbuffered_files(tmp_path: Path, keys):
    source, middle, end = (tmp_path / name for name in ("plain", "plain.age", "again"))
    source.write_bytes(plain(3 * CHUNK))
    with source.open("rb", buffering=0) as reader, middle.open("wb", buffering=0) as writer:
        age.encrypt_stream(reader, writer, [keys[1]])
    with middle.open("rb", buffering=0) as reader, end.open("wb", buffering=0) as writer:
        age.decrypt_stream(reader, writer, [keys[0]])
    assert end.read_bytes() == plain(3 * CHUNK)
