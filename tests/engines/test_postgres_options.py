"""What a policy may say about a connection, where a restore may go, and which programs are chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from drorch.domain.errors import Refused, Usage
from drorch.engines.postgres import Connection, Options, PostgresEngine
from drorch.engines.postgres.clients import Client, choose_client, find_clients, server_needed
from drorch.engines.postgres.place import Place, from_connection, from_url

BASE = {"host": "db.internal", "database": "orders", "user": "backup"}


def test_importing_the_package_imports_no_driver() -> None:
    code = "import sys, drorch.engines.postgres; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("more", "sslmode"),
    [
        ({}, "verify-full"),
        ({"host": "10.0.0.7"}, "verify-full"),
        ({"host": "127.0.0.1"}, "prefer"),
        ({"host": "::1"}, "prefer"),
        ({"host": "localhost"}, "prefer"),
        ({"host": "/run/postgresql"}, "prefer"),
        ({"host": "localhost", "tls": "verify-full"}, "verify-full"),
        ({"tls": "require"}, "require"),
        ({"tls": "off"}, "disable"),
        ({"tls": False}, "disable"),
    ],
)
def test_tls_is_verified_unless_the_host_is_local_or_the_policy_says_otherwise(
    more: dict[str, object], sslmode: str
) -> None:
    connection = Connection.model_validate(BASE | more)
    assert connection.sslmode == sslmode
    assert from_connection(connection, {}).parameters()["sslmode"] == sslmode


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 70000},
        {"port": True},
        {"tls": "sometimes"},
        {"host": ""},
        {"host": "a,b"},
        {"host": "a\nb"},
        {"database": ""},
        {"sslmode": "prefer"},
        {"password": "literal"},
        {"databases": "all"},
    ],
)
def test_a_connection_with_a_wrong_or_unknown_key_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Connection.model_validate(BASE | wrong)


@pytest.mark.parametrize("key", ["databases", "schemas"])
def test_options_that_are_not_built_are_unknown_keys(key: str) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"connection": BASE, key: "all"})


@pytest.mark.parametrize("streams", [0, 17, "2", True, 2.0])
def test_streams_are_a_whole_number_from_1_to_16(streams: object) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"connection": BASE, "streams": streams})
    assert [Options.model_validate({"connection": BASE, "streams": n}).streams for n in (1, 16)] == [1, 16]


def test_a_credential_is_taken_by_name_and_never_shown() -> None:
    connection = Connection.model_validate(BASE | {"password": {"credential": "orders-db"}})
    place = from_connection(connection, {"orders-db": "geheim"})
    assert place.password == "geheim"
    assert "geheim" not in repr(place) + place.conninfo() + place.shown
    with pytest.raises(Refused, match="no value"):
        from_connection(connection, {})
    with pytest.raises(Refused, match="one line"):
        from_connection(connection, {"orders-db": "two\nlines"})


@pytest.mark.parametrize(
    ("url", "host", "port", "database", "user", "sslmode"),
    [
        ("postgresql://localhost/orders", "localhost", 5432, "orders", "", "prefer"),
        ("postgresql://ann@db.example:6000/orders", "db.example", 6000, "orders", "ann", "verify-full"),
        ("postgres://db.example/o?sslmode=require", "db.example", 5432, "o", "", "require"),
        ("postgresql:///o%20x?host=/run/pg&user=a%40b&port=7", "/run/pg", 7, "o x", "a@b", "prefer"),
        ("postgresql:///orders", "", 5432, "orders", "", "prefer"),
    ],
)
def test_a_target_is_read_from_its_url(url: str, host: str, port: int, database: str, user: str, sslmode: str) -> None:
    place = from_url(url, None)
    assert (place.host, place.port, place.database, place.user) == (host, port, database, user)
    assert place.sslmode == sslmode


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:geheim@db/orders",
        "postgresql://ann:@db/orders",
        "postgresql://db/orders?password=geheim",
        "postgresql://db/orders?passfile=/geheim",
        "postgresql://db",
        "postgresql://db/",
        "mysql://db/orders",
        "postgresql://db:port/orders",
        "postgresql://db/orders?port=99999",
        "postgresql://db/orders?sslmode=maybe",
        "postgresql://db/orders?options=-cx",
        "postgresql://a,b/orders",
    ],
)
def test_a_target_with_a_password_or_of_another_form_is_a_usage_error(url: str) -> None:
    with pytest.raises(Usage) as caught:
        PostgresEngine().target(url, None, with_globals=False)
    assert "geheim" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_connection_string_quotes_every_value() -> None:
    place = Place(host="/s p", port=1, database="o'r\\x", user="", sslmode="disable")
    assert "host='/s p'" in place.conninfo()
    assert "dbname='o\\'r\\\\x'" in place.conninfo()


def _programs(folder: Path, version: str, names: tuple[str, ...] = ("pg_dump", "pg_dumpall")) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("present", "server", "chosen"),
    [
        (["15.3", "16.1", "17.2"], 16, "16.1"),
        (["15.3", "18.0", "17.2"], 16, "17.2"),
        (["15.3", "15.9"], 15, "15.3"),
        (["19beta1", "15.3"], 18, "19beta1"),
        (["15.3", "14.9"], 16, None),
        ([], 16, None),
        (["9.6.24"], 10, None),
    ],
)
def test_the_client_is_of_the_servers_version_else_the_oldest_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: list[str], server: int, chosen: str | None
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("drorch.engines.postgres.clients._LAYOUTS", ())
    tools = [_programs(tmp_path / f"v{place}", version) for place, version in enumerate(present)]
    clients = find_clients(tools, ("pg_dump", "pg_dumpall"))
    assert len(clients) == len(present)
    if chosen is None:
        with pytest.raises(Refused, match=f"version {server} or newer") as caught:
            choose_client(clients, server, "to dump")
        assert f"postgresql-client-{server}" in caught.value.hint
        assert "tools:" in caught.value.hint
        assert all(version in caught.value.cause for version in present)
    else:
        assert choose_client(clients, server, "to dump").version == chosen


def test_configured_folders_come_before_path_and_wrappers_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = _programs(tmp_path / "share", "15.0", ("pg_wrapper",)) / "pg_wrapper"
    wrapped = tmp_path / "wrapped"
    wrapped.mkdir()
    for name in ("pg_dump", "pg_dumpall"):
        (wrapped / name).symlink_to(wrapper)
    on_path, configured = _programs(tmp_path / "path", "15.1"), _programs(tmp_path / "tools", "15.2")
    monkeypatch.setenv("PATH", f"{wrapped}:{on_path}:relative")
    monkeypatch.setattr("drorch.engines.postgres.clients._LAYOUTS", (str(tmp_path / "pack*"),))
    _programs(tmp_path / "pack16", "16.0")
    found = find_clients([configured], ("pg_dump", "pg_dumpall"))
    assert [client.version for client in found] == ["15.2", "15.1", "16.0"]


def test_a_folder_without_all_programs_or_with_a_broken_one_is_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("drorch.engines.postgres.clients._LAYOUTS", ())
    half = _programs(tmp_path / "half", "16.0", ("pg_dump",))
    broken = _programs(tmp_path / "broken", "16.0")
    (broken / "pg_dump").write_text("#!/bin/sh\nexit 3\n")
    alien = _programs(tmp_path / "alien", "16.0")
    (alien / "pg_dump").write_text("#!/no/such/interpreter\n")
    assert find_clients([half, broken, alien, tmp_path / "absent"], ("pg_dump", "pg_dumpall")) == ()


def test_what_pg_restore_17_loads_needs_a_server_of_17() -> None:
    assert server_needed(15, 15) == 15
    assert server_needed(15, 16) == 15
    assert server_needed(15, 18) == 17
    assert server_needed(18, 18) == 18


def test_a_client_names_its_programs() -> None:
    assert Client(Path("/x"), 15, "15.1").program("pg_dump") == "/x/pg_dump"


def test_two_databases_of_one_server_count_as_one_server() -> None:
    """`limits: dumps_per_server` asks the options which server a dump runs on."""
    one = Options.model_validate({"connection": {"host": "db.internal", "port": 5433, "database": "a", "user": "u"}})
    two = Options.model_validate({"connection": {"host": "db.internal", "port": 5433, "database": "b", "user": "v"}})
    assert one.server == two.server == "db.internal:5433"
