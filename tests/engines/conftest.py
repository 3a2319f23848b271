"""The servers that the engine tests share: started at first use, once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pgshop
import pytest
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
