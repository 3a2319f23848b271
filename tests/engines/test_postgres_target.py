"""What surrounds the rows of a restore: settings, locales, roles, passwords; and the questions asked of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from pgservers import Running, given
from pgshop import Dump, dump, restore, target

from drorch.domain.errors import Refused
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.databases import temporary_name
from drorch.ports import Inventory


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
