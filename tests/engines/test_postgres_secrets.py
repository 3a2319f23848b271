"""No secret in the arguments or the environment of any child, at any time of a dump and a restore."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from children import Watch
from pgservers import PASSWORD, Running, taken

from drorch.engines.postgres import Connection, Options, PostgresEngine
from drorch.engines.postgres.child import environment, memory_file, passfile_line

ALLOWED = {"PATH", "HOME", "LANG", "LC_ALL", "PGPASSFILE"}


@contextmanager
def _user(server: Running) -> Iterator[Options]:
    with server.session() as session:
        session.execute("CREATE ROLE careful LOGIN SUPERUSER PASSWORD " + psycopg.sql.quote(PASSWORD))
    values = {"host": "127.0.0.1", "port": server.server.port, "database": server.database(), "user": "careful"}
    yield Options(connection=Connection.model_validate(values | {"password": {"credential": "pw"}}))
    server.run("DROP OWNED BY careful", "DROP ROLE careful")


def test_no_child_of_a_dump_or_a_restore_shows_the_password(old: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with _user(old) as options:
        rows = "CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)"
        old.run(rows, database=options.connection.database)
        engine = PostgresEngine()
        with Watch() as watch:
            with engine.dump(options, {"pw": PASSWORD}, "off") as session:
                artefacts = taken(session)
                facts = session.facts
            url = f"postgresql://careful@127.0.0.1:{old.server.port}/careful"
            place = engine.target(url, PASSWORD, with_globals=True)
            place.prepare(facts)
            for name in ("globals.sql", "data.pgcustom"):
                consumer = place.load(name)
                consumer.stdin.write(artefacts[name])
                consumer.finish()
            place.abandon()
        assert {"pg_dump", "pg_dumpall", "pg_restore"} <= set(watch.seen), watch.seen
        assert PASSWORD.encode() not in watch.text
        assert b"another-secret" not in watch.text
        for names in watch.seen.values():
            assert names <= ALLOWED | {"TZ"}, "private servers of other tests have a time zone"
        assert PASSWORD not in str(facts)


def test_a_childs_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("LD_PRELOAD", "/tmp/x.so")
    assert set(environment("/p")) == ALLOWED
    assert set(environment(None)) == ALLOWED - {"PGPASSFILE"}


def test_the_passfile_lies_on_no_disk_and_is_for_its_owner_alone() -> None:
    with memory_file(passfile_line("a:b\\c")) as (path, descriptor):
        assert Path(path).read_bytes() == b"*:*:*:*:a\\:b\\\\c\n"
        status = os.fstat(descriptor)
        assert status.st_mode & 0o777 == 0o600
        assert status.st_nlink == 0
    assert not Path(path).exists()
