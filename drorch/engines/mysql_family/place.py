"""Where a server is and how it is reached; how an option file says so."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from drorch.domain.errors import Refused, Usage
from drorch.engines.mysql_family.options import Connection, is_local

PORT = 3306
_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108  vendors' defaults
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_TLS_WORDS = ("verify-full", "require", "off")


@dataclass(frozen=True, slots=True)
class Place:
    """One database of one server. `socket` or `host`; `tls` is the contract's word or `prefer`; the password is never
    shown.
    """

    host: str
    port: int
    database: str
    user: str
    tls: str
    password: str | None = field(default=None, repr=False)
    ca: str = ""
    socket: str = ""

    @property
    def shown(self) -> str:
        """The place as people read it: no user, no password."""
        return f"{self.socket or f'{self.host}:{self.port}'}/{self.database}"

    def at(self, database: str) -> Place:
        """Another database of the same server."""
        return replace(self, database=database)


def option_lines(place: Place, tls: Mapping[str, tuple[str, ...] | list[str]], *, offered: bool) -> str:
    """An option file for every client program (MariaDB, "Option files"; MySQL, 4.2.2.2). Holds the password.

    Programs read no other file, so that nothing of this host's own configuration changes what is dumped. The largest
    packet is the protocol's, since a row must fit into one.
    """
    where = [f"socket={_quoted(place.socket)}", "protocol=socket"] if place.socket else []
    if not place.socket:
        # A program takes the host `localhost` for its socket unless it is told the protocol.
        where = [f"host={_quoted(place.host)}", f"port={place.port}", "protocol=tcp"]
    lines = ["[client]", *where, f"user={_quoted(place.user)}"]
    lines += [f"password={_quoted(place.password)}"] if place.password else []
    word = place.tls if place.tls != "prefer" else ("require" if offered and not place.socket else "off")
    lines += tls[word]
    if word == "verify-full" and (bundle := place.ca or default_bundle()):
        lines.append(f"ssl-ca={_quoted(bundle)}")
    lines += ["default-character-set=utf8mb4", "max-allowed-packet=1G", "[mysql]", "connect-timeout=15", ""]
    return "\n".join(lines)


def _quoted(value: str) -> str:
    r"""Within quotes only the backslash and the quote need one before them."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def default_bundle() -> str:
    """The system's bundle of certificates; "" where none is found."""
    named = os.environ.get("SSL_CERT_FILE")
    return next((path for path in ([named] if named else []) + list(_BUNDLES) if Path(path).is_file()), "")


def from_connection(connection: Connection, secrets: Mapping[str, str]) -> Place:
    """The place that a policy names. Refused when its credential has no value."""
    password: str | None = None
    if connection.password is not None:
        name = connection.password.credential
        if name not in secrets:
            raise Refused("the credential has no value", resource=name, hint="see `credentials:` of the configuration")
        password = _checked(secrets[name], name)
    socket = connection.host if connection.host.startswith("/") else ""
    return Place(
        host="" if socket else connection.host,
        port=connection.port,
        database=connection.database,
        user=connection.user,
        tls=_tls_word(connection.tls, connection.host),
        password=password,
        ca=connection.ca or "",
        socket=socket,
    )


def _checked(password: str, name: str) -> str:
    if not password or not password.isprintable():
        raise Refused("a database password must be one line of text that is not empty", resource=name)
    return password


def _tls_word(word: str | None, host: str) -> str:
    if host.startswith("/"):
        return "off"
    return word or ("prefer" if is_local(host) else "verify-full")


def form(scheme: str) -> str:
    """The forms of a target."""
    return f"{scheme}://[user@]host[:port]/db or {scheme}:///db?socket=/path&user=NAME"


def from_url(url: str, password: str | None, scheme: str) -> Place:
    """The place of ``SCHEME://[user@]host[:port]/db`` or ``SCHEME:///db?socket=/path&user=NAME``.

    The keys socket, user, tls and ca may stand in the query. TLS is verified unless the host is local or `tls` says
    otherwise. Without a host the vendors' usual sockets are tried, without a user it is this process's. Without
    `password` the variable MYSQL_PWD gives one. Usage for anything else, above all a password.
    """
    hint = form(scheme)
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
        host = unquote(parts.hostname or "")
    except ValueError as error:
        raise Usage("the target is no valid URL", hint=hint) from error
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.password is not None or "password" in query:
        raise Usage("a password inside the target is refused", hint="MYSQL_PWD, or --into-password-file FILE")
    if parts.scheme != scheme or parts.fragment:
        raise Usage(f"the target is no {scheme} URL", hint=hint)
    if unknown := query.keys() - {"socket", "user", "tls", "ca"}:
        raise Usage(f"unknown key in the target: {', '.join(sorted(unknown))}", hint=hint)
    database = unquote(parts.path.removeprefix("/"))
    user = query.get("user") or unquote(parts.username or "") or pwd.getpwuid(os.geteuid()).pw_name
    socket = query.get("socket") or ("" if host else _usual_socket())
    values = (database, user, host, socket, query.get("ca", ""))
    if not database or len(database) > 64 or "," in host or not all(value.isprintable() for value in values):
        raise Usage("the target names no database, or more than one host", hint=hint)
    if query.get("tls") not in (None, *_TLS_WORDS):
        raise Usage(f"tls is one of {', '.join(_TLS_WORDS)}", hint=hint)
    if socket and (host or not socket.startswith("/")):
        raise Usage("the target names a host or the absolute path of a socket", hint=hint)
    secret = password if password is not None else os.environ.get("MYSQL_PWD")
    return Place(
        host=host,
        port=port,
        database=database,
        user=user,
        tls=_tls_word(query.get("tls"), socket or host),
        password=_checked(secret, "password file") if secret is not None else None,
        ca=query.get("ca", ""),
        socket=socket,
    )


def _usual_socket() -> str:
    return next((path for path in _SOCKETS if Path(path).exists()), _SOCKETS[0])
