"""What a dump says about itself, read as it streams by: tables, views, rows of each table, whether it ended.

The forms are those of both vendors' dump programs. A string in a row never holds a real newline (the programs escape
it, `mysql_real_escape_string`): MariaDB writes each row on a line of its own. MySQL writes all rows of a statement on
one line; there, outside of strings, a parenthesis opens a row and nothing else. Works on whole chunks; memory is
bounded by the longest line of a definition.
"""

from __future__ import annotations

import re

from drorch.domain.errors import Damaged

_NAME = rb"`((?:[^`]|``)+)`"
_INSERT = re.compile(rb"INSERT INTO " + _NAME + rb" (?:\((?:`(?:[^`]|``)+`,? ?)+\) )?VALUES[ \n]")
_TABLE = re.compile(rb"CREATE TABLE " + _NAME + rb" \(")
_SEQUENCE = re.compile(rb"CREATE SEQUENCE " + _NAME + rb" ")
_VIEW = re.compile(rb"/\*!50001 VIEW " + _NAME + rb" ")
_OPENS_BLOCK = b"DELIMITER ;;"
_CLOSES_BLOCK = b"DELIMITER ;"
_ENDS_ROWS = b";\n"
_END_MARK = b"-- Dump completed"
_IRRELEVANT = bytes(byte for byte in range(256) if byte not in b"'(")
_LONGEST_LINE = 256 * 1024 * 1024


class DumpScan:
    """Feed it every byte of a dump in order. `tables` (sequences among them), `views`; `rows` per table; `ended`."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.views: set[str] = set()
        self.rows: dict[str, int] = {}
        self.ended = False
        self._held = b""
        self._into = ""
        self._in_string = False
        self._by_lines = False
        self._in_block = False

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """The next bytes. Damaged when a line of a definition is longer than any program writes."""
        data = self._held + bytes(chunk)
        self._held = b""
        at = 0
        while at < len(data):
            at = self._rows(data, at) if self._into else self._line(data, at)
            if self._held:
                return

    def _line(self, data: bytes, at: int) -> int:
        """One line that is no row; what is not whole yet is held."""
        insert = None if self._in_block else _INSERT.match(data, at)
        if insert is not None:
            self._into = _text(insert[1])
            self._in_string = False
            self._by_lines = insert[0].endswith(b"\n")
            self.rows.setdefault(self._into, 0)
            self.rows[self._into] += self._by_lines  # the first row, which no newline ends
            return insert.end()
        end = data.find(b"\n", at)
        if end < 0:
            self._held = data[at:]
            if len(self._held) > _LONGEST_LINE:
                raise Damaged("a line of the dump is longer than any dump program writes", operation="dump")
            if self._held.startswith(_END_MARK):
                self.ended = True
            return len(data)
        self._define(data[at:end])
        return end + 1

    def _define(self, line: bytes) -> None:
        if line.rstrip() in (_OPENS_BLOCK, _CLOSES_BLOCK):
            self._in_block = line.rstrip() == _OPENS_BLOCK
            return
        if self._in_block or not line:
            return
        self.ended = line.startswith(_END_MARK)
        if (found := _TABLE.match(line) or _SEQUENCE.match(line)) is not None:
            self.tables.add(_text(found[1]))
        elif (found := _VIEW.match(line)) is not None:
            self.views.add(_text(found[1]))

    def _rows(self, data: bytes, at: int) -> int:
        """Rows up to the statement's end, or to the chunk's; a last byte that may belong to the next one is held."""
        end = data.find(_ENDS_ROWS, at)
        if end >= 0:
            self._count(data[at:end])
            self._into = ""
            return end + len(_ENDS_ROWS)
        whole = len(data)
        backslashes = whole - len(data[at:].rstrip(b"\\")) - at
        if backslashes % 2 or data.endswith(b";"):
            whole -= 1
        self._count(data[at:whole])
        self._held = data[whole:]
        return len(data)

    def _count(self, part: bytes) -> None:
        """Add the rows of a part: its lines in MariaDB's form, else the opening parentheses outside of strings."""
        if self._by_lines:
            self.rows[self._into] += part.count(b"\n")
            return
        if b"\\" in part:
            part = part.replace(b"\\\\", b"").replace(b"\\'", b"")
        pieces = part.translate(None, _IRRELEVANT).split(b"'")
        outside = pieces[1::2] if self._in_string else pieces[::2]
        self.rows[self._into] += b"".join(outside).count(b"(")
        self._in_string ^= len(pieces) % 2 == 0


def _text(name: bytes) -> str:
    return name.replace(b"``", b"`").decode("utf-8", "replace")
