"""Several accounts in the embedded cloud: what is shared, who sees it and who may copy it, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client, client_in, volume

from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, SECOND, _ = REGIONS
OTHER, THIRD = "222222222222", "333333333333"
TAGS = [{"ResourceType": "snapshot", "Tags": [{"Key": "drorch:site", "Value": "hq"}]}]


def refused(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def snapshot(aws: EmbeddedAws, **encryption: Any) -> str:
    made = volume(aws, **encryption)
    return str(client(aws, "ec2").create_snapshot(VolumeId=made, TagSpecifications=TAGS)["SnapshotId"])


def permit(aws: EmbeddedAws, native_id: str, how: str, *accounts: str) -> None:
    client(aws, "ec2").modify_snapshot_attribute(
        SnapshotId=native_id, Attribute="createVolumePermission", OperationType=how, UserIds=list(accounts)
    )


def ids(reply: dict[str, Any]) -> list[str]:
    return [entry["SnapshotId"] for entry in reply["Snapshots"]]


# --- EC2


def test_a_snapshot_is_another_account_s_to_copy_while_it_is_shared(aws: EmbeddedAws) -> None:
    source, there = snapshot(aws), client_in(aws, OTHER, "ec2", SECOND)

    def copy() -> Any:
        return there.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source)["SnapshotId"]

    assert refused(copy) == "InvalidSnapshot.NotFound"
    permit(aws, source, "add", OTHER)
    made = copy()
    (seen,) = there.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (seen["SnapshotId"], seen["OwnerId"], seen.get("Tags", [])) == (made, OTHER, [])
    assert client(aws, "ec2", SECOND).describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    permit(aws, source, "remove", OTHER)
    assert refused(copy) == "InvalidSnapshot.NotFound"
    third = client_in(aws, THIRD, "ec2", SECOND)
    permit(aws, source, "add", OTHER)
    assert (
        refused(lambda: third.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source)) == "InvalidSnapshot.NotFound"
    )


def test_the_owner_lists_what_is_shared_with_an_account(aws: EmbeddedAws) -> None:
    shared, other, _private = snapshot(aws), snapshot(aws), snapshot(aws)
    permit(aws, shared, "add", OTHER)
    permit(aws, other, "add", THIRD)
    ec2 = client(aws, "ec2")
    assert ids(ec2.describe_snapshots(OwnerIds=["self"], RestorableByUserIds=[OTHER])) == [shared]
    tagged = [{"Name": "tag:drorch:site", "Values": ["hq"]}]
    assert ids(ec2.describe_snapshots(OwnerIds=["self"], RestorableByUserIds=[OTHER], Filters=tagged)) == [shared]
    assert sorted(ids(ec2.describe_snapshots(RestorableByUserIds=[OTHER, THIRD]))) == sorted([shared, other])


def test_a_shared_snapshot_shows_its_owner_and_none_of_its_tags(aws: EmbeddedAws) -> None:
    source, there = snapshot(aws), client_in(aws, OTHER, "ec2", HOME)
    assert refused(lambda: there.describe_snapshots(SnapshotIds=[source])) == "InvalidSnapshot.NotFound"
    permit(aws, source, "add", OTHER)
    (seen,) = there.describe_snapshots(SnapshotIds=[source])["Snapshots"]
    assert (seen["OwnerId"], seen.get("Tags", [])) == (ACCOUNT, [])
    assert there.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_a_snapshot_under_the_default_key_is_not_shared_and_one_under_an_own_key_is(aws: EmbeddedAws) -> None:
    key = client(aws, "kms").create_key()["KeyMetadata"]["KeyId"]
    own = snapshot(aws, key=key)
    permit(aws, own, "add", OTHER)
    ec2 = client(aws, "ec2")
    by_default = ec2.create_volume(AvailabilityZone=f"{HOME}a", Size=8, Encrypted=True)["VolumeId"]
    source = ec2.create_snapshot(VolumeId=by_default)["SnapshotId"]
    assert refused(lambda: permit(aws, source, "add", OTHER)) == "InvalidParameter"
    assert ids(ec2.describe_snapshots(OwnerIds=["self"], RestorableByUserIds=[OTHER])) == [own]


def test_the_key_that_aws_manages_says_so(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms")
    made = client(aws, "ec2").create_volume(AvailabilityZone=f"{HOME}a", Size=8, Encrypted=True)
    assert kms.describe_key(KeyId=made["KmsKeyId"])["KeyMetadata"]["KeyManager"] == "AWS"
    own = kms.create_key()["KeyMetadata"]
    assert kms.describe_key(KeyId=own["KeyId"])["KeyMetadata"]["KeyManager"] == "CUSTOMER"


# --- RDS


class Rds:
    """The calls of instances, or those of clusters."""

    def __init__(self, aws: EmbeddedAws, noun: str) -> None:
        self.aws, self.noun = aws, noun
        self.low = "db_snapshot" if noun == "DBSnapshot" else "db_cluster_snapshot"
        self.home = client(aws, "rds")
        common = {"MasterUsername": "owner", "MasterUserPassword": "not-a-secret"}
        if noun == "DBSnapshot":
            more: dict[str, Any] = {"DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "Engine": "postgres"}
            self.home.create_db_instance(DBInstanceIdentifier="shop", **common, **more)
            made = self.home.create_db_snapshot(
                DBSnapshotIdentifier="one", DBInstanceIdentifier="shop", Tags=[{"Key": "team", "Value": "shop"}]
            )
        else:
            self.home.create_db_cluster(DBClusterIdentifier="shop", Engine="aurora-mysql", **common)
            made = self.home.create_db_cluster_snapshot(
                DBClusterSnapshotIdentifier="one",
                DBClusterIdentifier="shop",
                Tags=[{"Key": "team", "Value": "shop"}],
            )
        self.arn = made[noun][f"{noun}Arn"]

    def permit(self, **change: list[str]) -> None:
        named = {f"{self.noun}Identifier": "one"}
        getattr(self.home, f"modify_{self.low}_attribute")(**named, AttributeName="restore", **change)

    def copy(self, account: str, region: str) -> Any:
        named = {f"Source{self.noun}Identifier": self.arn, f"Target{self.noun}Identifier": "copy"}
        rds = client_in(self.aws, account, "rds", region)
        return getattr(rds, f"copy_{self.low}")(**named, SourceRegion=HOME)[self.noun]

    def shared(self, account: str, region: str = HOME) -> list[dict[str, Any]]:
        rds = client_in(self.aws, account, "rds", region)
        found: list[dict[str, Any]] = getattr(rds, f"describe_{self.low}s")(SnapshotType="shared")[f"{self.noun}s"]
        return found


@pytest.fixture(params=["DBSnapshot", "DBClusterSnapshot"])
def rds(aws: EmbeddedAws, request: pytest.FixtureRequest) -> Rds:
    return Rds(aws, request.param)


@pytest.mark.parametrize("region", [HOME, SECOND])
def test_a_db_snapshot_is_another_account_s_to_copy_while_it_is_shared(rds: Rds, region: str) -> None:
    gone = {"DBSnapshot": "DBSnapshotNotFound", "DBClusterSnapshot": "DBClusterSnapshotNotFoundFault"}[rds.noun]
    assert refused(lambda: rds.copy(OTHER, region)) == gone
    rds.permit(ValuesToAdd=[OTHER])
    assert refused(lambda: rds.copy(THIRD, region)) == gone
    made = rds.copy(OTHER, region)
    assert made[f"{rds.noun}Arn"].split(":")[3:5] == [region, OTHER]
    told = made.get("SourceDBSnapshotIdentifier") or made.get("SourceDBClusterSnapshotArn")
    assert told == rds.arn
    rds.permit(ValuesToRemove=[OTHER])
    assert refused(lambda: rds.copy(OTHER, region)) == gone


def test_an_account_sees_what_is_shared_with_it_by_arn_and_without_tags(rds: Rds) -> None:
    assert rds.shared(OTHER) == []
    rds.permit(ValuesToAdd=[OTHER])
    (seen,) = rds.shared(OTHER)
    assert (seen[f"{rds.noun}Identifier"], seen[f"{rds.noun}Arn"]) == (rds.arn, rds.arn)
    assert seen.get("TagList", []) == []
    assert rds.shared(OTHER, SECOND) == rds.shared(THIRD) == []
    rds.permit(ValuesToRemove=[OTHER])
    assert rds.shared(OTHER) == []
