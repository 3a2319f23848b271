"""The repairs of RDS clusters, their snapshots and option groups, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import ACCOUNT, EmbeddedAws
from drorch.domain.errors import NotFound

HOME, SECOND, _ = REGIONS
TAGS = [{"Key": "drorch:site", "Value": "hq"}]


def cluster(aws: EmbeddedAws, name: str = "seats", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds").create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-mysql",
        MasterUsername="owner",
        MasterUserPassword="only-for-tests",
        **more,
    )["DBCluster"]
    return made


def snapshot(aws: EmbeddedAws, name: str, source: str = "seats") -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds").create_db_cluster_snapshot(
        DBClusterSnapshotIdentifier=name, DBClusterIdentifier=source, Tags=TAGS
    )["DBClusterSnapshot"]
    return made


def copied(aws: EmbeddedAws, name: str, region: str = SECOND, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds", region).copy_db_cluster_snapshot(
        SourceDBClusterSnapshotIdentifier=f"arn:aws:rds:{HOME}:{ACCOUNT}:cluster-snapshot:{name}",
        TargetDBClusterSnapshotIdentifier=f"{name}-copy",
        SourceRegion=HOME,
        **more,
    )["DBClusterSnapshot"]
    return made


def seen(aws: EmbeddedAws, name: str, region: str = HOME) -> dict[str, Any]:
    rds = client(aws, "rds", region)
    found: dict[str, Any] = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)["DBClusterSnapshots"][0]
    return found


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def test_a_cluster_takes_its_time_and_is_not_snapshotted_before(aws: EmbeddedAws) -> None:
    aws.set_db_instance_transition("held")
    assert cluster(aws)["Status"] == "creating"
    for _ in range(2):
        assert client(aws, "rds").describe_db_clusters()["DBClusters"][0]["Status"] == "creating"
    assert error_code(lambda: snapshot(aws, "early")) == "InvalidDBClusterStateFault"
    aws.finish_db_instances()
    assert client(aws, "rds").describe_db_clusters()["DBClusters"][0]["Status"] == "available"
    assert snapshot(aws, "later")["Status"] == "available"


def test_a_held_snapshot_is_creating_until_it_is_finished(aws: EmbeddedAws) -> None:
    own = cluster(aws)["DbClusterResourceId"]
    aws.set_snapshot_transition("held")
    made = snapshot(aws, "one")
    assert (made["Status"], made["DbClusterResourceId"], made["StorageEncrypted"]) == ("creating", own, False)
    assert [seen(aws, "one")[name] for name in ("Status", "PercentProgress")] == ["creating", 45]
    aws.finish_snapshots()
    assert [seen(aws, "one")[name] for name in ("Status", "PercentProgress")] == ["available", 100]
    assert seen(aws, "one")["TagList"] == TAGS


def test_a_plain_cluster_and_its_snapshot_name_no_key(aws: EmbeddedAws) -> None:
    assert "KmsKeyId" not in cluster(aws)
    assert "KmsKeyId" not in snapshot(aws, "one")


def test_a_failed_snapshot_is_failed(aws: EmbeddedAws) -> None:
    cluster(aws)
    snapshot(aws, "one")
    aws.fail_snapshot(HOME, "one")
    assert seen(aws, "one")["Status"] == "failed"
    with pytest.raises(NotFound):
        aws.fail_snapshot(HOME, "none")


def test_taken_and_absent_identifiers_have_codes_of_their_own(aws: EmbeddedAws) -> None:
    cluster(aws)
    snapshot(aws, "one")
    assert error_code(lambda: snapshot(aws, "one")) == "DBClusterSnapshotAlreadyExistsFault"
    assert error_code(lambda: seen(aws, "nowhere")) == "DBClusterSnapshotNotFoundFault"
    assert error_code(lambda: snapshot(aws, "two", "nobody")) == "DBClusterNotFoundFault"


def test_clusters_and_their_snapshots_are_listed_in_pages(aws: EmbeddedAws) -> None:
    for name in ("a", "b", "c"):
        cluster(aws, name)
        snapshot(aws, f"of-{name}", name)
    aws.cap_pages(2)
    rds = client(aws, "rds")
    clusters = list(rds.get_paginator("describe_db_clusters").paginate())
    assert [len(page["DBClusters"]) for page in clusters] == [2, 1]
    manual = list(rds.get_paginator("describe_db_cluster_snapshots").paginate(SnapshotType="manual"))
    assert [len(page["DBClusterSnapshots"]) for page in manual] == [2, 1]
    assert error_code(lambda: rds.describe_db_clusters(MaxRecords=5)) == "InvalidParameterValue"


def test_a_copy_is_copying_says_where_it_comes_from_and_is_then_available(aws: EmbeddedAws) -> None:
    cluster(aws)
    source = snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    made = copied(aws, "one", Tags=TAGS)
    assert (made["Status"], made["SourceDBClusterSnapshotArn"]) == ("copying", source["DBClusterSnapshotArn"])
    aws.finish_snapshots()
    shown = seen(aws, "one-copy", SECOND)
    assert (shown["Status"], shown["DbClusterResourceId"]) == ("available", source["DbClusterResourceId"])
    assert shown["TagList"] == TAGS
    assert "SourceDBClusterSnapshotArn" not in seen(aws, "one")


def test_a_snapshot_that_is_not_available_is_neither_copied_nor_restored(aws: EmbeddedAws) -> None:
    cluster(aws)
    aws.set_snapshot_transition("held")
    snapshot(aws, "one")
    assert error_code(lambda: copied(aws, "one")) == "InvalidDBClusterSnapshotStateFault"
    restore = {"DBClusterIdentifier": "again", "SnapshotIdentifier": "one", "Engine": "aurora-mysql"}
    refused = error_code(lambda: client(aws, "rds").restore_db_cluster_from_snapshot(**restore))
    assert refused == "InvalidDBClusterSnapshotStateFault"


def test_a_snapshot_in_the_making_is_not_deleted_and_a_copy_in_the_making_is(aws: EmbeddedAws) -> None:
    cluster(aws)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    snapshot(aws, "two")
    copied(aws, "one")
    refused = error_code(lambda: client(aws, "rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="two"))
    assert refused == "InvalidDBClusterSnapshotStateFault"
    client(aws, "rds", SECOND).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="one-copy")
    assert error_code(lambda: seen(aws, "one-copy", SECOND)) == "DBClusterSnapshotNotFoundFault"
    assert seen(aws, "two")["Status"] == "creating"


@pytest.mark.parametrize(("complete", "status"), [(False, "failed"), (True, "available")])
def test_a_copy_fails_when_its_source_goes_before_it_is_complete(aws: EmbeddedAws, complete: bool, status: str) -> None:
    cluster(aws)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    copied(aws, "one")
    if complete:
        aws.finish_snapshots()
    client(aws, "rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="one")
    aws.finish_snapshots()
    assert seen(aws, "one-copy", SECOND)["Status"] == status


def test_an_encrypted_cross_region_copy_needs_a_key_of_the_destination_and_a_plain_one_takes_none(
    aws: EmbeddedAws,
) -> None:
    home_key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    there = client(aws, "kms", SECOND).create_key()["KeyMetadata"]["Arn"]
    cluster(aws, StorageEncrypted=True, KmsKeyId=home_key)
    assert snapshot(aws, "one")["KmsKeyId"] == home_key
    assert error_code(lambda: copied(aws, "one")) == "InvalidParameterCombination"
    assert error_code(lambda: copied(aws, "one", KmsKeyId=home_key)) == "KMSKeyNotAccessibleFault"
    made = copied(aws, "one", KmsKeyId=there)
    assert (made["StorageEncrypted"], made["KmsKeyId"]) == (True, there)
    cluster(aws, "plain")
    snapshot(aws, "two", "plain")
    assert error_code(lambda: copied(aws, "two", KmsKeyId=there)) == "InvalidParameterCombination"
    assert copied(aws, "two")["StorageEncrypted"] is False


# --- option groups


def option_group(aws: EmbeddedAws, region: str, *options: str) -> None:
    rds = client(aws, "rds", region)
    rds.create_option_group(
        OptionGroupName="shop", EngineName="oracle-ee", MajorEngineVersion="19", OptionGroupDescription="the shop's"
    )
    rds.modify_option_group(OptionGroupName="shop", OptionsToInclude=[{"OptionName": name} for name in options])


def oracle_snapshot(aws: EmbeddedAws) -> dict[str, Any]:
    rds = client(aws, "rds")
    rds.create_db_instance(
        DBInstanceIdentifier="ledger",
        DBInstanceClass="db.m6i.large",
        Engine="oracle-ee",
        EngineVersion="19",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="only-for-tests",
        OptionGroupName="shop",
    )
    made: dict[str, Any] = rds.create_db_snapshot(DBSnapshotIdentifier="one", DBInstanceIdentifier="ledger")
    return dict(made["DBSnapshot"])


def copy_of_instance(aws: EmbeddedAws, name: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds", SECOND).copy_db_snapshot(
        SourceDBSnapshotIdentifier=f"arn:aws:rds:{HOME}:{ACCOUNT}:snapshot:one",
        TargetDBSnapshotIdentifier=name,
        SourceRegion=HOME,
        **more,
    )
    return dict(made["DBSnapshot"])


def test_a_snapshot_names_its_option_group_and_the_group_says_which_options_bind(aws: EmbeddedAws) -> None:
    option_group(aws, HOME, "Timezone", "S3_INTEGRATION")
    assert oracle_snapshot(aws)["OptionGroupName"] == "shop"
    (shown,) = client(aws, "rds").describe_option_groups(OptionGroupName="shop")["OptionGroupsList"]
    bound = {option["OptionName"]: (option["Persistent"], option["Permanent"]) for option in shown["Options"]}
    assert bound == {"Timezone": (True, True), "S3_INTEGRATION": (False, False)}


def test_a_copy_with_options_that_bind_needs_a_group_that_has_them(aws: EmbeddedAws) -> None:
    option_group(aws, HOME, "Timezone")
    oracle_snapshot(aws)
    assert error_code(lambda: copy_of_instance(aws, "a")) == "InvalidParameterCombination"
    assert error_code(lambda: copy_of_instance(aws, "b", OptionGroupName="shop")) == "OptionGroupNotFoundFault"
    option_group(aws, SECOND, "Timezone")
    assert copy_of_instance(aws, "c", OptionGroupName="shop")["OptionGroupName"] == "shop"


def test_a_copy_without_such_options_gets_the_default_group_of_its_region(aws: EmbeddedAws) -> None:
    option_group(aws, HOME, "S3_INTEGRATION")
    oracle_snapshot(aws)
    assert copy_of_instance(aws, "a")["OptionGroupName"] == "default:oracle-ee-19"


def test_a_copy_needs_its_key_until_it_is_done(aws: EmbeddedAws) -> None:
    home_key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    kms = client(aws, "kms", SECOND)
    there = kms.create_key()["KeyMetadata"]["Arn"]
    cluster(aws, StorageEncrypted=True, KmsKeyId=home_key)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    copied(aws, "one", KmsKeyId=there)
    kms.disable_key(KeyId=there.rpartition("/")[2])
    aws.finish_snapshots()
    assert seen(aws, "one-copy", SECOND)["Status"] == "failed"
