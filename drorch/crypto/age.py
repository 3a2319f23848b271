"""age v1 files (C2SP age.md): X25519, any number of recipients, read and written as streams in bounded memory.

Files for post-quantum keys and under a passphrase are read, too.

`encrypt_stream` and `decrypt_stream` take binary files; `Encryptor` and `Decryptor` take pieces of any size and are for
pipelines. Nothing that is not authenticated leaves a reader. Every bad file raises `AgeError`; one that is well-formed
but for other keys, its subclass `NoMatchingIdentity`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import BinaryIO

from drorch.crypto import age_chunks, age_header
from drorch.crypto.age_armor import LINE_LIMIT, Dearmor
from drorch.crypto.age_chunks import NONCE_BYTES, BytesLike, Chunks
from drorch.crypto.age_header import FILE_KEY_BYTES, HEADER_LIMIT, AgeError, NoMatchingIdentity
from drorch.crypto.age_keys import (
    check_recipient,
    identity_file,
    new_identity,
    parse_identity,
    parse_identity_file,
    recipient_of,
    unwrap,
    wrap,
)
from drorch.domain.errors import InvalidInput, Refused

__all__ = [
    "AgeError",
    "Decryptor",
    "Encryptor",
    "NoMatchingIdentity",
    "check_recipient",
    "decrypt_stream",
    "encrypt_stream",
    "identity_file",
    "new_identity",
    "opens",
    "parse_identity_file",
    "recipient_of",
    "rewrapped",
]

_READ_BYTES = 1024 * 1024
_MOST_HELD_BYTES = 512 * 1024
"""More than either direction can give beyond what it takes: a held chunk, an unfinished header, the tags."""


class Encryptor:
    """Writes one age file piece by piece: first `header`, then what `update` gives, at the end what `finish` gives.

    Not for several threads at once. Errors of the recipients are raised by the constructor (`check_recipient`).
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        if not recipients:
            raise InvalidInput("no recipient given", hint="recipients are age1...")
        file_key, nonce = secrets.token_bytes(FILE_KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
        text = age_header.encode([wrap(file_key, recipient) for recipient in recipients], file_key)
        if len(text) > HEADER_LIMIT:
            raise InvalidInput(f"{len(recipients)} recipients are too many", hint="a header is at most 256 KiB long")
        self.header = text + nonce
        """What stands first in the file: the text header and the payload's nonce of 16 bytes."""
        self.header_bytes = len(text)
        """Length of the text header alone, up to the payload's nonce."""
        self._chunks = age_chunks.sealing(file_key, nonce)
        self._finished = False

    def room(self, count: int) -> int:
        """How many bytes the next `update_into` will write for ``count`` bytes of plain text."""
        return self._chunks.room(count)

    def update_into(self, data: BytesLike, out: bytearray | memoryview) -> int:
        """Like `update`, into the caller's buffer of at least `room` bytes; returns how many were written."""
        _refuse_finished(self._finished)
        view, target = memoryview(data).cast("B"), memoryview(out).cast("B")
        _refuse_small(target, self.room(len(view)))
        return self._chunks.update_into(view, target)

    def update(self, data: BytesLike) -> bytearray:
        """The chunks that are ready now; up to 64 KiB of plain text are held back."""
        out = bytearray(self.room(memoryview(data).nbytes))
        self.update_into(data, out)
        return out

    def finish(self) -> bytes:
        """The final chunk; nothing may be called after it."""
        _refuse_finished(self._finished)
        self._finished = True
        return self._chunks.finish()


class Decryptor:
    """Reads one age file, armored or not, piece by piece: `update` and, at the end, `finish` give authentic bytes.

    Both raise AgeError, and from then on nothing more comes out. The file is whole only once `finish` has returned.
    `passphrase` opens files that are protected by one. Not for several threads at once. Bad identities are refused by
    the constructor (`parse_identity_file`).
    """

    def __init__(self, identities: Sequence[str], *, passphrase: str = "") -> None:
        if not identities and not passphrase:
            raise InvalidInput("no identity given", hint="identities are AGE-SECRET-KEY-1...")
        self._identities = [parse_identity(identity) for identity in identities]
        self._passphrase = passphrase
        self._head = bytearray()
        self._scanned = 0
        self._armor: Dearmor | None = None
        self._chunks: Chunks | None = None
        self._begun = False
        self._finished = False

    def room(self, count: int) -> int:
        """The most bytes that the next `update_into` can write for ``count`` bytes of the file."""
        if self._chunks is not None and self._armor is None:
            return self._chunks.room(count)
        # What an armored line or an unfinished header holds back may come out together with the new bytes.
        held = age_chunks.SEALED_BYTES if self._chunks is not None else len(self._head)
        return held + LINE_LIMIT + count

    def update_into(self, data: BytesLike, out: bytearray | memoryview) -> int:
        """Like `update`, into the caller's buffer of at least `room` bytes; returns how many were written.

        After an AgeError the buffer may hold bytes that are not authenticated and must not be used.
        """
        _refuse_finished(self._finished)
        view, target = memoryview(data).cast("B"), memoryview(out).cast("B")
        if not view:
            return 0
        _refuse_small(target, self.room(len(view)))
        try:
            return self._take(view, target)
        except AgeError:
            self._finished = True
            raise

    def update(self, data: BytesLike) -> bytearray:
        """The plain bytes that are ready and authenticated; up to 64 KiB of the file are held back."""
        out = bytearray(self.room(memoryview(data).nbytes))
        del out[self.update_into(data, out) :]
        return out

    def finish(self) -> bytes:
        """The plain bytes of the final chunk. Raises AgeError when the file does not end where it should."""
        _refuse_finished(self._finished)
        self._finished = True
        if self._armor is not None:
            self._armor.finish()
        if self._chunks is None:
            what = "it is empty" if not self._begun else "it ends before its payload"
            raise AgeError("the age file is cut short", operation="decrypt", cause=what)
        return self._chunks.finish()

    def _take(self, data: memoryview, out: memoryview) -> int:
        if not self._begun:
            self._begun = True
            self._armor = None if data[0] == ord("a") else Dearmor()
        if self._armor is not None:
            data = memoryview(self._armor.update(data))
        if self._chunks is None:
            data = self._take_head(data)
        return 0 if self._chunks is None else self._chunks.update_into(data, out)

    def _take_head(self, data: memoryview) -> memoryview:
        """Collect header and nonce; once they are there and authenticated, set up the chunks. Returns what follows."""
        self._head += data
        age_header.check_version(self._head)
        end = age_header.find_end(self._head, self._scanned)
        if (end or len(self._head)) > HEADER_LIMIT:
            raise AgeError("the age header is too long", operation="decrypt", hint="the longest one read has 256 KiB")
        if end is None:
            self._scanned = max(0, len(self._head) - 3)
            return memoryview(b"")
        if len(self._head) < end + NONCE_BYTES:
            return memoryview(b"")
        header = age_header.parse(bytes(self._head[:end]))
        file_key = unwrap(header.stanzas, self._identities, self._passphrase)
        age_header.check_mac(header, file_key)
        self._chunks = age_chunks.opening(file_key, bytes(self._head[end : end + NONCE_BYTES]))
        rest = memoryview(bytes(self._head[end + NONCE_BYTES :]))
        self._head.clear()
        return rest


def encrypt_stream(source: BinaryIO, sink: BinaryIO, recipients: Sequence[str]) -> None:
    """Write to ``sink`` the age file of all that ``source`` holds, for ``recipients`` (``age1...``).

    Raises InvalidInput or NotInThisVersion for bad recipients, before anything is written. Errors of the two files
    themselves pass through.
    """
    encryptor = Encryptor(recipients)
    _write(sink, memoryview(encryptor.header))
    _pump(source, sink, encryptor)


def decrypt_stream(source: BinaryIO, sink: BinaryIO, identities: Sequence[str]) -> None:
    """Write to ``sink`` what the age file in ``source`` (binary or armored) holds, with ``AGE-SECRET-KEY-1...`` keys.

    Raises AgeError for every bad file, NoMatchingIdentity when it is for other keys; ``sink`` then holds an authentic
    beginning of the data, or nothing. Raises InvalidInput or NotInThisVersion for bad identities. Errors of the two
    files themselves pass through.
    """
    _pump(source, sink, Decryptor(identities))


def rewrapped(header: bytes, identities: Sequence[str], recipient: str) -> bytes:
    """A header for ``recipient`` that takes the place of ``header`` before the same payload.

    The payload key comes from the file key and the nonce alone, so the payload stays as it is (C2SP age.md, "Payload").
    Raises like `decrypt_stream` for the header, like `check_recipient` for the recipient.
    """
    return age_header.encode([wrap(file_key := _file_key(header, identities), recipient)], file_key)


def opens(header: bytes, identities: Sequence[str]) -> bool:
    """Whether one of the identities opens a header. Raises AgeError for one that is malformed or altered."""
    try:
        _file_key(header, identities)
    except NoMatchingIdentity:
        return False
    return True


def _file_key(header: bytes, identities: Sequence[str]) -> bytes:
    parsed = age_header.parse(header)
    file_key = unwrap(parsed.stanzas, [parse_identity(identity) for identity in identities])
    age_header.check_mac(parsed, file_key)
    return file_key


def _pump(source: BinaryIO, sink: BinaryIO, stage: Encryptor | Decryptor) -> None:
    """Two buffers for the whole stream: fresh memory for every chunk would cost more than the cipher."""
    buffer = memoryview(bytearray(_READ_BYTES))
    out = memoryview(bytearray(_READ_BYTES + _MOST_HELD_BYTES))
    while data := _read(source, buffer):
        _write(sink, out[: stage.update_into(data, out)])
    _write(sink, memoryview(stage.finish()))


def _read(source: BinaryIO, buffer: memoryview) -> memoryview:
    """The next bytes, in ``buffer`` when the source can fill one; none at its end."""
    readinto = getattr(source, "readinto", None)
    if readinto is None:
        return memoryview(source.read(len(buffer)))
    count: int | None = readinto(buffer)
    if count is None:
        raise Refused("the source is a non-blocking file", hint="give a blocking one")
    return buffer[:count]


def _write(sink: BinaryIO, data: memoryview) -> None:
    """An unbuffered file may take less than it is given."""
    while data:
        written = sink.write(data)
        data = data[len(data) if written is None else written :]


def _refuse_finished(finished: bool) -> None:
    if finished:
        raise Refused("this age stream has ended")


def _refuse_small(out: memoryview, size: int) -> None:
    if len(out) < size:
        raise Refused(f"the buffer of {len(out)} bytes is too small", hint=f"room() asks for {size}")
