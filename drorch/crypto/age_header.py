"""The text header of an age file: version line, recipient stanzas, MAC (C2SP age.md, "Header").

    age-encryption.org/v1
    -> X25519 XEl0dJ6y3C7KZkgmgWUicg63EyXJiwBJW8PdYJ/cYBE
    qRS0AMjdjPvZ/WT08U2KL4G+PIooA3hy38SvLpvaC1E
    --- HK2NmOBN9Dpq0Gw6xMCuhFcQlQLvZ/wQUi/2scLG75s

The reader takes what the grammar allows and nothing else: a header that can be spelled in two ways can be altered.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from drorch.domain.errors import Damaged

FILE_KEY_BYTES = 16
BODY_BYTES = FILE_KEY_BYTES + 16
"""A wrapped file key and its tag, in every type of stanza that is read."""
HEADER_LIMIT = 256 * 1024
"""Longest header read or written, in bytes (about 2,600 X25519 recipients); the format itself sets no limit."""

_VERSION = b"age-encryption.org/v1\n"
_MAC_MARK = b"---"
_MAC_LINE_BYTES = len(b"--- ") + 43 + len(b"\n")
_COLUMNS = 64
_STANZA_MARK = b"-> "


class AgeError(Damaged):
    """A file that is not age, or is malformed, cut short, altered, or wrongly keyed. Exit code 6."""


class NoMatchingIdentity(AgeError):
    """A file whose header holds nothing that the identities given could open. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Stanza:
    """One recipient's wrapped file key: the arguments (the first is the type) and the decoded body."""

    arguments: tuple[str, ...]
    body: bytes

    @property
    def kind(self) -> str:
        return self.arguments[0]


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header, not yet authenticated: `check_mac` does that once a stanza has given up the file key."""

    stanzas: tuple[Stanza, ...]
    authenticated: bytes
    mac: bytes


def derive(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) with 32 bytes of output, the only key derivation that age uses."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(ikm)


def encode_base64(data: bytes) -> str:
    """RFC 4648 section 4 without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def decode_base64(text: bytes) -> bytes:
    """The inverse of `encode_base64`. Raises ValueError on padding, foreign characters and non-canonical spellings."""
    try:
        data = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    # binascii skips foreign characters and ignores left-over bits: only text that comes out again is canonical.
    if encode_base64(data).encode("ascii") != text:
        raise ValueError("not canonical base64")
    return data


def checked_body(stanza: Stanza) -> bytes:
    """The body of a stanza that wraps a file key. Raises AgeError for another length than 32 bytes.

    To be called before any decryption, against partitioning oracles (C2SP age.md).
    """
    if len(stanza.body) != BODY_BYTES:
        raise _malformed(f"the {stanza.kind} body is not of {BODY_BYTES} bytes")
    return stanza.body


def share_and_body(stanza: Stanza, share_bytes: int) -> tuple[bytes, bytes]:
    """The one argument behind the type, of ``share_bytes`` bytes, and the body. Raises AgeError for other forms."""
    if len(stanza.arguments) != 2:
        raise _malformed(f"the {stanza.kind} stanza does not have exactly one argument")
    share = _decoded(stanza.arguments[1].encode("ascii"), f"the {stanza.kind} share")
    if len(share) != share_bytes:
        raise _malformed(f"the {stanza.kind} share is not of {share_bytes} bytes")
    return share, checked_body(stanza)


def encode(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The header's bytes, from the version line to the line feed after the MAC."""
    parts = [_VERSION]
    for stanza in stanzas:
        parts.append(_STANZA_MARK + " ".join(stanza.arguments).encode("ascii") + b"\n")
        body = encode_base64(stanza.body).encode("ascii")
        # The step past the end makes the empty line that closes a body of a multiple of 64 columns.
        parts += [body[start : start + _COLUMNS] + b"\n" for start in range(0, len(body) + 1, _COLUMNS)]
    authenticated = b"".join(parts) + _MAC_MARK
    return authenticated + b" " + encode_base64(_mac(file_key, authenticated)).encode("ascii") + b"\n"


def find_end(head: bytes | bytearray, start: int) -> int | None:
    """Length of the header in a file that begins with ``head``, or None while its MAC line has not come.

    ``start`` is where to look first. The bytes of the MAC line itself may still be missing.
    """
    mark = head.find(b"\n" + _MAC_MARK, start)
    return None if mark < 0 else mark + 1 + _MAC_LINE_BYTES


def check_version(head: bytes | bytearray) -> None:
    """Raise AgeError unless ``head``, the first bytes of a file, begins like age v1 or may still do so."""
    if head[: len(_VERSION)] != _VERSION[: len(head)]:
        version = _VERSION.rpartition(b"/")[0] + b"/"
        if head.startswith(version):
            raise AgeError("the file is of another version of the age format than v1", operation="decrypt")
        raise AgeError("this is not an age file", operation="decrypt", cause="its first line is another")


def parse(header: bytes) -> Header:
    """Raises AgeError on everything that the grammar does not allow."""
    check_version(header)
    body, mac_line = header[:-_MAC_LINE_BYTES], header[-_MAC_LINE_BYTES:]
    if not (mac_line.startswith(_MAC_MARK + b" ") and mac_line.endswith(b"\n")):
        raise _malformed("the MAC line is not of the form '--- MAC'")
    mac = _decoded(mac_line[len(_MAC_MARK) + 1 : -1], "the MAC")
    lines = body[len(_VERSION) :].split(b"\n")[:-1]
    stanzas: list[Stanza] = []
    while lines:
        stanzas.append(_take_stanza(lines))
    if not stanzas:
        raise _malformed("it names no recipient")
    return Header(tuple(stanzas), body + _MAC_MARK, mac)


def check_mac(header: Header, file_key: bytes) -> None:
    """Raises AgeError unless the header is the one that was made with this file key."""
    if not hmac.compare_digest(_mac(file_key, header.authenticated), header.mac):
        raise AgeError("the age header was altered", operation="decrypt", cause="its MAC does not fit")


def _take_stanza(lines: list[bytes]) -> Stanza:
    """Remove one stanza from the front of the lines: argument line, full lines, one short line."""
    first, full = lines[0], 1
    if not first.startswith(_STANZA_MARK):
        raise _malformed("a stanza does not begin with '-> '")
    arguments = first[len(_STANZA_MARK) :].split(b" ")
    if any(not argument or any(not 33 <= byte <= 126 for byte in argument) for argument in arguments):
        raise _malformed("a stanza's argument is empty or has a character that may not be there")
    while full < len(lines) and len(lines[full]) == _COLUMNS:
        full += 1
    if full == len(lines):
        raise _malformed("a stanza's body does not end with a short line")
    if len(lines[full]) > _COLUMNS:
        raise _malformed("a line of a stanza's body is longer than 64 columns")
    body = _decoded(b"".join(lines[1 : full + 1]), "a stanza's body")
    del lines[: full + 1]
    return Stanza(tuple(argument.decode("ascii") for argument in arguments), body)


def _mac(file_key: bytes, authenticated: bytes) -> bytes:
    return hmac.digest(derive(file_key, b"", b"header"), authenticated, "sha256")


def _decoded(text: bytes, what: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        raise _malformed(f"{what} is not canonical unpadded base64") from None


def _malformed(cause: str) -> AgeError:
    return AgeError("the age header is malformed", operation="decrypt", cause=cause)
