"""Where a PostgreSQL server is and how it is reached, for our own sessions and for the client programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from drorch.domain.errors import Refused, Usage
from drorch.engines.postgres.options import Connection, is_local

CONNECT_TIMEOUT = 15
"""Seconds for one attempt to connect."""

_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 6}
"""A session sleeps for hours while its dump streams; firewalls forget connections that are silent."""

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Place:
    """One database of one server. `host` "" and `user` "" mean libpq's own defaults; the password is never shown."""

    host: str
    port: int
    database: str
    user: str
    sslmode: str
    password: str | None = field(default=None, repr=False)
    ca: str = ""
    session: str = "drorch"
    """What the server shows of our sessions (`application_name`)."""

    @property
    def shown(self) -> str:
        """The place as people read it: no user, no password."""
        return f"{self.host or 'local socket'}:{self.port}/{self.database}"

    def watching(self) -> Place:
        """The same, for a session that is not one of those it looks at."""
        return replace(self, session="drorch watchdog")

    def at(self, database: str) -> Place:
        """Another database of the same server."""
        return replace(self, database=database)

    def parameters(self) -> dict[str, str | int]:
        """libpq's parameters, without the password."""
        found: dict[str, str | int] = {"port": self.port, "dbname": self.database, "sslmode": self.sslmode}
        if self.host:
            found["host"] = self.host
        if self.user:
            found["user"] = self.user
        if self.sslmode.startswith("verify") and (bundle := self.ca or default_bundle()):
            found["sslrootcert"] = bundle
        elif self.ca:
            found["sslrootcert"] = self.ca
        return found | _KEEPALIVES | {"connect_timeout": CONNECT_TIMEOUT, "application_name": self.session}

    def conninfo(self) -> str:
        """The parameters as one string for a program's ``--dbname``; holds no password."""
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in self.parameters().items())


def _quoted(value: str) -> str:
    """libpq, 32.1.1.1: single quotes, with backslashes before quotes and backslashes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def default_bundle() -> str:
    """The certificates that are trusted when none are named: libpq's own default, else the system's bundle.

    Named explicitly because ``sslrootcert=system`` is not known to programs before version 16.
    """
    own = Path.home() / ".postgresql" / "root.crt"
    named = os.environ.get("PGSSLROOTCERT") or os.environ.get("SSL_CERT_FILE")
    candidates = [*([named] if named else []), str(own), *_BUNDLES]
    return next((path for path in candidates if Path(path).is_file()), "")


def from_connection(connection: Connection, secrets: Mapping[str, str]) -> Place:
    """The place that a policy names. Refused when its credential has no value."""
    password: str | None = None
    if connection.password is not None:
        name = connection.password.credential
        if name not in secrets:
            raise Refused("the credential has no value", resource=name, hint="see `credentials:` of the configuration")
        password = secrets[name]
        _check_password(password, name)
    if connection.database is None:
        raise Refused("several databases are meant, and one can be connected to", resource=connection.host)
    return Place(
        host=connection.host,
        port=connection.port,
        database=connection.database,
        user=connection.user,
        sslmode=connection.sslmode,
        password=password,
        ca=connection.ca or "",
    )


def _check_password(password: str, name: str) -> None:
    if not password or "\n" in password or "\x00" in password:
        raise Refused("a database password must be one line that is not empty", resource=name)


def from_url(url: str, password: str | None) -> Place:
    """The place of ``postgresql://[user@]host[:port]/db`` or ``postgresql:///db?host=/socket&user=NAME``.

    The keys host, port, user, sslmode and sslrootcert may stand in the query. TLS is verified (``verify-full``) unless
    the host is local or `sslmode` says otherwise. Usage for anything else, above all a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Usage("the target is no valid URL", hint=_FORM) from error
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.password is not None or {"password", "passfile"} & query.keys():
        raise Usage(
            "a password inside the target is refused",
            hint="put it into ~/.pgpass, PGPASSWORD or a file named by --into-password-file",
        )
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise Usage("the target is no PostgreSQL URL", hint=_FORM)
    if unknown := query.keys() - {"host", "port", "user", "sslmode", "sslrootcert"}:
        raise Usage(f"unknown key in the target: {', '.join(sorted(unknown))}", hint=_FORM)
    database = unquote(parts.path.removeprefix("/"))
    if not database or "\x00" in database:
        raise Usage("the target names no database", hint=_FORM)
    host = query.get("host") or unquote(parts.hostname or "") or os.environ.get("PGHOST", "")
    if "," in host or "," in parts.netloc:
        raise Usage("the target names one host; lists of hosts are not supported", hint=_FORM)
    user = query.get("user") or unquote(parts.username or "")
    ca = query.get("sslrootcert", "")
    if "\x00" in host + user + ca:
        raise Usage("the target holds a NUL, which no client program can be given", hint=_FORM)
    if password is not None:
        _check_password(password, "password file")
    return Place(
        host=host,
        port=_port(query.get("port"), port),
        database=database,
        user=user,
        sslmode=_sslmode(query.get("sslmode"), host),
        password=password,
        ca=ca,
    )


_FORM = "postgresql://[user@]host[:port]/db or postgresql:///db?host=/socket-folder"


def _port(text: str | None, port: int | None) -> int:
    raw = text or (str(port) if port is not None else os.environ.get("PGPORT", "5432"))
    if not raw.isdecimal() or len(raw) > len("65535") or not 1 <= int(raw) <= 65535:
        raise Usage(f"{raw[:20]!r} is no port", hint=_FORM)
    return int(raw)


def _sslmode(word: str | None, host: str) -> str:
    if word is None:
        return "prefer" if not host or is_local(host) else "verify-full"
    if word not in _SSL_MODES:
        raise Usage(f"sslmode is one of {', '.join(_SSL_MODES)}, not {word!r}", hint=_FORM)
    return word
