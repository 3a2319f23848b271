"""Metadata locks on a real server: a dump that stands still in a table, and others who want to alter it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from dumped import APPLICATION, RESOURCE, SITE, World
from faults import FaultyStore
from mariadbservers import RunningMariadb

from drorch.app.dump import DumpOrder, dump
from drorch.domain.errors import Busy
from drorch.engines.mariadb import MariadbEngine
from drorch.ports import DumpSession, Producer

LARGE = "INSERT INTO b SELECT repeat('x', 60000) FROM seq_1_to_400"
"""More than the pipes hold: a dump that is not read stands still in the table `b`."""
LEAST = "SELECT, SHOW VIEW, TRIGGER, EVENT"


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that happens in the server."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def engine(patience: float = 60, lock_timeout: float = 60) -> MariadbEngine:
    return MariadbEngine(patience=timedelta(seconds=patience), lock_timeout=timedelta(seconds=lock_timeout))


def waiting(server: RunningMariadb, database: str) -> int:
    query = f"FROM information_schema.processlist WHERE db = '{database}' AND state LIKE 'Waiting for table metadata%'"
    return int(server.value(f"SELECT count(*) {query}"))


@pytest.fixture
def database(mariadb: RunningMariadb) -> str:
    return mariadb.database(
        "CREATE TABLE a (i INT)",
        "CREATE TABLE b (t LONGTEXT)",
        LARGE,
        "CREATE TABLE c (i INT)",
        "CREATE TABLE d (i INT)",
    )


@contextmanager
def standing(session: DumpSession) -> Iterator[Producer]:
    """A dump of which only the beginning has been read."""
    producer = session.artefacts()[0].open()
    try:
        while b"INSERT INTO `b`" not in (part := producer.stdout.read(4096)):
            assert part
        yield producer
    finally:
        producer.kill()


class Altering:
    """Somebody who alters `b`, or does something else: begins at once, `join` to see the seconds that it took."""

    def __init__(self, server: RunningMariadb, database: str, statement: str = "") -> None:
        self.took = 0.0
        statement = statement or "ALTER TABLE b ADD COLUMN more INT"
        self._thread = threading.Thread(target=self._alter, args=(server, database, statement))
        self._thread.start()

    def _alter(self, server: RunningMariadb, database: str, statement: str) -> None:
        began = time.monotonic()
        server.ask(statement, database=database)
        self.took = time.monotonic() - began

    def join(self) -> float:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.took


@pytest.mark.parametrize("statement", ["ALTER TABLE b ADD COLUMN more INT", "LOCK TABLES b WRITE"])
def test_a_dump_that_keeps_others_waiting_is_given_up_and_they_go_on(
    mariadb: RunningMariadb, database: str, statement: str
) -> None:
    with (
        pytest.raises(Busy, match=r"kept others waiting.*root \(id \d+\) waited for the table `b` for 1s") as caught,
        engine(patience=1).dump(mariadb.options(database), {}, "exact") as session,
        standing(session) as producer,
    ):
        altering = Altering(mariadb, database, statement)
        assert altering.join() >= 1
        assert mariadb.value("SELECT count(*) FROM b", database) == "400"
        producer.finish()
    assert "see that tables are not altered" in caught.value.hint
    assert threads_of(mariadb, database) == 0


def test_of_a_dump_that_was_given_up_nothing_is_committed(mariadb: RunningMariadb) -> None:
    """The vault takes nothing more until the table has been altered: that is the end of the dump."""
    incompressible = "INSERT INTO b SELECT random_bytes(1000) FROM seq_1_to_20000"
    database = mariadb.database("CREATE TABLE b (r BLOB)", incompressible)
    world, took = World("gcs-eu"), list[float]()
    world.clock.present = datetime.now(UTC) + timedelta(minutes=1)
    faulty = FaultyStore(world.memory())
    faulty.faults.order("write", lambda: took.append(Altering(mariadb, database).join()))
    order = DumpOrder(SITE, APPLICATION, RESOURCE, "mariadb", "p1", "2026-11-20T12:00Z", (world.recipient,))
    options, stores = mariadb.options(database), {"gcs-eu": faulty}
    with pytest.raises(Busy, match="kept others waiting"):
        dump(order, engine(patience=1), options, {}, stores, world.key, clock=world.clock)
    assert took[0] >= 1
    assert not list(world.memory().list("drorch/v1/"))


def threads_of(server: RunningMariadb, database: str) -> int:
    return sum(row[3] == database for row in server.ask("SHOW PROCESSLIST"))


def test_a_table_without_transactions_is_locked_against_writing_no_longer_than_the_patience(
    mariadb: RunningMariadb,
) -> None:
    database = mariadb.database("CREATE TABLE b (t LONGTEXT) ENGINE=MyISAM", LARGE)
    with (
        pytest.raises(Busy, match=r"waited for the table `b`.*MyISAM"),
        engine(patience=1).dump(mariadb.options(database), {}, "exact") as session,
        standing(session) as producer,
    ):
        assert Altering(mariadb, database, "UPDATE b SET t = 'y'").join() >= 1
        producer.finish()


def test_a_user_who_sees_no_other_sessions_keeps_nobody_waiting_either(mariadb: RunningMariadb, database: str) -> None:
    user = mariadb.user(f"{LEAST} ON {database}.*")
    mariadb.ask(f"GRANT SELECT ON mysql.proc TO {user}@'%'")
    with (
        pytest.raises(Busy, match=r"kept others waiting.*somebody waited for the table `b` for 1s"),
        engine(patience=1).dump(mariadb.options(database, user), {}, "exact") as session,
        standing(session) as producer,
    ):
        Altering(mariadb, database).join()
        producer.finish()


def test_who_waits_less_than_the_patience_waits_for_the_table_and_the_dump_is_whole(
    mariadb: RunningMariadb, database: str
) -> None:
    with (
        engine(lock_timeout=0.4).dump(mariadb.options(database), {}, "exact") as session,
        standing(session) as producer,
    ):
        altering = Altering(mariadb, database)
        until(lambda: waiting(mariadb, database))
        while producer.stdout.read(1 << 20):
            pass
        producer.finish()
        altering.join()
        assert session.inventory().tables == {"a": 0, "b": 400, "c": 0, "d": 0}


def test_a_table_that_was_read_or_will_be_is_not_held(mariadb: RunningMariadb, database: str) -> None:
    with engine().dump(mariadb.options(database), {}, "exact") as session, standing(session):
        mariadb.ask("SET STATEMENT lock_wait_timeout = 1 FOR ALTER TABLE a ADD COLUMN more INT", database=database)
        mariadb.ask("SET STATEMENT lock_wait_timeout = 1 FOR TRUNCATE TABLE d", database=database)


def test_a_dump_that_waits_for_a_table_that_somebody_holds_is_given_up(mariadb: RunningMariadb, database: str) -> None:
    with (
        pytest.raises(Busy, match=r"waited for others.*waiting for table metadata lock for 1s"),
        engine(lock_timeout=1).dump(mariadb.options(database), {}, "exact") as session,
        holding(mariadb, database),
    ):
        producer = session.artefacts()[0].open()
        while producer.stdout.read(1 << 20):
            pass
        producer.finish()


@contextmanager
def holding(server: RunningMariadb, database: str) -> Iterator[None]:
    """Somebody who has locked the table `c` for writing, until the block ends."""
    argv = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "--batch", "--unbuffered", database]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"LOCK TABLES c WRITE; SELECT 'held';\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.stdin.close()
