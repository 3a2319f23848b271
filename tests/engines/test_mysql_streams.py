"""The streams of both engines, without a server: what a dump says of itself, and what of it is loaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.engines.mysql_family.loading import Lines
from drorch.engines.mysql_family.scan import DumpScan

# --- the reader of dumps -------------------------------------------------------------------------------------------

MYSQL_DUMP = rb"""-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
CREATE TABLE `a` (
  `b` int DEFAULT NULL
) ENGINE=InnoDB;
INSERT INTO `a` VALUES (1,'x);\n(',_binary 'q(\'(',NULL),(2,'\\',0x00,-1.5e10),(3,'it\'s (','',NULL);
INSERT INTO `a` VALUES (4,'','',NULL);
CREATE TABLE `we``ird` (
  `b` int
);
INSERT INTO `we``ird` (`b`, `c d`) VALUES (1,2);
/*!50001 CREATE VIEW `v` AS SELECT
 1 AS `b`*/;
DELIMITER ;;
CREATE DEFINER=`u`@`h` PROCEDURE `p`()
BEGIN
INSERT INTO `a` VALUES (9);
CREATE TABLE `not me` (
END ;;
DELIMITER ;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`u`@`h` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select `a`.`b` AS `b` from `a` */;

-- Dump completed on 2026-11-20  9:15:00
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_dump_of_mysql_is_read_in_chunks_of_any_size(size: int) -> None:
    scan = DumpScan()
    for start in range(0, len(MYSQL_DUMP), size):
        scan.feed(MYSQL_DUMP[start : start + size])
    assert scan.tables == {"a", "we`ird"}
    assert scan.views == {"v"}
    assert scan.rows == {"a": 4, "we`ird": 1}
    assert scan.ended


def test_a_dump_that_was_cut_has_not_ended() -> None:
    scan = DumpScan()
    scan.feed(MYSQL_DUMP[: -len("-- Dump completed on 2026-11-20  9:15:00\n")])
    assert not scan.ended
    scan.feed(b"-- Dump completed on 2026-11-20\nmore\n")
    assert not scan.ended


def test_a_row_after_the_end_mark_or_an_end_mark_within_a_routine_is_no_end() -> None:
    for more in (b"INSERT INTO `a` VALUES (1);\n", b"DELIMITER ;;\n-- Dump completed\n", b"x", b"-- Dump comp"):
        scan = DumpScan()
        scan.feed(MYSQL_DUMP + more)
        assert not scan.ended


_TRICKY = st.lists(st.sampled_from([bytes([byte]) for byte in b"'\\\n();,a"]), max_size=12).map(b"".join)


@given(st.lists(st.lists(st.binary(max_size=12) | _TRICKY, max_size=3), min_size=1, max_size=6), st.integers(1, 30))
def test_rows_are_counted_whatever_their_strings_hold(rows: list[list[bytes]], size: int) -> None:
    """Strings escaped as both dump programs do (mysql_real_escape_string)."""
    escapes = {0: b"\\0", 10: b"\\n", 13: b"\\r", 26: b"\\Z", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}

    def literal(value: bytes) -> bytes:
        return b"'" + b"".join(escapes.get(byte, bytes([byte])) for byte in value) + b"'"

    written = [b"(" + b",".join([b"1", *map(literal, row)]) + b")" for row in rows]
    for gap, joint in ((b" ", b","), (b"\n", b",\n")):  # MySQL's form and MariaDB's
        body = b"CREATE TABLE `t` (\n);\nINSERT INTO `t` VALUES" + gap + joint.join(written) + b";\n-- Dump completed\n"
        scan = DumpScan()
        for start in range(0, len(body), size):
            scan.feed(body[start : start + size])
        assert scan.rows == {"t": len(rows)}
        assert scan.ended


# --- what is loaded ------------------------------------------------------------------------------------------------


def through(body: bytes, size: int, *, own: bool) -> bytes:
    lines = Lines(own_definers=own)
    return b"".join(lines.feed(body[start : start + size]) for start in range(0, len(body), size)) + lines.end()


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_the_sandbox_line_is_left_out_and_nothing_else(size: int) -> None:
    rest = b"-- MariaDB dump\n/*M!999999\\- enable the sandbox mode */ \nlast"
    for first in (b"/*M!999999\\- enable the sandbox mode */ \n", b"/*!999999\\- enable the sandbox mode */ \n", b""):
        assert through(first + rest, size, own=False) == rest


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_definers_become_the_restoring_user_where_definitions_begin(size: int) -> None:
    heads = (
        b"/*!50013 DEFINER=`k``x`@`%` SQL SECURITY DEFINER */\n",
        b"/*!50003 CREATE*/ /*!50017 DEFINER=`k`@`h`*/ /*!50003 TRIGGER t ...\n",
        b"CREATE DEFINER=`k`@`h` PROCEDURE `p`()\n",
        b"/*!50106 CREATE*/ /*!50117 DEFINER=`role`*/ /*!50106 EVENT e ...\n",
    )
    row = b"(1,'CREATE DEFINER=`k`@`h` PROCEDURE'),\n"
    found = through(row + b"".join(heads) + row, size, own=True)
    assert found.count(b"DEFINER=CURRENT_USER") == 4
    assert found.count(row) == 2
    assert through(row + b"".join(heads), size, own=False) == row + b"".join(heads)


def test_a_row_longer_than_any_head_is_handed_on_as_it_comes() -> None:
    row = b"x" * (3 * 1024 * 1024) + b"\n"
    lines = Lines(own_definers=True)
    assert len(lines.feed(row[: 2 * 1024 * 1024])) == 2 * 1024 * 1024
    rest = lines.feed(row[2 * 1024 * 1024 :] + b"CREATE DEFINER=`k`@`h` FUNCTION f\n")
    assert rest.endswith(b"x\nCREATE DEFINER=CURRENT_USER FUNCTION f\n")
