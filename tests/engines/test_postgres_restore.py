"""Restores into real servers: everything comes back, nothing that exists is touched, a failure can be repeated."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pgshop
import pytest
from pgservers import WHEEL, Running, given, taken

from drorch.domain.errors import AlreadyExists, Busy, Damaged, DrorchError, Refused, Unavailable
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.databases import temporary_name
from drorch.ports import Inventory, RestoreTarget


@dataclass
class Dump:
    """One dump, whole."""

    facts: Mapping[str, object]
    artefacts: dict[str, bytes]
    inventory: Inventory


def dump(server: Running, database: str, user: str = "postgres") -> Dump:
    with PostgresEngine([WHEEL]).dump(server.options(database, user), {}, "exact") as session:
        return Dump(session.facts, taken(session), session.inventory())


@pytest.fixture(scope="module")
def shop(old: Running) -> str:
    database = old.database(name="The Shöp %x")
    pgshop.fill(old, database)
    return database


@pytest.fixture(scope="module")
def dumped(old: Running, shop: str) -> Dump:
    return dump(old, shop)


def target(server: Running, database: str, user: str = "postgres", *, with_globals: bool = False) -> RestoreTarget:
    return PostgresEngine([WHEEL]).target(server.url(database, user), None, with_globals=with_globals)


def restore(server: Running, database: str, dumped: Dump, **more: object) -> tuple[str, ...]:
    place = target(server, database, **more)  # type: ignore[arg-type]
    place.prepare(dumped.facts)
    notes = given(place, dumped.artefacts)
    assert place.inventory(dumped.inventory).tables == {
        name: count for name, count in dumped.inventory.tables.items() if count is not None
    }
    return (*notes, *place.complete())


def names(server: Running) -> set[object]:
    with server.session() as session:
        return {row[0] for row in session.execute("SELECT datname::text FROM pg_database")}


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


def test_settings_and_privileges_of_the_database_itself_come_along(old: Running) -> None:
    database, role = old.database(), old.role()
    old.run(
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (a int)",
        "INSERT INTO app.t VALUES (7)",
        f"ALTER DATABASE {database} SET search_path = app, public",
        f"ALTER DATABASE {database} SET app.motto = 'it''s, fine'",
        f"ALTER ROLE {role} IN DATABASE {database} SET work_mem = '5MB'",
        f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"ALTER DATABASE {database} OWNER TO {role}",
        database=database,
    )
    restored = dump(old, database)
    assert "motto" not in str(restored.facts)
    place = target(old, "settings")
    place.prepare(restored.facts)
    given(place, restored.artefacts)
    assert place.probe("SELECT a FROM t") == 7
    place.complete()
    query = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{}'"
    for name in (database, "settings"):
        assert old.value(query.format(name) + " AND setrole = 0") == ["search_path=app, public", "app.motto=it's, fine"]
        assert old.value(query.format(name) + " AND setrole <> 0") == ["work_mem=5MB"]
    acl = "SELECT array_agg(a::text ORDER BY a::text) FROM pg_database, unnest(datacl) a WHERE datname = '{}'"
    assert old.value(acl.format("settings")) == old.value(acl.format(database))
    owner = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'settings'"
    assert old.value(owner) == role


def test_a_database_of_another_encoding_keeps_its_names_and_privileges(old: Running) -> None:
    role = old.role(name="miller")
    old.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    old.run(
        'CREATE TABLE "größe" (a text)',
        "INSERT INTO \"größe\" VALUES ('süß')",
        f'GRANT SELECT ON "größe" TO "{role}"',
        'GRANT INSERT ON "größe" TO PUBLIC',
        "CREATE ROLE passing",
        'GRANT SELECT ON "größe" TO passing',
        database="latin",
    )
    restored = dump(old, "latin")
    old.run("DROP OWNED BY passing", "DROP ROLE passing", database="latin")
    notes = restore(old, "latin2", restored)
    assert "passing" in " ".join(notes)
    acl = "SELECT relacl::text FROM pg_class WHERE relname = 'größe'"
    assert old.value(acl, "latin2") == old.value(acl, "latin")
    assert old.value('SELECT a FROM "größe"', "latin2") == "süß"
    assert old.value("SHOW server_encoding", "latin2") == "LATIN1"


def test_a_locale_that_is_not_here_is_replaced_and_noted(old: Running, dumped: Dump) -> None:
    locale = {"encoding": "UTF8", "collate": "xx_YY.utf8", "ctype": "xx_YY.utf8", "provider": "c", "locale": ""}
    place = target(old, "elsewhere")
    place.prepare({**dumped.facts, "locale": locale})
    given(place, dumped.artefacts)
    assert any("locale" in note for note in place.complete())
    assert old.value("SHOW server_encoding", "elsewhere") == "UTF8"


def test_a_builtin_locale_is_kept(new: Running) -> None:
    new.run("CREATE DATABASE built TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
    restore(new, "built2", dump(new, "built"))
    query = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = '{}'"
    assert new.value(query.format("built2")) == new.value(query.format("built")) == "bC.UTF-8"


def test_without_globals_missing_roles_are_named_and_the_other_privileges_kept(old: Running, new: Running) -> None:
    """The target lacks two roles: the load succeeds, says so, and grants what it can."""
    for server in (old, new):
        server.role(name="stays")
    old.role(name="leaves")
    database = old.database()
    old.run(
        "CREATE TABLE t (a int)",
        "ALTER TABLE t OWNER TO leaves",
        "CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM t",
        "ALTER MATERIALIZED VIEW v OWNER TO leaves",
        "GRANT SELECT ON t TO stays",
        database=database,
    )
    restored = dump(old, database)
    notes = " ".join(restore(new, "fewer", restored))
    assert "leaves" in notes
    assert "--globals" in notes
    assert new.value("SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 't'", "fewer") == "postgres"
    assert "stays=r/" in str(new.value("SELECT relacl::text FROM pg_class WHERE relname = 't'", "fewer"))
    assert new.value("SELECT count(*) FROM pg_roles WHERE rolname = 'leaves'") == 0


def test_with_globals_missing_roles_are_made_and_present_ones_left_alone(old: Running, new: Running) -> None:
    with old.session() as session:
        session.execute("CREATE ROLE made LOGIN PASSWORD 'verify me' CONNECTION LIMIT 5")
    old.run("CREATE ROLE grp", "GRANT grp TO made", "ALTER ROLE made SET work_mem = '7MB'", "CREATE ROLE kept LOGIN")
    new.run("CREATE ROLE kept NOLOGIN")
    database = old.database()
    old.run("CREATE TABLE t (a int)", "ALTER TABLE t OWNER TO made", "GRANT SELECT ON t TO kept", database=database)
    notes = " ".join(restore(new, "with_roles", dump(old, database), with_globals=True))
    assert "made" in notes
    assert new.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'kept'") is False
    row = (
        "SELECT rolconnlimit::text || rolconfig::text || rolpassword FROM pg_authid a LEFT JOIN LATERAL ({}) c ON true"
    )
    config = "SELECT setconfig AS rolconfig FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0"
    query = row.format(config) + " WHERE rolname = 'made'"
    assert new.value(query) == old.value(query)
    assert new.value("SELECT pg_has_role('made', 'grp', 'member')") is True
    assert new.value("SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 't'", "with_roles") == "made"


def test_the_script_of_the_roles_runs_nothing_else(old: Running, dumped: Dump) -> None:
    """Meta-commands of psql and foreign statements in it are data, not commands."""
    script = (
        b"\\restrict abc\n\\! touch /tmp/never\nCREATE TABLE evil (a int);\nDROP DATABASE postgres;\n"
        b'SELECT pg_sleep(100);\nCREATE ROLE "semi;colon";\nALTER ROLE "semi;colon" WITH LOGIN;\n'
        b"ALTER ROLE postgres WITH NOSUPERUSER;\nGRANT pg_read_all_data TO postgres;\n\\unrestrict abc\n"
    )
    place = target(old, "roles", with_globals=True)
    place.prepare(dumped.facts)
    assert given(place, {"globals.sql": script}) == ["roles created: semi;colon"]
    place.abandon()
    assert old.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'semi;colon'") is True
    assert old.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'") is True
    assert old.value("SELECT to_regclass('evil') IS NULL") is True


def test_a_subscription_is_never_restored(old: Running) -> None:
    database = old.database()
    with old.session(database) as session:
        session.execute("CREATE TABLE t (a int)")
        session.execute("CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p WITH (connect = false)")
    notes = restore(old, "subscriber", dump(old, database))
    assert "subscription" in " ".join(notes)
    assert (
        old.value(
            "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = 'subscriber'"
        )
        == 0
    )


def test_a_password_from_the_environment_or_a_passfile_reaches_pg_restore(
    old: Running, dumped: Dump, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with old.session() as session:
        session.execute("CREATE ROLE loader LOGIN SUPERUSER PASSWORD 'word'")
    url = f"postgresql://loader@127.0.0.1:{old.server.port}/by_tcp"
    place = PostgresEngine().target(url, None, with_globals=False)
    with pytest.raises(Refused, match="let us in"):
        place.prepare(dumped.facts)
    passfile = f"{tmp_path}/pgpass"
    with open(os.open(passfile, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:  # noqa: PTH123
        file.write(f"127.0.0.1:{old.server.port}:*:loader:word\n")
    for name, value, password in (("PGPASSWORD", "word", None), ("PGPASSFILE", passfile, None), ("X", "y", "word")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            place = PostgresEngine().target(url, password, with_globals=False)
            place.prepare(dumped.facts)
            given(place, dumped.artefacts)
            place.abandon()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT count(*) FROM shop.orders", 3000),
        ("SELECT max(name) FROM shop.customer", "name 99"),
        ("SELECT timestamptz '2026-11-20 09:15:00+02'", datetime(2026, 11, 20, 7, 15, tzinfo=UTC)),
        ("SELECT NULL", None),
        ("SELECT true", True),
        ("SELECT ARRAY[1, 2]", "[1, 2]"),
        ("SELECT '100%s'", "100%s"),
    ],
)
def test_a_probe_answers_one_value(old: Running, shop: str, query: str, value: object) -> None:
    assert target(old, shop.replace("%", "%25")).probe(query) == value


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1, 2",
        "SELECT generate_series(1, 2)",
        "SELECT 1 WHERE false",
        "DELETE FROM shop.orders",
        "SELECT * FROM no_such_table",
        "COMMIT",
        "COMMIT; DROP TABLE shop.orders",
        "",
        "not sql",
        "SELECT timestamp 'infinity'",
    ],
)
def test_a_probe_that_fails_writes_or_answers_more_is_refused(old: Running, shop: str, query: str) -> None:
    with pytest.raises(Refused):
        target(old, shop.replace("%", "%25")).probe(query)
    assert old.value("SELECT count(*) FROM shop.orders", shop) == 3000


def test_a_missing_table_has_no_count(old: Running, dumped: Dump) -> None:
    place = target(old, "count")
    place.prepare(dumped.facts)
    given(place, dumped.artefacts)
    old.run('DROP TABLE "empty"', database=temporary_name("count"))
    found = place.inventory(
        Inventory(
            {"public.empty": 0, "public.child": 2, "shop.orders": 9, "x": None}, estimated=frozenset({"shop.orders"})
        )
    )
    assert found.tables == {"public.child": 2}
    place.abandon()
