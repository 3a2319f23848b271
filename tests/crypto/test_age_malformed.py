"""Age files with one fault each, after the classes of the C2SP/CCTV vectors, and odd ones that are correct.

They are made by a writer of the tests' own (`age_writer`).
"""

from __future__ import annotations

import base64
import io

import pytest
from age_writer import (
    BODY,
    CHUNK,
    FILE_KEY,
    IDENTITY,
    NONCE,
    SHARE,
    STANZA,
    STRANGER,
    VERSION,
    armor,
    b64,
    header,
    not_canonical,
    payload,
    x25519,
)

from drorch.crypto import age


def joined(lines: list[bytes], end: bytes = b"\n") -> bytes:
    return b"".join(line + end for line in lines)


def opened(data: bytes, identity: str = IDENTITY) -> bytes:
    sink = io.BytesIO()
    age.decrypt_stream(io.BytesIO(data), sink, [identity])
    return sink.getvalue()


def shortened(line: bytes) -> bytes:
    """A MAC line whose MAC lacks its first byte."""
    return b"--- " + b64(base64.b64decode(line[4:-1] + b"=")[1:]) + b"\n"


GOOD = header(VERSION, *STANZA)
BODY_LINE = b"A" * 64
FULL = b"f" * CHUNK
SMALL = payload(b"age")
LONG = payload(b"age" * 100)
ARMORED = armor(GOOD + SMALL)
WHOLE_LINES = GOOD + payload(b"x" * next(n for n in range(1, 49) if (len(GOOD) + 32 + n) % 48 == 0))

CORRECT = {
    "plain": (GOOD + SMALL, b"age"),
    "empty payload": (GOOD + payload(b""), b""),
    "final chunk is full": (GOOD + payload(FULL), FULL),
    "two chunks, the final one short": (GOOD + payload(FULL, b"."), FULL + b"."),
    "three full chunks": (GOOD + payload(FULL, FULL, FULL), FULL * 3),
    "unknown stanza before": (header(VERSION, b"-> grease-grease a b", b"", *STANZA) + SMALL, b"age"),
    "unknown stanza after": (header(VERSION, *STANZA, b"-> grease", b"QUFB") + SMALL, b"age"),
    "unknown stanza with a body of full lines and an empty last line": (
        header(VERSION, b"-> joint", BODY_LINE, BODY_LINE, b"", *STANZA) + SMALL,
        b"age",
    ),
    "every character that an argument may have": (
        header(VERSION, b"-> " + bytes(range(33, 127)), b"", *STANZA) + SMALL,
        b"age",
    ),
    "unknown stanza whose argument looks like a mark": (
        header(VERSION, b"-> --- ---", b"", *STANZA) + SMALL,
        b"age",
    ),
    "a stanza for somebody else before ours": (header(VERSION, *STRANGER, *STANZA) + SMALL, b"age"),
    "two stanzas for us": (header(VERSION, *STANZA, *STANZA) + SMALL, b"age"),
    "armored": (joined(ARMORED), b"age"),
    "armored with CRLF": (joined(ARMORED, b"\r\n"), b"age"),
    "armored without line feed at the end": (joined(ARMORED)[:-1], b"age"),
    "armored with whitespace round it": (b"\n\r   \t\n" + joined(ARMORED) + b"\n\r   \t\n", b"age"),
    "armored, last line full": (joined(armor(WHOLE_LINES)), opened(WHOLE_LINES)),
    "armored, two chunks": (joined(armor(GOOD + payload(FULL, b"."))), FULL + b"."),
}


def with_line(number: int, line: bytes) -> bytes:
    lines = ARMORED.copy()
    lines[number] = line
    return joined(lines)


HEADER_FAULTS = {
    "empty file": (b"", "it is empty"),
    "another file": (b"PK\x03\x04 something else\n", "not an age file"),
    "another file that begins with a": (b"a tale of two cities\n", "not an age file"),
    "version 2": (header(VERSION[:-1] + b"2", *STANZA) + SMALL, "another version"),
    "version line with a space": (header(VERSION + b" ", *STANZA) + SMALL, "another version"),
    "CRLF after the version": (header(VERSION + b"\r", *STANZA) + SMALL, "another version"),
    "CRLF in the whole header": (GOOD.replace(b"\n", b"\r\n") + SMALL, "another version"),
    "CRLF after the arguments": (header(VERSION, STANZA[0] + b"\r", STANZA[1]) + SMALL, "argument"),
    "CRLF after the body": (header(VERSION, STANZA[0], STANZA[1] + b"\r") + SMALL, "base64"),
    "no stanza": (header(VERSION) + SMALL, "no recipient"),
    "header cut in the version line": (GOOD[:10], "cut short"),
    "header cut in a stanza": (GOOD[:60], "cut short"),
    "header cut in the MAC": (GOOD[:-9], "cut short"),
    "stanza without space": (header(VERSION, b"->" + STANZA[0][3:], STANZA[1]) + SMALL, "begin with"),
    "stanza with another mark": (header(VERSION, b"<- X25519", b"", *STANZA) + SMALL, "begin with"),
    "stanza without arguments": (header(VERSION, b"-> ", b"", *STANZA) + SMALL, "argument"),
    "stanza with an empty argument": (header(VERSION, b"-> a  b", b"", *STANZA) + SMALL, "argument"),
    "stanza with a space at the end": (header(VERSION, b"-> a ", b"", *STANZA) + SMALL, "argument"),
    "stanza with a tabulator": (header(VERSION, b"-> a\tb", b"", *STANZA) + SMALL, "argument"),
    "stanza with a letter beyond ASCII": (header(VERSION, "-> ä".encode(), b"", *STANZA) + SMALL, "argument"),
    "stanza with a control character": (header(VERSION, b"-> a\x7f", b"", *STANZA) + SMALL, "argument"),
    "stanza without body": (header(VERSION, b"-> a", *STANZA) + SMALL, "base64"),
    "last stanza without body": (header(VERSION, *STANZA, b"-> a") + SMALL, "short line"),
    "full body line without a short one": (header(VERSION, *STANZA, b"-> a", BODY_LINE) + SMALL, "short line"),
    "full body line, then a stanza": (header(VERSION, b"-> a", BODY_LINE, *STANZA) + SMALL, "base64"),
    "body line of 65 columns": (header(VERSION, b"-> a", BODY_LINE + b"A", b"", *STANZA) + SMALL, "64 columns"),
    "two short body lines": (header(VERSION, b"-> a", b"AAAA", b"AAAA", *STANZA) + SMALL, "begin with"),
    "body with padding": (header(VERSION, STANZA[0], STANZA[1] + b"=") + SMALL, "base64"),
    "body not canonical": (header(VERSION, STANZA[0], not_canonical(STANZA[1])) + SMALL, "base64"),
    "body of an unknown stanza not canonical": (header(VERSION, b"-> a", b"AB", *STANZA) + SMALL, "base64"),
    "body with one left-over character": (header(VERSION, b"-> a", b"AAAAA", *STANZA) + SMALL, "base64"),
    "body in URL base64": (header(VERSION, b"-> a", b"AA-_", *STANZA) + SMALL, "base64"),
    "body with a space": (header(VERSION, b"-> a", b"AA AA", *STANZA) + SMALL, "base64"),
    "X25519 without share": (header(VERSION, b"-> X25519", STANZA[1]) + SMALL, "exactly one argument"),
    "X25519 with an extra argument": (header(VERSION, STANZA[0] + b" 1", STANZA[1]) + SMALL, "exactly one argument"),
    "X25519 share with padding": (header(VERSION, STANZA[0] + b"=", STANZA[1]) + SMALL, "share is not canonical"),
    "X25519 share not canonical": (
        header(VERSION, not_canonical(STANZA[0]), STANZA[1]) + SMALL,
        "share is not canonical",
    ),
    "X25519 share of 31 bytes": (
        header(VERSION, b"-> X25519 " + b64(SHARE[1:]), STANZA[1]) + SMALL,
        "share is not of 32",
    ),
    "X25519 share of 33 bytes": (
        header(VERSION, b"-> X25519 " + b64(b"\0" + SHARE), STANZA[1]) + SMALL,
        "share is not of 32",
    ),
    "X25519 body of 31 bytes": (header(VERSION, STANZA[0], b64(BODY[1:])) + SMALL, "body is not of 32"),
    "X25519 body with a longer file key": (
        header(VERSION, STANZA[0], b64(x25519(FILE_KEY + b"!")[1]), key=FILE_KEY + b"!") + SMALL,
        "body is not of 32",
    ),
    "X25519 share zero": (header(VERSION, b"-> X25519 " + b64(bytes(32)), STANZA[1]) + SMALL, "low order"),
    "X25519 share one": (header(VERSION, b"-> X25519 " + b64(b"\1" + bytes(31)), STANZA[1]) + SMALL, "low order"),
    "X25519 share of order eight": (
        header(
            VERSION,
            b"-> X25519 " + b64(bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
            STANZA[1],
        )
        + SMALL,
        "low order",
    ),
    "a malformed X25519 stanza behind a good one": (
        header(VERSION, *STANZA, STANZA[0] + b" 1", STANZA[1]) + SMALL,
        "exactly one argument",
    ),
    "scrypt beside X25519": (
        header(VERSION, b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10", b64(bytes(32)), *STANZA) + SMALL,
        "not the only one",
    ),
    "two scrypt stanzas": (
        header(VERSION, *[b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10", b64(bytes(32))] * 2) + SMALL,
        "not the only one",
    ),
    "MAC wrong": (header(VERSION, *STANZA, key=b"another file key") + SMALL, "its MAC does not fit"),
    "stanza added after the MAC was made": (GOOD.replace(b"\n---", b"\n-> a\n\n---") + SMALL, "its MAC does not fit"),
    "stanza type in upper case of another": (header(VERSION, STANZA[0].lower(), STANZA[1]) + SMALL, "other recipient"),
    "MAC line without MAC": (header(VERSION, *STANZA, mac=lambda _: b"---\n") + LONG, "MAC"),
    "MAC line without space": (header(VERSION, *STANZA, mac=lambda line: line.replace(b" ", b"")) + LONG, "MAC"),
    "MAC line with two spaces": (header(VERSION, *STANZA, mac=lambda line: line.replace(b" ", b"  ")) + LONG, "MAC"),
    "MAC line with a space at the end": (header(VERSION, *STANZA, mac=lambda line: line[:-1] + b" \n") + LONG, "MAC"),
    "MAC line with CRLF": (header(VERSION, *STANZA, mac=lambda line: line[:-1] + b"\r\n") + LONG, "MAC"),
    "MAC with padding": (header(VERSION, *STANZA, mac=lambda line: line[:-1] + b"=\n") + LONG, "MAC"),
    "MAC not canonical": (header(VERSION, *STANZA, mac=lambda line: not_canonical(line[:-1]) + b"\n") + LONG, "MAC"),
    "MAC one byte short": (
        header(VERSION, *STANZA, mac=shortened) + SMALL,
        "MAC",
    ),
    "endless header": (VERSION + b"\n" + b"-> a\n\n" * 50_000, "too long"),
    "endless line": (VERSION + b"\n-> " + b"a" * 300_000, "too long"),
    "header whole, and too long": (header(VERSION, *[b"-> a", b""] * 50_000, *STANZA) + SMALL, "too long"),
}

PAYLOAD_FAULTS = {
    "no nonce": (GOOD, "cut short"),
    "nonce cut": (GOOD + SMALL[:15], "cut short"),
    "no chunk": (GOOD + NONCE, "final chunk is missing"),
    "final chunk cut within its tag": (GOOD + SMALL[: 16 + 15], "final chunk is missing"),
    "final chunk cut by a byte": (GOOD + SMALL[:-1], "altered"),
    "no final chunk after a full one": (GOOD + payload(FULL, FULL, final=9), "altered"),
    "short chunk without the final mark": (GOOD + payload(b"age", final=9), "altered"),
    "empty final chunk after a full one": (GOOD + payload(FULL, b""), "final chunk is empty"),
    "data after a short final chunk": (GOOD + SMALL + b"\n", "altered"),
    "data after a full final chunk": (GOOD + payload(FULL) + b"x" * 32, "altered"),
    "one byte after a full final chunk": (GOOD + payload(FULL) + b"x", "altered"),
    "a chunk after the final one": (GOOD + payload(FULL, FULL, b".", final=1), "altered"),
    "two final chunks": (GOOD + payload(FULL) + payload(FULL, first=1)[16:], "altered"),
    "counter begins at one": (GOOD + payload(b"age", first=1), "altered"),
    "payload of another nonce": (GOOD + b"\xff" + SMALL[1:], "altered"),
    "a chunk longer than 64 KiB": (GOOD + payload(FULL + b"."), "altered"),
    "a short chunk in the middle": (GOOD + payload(FULL[1:], FULL), "altered"),
}

ARMOR_FAULTS = {
    "another label": (joined(ARMORED).replace(b"AGE ENCRYPTED", b"AGE BROKEN"), "not an age file"),
    "label in lower case": (joined(ARMORED).replace(b"FILE", b"file"), "not an age file"),
    "text before it": (b"text\n" + joined(ARMORED), "not an age file"),
    "text after it": (joined(ARMORED) + b"text\n", "follows the END line"),
    "a second block after it": (joined(ARMORED) * 2, "follows the END line"),
    "space before the BEGIN line": (b" " + joined(ARMORED), "not an age file"),
    "space after the END line": (joined(ARMORED)[:-1] + b" \n", "line"),
    "space at the end of a line": (joined(ARMORED, b" \n"), "not an age file"),
    "space at the end of a body line": (with_line(2, ARMORED[2] + b" "), "64 columns"),
    "space at the beginning of a body line": (with_line(2, b" " + ARMORED[2][:-1]), "base64"),
    "empty line at the beginning": (joined([ARMORED[0], b"", *ARMORED[1:]]), "empty"),
    "empty line at the end": (joined([*ARMORED[:-1], b"", ARMORED[-1]]), "short line"),
    "empty line after a full last line": (joined([*armor(WHOLE_LINES)[:-1], b"", ARMORED[-1]]), "empty"),
    "headers as in PEM": (joined([ARMORED[0], b"Comment: x", b"", *ARMORED[1:]]), "short line"),
    "lines of 72 columns": (joined(armor(GOOD + SMALL, 72)), "64 columns"),
    "lines of 60 columns": (joined(armor(GOOD + SMALL, 60)), "short line"),
    "padding missing": (joined([line.rstrip(b"=") for line in ARMORED]), "base64"),
    "not canonical": (
        with_line(-2, not_canonical(ARMORED[-2].rstrip(b"=")) + b"=" * ARMORED[-2].count(b"=")),
        "not canonical",
    ),
    "foreign character": (with_line(2, b"*" + ARMORED[2][1:]), "base64"),
    "checksum as in PGP": (joined([*ARMORED[:-1], b"=AAAA", ARMORED[-1]]), "short line"),
    "no END line": (joined(ARMORED[:-1]), "END line is missing"),
    "END line cut": (joined(ARMORED)[:-10], "line"),
    "only the BEGIN line": (ARMORED[0] + b"\n", "END line is missing"),
    "nothing in it": (joined([ARMORED[0], ARMORED[-1]]), "cut short"),
    "header with CRLF in it": (joined(armor(GOOD.replace(b"\n", b"\r\n") + SMALL)), "another version"),
    "garbage in it": (joined(armor(b"garbage")), "not an age file"),
    "armor in armor": (joined(armor(joined(ARMORED))), "not an age file"),
    "damaged payload in it": (joined(armor(GOOD + SMALL[:-1] + b"\0")), "altered"),
    "more whitespace before it than anyone writes": (b"\n" * 2000 + joined(ARMORED), "whitespace"),
    "more whitespace after it than anyone writes": (joined(ARMORED) + b"\n" * 2000, "whitespace"),
    "endless line": (ARMORED[0] + b"\n" + b"A" * 100_000, "too long"),
}


@pytest.mark.parametrize("name", CORRECT)
def test_an_odd_but_correct_file_is_opened(name):
    data, plain = CORRECT[name]
    assert opened(data) == plain


@pytest.mark.parametrize("name", HEADER_FAULTS)
def test_a_fault_in_the_header_is_refused_and_nothing_written(name):
    data, cause = HEADER_FAULTS[name]
    sink = io.BytesIO()
    with pytest.raises(age.AgeError, match=cause):
        age.decrypt_stream(io.BytesIO(data), sink, [IDENTITY])
    assert sink.getvalue() == b""


@pytest.mark.parametrize("name", ARMOR_FAULTS)
def test_a_fault_in_the_armor_is_refused_and_nothing_written(name):
    data, cause = ARMOR_FAULTS[name]
    sink = io.BytesIO()
    with pytest.raises(age.AgeError, match=cause):
        age.decrypt_stream(io.BytesIO(data), sink, [IDENTITY])
    assert sink.getvalue() == b""


@pytest.mark.parametrize("name", PAYLOAD_FAULTS)
@pytest.mark.parametrize("step", [16 * 1024, 10 * CHUNK])
def test_a_fault_in_the_payload_is_refused_and_only_whole_true_chunks_come_out(name, step):
    data, cause = PAYLOAD_FAULTS[name]
    decryptor = age.Decryptor([IDENTITY])
    out = bytearray()

    def read_all() -> None:
        for start in range(0, len(data), step):
            out.extend(decryptor.update(data[start : start + step]))
        out.extend(decryptor.finish())

    with pytest.raises(age.AgeError, match=cause):
        read_all()
    assert bytes(out) in (b"", FULL, FULL * 2)


@pytest.mark.parametrize("name", [*HEADER_FAULTS, *PAYLOAD_FAULTS])
def test_the_exit_code_of_a_bad_file_is_six_and_of_a_foreign_one_three(name):
    data, cause = {**HEADER_FAULTS, **PAYLOAD_FAULTS}[name]
    with pytest.raises(age.AgeError) as caught:
        opened(data)
    assert caught.value.exit_code == (3 if cause == "other recipient" else 6)


def test_a_file_for_somebody_else_is_named_as_such_with_the_public_keys_that_were_tried():
    with pytest.raises(age.NoMatchingIdentity, match=r"encrypted to 1 other recipient") as caught:
        opened(header(VERSION, *STRANGER) + SMALL)
    assert age.recipient_of(IDENTITY) in str(caught.value)
    assert IDENTITY not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_wrong_identity_opens_nothing():
    with pytest.raises(age.NoMatchingIdentity):
        opened(GOOD + SMALL, age.new_identity()[0])


def test_a_passphrase_file_that_meets_an_identity_is_named_as_such():
    scrypt = header(VERSION, b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18", b64(bytes(32)))
    with pytest.raises(age.NoMatchingIdentity, match="this file is protected by a passphrase") as caught:
        opened(scrypt + SMALL)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", [*CORRECT, *HEADER_FAULTS, *ARMOR_FAULTS])
def test_one_byte_at_a_time_gives_what_one_piece_gives(name):
    data = {**CORRECT, **HEADER_FAULTS, **ARMOR_FAULTS}[name][0][:3000]

    def outcome(step: int) -> tuple[bytes, str]:
        decryptor = age.Decryptor([IDENTITY])
        out = bytearray()
        try:
            for start in range(0, len(data), step):
                out += decryptor.update(data[start : start + step])
            out += decryptor.finish()
        except age.AgeError as error:
            return bytes(out), type(error).__name__
        return bytes(out), ""

    assert outcome(1) == outcome(len(data) or 1)


# Where version 1.1.1 of the program is laxer or stricter than the specification or than the limits set here.
PROGRAM_DIFFERS = {
    "armored with whitespace round it": "whitespace before it: taken by later versions only",
    "a malformed X25519 stanza behind a good one": "it stops at the first stanza that opens",
    "scrypt beside X25519": "it looks for that only when given a passphrase",
    "header whole, and too long": "it sets no limit",
    "empty line after a full last line": "refused by later versions only",
}


@pytest.mark.parametrize("table", [CORRECT, HEADER_FAULTS, PAYLOAD_FAULTS, ARMOR_FAULTS])
def test_the_age_program_judges_the_same(table, run_program, tmp_path):
    """So the files here are correct, or faulty, by somebody else's word too."""
    key_file = tmp_path / "key.txt"
    key_file.write_text(IDENTITY + "\n")
    for name, (data, expected) in table.items():
        if name in PROGRAM_DIFFERS:
            continue
        if table is CORRECT:
            assert run_program("age", "-d", "-i", key_file, given=data) == expected, name
        else:
            with pytest.raises(AssertionError, match="age exited 1"):
                pytest.fail(f"the program takes: {name} {run_program('age', '-d', '-i', key_file, given=data)!r}")
