"""The commands of a vault's own RESTORE.md bring every engine's dumps back, with drorch and Python off the path."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pgshop
import pytest
from dumped import RESOURCE
from guided import MIB, GuidedVault, Shell, blocks, point_of
from mariadbservers import RunningMariadb
from mariawares import STATEMENTS
from pgservers import Running
from trees import fill, picture

from drorch.crypto.age import new_identity
from drorch.engines.files import FilesEngine
from drorch.engines.files import Options as FilesOptions
from drorch.engines.mariadb import MariadbEngine
from drorch.engines.postgres import PostgresEngine

FETCHED = ("fetch-cp", "verify", "opened")
WIDE = "wide"
OWNER = "The Keeper"


@dataclass
class Filled:
    """A vault with a dump in one volume and one in three that was rewrapped, and its guide."""

    vault: GuidedVault
    guide: str
    new_identity: str

    def volumes(self) -> list[str]:
        data = [path.name for path in self.vault.folder.rglob(f"data/shop/{WIDE}/*/*") if ".leaves" not in path.name]
        return sorted(name for name in data if not name.startswith(("globals", "inventory", "SHA256SUMS")))


def filled(vault: GuidedVault, engine: object, options: object) -> Filled:
    vault.dump(RESOURCE, engine, options)  # type: ignore[arg-type]
    wide = vault.dump(WIDE, engine, options, volume_bytes=MIB)  # type: ignore[arg-type]
    identity = vault.rewrap(wide)
    found = Filled(vault, vault.guide(), identity)
    assert [name.removeprefix(found.volumes()[0]) for name in found.volumes()] == ["", ".001", ".002"]
    return found


CASES = {
    "one volume": (RESOURCE, False),
    "three volumes": (WIDE, False),
    "a rewrapped header": (WIDE, True),
}


def settings(found: Filled, resource: str, rewrapped: bool, **more: str) -> dict[str, str]:
    identity = found.new_identity if rewrapped else found.vault.identity
    chosen = {"RESOURCE": resource, "POINT": point_of(found.guide, resource), **more}
    return {"identity": identity, "key": found.vault.key.public.text(), **chosen}


def given(rewrapped: bool, *names: str) -> tuple[str, ...]:
    return (*FETCHED, *(("rewrapped",) if rewrapped else ()), *names)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orders(old: Running) -> Iterator[str]:
    """A database with a bit of everything, a role that only its server has, and what fills three volumes."""
    database = old.database()
    pgshop.fill(old, database)
    role = old.role("LOGIN PASSWORD 'x' CONNECTION LIMIT 7", name=OWNER)
    old.run(
        "CREATE TABLE noise (id int PRIMARY KEY, body bytea)",
        "INSERT INTO noise SELECT i, decode(string_agg(md5(i || '-' || j), ''), 'hex')"
        " FROM generate_series(1, 2600) i, generate_series(1, 64) j GROUP BY i",
        f'ALTER TABLE noise OWNER TO "{role}"',
        f'GRANT SELECT ON shop.orders TO "{role}"',
        database=database,
    )
    yield database


@pytest.fixture(scope="module")
def postgres(old: Running, orders: str, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    vault = GuidedVault(tmp_path_factory.mktemp("pg") / "nas")
    return filled(vault, PostgresEngine([old.binaries]), old.options(orders))


def shell_at(server: Running, folder: Path) -> Shell:
    programs = {name: server.binaries / name for name in ("psql", "createdb", "pg_restore")}
    place = {"PGHOST": server.socket, "PGPORT": str(server.server.port), "PGUSER": "postgres"}
    return Shell(folder, ("cp",), programs, place)


NOISE = "SELECT md5(string_agg(id::text || body::text, ',' ORDER BY id)) FROM noise"


@pytest.mark.parametrize("case", CASES)
def test_postgres_with_its_roles_on_a_server_that_has_none_of_them(
    postgres: Filled, orders: str, old: Running, new: Running, tmp_path: Path, case: str
) -> None:
    resource, rewrapped = CASES[case]
    new.run("DROP DATABASE IF EXISTS restored", f'DROP ROLE IF EXISTS "{OWNER}"')
    names = given(rewrapped, "postgres-roles", "postgres", "postgres-check")
    said = shell_at(new, tmp_path).run(postgres.guide, names, **settings(postgres, resource, rewrapped))
    assert pgshop.contents(new, "restored") == pgshop.contents(old, orders)
    assert new.value(NOISE, "restored") == old.value(NOISE, orders)
    assert new.value("SELECT tableowner FROM pg_tables WHERE tablename = 'noise'", "restored") == OWNER
    assert new.value(f"SELECT has_table_privilege('{OWNER}', 'shop.orders', 'SELECT')", "restored") is True
    assert new.value("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'The Keeper'") == 7
    counted = dict(line.rsplit("|", 1) for line in said.splitlines() if "|" in line)
    inventory = json.loads((tmp_path / "work" / "inventory.json").read_text())
    assert {name: int(count) for name, count in counted.items()} == inventory["tables"]


def test_postgres_without_its_roles(postgres: Filled, orders: str, old: Running, new: Running, tmp_path: Path) -> None:
    new.run("DROP DATABASE IF EXISTS restored", f'DROP ROLE IF EXISTS "{OWNER}"')
    guide = postgres.guide.replace("NO_ROLES= ", "NO_ROLES=yes ")
    shell_at(new, tmp_path).run(guide, given(False, "postgres"), **settings(postgres, RESOURCE, False))
    assert pgshop.contents(new, "restored") == pgshop.contents(old, orders)
    assert new.value("SELECT count(*) FROM pg_roles WHERE rolname = 'The Keeper'") == 0


def test_postgres_in_several_streams(orders: str, old: Running, new: Running, tmp_path: Path) -> None:
    vault = GuidedVault(tmp_path / "nas")
    vault.dump(RESOURCE, PostgresEngine([old.binaries]), old.options(orders).model_copy(update={"streams": 2}))
    guide = vault.guide()
    assert "postgres" not in blocks(guide)
    new.run("DROP DATABASE IF EXISTS restored", f'DROP ROLE IF EXISTS "{OWNER}"')
    shell = shell_at(new, tmp_path / "shell")
    names = given(False, "postgres-roles", "postgres-streams", "postgres-check")
    shell.run(guide, names, vault.identity, vault.key.public.text())
    assert pgshop.contents(new, "restored") == pgshop.contents(old, orders)
    assert new.value(NOISE, "restored") == old.value(NOISE, orders)


# --- MariaDB ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stock(mariadb: RunningMariadb) -> Iterator[str]:
    """A database with a bit of everything, its definer, and what fills three volumes."""
    mariadb.ask("CREATE USER IF NOT EXISTS 'keeper'@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON *.* TO 'keeper'@'%'")
    yield mariadb.database(
        *STATEMENTS,
        "CREATE TABLE noise (id INT PRIMARY KEY, body BLOB)",
        "INSERT INTO noise SELECT seq, random_bytes(1024) FROM seq_1_to_2600",
    )
    mariadb.ask("DROP DATABASE IF EXISTS restored", "DROP USER IF EXISTS 'keeper'@'%'")


@pytest.fixture(scope="module")
def maria(mariadb: RunningMariadb, stock: str, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    vault = GuidedVault(tmp_path_factory.mktemp("my") / "nas")
    return filled(vault, MariadbEngine(), mariadb.options(stock))


@pytest.mark.parametrize("case", CASES)
def test_mariadb_with_its_accounts_on_a_server_that_lost_them(
    maria: Filled, stock: str, mariadb: RunningMariadb, tmp_path: Path, case: str
) -> None:
    resource, rewrapped = CASES[case]
    mariadb.ask("DROP DATABASE IF EXISTS restored", "DROP USER IF EXISTS 'keeper'@'%'")
    work = tmp_path / "work"
    shell = Shell(tmp_path, ("cp", "mariadb"))
    shell.environ = {"MYSQL_HOME": str(tmp_path)}
    (tmp_path / "my.cnf").write_text(f"[client]\nsocket={mariadb.socket}\nuser=root\n")
    names = given(rewrapped, "mariadb-accounts", "mariadb", "mariadb-check")
    said = shell.run(maria.guide, names, **settings(maria, resource, rewrapped))
    assert mariadb.checksums("restored") == mariadb.checksums(stock)
    assert mariadb.value("SELECT count(*) FROM mysql.user WHERE user = 'keeper'") == "1"
    assert mariadb.ask("SHOW GRANTS FOR 'keeper'@'%'")[0][0].startswith("GRANT SELECT ON *.*")
    assert mariadb.ask("SELECT * FROM dearer", database="restored") == mariadb.ask(
        "SELECT * FROM dearer", database=stock
    )
    counted = dict(line.split("\t") for line in said.splitlines() if "\t" in line)
    inventory = json.loads((work / "inventory.json").read_text())
    assert {name: int(count) for name, count in counted.items()} == inventory["tables"]


def test_mysql_has_the_same_commands_with_its_own_client(maria: Filled) -> None:
    from drorch.engines.mysql.guide import WORDS

    section = blocks(WORDS.section([]))
    mariadb = blocks(maria.guide)
    assert {name: text.replace("mysql", "mariadb") for name, text in section.items()} == {
        name.replace("mariadb", "mysql"): text for name, text in mariadb.items() if name.startswith("mariadb")
    }


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("srv") / "uploads"
    fill(root)
    (root / "noise").write_bytes(random.Random(5).randbytes(5 * MIB // 2))
    return root


@pytest.fixture(scope="module")
def folder(uploads: Path, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    vault = GuidedVault(tmp_path_factory.mktemp("files") / "nas")
    return filled(vault, FilesEngine(granted=[str(uploads)]), FilesOptions(paths=(str(uploads),)))


@pytest.mark.parametrize("case", CASES)
def test_files_with_owners_times_and_attributes(folder: Filled, uploads: Path, tmp_path: Path, case: str) -> None:
    resource, rewrapped = CASES[case]
    shell = Shell(tmp_path, ("cp", "tar", "find", "tr", "wc"))
    names = given(rewrapped, "files", "files-check")
    said = shell.run(folder.guide, names, **settings(folder, resource, rewrapped))
    back = tmp_path / "work" / "restored"
    assert picture(back / str(uploads)[1:]) == picture(uploads)
    inventory = json.loads((tmp_path / "work" / "inventory.json").read_text())
    assert int(said.splitlines()[-1]) == inventory["tables"][str(uploads)]


# --- what must not go through ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["key", "point", "bytes", "identity"])
def test_the_commands_stop_at_what_was_not_signed_so(folder: Filled, tmp_path: Path, wrong: str) -> None:
    vault = tmp_path / "nas"
    shutil.copytree(folder.vault.folder, vault)
    guide = folder.guide.replace(str(folder.vault.folder), str(vault))
    chosen = settings(folder, RESOURCE, rewrapped=False)
    if wrong == "key":
        chosen["key"] = GuidedVault(tmp_path / "other").key.public.text()
    elif wrong == "identity":
        chosen["identity"] = new_identity()[0]
    elif wrong == "bytes":
        (data,) = vault.rglob(f"data/shop/{RESOURCE}/*/files.tar.zst.age")
        body = bytearray(data.read_bytes())
        body[-1] ^= 1
        data.write_bytes(body)
    else:
        for part in ("records", "data"):  # another point's objects, whole and signed, under this one's name
            (here,) = (vault / "drorch/v1" / part / "shop" / RESOURCE).iterdir()
            (other,) = (vault / "drorch/v1" / part / "shop" / WIDE).iterdir()
            shutil.rmtree(here)
            shutil.copytree(other, here)
    shell = Shell(tmp_path / "shell", ("cp", "tar", "find", "tr", "wc"))
    with pytest.raises(AssertionError):
        shell.run(guide, given(False, "files"), **chosen)
    assert not list((tmp_path / "shell" / "work").rglob("noise"))
