from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import EmbeddedAws

HOME, AWAY = REGIONS[0], REGIONS[1]
INSTANCE = {
    "DBInstanceClass": "db.t3.micro",
    "Engine": "postgres",
    "EngineVersion": "16.4",
    "MasterUsername": "owner",
    "MasterUserPassword": "not-a-secret",
    "AllocatedStorage": 20,
}
CLUSTER = {
    "Engine": "aurora-postgresql",
    "EngineVersion": "16.4",
    "MasterUsername": "owner",
    "MasterUserPassword": "not-a-secret",
}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def copied(aws: EmbeddedAws, **source: Any) -> Any:
    """RDS of AWAY with the snapshot `there` of an instance at HOME."""
    home, away = client(aws, "rds", HOME), client(aws, "rds", AWAY)
    home.create_db_instance(DBInstanceIdentifier="shop", **INSTANCE, **source)
    made = home.create_db_snapshot(DBSnapshotIdentifier="here", DBInstanceIdentifier="shop")["DBSnapshot"]
    away.copy_db_snapshot(SourceDBSnapshotIdentifier=made["DBSnapshotArn"], TargetDBSnapshotIdentifier="there")
    return away


def cluster_copied(aws: EmbeddedAws) -> Any:
    """RDS of AWAY with the snapshot `there` of a cluster at HOME."""
    home, away = client(aws, "rds", HOME), client(aws, "rds", AWAY)
    home.create_db_cluster(DBClusterIdentifier="shop", DeletionProtection=True, **CLUSTER)
    home.describe_db_clusters()
    made = home.create_db_cluster_snapshot(DBClusterSnapshotIdentifier="here", DBClusterIdentifier="shop")
    away.copy_db_cluster_snapshot(
        SourceDBClusterSnapshotIdentifier=made["DBClusterSnapshot"]["DBClusterSnapshotArn"],
        TargetDBClusterSnapshotIdentifier="there",
    )
    return away


def test_what_the_call_does_not_say_is_its_default_and_not_the_sources(aws: EmbeddedAws) -> None:
    group = client(aws, "rds", HOME)
    group.create_db_parameter_group(DBParameterGroupName="own", DBParameterGroupFamily="postgres16", Description="-")
    away = copied(
        aws,
        MultiAZ=True,
        DeletionProtection=True,
        PubliclyAccessible=True,
        DBParameterGroupName="own",
        BackupRetentionPeriod=7,
        Tags=[{"Key": "app", "Value": "shop"}],
    )
    made = away.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="there")
    shown = made["DBInstance"]
    assert (shown["MultiAZ"], shown["DeletionProtection"]) == (False, False)
    assert not shown.get("PubliclyAccessible")
    assert shown["TagList"] == []
    assert shown["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres16"
    assert shown["AvailabilityZone"].startswith(AWAY)
    assert (shown["BackupRetentionPeriod"], shown["MasterUsername"], shown["EngineVersion"]) == (7, "owner", "16.4")


def test_what_is_said_to_be_off_is_off_and_the_tags_are_there_from_the_call_on(aws: EmbeddedAws) -> None:
    away = copied(aws, BackupRetentionPeriod=7)
    made = away.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="new",
        DBSnapshotIdentifier="there",
        BackupRetentionPeriod=0,
        AutoMinorVersionUpgrade=False,
        Tags=[{"Key": "drorch:restore", "Value": "r1"}],
    )["DBInstance"]
    assert (made["BackupRetentionPeriod"], made["AutoMinorVersionUpgrade"]) == (0, False)
    assert made["TagList"] == [{"Key": "drorch:restore", "Value": "r1"}]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"DBSubnetGroupName": "nowhere"}, "DBSubnetGroupNotFoundFault"),
        ({"DBParameterGroupName": "nowhere"}, "DBParameterGroupNotFound"),
        ({"OptionGroupName": "nowhere"}, "OptionGroupNotFoundFault"),
        ({"VpcSecurityGroupIds": ["sg-00000000000000000"]}, "InvalidParameterValue"),
    ],
)
def test_an_instance_is_restored_into_groups_of_the_region_alone(
    aws: EmbeddedAws, said: dict[str, Any], wanted: str
) -> None:
    away = copied(aws)
    with pytest.raises(ClientError) as raised:
        away.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="there", **said)
    assert code(raised).startswith(wanted)
    assert away.describe_db_instances()["DBInstances"] == []


def test_a_class_without_capacity_is_refused_and_made_nothing(aws: EmbeddedAws) -> None:
    away = copied(aws)
    aws.exhaust_class(AWAY, "db.r5.large")
    with pytest.raises(ClientError) as raised:
        away.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier="new", DBSnapshotIdentifier="there", DBInstanceClass="db.r5.large"
        )
    assert code(raised) == "InsufficientDBInstanceCapacity"
    assert away.describe_db_instances()["DBInstances"] == []


def test_a_restored_instance_takes_its_time(aws: EmbeddedAws) -> None:
    away = copied(aws)
    aws.set_db_instance_transition("held")
    away.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="new", DBSnapshotIdentifier="there")
    assert away.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"] == "creating"
    aws.fail_database(AWAY, "new", "incompatible-network")
    assert away.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"] == "incompatible-network"


def test_an_instance_goes_with_its_automated_snapshots_whatever_they_are_at(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    home = client(aws, "rds", HOME)
    home.create_db_instance(DBInstanceIdentifier="shop", **INSTANCE)
    home.delete_db_instance(DBInstanceIdentifier="shop", SkipFinalSnapshot=True)
    assert home.describe_db_instances()["DBInstances"] == []


def test_a_cluster_is_never_restored_over_another_one(aws: EmbeddedAws) -> None:
    away = cluster_copied(aws)
    said = {"DBClusterIdentifier": "new", "SnapshotIdentifier": "there", "Engine": "aurora-postgresql"}
    away.restore_db_cluster_from_snapshot(**said)
    with pytest.raises(ClientError) as raised:
        away.restore_db_cluster_from_snapshot(**said)
    assert code(raised) == "DBClusterAlreadyExistsFault"


def test_a_restored_cluster_is_empty_unprotected_and_takes_members_once_it_is_there(aws: EmbeddedAws) -> None:
    away = cluster_copied(aws)
    aws.set_db_instance_transition("held")
    said = {"DBClusterIdentifier": "new", "SnapshotIdentifier": "there", "Engine": "aurora-postgresql"}
    with pytest.raises(ClientError) as raised:
        away.restore_db_cluster_from_snapshot(**said, DBClusterParameterGroupName="nowhere")
    assert code(raised) == "DBParameterGroupNotFound"
    made = away.restore_db_cluster_from_snapshot(**said)["DBCluster"]
    assert (made["DBClusterMembers"], made["DeletionProtection"], made["Status"]) == ([], False, "creating")
    member = {"DBClusterIdentifier": "new", "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}
    with pytest.raises(ClientError) as raised:
        away.create_db_instance(DBInstanceIdentifier="one", **member)
    assert code(raised) == "InvalidDBClusterStateFault"
    aws.finish_db_instances()
    away.create_db_instance(DBInstanceIdentifier="one", **member)
    assert [m["DBInstanceIdentifier"] for m in away.describe_db_clusters()["DBClusters"][0]["DBClusterMembers"]] == [
        "one"
    ]


def test_a_security_group_does_not_go_while_a_database_or_a_rule_holds_it(aws: EmbeddedAws) -> None:
    ec2, rds = client(aws, "ec2", HOME), client(aws, "rds", HOME)
    held, other = (
        ec2.create_security_group(GroupName=name, Description="-")["GroupId"] for name in ("drilled", "other")
    )
    rds.create_db_instance(DBInstanceIdentifier="drilled", VpcSecurityGroupIds=[held], **INSTANCE)
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": held}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    for let_go in (
        lambda: rds.delete_db_instance(DBInstanceIdentifier="drilled", SkipFinalSnapshot=True),
        lambda: ec2.delete_security_group(GroupId=other),
    ):
        with pytest.raises(ClientError) as error:
            ec2.delete_security_group(GroupId=held)
        assert code(error) == "DependencyViolation"
        let_go()
    ec2.delete_security_group(GroupId=held)
    assert held not in [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]]
