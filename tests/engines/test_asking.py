"""Probes put to a database that drorch did not load: over the network with TLS, by a user who may only read."""

from __future__ import annotations

from typing import Any

import pytest
from mariadbservers import RunningMariadb

from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.ports import AsksDatabases
from drorch.wiring import adapters

pytestmark = pytest.mark.integration
PASSWORD = "only-for-tests"


def asked(kind: str, connection: dict[str, Any], sql: str, password: str = PASSWORD) -> object:
    engine = adapters.build_engine(kind)
    assert isinstance(engine, AsksDatabases)
    said = {"connection": {**connection, "password": {"credential": "p"}}}
    with engine.asking(adapters.engine_options(kind, said), {"p": password}) as ask:
        return ask(sql)


def maria(mariadb: RunningMariadb, **more: Any) -> dict[str, Any]:
    name = mariadb.database("CREATE TABLE item (n int)", "INSERT INTO item VALUES (1), (2)")
    user = mariadb.user(f"SELECT ON `{name}`.*", PASSWORD)
    return {"host": "localhost", "port": mariadb.port, "user": user, "database": name, "ca": str(mariadb.ca), **more}


def test_mariadb_answers_over_tls(mariadb: RunningMariadb) -> None:
    where = maria(mariadb, tls="verify-full")
    assert asked("mariadb", where, "select count(*) from item") == 2
    for sql in ("insert into item values (3)", "select 1; select 2"):
        with pytest.raises(Refused, match="the probe failed"):
            asked("mariadb", where, sql)
    assert mariadb.value("select count(*) from item", where["database"]) == "2"


def test_mariadb_that_does_not_let_us_in_says_so_before_anything_is_asked(mariadb: RunningMariadb) -> None:
    where = maria(mariadb, tls="verify-full")
    with pytest.raises(Refused, match="did not let us in"):
        asked("mariadb", where, "select 1", "wrong")
    with pytest.raises(Refused, match="TLS"):
        asked("mariadb", {**where, "host": "127.0.0.1"}, "select 1")
    with pytest.raises((NotFound, Refused)):
        asked("mariadb", {**where, "database": "nothing"}, "select 1")
    with pytest.raises(Unavailable):
        asked("mariadb", {**where, "port": 1}, "select 1")
