"""Real databases behind RDS: instances, their snapshots and their restores live in one embedded PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg
from psycopg import sql

from drorch.demo.postgres import SUPERUSER, EmbeddedPostgres
from drorch.domain.errors import Unavailable

_NAME_BYTES = 63


class RdsDatabases:
    """The hook for ``EmbeddedAws(rds_databases=...)``. A database that exists already is adopted, data and all.

    The MasterUsername ``postgres`` is the server's own superuser and keeps its password; take another one.
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._regions: dict[str, str] = {}

    @property
    def endpoint(self) -> tuple[str, int]:
        """Address and port that every DB instance shows."""
        return "127.0.0.1", self._server.port

    def open(self, region: str, name: str, user: str, password: str) -> None:
        """Make sure that the database exists, owned by a role that, as on RDS, is no superuser."""
        with self._lock, psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            role = sql.Identifier(user)
            if user != SUPERUSER:
                known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).fetchone()
                verb = sql.SQL("CREATE" if known is None else "ALTER")
                options = sql.SQL("LOGIN CREATEDB CREATEROLE PASSWORD {}").format(sql.Literal(password))
                connection.execute(sql.SQL("{} ROLE {} {}").format(verb, role, options))
            if not _exists(connection, name):
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), role))
            self._regions[name] = region

    def copy(self, region: str, source: str, wish: str) -> str:
        """Copy `source` under a free name made from `wish`, while it is in use if need be."""
        stem = re.sub(r"[^a-z0-9]+", "_", wish.lower()).strip("_")[: _NAME_BYTES - 4]
        with self._lock, psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            name, number = stem, 1
            while _exists(connection, name):
                number += 1
                name = f"{stem}_{number}"
            owner = connection.execute(
                "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [source]
            ).fetchone()
            in_use = connection.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [source]).fetchone()
            template = source if in_use is None else "template0"
            parts = [name, str(owner[0]) if owner else SUPERUSER, template]
            command = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
            connection.execute(command.format(*map(sql.Identifier, parts)))
            if in_use is not None:  # PostgreSQL refuses a template in use, after waiting for 5 s
                self._pipe(source, name)
            self._regions[name] = region
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected; harmless when absent."""
        with self._lock, psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            self._regions.pop(name, None)

    def lose(self, region: str, *, lost: bool) -> None:
        """Cut off (or give back) every database of a region: connections end, new ones are refused."""
        with self._lock, psycopg.connect(self._server.dsn(), autocommit=True) as connection:
            for name in [name for name, where in self._regions.items() if where == region]:
                allow = sql.SQL("false" if lost else "true")
                connection.execute(
                    sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), allow)
                )
                if lost:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                    )

    def _pipe(self, source: str, target: str) -> None:
        """Copy with pg_dump and pg_restore: a template must not be in use, a dump's source may."""
        host, port = self.endpoint
        with tempfile.TemporaryDirectory(prefix="drorch-rds-") as folder:
            passfile = Path(folder) / "passfile"
            descriptor = os.open(passfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{host}:{port}:*:{SUPERUSER}:{self._server.password}\n")
            environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PGPASSFILE": str(passfile)}
            where = ["--no-password", "-h", host, "-p", str(port), "-U", SUPERUSER]
            archive = Path(folder) / "archive"
            for program, arguments in (
                ("pg_dump", ["-Fc", "-Z0", "-f", str(archive), source]),
                ("pg_restore", ["--single-transaction", "-d", target, str(archive)]),
            ):
                command = [str(self._server.bin_folder / program), *where, *arguments]
                done = subprocess.run(command, env=environment, capture_output=True, check=False)
                if done.returncode:
                    cause = done.stderr.decode(errors="replace").strip()[-500:]
                    raise Unavailable(f"{program} failed", operation="copy a database", resource=source, cause=cause)


def _exists(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None
