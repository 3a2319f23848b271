"""Dumps from real servers: the snapshot, what is refused before pg_dump runs, and how failures are told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pgservers import PASSWORD, Running, free_port, running, taken

from drorch.domain.errors import Busy, NotFound, Refused, Unavailable
from drorch.engines.postgres import Connection, Options, PostgresEngine
from drorch.engines.postgres.connection import connect, translate
from drorch.engines.postgres.place import Place
from drorch.engines.postgres.server import PrivateServer
from drorch.ports import Producer

SECRETS = {"pw": PASSWORD}


def test_data_and_inventory_come_from_one_snapshot(old: Running) -> None:
    """Rows that arrive after the cut are neither dumped nor counted; the cut's instant is the server's."""
    database = old.database()
    old.run("CREATE TABLE t AS SELECT 'before' AS word", database=database)
    before = old.value("SELECT date_trunc('second', now())")
    with PostgresEngine().dump(old.options(database), {}, "exact") as session:
        old.run("INSERT INTO t VALUES ('after')", "CREATE TABLE late (a int)", database=database)
        after = old.value("SELECT now()")
        artefacts = taken(session)
        inventory = session.inventory()
        assert before <= session.cut_at <= after  # type: ignore[operator]
        assert session.cut_at.microsecond == 0
    assert b"before" in artefacts["data.pgcustom"]
    assert b"after" not in artefacts["data.pgcustom"]
    assert inventory.tables == {"public.t": 1}


def test_the_artefacts_are_an_archive_without_compression_and_the_roles(old: Running, shop: str) -> None:
    with PostgresEngine().dump(old.options(shop), {}, "off") as session:
        artefacts = taken(session)
        assert session.inventory().tables == {}
    assert list(artefacts) == ["data.pgcustom", "globals.sql"]
    assert artefacts["data.pgcustom"].startswith(b"PGDMP")
    assert b"name 499" in artefacts["data.pgcustom"]
    assert b"CREATE ROLE postgres" in artefacts["globals.sql"]


def test_the_facts_say_what_a_restore_must_know(old: Running, shop: str) -> None:
    role = old.role("LOGIN")
    old.run(f"GRANT SELECT ON shop.orders TO {role}", database=shop)
    with PostgresEngine().dump(old.options(shop), {}, "off") as session:
        facts = json.loads(json.dumps(session.facts))
    assert facts["engine"] == "postgres"
    assert facts["server_version"].startswith(str(old.major))
    assert facts["server_version_num"] // 10000 == old.major
    assert facts["client_version"].startswith(str(old.major))
    assert facts["identity"].isdecimal()
    assert facts["locale"]["encoding"] == "UTF8"
    assert facts["owners"] == ["postgres"]
    assert role in facts["grantees"]
    assert facts["roles_without_password"] == []
    assert facts["is_superuser"] is True
    assert "--compress=0" in facts["flags"]


def test_the_inventory_counts_every_table_by_itself(old: Running, shop: str) -> None:
    with PostgresEngine().dump(old.options(shop), {}, "exact") as session:
        inventory = session.inventory()
    assert inventory.tables == {
        "shop.customer": 500,
        "shop.orders": 3000,
        "shop.event_2025": 213,
        "shop.event_2026": 187,
        "public.parent": 1,
        "public.child": 2,
        'public."weird Näme.x"': 4,
        "public.empty": 0,
    }
    assert inventory.estimated == frozenset()
    assert inventory.bytes > 1_000_000
    assert inventory.details["large_objects"] == 2
    assert inventory.details["views"] == 2


def test_beyond_the_budget_counts_are_estimates_and_marked_so(old: Running, shop: str) -> None:
    old.run("ANALYZE", database=shop)
    engine = PostgresEngine(inventory_budget=timedelta())
    with engine.dump(old.options(shop), {}, "exact") as session:
        inventory = session.inventory()
    assert inventory.estimated == frozenset(inventory.tables)
    assert inventory.tables["shop.orders"] == 3000
    with PostgresEngine().dump(old.options(shop), {}, "estimate") as session:
        assert session.inventory().estimated == frozenset(inventory.tables)


def test_a_table_that_is_locked_after_the_dump_is_estimated_and_costs_nothing_else(old: Running) -> None:
    database = old.database()
    old.run("CREATE TABLE a (i int)", "CREATE TABLE b (i int)", "INSERT INTO b VALUES (1)", database=database)
    engine = PostgresEngine(lock_timeout=timedelta(milliseconds=100))
    with engine.dump(old.options(database), {}, "exact") as session, old.session(database) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE a")
        inventory = session.inventory()
    assert inventory.estimated == {"public.a"}
    assert inventory.tables["public.b"] == 1


def test_a_dump_does_not_queue_behind_a_lock(old: Running) -> None:
    """Another session holds a table: the dump gives up at its time limit, as something that waiting cures."""
    database = old.database()
    old.run("CREATE TABLE t (a int)", database=database)
    engine = PostgresEngine(lock_timeout=timedelta(milliseconds=300))
    with old.session(database) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        with engine.dump(old.options(database), {}, "exact") as session:
            producer = session.artefacts()[0].open()
            producer.stdout.read()
            with pytest.raises(Busy, match="locks"):
                producer.finish()
        assert time.monotonic() - started < 5
        waiting = holder.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        assert waiting == (0,)


def test_a_pg_dump_that_is_killed_half_way_is_a_failure(old: Running) -> None:
    """Bytes came, the exit status says no: finish raises, so nothing may be committed."""
    database = old.database()
    old.run("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)", database=database)
    with PostgresEngine().dump(old.options(database), {}, "off") as session:
        producer = session.artefacts()[0].open()
        assert len(producer.stdout.read(100_000)) > 0
        os.kill(producer._child.process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        producer.stdout.read()
        with pytest.raises(Unavailable, match="signal 9"):
            producer.finish()
        producer.kill()


def test_a_backend_that_dies_half_way_is_a_failure(old: Running) -> None:
    database = old.database()
    old.run("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)", database=database)
    with PostgresEngine().dump(old.options(database), {}, "off") as session:
        producer = session.artefacts()[0].open()
        producer.stdout.read(100_000)
        with old.session() as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'COPY%%'",
                (database,),
            )
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable):
            producer.finish()


def test_leaving_the_session_ends_its_processes(old: Running) -> None:
    database = old.database()
    old.run("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)", database=database)
    with PostgresEngine().dump(old.options(database), {}, "off") as session:
        producer = session.artefacts()[0].open()
        child = producer._child.process  # type: ignore[attr-defined]
        assert child.poll() is None
    assert child.poll() is not None
    with pytest.raises(Unavailable, match="cancelled"):
        producer.finish()


def test_row_level_security_is_refused_by_name_before_anything_is_dumped(old: Running) -> None:
    role = old.role()
    database = old.database(owner=role)
    old.run(
        "CREATE TABLE public.hidden (a int)",
        "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON public.hidden TO {role}",
        "CREATE TABLE open (a int)",
        f"GRANT SELECT ON open TO {role}",
        database=database,
    )
    with (
        pytest.raises(Refused, match=r"row-level security hides rows of public\.hidden") as caught,
        PostgresEngine().dump(old.options(database, role), {}, "exact"),
    ):
        pass
    assert "BYPASSRLS" in caught.value.hint
    assert "open" not in str(caught.value)


def test_a_forced_policy_binds_the_owner_too_and_bypassrls_lifts_it(old: Running) -> None:
    role = old.role()
    database = old.database(owner=role)
    old.run("CREATE SCHEMA own", "CREATE TABLE own.t (a int)", database=database, user=role)
    old.run("ALTER TABLE own.t ENABLE ROW LEVEL SECURITY", database=database, user=role)
    with PostgresEngine().dump(old.options(database, role), {}, "exact") as session:
        taken(session)
    old.run("ALTER TABLE own.t FORCE ROW LEVEL SECURITY", database=database, user=role)
    with pytest.raises(Refused, match=r"own\.t"), PostgresEngine().dump(old.options(database, role), {}, "exact"):
        pass
    old.run(f"ALTER ROLE {role} BYPASSRLS")
    with PostgresEngine().dump(old.options(database, role), {}, "exact") as session:
        assert "own" in taken(session)["data.pgcustom"].decode("latin-1")


def test_tables_that_the_role_may_not_read_are_named(old: Running) -> None:
    role = old.role()
    database = old.database()
    old.run("CREATE TABLE secret (a int)", "CREATE SCHEMA s", "CREATE TABLE s.t (id serial)", database=database)
    old.run(f"GRANT SELECT ON s.t TO {role}", database=database)
    with (
        pytest.raises(Refused, match=r"may not read public\.secret, s\.t, s\.t_id_seq") as caught,
        PostgresEngine().dump(old.options(database, role), {}, "exact"),
    ):
        pass
    assert "pg_read_all_data" in caught.value.hint
    old.run(f"GRANT pg_read_all_data TO {role}")
    with PostgresEngine().dump(old.options(database, role), {}, "exact") as session:
        assert set(taken(session)) == {"data.pgcustom", "globals.sql"}


def test_large_objects_that_the_role_may_not_read_are_named(old: Running) -> None:
    role, owner, database = old.role(), old.role(), old.database()
    old.run(
        *(f"SELECT lo_from_bytea({number}, 'x')" for number in (4001, 4002, 4003, 4004)),
        f"ALTER LARGE OBJECT 4003 OWNER TO {owner}",
        f"GRANT {owner} TO {role}",
        f"GRANT pg_read_all_data TO {role}",
        "GRANT SELECT ON LARGE OBJECT 4004 TO PUBLIC",
        database=database,
    )
    with (
        pytest.raises(Refused, match=r"may not read large objects 4001, 4002 ") as caught,
        PostgresEngine().dump(old.options(database, role), {}, "exact"),
    ):
        pass
    assert "GRANT SELECT ON LARGE OBJECT 4001" in caught.value.hint
    old.run(f"GRANT SELECT ON LARGE OBJECT 4001, 4002 TO {role}", database=database)
    with PostgresEngine().dump(old.options(database, role), {}, "exact") as session:
        assert set(taken(session)) == {"data.pgcustom", "globals.sql"}
    with PostgresEngine().dump(old.options(database), {}, "exact") as session:
        assert set(taken(session)) == {"data.pgcustom", "globals.sql"}


def _tcp(server: Running, **more: object) -> Options:
    values = {"host": "localhost", "port": server.server.port, "database": "postgres", "user": "remote"}
    values["password"] = {"credential": "pw"}
    return Options(connection=Connection.model_validate(values | more))


@pytest.fixture(scope="module")
def remote(old: Running) -> Running:
    with old.session() as session:
        session.execute("CREATE ROLE remote LOGIN SUPERUSER PASSWORD " + psycopg.sql.quote(PASSWORD))
    return old


def test_a_password_with_every_awkward_character_works_over_verified_tls(remote: Running) -> None:
    options = _tcp(remote, tls="verify-full", ca=str(remote.ca))
    with PostgresEngine().dump(options, SECRETS, "exact") as session:
        assert taken(session)["data.pgcustom"].startswith(b"PGDMP")
        assert (
            remote.value(
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'remote'"
            )
            is True
        )


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"tls": "verify-full"}, "ca:"),
        ({"tls": "verify-full", "host": "127.0.0.1", "ca": "CA"}, "the server's certificate"),
        ({"tls": "verify-full", "ca": "/no/such/bundle"}, "ca:"),
    ],
)
def test_a_certificate_that_is_not_trusted_or_of_another_name_is_refused(
    remote: Running, more: dict[str, object], hint: str
) -> None:
    more = {key: str(remote.ca) if value == "CA" else value for key, value in more.items()}
    with (
        pytest.raises(Refused) as caught,
        PostgresEngine().dump(_tcp(remote, **more), SECRETS, "off"),
    ):
        pass
    assert hint in caught.value.hint, caught.value


def test_a_server_without_tls_is_refused_where_tls_is_wanted(new: Running) -> None:
    with (
        pytest.raises(Refused, match="SSL"),
        PostgresEngine().dump(_tcp(new, tls="require"), SECRETS, "off"),
    ):
        pass


def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(remote: Running) -> None:
    wrong = {"pw": "not-the-password"}
    with pytest.raises(Refused, match="password") as caught, PostgresEngine().dump(_tcp(remote), wrong, "off"):
        pass
    assert "not-the-password" not in str(caught.value)
    assert not isinstance(caught.value, NotFound)


def test_a_missing_password_is_hinted_at_where_it_belongs(remote: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    place = Place("localhost", remote.server.port, "postgres", "remote", "verify-full", ca=str(remote.ca))
    hints = {}
    for operation in ("dump", "restore"):
        with pytest.raises(Refused) as caught:
            connect(place, operation)
        hints[operation] = caught.value.hint
    assert "connection: password: {credential: NAME}" in hints["dump"]
    assert "PGPASSWORD" not in hints["dump"]
    assert "--into-password-file" in hints["restore"]
    assert "credential" not in hints["restore"]


def test_an_unknown_database_is_not_found_and_an_unknown_role_refused(old: Running) -> None:
    with pytest.raises(NotFound), PostgresEngine().dump(old.options("no such database"), {}, "off"):
        pass
    with pytest.raises(Refused, match="role"), PostgresEngine().dump(old.options("postgres", "nobody_here"), {}, "off"):
        pass


def test_a_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    for host in ("127.0.0.1", str(tmp_path)):
        options = Options(connection=Connection(host=host, port=free_port(), database="d", user="u"))
        with pytest.raises(Unavailable, match="cannot be reached"), PostgresEngine().dump(options, {}, "off"):
            pass


def test_a_server_that_is_newer_than_every_client_is_refused_before_it_is_asked_for_anything(
    new: Running, old: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Refused, match=f"{new.major} or newer") as caught:  # noqa: SIM117
        with PostgresEngine([old.binaries]).dump(new.options("postgres"), {}, "off"):
            pass
    assert f"{old.major}." in caught.value.cause


def test_a_newer_client_is_used_when_the_servers_own_is_not_installed(
    old: Running, new: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.postgres.clients._LAYOUTS", ())
    monkeypatch.setenv("PATH", "")
    with PostgresEngine([new.binaries]).dump(old.options("postgres"), {}, "off") as session:
        assert str(session.facts["client_version"]).startswith(str(new.major))
        assert taken(session)["data.pgcustom"].startswith(b"PGDMP")


def _errors(kind: type[psycopg.Error]) -> set[type[psycopg.Error]]:
    return {kind}.union(*(_errors(sub) for sub in kind.__subclasses__()))


def test_every_error_of_the_driver_becomes_one_of_ours() -> None:
    """Passing troubles are Unavailable, the rest is Refused; nothing of psycopg leaves the engine."""
    kinds = _errors(psycopg.Error)
    assert len(kinds) > 200
    found = {kind: type(translate(kind("text"), "dump", "db")) for kind in kinds}
    assert found[psycopg.errors.LockNotAvailable] is found[psycopg.errors.TooManyConnections] is Busy
    assert found[psycopg.errors.AdminShutdown] is found[psycopg.errors.DiskFull] is Unavailable
    assert found[psycopg.OperationalError] is found[psycopg.errors.SerializationFailure] is Unavailable
    assert found[psycopg.errors.InsufficientPrivilege] is found[psycopg.errors.UndefinedTable] is Refused
    assert found[psycopg.errors.InvalidCatalogName] is NotFound
    assert set(found.values()) == {Busy, Unavailable, Refused, NotFound}


class _Standby(PrivateServer):
    """A server whose data are a base backup of another one, which it follows."""

    primary: Running

    def _initdb(self) -> None:
        argv = [str(self.primary.binaries / "pg_basebackup"), f"--pgdata={self.data}", "--checkpoint=fast", "-R"]
        argv += [
            "-h",
            self.primary.socket,
            "-p",
            str(self.primary.server.port),
            "-U",
            "postgres",
            "--wal-method=stream",
        ]
        assert self._popen(argv).wait(60) == 0


def test_on_a_replica_the_cut_is_the_instant_of_the_last_transaction_replayed(old: Running, tmp_path: Path) -> None:
    settings = {"wal_level": "replica", "max_wal_senders": "4"}
    with running(old.binaries, settings) as primary:
        primary.run("CREATE TABLE t (a int)", "CREATE UNLOGGED TABLE u (a int)")
        folder = primary.server.folder.parent / "standby"
        primary.server.folder.parent.chmod(0o755)
        standby = _Standby(old.binaries, folder, {"port": str(free_port()), **settings, "max_connections": "40"})
        standby.primary = primary
        with standby:
            primary.run("INSERT INTO t VALUES (1)")
            follower = Running(standby, old.binaries, primary.ca, primary.major)
            deadline = time.monotonic() + 20
            while follower.value("SELECT count(*) FROM t") != 1 and time.monotonic() < deadline:
                pass
            replayed = follower.value("SELECT date_trunc('second', pg_last_xact_replay_timestamp())")
            with PostgresEngine().dump(follower.options("postgres"), {}, "exact") as session:
                assert session.cut_at == replayed
                assert taken(session)["data.pgcustom"].startswith(b"PGDMP")
                assert session.inventory().tables == {"public.t": 1}


# --- in others' way ---------------------------------------------------------------------------------------------------


def until(true: Callable[[], bool]) -> None:
    """Wait for it; an error after ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def altered(server: Running, database: str, while_dumping: Callable[[Producer], None], patience: float) -> float:
    """Somebody alters a table while a dump stands still in the middle of it: the seconds it took them."""
    server.run("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)", database=database)
    took: list[float] = []

    def alter() -> None:
        began = time.monotonic()
        server.run("ALTER TABLE t ADD COLUMN more int", database=database)
        took.append(time.monotonic() - began)

    engine = PostgresEngine(patience=timedelta(seconds=patience))
    with engine.dump(server.options(database), {}, "exact") as session:
        producer = session.artefacts()[0].open()
        producer.stdout.read(100)  # pg_dump holds its locks, and waits for somebody to take the rest
        altering = threading.Thread(target=alter)
        altering.start()
        try:
            while_dumping(producer)
            producer.finish()
        finally:
            producer.kill()
            altering.join(30)
    return took[0]


def test_a_dump_that_keeps_others_waiting_is_given_up(old: Running) -> None:
    database = old.database()
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 't'"

    def stand_still(_producer: Producer) -> None:
        until(lambda: old.value(columns, database=database) == 2)

    with pytest.raises(Busy, match=r"kept others waiting.*postgres \(pid \d+\) waited for its locks"):
        altered(old, database, stand_still, patience=0.6)


def test_who_waits_less_than_the_patience_waits_for_the_dump(old: Running) -> None:
    def go_on_when_somebody_waits(producer: Producer) -> None:
        until(lambda: old.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        producer.stdout.read()

    assert altered(old, old.database(), go_on_when_somebody_waits, patience=60) > 0
