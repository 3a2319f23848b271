"""Scratch places of MariaDB and the private server: used, then gone, whatever happened. And no secret on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from children import Watch
from mariadbservers import PASSWORD, RunningMariadb
from mariawares import Dump
from pgservers import given, taken

from drorch.domain.errors import Refused
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql_family.server import PrivateServer


@pytest.fixture
def short() -> Path:
    """A folder in the system's temporary one, whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="drorch-test-"))
    folder.chmod(0o755)
    return folder


def _processes(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words:
            found.append(int(entry.name))
    return found


def _gone(folder: Path, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not folder.exists() and not _processes(folder):
            return True
        threading.Event().wait(0.02)
    return False


def test_a_private_server_takes_everything_runs_no_events_and_is_gone_at_the_end(short: Path, wares_dump: Dump) -> None:
    with MariadbEngine(runtime=short).scratch(None, {}) as place:
        place.prepare(wares_dump.facts)
        given(place, wares_dump.artefacts)
        (folder,) = short.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        if os.geteuid() == 0:
            assert folder.stat().st_uid != 0
        assert place.inventory(wares_dump.inventory).tables == wares_dump.inventory.tables
        assert place.probe("select @@event_scheduler") == "OFF"
        assert place.probe("select @@skip_networking") == 1
        assert place.probe("select definer from information_schema.events") == "keeper@%"
        assert place.probe("select count(*) from information_schema.tables where table_name = 'item'") == 1
        with pytest.raises(Refused, match=r"1045|FILE"):
            place.probe("select 1 into outfile '/tmp/drorch-was-here'")
    assert _gone(folder)
    short.rmdir()


def test_a_dump_of_a_newer_server_than_is_installed_is_refused(wares_dump: Dump) -> None:
    with (
        MariadbEngine().scratch(None, {}) as place,
        pytest.raises(Refused, match=r"mariadbd of version 99\.1 or newer"),
    ):
        place.prepare(wares_dump.facts | {"server_version": "99.1.2-MariaDB"})


_VICTIM = """
import pathlib, sys, time
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql_family.server import PrivateServer
server = PrivateServer(MARIADB, "/usr/bin/mariadb-install-db", "/usr/sbin/mariadbd", pathlib.Path(sys.argv[1]))
server.start()
print("up", flush=True)
time.sleep(100)
"""


def test_a_private_server_does_not_outlive_a_kill_9_of_its_owner(short: Path) -> None:
    short.rmdir()
    with subprocess.Popen([sys.executable, "-c", _VICTIM, str(short)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert _processes(short)
        owner.send_signal(signal.SIGKILL)
    assert _gone(short)


def test_a_folder_in_use_or_too_long_a_path_is_refused(short: Path) -> None:
    (short / "here").mkdir()
    (short / "here" / "file").touch()
    with pytest.raises(Refused, match="must be empty"):
        PrivateServer(MARIADB, "x", "y", short / "here").start()
    with pytest.raises(Refused, match="too long"):
        PrivateServer(MARIADB, "x", "y", short / ("x" * 100)).start()
    assert (short / "here" / "file").exists()


def test_a_given_server_gets_a_database_of_a_passing_name(mariadb: RunningMariadb, wares_dump: Dump) -> None:
    """What a killed drill left goes first; what another drill uses, and what is no drill's, stays."""
    left = mariadb.database("CREATE TABLE t (a INT)", name="drorch_drill_0123456789ab")
    other = mariadb.database(name="drorch_drilled")
    engine, options = MariadbEngine(), mariadb.options("mysql")
    with engine.scratch(options, {}) as first:
        first.prepare(wares_dump.facts)
        names = [row[0] for row in mariadb.ask("SHOW DATABASES LIKE 'drorch\\_drill\\_%'")]
        assert left not in names
        assert len(names) == 1
        with engine.scratch(options, {}) as second:
            second.prepare(wares_dump.facts)
            given(second, wares_dump.artefacts)
            assert second.probe("select count(*) from item") == 506
            second.complete()
            assert len(mariadb.ask("SHOW DATABASES LIKE 'drorch\\_drill\\_%'")) == 2
        assert [row[0] for row in mariadb.ask("SHOW DATABASES LIKE 'drorch\\_drill\\_%'")] == names
    assert mariadb.ask("SHOW DATABASES LIKE 'drorch\\_drill\\_%'") == []
    assert mariadb.exists(other)
    mariadb.ask(f"DROP DATABASE {other}")


def test_a_given_server_that_runs_events_is_not_drilled_on_with_a_dump_that_has_some(
    mariadb: RunningMariadb, wares_dump: Dump
) -> None:
    mariadb.ask("SET GLOBAL event_scheduler = ON")
    try:
        with MariadbEngine().scratch(mariadb.options("mysql"), {}) as place:
            with pytest.raises(Refused, match="runs events"):
                place.prepare(wares_dump.facts)
            place.prepare(wares_dump.facts | {"events": 0})
    finally:
        mariadb.ask("SET GLOBAL event_scheduler = OFF")
    assert mariadb.ask("SHOW DATABASES LIKE 'drorch\\_drill\\_%'") == []


def test_no_child_of_a_dump_or_a_restore_shows_the_password(
    mariadb: RunningMariadb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    database = mariadb.database(
        "CREATE TABLE t (a LONGTEXT)", "INSERT INTO t SELECT repeat('x', 9999) FROM seq_1_to_200"
    )
    user = mariadb.user("ALL ON *.*", PASSWORD)
    options = mariadb.options(database, user, host="localhost", password={"credential": "pw"})
    engine = MariadbEngine()
    with Watch() as watch:
        with engine.dump(options, {"pw": PASSWORD}, "exact") as session:
            artefacts, facts = taken(session), session.facts
        url = f"mariadb://{user}@localhost:{mariadb.port}/careful"
        place = engine.target(url, PASSWORD, with_globals=True)
        place.prepare(facts)
        given(place, artefacts)
        place.abandon()
    assert {"mariadb", "mariadb-dump"} <= set(watch.seen), watch.seen
    assert PASSWORD.encode() not in watch.text
    assert b"another-secret" not in watch.text
    for names in watch.seen.values():
        assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ"}
    assert PASSWORD not in str(facts)
