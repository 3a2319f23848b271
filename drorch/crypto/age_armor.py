"""ASCII armor of age files (C2SP age.md, "ASCII armor"; strict PEM of RFC 7468 section 3).

Taken: LF or CRLF, whitespace before and after the block. Refused: everything else but the one canonical spelling.
"""

from __future__ import annotations

import binascii

from drorch.crypto.age_header import AgeError

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64

LINE_LIMIT = 1024
"""Longest line, and most whitespace before or after the block, in bytes."""


def armor(data: bytes) -> str:
    """The armored text of an age file, with a line feed at its end."""
    text = binascii.b2a_base64(data, newline=False)
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return b"".join(line + b"\n" for line in (_BEGIN, *lines, _END)).decode("ascii")


class Dearmor:
    """Armored text in, pieces of any size; the bytes of the age file out. At most one line is held back."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._take = self._before
        self._blank = 0
        self._bodies: list[bytes] = []

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """The bytes decoded from the whole lines so far. Raises AgeError."""
        self._line += data
        if b"\n" in self._line:
            *lines, rest = bytes(self._line).split(b"\n")
            self._line = bytearray(rest)
            for line in lines:
                self._take(line.removesuffix(b"\r"))
        if len(self._line) > LINE_LIMIT:
            raise _malformed("a line is too long")
        return self._decode()

    def finish(self) -> None:
        """Raises AgeError unless the block has ended and nothing but whitespace followed."""
        if self._line:
            # The END line alone may lack its line feed; any other rest is refused by the state that takes it.
            self._take(bytes(self._line).removesuffix(b"\r"))
        if self._take != self._after:
            raise _malformed("the END line is missing: the file is cut short")

    def _before(self, line: bytes) -> None:
        if line == _BEGIN:
            self._take = self._body
        elif line.strip():
            raise AgeError("this is not an age file", operation="decrypt", cause="its first line is another")
        else:
            self._count_blank(line)

    def _body(self, line: bytes) -> None:
        if line == _END:
            self._end()
            return
        if not 0 < len(line) <= _COLUMNS:
            raise _malformed("a line is empty or longer than 64 columns")
        self._bodies.append(line)
        if len(line) < _COLUMNS or line.endswith(b"="):
            self._take = self._closing

    def _closing(self, line: bytes) -> None:
        if line != _END:
            raise _malformed("a short line is not the last one")
        self._end()

    def _end(self) -> None:
        self._blank = 0
        self._take = self._after

    def _after(self, line: bytes) -> None:
        if line.strip():
            raise _malformed("something follows the END line")
        self._count_blank(line)

    def _count_blank(self, line: bytes) -> None:
        self._blank += len(line) + 1
        if self._blank > LINE_LIMIT:
            raise _malformed("too much whitespace round it")

    def _decode(self) -> bytes:
        text = b"".join(self._bodies)
        self._bodies.clear()
        try:
            data = binascii.a2b_base64(text)
        except binascii.Error:
            raise _malformed("it is not base64") from None
        # binascii skips foreign characters and ignores left-over bits: only text that comes out again is canonical.
        if binascii.b2a_base64(data, newline=False) != text:
            raise _malformed("it is not canonical base64")
        return data


def _malformed(cause: str) -> AgeError:
    return AgeError("the age armor is malformed", operation="decrypt", cause=cause)
