"""A real PostgreSQL with data of a chosen size, and an installation of drorch that dumps it into directory vaults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Wrong
from drorch.crypto import age, minisign
from drorch.demo.postgres import EmbeddedPostgres

MIB = 1 << 20
ACCOUNT = "123456789012"
"""The embedded AWS's."""
_ROW_BYTES = 400

_ROWS = """
create table orders (id bigint primary key, placed_at timestamptz, customer text, note text, token bytea);
insert into orders
select n, timestamptz '2026-01-01' + n * interval '1 second', 'customer ' || n % 5000,
       repeat('to be delivered to the back door, please; ', 2 + n % 4), decode(md5(n::text) || md5((-n)::text), 'hex')
       || decode(md5((n * 7)::text) || md5((n * 11)::text), 'hex') || decode(md5((n * 13)::text), 'hex')
from generate_series(1, {rows}) as n;
create index on orders (customer);
analyze;
"""

_CONFIG = """\
version: 1
site: bench
policies: policies/
state: state
vaults:
{vaults}
aws: {{accounts: {{prod: {{id: "{account}"}}}}}}
encryption: {{recipients: [{recipient}]}}
signing: {{key: {{file: minisign.key}}}}
credentials:
  db: {{file: db.password, applications: [{applications}]}}
tools: {{postgres: [{programs}]}}
"""

_POLICY = """\
version: 1
application: {name}
home: {{account: prod, region: us-east-1}}
objectives: {{region: {{rpo: 2d, rto: 1d}}}}
resources:
  - name: orders
    kind: postgres
    connection: {{host: 127.0.0.1, port: {port}, database: shop, user: postgres, password: {{credential: db}}}}
    schedule: {{every: 1d}}
    vaults: [{vaults}]
    keep: {{last: 3}}
"""


@dataclass(frozen=True)
class Desk:
    """Where everything lies. `env` is what client programs need to reach the server."""

    folder: Path
    server: EmbeddedPostgres
    recipient: str
    env: dict[str, str]

    @property
    def identity(self) -> Path:
        """The age identity that opens every dump."""
        return self.folder / "identity.txt"

    def drorch(self, *words: str) -> list[str]:
        """A command of drorch on this desk."""
        return [sys.executable, "-m", "drorch", "--config", str(self.folder / "drorch.yaml"), *words]

    def furnish(self, vaults: Mapping[str, str], applications: Mapping[str, Sequence[str]]) -> None:
        """Configure it: vaults by their lines of YAML, and which application dumps the database into which of them."""
        text = _CONFIG.format(
            vaults="\n".join(f"  {name}: {{{line}}}" for name, line in vaults.items()),
            applications=", ".join(applications),
            account=ACCOUNT,
            recipient=self.recipient,
            programs=self.server.programs,
        )
        (self.folder / "drorch.yaml").write_text(text)
        for name, used in applications.items():
            policy = _POLICY.format(name=name, port=self.server.port, vaults=", ".join(used))
            (self.folder / "policies" / f"{name}.yaml").write_text(policy)
        for name in vaults:
            _run(self.drorch("vault", "init", name), self.env)

    def directory(self, name: str) -> str:
        """The line of a vault that is a new folder of the desk."""
        (self.folder / name).mkdir()
        return f"type: directory, path: {self.folder / name}, provider: onprem, region: {name}"

    def program(self, name: str) -> str:
        """A client program of the server's version."""
        return str(self.server.programs / name)

    def newest(self, vault: str, application: str) -> Path:
        """The data of the newest dump in a vault."""
        below = self.folder / vault / "drorch/v1/data" / application
        return max(below.glob("orders/*/data.pgcustom.zst.age"), key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def desk(folder: Path, size: int) -> Iterator[Desk]:
    """`size` in bytes of dump, about; nothing is configured yet (`furnish`). The server is gone at the end, the folder
    is the caller's.
    """
    folder.chmod(0o755)  # the server runs under another uid
    with EmbeddedPostgres(folder) as server:
        env = {**os.environ, "PGPASSWORD": server.password, "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        env["PGUSER"] = "postgres"
        made = Desk(folder, server, _keys(folder), env)
        _run([made.program("psql"), "-qc", "create database shop", "postgres"], env)
        rows = size // _ROW_BYTES
        _run([made.program("psql"), "-qc", _ROWS.format(rows=rows), "shop"], env)
        (folder / "db.password").write_text(server.password)
        (folder / "db.password").chmod(0o600)
        (folder / "policies").mkdir()
        yield made


def _keys(folder: Path) -> str:
    identity, recipient = age.new_identity()
    (folder / "identity.txt").write_text(identity + "\n")
    (folder / "identity.txt").chmod(0o600)
    key = minisign.SecretKey.generate()
    (folder / "minisign.key").write_text(key.text())
    (folder / "minisign.pub").write_text(key.public.text() + "\n")
    (folder / "minisign.key").chmod(0o600)
    return recipient


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr[-2000:]}")
