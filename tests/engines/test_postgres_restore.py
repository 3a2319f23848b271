"""Restores into real servers: everything comes back, nothing that exists is touched, a failure can be repeated."""

from __future__ import annotations

import os
import signal

import pgshop
import pytest
from pgservers import Running, given
from pgshop import Dump, dump, names, restore, target

from drorch.domain.errors import AlreadyExists, Busy, Damaged, DrorchError, Refused, Unavailable
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.databases import temporary_name
from drorch.ports import BearsMark


def test_every_row_and_definition_comes_back_in_a_database_that_did_not_exist(
    old: Running, shop: str, dumped: Dump
) -> None:
    notes = restore(old, "back%20one", dumped)
    assert notes == ()
    assert pgshop.contents(old, "back one") == pgshop.contents(old, shop)
    assert old.value("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'back one'") is None
    assert old.value("SELECT count(*) > 0 FROM pg_statistic", "back one") is True
    assert temporary_name("back one") not in names(old)


def test_a_newer_server_takes_an_older_dump(old: Running, new: Running, shop: str, dumped: Dump) -> None:
    restore(new, "from_old", dumped)
    assert pgshop.contents(new, "from_old") == pgshop.contents(old, shop)


def test_an_empty_database_that_exists_is_loaded_in_one_transaction(old: Running, shop: str, dumped: Dump) -> None:
    database = old.database()
    old.run("CREATE EXTENSION hstore", database=database)
    restore(old, database, dumped)
    assert pgshop.contents(old, database) == pgshop.contents(old, shop)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a int)",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE e AS ENUM ('a')",
        "SELECT lo_create(5)",
    ],
)
def test_a_target_that_holds_anything_is_refused_and_left_as_it_was(old: Running, dumped: Dump, statement: str) -> None:
    database = old.database()
    old.run(statement, database=database)
    with pytest.raises(AlreadyExists, match="not empty") as caught:
        target(old, database).prepare(dumped.facts)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert temporary_name(database) not in names(old)


def test_an_older_server_is_refused(old: Running, new: Running) -> None:
    database = new.database()
    fresh = dump(new, database)
    with pytest.raises(Refused, match="too old") as caught:
        target(old, "never").prepare(fresh.facts)
    assert f"PostgreSQL {new.major}" in caught.value.hint
    assert "never" not in names(old)


def test_a_dump_by_a_newer_client_needs_a_server_that_its_pg_restore_can_load(
    old: Running, new: Running, dumped: Dump
) -> None:
    """pg_restore 17 sets transaction_timeout, which a server of 15 does not know."""
    facts = {**dumped.facts, "client_version": str(new.major)}
    with pytest.raises(Refused, match="too old"):
        PostgresEngine([new.binaries]).target(old.url("never"), None, with_globals=False).prepare(facts)


def test_a_client_that_is_older_than_the_dump_is_refused(
    old: Running, new: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    facts = {"engine": "postgres", "server_version": "18.1", "server_version_num": 180001, "client_version": "18.1"}
    with pytest.raises(Refused, match="18 or newer"):
        PostgresEngine([old.binaries]).target(new.url("never"), None, with_globals=False).prepare(facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"engine": "memory"},
        {},
        {"engine": "postgres"},
        {"engine": "postgres", "server_version": "15", "server_version_num": "many", "client_version": "15"},
        {"engine": "postgres", "server_version": "15", "server_version_num": 150000, "client_version": "new"},
        {
            "engine": "postgres",
            "server_version": "15",
            "server_version_num": 150000,
            "client_version": "15",
            "extensions": [1],
        },
    ],
)
def test_facts_that_cannot_be_read_are_refused(old: Running, facts: dict[str, object]) -> None:
    with pytest.raises(Refused):
        target(old, "never").prepare(facts)


def test_nothing_is_real_before_the_end_and_giving_up_leaves_nothing(old: Running, dumped: Dump) -> None:
    place = target(old, "unreal")
    place.prepare(dumped.facts)
    given(place, dumped.artefacts)
    assert "unreal" not in names(old)
    assert temporary_name("unreal") in names(old)
    place.abandon()
    place.abandon()
    assert not {"unreal", temporary_name("unreal")} & names(old)


def test_completing_without_data_is_refused(old: Running, dumped: Dump) -> None:
    place = target(old, "hollow")
    place.prepare(dumped.facts)
    with pytest.raises(Refused, match="nothing was loaded"):
        place.complete()
    place.abandon()
    assert "hollow" not in names(old)


@pytest.mark.parametrize("exists", [False, True])
def test_a_truncated_dump_is_an_error_and_leaves_no_row(old: Running, dumped: Dump, exists: bool) -> None:
    database = old.database() if exists else "short"
    place = target(old, database)
    place.prepare(dumped.facts)
    cut = {"data.pgcustom": dumped.artefacts["data.pgcustom"][: len(dumped.artefacts["data.pgcustom"]) // 2]}
    with pytest.raises(DrorchError):
        given(place, cut)
    place.abandon()
    assert temporary_name("short") not in names(old)
    if exists:
        assert old.value("SELECT count(*) FROM pg_class WHERE relname = 'customer'", database) == 0
        restore(old, database, dumped)


@pytest.mark.parametrize("body", [b"", b"PGDMP", b"no archive at all" * 10_000])
def test_what_is_no_archive_is_damaged_and_never_reaches_the_database(old: Running, dumped: Dump, body: bytes) -> None:
    place = target(old, "garbage")
    place.prepare(dumped.facts)
    with pytest.raises(Damaged) as caught:
        given(place, {"data.pgcustom": body})
    assert caught.value.exit_code == 6
    place.abandon()


def test_an_archive_that_comes_byte_by_byte_is_loaded(old: Running) -> None:
    """The head is gathered whatever the size of the pieces."""
    database = old.database()
    old.run("CREATE TABLE t AS SELECT 42 AS a", database=database)
    small = dump(old, database)
    place = target(old, "small")
    place.prepare(small.facts)
    given(place, small.artefacts, chunk=7)
    assert place.probe("SELECT a FROM t") == 42
    place.complete()


def test_a_table_of_contents_beyond_the_first_try_is_waited_for(old: Running) -> None:
    database = old.database()
    with old.session(database) as session:
        session.execute(
            "DO $$ BEGIN FOR i IN 1..900 LOOP EXECUTE format('CREATE VIEW v%s AS SELECT %s AS some_column', i, i);"
            " END LOOP; END $$"
        )
    wide = dump(old, database)
    assert len(wide.artefacts["data.pgcustom"]) > 128 * 1024
    restore(old, "wide", wide)
    assert old.value("SELECT count(*) FROM pg_views WHERE schemaname = 'public'", "wide") == 900


def test_an_empty_database_is_dumped_and_restored(old: Running) -> None:
    restore(old, "nothing", dump(old, old.database()))
    assert "nothing" in names(old)


def test_a_pg_restore_that_is_killed_in_mid_load_is_an_error_and_the_command_can_be_repeated(
    old: Running, shop: str, dumped: Dump
) -> None:
    place = target(old, "again")
    place.prepare(dumped.facts)
    consumer = place.load("data.pgcustom")
    body = dumped.artefacts["data.pgcustom"]
    consumer.stdin.write(body[: len(body) // 2])
    os.kill(consumer._child.process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="signal 9"):
        consumer.finish()
    # drorch itself dies here: its sessions close, the marked remains stay.
    place._session.close()  # type: ignore[attr-defined]
    place._keeper.close()  # type: ignore[attr-defined]
    assert temporary_name("again") in names(old)
    restore(old, "again", dumped)
    assert pgshop.contents(old, "again") == pgshop.contents(old, shop)


def test_a_cancelled_load_is_an_error(old: Running, dumped: Dump) -> None:
    for started in (False, True):
        place = target(old, "cancelled")
        place.prepare(dumped.facts)
        consumer = place.load("data.pgcustom")
        consumer.stdin.write(dumped.artefacts["data.pgcustom"][: 200_000 if started else 10])
        consumer.kill()
        consumer.kill()
        with pytest.raises(Unavailable, match="cancelled"):
            consumer.finish()
        place.abandon()


def test_a_database_that_drorch_did_not_make_is_never_replaced(old: Running, dumped: Dump) -> None:
    """Only what bears the mark, or is empty, may be dropped under the temporary name."""
    taken_name = old.database(name=temporary_name("precious"))
    old.run("CREATE TABLE t (a int)", database=taken_name)
    with pytest.raises(AlreadyExists, match="did not make"):
        target(old, "precious").prepare(dumped.facts)
    assert old.value("SELECT count(*) FROM t", taken_name) == 0
    old.run("DROP TABLE t", database=taken_name)
    restore(old, "precious", dumped)


def test_a_target_that_appears_during_the_load_is_not_overwritten(old: Running, dumped: Dump) -> None:
    place = target(old, "race")
    place.prepare(dumped.facts)
    given(place, dumped.artefacts)
    old.database(name="race")
    with pytest.raises(AlreadyExists, match="appeared"):
        place.complete()
    place.abandon()
    assert temporary_name("race") not in names(old)


def test_two_restores_into_one_database_do_not_meet(old: Running, dumped: Dump) -> None:
    first, second = target(old, "meeting"), target(old, "meeting")
    first.prepare(dumped.facts)
    with pytest.raises(Busy, match="another restore"):
        second.prepare(dumped.facts)
    assert temporary_name("meeting") in names(old)
    first.abandon()
    second.prepare(dumped.facts)
    second.abandon()


def test_a_temporary_name_fits_postgresql_whatever_the_target_is_called() -> None:
    assert temporary_name("orders") == "orders.drorch-restore"
    assert len(temporary_name("ü" * 40).encode()) <= 63
    assert temporary_name("x" * 63).endswith(".drorch-restore")


def test_a_database_says_which_point_it_holds_for_as_long_as_it_holds_anything(
    old: Running, shop: str, dumped: Dump
) -> None:
    assert asked(old, "marked").left() == ""
    load_marked(old, "marked", dumped, "shop/orders/p1")
    assert asked(old, "marked").left() == "shop/orders/p1"
    assert pgshop.contents(old, "marked") == pgshop.contents(old, shop)
    assert temporary_name("marked") not in names(old)


def test_an_empty_database_that_exists_is_marked_and_a_mark_without_data_counts_for_nothing(
    old: Running, dumped: Dump
) -> None:
    database = old.database()
    old.run(f"COMMENT ON DATABASE {database} IS 'drorch: restored shop/orders/p0'")
    assert asked(old, database).left() == ""
    assert load_marked(old, database, dumped, "shop/orders/p1") == ()
    assert asked(old, database).left() == "shop/orders/p1"


def test_a_comment_of_somebody_else_is_left_alone_and_that_is_told(old: Running, dumped: Dump) -> None:
    database = old.database()
    old.run(f"COMMENT ON DATABASE {database} IS 'ask payments first'")
    (note,) = load_marked(old, database, dumped, "shop/orders/p1")
    assert "the database has a comment already" in note
    here = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    assert old.value(here, database) == "ask payments first"
    assert asked(old, database).left() == ""


def asked(server: Running, database: str) -> BearsMark:
    found = target(server, database)
    assert isinstance(found, BearsMark)
    return found


def load_marked(server: Running, database: str, of: Dump, mark: str) -> tuple[str, ...]:
    into = target(server, database)
    assert isinstance(into, BearsMark)
    into.leave(mark)
    into.prepare(of.facts)
    given(into, of.artefacts)
    return into.complete()
