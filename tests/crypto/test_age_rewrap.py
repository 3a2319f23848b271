"""A header for another recipient takes the old one's place; the payload stays as it is, also for the `age` program."""

from __future__ import annotations

import pytest

from drorch.crypto import age
from drorch.crypto.bech32 import encode
from drorch.domain.errors import InvalidInput, NotInThisVersion

PLAIN = bytes(range(256)) * 300
OTHER, OTHER_RECIPIENT = age.new_identity()


def written(recipient: str) -> tuple[bytes, bytes]:
    """Header and the rest of a file."""
    encryptor = age.Encryptor([recipient])
    data = encryptor.header + bytes(encryptor.update(PLAIN)) + encryptor.finish()
    return data[: encryptor.header_bytes], data[encryptor.header_bytes :]


def opened(data: bytes, identity: str) -> bytes:
    decryptor = age.Decryptor([identity])
    return bytes(decryptor.update(data)) + decryptor.finish()


def test_the_new_key_opens_the_same_payload_and_the_old_one_no_more(keys, run_program, tmp_path):
    header, payload = written(keys[1])
    assert (age.opens(header, [keys[0]]), age.opens(header, [OTHER])) == (True, False)
    made = age.rewrapped(header, [OTHER, keys[0]], OTHER_RECIPIENT)
    assert (age.opens(made, [keys[0]]), age.opens(made, [OTHER])) == (False, True)
    assert opened(made + payload, OTHER) == PLAIN
    with pytest.raises(age.NoMatchingIdentity):
        opened(made + payload, keys[0])
    assert opened(header + payload, keys[0]) == PLAIN
    (tmp_path / "other.txt").write_text(OTHER + "\n")
    assert run_program("age", "-d", "-i", tmp_path / "other.txt", given=made + payload) == PLAIN


def test_a_header_of_another_file_opens_no_chunk_of_this_one(keys):
    other, _ = written(keys[1])
    _, payload = written(keys[1])
    with pytest.raises(age.AgeError, match="altered"):
        opened(age.rewrapped(other, [keys[0]], OTHER_RECIPIENT) + payload, OTHER)


def test_without_the_key_there_is_no_header(keys):
    header, _ = written(keys[1])
    with pytest.raises(age.NoMatchingIdentity):
        age.rewrapped(header, [OTHER], OTHER_RECIPIENT)


@pytest.mark.parametrize(("recipient", "error"), [("age1x", InvalidInput), ("", InvalidInput)])
def test_for_a_bad_recipient_there_is_no_header(keys, recipient, error):
    header, _ = written(keys[1])
    with pytest.raises(error):
        age.rewrapped(header, [keys[0]], recipient)


def test_for_a_post_quantum_recipient_none_is_written(keys):
    header, _ = written(keys[1])
    with pytest.raises(NotInThisVersion, match="read, not written"):
        age.rewrapped(header, [keys[0]], encode("age1pq", bytes(1216)))


def test_an_altered_header_is_told_apart_from_one_for_others(keys):
    header, _ = written(keys[1])
    lines = header.splitlines(keepends=True)
    altered = b"".join([*lines[:-1], b"-> more\n\n", lines[-1]])
    for call in (lambda: age.opens(altered, [keys[0]]), lambda: age.rewrapped(altered, [keys[0]], OTHER_RECIPIENT)):
        with pytest.raises(age.AgeError, match="its MAC does not fit"):
            call()
