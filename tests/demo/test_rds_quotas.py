"""The repairs of RDS's quotas of manual snapshots, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, SECOND, _ = REGIONS
INSTANCES, CLUSTERS = "L-272F1212", "L-9B510759"
MAKER = {"MasterUsername": "owner", "MasterUserPassword": "only-for-tests"}


def told(aws: EmbeddedAws, region: str = HOME) -> dict[str, tuple[int, int]]:
    reply = client(aws, "rds", region).describe_account_attributes()
    return {quota["AccountQuotaName"]: (quota["Used"], quota["Max"]) for quota in reply["AccountQuotas"]}


def made(aws: EmbeddedAws) -> Any:
    """A client of the home region, where an instance and a cluster have a snapshot each."""
    rds = client(aws, "rds")
    rds.create_db_instance(
        DBInstanceIdentifier="shop", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20, **MAKER
    )
    rds.create_db_cluster(DBClusterIdentifier="seats", Engine="aurora-mysql", **MAKER)
    rds.create_db_snapshot(DBSnapshotIdentifier="one", DBInstanceIdentifier="shop")
    rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="first", DBClusterIdentifier="seats")
    return rds


def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call()
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_instances_and_clusters_have_a_hundred_manual_snapshots_each_in_every_region(aws: EmbeddedAws) -> None:
    made(aws)
    assert told(aws) == {"ManualSnapshots": (1, 100), "ManualClusterSnapshots": (1, 100)}
    assert told(aws, SECOND) == {"ManualSnapshots": (0, 100), "ManualClusterSnapshots": (0, 100)}
    aws.set_quota(SECOND, "rds", CLUSTERS, 300)
    assert told(aws, SECOND) == {"ManualSnapshots": (0, 100), "ManualClusterSnapshots": (0, 300)}


def test_a_snapshot_beyond_the_quota_is_refused_whether_it_is_made_or_copied(aws: EmbeddedAws) -> None:
    rds = made(aws)
    away = client(aws, "rds", SECOND)
    for region, most in ((HOME, 1), (SECOND, 0)):
        for code in (INSTANCES, CLUSTERS):
            aws.set_quota(region, "rds", code, most)
    arn = f"arn:aws:rds:{HOME}:{ACCOUNT}"
    calls = (
        lambda: rds.create_db_snapshot(DBSnapshotIdentifier="two", DBInstanceIdentifier="shop"),
        lambda: rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="second", DBClusterIdentifier="seats"),
        lambda: away.copy_db_snapshot(
            SourceDBSnapshotIdentifier=f"{arn}:snapshot:one", TargetDBSnapshotIdentifier="c", SourceRegion=HOME
        ),
        lambda: away.copy_db_cluster_snapshot(
            SourceDBClusterSnapshotIdentifier=f"{arn}:cluster-snapshot:first",
            TargetDBClusterSnapshotIdentifier="c",
            SourceRegion=HOME,
        ),
    )
    for call, most in zip(calls, (1, 1, 0, 0), strict=True):
        assert refused(call) == ("SnapshotQuotaExceeded", f"Cannot create more than {most} manual snapshots")


def test_a_name_that_is_taken_is_told_before_the_quota(aws: EmbeddedAws) -> None:
    rds = made(aws)
    aws.set_quota(HOME, "rds", INSTANCES, 1)
    code, _ = refused(lambda: rds.create_db_snapshot(DBSnapshotIdentifier="one", DBInstanceIdentifier="shop"))
    assert code == "DBSnapshotAlreadyExists"


def test_what_rds_makes_by_itself_takes_no_room(aws: EmbeddedAws) -> None:
    rds = made(aws)
    automated = rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"]
    assert automated and told(aws)["ManualSnapshots"] == (1, 100)
