"""The first packet of a server, read before any client is chosen: vendor, version, whether TLS is offered.

The server speaks first (MySQL internals, Protocol::HandshakeV10; MariaDB, connection phase). A server counts who leaves
after it as an aborted connection; the successful one that follows sets the count of its host back.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

from drorch.domain.errors import Busy, Refused, Unavailable
from drorch.engines.mysql_family.place import Place
from drorch.engines.mysql_family.vendor import Series, Vendor

CONNECT_TIMEOUT = 15
"""Seconds for one attempt to connect."""

_CLIENT_SSL = 0x0800
_PROTOCOL = 10
_ERROR = 0xFF
_LARGEST = 64 * 1024
_BUSY = frozenset({1040, 1203, 1226})
"""Too many connections: of the server, of a user, of a resource."""
_FALSE_PREFIX = "5.5.5-"
"""MariaDB puts it before its version, lest old replicas take 10 for 1."""
_SERIES = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who answered. `version` as the server says it, without MariaDB's false prefix."""

    version: str
    mariadb: bool
    tls: bool

    @property
    def series(self) -> Series:
        """Major and minor version."""
        return series(self.version)


def series(version: str) -> Series:
    """Major and minor number of a version's text. Refused when it has none."""
    match = _SERIES.search(version)
    if match is None:
        raise Refused("this version cannot be read", cause=version[:80])
    return int(match[1]), int(match[2])


def parse(packet: bytes) -> Greeting:
    """The greeting of an initial packet's payload. Refused, Busy: the server's own no; Refused for another protocol."""
    if packet[:1] == bytes([_ERROR]) and len(packet) >= 3:
        code = int(struct.unpack_from("<H", packet, 1)[0])
        text = packet[3:].decode("utf-8", "replace").strip()
        kind = Busy if code in _BUSY else Refused
        raise kind("the server does not let this host connect", cause=f"{code}: {text}")
    end = packet.find(b"\0", 1)
    if packet[:1] != bytes([_PROTOCOL]) or end < 0 or len(packet) < end + 16:
        raise Refused("this is no MariaDB or MySQL server", cause=f"it began with {packet[:16]!r}")
    version = packet[1:end].decode("utf-8", "replace")
    (capabilities,) = struct.unpack_from("<H", packet, end + 14)  # thread id 4, scramble 8, filler 1
    return Greeting(
        version=version.removeprefix(_FALSE_PREFIX),
        mariadb="mariadb" in version.lower(),
        tls=bool(capabilities & _CLIENT_SSL),
    )


def greet(place: Place, operation: str) -> Greeting:
    """Connect, read the greeting, leave. Unavailable when nobody answers; else as `parse`."""
    where = {"operation": operation, "resource": place.shown}
    try:
        with _connected(place) as connection:
            size = int.from_bytes(_exactly(connection, 4)[:3], "little")
            packet = _exactly(connection, min(size, _LARGEST))
    except (OSError, EOFError) as error:
        raise Unavailable("the database cannot be reached", cause=str(error), **where) from error
    try:
        return parse(packet)
    except (Refused, Busy) as error:
        error.operation, error.resource = operation, place.shown
        raise


def check(vendor: Vendor, greeting: Greeting, place: Place, operation: str) -> None:
    """Refused unless the server is of the vendor, not too old, and offers the TLS that is wanted."""
    where = {"operation": operation, "resource": place.shown}
    if greeting.mariadb != (vendor.kind == "mariadb"):
        found, kind = ("MariaDB", "mariadb") if greeting.mariadb else ("MySQL", "mysql")
        raise Refused(
            f"the server is {found} {greeting.version}, not {vendor.name}",
            hint=f"say `kind: {kind}` ({kind}:// for a target); dumps of one are not restored into the other",
            **where,
        )
    if greeting.series < vendor.oldest:
        oldest = ".".join(map(str, vendor.oldest))
        raise Refused(f"the server is {vendor.name} {greeting.version}; {oldest} or newer is needed", **where)
    if place.tls in ("verify-full", "require") and not greeting.tls:
        raise Refused("the server offers no TLS", hint="enable it there, or say `tls: off`", **where)


def _connected(place: Place) -> socket.socket:
    if not place.socket:
        return socket.create_connection((place.host, place.port), CONNECT_TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.connect(place.socket)
    except BaseException:
        connection.close()
        raise
    return connection


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError("it closed the connection before it said who it is")
        found += part
    return bytes(found)
