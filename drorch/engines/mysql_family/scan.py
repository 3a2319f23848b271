"""What a dump says about itself, read as it streams by: its objects, the rows of each table, whether it ended.

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
_TABLE = re.compile(rb"CREATE (?:TABLE " + _NAME + rb" \(|SEQUENCE " + _NAME + rb" )")
_VIEW = re.compile(rb"/\*!50001 VIEW " + _NAME + rb" ")
_DROPPED = re.compile(
    rb"/\*!\d+ DROP (FUNCTION|PROCEDURE|PACKAGE BODY|PACKAGE|TRIGGER|EVENT) IF EXISTS " + _NAME + rb" ?\*/"
)
"""Stands before a definition and, unlike it, always names it in one form: a trigger's head is what was once typed."""
_CREATED = re.compile(rb"(?:/\*!\d+ )?CREATE\b")
_OPENS_BLOCK = b"DELIMITER ;;"
_CLOSES_BLOCK = b"DELIMITER ;"
_ENDS_ROWS = b";\n"
_END_MARK = b"-- Dump completed"
_IRRELEVANT = bytes(byte for byte in range(256) if byte not in b"'(")
_ESCAPED = re.compile(rb"\\[\\']")
_LONGEST_LINE = 256 * 1024 * 1024


class DumpScan:
    """Feed it every byte of a dump in order.

    `tables` (sequences among them), `views`; `code` holds (kind, name) of functions, procedures, packages, triggers and
    events that have a definition, the kind in small letters; `rows` per table; `ended`: the last line is the end mark.
    """

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.views: set[str] = set()
        self.code: set[tuple[str, str]] = set()
        self.rows: dict[str, int] = {}
        self.ended = False
        self._held = b""
        self._into = ""
        self._in_string = False
        self._by_lines = False
        self._in_block = False
        self._announced: tuple[str, str] | None = None

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """The next bytes. Damaged when a line of a definition is longer than any program writes."""
        data = b"".join((self._held, chunk)) if self._held else bytes(chunk)
        self._held = b""
        at = 0
        while at < len(data) and not self._held:
            if not self._into:
                at = self._line(data, at)
            else:
                at = self._lines_of_rows(data, at) if self._by_lines else self._row_of_rows(data, at)

    def _line(self, data: bytes, at: int) -> int:
        """One line that is no row; what is not whole yet is held."""
        insert = None if self._in_block else _INSERT.match(data, at)
        if insert is not None:
            self._into = _text(insert[1])
            self._in_string = self.ended = False
            self._by_lines = insert[0].endswith(b"\n")
            self.rows.setdefault(self._into, 0)
            self.rows[self._into] += self._by_lines  # the first row, which no newline ends
            return insert.end()
        end = data.find(b"\n", at)
        if end < 0:
            self._held = data[at:]
            if len(self._held) > _LONGEST_LINE:
                raise Damaged("a line of the dump is longer than any dump program writes", operation="dump")
            self.ended = False
            return len(data)
        if end > at:
            self._define(data[at:end])
        return end + 1

    def _define(self, line: bytes) -> None:
        self.ended = not self._in_block and line.startswith(_END_MARK)
        if line.rstrip() in (_OPENS_BLOCK, _CLOSES_BLOCK):
            self._in_block = line.rstrip() == _OPENS_BLOCK
        elif (dropped := _DROPPED.match(line)) is not None:
            self._announced = (dropped[1].decode().lower(), _text(dropped[2]))
        elif self._in_block:
            self._define_code(line)
        elif (found := _TABLE.match(line)) is not None:
            self.tables.add(_text(found[1] or found[2]))
        elif (found := _VIEW.match(line)) is not None:
            self.views.add(_text(found[1]))

    def _define_code(self, line: bytes) -> None:
        """The head of what the line before announced; nothing else in a block is ours to read."""
        if self._announced is not None and _CREATED.match(line) and self._announced[0].upper().encode() in line:
            self.code.add(self._announced)
            self._announced = None

    def _lines_of_rows(self, data: bytes, at: int) -> int:
        """Rows up to the statement's end or to the chunk's: as many as lines."""
        end = data.find(_ENDS_ROWS, at)
        if end >= 0:
            self.rows[self._into] += data.count(b"\n", at, end)
            self._into = ""
            return end + len(_ENDS_ROWS)
        whole = len(data) - data.endswith(b";")
        self.rows[self._into] += data.count(b"\n", at, whole)
        self._held = data[whole:]
        return len(data)

    def _row_of_rows(self, data: bytes, at: int) -> int:
        """Rows up to the line's end or to the chunk's; a last byte that belongs to the next one is held."""
        end = data.find(b"\n", at)
        if end >= 0:
            self._count(data[at:end])
            if data.endswith(b";", at, end):
                self._into = ""
            return end + 1
        whole, last = len(data), data[-1:]
        if last == b"\\":
            whole -= (whole - at - len(data[at:].rstrip(b"\\"))) % 2
        whole -= last == b";"
        self._count(data[at:whole])
        self._held = data[whole:]
        return len(data)

    def _count(self, part: bytes) -> None:
        """Add the opening parentheses outside of strings.

        Once escaped quotes are gone, all but quotes and parentheses is left out. Two quotes side by side change nothing
        for what follows them; what then is left of quotes belongs to strings with parentheses.
        """
        if b"\\" in part:
            part = _ESCAPED.sub(b"", part)
        marks = part.translate(None, _IRRELEVANT).replace(b"''", b"")
        if not self._in_string and b"'" not in marks:
            self.rows[self._into] += len(marks)
            return
        pieces = marks.split(b"'")
        self.rows[self._into] += sum(map(len, pieces[1 if self._in_string else 0 :: 2]))
        self._in_string ^= len(pieces) % 2 == 0


def _text(name: bytes) -> str:
    return name.replace(b"``", b"`").decode("utf-8", "replace")
