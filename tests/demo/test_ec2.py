"""The EC2 repairs, each seen through boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client, volume

from drorch.demo.aws import ACCOUNT, EmbeddedAws

HOME, SECOND, _ = REGIONS
TAGS = [{"ResourceType": "snapshot", "Tags": [{"Key": "drorch:site", "Value": "hq"}]}]


def snapshot(aws: EmbeddedAws, volume_id: str, region: str = HOME) -> str:
    return str(client(aws, "ec2", region).create_snapshot(VolumeId=volume_id, TagSpecifications=TAGS)["SnapshotId"])


def seen(aws: EmbeddedAws, snapshot_id: str, region: str = HOME) -> dict[str, Any]:
    found: dict[str, Any] = client(aws, "ec2", region).describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    return found


def copied(aws: EmbeddedAws, snapshot_id: str, **more: Any) -> str:
    ec2 = client(aws, "ec2", SECOND)
    return str(ec2.copy_snapshot(SourceRegion=HOME, SourceSnapshotId=snapshot_id, **more)["SnapshotId"])


def instance(aws: EmbeddedAws) -> dict[str, Any]:
    """An instance with a root volume and two data volumes, the first tagged role=data."""
    ec2 = client(aws, "ec2")
    devices = ("/dev/sda1", "/dev/sdf", "/dev/sdg")
    made: dict[str, Any] = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeSize": 8}} for device in devices],
    )["Instances"][0]
    shown: dict[str, Any] = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    volumes = {block["DeviceName"]: block["Ebs"]["VolumeId"] for block in shown["BlockDeviceMappings"]}
    ec2.create_tags(Resources=[volumes["/dev/sdf"]], Tags=[{"Key": "role", "Value": "data"}])
    return {"id": made["InstanceId"], "root": shown["RootDeviceName"], "volumes": volumes}


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def test_a_new_region_holds_no_snapshots_of_built_in_images(aws: EmbeddedAws) -> None:
    assert client(aws, "ec2").describe_snapshots()["Snapshots"] == []


def test_a_held_snapshot_is_pending_until_it_is_finished(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    made = client(aws, "ec2").create_snapshot(VolumeId=volume(aws))
    assert made["State"] == "pending"
    assert [seen(aws, made["SnapshotId"])[name] for name in ("State", "Progress")] == ["pending", "45%"]
    aws.finish_snapshots()
    assert [seen(aws, made["SnapshotId"])[name] for name in ("State", "Progress")] == ["completed", "100%"]


def test_a_snapshot_can_complete_after_a_number_of_describes(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition(describes=2)
    made = snapshot(aws, volume(aws))
    assert [seen(aws, made)["State"] for _ in range(3)] == ["pending", "completed", "completed"]


def test_a_snapshot_can_complete_after_a_time(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition(seconds=0)
    assert seen(aws, snapshot(aws, volume(aws)))["State"] == "completed"
    aws.set_snapshot_transition(seconds=3600)
    assert seen(aws, snapshot(aws, volume(aws)))["State"] == "pending"


def test_a_failed_snapshot_says_why_and_stays_failed(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    made = snapshot(aws, volume(aws))
    aws.fail_snapshot(HOME, made, "the disk is on fire")
    aws.finish_snapshots()
    assert [seen(aws, made)[name] for name in ("State", "StateMessage")] == ["error", "the disk is on fire"]


def test_start_time_is_the_present_in_utc(aws: EmbeddedAws) -> None:
    started = seen(aws, snapshot(aws, volume(aws)))["StartTime"]
    assert abs(started - datetime.now(UTC)) < timedelta(minutes=1)


def test_tags_of_the_creating_call_are_there_and_can_be_filtered_by(aws: EmbeddedAws) -> None:
    made = snapshot(aws, volume(aws))
    client(aws, "ec2").create_snapshot(VolumeId=volume(aws))
    found = client(aws, "ec2").describe_snapshots(Filters=[{"Name": "tag:drorch:site", "Values": ["hq"]}])["Snapshots"]
    assert [(one["SnapshotId"], one["Tags"]) for one in found] == [(made, TAGS[0]["Tags"])]


def test_snapshots_are_listed_in_pages(aws: EmbeddedAws) -> None:
    source = volume(aws)
    made = {snapshot(aws, source) for _ in range(12)}
    pages = list(client(aws, "ec2").get_paginator("describe_snapshots").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Snapshots"]) for page in pages] == [5, 5, 2]
    assert {one["SnapshotId"] for page in pages for one in page["Snapshots"]} == made


def test_volumes_are_listed_in_pages(aws: EmbeddedAws) -> None:
    made = {volume(aws) for _ in range(6)}
    pages = list(client(aws, "ec2").get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Volumes"]) for page in pages] == [5, 1]
    assert {one["VolumeId"] for page in pages for one in page["Volumes"]} == made


def test_a_cap_shortens_every_page(aws: EmbeddedAws) -> None:
    for _ in range(3):
        volume(aws)
    aws.cap_pages(2)
    pages = list(client(aws, "ec2").get_paginator("describe_volumes").paginate())
    assert [len(page["Volumes"]) for page in pages] == [2, 1]


def test_page_sizes_and_tokens_out_of_order_are_refused(aws: EmbeddedAws) -> None:
    ec2 = client(aws, "ec2")
    made = snapshot(aws, volume(aws))
    assert error_code(lambda: ec2.describe_snapshots(MaxResults=1)) == "InvalidParameterValue"
    both = error_code(lambda: ec2.describe_snapshots(MaxResults=5, SnapshotIds=[made]))
    assert both == "InvalidParameterCombination"
    assert error_code(lambda: ec2.describe_snapshots(NextToken="mine")) == "InvalidNextToken"


def test_owner_ids_select(aws: EmbeddedAws) -> None:
    made = snapshot(aws, volume(aws))
    ec2 = client(aws, "ec2")
    for owner, found in (("self", [made]), (ACCOUNT, [made]), ("999999999999", [])):
        assert [one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=[owner])["Snapshots"]] == found


def test_a_snapshot_of_an_encrypted_volume_shows_its_key(aws: EmbeddedAws) -> None:
    key = client(aws, "kms").create_key()["KeyMetadata"]
    shown = seen(aws, snapshot(aws, volume(aws, key=key["KeyId"])))
    assert (shown["Encrypted"], shown["KmsKeyId"]) == (True, key["Arn"])


def test_a_volume_from_an_encrypted_snapshot_keeps_the_key(aws: EmbeddedAws) -> None:
    key = client(aws, "kms").create_key()["KeyMetadata"]
    made = snapshot(aws, volume(aws, key=key["KeyId"]))
    again = client(aws, "ec2").create_volume(AvailabilityZone=f"{HOME}a", SnapshotId=made)
    assert (again["Encrypted"], again["KmsKeyId"]) == (True, key["Arn"])


def test_a_snapshot_keeps_the_size_its_volume_had(aws: EmbeddedAws) -> None:
    source = volume(aws, size=8)
    made = snapshot(aws, source)
    client(aws, "ec2").modify_volume(VolumeId=source, Size=80)
    assert seen(aws, made)["VolumeSize"] == 8


def test_a_copy_names_no_volume_and_has_its_own_tags(aws: EmbeddedAws) -> None:
    made = snapshot(aws, volume(aws, size=9))
    plain = seen(aws, copied(aws, made), SECOND)
    assert (plain["VolumeId"], plain["VolumeSize"], plain["Tags"]) == ("vol-ffffffff", 9, [])
    tagged = seen(aws, copied(aws, made, TagSpecifications=TAGS), SECOND)
    assert tagged["Tags"] == TAGS[0]["Tags"]
    assert seen(aws, made)["VolumeId"] != "vol-ffffffff"


def test_a_copy_takes_the_destination_key_by_its_alias(aws: EmbeddedAws) -> None:
    kms = client(aws, "kms", SECOND)
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/dr", TargetKeyId=key["KeyId"])
    shown = seen(aws, copied(aws, snapshot(aws, volume(aws)), Encrypted=True, KmsKeyId="alias/dr"), SECOND)
    assert (shown["State"], shown["Encrypted"], shown["KmsKeyId"]) == ("completed", True, key["Arn"])


def test_a_copy_of_an_encrypted_snapshot_without_a_key_takes_the_default_of_the_destination(aws: EmbeddedAws) -> None:
    key = client(aws, "kms").create_key()["KeyMetadata"]
    shown = seen(aws, copied(aws, snapshot(aws, volume(aws, key=key["KeyId"]))), SECOND)
    assert shown["Encrypted"]
    assert f":{SECOND}:" in shown["KmsKeyId"]


@pytest.mark.parametrize("key", ["alias/nowhere", "11111111-2222-3333-4444-555555555555", "home"])
def test_a_key_that_the_destination_lacks_fails_the_copy_later(aws: EmbeddedAws, key: str) -> None:
    if key == "home":
        key = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    made = copied(aws, snapshot(aws, volume(aws)), Encrypted=True, KmsKeyId=key)
    shown = seen(aws, made, SECOND)
    assert (shown["State"], shown["StateMessage"]) == ("error", "Given key ID is not accessible")


def test_a_key_without_encryption_is_refused(aws: EmbeddedAws) -> None:
    made = snapshot(aws, volume(aws))
    assert error_code(lambda: copied(aws, made, KmsKeyId="alias/dr")) == "InvalidParameterDependency"


def test_a_pending_snapshot_is_neither_copied_nor_restored(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    made = snapshot(aws, volume(aws))
    assert error_code(lambda: copied(aws, made)) == "IncorrectState"
    restore = {"AvailabilityZone": f"{HOME}a", "SnapshotId": made}
    assert error_code(lambda: client(aws, "ec2").create_volume(**restore)) == "IncorrectState"


def test_a_set_shows_state_and_all_volumes(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    made = instance(aws)
    reply = client(aws, "ec2").create_snapshots(
        InstanceSpecification={"InstanceId": made["id"]}, TagSpecifications=TAGS
    )["Snapshots"]
    assert {one["VolumeId"] for one in reply} == set(made["volumes"].values())
    assert {one["State"] for one in reply} == {"pending"}
    assert all(one["Tags"] == TAGS[0]["Tags"] for one in reply)


def test_a_set_copies_the_volumes_tags_when_asked(aws: EmbeddedAws) -> None:
    made = instance(aws)
    reply = client(aws, "ec2").create_snapshots(
        InstanceSpecification={"InstanceId": made["id"]}, CopyTagsFromSource="volume", TagSpecifications=TAGS
    )["Snapshots"]
    tags = {one["VolumeId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in reply}
    assert tags[made["volumes"]["/dev/sdf"]] == {"role": "data", "drorch:site": "hq"}
    assert tags[made["volumes"]["/dev/sdg"]] == {"drorch:site": "hq"}


def test_a_set_leaves_out_what_is_excluded(aws: EmbeddedAws) -> None:
    made = instance(aws)
    wanted = {
        "InstanceId": made["id"],
        "ExcludeBootVolume": True,
        "ExcludeDataVolumeIds": [made["volumes"]["/dev/sdg"]],
    }
    reply = client(aws, "ec2").create_snapshots(InstanceSpecification=wanted)["Snapshots"]
    assert [one["VolumeId"] for one in reply] == [made["volumes"]["/dev/sdf"]]
    wanted["ExcludeDataVolumeIds"] = ["vol-00000000000000000"]
    refused = error_code(lambda: client(aws, "ec2").create_snapshots(InstanceSpecification=wanted))
    assert refused == "InvalidParameterValue"


def image(aws: EmbeddedAws, snapshot_id: str) -> str:
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}
    return str(client(aws, "ec2").register_image(Name="golden", BlockDeviceMappings=[device])["ImageId"])


def test_a_snapshot_that_an_image_uses_is_not_deleted_until_the_image_is_gone(aws: EmbeddedAws) -> None:
    ec2, made, other = client(aws, "ec2"), snapshot(aws, volume(aws)), snapshot(aws, volume(aws))
    used = image(aws, made)
    for _ in range(2):
        assert error_code(lambda: ec2.delete_snapshot(SnapshotId=made)) == "InvalidSnapshot.InUse"
        ec2.disable_image(ImageId=used)
    ec2.delete_snapshot(SnapshotId=other)
    ec2.deregister_image(ImageId=used)
    ec2.delete_snapshot(SnapshotId=made)
    assert error_code(lambda: seen(aws, made)) == "InvalidSnapshot.NotFound"


def test_an_image_of_a_snapshot_that_is_not_there_is_refused(aws: EmbeddedAws) -> None:
    assert error_code(lambda: image(aws, "snap-0123456789abcdef0")) == "InvalidSnapshot.NotFound"


# --- copy places ---------------------------------------------------------------------------------------------------


def pending(aws: EmbeddedAws, region: str) -> list[dict[str, Any]]:
    listing = client(aws, "ec2", region).describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "status", "Values": ["pending"]}]
    )
    return list(listing["Snapshots"])


def test_a_region_takes_so_many_copies_at_once_and_the_next_is_refused_in_ec2_s_words(aws: EmbeddedAws) -> None:
    source = snapshot(aws, volume(aws))
    aws.set_snapshot_transition("held")
    aws.set_copy_places("ec2", 2)
    first, _ = copied(aws, source), copied(aws, source)
    with pytest.raises(ClientError) as refused:
        copied(aws, source)
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert "The limit is 2 for this destination region" in refused.value.response["Error"]["Message"]
    assert len(pending(aws, SECOND)) == 2
    aws.finish_snapshot(SECOND, first)
    copied(aws, source)
    assert len(pending(aws, SECOND)) == 2


def test_cuts_and_copies_into_other_regions_take_no_place(aws: EmbeddedAws) -> None:
    source = snapshot(aws, volume(aws))
    aws.set_snapshot_transition("held")
    aws.set_copy_places("ec2", 1)
    snapshot(aws, volume(aws, SECOND), SECOND)
    aws.put_foreign_copies(HOME, 1)
    copied(aws, source)


def test_other_people_s_copies_take_places_until_they_are_done(aws: EmbeddedAws) -> None:
    source = snapshot(aws, volume(aws))
    foreign = aws.put_foreign_copies(SECOND, 20)
    assert error_code(lambda: copied(aws, source)) == "ResourceLimitExceeded"
    (seen_,) = [entry for entry in pending(aws, SECOND) if entry["SnapshotId"] == foreign[0]]
    assert (seen_["TransferType"], seen_.get("Tags", [])) == ("standard", [])
    aws.finish_snapshots()
    assert len(pending(aws, SECOND)) == 20
    aws.finish_snapshot(SECOND, foreign[0])
    copied(aws, source)


def test_a_new_world_has_the_quota_of_aws(aws: EmbeddedAws) -> None:
    aws.set_copy_places("ec2", 0)
    aws.reset()
    assert copied(aws, snapshot(aws, volume(aws)))


def test_only_a_copy_says_how_it_is_transferred(aws: EmbeddedAws) -> None:
    source = snapshot(aws, volume(aws))
    assert "TransferType" not in seen(aws, source)
    assert seen(aws, copied(aws, source), SECOND)["TransferType"] == "standard"


@pytest.mark.parametrize(("enabled", "state"), [(True, "completed"), (False, "error")])
def test_a_copy_needs_its_key_until_it_is_done(aws: EmbeddedAws, enabled: bool, state: str) -> None:
    kms = client(aws, "kms", SECOND)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    source = snapshot(aws, volume(aws))
    aws.set_snapshot_transition("held")
    made = copied(aws, source, Encrypted=True, KmsKeyId=key)
    if not enabled:
        kms.disable_key(KeyId=key)
    assert seen(aws, made, SECOND)["State"] == "pending"
    aws.finish_snapshots()
    shown = seen(aws, made, SECOND)
    assert shown["State"] == state
    assert shown.get("StateMessage") == (None if enabled else "Given key ID is not accessible")
    kms.disable_key(KeyId=key)
    assert seen(aws, made, SECOND)["State"] == state, "what is done needs no key to stay so"


@pytest.mark.parametrize(("complete", "state"), [(False, "error"), (True, "completed")])
def test_a_copy_fails_when_its_source_goes_before_it_is_complete(aws: EmbeddedAws, complete: bool, state: str) -> None:
    source = snapshot(aws, volume(aws))
    aws.set_snapshot_transition("held")
    made = copied(aws, source)
    if complete:
        aws.finish_snapshots()
    client(aws, "ec2").delete_snapshot(SnapshotId=source)
    aws.finish_snapshots()
    assert seen(aws, made, SECOND)["State"] == state
