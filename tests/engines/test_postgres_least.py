"""A role without superuser, as managed services give it: dump, drill and restore work and say what they leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pgshop
import pytest
from pgservers import WHEEL, Running, given, taken

from drorch.domain.errors import Refused
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.archive import TargetRules, arrange
from drorch.engines.postgres.roles import create_missing
from drorch.ports import Inventory


@dataclass
class Managed:
    """A database of role `master`; the provider's superuser owns two extensions in it, one with rows nobody may see."""

    server: Running
    database: str
    facts: Mapping[str, object]
    artefacts: dict[str, bytes]
    inventory: Inventory


@pytest.fixture(scope="module")
def managed(old: Running) -> Managed:
    old.role("LOGIN CREATEDB CREATEROLE", name="master")
    old.role("LOGIN", name="app")
    old.run("GRANT app TO master WITH ADMIN OPTION")
    database = old.database(owner="master", name="managed")
    old.run(
        "CREATE SCHEMA provider",
        "CREATE EXTENSION dblink SCHEMA provider",
        "CREATE EXTENSION hstore",
        # As pg_cron's table of jobs: configuration of an extension, under row-level security.
        "CREATE TABLE provider.job (id int, who text DEFAULT current_user)",
        "INSERT INTO provider.job VALUES (1, 'provider')",
        "ALTER TABLE provider.job ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON provider.job USING (who = current_user)",
        "ALTER EXTENSION dblink ADD TABLE provider.job",
        "UPDATE pg_extension SET extconfig = ARRAY['provider.job'::regclass::oid], extcondition = ARRAY['']"
        " WHERE extname = 'dblink'",
        "GRANT USAGE ON SCHEMA provider TO master",
        "GRANT SELECT ON provider.job TO master",
        database=database,
    )
    old.run("CREATE TABLE public.labels (h hstore)", "GRANT ALL ON public.labels TO master", database=database)
    old.run("INSERT INTO public.labels VALUES ('a=>1')", database=database)
    old.run("ALTER TABLE public.labels OWNER TO master", database=database)
    pgshop.fill(old, database, user="master")
    old.run("GRANT SELECT ON shop.orders TO app", database=database, user="master")
    with PostgresEngine().dump(old.options(database, "master"), {}, "exact") as session:
        return Managed(old, database, session.facts, taken(session), session.inventory())


def test_unreadable_passwords_are_left_out_and_listed(managed: Managed) -> None:
    assert managed.facts["is_superuser"] is False
    assert {"app", "master", "postgres"} <= set(managed.facts["roles_without_password"])  # type: ignore[call-overload]
    assert b"CREATE ROLE app" in managed.artefacts["globals.sql"]
    assert b"PASSWORD" not in managed.artefacts["globals.sql"]


def test_rows_of_a_providers_extension_that_are_hidden_do_not_fail_the_dump_and_are_named(managed: Managed) -> None:
    assert managed.facts["not_dumped"] == ["provider.job"]
    assert "--exclude-table-data=provider.job" in managed.facts["flags"]  # type: ignore[operator]
    assert "provider.job" not in managed.inventory.tables


def test_a_drill_in_a_private_server_loads_it_as_no_superuser(managed: Managed) -> None:
    with PostgresEngine().scratch(None, {}) as place:
        place.prepare(managed.facts)
        notes = given(place, managed.artefacts)
        assert place.inventory(managed.inventory).tables == managed.inventory.tables
        assert place.probe("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        assert place.probe("SELECT count(*) FROM pg_extension WHERE extname IN ('dblink', 'hstore')") == 2
        assert place.probe("SELECT h -> 'a' FROM labels") == "1"
        assert place.probe("SELECT count(*) FROM pg_roles WHERE rolname = 'app'") == 1
    assert any("dblink" in note and "superuser" in note for note in notes)


def test_a_restore_by_such_a_role_keeps_all_data_and_names_what_it_leaves_out(managed: Managed) -> None:
    server = managed.server
    place = PostgresEngine().target(server.url("restored", "master"), None, with_globals=False)
    place.prepare(managed.facts)
    notes = given(place, managed.artefacts)
    assert place.inventory(managed.inventory).tables == managed.inventory.tables
    final = " ".join(place.complete())
    text = " ".join(notes)
    assert "dblink" in text
    assert "master is no superuser" in text
    assert "provider.job" in final
    assert "app" in final, "the role without password is named"
    before = pgshop.contents(server, managed.database)
    assert pgshop.contents(server, "restored", "master") == before
    owner = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'restored'"
    assert server.value(owner) == "master"
    acl = "SELECT relacl::text FROM pg_class WHERE oid = 'shop.orders'::regclass"
    assert "app=r/master" in str(server.value(acl, "restored"))


def test_a_role_that_may_not_create_databases_is_told_what_to_do(managed: Managed) -> None:
    plain = managed.server.role()
    with pytest.raises(Refused, match="may not create databases") as caught:
        PostgresEngine().target(managed.server.url("none", plain), None, with_globals=False).prepare(managed.facts)
    assert "CREATEDB" in caught.value.hint
    database = managed.server.database(owner=plain)
    place = PostgresEngine().target(managed.server.url(database, plain), None, with_globals=False)
    place.prepare(managed.facts)
    given(place, managed.artefacts)
    assert place.inventory(managed.inventory).tables == managed.inventory.tables
    place.complete()


def test_an_extension_that_data_depend_on_and_the_target_lacks_is_named_in_the_error(
    managed: Managed, new: Running
) -> None:
    place = PostgresEngine([WHEEL]).target(new.url("lacking"), None, with_globals=False)
    facts = dict(managed.facts)
    facts["extensions"] = [
        {"name": "no_such_extension", "version": "1", "schema": "public", "tables": []},
        *managed.facts["extensions"],  # type: ignore[misc]
    ]
    place.prepare(facts)
    notes = " ".join(given(place, managed.artefacts))
    assert "no_such_extension" in notes
    place.abandon()


@pytest.fixture
def grantor(new: Running) -> Iterator[str]:
    yield new.role("LOGIN CREATEROLE", name="grantor")
    new.run("DROP ROLE clerk", "DROP ROLE boss", "DROP ROLE grantor")


def test_attributes_that_only_a_superuser_can_give_are_left_out_and_noted(new: Running, grantor: str) -> None:
    script = (
        "CREATE ROLE boss;\nALTER ROLE boss WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION"
        " BYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAA:BBBB';\n"
        "CREATE ROLE clerk;\nALTER ROLE clerk WITH NOSUPERUSER LOGIN NOREPLICATION NOBYPASSRLS;\n"
        "GRANT boss TO clerk WITH INHERIT TRUE GRANTED BY nobody_here;\nGRANT postgres TO clerk;\n"
    )
    with new.session("postgres", grantor) as session:
        report = create_missing(session, script)
    assert report.created == ["boss", "clerk"]
    assert "boss was created without SUPERUSER, BYPASSRLS" in report.notes[0]
    assert "not made a member of postgres" in report.notes[1]
    assert "SCRAM" not in str(report)
    query = "SELECT rolsuper::text || rolcanlogin::text FROM pg_roles WHERE rolname = '{}'"
    assert new.value(query.format("boss")) == "falsetrue"
    assert new.value("SELECT pg_has_role('clerk', 'boss', 'member')") is True


ENTRIES = (
    "1; 1 1 EXTENSION - hstore ",
    "2; 0 0 COMMENT - EXTENSION hstore ",
    "3; 1 1 SCHEMA - ext owner",
    "4; 1 1 TABLE DATA ext conf owner",
    "5; 1 1 TABLE DATA public ext conf",
    "6; 1 1 ACL public TABLE t owner",
    "7; 1 1 DEFAULT ACL - DEFAULT PRIVILEGES FOR TABLES owner",
    "8; 1 1 MATERIALIZED VIEW DATA public mv owner",
    "9; 1 1 EVENT TRIGGER - et owner",
    "10; 1 1 PUBLICATION - p owner",
    "11; 1 1 SUBSCRIPTION - s owner",
    "12; 1 1 DATABASE - d owner",
    "13; 0 0 DATABASE PROPERTIES - d owner",
    "14; 0 0 ACL - DATABASE d owner",
    "15; 0 0 COMMENT - SCHEMA public owner",
)


@pytest.mark.parametrize(
    ("rules", "loaded", "deferred"),
    [
        (TargetRules(superuser=True), "1 2 3 4 5 6 7 8 9 10 15", "14"),
        (TargetRules(superuser=False, own_roles=False), "1 3 4 5 8", "6 7 14 15"),
        (TargetRules(superuser=True, own_roles=False, refresh_later=True), "1 2 3 4 5 9 10 15", "6 7 8 14"),
        (
            TargetRules(
                superuser=True,
                extensions_left_out=frozenset({"hstore"}),
                tables_left_out=frozenset({("ext", "conf")}),
                schemas_present=frozenset({"ext"}),
            ),
            "5 6 7 8 9 10 15",
            "14",
        ),
    ],
)
def test_the_table_of_contents_is_sorted_by_what_the_target_can_take(
    rules: TargetRules, loaded: str, deferred: str
) -> None:
    """Nothing is lost without a note but what has its own place: comments of extensions, the database itself."""
    found = arrange(ENTRIES, rules)
    assert [line.split(";")[0] for line in found.listing] == loaded.split()
    assert [line.split(";")[0] for line in found.deferred] == deferred.split()
    assert any("subscriptions" in note for note in found.notes)
    assert any("EVENT TRIGGER" in note for note in found.notes) is not rules.superuser
