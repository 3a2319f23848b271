"""The demo's world: AWS with three regions and real databases, a GCS, and the shop that lives in them."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psycopg
from botocore.config import Config

from drorch.demo import shop, site
from drorch.demo.aws import EmbeddedAws
from drorch.demo.compare import Fingerprint, fingerprint
from drorch.demo.environment import environment
from drorch.demo.gcs import EmbeddedGcs
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.rds_databases import RdsDatabases

SNAPSHOT_SECONDS = 1.5
"""How long a snapshot or a copy of one stays pending."""


VOLUMES = {"uploads": 40, "pictures": 80, "archive": 200}
"""Name -> GiB of the shop's volumes."""


@dataclass
class World:
    """Everything outside drorch. Parts can be lost; nothing outlives `open_world`."""

    aws: EmbeddedAws
    gcs: EmbeddedGcs
    databases: EmbeddedPostgres
    """The server behind the RDS endpoints."""
    orders: site.Database
    aws_url: str
    original: Fingerprint = field(default_factory=Fingerprint)
    """The orders as they were when drorch first saw them."""

    def lose_home(self) -> None:
        """The home region does not answer any more, its databases neither."""
        self.aws.lose_region(site.HOME)

    def lose_aws(self) -> None:
        """All of AWS is gone: its endpoint and its databases are really stopped."""
        self.aws.stop()
        self.databases.stop()

    def orders_answer(self) -> bool:
        """Whether the shop's own database can still be reached."""
        with suppress(psycopg.OperationalError), self._connect():
            return True
        return False

    def aws_answers(self) -> bool:
        """Whether anything listens where AWS was."""
        parts = urlsplit(self.aws_url)
        with suppress(OSError), socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5):
            return True
        return False

    def fill_orders(self, newest: datetime) -> int:
        """Fill the shop's database and remember what it holds; the number of rows."""
        with self._connect() as connection:
            count = shop.fill(connection, newest=newest)
            self.original = fingerprint(connection)
        return count

    def native_ids(self) -> set[str]:
        """The ids of all snapshots that lie in AWS now, asked of AWS itself."""
        found: set[str] = set()
        for region in (site.HOME, site.SECOND):
            snapshots = self.client("ec2", region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
            found |= {str(snapshot["SnapshotId"]) for snapshot in snapshots}
            listed = self.client("rds", region).describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
            found |= {str(snapshot["DBSnapshotIdentifier"]) for snapshot in listed}
        return found

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.orders.host,
            port=self.orders.port,
            dbname=site.ORDERS,
            user=site.USER,
            password=self.orders.password,
            connect_timeout=5,
            autocommit=True,
        )

    def volumes(self, region: str) -> dict[str, int]:
        """Id -> GiB of every volume there."""
        return {str(v["VolumeId"]): v["Size"] for v in self.client("ec2", region).describe_volumes()["Volumes"]}

    def client(self, service: str, region: str) -> Any:
        """A plain boto3 client that asks once."""
        return boto3.client(  # type: ignore[call-overload]
            service, region_name=region, endpoint_url=self.aws_url, config=Config(retries={"total_max_attempts": 1})
        )


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    """Start everything, seed it, and point this process's SDKs at it and at nothing else; all gone at the end."""
    for noisy in ("werkzeug", "moto", "botocore", "urllib3", "google"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with ExitStack() as stack:
        databases = stack.enter_context(EmbeddedPostgres(folder))
        aws = stack.enter_context(EmbeddedAws(rds_databases=RdsDatabases(databases)))
        gcs = stack.enter_context(EmbeddedGcs())
        stack.enter_context(environment(_variables(aws.endpoint_url, gcs.url, folder)))
        gcs.create_bucket(site.GCS_BUCKET)
        password = secrets.token_urlsafe(18)
        world = World(aws, gcs, databases, site.Database("", 0, password), aws.endpoint_url)
        world.orders = _seed(world, password)
        aws.set_snapshot_transition(seconds=SNAPSHOT_SECONDS)
        yield world


def _variables(aws: str, gcs: str, folder: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(12),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "STORAGE_EMULATOR_HOST": gcs,
        "CLOUDSDK_CONFIG": str(folder),
        "TMPDIR": str(folder),
    }


def _seed(world: World, password: str) -> site.Database:
    """The shop's machines: a web server with two volumes, a volume of its own, two databases, keys, a bucket."""
    for region in (site.HOME, site.SECOND):
        kms = world.client("kms", region)
        key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=site.KEY_ALIAS, TargetKeyId=key)
        if region == site.HOME:
            _seed_volumes(world.client("ec2", region), key)
            orders = _seed_databases(world.client("rds", region), key, password)
    world.client("s3", site.THIRD).create_bucket(
        Bucket=site.S3_BUCKET, CreateBucketConfiguration={"LocationConstraint": site.THIRD}
    )
    return orders


def _seed_volumes(ec2: Any, key: str) -> None:
    tags = {"app": "shop", "tier": "data"}
    launched = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]
    zone = launched["Placement"]["AvailabilityZone"]
    for (name, size), device in zip(VOLUMES.items(), ("/dev/sdf", "/dev/sdg", ""), strict=True):
        bearing = [{"Key": tag, "Value": value} for tag, value in {**tags, "Name": name}.items()]
        volume = ec2.create_volume(
            AvailabilityZone=zone,
            Size=size,
            Encrypted=True,
            KmsKeyId=key,
            TagSpecifications=[{"ResourceType": "volume", "Tags": bearing}],
        )["VolumeId"]
        if device:
            ec2.attach_volume(VolumeId=volume, InstanceId=launched["InstanceId"], Device=device)


def _seed_databases(rds: Any, key: str, password: str) -> site.Database:
    """Two instances; the ledger gets its rows at once, the orders are filled later."""
    ledger_password = secrets.token_urlsafe(18)
    made = {
        name: rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.m6g.large",
            Engine="postgres",
            EngineVersion="18.1",
            AllocatedStorage=100,
            DBName=database,
            MasterUsername=user,
            MasterUserPassword=secret,
            StorageEncrypted=True,
            KmsKeyId=key,
            Tags=[{"Key": "app", "Value": "shop"}],
        )["DBInstance"]["Endpoint"]
        for name, database, user, secret in (
            (site.ORDERS_INSTANCE, site.ORDERS, site.USER, password),
            (site.LEDGER, "ledger", "ledger", ledger_password),
        )
    }
    endpoint = made[site.LEDGER]
    with psycopg.connect(
        host=endpoint["Address"], port=endpoint["Port"], dbname="ledger", user="ledger", password=ledger_password
    ) as connection:
        connection.execute("CREATE TABLE entries (id bigint PRIMARY KEY, amount numeric(12, 2) NOT NULL)")
        connection.execute("INSERT INTO entries SELECT n, (n * 7919 % 100003) / 100.0 FROM generate_series(1, 5000) n")
    endpoint = made[site.ORDERS_INSTANCE]
    return site.Database(str(endpoint["Address"]), int(endpoint["Port"]), password)
