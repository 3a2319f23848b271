"""The repairs of RDS's automated backups, their replication and read replicas, each seen through boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, SECOND, _ = REGIONS
MAKER = {"MasterUsername": "owner", "MasterUserPassword": "only-for-tests"}
ARN = f"arn:aws:rds:{HOME}:{ACCOUNT}:db:shop"


def database(aws: EmbeddedAws, name: str = "shop", retention: int = 7) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        BackupRetentionPeriod=retention,
        **MAKER,
    )["DBInstance"]
    return made


def backups(aws: EmbeddedAws, region: str = HOME) -> list[dict[str, Any]]:
    pages = client(aws, "rds", region).get_paginator("describe_db_instance_automated_backups").paginate()
    return [entry for each in pages for entry in each["DBInstanceAutomatedBackups"]]


def instance(aws: EmbeddedAws, region: str = HOME, name: str = "shop") -> dict[str, Any]:
    found: dict[str, Any] = client(aws, "rds", region).describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][
        0
    ]
    return found


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def start(aws: EmbeddedAws, retention: int = 14) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds", SECOND).start_db_instance_automated_backups_replication(
        SourceDBInstanceArn=ARN, BackupRetentionPeriod=retention, SourceRegion=HOME
    )["DBInstanceAutomatedBackup"]
    return made


def test_an_instance_keeps_automated_backups_unless_their_retention_is_0(aws: EmbeddedAws) -> None:
    made = database(aws)
    database(aws, "bare", retention=0)
    (kept,) = backups(aws)
    assert (kept["DBInstanceIdentifier"], kept["DbiResourceId"]) == ("shop", made["DbiResourceId"])
    assert (kept["Status"], kept["Region"], kept["BackupRetentionPeriod"]) == ("active", HOME, 7)
    window = kept["RestoreWindow"]
    assert timedelta() < datetime.now(UTC) - window["LatestTime"] < timedelta(minutes=10)
    assert window["EarliestTime"] < window["LatestTime"]


def global_members(aws: EmbeddedAws, region: str = HOME) -> dict[str, tuple[bool, str, list[str]]]:
    pages = client(aws, "rds", region).get_paginator("describe_global_clusters").paginate()
    members = [m for each in pages for g in each["GlobalClusters"] for m in g["GlobalClusterMembers"]]
    return {m["DBClusterArn"]: (m["IsWriter"], m["SynchronizationStatus"], m["Readers"]) for m in members}


def test_a_global_database_made_of_a_cluster_has_it_as_its_primary_and_says_who_follows(aws: EmbeddedAws) -> None:
    home, away = client(aws, "rds"), client(aws, "rds", SECOND)
    first = home.create_db_cluster(DBClusterIdentifier="orders", Engine="aurora-postgresql", **MAKER)["DBCluster"]
    home.create_global_cluster(GlobalClusterIdentifier="world", SourceDBClusterIdentifier=first["DBClusterArn"])
    second = away.create_db_cluster(
        DBClusterIdentifier="far", Engine="aurora-postgresql", GlobalClusterIdentifier="world"
    )["DBCluster"]
    primary, secondary = first["DBClusterArn"], second["DBClusterArn"]
    expected = {primary: (True, "connected", [secondary]), secondary: (False, "connected", [])}
    assert global_members(aws) == global_members(aws, SECOND) == expected
    aws.break_replica(SECOND, "far")
    assert global_members(aws)[secondary] == (False, "pending-resync", [])


def test_global_databases_come_in_pages(aws: EmbeddedAws) -> None:
    rds = client(aws, "rds")
    for number in range(3):
        rds.create_global_cluster(GlobalClusterIdentifier=f"world{number}", Engine="aurora-postgresql")
    aws.cap_pages(2)
    found = [g for each in rds.get_paginator("describe_global_clusters").paginate() for g in each["GlobalClusters"]]
    assert len(found) == 3
    assert aws.calls["rds", "DescribeGlobalClusters", HOME] == 2


def test_listings_of_automated_backups_come_in_pages(aws: EmbeddedAws) -> None:
    for number in range(3):
        database(aws, f"shop{number}")
    aws.cap_pages(2)
    assert len(backups(aws)) == 3
    assert aws.calls["rds", "DescribeDBInstanceAutomatedBackups", HOME] == 2


def test_replicated_backups_lie_in_the_other_region_and_the_instance_names_them(aws: EmbeddedAws) -> None:
    made = database(aws)
    arn = start(aws)["DBInstanceAutomatedBackupsArn"]
    assert arn.split(":")[3] == SECOND
    (there,) = backups(aws, SECOND)
    assert (there["Status"], there["Region"], there["BackupRetentionPeriod"]) == ("replicating", HOME, 14)
    assert there["DbiResourceId"] == made["DbiResourceId"]
    assert instance(aws)["DBInstanceAutomatedBackupsReplications"] == [{"DBInstanceAutomatedBackupsArn": arn}]


def test_a_replication_that_was_stopped_leaves_what_is_retained(aws: EmbeddedAws) -> None:
    database(aws)
    start(aws)
    away = client(aws, "rds", SECOND)
    away.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=ARN)
    (there,) = backups(aws, SECOND)
    assert there["Status"] == "retained"
    assert instance(aws).get("DBInstanceAutomatedBackupsReplications", []) == []
    again = lambda: away.stop_db_instance_automated_backups_replication(SourceDBInstanceArn=ARN)  # noqa: E731
    assert error_code(again) == "InvalidDBInstanceState"
    start(aws)
    assert [each["Status"] for each in backups(aws, SECOND)] == ["replicating"]


def test_an_instance_without_automated_backups_is_not_replicated(aws: EmbeddedAws) -> None:
    database(aws, retention=0)
    assert error_code(lambda: start(aws)) == "InvalidDBInstanceState"


def test_a_replication_can_be_made_to_stand_still(aws: EmbeddedAws) -> None:
    database(aws)
    start(aws)
    at = datetime(2026, 11, 20, 9, tzinfo=UTC)
    aws.hold_backups(SECOND, "shop", at)
    assert backups(aws, SECOND)[0]["RestoreWindow"]["LatestTime"] == at


def test_a_replica_in_another_region_is_a_database_of_its_own_and_can_break(aws: EmbeddedAws) -> None:
    made = database(aws)
    away = client(aws, "rds", SECOND)
    away.create_db_instance_read_replica(
        DBInstanceIdentifier="shop-r", SourceDBInstanceIdentifier=ARN, SourceRegion=HOME
    )
    replica = instance(aws, SECOND, "shop-r")
    assert replica["DbiResourceId"] != made["DbiResourceId"]
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == ARN
    (info,) = replica["StatusInfos"]
    assert (info["StatusType"], info["Normal"], info["Status"]) == ("read replication", True, "replicating")
    source = instance(aws)
    assert [arn.split(":")[3] for arn in source["ReadReplicaDBInstanceIdentifiers"]] == [SECOND]
    assert source.get("StatusInfos", []) == []
    aws.break_replica(SECOND, "shop-r", "terminated", "it was too long behind")
    (info,) = instance(aws, SECOND, "shop-r")["StatusInfos"]
    assert (info["Normal"], info["Status"], info["Message"]) == (False, "terminated", "it was too long behind")
    away.delete_db_instance(DBInstanceIdentifier="shop-r", SkipFinalSnapshot=True)
    assert instance(aws).get("ReadReplicaDBInstanceIdentifiers", []) == []


def test_clusters_keep_automated_backups(aws: EmbeddedAws) -> None:
    client(aws, "rds").create_db_cluster(
        DBClusterIdentifier="seats", Engine="aurora-mysql", BackupRetentionPeriod=5, **MAKER
    )
    (kept,) = client(aws, "rds").describe_db_cluster_automated_backups()["DBClusterAutomatedBackups"]
    assert (kept["DBClusterIdentifier"], kept["Status"], kept["BackupRetentionPeriod"]) == ("seats", "active", 5)
    assert kept["RestoreWindow"]["LatestTime"] <= datetime.now(UTC)


def test_an_empty_world_holds_no_replicated_backups(aws: EmbeddedAws) -> None:
    database(aws)
    start(aws)
    aws.reset()
    assert backups(aws, SECOND) == []
