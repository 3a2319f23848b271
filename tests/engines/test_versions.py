"""What a dump would be made of and with, asked of real servers without dumping."""

from __future__ import annotations

import pytest
from mariadbservers import PASSWORD as MARIADB_PASSWORD
from mariadbservers import RunningMariadb
from pgservers import Running

from drorch.domain.errors import Refused
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.mysql import MysqlEngine
from drorch.engines.mysql import Options as MysqlOptions
from drorch.engines.postgres import Options, PostgresEngine
from drorch.engines.postgres import clients as programs
from drorch.ports import TellsVersions


def test_a_postgresql_and_the_programs_that_fit_it(old: Running, new: Running) -> None:
    found = PostgresEngine([old.binaries]).versions(old.options("postgres"), {})
    assert found["server"].startswith(f"{old.major}.")
    assert found["pg_dump"].startswith(f"{old.major}.")
    newer = PostgresEngine([new.binaries]).versions(new.options("postgres"), {})
    assert newer["pg_dump"].startswith(f"{new.major}.")


def test_a_server_of_many_databases_is_met_at_one_of_them(old: Running) -> None:
    given = old.options("postgres").connection.model_dump(exclude_none=True) | {"databases": "all"}
    del given["database"]
    assert "server" in PostgresEngine([old.binaries]).versions(Options.model_validate({"connection": given}), {})


def test_programs_that_are_too_old_are_refused(old: Running, new: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "folders", lambda _: (old.binaries,))
    with pytest.raises(Refused, match=f"version {new.major} or newer"):
        PostgresEngine().versions(new.options("postgres"), {})


def test_a_mariadb_and_the_program_that_fits_it(mariadb: RunningMariadb) -> None:
    found = MariadbEngine().versions(mariadb.options("mysql"), {"pw": MARIADB_PASSWORD})
    assert found["server"] == mariadb.value("SELECT version()")
    assert found["mariadb-dump"].startswith("10.")


def test_a_mariadb_is_no_mysql(mariadb: RunningMariadb) -> None:
    options = MysqlOptions(connection=mariadb.options("mysql").connection)
    with pytest.raises(Refused):
        MysqlEngine().versions(options, {"pw": MARIADB_PASSWORD})


def test_the_engines_of_servers_tell_versions() -> None:
    for engine in (PostgresEngine(), MariadbEngine(), MysqlEngine()):
        assert isinstance(engine, TellsVersions), engine.kind
