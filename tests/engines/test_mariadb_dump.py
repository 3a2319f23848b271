"""Dumps from a real MariaDB server: what is in them, what is refused before, how failures are told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mariadbservers import PASSWORD, RunningMariadb, running_mariadb
from mariawares import ROWS, Dump, dump
from pgservers import free_port, taken

from drorch.domain.errors import Damaged, NotFound, Refused, Unavailable
from drorch.engines import mysql
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql_family.access import open_access
from drorch.engines.mysql_family.place import from_connection

SECRETS = {"pw": PASSWORD}
NEEDED = "SELECT, SHOW VIEW, TRIGGER, EVENT"


def test_rows_are_counted_in_the_dump_itself_whatever_they_hold(wares_dump: Dump) -> None:
    assert wares_dump.inventory.tables == ROWS
    assert wares_dump.inventory.estimated == frozenset()
    assert wares_dump.inventory.details["not_transactional"] == ["aria", "legacy"]
    assert wares_dump.inventory.bytes > 0


def test_the_dump_holds_all_kinds_of_objects_and_its_end_mark(wares_dump: Dump) -> None:
    data = wares_dump.artefacts["data.sql"]
    for words in (b"PROCEDURE `count_items`", b"FUNCTION `doubled`", b"TRIGGER noted", b"EVENT `nightly`"):
        assert words in data
    assert b"VIEW `dearer` AS" in data
    assert b"0x00FF0A275C" in data
    assert "😀 Ünï".encode() in data
    assert data.splitlines()[-1].startswith(b"-- Dump completed on ")


def test_the_facts_say_what_a_restore_must_know_and_name_no_table(mariadb: RunningMariadb, wares_dump: Dump) -> None:
    facts = json.loads(json.dumps(wares_dump.facts))
    assert facts["engine"] == "mariadb"
    assert facts["server_version"] == mariadb.value("SELECT version()")
    assert facts["client_version"].startswith("10.")
    assert facts["charset"] == "utf8mb4"
    assert facts["definers"] == ["keeper@%", "root@localhost"]
    assert (facts["routines"], facts["triggers"], facts["events"], facts["views"]) == (2, 1, 1, 2)
    assert facts["not_transactional"] == {"Aria": 1, "MyISAM": 1}
    assert facts["system_versioned"] == 1
    assert facts["accounts_dumped"] is True
    assert not [name for name in ROWS if f'"{name}"' in json.dumps(facts)]


def test_the_instant_is_the_servers_and_never_later_than_the_data(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a DATETIME)")
    before = mariadb.value("SELECT utc_timestamp()")
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        mariadb.ask("INSERT INTO t VALUES (utc_timestamp())", database=database)
        artefacts = taken(session)
        assert session.inventory().tables == {"t": 1}
    assert b"INSERT INTO `t`" in artefacts["data.sql"]
    assert datetime.fromisoformat(before).replace(tzinfo=UTC) <= session.cut_at
    assert session.cut_at <= datetime.fromisoformat(mariadb.value("SELECT max(a) FROM t", database)).replace(tzinfo=UTC)


def test_an_empty_database_is_dumped(mariadb: RunningMariadb) -> None:
    found = dump(mariadb, mariadb.database())
    assert found.inventory.tables == {}
    assert b"-- Dump completed" in found.artefacts["data.sql"]


def test_estimates_are_the_servers_and_marked_so(mariadb: RunningMariadb, wares: str) -> None:
    mariadb.ask("ANALYZE TABLE item", database=wares)
    inventory = dump(mariadb, wares, word="estimate").inventory
    assert inventory.estimated == frozenset(ROWS)
    assert 400 < (inventory.tables["item"] or 0) < 600


def test_accounts_and_grants_are_the_second_artefact_without_the_servers_own(mariadb: RunningMariadb) -> None:
    database = mariadb.database()
    user = mariadb.user(f"SELECT ON {database}.*", PASSWORD)
    mariadb.ask("CREATE ROLE IF NOT EXISTS clerk", f"GRANT clerk TO {user}@'%'")
    text = dump(mariadb, database).artefacts["globals.sql"].decode()
    assert f"CREATE USER `{user}`@`%` IDENTIFIED BY PASSWORD '*" in text
    assert f"GRANT SELECT ON `{database}`.* TO `{user}`@`%`;" in text
    assert "CREATE ROLE `clerk`;" in text
    assert text.index("CREATE ROLE `clerk`") < text.index(f"GRANT `clerk` TO `{user}`@`%`")
    assert "mariadb.sys" not in text
    assert PASSWORD not in text


def test_a_user_with_the_least_privileges_dumps_without_accounts_and_says_so(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t")
    user = mariadb.user(f"{NEEDED} ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    found = dump(mariadb, database, user)
    assert found.facts["accounts_dumped"] is False
    assert found.artefacts["globals.sql"].startswith(b"-- the dumping user may not read")


def test_a_user_that_would_not_see_everything_is_refused_with_the_grant_it_needs(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)")
    user = mariadb.user(f"SELECT ON {database}.*")
    with (
        pytest.raises(Refused, match=r"lacks SHOW VIEW, TRIGGER, EVENT.*GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON"),
        MariadbEngine().dump(mariadb.options(database, user), {}, "exact"),
    ):
        pass


def test_a_user_that_would_not_see_the_routines_of_others_is_refused(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE PROCEDURE p() SELECT 1")
    user = mariadb.user(f"{NEEDED} ON {database}.*")
    with (
        pytest.raises(Refused, match=r"routines of others.*GRANT SELECT ON mysql\.proc"),
        MariadbEngine().dump(mariadb.options(database, user), {}, "exact"),
    ):
        pass
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    assert b"PROCEDURE `p`" in dump(mariadb, database, user).artefacts["data.sql"]


def test_a_role_may_bring_the_privileges(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)")
    user = mariadb.user()
    mariadb.ask("CREATE ROLE IF NOT EXISTS dumper", f"GRANT {NEEDED} ON {database}.* TO dumper")
    mariadb.ask("GRANT SELECT ON mysql.proc TO dumper")
    mariadb.ask(f"GRANT dumper TO {user}@'%'", f"SET DEFAULT ROLE dumper FOR {user}@'%'")
    assert dump(mariadb, database, user).inventory.tables == {"t": 0}


def test_a_view_of_what_is_not_there_is_refused_since_no_dump_of_it_restores(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t", "DROP TABLE t")
    with (
        MariadbEngine().dump(mariadb.options(database), {}, "exact") as session,
        pytest.raises(Refused, match="view refers to what is not there"),
    ):
        taken(session)


def test_a_table_dropped_in_mid_dump_ends_it_as_something_to_repeat(mariadb: RunningMariadb) -> None:
    filler = "INSERT INTO a SELECT repeat('x', 60000) FROM seq_1_to_400"  # more than the pipes hold
    database = mariadb.database("CREATE TABLE a (b LONGTEXT)", filler, "CREATE TABLE b (c INT)")
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        assert producer.stdout.read(1000)
        mariadb.ask("DROP TABLE b", database=database)
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable, match="vanished"):
            producer.finish()


def test_a_table_that_the_dump_does_not_hold_is_told_by_name(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE a (b INT)", "CREATE TABLE gone (b INT)", "CREATE VIEW lost AS SELECT 1")
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        mariadb.ask("DROP TABLE gone", "DROP VIEW lost", database=database)
        producer = session.artefacts()[0].open()
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable, match=r"2 of 3 objects vanished meanwhile.*table gone, view lost"):
            producer.finish()


def test_a_dump_program_that_ends_well_without_the_end_mark_is_damage(mariadb: RunningMariadb, tmp_path: Path) -> None:
    program = tmp_path / "mariadb-dump"
    program.write_text(
        "#!/bin/sh\ncase $1 in --version) exec /usr/bin/mariadb-dump --version;; esac\n"
        '/usr/bin/mariadb-dump "$@" | head -n -1\n'
    )
    program.chmod(0o755)
    database = mariadb.database("CREATE TABLE a (b INT)")
    with (
        MariadbEngine([tmp_path]).dump(mariadb.options(database), {}, "exact") as session,
        pytest.raises(Damaged, match="no end mark"),
    ):
        taken(session)


def test_a_server_killed_in_mid_dump_is_an_outage() -> None:
    with running_mariadb() as server:
        filler = "INSERT INTO a SELECT repeat('x', 60000) FROM seq_1_to_400"
        database = server.database("CREATE TABLE a (b LONGTEXT)", filler)
        with MariadbEngine().dump(server.options(database), {}, "exact") as session:
            producer = session.artefacts()[0].open()
            assert producer.stdout.read(1000)
            os.kill(int((server.server.folder / "pid").read_text()), signal.SIGKILL)
            while producer.stdout.read(1 << 20):
                pass
            with pytest.raises(Unavailable):
                producer.finish()
        with pytest.raises(Unavailable), MariadbEngine().dump(server.options(database), {}, "exact"):
            pass


def test_a_dump_that_is_given_up_leaves_no_process(mariadb: RunningMariadb) -> None:
    filler = "INSERT INTO a SELECT repeat('x', 60000) FROM seq_1_to_400"
    database = mariadb.database("CREATE TABLE a (b LONGTEXT)", filler)
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        assert producer.stdout.read(1000)
        assert len(_dumpers()) == 1
    assert _dumpers() == []


def test_the_option_file_has_no_name_in_any_folder_and_only_its_owner_may_read_it(
    mariadb: RunningMariadb, reader: tuple[str, str]
) -> None:
    options = mariadb.options(*reader, host="localhost", password={"credential": "pw"}, tls="off")
    access = open_access(MARIADB, from_connection(options.connection, SECRETS), (), "dump")
    try:
        (descriptor,) = access.inherited
        status = os.fstat(descriptor)
        assert (status.st_nlink, status.st_mode & 0o777) == (0, 0o600)
        assert b"password" in os.pread(descriptor, 4096, 0)
        assert not os.get_inheritable(descriptor)
    finally:
        access.close()
    access.close()


def _dumpers() -> list[int]:
    """Dump programs that are children of this process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                name, _, rest = (folder / "stat").read_text().rpartition(")")
            except OSError:
                continue
            if "mariadb-dump" in name and int(rest.split()[1]) == os.getpid():
                found.append(int(folder.name))
    return found


# --- who answers ---------------------------------------------------------------------------------------------------


def _tcp(server: RunningMariadb, database: str, user: str, **more: object) -> object:
    values = {"host": "localhost", "password": {"credential": "pw"}, **more}
    return server.options(database, user, **values)


@pytest.fixture
def reader(mariadb: RunningMariadb) -> tuple[str, str]:
    """(database, user with a password)."""
    database = mariadb.database("CREATE TABLE t (a INT)")
    return database, mariadb.user("SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*", PASSWORD)


@pytest.mark.parametrize("tls", ["verify-full", "require", None])
def test_a_password_and_tls_over_tcp(mariadb: RunningMariadb, reader: tuple[str, str], tls: str | None) -> None:
    options = _tcp(mariadb, *reader, tls=tls, ca=str(mariadb.ca))
    with MariadbEngine().dump(options, SECRETS, "exact") as session:
        assert taken(session)["data.sql"]


@pytest.mark.parametrize(("tls", "encrypted"), [("verify-full", True), ("require", True), ("off", False)])
def test_the_session_is_encrypted_as_was_asked(
    mariadb: RunningMariadb, reader: tuple[str, str], tls: str, encrypted: bool
) -> None:
    options = mariadb.options(*reader, host="localhost", password={"credential": "pw"}, tls=tls, ca=str(mariadb.ca))
    access = open_access(MARIADB, from_connection(options.connection, SECRETS), (), "dump")
    try:
        (row,) = access.ask("SHOW SESSION STATUS LIKE 'Ssl_cipher'", "dump")
    finally:
        access.close()
    assert bool(row[1]) is encrypted


@pytest.mark.parametrize("more", [{"host": "127.0.0.1"}, {"ca": "/etc/ssl/certs/ca-certificates.crt"}])
def test_a_certificate_of_another_name_or_authority_is_refused(
    mariadb: RunningMariadb, reader: tuple[str, str], more: dict[str, object]
) -> None:
    options = _tcp(mariadb, *reader, **{"tls": "verify-full", "ca": str(mariadb.ca), **more})
    with (
        pytest.raises(Refused, match=r"TLS could not be agreed on.*`ca:`"),
        MariadbEngine().dump(options, SECRETS, "off"),
    ):
        pass


def test_a_wrong_password_is_refused_and_not_repeated(mariadb: RunningMariadb, reader: tuple[str, str]) -> None:
    dump = MariadbEngine().dump(_tcp(mariadb, *reader), {"pw": "geheim"}, "off")
    with pytest.raises(Refused, match="did not let us in") as caught, dump:
        pass
    assert "geheim" not in str(caught.value)


def test_no_password_where_one_is_needed_says_where_it_belongs(
    mariadb: RunningMariadb, reader: tuple[str, str]
) -> None:
    options = mariadb.options(*reader, host="localhost")
    with pytest.raises(Refused, match=r"password: \{credential: NAME\}"), MariadbEngine().dump(options, {}, "off"):
        pass


def test_a_database_that_is_not_there_is_told(mariadb: RunningMariadb) -> None:
    with pytest.raises(NotFound, match="no such database"), MariadbEngine().dump(mariadb.options("nix"), {}, "off"):
        pass


def test_nobody_at_the_address_is_an_outage(mariadb: RunningMariadb) -> None:
    options = mariadb.options("x", host="127.0.0.1", port=free_port())
    with pytest.raises(Unavailable, match="cannot be reached"), MariadbEngine().dump(options, {}, "off"):
        pass


def test_mysql_said_of_a_mariadb_server_is_refused_before_any_client_runs(mariadb: RunningMariadb) -> None:
    connection = mysql.Connection(host=mariadb.socket, database="x", user="root")
    with (
        pytest.raises(Refused, match=r"the server is MariaDB 10.*not MySQL.*kind: mariadb"),
        mysql.MysqlEngine().dump(mysql.Options(connection=connection), {}, "off"),
    ):
        pass


@contextmanager
def _claiming(tmp_path: Path, version: str) -> Iterator[Path]:
    """Client programs that say they are of another version."""
    for name in ("mariadb", "mariadb-dump"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{name}  Ver 10.19 Distrib {version}-MariaDB, for linux (x86_64)'\n")
        program.chmod(0o755)
    yield tmp_path


def test_clients_older_than_the_server_are_refused_with_the_versions(
    mariadb: RunningMariadb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.mysql_family.clients._PACKAGED", ())
    with _claiming(tmp_path, "10.5.9") as folder:
        monkeypatch.setenv("PATH", str(folder))
        with (
            pytest.raises(Refused, match=r"of version 10\.11 or newer.*server of version 10\.11.*found: 10\.5\.9"),
            MariadbEngine([folder]).dump(mariadb.options("mysql"), {}, "off"),
        ):
            pass


def test_the_other_vendors_clients_are_not_used_whatever_they_are_called(
    mariadb: RunningMariadb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.mysql_family.clients._PACKAGED", ())
    for name in ("mariadb", "mysql", "mariadb-dump", "mysqldump"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name}  Ver 8.4.0 for Linux on x86_64 (MySQL Community)'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(
            Refused, match=r"MariaDB's mariadb of version 10\.11.*found: none; .*mariadb is of the other vendor"
        ),
        MariadbEngine().dump(mariadb.options("mysql"), {}, "off"),
    ):
        pass


def test_what_an_unfinished_restore_left_is_not_dumped(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE drorch_unfinished_restore (a INT)")
    with pytest.raises(Refused, match="unfinished restore"), MariadbEngine().dump(mariadb.options(database), {}, "off"):
        pass
