"""The RDS repairs, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, SECOND, _ = REGIONS
TAGS = [{"Key": "drorch:site", "Value": "hq"}]


def database(aws: EmbeddedAws, name: str = "shop", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="16.4",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="only-for-tests",
        **more,
    )["DBInstance"]
    return made


def snapshot(aws: EmbeddedAws, name: str, source: str = "shop") -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds").create_db_snapshot(
        DBSnapshotIdentifier=name, DBInstanceIdentifier=source, Tags=TAGS
    )["DBSnapshot"]
    return made


def copied(aws: EmbeddedAws, name: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = client(aws, "rds", SECOND).copy_db_snapshot(
        SourceDBSnapshotIdentifier=f"arn:aws:rds:{HOME}:{ACCOUNT}:snapshot:{name}",
        TargetDBSnapshotIdentifier=f"{name}-copy",
        SourceRegion=HOME,
        **more,
    )["DBSnapshot"]
    return made


def seen(aws: EmbeddedAws, name: str, region: str = HOME) -> dict[str, Any]:
    found: dict[str, Any] = client(aws, "rds", region).describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][
        0
    ]
    return found


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def test_an_instance_is_created_backed_up_and_available(aws: EmbeddedAws) -> None:
    aws.set_db_instance_transition(describes=1)
    rds = client(aws, "rds")
    states = [database(aws)["DBInstanceStatus"]]
    states += [rds.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"] for _ in range(2)]
    assert states == ["creating", "backing-up", "available"]


def test_an_instance_that_is_not_available_is_not_snapshotted(aws: EmbeddedAws) -> None:
    aws.set_db_instance_transition("held")
    database(aws)
    assert error_code(lambda: snapshot(aws, "early")) == "InvalidDBInstanceState"
    aws.finish_db_instances()
    assert snapshot(aws, "later")["Status"] == "available"


def test_a_held_snapshot_is_creating_until_it_is_finished(aws: EmbeddedAws) -> None:
    database(aws)
    aws.set_snapshot_transition("held")
    assert snapshot(aws, "one")["Status"] == "creating"
    assert [seen(aws, "one")[name] for name in ("Status", "PercentProgress")] == ["creating", 45]
    aws.finish_snapshots()
    assert [seen(aws, "one")[name] for name in ("Status", "PercentProgress")] == ["available", 100]


def test_a_failed_snapshot_is_failed(aws: EmbeddedAws) -> None:
    database(aws)
    snapshot(aws, "one")
    aws.fail_snapshot(HOME, "one")
    assert seen(aws, "one")["Status"] == "failed"


def test_tags_of_the_creating_call_are_listed_with_the_snapshot(aws: EmbeddedAws) -> None:
    database(aws)
    snapshot(aws, "one")
    assert seen(aws, "one")["TagList"] == TAGS


def test_a_taken_identifier_is_refused(aws: EmbeddedAws) -> None:
    database(aws)
    snapshot(aws, "one")
    assert error_code(lambda: snapshot(aws, "one")) == "DBSnapshotAlreadyExists"


def test_an_absent_snapshot_is_not_found(aws: EmbeddedAws) -> None:
    assert error_code(lambda: seen(aws, "nowhere")) == "DBSnapshotNotFound"


def test_instances_differ_in_what_outlives_their_names(aws: EmbeddedAws) -> None:
    first = database(aws)["DbiResourceId"]
    snapshot(aws, "one")
    client(aws, "rds").delete_db_instance(DBInstanceIdentifier="shop", SkipFinalSnapshot=True)
    assert database(aws)["DbiResourceId"] != first
    assert seen(aws, "one")["DbiResourceId"] == first


def test_snapshots_are_listed_in_pages(aws: EmbeddedAws) -> None:
    database(aws)
    made = {snapshot(aws, f"s{number}")["DBSnapshotIdentifier"] for number in range(25)}
    paginator = client(aws, "rds").get_paginator("describe_db_snapshots")
    pages = list(paginator.paginate(SnapshotType="manual", PaginationConfig={"PageSize": 20}))
    assert [len(page["DBSnapshots"]) for page in pages] == [20, 5]
    assert {one["DBSnapshotIdentifier"] for page in pages for one in page["DBSnapshots"]} == made


def test_instances_are_listed_in_pages(aws: EmbeddedAws) -> None:
    for name in ("a", "b", "c"):
        database(aws, name)
    aws.cap_pages(2)
    pages = list(client(aws, "rds").get_paginator("describe_db_instances").paginate())
    assert [len(page["DBInstances"]) for page in pages] == [2, 1]


def test_page_sizes_and_markers_out_of_order_are_refused(aws: EmbeddedAws) -> None:
    rds = client(aws, "rds")
    assert error_code(lambda: rds.describe_db_snapshots(MaxRecords=5)) == "InvalidParameterValue"
    assert error_code(lambda: rds.describe_db_snapshots(Marker="mine")) == "InvalidParameterValue"


def test_a_cross_region_copy_says_where_it_comes_from(aws: EmbeddedAws) -> None:
    database(aws)
    source = snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    made = copied(aws, "one", Tags=TAGS)
    assert made["Status"] == "creating"
    aws.finish_snapshots()
    shown = seen(aws, "one-copy", SECOND)
    assert shown["SourceRegion"] == HOME
    assert shown["SourceDBSnapshotIdentifier"] == source["DBSnapshotArn"]
    assert shown["OriginalSnapshotCreateTime"] == source["SnapshotCreateTime"]
    assert shown["SnapshotCreateTime"] >= source["SnapshotCreateTime"]
    assert (shown["PercentProgress"], shown["TagList"]) == (100, TAGS)
    assert shown["DbiResourceId"] == source["DbiResourceId"]
    assert "SourceRegion" not in seen(aws, "one")


def test_a_snapshot_that_is_not_available_is_neither_copied_nor_restored(aws: EmbeddedAws) -> None:
    database(aws)
    aws.set_snapshot_transition("held")
    snapshot(aws, "one")
    assert error_code(lambda: copied(aws, "one")) == "InvalidDBSnapshotState"
    restore = {"DBInstanceIdentifier": "again", "DBSnapshotIdentifier": "one"}
    refused = error_code(lambda: client(aws, "rds").restore_db_instance_from_db_snapshot(**restore))
    assert refused == "InvalidDBSnapshotState"


def test_a_snapshot_in_the_making_is_not_deleted_and_a_copy_in_the_making_is(aws: EmbeddedAws) -> None:
    database(aws)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    snapshot(aws, "two")
    copied(aws, "one")
    refused = error_code(lambda: client(aws, "rds").delete_db_snapshot(DBSnapshotIdentifier="two"))
    assert refused == "InvalidDBSnapshotState"
    client(aws, "rds", SECOND).delete_db_snapshot(DBSnapshotIdentifier="one-copy")
    assert error_code(lambda: seen(aws, "one-copy", SECOND)) == "DBSnapshotNotFound"
    assert seen(aws, "two")["Status"] == "creating"


@pytest.mark.parametrize(("complete", "status"), [(False, "failed"), (True, "available")])
def test_a_copy_fails_when_its_source_goes_before_it_is_complete(aws: EmbeddedAws, complete: bool, status: str) -> None:
    database(aws)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    copied(aws, "one")
    if complete:
        aws.finish_snapshots()
    client(aws, "rds").delete_db_snapshot(DBSnapshotIdentifier="one")
    aws.finish_snapshots()
    assert seen(aws, "one-copy", SECOND)["Status"] == status


def test_an_encrypted_cross_region_copy_needs_a_key_of_the_destination(aws: EmbeddedAws) -> None:
    home_key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    there = client(aws, "kms", SECOND).create_key()["KeyMetadata"]["Arn"]
    database(aws, StorageEncrypted=True, KmsKeyId=home_key)
    assert snapshot(aws, "one")["KmsKeyId"] == home_key
    assert error_code(lambda: copied(aws, "one")) == "InvalidParameterCombination"
    assert error_code(lambda: copied(aws, "one", KmsKeyId=home_key)) == "KMSKeyNotAccessibleFault"
    assert error_code(lambda: copied(aws, "one", KmsKeyId="alias/none")) == "KMSKeyNotAccessibleFault"
    made = copied(aws, "one", KmsKeyId=there)
    assert (made["Encrypted"], made["KmsKeyId"]) == (True, there)


def test_a_region_takes_so_many_copies_from_others_and_the_next_is_refused(aws: EmbeddedAws) -> None:
    database(aws)
    for name in ("one", "two"):
        snapshot(aws, name)
    aws.set_snapshot_transition("held")
    aws.set_copy_places("rds", 1)
    copied(aws, "one")
    assert error_code(lambda: copied(aws, "two")) == "SnapshotQuotaExceeded"
    aws.finish_snapshot(SECOND, "one-copy")
    copied(aws, "two")


def test_a_copy_needs_its_key_until_it_is_done(aws: EmbeddedAws) -> None:
    home_key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    kms = client(aws, "kms", SECOND)
    there = kms.create_key()["KeyMetadata"]["Arn"]
    database(aws, StorageEncrypted=True, KmsKeyId=home_key)
    snapshot(aws, "one")
    aws.set_snapshot_transition("held")
    copied(aws, "one", KmsKeyId=there)
    kms.disable_key(KeyId=there.rpartition("/")[2])
    aws.finish_snapshots()
    assert seen(aws, "one-copy", SECOND)["Status"] == "failed"
