"""RDS with real databases behind it: snapshots and restores carry real data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client, embedded_aws

from drorch.demo.aws import ACCOUNT, EmbeddedAws
from drorch.demo.postgres import EmbeddedPostgres
from drorch.demo.rds_databases import RdsDatabases

HOME, SECOND, _ = REGIONS
PASSWORD = "only-for-tests"


@pytest.fixture
def aws(postgres: EmbeddedPostgres) -> Iterator[EmbeddedAws]:
    with embedded_aws(rds_databases=RdsDatabases(postgres)) as cloud:
        yield cloud
        for region in REGIONS:
            cloud.recover_region(region)
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            names = connection.execute(
                "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
            )
            for (name,) in names.fetchall():
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def shop(aws: EmbeddedAws) -> dict[str, Any]:
    """A DB instance with a table `orders` of three rows."""
    made: dict[str, Any] = client(aws, "rds").create_db_instance(
        DBInstanceIdentifier="shop",
        DBName="shop",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="18.1",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword=PASSWORD,
    )["DBInstance"]
    with connect(made) as connection:
        connection.execute("CREATE TABLE orders AS SELECT n FROM generate_series(1, 3) n")
    return made


def connect(instance: dict[str, Any], **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """As an application would: by what the API says, with the master's password."""
    endpoint = instance["Endpoint"]
    return psycopg.connect(
        host=endpoint["Address"],
        port=endpoint["Port"],
        dbname=instance["DBName"],
        user=instance["MasterUsername"],
        password=PASSWORD,
        **more,
    )


def orders(instance: dict[str, Any]) -> int:
    with connect(instance) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row is not None
    return int(row[0])


def add_order(instance: dict[str, Any]) -> None:
    with connect(instance) as connection:
        connection.execute("INSERT INTO orders VALUES (4)")


def restore(aws: EmbeddedAws, snapshot: str, region: str = HOME) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds", region).restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="again", DBSnapshotIdentifier=snapshot
    )["DBInstance"]
    return made


def test_the_master_user_is_no_superuser(shop: dict[str, Any]) -> None:
    with connect(shop) as connection:
        row = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, True)


def test_a_restore_holds_the_data_of_the_snapshot_and_is_a_database_of_its_own(
    aws: EmbeddedAws, shop: dict[str, Any]
) -> None:
    client(aws, "rds").create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="one")
    add_order(shop)
    again = restore(aws, "one")
    assert (orders(shop), orders(again)) == (4, 3)
    assert again["DBName"] != shop["DBName"]
    add_order(again)
    assert orders(restore_of_second(aws)) == 3


def restore_of_second(aws: EmbeddedAws) -> dict[str, Any]:
    rds = client(aws, "rds")
    rds.delete_db_instance(DBInstanceIdentifier="again", SkipFinalSnapshot=True)
    return restore(aws, "one")


def test_a_snapshot_is_taken_while_the_database_is_in_use(aws: EmbeddedAws, shop: dict[str, Any]) -> None:
    with connect(shop) as busy:
        busy.execute("SELECT 1")
        client(aws, "rds").create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="one")
    assert orders(restore(aws, "one")) == 3


def test_a_copy_restores_in_the_other_region_after_the_first_is_lost(aws: EmbeddedAws, shop: dict[str, Any]) -> None:
    client(aws, "rds").create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="one")
    there = client(aws, "rds", SECOND)
    source = f"arn:aws:rds:{HOME}:{ACCOUNT}:snapshot:one"
    there.copy_db_snapshot(SourceDBSnapshotIdentifier=source, TargetDBSnapshotIdentifier="two")
    busy = connect(shop)
    aws.lose_region(HOME)
    with pytest.raises(psycopg.OperationalError):
        busy.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        connect(shop)
    assert orders(restore(aws, "two", SECOND)) == 3
    aws.recover_region(HOME)
    assert orders(shop) == 3


def test_deleting_removes_the_databases(aws: EmbeddedAws, shop: dict[str, Any], postgres: EmbeddedPostgres) -> None:
    rds = client(aws, "rds")
    rds.create_db_snapshot(DBInstanceIdentifier="shop", DBSnapshotIdentifier="one")
    rds.delete_db_instance(DBInstanceIdentifier="shop", SkipFinalSnapshot=True)
    rds.delete_db_snapshot(DBSnapshotIdentifier="one")
    with psycopg.connect(postgres.dsn()) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
    assert left == [("postgres",)]


def test_an_existing_database_is_adopted_with_its_data(aws: EmbeddedAws, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE ready")
    RdsDatabases(postgres).open(HOME, "ready", "owner", PASSWORD)
    with psycopg.connect(postgres.dsn("ready")) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1")
        connection.execute("ALTER TABLE orders OWNER TO owner")
    made = client(aws, "rds").create_db_instance(
        DBInstanceIdentifier="ready",
        DBName="ready",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="18.1",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword=PASSWORD,
    )["DBInstance"]
    assert orders(made) == 1


def test_point_in_time_restores_are_refused(aws: EmbeddedAws, shop: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="from snapshots only"):
        client(aws, "rds").restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier="shop", TargetDBInstanceIdentifier="again", UseLatestRestorableTime=True
        )
