"""A real MariaDB server for tests, Debian's, in a private folder: over its socket, and over TCP with TLS."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgservers import certificates, free_port

from drorch.engines.mariadb import Connection, Options
from drorch.engines.mariadb.engine import MARIADB
from drorch.engines.mysql_family.server import PrivateServer

PASSWORD = "s3cret: #word\\with\"mark's"


@dataclass
class RunningMariadb:
    """A running server and the authority that signed its certificate (for the name `localhost`)."""

    server: PrivateServer
    ca: Path
    port: int

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return str(self.server.socket)

    def ask(self, *statements: str, database: str = "", delimiter: str = ";") -> list[list[str]]:
        """All rows of statements run by the superuser with Debian's client."""
        argv = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names"]
        argv += ["--default-character-set=utf8mb4", "--raw", f"--delimiter={delimiter}"]
        text = "".join(f"{statement}{delimiter}\n" for statement in statements)
        command = [*argv, *([f"--database={database}"] if database else [])]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def value(self, query: str, database: str = "") -> str:
        """The single value of a query."""
        return self.ask(query, database=database)[0][0]

    def database(self, *statements: str, name: str = "") -> str:
        """A new database with what `statements` make in it."""
        name = name or f"db_{uuid.uuid4().hex[:8]}"
        self.ask(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        if statements:
            self.ask(*statements, database=name, delimiter="//")
        return name

    def user(self, grants: str = "", password: str = "") -> str:
        """A new user; `grants` such as ``SELECT ON db.*``."""
        name = f"user_{uuid.uuid4().hex[:8]}"
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        self.ask(
            f"CREATE USER {name}@'%' IDENTIFIED BY '{quoted}'", *([f"GRANT {grants} TO {name}@'%'"] if grants else [])
        )
        return name

    def exists(self, database: str) -> bool:
        """Whether there is a database of this name that is no unfinished restore."""
        if [database] not in self.ask("SHOW DATABASES"):
            return False
        return ["drorch_unfinished_restore"] not in self.ask("SHOW TABLES", database=database)

    def options(self, database: str, user: str = "root", **more: object) -> Options:
        """A policy's connection, over the socket unless `host` says otherwise."""
        values = {"host": self.socket, "port": self.port, "database": database, "user": user, **more}
        return Options(connection=Connection.model_validate(values))

    def url(self, database: str, user: str = "root") -> str:
        """A restore target over the socket."""
        return f"mariadb:///{database}?socket={self.socket}&user={user}"

    def checksums(self, database: str) -> dict[str, str]:
        """CHECKSUM TABLE of every table but system-versioned ones, in which the time of loading counts."""
        query = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
        tables = [row[0] for row in self.ask(f"{query} AND table_schema = database()", database=database)]
        quoted = {name: name.replace("`", "``") for name in tables}
        return {name: self.ask(f"CHECKSUM TABLE `{text}`", database=database)[0][1] for name, text in quoted.items()}


@contextmanager
def running_mariadb() -> Iterator[RunningMariadb]:
    """Start a server with TLS over TCP; everything is gone at the end."""
    base = Path(tempfile.mkdtemp(prefix="drorch-test-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    base.chmod(0o755)
    try:
        ca = certificates(base)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("mysql")
            os.chown(base / "server.key", owner.pw_uid, owner.pw_gid)
        port = free_port()
        settings = [
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--ssl-cert={base / 'server.crt'}",
            f"--ssl-key={base / 'server.key'}",
            f"--ssl-ca={ca}",
        ]
        program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        with PrivateServer(MARIADB, "/usr/bin/mariadb-install-db", program, base / "my", settings) as server:
            yield RunningMariadb(server, ca, port)
    finally:
        shutil.rmtree(base, ignore_errors=True)
