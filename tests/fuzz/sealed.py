"""Ciphers, signatures, keys and compressed streams: what comes out is what was put in, or nothing."""

from __future__ import annotations

import base64
import functools
import io
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import zstandard
from fuzz.engine import Parser
from fuzz.hostile import IDENTITY, KEY

from drorch.app.unzstd import decompressed
from drorch.crypto import bech32
from drorch.crypto.age import (
    AgeError,
    Decryptor,
    check_recipient,
    encrypt_stream,
    identity_file,
    new_identity,
    parse_identity_file,
    recipient_of,
)
from drorch.crypto.minisign import BadSignature, PublicKey, SecretKey, verify
from drorch.domain.errors import Damaged, InvalidInput, Refused

SIGNED = b"what was signed\n"
PLAINS = {"empty": b"", "short": b"a few words\n" * 9, "chunks": random.Random(7).randbytes(66_000)}
MOST = 8 * 1024 * 1024
"""Bytes of output that a check looks at."""


# --- age -----------------------------------------------------------------------------------------------------------


def _pieces(data: bytes) -> Iterator[bytes]:
    """The data in pieces whose sizes depend on nothing but the data."""
    rng = random.Random(data[-64:])
    while data:
        size = rng.choice((1, 7, 64, 1000, 65_552, 1 << 20))
        yield data[:size]
        data = data[size:]


def _age(data: bytes) -> None:
    out = bytearray()
    try:
        decryptor = Decryptor([IDENTITY])
        for number, piece in enumerate(_pieces(data)):
            out += decryptor.update(piece)
            if number > 3000:
                out += decryptor.update(data[len(data) :])
        out += decryptor.finish()
    except AgeError as error:
        str(error).encode()
        assert any(plain.startswith(out) for plain in PLAINS.values()), "what was never encrypted came out"
        return
    assert bytes(out) in PLAINS.values(), "a file that was altered was taken for whole"
    assert data in _files() or data.lstrip().startswith(b"-----BEGIN"), "one file has two spellings"


@functools.cache
def _files() -> frozenset[bytes]:
    return frozenset(AGE.seeds().values())


def _planted_age() -> Mapping[str, bytes]:
    made: dict[str, bytes] = {}
    own = recipient_of(IDENTITY)
    for name, plain in PLAINS.items():
        sink = io.BytesIO()
        recipients = [new_identity()[1], own] if name == "short" else [own]
        encrypt_stream(io.BytesIO(plain), sink, recipients)
        made[name] = sink.getvalue()
    lines = base64.encodebytes(made["short"]).replace(b"\n", b"")
    body = b"\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    made["armored"] = b"-----BEGIN AGE ENCRYPTED FILE-----\n%s\n-----END AGE ENCRYPTED FILE-----\n" % body
    return made


def _keys(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    secret = IDENTITY[20:50]
    try:
        for identity in parse_identity_file(text):
            check_recipient(recipient_of(identity))
    except Refused as error:
        assert secret not in str(error)
    for line in text.split("\n")[:20]:
        try:
            check_recipient(line)
        except Refused as error:
            assert secret not in str(error)
        try:
            prefix, content = bech32.decode(line)
        except ValueError as error:
            assert secret not in str(error)
            continue
        assert bech32.encode(prefix.lower(), content) == line.lower()


def _planted_keys() -> Mapping[str, bytes]:
    text = identity_file(IDENTITY, datetime(2026, 11, 20, tzinfo=UTC))
    recipient = recipient_of(IDENTITY)
    return {
        "identity": text.encode(),
        "recipient": recipient.encode(),
        "two": f"{text}{recipient}\n{IDENTITY}".encode(),
    }


# --- minisign ------------------------------------------------------------------------------------------------------


def _signature(data: bytes) -> None:
    try:
        verified = verify(SIGNED, data, [KEY.public])
    except BadSignature as error:
        str(error).encode()
        return
    assert verified.key == KEY.public
    assert verified.trusted_comment == "drorch v1 mark a/b"
    good = _planted_signature()["good"].split(b"\n")
    assert data.split(b"\n")[1:] == good[1:], "one signature has two spellings"


def _planted_signature() -> Mapping[str, bytes]:
    stranger = SecretKey(KEY.key_id, bytes(32))
    return {
        "good": KEY.sign(SIGNED, "drorch v1 mark a/b"),
        "other-data": KEY.sign(b"other", "drorch v1 mark c/d"),
        "stranger": stranger.sign(SIGNED, "drorch v1 mark a/b"),
    }


def _signing_keys(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    secret = KEY.text().splitlines()[1]
    try:
        public = PublicKey.parse(text)
    except InvalidInput:
        pass
    else:
        assert PublicKey.parse(public.text()) == public == PublicKey.parse(public.file_text())
    try:
        key = SecretKey.parse(text)
    except Refused as error:
        assert secret[80:100] not in str(error)
    else:
        assert SecretKey.parse(key.text()).secret_bytes == key.secret_bytes
        assert verify(SIGNED, key.sign(SIGNED, "c"), [key.public]).key == key.public


def _planted_signing_keys() -> Mapping[str, bytes]:
    # minisign 0.11 leaves the checksum of a key without password all zero.
    comment, line = KEY.text().splitlines()
    bare = base64.b64encode(base64.b64decode(line)[:-32] + bytes(32)).decode()
    return {
        "public": KEY.public.text().encode(),
        "public-file": KEY.public.file_text().encode(),
        "secret": KEY.text().encode(),
        "secret-bare": f"{comment}\n{bare}\n".encode(),
    }


# --- zstd ----------------------------------------------------------------------------------------------------------


def _zstd(data: bytes) -> None:
    out = bytearray()
    try:
        for part in decompressed(_pieces(data)):
            out += part
            if len(out) > MOST:
                return
    except Damaged as error:
        str(error).encode()
        return
    assert bytes(out) == _frame_by_frame(data), "the end of a frame was taken for the end of the data"


def _frame_by_frame(data: bytes) -> bytes:
    """What the frames hold, each read for itself (RFC 8878, 3.1); skippable ones hold nothing."""
    out = bytearray()
    while data:
        if 0x184D2A50 <= int.from_bytes(data[:4], "little") <= 0x184D2A5F:
            data = data[8 + int.from_bytes(data[4:8], "little") :]
            continue
        frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        out += frame.decompress(data)
        assert frame.eof
        data = frame.unused_data
    return bytes(out)


def _planted_zstd() -> Mapping[str, bytes]:
    def frame(plain: bytes, *, checksum: bool = True, size: bool = False) -> bytes:
        parameters = zstandard.ZstdCompressor(level=3, write_checksum=checksum, write_content_size=size)
        return parameters.compress(plain)

    words = PLAINS["short"]
    skippable = (0x184D2A51).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"notes"
    return {
        "one": frame(words),
        "bare": frame(words, checksum=False, size=True),
        "empty": frame(b""),
        "several": frame(words) + frame(b"") + skippable + frame(words * 30, checksum=False) + frame(b"", size=True),
        "random": frame(PLAINS["chunks"][:3000]),
        "zeros": frame(bytes(300_000)),
        "skippable": skippable,
    }


AGE = Parser("age", _age, _planted_age, 250)
PARSERS = (
    AGE,
    Parser("age-keys", _keys, _planted_keys, 400),
    Parser("minisig", _signature, _planted_signature, 800),
    Parser("minisign-keys", _signing_keys, _planted_signing_keys, 800),
    Parser("zstd", _zstd, _planted_zstd, 600),
)
