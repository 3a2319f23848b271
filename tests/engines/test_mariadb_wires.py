"""MariaDB behind a network that resets, truncates and stalls: no dump is committed, nothing is left half-loaded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from dumped import APPLICATION, RESOURCE, SITE, World
from mariadbservers import PASSWORD, RunningMariadb
from mariawares import Dump, dump
from spoilt_wires import Fault, Wire, wire

from drorch.app.dump import DumpLimits, DumpOrder
from drorch.app.dump import dump as dump_into_vaults
from drorch.domain.errors import OutcomeUnknown, Unavailable
from drorch.engines.mariadb import MariadbEngine, Options
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql_family.access import Access, Keeper, open_access
from drorch.engines.mysql_family.place import from_connection

SECRETS = {"pw": PASSWORD}
AFTER = 1024 * 1024
"""More than all questions together, less than the data."""


@pytest.fixture
def net(mariadb: RunningMariadb) -> Iterator[Wire]:
    with wire(mariadb.port) as found:
        found.after = AFTER
        yield found


@pytest.fixture(scope="module")
def database(mariadb: RunningMariadb) -> str:
    large = "INSERT INTO b SELECT repeat('x', 60000) FROM seq_1_to_200"
    return mariadb.database("CREATE TABLE a (i INT)", "CREATE TABLE b (t LONGTEXT)", large)


@pytest.fixture(scope="module")
def whole(mariadb: RunningMariadb, database: str) -> Dump:
    return dump(mariadb, database)


@pytest.fixture(scope="module")
def user(mariadb: RunningMariadb) -> str:
    return mariadb.user("ALL ON *.*", PASSWORD)


def through(net: Wire, server: RunningMariadb, database: str, user: str, tls: str) -> Options:
    return server.options(database, user, host="127.0.0.1", port=net.port, password={"credential": "pw"}, tls=tls)


@pytest.mark.parametrize("tls", ["off", "require"])
@pytest.mark.parametrize("fault", ["reset", "truncate"])
def test_a_connection_cut_in_mid_dump_is_an_outage(
    net: Wire, mariadb: RunningMariadb, database: str, user: str, fault: Fault, tls: str
) -> None:
    with MariadbEngine().dump(through(net, mariadb, database, user, tls), SECRETS, "exact") as session:
        net.fault = fault
        producer = session.artefacts()[0].open()
        while producer.stdout.read(1 << 20):
            pass
        with pytest.raises(Unavailable) as caught:
            producer.finish()
    assert net.spoilt
    assert PASSWORD not in str(caught.value)


def test_a_dump_that_stalls_ends_with_its_longest_time_and_commits_nothing(
    net: Wire, mariadb: RunningMariadb, database: str, user: str
) -> None:
    world = World("gcs-eu")
    world.clock.present = datetime.now(UTC) + timedelta(minutes=1)
    order = DumpOrder(SITE, APPLICATION, RESOURCE, "mariadb", "p1", "2026-11-20T12:00Z", (world.recipient,))
    net.fault = "stall"
    with pytest.raises(Unavailable, match="took longer than 2s"):
        dump_into_vaults(
            order,
            MariadbEngine(),
            through(net, mariadb, database, user, "off"),
            SECRETS,
            world.stores,
            world.key,
            clock=world.clock,
            limits=DumpLimits(longest=timedelta(seconds=2)),
        )
    assert net.spoilt
    assert not [info.path for info in world.memory().list("drorch/v1/records/")]


@pytest.mark.parametrize("tls", ["off", "require"])
@pytest.mark.parametrize("fault", ["reset", "truncate"])
def test_a_connection_cut_in_mid_restore_leaves_nothing(
    net: Wire, mariadb: RunningMariadb, whole: Dump, user: str, fault: Fault, tls: str
) -> None:
    url = f"mariadb://{user}@127.0.0.1:{net.port}/back_{fault}_{tls}?tls={tls}"
    target = MariadbEngine().target(url, PASSWORD, with_globals=False)
    target.prepare(whole.facts)
    net.fault = fault
    with pytest.raises((Unavailable, OutcomeUnknown)) as caught:
        load(target, whole)
    assert "xxxx" not in str(caught.value), "rows are nobody's business"
    assert net.spoilt
    net.fault = None
    target.abandon()
    assert [f"back_{fault}_{tls}"] not in mariadb.ask("SHOW DATABASES")


def load(target: object, whole: Dump) -> None:
    consumer = target.load("data.sql")  # type: ignore[attr-defined]
    try:
        for start in range(0, len(whole.artefacts["data.sql"]), 1 << 16):
            consumer.stdin.write(whole.artefacts["data.sql"][start : start + (1 << 16)])
    except BrokenPipeError:
        pass
    consumer.finish()


def test_a_restore_that_stalls_can_be_given_up_and_the_next_one_clears_what_it_left(
    net: Wire, mariadb: RunningMariadb, whole: Dump, user: str
) -> None:
    url = f"mariadb://{user}@127.0.0.1:{net.port}/back_stalled?tls=off"
    target = MariadbEngine().target(url, PASSWORD, with_globals=False)
    target.prepare(whole.facts)
    net.fault = "stall"
    consumer = target.load("data.sql")
    consumer.stdin.write(whole.artefacts["data.sql"][: 2 * AFTER])
    consumer.kill()
    assert not mariadb.exists("back_stalled")
    net.fault = None
    target.abandon()
    again = MariadbEngine().target(url, PASSWORD, with_globals=False)
    again.prepare(whole.facts)
    load(again, whole)
    again.complete()
    assert mariadb.value("SELECT count(*) FROM b", "back_stalled") == "200"
    mariadb.ask("DROP DATABASE back_stalled")


# --- questions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def access(net: Wire, mariadb: RunningMariadb, database: str, user: str) -> Iterator[Access]:
    place = from_connection(through(net, mariadb, database, user, "off").connection, SECRETS)
    found = open_access(MARIADB, place, (), "dump")
    yield found
    found.close()


def test_a_question_to_a_server_that_says_nothing_more_is_given_up(net: Wire, access: Access) -> None:
    net.fault, net.after = "stall", 0
    with pytest.raises(Unavailable, match="the server does not answer"):
        access.ask("SELECT 1", "dump", timeout=0.5)


def test_a_lock_at_a_server_that_says_nothing_more_is_given_up(
    net: Wire, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drorch.engines.mysql_family.access._LOCK_ANSWER", 1.0)
    held, asked = Keeper(access, "held"), Keeper(access, "asked")
    try:
        assert held.lock()
        net.fault, net.after = "stall", 0
        with pytest.raises(Unavailable, match="the server does not answer"):
            asked.lock()
    finally:
        held.release()
        asked.release()
