"""What must be in a dump before it counts, on a real server: what the catalogue has and the stream lacks is told."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from mariadbservers import RunningMariadb
from mariawares import dump
from pgservers import taken

from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.mysql_family.scan import DumpScan

CODE = (
    "CREATE TABLE t (a INT)",
    "CREATE TRIGGER IF NOT EXISTS /* why not */ `od``d (` BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
    "CREATE TRIGGER\n  plain AFTER INSERT ON t FOR EACH ROW BEGIN SET @b = '\nCREATE TABLE `n` (\n'; END",
    "CREATE FUNCTION `f``x`() RETURNS INT RETURN 1",
    "CREATE PROCEDURE `Ünï p`()\nBEGIN\nSELECT 1;\nEND",
    "CREATE EVENT `e v` ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "CREATE EVENT second ON SCHEDULE EVERY 1 DAY DISABLE DO\nBEGIN\nSELECT 2;\nEND",
    "CREATE SEQUENCE s",
    "CREATE VIEW v AS SELECT a FROM t",
    "SET sql_mode = 'ORACLE'",
    "CREATE PACKAGE pack AS PROCEDURE a(); END",
    "CREATE PACKAGE BODY pack AS PROCEDURE a() AS BEGIN NULL; END; END",
)
LEAST = "SELECT, SHOW VIEW, TRIGGER, EVENT"


def streamed(server: RunningMariadb, database: str, user: str = "root", tools: Path | None = None) -> dict[str, bytes]:
    engine = MariadbEngine([tools] if tools else [])
    with engine.dump(server.options(database, user), {}, "exact") as session:
        return taken(session)


def test_every_kind_of_object_is_seen_in_the_stream_under_its_own_name(mariadb: RunningMariadb) -> None:
    database = mariadb.database(*CODE)
    scan = DumpScan()
    scan.feed(streamed(mariadb, database)["data.sql"])
    assert scan.tables == {"t", "s"}
    assert scan.views == {"v"}
    assert scan.code == {
        ("trigger", "od`d ("),
        ("trigger", "plain"),
        ("function", "f`x"),
        ("procedure", "Ünï p"),
        ("event", "e v"),
        ("event", "second"),
        ("package", "pack"),
        ("package body", "pack"),
    }


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DROP TRIGGER plain", "trigger plain"),
        ("DROP FUNCTION `f``x`", "function f`x"),
        ("DROP PROCEDURE `Ünï p`", "procedure Ünï p"),
        ("DROP EVENT second", "event second"),
        ("DROP SEQUENCE s", "table s"),
        ("SET sql_mode = 'ORACLE'; DROP PACKAGE BODY pack", "package body pack"),
        ("RENAME TABLE t TO u", "table t"),
    ],
)
def test_what_vanished_before_the_dump_program_came_to_it_is_named(
    mariadb: RunningMariadb, statement: str, named: str
) -> None:
    database = mariadb.database(*(line for line in CODE if "VIEW" not in line))
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        mariadb.ask(statement, database=database)
        with pytest.raises(Unavailable, match=r"1 of \d+ objects vanished meanwhile") as caught:
            taken(session)
    assert caught.value.cause == named


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--skip-routines", "function f`x, package body pack, package pack, procedure Ünï p"),
        ("--skip-triggers", "trigger od`d (, trigger plain"),
        ("--skip-events", "event e v, event second"),
        ("--ignore-table={}.s", "table s"),
    ],
)
def test_what_the_dump_program_leaves_out_with_exit_0_is_named(
    mariadb: RunningMariadb, tmp_path: Path, option: str, named: str
) -> None:
    database = mariadb.database(*CODE)
    wrapper(tmp_path, f'exec /usr/bin/mariadb-dump "${{@:1:$#-2}}" {option.format(database)} -- "${{@: -1}}"')
    with pytest.raises(Unavailable, match=r"objects are on the server and not in the dump") as caught:
        streamed(mariadb, database, tools=tmp_path)
    assert caught.value.cause == named
    assert "left out by the dump program" in caught.value.hint


def wrapper(folder: Path, body: str) -> None:
    """A program that stands before the dump program."""
    program = folder / "mariadb-dump"
    program.write_text(f'#!/bin/bash\n[ "$1" = --version ] && exec /usr/bin/mariadb-dump --version\n{body}\n')
    program.chmod(0o755)


@pytest.mark.parametrize("spoils", ["head -c -30", "sed '$d'", "cat - <(echo more)", "head -c 20000"])
def test_output_that_does_not_end_with_the_end_mark_is_refused_whatever_the_exit_status(
    mariadb: RunningMariadb, tmp_path: Path, spoils: str
) -> None:
    database = mariadb.database("CREATE TABLE t (a TEXT)", "INSERT INTO t SELECT repeat('x', 900) FROM seq_1_to_100")
    wrapper(tmp_path, f'/usr/bin/mariadb-dump "$@" | {spoils}')
    with pytest.raises(DrorchError, match="no end mark") as caught:
        streamed(mariadb, database, tools=tmp_path)
    assert caught.value.exit_code == 6


def test_a_user_that_loses_the_sight_of_a_routine_in_mid_dump_is_told_what_to_grant(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE PROCEDURE p() SELECT 1")
    user = mariadb.user(f"{LEAST}, EXECUTE ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    with MariadbEngine().dump(mariadb.options(database, user), {}, "exact") as session:
        mariadb.ask(f"REVOKE SELECT ON mysql.proc FROM {user}@'%'")  # noqa: S608  no query
        with pytest.raises(Refused, match=r"sees a routine and not its body.*GRANT the sight of all routines"):
            taken(session)


@pytest.mark.parametrize("lacking", ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"])
def test_each_missing_privilege_is_named_before_anything_is_dumped(mariadb: RunningMariadb, lacking: str) -> None:
    database = mariadb.database(*CODE)
    held = ", ".join(word for word in LEAST.split(", ") if word != lacking)
    user = mariadb.user(f"{held} ON {database}.*")
    with (
        pytest.raises(Refused, match=rf"this user lacks {lacking} on the database.*GRANT {LEAST} ON `{database}`"),
        MariadbEngine().dump(mariadb.options(database, user), {}, "exact"),
    ):
        pass


def test_what_a_role_does_not_bring_either_is_missing(mariadb: RunningMariadb) -> None:
    database, role = (
        mariadb.database("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1"),
        f"role_{uuid.uuid4().hex[:8]}",
    )
    user = mariadb.user()
    mariadb.ask(f"CREATE ROLE {role}", f"GRANT SELECT, SHOW VIEW, TRIGGER ON {database}.* TO {role}")
    mariadb.ask(f"GRANT {role} TO {user}@'%'", f"SET DEFAULT ROLE {role} FOR {user}@'%'")
    with (
        pytest.raises(Refused, match="this user lacks EVENT on the database"),
        MariadbEngine().dump(mariadb.options(database, user), {}, "exact"),
    ):
        pass


@pytest.mark.parametrize(
    ("revoked", "words"),
    [("SHOW VIEW", r"GRANT SHOW VIEW to the user"), ("SELECT", r"GRANT SELECT to the user")],
)
def test_a_privilege_that_is_lost_in_mid_dump_is_named_by_the_server(
    mariadb: RunningMariadb, revoked: str, words: str
) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t")
    user = mariadb.user(f"{LEAST} ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    with MariadbEngine().dump(mariadb.options(database, user), {}, "exact") as session:
        mariadb.ask(f"REVOKE {revoked} ON {database}.* FROM {user}@'%'")
        with pytest.raises(Refused, match=rf"lacks a privilege.*{words}"):
            taken(session)


def test_a_user_without_any_right_over_the_server_dumps_everything(mariadb: RunningMariadb) -> None:
    """No RELOAD, PROCESS, LOCK TABLES or SUPER."""
    database = mariadb.database(*CODE)
    user = mariadb.user(f"{LEAST} ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    assert b"PACKAGE BODY" in streamed(mariadb, database, user)["data.sql"]


def test_a_view_whose_definer_does_not_exist_is_dumped_all_the_same(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE t (a INT)", "CREATE DEFINER='gone'@'%' VIEW v AS SELECT a FROM t")
    user = mariadb.user(f"{LEAST} ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    found = dump(mariadb, database, user)
    assert b"VIEW `v` AS" in found.artefacts["data.sql"]
    assert found.facts["definers"] == ["gone@%"]


# --- what changes meanwhile ----------------------------------------------------------------------------------------

LARGE = "INSERT INTO a SELECT repeat('x', 60000) FROM seq_1_to_400"
"""More than the pipes hold."""


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["ALTER TABLE b ADD COLUMN more INT, ALGORITHM=COPY"], "a table was altered meanwhile.*the next attempt"),
        (["DROP TABLE b", "CREATE TABLE b (c INT)"], "a table was altered meanwhile.*the next attempt"),
        (["TRUNCATE TABLE b"], "a table was altered meanwhile.*the next attempt"),
        (["DROP TABLE b"], "a table vanished meanwhile"),
        (["RENAME TABLE b TO z"], "a table vanished meanwhile"),
    ],
)
def test_a_table_that_changes_before_its_turn_ends_the_dump_as_something_to_repeat(
    mariadb: RunningMariadb, statements: list[str], words: str
) -> None:
    database = mariadb.database(
        "CREATE TABLE a (t LONGTEXT)", LARGE, "CREATE TABLE b (c INT)", "INSERT INTO b VALUES (1)"
    )
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        assert producer.stdout.read(1000)
        mariadb.ask(*statements, database=database)
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable, match=words):
            producer.finish()
    assert dump(mariadb, database).inventory.tables["a"] == 400


def test_a_column_that_is_added_at_once_changes_no_row_of_the_snapshot(mariadb: RunningMariadb) -> None:
    """ALGORITHM=INSTANT: InnoDB reads older rows with the new column's default."""
    database = mariadb.database(
        "CREATE TABLE a (t LONGTEXT)", LARGE, "CREATE TABLE b (c INT)", "INSERT INTO b VALUES (1)"
    )
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        head = producer.stdout.read(1000)
        mariadb.ask(
            "ALTER TABLE b ADD COLUMN d INT DEFAULT 7, ALGORITHM=INSTANT",
            "INSERT INTO b VALUES (2, 2)",
            database=database,
        )
        data = head + b"".join(iter(lambda: producer.stdout.read(1 << 20), b""))
        producer.finish()
        assert session.inventory().tables == {"a": 400, "b": 1}
    assert b"INSERT INTO `b` VALUES\n(1,7);" in data


def test_a_database_that_vanishes_in_mid_dump_is_told_and_then_is_not_there(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE a (t LONGTEXT)", LARGE, *CODE[:1], *CODE[3:6])
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        assert producer.stdout.read(1000)
        mariadb.ask(
            "DROP TABLE t", "DROP FUNCTION `f``x`", "DROP PROCEDURE `Ünï p`", "DROP EVENT `e v`", database=database
        )
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable):
            producer.finish()
    mariadb.ask(f"DROP DATABASE {database}")
    with (
        pytest.raises(NotFound, match="no such database"),
        MariadbEngine().dump(mariadb.options(database), {}, "exact"),
    ):
        pass


def test_a_database_that_vanishes_between_the_first_question_and_the_dump_is_told(mariadb: RunningMariadb) -> None:
    database = mariadb.database("CREATE TABLE a (b INT)")
    with MariadbEngine().dump(mariadb.options(database), {}, "exact") as session:
        mariadb.ask(f"DROP DATABASE {database}")
        with pytest.raises(NotFound, match="no such database"):
            taken(session)
