"""What both engines share, without a server: greetings, clients, options, privileges, failures."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drorch.domain.errors import Busy, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.engines import mariadb, mysql
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql.engine import MYSQL
from drorch.engines.mysql_family.access import _row, quoted, text
from drorch.engines.mysql_family.clients import choose, version_of
from drorch.engines.mysql_family.dump import _instant
from drorch.engines.mysql_family.failures import failure, unknown_outcome
from drorch.engines.mysql_family.handshake import Greeting, check, parse, series
from drorch.engines.mysql_family.place import Place, from_connection, from_url, option_lines
from drorch.engines.mysql_family.privileges import Privileges
from drorch.engines.mysql_family.vendor import Vendor

PLACE = Place("db.example.com", 3306, "shop", "ann", "verify-full", 'ge"heim\\', "/ca.pem")


# --- greetings -----------------------------------------------------------------------------------------------------


def packet(version: str, capabilities: int = 0xFFFF) -> bytes:
    """A first packet of the protocol's version 10."""
    head = b"\x0a" + version.encode() + b"\0" + struct.pack("<I", 7) + b"12345678\0"
    return head + struct.pack("<H", capabilities) + b"\x2d\x02\0" + b"\0" * 16 + b"more of the salt\0"


@pytest.mark.parametrize(
    ("version", "said", "is_mariadb", "numbers"),
    [
        ("5.5.5-10.11.19-MariaDB-0+deb12u1", "10.11.19-MariaDB-0+deb12u1", True, (10, 11)),
        ("11.4.2-MariaDB-log", "11.4.2-MariaDB-log", True, (11, 4)),
        ("5.5.5-10.6.16-mariadb", "10.6.16-mariadb", True, (10, 6)),
        ("8.0.36", "8.0.36", False, (8, 0)),
        ("8.4.0-google", "8.4.0-google", False, (8, 4)),
        ("5.7.44-rds.20240408-log", "5.7.44-rds.20240408-log", False, (5, 7)),
        ("8.0.35-27.1 Percona", "8.0.35-27.1 Percona", False, (8, 0)),
    ],
)
def test_a_greeting_tells_vendor_and_version(
    version: str, said: str, is_mariadb: bool, numbers: tuple[int, int]
) -> None:
    assert parse(packet(version)) == Greeting(said, is_mariadb, tls=True)
    assert parse(packet(version)).series == numbers


def test_a_greeting_tells_whether_tls_is_offered() -> None:
    assert parse(packet("8.0.36", 0xFFFF & ~0x0800)).tls is False


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (b"\xff\x10\x04#08004Too many connections", Busy, "1040: #08004Too many"),
        (b"\xff\x6a\x04Host 'h' is not allowed to connect", Refused, "1130: Host"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Refused, "no MariaDB or MySQL server.*SSH-2.0"),
        (b"\x09" + packet("3.20")[1:], Refused, "no MariaDB or MySQL server"),
        (b"\x0a8.0.36\0\x01\x02", Refused, "no MariaDB or MySQL server"),
        (b"", Refused, "no MariaDB or MySQL server"),
    ],
)
def test_another_greeting_is_told(body: bytes, error: type[DrorchError], words: str) -> None:
    with pytest.raises(error, match=words):
        parse(body)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_greetings(body: bytes) -> None:
    with suppress(Refused, Busy):
        parse(body)


@pytest.mark.parametrize(
    ("vendor", "version", "tls", "words"),
    [
        (MYSQL, "10.11.19-MariaDB", True, "the server is MariaDB 10.11.19-MariaDB, not MySQL.*kind: mariadb"),
        (MARIADB, "8.0.36", True, "the server is MySQL 8.0.36, not MariaDB.*kind: mysql"),
        (MYSQL, "5.6.51", True, r"5\.7 or newer is needed"),
        (MARIADB, "10.2.44-MariaDB", True, r"10\.3 or newer is needed"),
        (MYSQL, "8.0.36", False, "offers no TLS.*tls: off"),
    ],
)
def test_the_wrong_server_is_refused(vendor: Vendor, version: str, tls: bool, words: str) -> None:
    with pytest.raises(Refused, match=words):
        check(vendor, Greeting(version, "MariaDB" in version, tls), PLACE, "dump")


def test_the_right_server_is_taken() -> None:
    check(MYSQL, Greeting("8.4.1", False, True), PLACE, "dump")
    check(MARIADB, Greeting("11.8.2-MariaDB", True, True), PLACE, "dump")


# --- clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "vendor", "version"),
    [
        ("mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)", MARIADB, "10.11.19"),
        ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", MARIADB, "11.4.2"),
        ("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", MYSQL, "8.0.36"),
        ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", MYSQL, "5.7.44"),
        ("/usr/sbin/mysqld  Ver 8.4.0 for Linux on x86_64 (MySQL Community Server - GPL)", MYSQL, "8.4.0"),
    ],
)
def test_a_program_says_its_version_and_vendor(said: str, vendor: Vendor, version: str) -> None:
    other = MYSQL if vendor is MARIADB else MARIADB
    assert version_of(said, vendor) == (version, series(version))
    assert version_of(said, other) is None


def program(folder: Path, name: str, said: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of MySQL's dump programs, and MariaDB's under the same name first on PATH."""
    monkeypatch.setattr("drorch.engines.mysql_family.clients._PACKAGED", ())
    program(tmp_path / "bin", "mysqldump", "mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu")
    for version in ("5.7.44", "8.0.36", "8.4.0"):
        program(tmp_path / version, "mysqldump", f"mysqldump  Ver {version} for Linux on x86_64 (MySQL)")
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in ("bin", "8.4.0", "8.0.36", "5.7.44")))
    return tmp_path


@pytest.mark.parametrize(("wanted", "chosen"), [((5, 7), "5.7.44"), ((8, 0), "8.0.36"), ((8, 1), "8.4.0")])
def test_the_client_is_of_the_vendor_and_of_the_servers_version_or_the_next(
    clients: Path, wanted: tuple[int, int], chosen: str
) -> None:
    assert choose(MYSQL, (), MYSQL.programs.dump, wanted, "").version == chosen


def test_named_folders_come_before_path(clients: Path) -> None:
    program(clients / "own", "mysqldump", "mysqldump  Ver 8.0.40 for Linux on x86_64 (MySQL)")
    assert choose(MYSQL, [clients / "own"], MYSQL.programs.dump, (8, 0), "").version == "8.0.40"


def test_only_older_clients_are_refused_with_their_versions_and_where_to_name_others(clients: Path) -> None:
    with pytest.raises(
        Refused, match=r"9\.0 or newer is needed here.*found: 5\.7\.44, 8\.0\.36, 8\.4\.0.*tools: \{mysql"
    ):
        choose(MYSQL, (), MYSQL.programs.dump, (9, 0), "here")


def test_the_other_vendors_program_under_the_right_name_is_told_and_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.mysql_family.clients._PACKAGED", ())
    program(tmp_path / "bin", "mysqldump", "mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Refused, match=r"found: none; .*bin/mysqldump is of the other vendor.*install mysql-client"):
        choose(MYSQL, (), MYSQL.programs.dump, (8, 0), "here")


@pytest.mark.parametrize("vendor", [MARIADB, MYSQL])
def test_flags_take_one_snapshot_and_everything_and_need_no_reload(vendor: Vendor) -> None:
    wanted = {"--single-transaction", "--routines", "--events", "--triggers", "--hex-blob", "--skip-lock-tables"}
    assert wanted < set(vendor.flags)
    assert not [flag for flag in vendor.flags if "flush" in flag or "master-data" in flag or "source-data" in flag]


def test_mysqls_own_flags_spare_old_servers_and_leave_gtids_out() -> None:
    assert {"--loose-column-statistics=0", "--set-gtid-purged=OFF"} <= set(MYSQL.flags)
    assert not {"--loose-column-statistics=0", "--set-gtid-purged=OFF"} & set(MARIADB.flags)


# --- where a server is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "tls", "lines"),
    [
        (MARIADB, "verify-full", {"ssl", "ssl-verify-server-cert", 'ssl-ca="/ca.pem"'}),
        (MARIADB, "require", {"ssl", "skip-ssl-verify-server-cert"}),
        (MARIADB, "off", {"skip-ssl"}),
        (MYSQL, "verify-full", {"ssl-mode=VERIFY_IDENTITY", 'ssl-ca="/ca.pem"'}),
        (MYSQL, "require", {"ssl-mode=REQUIRED"}),
        (MYSQL, "off", {"ssl-mode=DISABLED"}),
        (MYSQL, "prefer", {"ssl-mode=REQUIRED"}),
    ],
)
def test_tls_in_the_option_file(vendor: Vendor, tls: str, lines: set[str]) -> None:
    place = Place("h", 3306, "d", "u", tls, None, "/ca.pem")
    found = option_lines(place, vendor.tls, offered=True).splitlines()  # type: ignore[arg-type]
    assert {line for line in found if "ssl" in line} == lines


def test_the_option_file_quotes_what_it_holds_and_names_the_protocol() -> None:
    found = option_lines(PLACE, MYSQL.tls, offered=True).splitlines()  # type: ignore[arg-type]
    assert 'password="ge\\"heim\\\\"' in found
    assert {'host="db.example.com"', "port=3306", "protocol=tcp", 'user="ann"'} <= set(found)
    local = option_lines(Place("", 0, "d", "u", "off", socket="/s"), MYSQL.tls, offered=True)  # type: ignore[arg-type]
    assert 'socket="/s"\nprotocol=socket\n' in local


def test_a_place_never_shows_its_password() -> None:
    assert "heim" not in repr(PLACE) + PLACE.shown


@pytest.mark.parametrize(
    ("host", "tls", "word"),
    [
        ("db.example.com", None, "verify-full"),
        ("db.example.com", "require", "require"),
        ("db.example.com", False, "off"),
        ("localhost", None, "prefer"),
        ("127.0.0.1", None, "prefer"),
        ("127.0.0.1", "verify-full", "verify-full"),
        ("/run/mysqld/mysqld.sock", None, "off"),
    ],
)
def test_tls_is_checked_unless_the_server_is_local_or_the_policy_says_otherwise(
    host: str, tls: object, word: str
) -> None:
    connection = mysql.Connection.model_validate({"host": host, "database": "d", "user": "u", "tls": tls})
    assert from_connection(connection, {}).tls == word


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "a,b"},
        {"host": ""},
        {"port": 0},
        {"database": "a\nb"},
        {"user": "a\nb"},
        {"tls": "prefer"},
        {"password": "geheim"},
        {"more": 1},
        {"database": "x" * 65},
    ],
)
@pytest.mark.parametrize("module", [mariadb, mysql])
def test_a_connection_that_makes_no_sense_is_refused(module: object, wrong: dict[str, object]) -> None:
    right = {"host": "h", "database": "d", "user": "u"}
    assert module.Options(connection=right).server == "h:3306"  # type: ignore[attr-defined]
    with pytest.raises(ValidationError):
        module.Options(connection=right | wrong)  # type: ignore[attr-defined]


def test_a_credential_without_a_value_or_of_two_lines_is_refused() -> None:
    given_name = {"host": "h", "database": "d", "user": "u", "password": {"credential": "pw"}}
    connection = mysql.Connection.model_validate(given_name)
    with pytest.raises(Refused, match="has no value"):
        from_connection(connection, {})
    with pytest.raises(Refused, match="one line") as caught:
        from_connection(connection, {"pw": "ge\nheim"})
    assert "heim" not in str(caught.value)


def test_options_of_one_engine_are_not_the_others() -> None:
    options = mariadb.Options(connection=mariadb.Connection(host="/s", database="d", user="u"))
    with pytest.raises(Refused, match="no options of the mysql engine"), mysql.MysqlEngine().dump(options, {}, "off"):
        pass


def test_a_target_of_mysql() -> None:
    place = from_url("mysql://ann@db.example.com:3307/sh%20op?tls=require", "pw", "mysql")
    assert (place.host, place.port, place.database, place.user, place.tls) == (
        "db.example.com",
        3307,
        "sh op",
        "ann",
        "require",
    )
    place = from_url("mysql:///shop?socket=/run/s&user=ann", None, "mysql")
    assert (place.socket, place.host, place.user, place.tls) == ("/run/s", "", "ann", "off")


# --- words of the server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("1\tNULL\t", ("1", None, "")),
        (r"a\tb\nc\\n\0" + "\tx", ("a\tb\nc\\n\0", "x")),
        (r"\\\\t", ("\\\\t",)),
        (r"\\", ("\\",)),
    ],
)
def test_the_clients_batch_form_is_read(line: str, row: tuple[str | None, ...]) -> None:
    assert _row(line) == row


def test_names_and_texts_are_written_so_that_nothing_in_them_is_sql() -> None:
    assert quoted("a`; drop") == "`a``; drop`"
    assert text("'") == "CONVERT(0x27 USING utf8mb4)"


@pytest.mark.parametrize(
    ("grant", "database", "has"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION", "shop", True),
        ("GRANT SELECT, TRIGGER ON `shop`.* TO `u`@`%`", "shop", True),
        ("GRANT SELECT, TRIGGER ON `shop`.* TO `u`@`%`", "other", False),
        ("GRANT SELECT ON `shop`.* TO `u`@`%`", "shop", False),
        (r"GRANT TRIGGER ON `a\_%`.* TO `u`@`%`", "a_b", True),
        (r"GRANT TRIGGER ON `a\_%`.* TO `u`@`%`", "aXb", False),
        ("GRANT TRIGGER ON `a_b`.* TO `u`@`%`", "aXb", True),
        ("GRANT TRIGGER ON `shop`.`t` TO `u`@`%`", "shop", False),
        ("GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB'", "shop", False),
    ],
)
def test_privileges_are_read_from_grants(grant: str, database: str, has: bool) -> None:
    assert Privileges.read([grant]).has("TRIGGER", database) is has


def test_a_role_may_bring_what_is_missing() -> None:
    assert Privileges.read(["GRANT `clerk` TO `u`@`%`", "GRANT USAGE ON *.* TO `u`@`%`"]).by_roles
    assert not Privileges.read(["GRANT USAGE ON *.* TO `u`@`%`"]).by_roles


@pytest.mark.parametrize(
    ("words", "operation", "error"),
    [
        ("ERROR 2026 (HY000) at line 9: TLS/SSL error: Connection reset by peer (104)", "restore", Unavailable),
        ("mysqldump: ann has insufficent privileges to SHOW CREATE PROCEDURE `p`!", "dump", Refused),
        ("ERROR 1045 (28000): Access denied for user 'u'@'h' (using password: YES)", "dump", Refused),
        ('mysqldump: Got error: 1045: "Access denied" when trying to connect', "dump", Refused),
        ("ERROR 1049 (42000): Unknown database 'x'", "dump", NotFound),
        ("ERROR 1040 (HY000): Too many connections", "restore", Busy),
        ("mysqldump: Couldn't execute 'SHOW CREATE TABLE `t`': Table 'd.t' doesn't exist (1146)", "dump", Unavailable),
        ("mysqldump: Error 1412: Table definition has changed when dumping table `t` at row: 0", "dump", Unavailable),
        ("mysqldump: Error 2013: Lost connection to server during query when dumping table `t`", "dump", Unavailable),
        ("ERROR 2002 (HY000): Can't connect to local server through socket '/s' (2)", "dump", Unavailable),
        ("ERROR 1227 (42000) at line 9: Access denied; you need the SUPER privilege", "restore", Refused),
        ("ERROR 1064 (42000) at line 1: You have an error in your SQL syntax", "restore", Refused),
        ("ERROR 2026 (HY000): TLS/SSL error: self-signed certificate", "dump", Refused),
        ("no number at all", "dump", Unavailable),
    ],
)
def test_failures_are_told_by_their_number(words: str, operation: str, error: type[DrorchError]) -> None:
    found = failure("mysqldump", 2, words, operation, "h/d")
    assert type(found) is error
    assert found.operation == operation


def test_neither_rows_nor_passwords_of_a_failed_statement_are_told() -> None:
    statement = "INSERT INTO t VALUES (1045,'geheim'),(2013,'ERROR 1040')"
    words = f"--------------\n{statement}\n--------------\n\nERROR 1114 (HY000) at line 9: The table 't' is full\n"
    found = failure("mysql", 1, words, "restore", "h/d")
    assert isinstance(found, Unavailable)
    assert found.cause == "ERROR 1114 (HY000) at line 9: The table 't' is full"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("ERROR 1227 (42000): Access denied; you need (at least one of) the RELOAD privilege(s)", "GRANT RELOAD to"),
        ("Error 1142: SHOW VIEW command denied to user 'u'@'h' for table `d`.`v`", "GRANT SHOW VIEW to"),
        ("ERROR 1044 (42000): Access denied for user 'u'@'h' to database 'd'", "GRANT what is missing"),
    ],
)
def test_the_privilege_that_the_server_names_is_the_one_to_grant(words: str, hint: str) -> None:
    assert failure("mysqldump", 2, words, "dump", "h/d").hint.startswith(hint)


def test_a_connection_lost_while_something_is_changed_is_an_unknown_outcome() -> None:
    lost = failure("mysql", 1, "ERROR 2013 (HY000): Lost connection", "restore", "h/d")
    assert isinstance(unknown_outcome(lost, "look"), OutcomeUnknown)
    never = failure("mysql", 1, "ERROR 2002 (HY000): Can't connect", "restore", "h/d")
    assert unknown_outcome(never, "look") is never


def test_a_signal_is_told() -> None:
    assert "signal 9" in str(failure("mysqldump", -9, "", "dump", "h/d"))


# --- replicas ------------------------------------------------------------------------------------------------------


GREETING = Greeting("8.4.0", False, True)


@dataclass
class Replica:
    """As much of an `Access` as the question for the instant needs; `status` lines, or the error that asking raises."""

    status: list[str] | DrorchError
    asked: list[str] = field(default_factory=list)
    vendor: Vendor = MYSQL
    greeting: Greeting = GREETING
    place: Place = PLACE

    def ask(self, statements: str, operation: str) -> list[tuple[str, ...]]:
        self.asked.append(statements)
        if "utc_timestamp" in statements:
            return [("2026-11-20T09:15:00",)]
        if isinstance(self.status, DrorchError):
            raise self.status
        return [(line,) for line in self.status]


def instant(replica: Replica) -> str:
    return _instant(replica).isoformat()  # type: ignore[arg-type]


def test_a_replicas_data_are_as_old_as_its_largest_lag() -> None:
    lines = ["*** 1. row ***", "   Seconds_Behind_Source: 7", "   Seconds_Behind_Master: 90", "   Last_Error: "]
    assert instant(Replica(lines)) == "2026-11-20T09:13:30+00:00"
    assert instant(Replica([])) == "2026-11-20T09:15:00+00:00"


def test_a_replica_that_applies_nothing_is_not_dumped() -> None:
    with pytest.raises(Unavailable, match="applies nothing"):
        instant(Replica(["   Seconds_Behind_Source: NULL"]))


def test_who_may_not_ask_for_the_lag_is_taken_at_the_servers_clock() -> None:
    assert instant(Replica(Refused("no"))) == "2026-11-20T09:15:00+00:00"


@pytest.mark.parametrize(
    ("vendor", "version", "question"),
    [
        (MYSQL, "5.7.44", "SHOW SLAVE STATUS\\G"),
        (MYSQL, "8.0.20", "SHOW SLAVE STATUS\\G"),
        (MYSQL, "8.4.0", "SHOW REPLICA STATUS\\G"),
        (MARIADB, "10.11.6-MariaDB", "SHOW ALL SLAVES STATUS\\G"),
    ],
)
def test_the_question_for_the_lag_is_the_versions_own(vendor: Vendor, version: str, question: str) -> None:
    replica = Replica([], vendor=vendor, greeting=Greeting(version, False, True))
    instant(replica)
    assert replica.asked[-1] == question
