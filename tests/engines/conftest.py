"""The servers that the engine tests share: started at first use, once per session."""

from __future__ import annotations

from collections.abc import Iterator

import mariawares
import pgshop
import pytest
from mariadbservers import RunningMariadb, running_mariadb
from pgservers import WHEEL, Running, debian, running


@pytest.fixture(scope="session")
def old() -> Iterator[Running]:
    """Debian's PostgreSQL."""
    with running(debian()) as found:
        yield found


@pytest.fixture(scope="session")
def new() -> Iterator[Running]:
    """The wheel's PostgreSQL, of a newer version."""
    with running(WHEEL) as found:
        assert found.major >= 17
        yield found


@pytest.fixture(scope="session")
def shop(old: Running) -> str:
    """A database on `old` with a bit of everything."""
    database = old.database(name="The Shöp %x")
    pgshop.fill(old, database)
    return database


@pytest.fixture(scope="session")
def dumped(old: Running, shop: str) -> pgshop.Dump:
    """A dump of `shop`."""
    return pgshop.dump(old, shop)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[RunningMariadb]:
    """Debian's MariaDB."""
    with running_mariadb() as found:
        yield found


@pytest.fixture(scope="session")
def wares(mariadb: RunningMariadb) -> str:
    """A database on `mariadb` with a bit of everything."""
    return mariadb.database(*mariawares.STATEMENTS, name="The Wäres `%x`".replace("`", ""))


@pytest.fixture(scope="session")
def wares_dump(mariadb: RunningMariadb, wares: str) -> mariawares.Dump:
    """A dump of `wares`."""
    return mariawares.dump(mariadb, wares)
