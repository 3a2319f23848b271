"""Restores into a real MariaDB server: equal data, whose objects they are, and what a failed one leaves."""

# ruff: noqa: S608 - the names are constants

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from mariadbservers import PASSWORD, RunningMariadb
from mariawares import Dump, dump
from pgservers import given

from drorch.domain.errors import AlreadyExists, Busy, DrorchError, Refused, Usage
from drorch.engines.mariadb import MariadbEngine
from drorch.ports import RestoreTarget

DEFINERS = "SELECT definer FROM information_schema.{} WHERE {}_schema = '{}' ORDER BY 1"


@pytest.fixture
def name(mariadb: RunningMariadb) -> Iterator[str]:
    """A name for a database, dropped at the end."""
    yield "back `again"
    mariadb.ask("DROP DATABASE IF EXISTS `back ``again`", "DROP USER IF EXISTS keeper@'%'")


def target(server: RunningMariadb, name: str, user: str = "root", *, with_globals: bool = False) -> RestoreTarget:
    url = f"mariadb:///{name.replace(' ', '%20').replace('`', '%60')}?socket={server.socket}&user={user}"
    return MariadbEngine().target(url, None, with_globals=with_globals)


def restore(server: RunningMariadb, found: Dump, name: str, user: str = "root") -> list[str]:
    """A whole restore; its notes."""
    into = target(server, name, user)
    into.prepare(found.facts)
    notes = given(into, {"data.sql": found.artefacts["data.sql"]})
    assert into.inventory(found.inventory).tables == found.inventory.tables
    return [*notes, *into.complete()]


def objects(server: RunningMariadb, database: str) -> list[list[str]]:
    """Every routine, trigger, event and view with its definition."""
    schema = f"= '{database}'"
    return server.ask(
        f"SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema {schema}"
        " ORDER BY 1",
        f"SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema {schema}",
        f"SELECT event_name, event_definition FROM information_schema.events WHERE event_schema {schema}",
        "SELECT table_name, replace(view_definition, concat('`', replace(table_schema, '`', '``'), '`'), '')"
        f" FROM information_schema.views WHERE table_schema {schema} ORDER BY 1",
        f"SELECT column_name, column_type, collation_name FROM information_schema.columns WHERE table_schema {schema}"
        " ORDER BY table_name, ordinal_position",
    )


def test_what_is_restored_equals_what_was_dumped(
    mariadb: RunningMariadb, wares: str, wares_dump: Dump, name: str
) -> None:
    restore(mariadb, wares_dump, name)
    assert mariadb.checksums(name) == mariadb.checksums(wares)
    assert len(mariadb.checksums(wares)) == 9
    assert mariadb.ask("SELECT a FROM past", database=name) == [["2"]]
    assert objects(mariadb, name) == objects(mariadb, wares)
    assert int(mariadb.value("SELECT nextval(counter)", name)) >= 6
    assert mariadb.value("SELECT doubled(twice) FROM item WHERE id = 3", name) == "12"
    assert mariadb.exists(name)


def test_people_are_told_what_no_dump_can_bring(mariadb: RunningMariadb, wares_dump: Dump, name: str) -> None:
    notes = "\n".join(restore(mariadb, wares_dump, name))
    assert "tables without transactions are not as of one instant: 1 of Aria, 1 of MyISAM" in notes
    assert "the history of 1 system-versioned tables is not in the dump" in notes
    assert "1 events were restored" in notes
    assert "these definers do not exist here" in notes
    assert "keeper@%" in notes


def test_the_stock_client_loads_the_stream_as_it_was_dumped(
    mariadb: RunningMariadb, wares: str, wares_dump: Dump, name: str
) -> None:
    mariadb.ask("CREATE DATABASE `back ``again` CHARACTER SET utf8mb4")
    argv = ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", "--user=root", f"--database={name}"]
    subprocess.run(argv, input=wares_dump.artefacts["data.sql"], check=True, timeout=60, capture_output=True)
    assert mariadb.checksums(name) == mariadb.checksums(wares)


def test_definers_are_kept_for_who_may_set_them(mariadb: RunningMariadb, wares_dump: Dump, name: str) -> None:
    restore(mariadb, wares_dump, name)
    assert mariadb.ask(DEFINERS.format("views", "table", name)) == [["keeper@%"], ["root@localhost"]]
    assert mariadb.ask(DEFINERS.format("triggers", "trigger", name)) == [["keeper@%"]]


def test_a_user_without_that_privilege_becomes_the_definer_and_is_told(
    mariadb: RunningMariadb, wares: str, wares_dump: Dump, name: str
) -> None:
    user = mariadb.user("ALL ON `back ``again`.*")
    notes = "\n".join(restore(mariadb, wares_dump, name, user))
    assert f"of keeper@%, root@localhost belong to {user}@% now" in notes
    for table, prefix in (("views", "table"), ("triggers", "trigger"), ("events", "event"), ("routines", "routine")):
        assert {row[0] for row in mariadb.ask(DEFINERS.format(table, prefix, name))} == {f"{user}@%"}
    assert mariadb.checksums(name) == mariadb.checksums(wares)


def test_accounts_are_created_where_they_are_missing_and_never_altered(
    mariadb: RunningMariadb, wares: str, name: str
) -> None:
    kept = mariadb.user("SELECT ON mysql.user", PASSWORD)
    mariadb.ask("CREATE OR REPLACE USER keeper@'%' IDENTIFIED BY 'one'", f"GRANT SELECT ON `{wares}`.* TO keeper@'%'")
    found = dump(mariadb, wares)
    before = mariadb.ask("SHOW CREATE USER keeper@'%'")
    mariadb.ask("DROP USER keeper@'%'", f"REVOKE SELECT ON mysql.user FROM {kept}@'%'")
    into = target(mariadb, name, with_globals=True)
    into.prepare(found.facts)
    notes = "\n".join(given(into, found.artefacts))
    into.complete()
    assert "accounts created: `keeper`@`%`" in notes
    assert "`root`@`localhost`" in notes.split("left as they are:")[1]
    assert mariadb.ask("SHOW CREATE USER keeper@'%'") == before
    assert f"GRANT SELECT ON `{wares}`.* TO `keeper`@`%`" in [
        row[0] for row in mariadb.ask("SHOW GRANTS FOR keeper@'%'")
    ]
    assert len(mariadb.ask(f"SHOW GRANTS FOR {kept}@'%'")) == 1
    assert mariadb.ask("SELECT id FROM dearer LIMIT 1", database=wares)


def test_accounts_are_left_alone_unless_they_were_asked_for(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    script = b"-- account `ghost`@`%`\nCREATE USER `ghost`@`%`;\n"
    into = target(mariadb, name)
    into.prepare(wares_dump.facts)
    assert given(into, {"globals.sql": script}) == []
    into.abandon()
    assert mariadb.value("SELECT count(*) FROM mysql.user WHERE user = 'ghost'") == "0"


def test_an_empty_database_that_exists_is_filled_and_keeps_its_own_character_set(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    mariadb.ask("CREATE DATABASE `back ``again` CHARACTER SET latin1")
    restore(mariadb, wares_dump, name)
    assert mariadb.value("SELECT @@character_set_database", name) == "latin1"


@pytest.mark.parametrize(
    ("statement", "held"),
    [
        ("CREATE TABLE t (a INT)", "table t"),
        ("CREATE VIEW v AS SELECT 1", "table v"),
        ("CREATE PROCEDURE p() SELECT 1", "routine p"),
        ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "event e"),
    ],
)
def test_a_database_that_holds_anything_is_refused_and_stays(
    mariadb: RunningMariadb, wares_dump: Dump, statement: str, held: str
) -> None:
    database = mariadb.database(statement)
    with pytest.raises(AlreadyExists, match=held):
        target(mariadb, database).prepare(wares_dump.facts)
    with pytest.raises(AlreadyExists):
        target(mariadb, database).prepare(wares_dump.facts)
    assert mariadb.exists(database)


def test_giving_up_empties_a_database_that_was_there_and_drops_one_that_was_not(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    for there in (False, True):
        if there:
            mariadb.ask("CREATE DATABASE `back ``again` CHARACTER SET latin1")
        into = target(mariadb, name)
        into.prepare(wares_dump.facts)
        given(into, {"data.sql": wares_dump.artefacts["data.sql"]})
        assert not mariadb.exists(name)
        into.abandon()
        assert mariadb.exists(name) is there
    assert mariadb.ask("SHOW TABLES", database=name) == []
    assert mariadb.value("SELECT @@character_set_database", name) == "latin1"


def test_what_a_killed_restore_left_is_replaced_by_the_same_command(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    killed = target(mariadb, name)
    killed.prepare(wares_dump.facts)
    consumer = killed.load("data.sql")
    consumer.stdin.write(wares_dump.artefacts["data.sql"][:20_000])
    consumer.kill()
    killed._close()  # type: ignore[attr-defined]  # as the end of the process does
    assert not mariadb.exists(name)
    assert ["drorch_unfinished_restore"] in mariadb.ask("SHOW TABLES", database=name)
    restore(mariadb, wares_dump, name)
    assert mariadb.exists(name)


def test_a_second_restore_into_the_same_database_is_told_to_wait(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    first, second = target(mariadb, name), target(mariadb, name)
    first.prepare(wares_dump.facts)
    with pytest.raises(Busy, match="another restore"):
        second.prepare(wares_dump.facts)
    assert ["drorch_unfinished_restore"] in mariadb.ask("SHOW TABLES", database=name)
    first.abandon()


def test_a_statement_that_fails_fails_the_load_and_nothing_becomes_real(
    mariadb: RunningMariadb, wares_dump: Dump, name: str
) -> None:
    into = target(mariadb, name)
    into.prepare(wares_dump.facts)
    with pytest.raises(DrorchError, match="1064"):
        given(into, {"data.sql": b"CREATE TABLE a (b INT);\nNO SUCH WORD;\n" + b"CREATE TABLE c (b INT);\n" * 100_000})
    with pytest.raises(Refused, match="nothing was loaded"):
        into.complete()
    into.abandon()
    assert not mariadb.exists(name)


def test_a_dump_cannot_run_commands_of_this_machine(
    mariadb: RunningMariadb, wares_dump: Dump, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    witness = tmp_path_factory.mktemp("shell") / "was-here"
    into = target(mariadb, name)
    into.prepare(wares_dump.facts)
    with pytest.raises(DrorchError):
        given(into, {"data.sql": f"\n\\! touch {witness}\nCREATE TABLE a (b INT);\n".encode()})
    into.abandon()
    assert not witness.exists()


def test_a_dump_of_a_newer_server_or_of_mysql_is_refused(mariadb: RunningMariadb, wares_dump: Dump, name: str) -> None:
    with pytest.raises(Refused, match=r"mariadb.* of version 99\.1 or newer is needed to load what version 99\.1"):
        target(mariadb, name).prepare(wares_dump.facts | {"client_version": "99.1.2"})
    with pytest.raises(Refused, match="too old for this dump"):
        target(mariadb, name).prepare(wares_dump.facts | {"server_version": "99.1.2-MariaDB"})
    with pytest.raises(Refused, match="a dump of 'mysql', not of mariadb"):
        target(mariadb, name).prepare(wares_dump.facts | {"engine": "mysql"})
    assert not mariadb.exists(name)


def test_an_unknown_collation_falls_back_with_a_note(mariadb: RunningMariadb, wares_dump: Dump, name: str) -> None:
    into = target(mariadb, name)
    into.prepare(wares_dump.facts | {"collation": "utf8mb4_0900_ai_ci"})
    given(into, {"data.sql": wares_dump.artefacts["data.sql"]})
    assert any("does not know the collation utf8mb4_0900_ai_ci" in note for note in into.complete())


# --- probes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(mariadb: RunningMariadb, wares_dump: Dump) -> Iterator[RestoreTarget]:
    into = target(mariadb, "probed")
    into.prepare(wares_dump.facts)
    given(into, {"data.sql": wares_dump.artefacts["data.sql"]})
    yield into
    into.abandon()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("select count(*) from item", "506"),
        ("select 1.50", "1.50"),
        ("select max(price) from empty, item", "None"),
        ("select '007'", "007"),
        ("select name from item where name like 'it''s%'", "it's a \\ (b),(c);\nline 2"),
        ("select timestamp'2026-11-20 09:15:00'", "2026-11-20 09:15:00+00:00"),
        ("select date'2026-11-20'", "2026-11-20"),
        ("select 1; -- ; drop table item", "1"),
    ],
)
def test_a_probe_answers_one_value(loaded: RestoreTarget, query: str, shown: str) -> None:
    assert str(loaded.probe(query)) == shown


@pytest.mark.parametrize(
    "query",
    [
        "select 1, 2",
        "select id from item",
        "select 1 from item where id = 0",
        "select 1; select 2",
        "delete from item",
        "drop table item",
        "\\! touch /tmp/x",
        "commit",
        "",
    ],
)
def test_a_probe_that_is_no_question_for_one_value_is_refused(loaded: RestoreTarget, query: str) -> None:
    with pytest.raises(Refused):
        loaded.probe(query)
    assert loaded.probe("select count(*) from item") == 506


# --- targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mariadb://h",
        "mariadb://h/",
        "mariadb://a,b/db",
        "mysql://h/db",
        "mariadb://h:0x/db",
        "mariadb://h/db?tls=maybe",
        "mariadb://h/db?sslmode=require",
        "mariadb:///db?password=geheim",
        "mariadb://h/db?socket=/s",
        "mariadb:///db?socket=s",
        "mariadb://h/d%0Ab",
        "mariadb://h/" + "x" * 65,
    ],
)
def test_a_target_that_makes_no_sense_is_a_usage_error(url: str) -> None:
    with pytest.raises(Usage) as caught:
        MariadbEngine().target(url, None, with_globals=False)
    assert "geheim" not in str(caught.value)


def test_the_password_comes_from_a_variable_or_a_file(mariadb: RunningMariadb, wares_dump: Dump, name: str) -> None:
    user = mariadb.user("ALL ON `back ``again`.*", PASSWORD)
    url = f"mariadb://{user}@localhost:{mariadb.port}/back%20%60again?tls=verify-full&ca={mariadb.ca}"
    engine = MariadbEngine()
    with pytest.raises(Refused, match="MYSQL_PWD or --into-password-file"):
        engine.target(url, None, with_globals=False).prepare(wares_dump.facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSQL_PWD", PASSWORD)
        from_variable = engine.target(url, None, with_globals=False)
    for into in (from_variable, engine.target(url, PASSWORD, with_globals=False)):
        into.prepare(wares_dump.facts)
        assert set(into.versions) == {"mariadb", "mariadbd"}
        into.abandon()
