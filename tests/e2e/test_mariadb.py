"""MariaDB end to end: the real worker dumps into two vaults and drills, a person restores; a worker that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from desks import Said, typed
from mariadbservers import PASSWORD, RunningMariadb, running_mariadb
from mariawares import ROWS, STATEMENTS

from drorch.app.dump import DumpOrder
from drorch.app.jobs import DumpJob, VaultSpec
from drorch.app.processes import session_members
from drorch.app.runner import WORKER, LocalRunner
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey

POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{provider: onprem, region: office}}
objectives: {{zone: {{rpo: 2d}}}}
exempt: {{}}
resources:
  - name: stock
    kind: mariadb
    connection: {connection}
    schedule: {{every: 1d}}
    vaults: [nas, safe]
    keep: {{last: 3}}
    drill:
      every: 7d
      from: [safe]
      probes: [{{sql: "select count(*) from item", expect: "== {items}"}}]
"""
SIGN = uuid.uuid4().hex
"""In the password, and nowhere else on this machine."""
SECRET = PASSWORD + SIGN
LEAST = "SELECT, SHOW VIEW, TRIGGER, EVENT"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningMariadb]:
    with running_mariadb() as found:
        yield found


@pytest.fixture(scope="module")
def stock(server: RunningMariadb) -> str:
    return server.database(*STATEMENTS)


@pytest.fixture(scope="module")
def user(server: RunningMariadb, stock: str) -> str:
    name = server.user(f"{LEAST} ON {stock}.*", SECRET)
    server.ask(f"GRANT SELECT ON mysql.* TO {name}@'%'")
    return name


class Office:
    """A host with two directory vaults and a database that is reached with a password."""

    def __init__(self, folder: Path, connection: dict[str, object]) -> None:
        self.folder, self.vaults = folder, [folder / "nas", folder / "safe"]
        self.config = folder / "drorch.yaml"
        self.connection = connection
        for vault in self.vaults:
            vault.mkdir()
        identity, self.recipient = new_identity()
        self.signing = SecretKey.generate()
        secrets = {"key.txt": identity + "\n", "signing.key": self.signing.text(), "db.password": SECRET + "\n"}
        for name, text in secrets.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        (folder / "policies").mkdir()
        policy = POLICY.format(connection=json.dumps(connection), items=ROWS["item"])
        (folder / "policies" / "shop.yaml").write_text(policy)
        vaults = "".join(
            f"  {vault.name}: {{type: directory, path: {vault}, provider: onprem, region: {vault.name}}}\n"
            for vault in self.vaults
        )
        self.config.write_text(
            f"version: 1\nsite: acme\npolicies: policies/\nstate: state\nvaults:\n{vaults}"
            f"encryption: {{recipients: [{self.recipient}], identities: [{{file: key.txt}}]}}\n"
            f"signing: {{key: {{file: signing.key}}}}\n"
            f"credentials: {{db: {{file: db.password, applications: [shop]}}}}\n"
        )

    def drorch(self, *arguments: str) -> Said:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return typed("--config", str(self.config), *arguments, environ=environ)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, server: RunningMariadb, stock: str, user: str) -> Office:
    connection = {"host": "127.0.0.1", "port": server.port, "database": stock, "user": user, "tls": "require"}
    office = Office(tmp_path_factory.mktemp("office"), {**connection, "password": {"credential": "db"}})
    checked = office.drorch("policy", "check")
    assert checked.code == 0, checked.out + checked.err
    for vault in office.vaults:
        assert office.drorch("vault", "init", vault.name).code == 0
    said = office.drorch("backup", "shop", "stock")
    assert said.code == 0, said.err
    return office


def test_one_backup_lies_in_both_vaults_with_its_facts(office: Office) -> None:
    manifests = [next(vault.rglob("manifest.json")) for vault in office.vaults]
    body = json.loads(manifests[0].read_text())
    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert body["kind"] == "mariadb"
    assert body["not_transactional"] == {"Aria": 1, "MyISAM": 1}
    assert body["totals"]["rows"] == sum(ROWS.values())
    names = [artefact["name"] for artefact in body["artefacts"]]
    assert names == ["data.sql.zst.age", "globals.sql.zst.age", "inventory.json.zst.age"]


def test_it_is_drilled_from_the_vault_that_the_policy_names(office: Office) -> None:
    said = office.drorch("drill", "shop", "stock", "--json")
    assert said.code == 0, said.err
    (proof,) = [json.loads(path.read_text()) for path in office.vaults[1].rglob("proofs/*-safe.json")]
    assert (proof["outcome"], proof["vault"]) == ("passed", "safe")
    assert proof["counts"] == {"compared": len(ROWS), "differing": 0}


def test_it_comes_back_and_says_what_one_instant_does_not_cover(
    office: Office, server: RunningMariadb, stock: str
) -> None:
    said = office.drorch("restore", "shop", "stock", "--into", server.url("stock_back"), "--yes")
    assert said.code == 0, said.err
    assert server.checksums("stock_back") == server.checksums(stock)
    assert "tables without transactions are not as of one instant: 1 of Aria, 1 of MyISAM" in said.err


def test_a_worker_that_is_killed_leaves_no_password_no_process_and_no_point(
    office: Office, server: RunningMariadb, stock: str, tmp_path: Path
) -> None:
    """While it waits for a table that somebody holds, so that it is met in the middle."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    vault = tmp_path / "vault"
    vault.mkdir()
    job = DumpJob(
        order=DumpOrder("acme", "shop", "stock", "mariadb", "p1", "2026-11-20T12:00Z", (office.recipient,)),
        vaults=(VaultSpec("nas", "directory", {"path": str(vault), "provider": "onprem", "region": "office"}),),
        options={"connection": office.connection},
        secrets={"db": SECRET},
        signing_key=office.signing.text(),
    )
    before = set(Path("/dev/shm").iterdir())
    with holding(server, stock):
        handle = LocalRunner(command=WORKER, environ={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)}).start(job)
        until(lambda: dumping(server, stock))
        session = session_members(handle.pid)
        os.kill(handle.pid, signal.SIGKILL)
        outcome = handle.wait()
    assert outcome is not None
    assert outcome.error is not None
    assert len(session) > 1, "the dump program ran"
    until(lambda: not session_members(handle.pid))  # they are dead; who reaps them takes a moment
    for place in (*(set(Path("/dev/shm").iterdir()) - before), *temporary.iterdir()):
        assert SIGN.encode() not in b"".join(files_below(place)), place
    assert not any("drorch" in path.name for path in temporary.iterdir())
    assert not list(vault.rglob("manifest.json*"))


def files_below(place: Path) -> Iterator[bytes]:
    """The contents of a file, or of those below a folder; what others remove meanwhile is left out."""
    for path in [place, *(place.rglob("*") if place.is_dir() else ())]:
        with suppress(OSError):
            if path.is_file():
                yield path.read_bytes()


def dumping(server: RunningMariadb, database: str) -> bool:
    return any(row[3] == database and "Waiting for" in row[6] for row in server.ask("SHOW PROCESSLIST"))


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def holding(server: RunningMariadb, database: str) -> subprocess.Popen[bytes]:
    """Somebody who has locked the table `item` for writing, until the block ends."""
    argv = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "--batch", "--unbuffered", database]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write(b"LOCK TABLES item WRITE; SELECT 'held';\n")
    holder.stdin.flush()
    until(lambda: holder.stdout is not None and holder.stdout.readline() in (b"held\n", b""))
    return holder
