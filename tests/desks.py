"""An installation of drorch as a person has it on a desk: a configuration, policies, keys, and commands typed at it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from clouds import REGIONS, aws_environment, client, embedded_aws, embedded_gcs, volume
from pgservers import Running, debian, running

from drorch.cli.main import main
from drorch.crypto.age import new_identity
from drorch.crypto.minisign import SecretKey
from drorch.demo.aws import ACCOUNT, EmbeddedAws
from drorch.demo.gcs import EmbeddedGcs

HOME, AWAY = REGIONS[0], REGIONS[1]
BUCKET = "acme-dr"
ALIAS = "alias/drorch"
PASSWORD = "s3cret-of-the-orders"
ROWS = 500

EBS = f"""\
  - name: data
    kind: ebs
    select: {{tags: {{app: shop}}}}
    schedule: {{every: 4h}}
    copies: [{{region: {AWAY}, kms_key: {ALIAS}}}]
    keep: {{last: 3}}
    exempt: {{provider: "rendered again from their masters"}}
"""
RDS = f"""\
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {{every: 4h}}
    copies: [{{region: {AWAY}, kms_key: {ALIAS}}}]
    keep: {{last: 3}}
    exempt: {{provider: "rebuilt from the bank's feed"}}
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; an error when there is anything else."""
        return json.loads(self.out)


@dataclass
class Surroundings:
    """What lies outside an installation: a cloud or two and a database server, shared by the tests of a module."""

    server: Running
    aws: EmbeddedAws | None = None
    gcs: EmbeddedGcs | None = None


@contextmanager
def surroundings(*, clouds: bool) -> Iterator[Surroundings]:
    """Start them; everything is gone at the end."""
    with ExitStack() as stack:
        server = stack.enter_context(running(debian()))
        server.run(f"CREATE ROLE backup LOGIN PASSWORD '{PASSWORD}'")
        aws = stack.enter_context(embedded_aws()) if clouds else None
        gcs = stack.enter_context(embedded_gcs(BUCKET)) if clouds else None
        yield Surroundings(server, aws, gcs)


class Desk:
    """One installation in `folder`: site acme, application shop with the dump `orders`, keys, vaults, commands."""

    def __init__(self, folder: Path, around: Surroundings, *, tls: str = "off") -> None:
        self.folder = folder
        self.around = around
        self.server = around.server
        self.tls = tls
        self.policies = folder / "policies"
        self.state = folder / "state"
        self.nas = folder / "nas"
        self.config = folder / "drorch.yaml"
        self.database = self.server.database(owner="backup")
        self.server.run(
            "CREATE TABLE orders (id int PRIMARY KEY, placed_at timestamptz DEFAULT now(), what text)",
            f"INSERT INTO orders SELECT n, now(), md5(n::text) FROM generate_series(1, {ROWS}) n",  # noqa: S608
            "ALTER TABLE orders OWNER TO backup",
            database=self.database,
        )
        identity, self.recipient = new_identity()
        self.signing = SecretKey.generate()
        self.identity = identity
        for made in (self.policies, self.nas):
            made.mkdir()
        self.secret("key.txt", identity + "\n")
        self.secret("signing.key", self.signing.text())
        self.secret("orders-db.password", PASSWORD + "\n")
        (folder / "minisign.pub").write_text(self.signing.public.file_text())
        self.environ: dict[str, str] = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.vaults = ["nas"]
        if around.aws is not None and around.gcs is not None:
            self._clouds(around.aws, around.gcs)
            self.vaults += ["gcs-eu"]
        self.write_config()
        self.write_policy()

    # --- its files ---

    def secret(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def write_config(self, more: str = "", **lines: str) -> None:
        """`lines` replace top-level lines of the configuration by their key; "" leaves one out."""
        gcs = f"  gcs-eu: {{type: gcs, bucket: {BUCKET}, prefix: {self.prefix}, region: europe-west1}}\n"
        parts = {
            "site": "site: acme",
            "policies": "policies: policies/",
            "state": "state: state",
            "vaults": f"vaults:\n  nas: {{type: directory, path: {self.nas}, provider: onprem, region: office}}\n"
            + (gcs if "gcs-eu" in self.vaults else "").rstrip("\n"),
            "aws": f'aws: {{accounts: {{prod: {{id: "{ACCOUNT}"}}}}}}',
            "encryption": f"encryption: {{recipients: [{self.recipient}], identities: [{{file: key.txt}}]}}",
            "signing": f'signing: {{key: {{file: signing.key}}, trusted: ["{self.signing.public.text()}"]}}',
            "credentials": "credentials: {orders-db: {file: orders-db.password, applications: [shop]}}",
            "tools": f"tools: {{postgres: [{self.server.binaries}]}}",
            "drills": "drills: {scratch: {postgres: private}}",
        }
        text = "\n".join(["version: 1", *(line for line in (parts | lines).values() if line), more])
        self.config.write_text(text + "\n")

    def write_policy(self, name: str = "shop", resources: str = "", **changes: str) -> Path:
        """A policy of the orders, and of more `resources`; `changes` replace parts by their names."""
        parts = {
            "objectives": "objectives: {region: {rpo: 9h, rto: 2h}, provider: {rpo: 2d}}",
            "home": f"home: {{account: prod, region: {HOME}}}",
            "connection": f"{{host: 127.0.0.1, port: {self.server.server.port}, database: {self.database},"
            f" user: backup, password: {{credential: orders-db}}, tls: {self.tls}}}",
            "schedule": "{every: 6h}",
            "vaults": f"[{', '.join(self.vaults)}]",
            "keep": "{last: 3, daily: 7}",
            "drill": "{every: 7d, probes: [{sql: select count(*) from orders, expect: '>= 1'}]}",
        } | changes
        drill = f"    drill: {parts['drill']}\n" if parts["drill"] else ""
        path = self.policies / f"{name}.yaml"
        path.write_text(
            f"version: 1\napplication: {name}\nowner: shop@example.com\n{parts['home']}\n{parts['objectives']}\n"
            f"resources:\n{resources}"
            f"  - name: orders\n    kind: postgres\n    connection: {parts['connection']}\n"
            f"    schedule: {parts['schedule']}\n    vaults: {parts['vaults']}\n    keep: {parts['keep']}\n{drill}"
        )
        return path

    # --- what is typed at it ---

    def drorch(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Said:
        """A command in this process, found by --config."""
        return typed("--config", str(self.config), *arguments, environ=self.environ | dict(environ or {}))

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> Said:
        """A command in a process of its own."""
        with self.start(*arguments, environ=environ, **more) as process:
            out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """A command in a process of its own, under way."""
        command = [sys.executable, "-m", "drorch", "--config", str(self.config), *arguments]
        return start(command, self.environ | dict(environ or {}), **more)

    def ready(self, *arguments: str) -> Said:
        """Vaults marked, and one `run --once`."""
        for name in self.vaults:
            done = self.drorch("vault", "init", name)
            assert done.code == 0, done.err
        return self.drorch("run", "--once", *arguments)

    def points(self, *arguments: str) -> list[dict[str, Any]]:
        """What `points --json` lists of the shop."""
        said = self.drorch("points", "shop", *arguments, "--json")
        assert said.code == 0, said.err
        found: list[dict[str, Any]] = said.json["points"]
        return found

    # --- its clouds ---

    @property
    def prefix(self) -> str:
        return self.folder.name.lower().replace("_", "-")[-40:]

    def _clouds(self, aws: EmbeddedAws, gcs: EmbeddedGcs) -> None:
        aws.reset()
        self.environ |= aws_environment(aws.endpoint_url) | {"STORAGE_EMULATOR_HOST": gcs.url}
        for region in (HOME, AWAY):
            key = client(aws, "kms", region).create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
            client(aws, "kms", region).create_alias(AliasName=ALIAS, TargetKeyId=key)
            if region == HOME:
                volume(aws, key=key, app="shop")
                client(aws, "rds").create_db_instance(
                    DBInstanceIdentifier="shop-ledger",
                    DBInstanceClass="db.m6g.large",
                    Engine="postgres",
                    AllocatedStorage=20,
                    MasterUsername="ledger",
                    MasterUserPassword="not-asked-for",
                    StorageEncrypted=True,
                    KmsKeyId=key,
                )


def start(command: list[str], environ: Mapping[str, str], **more: Any) -> subprocess.Popen[str]:
    """A process with exactly this environment."""
    return subprocess.Popen(
        command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def typed(*arguments: str, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Said:
    """A command in this process, in `environ` alone when one is given, in `folder`. Nothing of it stays behind."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before, code = dict(os.environ), None
    root, excepthook = logging.getLogger(), threading.excepthook
    log_handlers, level, told = root.handlers[:], root.level, logging.raiseExceptions
    try:
        if environ is not None:
            os.environ.clear()
            os.environ.update(environ)
        stay = contextlib.chdir(folder) if folder else contextlib.nullcontext()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), stay:
            main(list(arguments))
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        structlog.reset_defaults()
        root.handlers[:], logging.raiseExceptions, threading.excepthook = log_handlers, told, excepthook
        root.setLevel(level)
        logging.captureWarnings(capture=False)
    assert isinstance(code, int), f"ended with {code!r}"
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Said(code, out.getvalue(), err.getvalue())
