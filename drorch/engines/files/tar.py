"""Headers of a tar archive in the pax interchange format (POSIX.1-2001, "pax", and GNU tar's manual, section 8.3).

What a ustar header cannot hold stands in an extended header before it: long names, names in other characters than
ASCII, sizes from 8 GiB, mtimes to the nanosecond, and extended attributes as GNU tar and bsdtar write them
(``SCHILY.xattr.NAME``). Names go in as the bytes that they are on disk.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from decimal import Decimal

BLOCK = tarfile.BLOCKSIZE
XATTR = "SCHILY.xattr."
END = bytes(tarfile.RECORDSIZE)
"""Two blocks of zeros end an archive; a whole record of them is what readers of old ask for."""

_SECOND = 1_000_000_000
_LARGEST_ID = 8**7 - 1
_LARGEST_SIZE = 8**11 - 1
_NAME_BYTES = 99
"""One less than fit: tarfile adds the slash of a folder."""


def header(
    name: str,
    info: os.stat_result,
    kind: bytes,
    *,
    size: int = 0,
    link: str = "",
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """The header of one member, the extended one before it where it needs one.

    `kind` is a type of tarfile (REGTYPE, DIRTYPE, SYMTYPE, LNKTYPE); `link` is where a link leads. Whole blocks.
    """
    member = tarfile.TarInfo()
    member.type = kind
    more: dict[str, bytes] = {}
    member.name = _short("path", name, more)
    member.linkname = _short("linkpath", link, more)
    member.mode = info.st_mode & 0o7777
    member.uid = _number("uid", info.st_uid, _LARGEST_ID, more)
    member.gid = _number("gid", info.st_gid, _LARGEST_ID, more)
    member.size = _number("size", size, _LARGEST_SIZE, more)
    seconds, rest = divmod(info.st_mtime_ns, _SECOND)
    member.mtime = seconds if 0 <= seconds <= _LARGEST_SIZE else 0
    if rest or member.mtime != seconds:
        more["mtime"] = f"{Decimal(info.st_mtime_ns) / _SECOND:f}".encode()
    more |= {XATTR + key: value for key, value in (xattrs or {}).items()}
    return _extended(more) + member.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """What fills the last block of `size` bytes of content."""
    return bytes(-size % BLOCK)


def mtime_ns(member: tarfile.TarInfo) -> int:
    """A member's mtime in nanoseconds, as exact as it was written."""
    return int(Decimal(member.pax_headers.get("mtime", member.mtime)) * _SECOND)


def xattrs_of(member: tarfile.TarInfo) -> dict[str, bytes]:
    """A member's extended attributes; the archive was opened with ``errors="surrogateescape"``."""
    return {
        key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith(XATTR)
    }


def _short(key: str, text: str, more: dict[str, bytes]) -> str:
    """The text as the old header can hold it; the whole of it goes into `more` where it cannot."""
    raw = os.fsencode(text)
    if raw.isascii() and len(raw) <= _NAME_BYTES:
        return text
    more[key] = raw
    return raw.decode("ascii", "replace").replace("\ufffd", "_")[:_NAME_BYTES]


def _number(key: str, value: int, largest: int, more: dict[str, bytes]) -> int:
    if value <= largest:
        return value
    more[key] = b"%d" % value
    return 0


def _extended(records: Mapping[str, bytes]) -> bytes:
    if not records:
        return b""
    body = b"".join(_record(key, value) for key, value in records.items())
    member = tarfile.TarInfo("././@PaxHeader")
    member.type = tarfile.XHDTYPE
    member.size = len(body)
    return member.tobuf(tarfile.USTAR_FORMAT) + body + padding(len(body))


def _record(key: str, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE`` and a newline; the length counts itself."""
    rest = b" %s=%s\n" % (os.fsencode(key), value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)
