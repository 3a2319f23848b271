"""The demo's installation as a person would write it: `drorch.yaml`, a policy, keys and secrets in one folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from drorch.crypto import age, minisign
from drorch.demo.aws import ACCOUNT
from drorch.domain.errors import Refused, Unavailable

HOME, SECOND, THIRD = "us-east-1", "us-west-2", "eu-west-1"
"""Where the shop lives, where its snapshots are copied to, where its bucket is."""
SITE, APPLICATION = "demo", "shop"
S3_BUCKET, GCS_BUCKET = "shop-dr", "shop-dr-offsite"
S3, GCS, DIRECTORY = "s3-eu", "gcs-eu", "office"
"""The object vaults by name."""
KEY_ALIAS = "alias/drorch"
LEDGER, ORDERS_INSTANCE, ORDERS = "shop-ledger", "shop-orders", "orders"
USER = "shop"
"""The role that owns the orders and that dumps them; no superuser, as on RDS."""

_CONFIG = """\
# The host configuration of `drorch demo`.
version: 1
site: {site}
policies: policies/
state: state
tick: 60s
grace: 3s                        # so that the demo need not wait for three days
vaults:
{clouds}
  {directory}: {{type: directory, path: {vault}, provider: onprem, region: office}}
aws:
  accounts:
    prod: {{id: "{account}"}}
encryption:
  recipients: [{recipient}]
  identities: [{{file: key.txt}}]
signing:
  key: {{file: minisign.key}}
  trusted: ["{trusted}"]
credentials:
  orders-db: {{file: orders-db.password, applications: [{application}]}}
tools: {{postgres: [{programs}]}}
drills: {{scratch: {{postgres: private}}}}
"""

_CLOUDS = """\
  {s3}: {{type: s3, bucket: {s3_bucket}, account: prod, region: {third}}}
  {gcs}: {{type: gcs, bucket: {gcs_bucket}, region: europe-west4}}"""

_POLICY = """\
# What the shop promises, and what keeps the promise.
version: 1
application: {application}
owner: shop@example.com
home: {{account: prod, region: {home}}}

objectives:
  zone:     {{rpo: 9h, rto: 1h}}
  region:   {{rpo: 9h, rto: 2h}}
  provider: {{rpo: 2d, rto: 12h}}

{recovery}resources:
{native}
  - name: orders                 # a dump, encrypted before it leaves the host
    kind: postgres
{connection}
    schedule: {{every: 6h}}
    vaults: [{vaults}]
    keep: {{last: 3, daily: 14}}
    drill:
      every: 7d
      from: [{drilled}]
      probes:
        - {{sql: "select count(*) from orders", expect: ">= 10000"}}
        - {{sql: "select max(placed_at) from orders", newer_than: 12h}}
"""

_NATIVE = """\
  - name: data                   # the web server's volumes as one crash-consistent set, and a volume of its own
    kind: ebs
    select: {{tags: {{app: shop, tier: data}}}}
    schedule: {{every: 4h}}
    copies: [{{region: {second}, kms_key: {alias}}}]
    keep: {{last: 3, daily: 14}}
    exempt: {{provider: "pictures are rendered again from their masters"}}

  - name: ledger
    kind: rds-instance
    identifier: {ledger}
    schedule: {{every: 4h}}
    copies: [{{region: {second}, kms_key: {alias}}}]
    keep: {{last: 3, daily: 14}}
    exempt: {{provider: "rebuilt from the bank's feed"}}
"""

_RECOVERY = """\
recovery:                        # how what is native comes back when the home region is lost
  regions:
    {second}:
      data:   {{zone: {second}a}}
      ledger: {{security_groups: default, subnet_group: default}}

"""

_CONNECTION = """\
    connection:
      {{host: {host}, port: {port}, database: {database}, user: {user}, password: {{credential: orders-db}}}}"""

_NAMES = {
    "site": SITE,
    "application": APPLICATION,
    "account": ACCOUNT,
    "home": HOME,
    "second": SECOND,
    "third": THIRD,
    "s3": S3,
    "gcs": GCS,
    "directory": DIRECTORY,
    "s3_bucket": S3_BUCKET,
    "gcs_bucket": GCS_BUCKET,
    "alias": KEY_ALIAS,
    "ledger": LEDGER,
    "database": ORDERS,
    "user": USER,
}


@dataclass(frozen=True, slots=True)
class Database:
    """Where the orders live. The password goes into a file of its own."""

    host: str
    port: int
    password: str = field(repr=False)


class Installation:
    """The files in `folder`, which exists and is empty. `programs` holds PostgreSQL's client and server programs."""

    def __init__(self, folder: Path, orders: Database, programs: Path, created: datetime) -> None:
        self.folder = folder
        self.vault = folder / "vault"
        self.identity = folder / "key.txt"
        self._orders = orders
        self._programs = programs
        identity, self._recipient = age.new_identity()
        signing = minisign.SecretKey.generate()
        self.trusted = signing.public.text()
        """The public key whose records count, ``RW...``."""
        for name in ("vault", "policies"):
            (folder / name).mkdir()
        write_secret(self.identity, age.identity_file(identity, created))
        write_secret(folder / "minisign.key", signing.text())
        write_secret(folder / "orders-db.password", orders.password + "\n")
        (folder / "minisign.pub").write_text(signing.public.file_text(), encoding="ascii")
        self._write(folder, self.vault, programs, gone=False)

    @property
    def policy(self) -> Path:
        """The shop's policy."""
        return self.folder / "policies" / f"{APPLICATION}.yaml"

    @property
    def config(self) -> Path:
        """The host configuration."""
        return self.folder / "drorch.yaml"

    def keep(self, target: Path, programs: Path) -> None:
        """Leave in `target` what is of use without the clouds: the directory vault, the keys, the configuration.

        Raises Unavailable when it cannot be written.
        """
        try:
            shutil.copytree(self.vault, target / "vault", ignore=shutil.ignore_patterns(".incoming"))
            (target / "policies").mkdir()
            for name in ("key.txt", "minisign.key", "minisign.pub"):
                shutil.copy2(self.folder / name, target / name)
            self._write(target, target.resolve() / "vault", programs, gone=True)
        except OSError as error:
            raise Unavailable(f"cannot write into {target}", operation="keep", cause=str(error)) from error

    def _write(self, folder: Path, vault: Path, programs: Path, *, gone: bool) -> None:
        names = dict(
            **_NAMES,
            recipient=self._recipient,
            trusted=self.trusted,
            vault=json.dumps(str(vault)),
            programs=json.dumps(str(programs)),
            host=self._orders.host,
            port=str(self._orders.port),
        )
        clouds, native, connection = (part.format(**names) for part in (_CLOUDS, _NATIVE, _CONNECTION))
        if gone:
            clouds = _commented(clouds, "the emulators behind these vaults are gone")
            native = _commented(native, "the AWS that these lived in is gone") + "\n"
            connection = "    # the server behind this address is gone, and its password with it\n" + connection
        vaults = [DIRECTORY] if gone else [S3, GCS, DIRECTORY]
        config = _CONFIG.format(**names, clouds=clouds)
        policy = _POLICY.format(
            **names,
            native=native,
            recovery="" if gone else _RECOVERY.format(**names),
            connection=connection,
            vaults=", ".join(vaults),
            drilled=DIRECTORY if gone else GCS,
        )
        (folder / "drorch.yaml").write_text(config, encoding="utf-8")
        (folder / "policies" / self.policy.name).write_text(policy, encoding="utf-8")


def require_empty(folder: Path) -> None:
    """Make a folder to keep things in, or take an empty one. Raises Refused for anything else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise Refused(f"{folder} is no folder that can be used", cause=error.strerror or "") from error
    if occupied:
        raise Refused(f"{folder} is not empty", hint="--keep wants a folder that is empty or does not exist")


def write_secret(path: Path, text: str) -> None:
    """A new file, mode 600 from its first instant."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _commented(text: str, why: str) -> str:
    lines = [f"  # {why}:", *(f"  #{line[1:]}" if line.strip() else "" for line in text.splitlines())]
    return "\n".join(lines)
