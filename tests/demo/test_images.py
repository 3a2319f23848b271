"""The repairs of EC2 images, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import EmbeddedAws

HOME, SECOND, _ = REGIONS
DEVICES = ("/dev/sda1", "/dev/sdf")
TAGS = [{"ResourceType": of, "Tags": [{"Key": "made-for", "Value": of}]} for of in ("image", "snapshot")]


def instance(aws: EmbeddedAws) -> str:
    made = client(aws, "ec2").run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeSize": 8}} for device in DEVICES],
    )
    return str(made["Instances"][0]["InstanceId"])


def image(aws: EmbeddedAws, name: str = "golden", **more: Any) -> str:
    made = client(aws, "ec2").create_image(InstanceId=instance(aws), Name=name, NoReboot=True, **more)
    return str(made["ImageId"])


def copied(aws: EmbeddedAws, image_id: str, **more: Any) -> str:
    wanted = {"SourceRegion": HOME, "SourceImageId": image_id, "Name": "copy", **more}
    return str(client(aws, "ec2", SECOND).copy_image(**wanted)["ImageId"])


def seen(aws: EmbeddedAws, image_id: str, region: str = HOME) -> dict[str, Any]:
    found = client(aws, "ec2", region).describe_images(ImageIds=[image_id], IncludeDisabled=True)["Images"]
    shown: dict[str, Any] = found[0]
    return shown


def snapshots(aws: EmbeddedAws, image_id: str, region: str = HOME) -> list[str]:
    return [block["Ebs"]["SnapshotId"] for block in seen(aws, image_id, region)["BlockDeviceMappings"]]


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def test_an_image_is_made_of_a_snapshot_of_every_volume_and_of_nothing_else(aws: EmbeddedAws) -> None:
    made = image(aws)
    shown = seen(aws, made)
    assert [block["DeviceName"] for block in shown["BlockDeviceMappings"]] == list(DEVICES)
    listed = client(aws, "ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert {one["SnapshotId"] for one in listed} == set(snapshots(aws, made))
    assert shown["SourceInstanceId"].startswith("i-")


def test_the_creating_call_tags_the_image_and_its_snapshots_each_as_it_says(aws: EmbeddedAws) -> None:
    made = image(aws, TagSpecifications=TAGS)
    assert seen(aws, made)["Tags"] == TAGS[0]["Tags"]
    listed = client(aws, "ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert [one["Tags"] for one in listed] == [TAGS[1]["Tags"]] * 2
    other = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    assert error_code(lambda: image(aws, "other", TagSpecifications=other)) == "InvalidParameterValue"


def test_a_name_is_taken_once_in_a_region_until_its_image_is_deregistered(aws: EmbeddedAws) -> None:
    made = image(aws)
    assert error_code(lambda: image(aws)) == "InvalidAMIName.Duplicate"
    client(aws, "ec2").deregister_image(ImageId=made)
    assert image(aws) != made


def test_an_image_is_pending_with_its_snapshots_and_does_not_tell_them(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    made = image(aws)
    assert (seen(aws, made)["State"], seen(aws, made)["BlockDeviceMappings"]) == ("pending", [])
    assert error_code(lambda: copied(aws, made)) == "InvalidAMIID.Unavailable"
    aws.finish_snapshots()
    assert (seen(aws, made)["State"], len(snapshots(aws, made))) == ("available", 2)


def test_an_image_fails_with_a_snapshot_or_by_order_and_says_why(aws: EmbeddedAws) -> None:
    made = image(aws)
    aws.fail_snapshot(HOME, snapshots(aws, made)[0], "the disk is on fire")
    assert (seen(aws, made)["State"], seen(aws, made)["StateReason"]["Message"]) == ("failed", "the disk is on fire")
    other = image(aws, "other")
    aws.fail_snapshot(HOME, other, "no more")
    assert (seen(aws, other)["State"], seen(aws, other)["StateReason"]["Message"]) == ("failed", "no more")


def test_images_are_listed_in_pages_and_found_by_their_snapshots(aws: EmbeddedAws) -> None:
    made = [image(aws, f"golden{number}") for number in range(3)]
    aws.cap_pages(2)
    pages = list(client(aws, "ec2").get_paginator("describe_images").paginate(Owners=["self"]))
    assert [len(page["Images"]) for page in pages] == [2, 1]
    wanted = [{"Name": "block-device-mapping.snapshot-id", "Values": snapshots(aws, made[1])[:1]}]
    found = client(aws, "ec2").describe_images(Owners=["self"], Filters=wanted)["Images"]
    assert [one["ImageId"] for one in found] == [made[1]]


def test_a_disabled_image_is_listed_only_when_asked_for_and_can_be_enabled(aws: EmbeddedAws) -> None:
    made, ec2 = image(aws), client(aws, "ec2")
    ec2.disable_image(ImageId=made)
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert seen(aws, made)["State"] == "disabled"
    ec2.enable_image(ImageId=made)
    assert [one["State"] for one in ec2.describe_images(Owners=["self"])["Images"]] == ["available"]


def test_a_deregistered_image_is_gone_and_its_snapshots_stay(aws: EmbeddedAws) -> None:
    made, ec2 = image(aws), client(aws, "ec2")
    own = snapshots(aws, made)
    assert error_code(lambda: ec2.delete_snapshot(SnapshotId=own[0])) == "InvalidSnapshot.InUse"
    ec2.deregister_image(ImageId=made)
    assert ec2.describe_images(ImageIds=[made])["Images"] == []
    assert error_code(lambda: ec2.deregister_image(ImageId=made)) == "InvalidAMIID.Unavailable"
    assert {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]} == set(own)


def test_a_copy_has_snapshots_of_its_own_with_their_tags_and_none_of_its_source(aws: EmbeddedAws) -> None:
    made = image(aws, TagSpecifications=TAGS)
    plain, tagged = copied(aws, made), copied(aws, made, TagSpecifications=TAGS)
    assert seen(aws, plain, SECOND)["Tags"] == []
    assert seen(aws, tagged, SECOND)["Tags"] == TAGS[0]["Tags"]
    assert not set(snapshots(aws, tagged, SECOND)) & set(snapshots(aws, made))
    assert "SourceInstanceId" not in seen(aws, tagged, SECOND)
    listed = client(aws, "ec2", SECOND).describe_snapshots(SnapshotIds=snapshots(aws, tagged, SECOND))["Snapshots"]
    assert [(one["Tags"], one["VolumeId"]) for one in listed] == [(TAGS[1]["Tags"], "vol-ffffffff")] * 2


def test_a_copy_is_made_once_for_a_token_whatever_became_of_it(aws: EmbeddedAws) -> None:
    made = image(aws)
    first = copied(aws, made, ClientToken="once")
    assert copied(aws, made, ClientToken="once") == first
    client(aws, "ec2", SECOND).deregister_image(ImageId=first)
    assert copied(aws, made, ClientToken="once") == first
    assert copied(aws, made, ClientToken="twice") != first
    other = error_code(lambda: copied(aws, made, ClientToken="once", Name="other"))
    assert other == "IdempotentParameterMismatch"


def test_a_copy_takes_the_key_of_its_destination_and_fails_later_without_it(aws: EmbeddedAws) -> None:
    made = image(aws)
    key = client(aws, "kms", SECOND).create_key()["KeyMetadata"]
    well = copied(aws, made, Encrypted=True, KmsKeyId=key["KeyId"])
    listed = client(aws, "ec2", SECOND).describe_snapshots(SnapshotIds=snapshots(aws, well, SECOND))["Snapshots"]
    assert {(one["Encrypted"], one["KmsKeyId"]) for one in listed} == {(True, key["Arn"])}
    badly = seen(aws, copied(aws, made, Encrypted=True, KmsKeyId="alias/nowhere"), SECOND)
    assert (badly["State"], badly["StateReason"]["Message"]) == ("failed", "Given key ID is not accessible")
    assert error_code(lambda: copied(aws, made, KmsKeyId="alias/nowhere")) == "InvalidParameterDependency"
