"""The repairs that restores need: volumes, instances and versions of launch templates, each seen through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client, volume

from drorch.demo.aws import EmbeddedAws

HOME = REGIONS[0]
ZONE = f"{HOME}a"


def error_code(call: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def snapshot(aws: EmbeddedAws) -> str:
    return str(client(aws, "ec2").create_snapshot(VolumeId=volume(aws))["SnapshotId"])


def image(aws: EmbeddedAws) -> str:
    ec2 = client(aws, "ec2")
    mapping = [{"DeviceName": d, "Ebs": {"VolumeSize": 8}} for d in ("/dev/sda1", "/dev/sdf")]
    source = launched(aws, "ami-12345678", BlockDeviceMappings=mapping)
    return str(ec2.create_image(InstanceId=source["InstanceId"], Name="web")["ImageId"])


def launched(aws: EmbeddedAws, image_id: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = client(aws, "ec2").run_instances(ImageId=image_id, **{"MinCount": 1, "MaxCount": 1, **more})
    entry: dict[str, Any] = found["Instances"][0]
    return entry


def state(aws: EmbeddedAws, native_id: str) -> str:
    ec2 = client(aws, "ec2")
    if native_id.startswith("vol-"):
        return str(ec2.describe_volumes(VolumeIds=[native_id])["Volumes"][0]["State"])
    return str(ec2.describe_instances(InstanceIds=[native_id])["Reservations"][0]["Instances"][0]["State"]["Name"])


# --- volumes


def test_a_held_volume_is_creating_until_it_is_finished_and_one_that_fails_is_in_error(aws: EmbeddedAws) -> None:
    aws.set_ec2_transition("held")
    first, second = volume(aws), volume(aws)
    assert state(aws, first) == "creating"
    aws.fail_volume(HOME, second)
    aws.finish_ec2()
    assert [state(aws, name) for name in (first, second)] == ["available", "error"]


def test_a_volume_can_become_available_after_a_number_of_describes(aws: EmbeddedAws) -> None:
    aws.set_ec2_transition(describes=2)
    made = volume(aws)
    assert [state(aws, made) for _ in range(3)] == ["creating", "available", "available"]


def test_a_client_token_names_one_volume_and_no_other_request(aws: EmbeddedAws) -> None:
    ec2 = client(aws, "ec2")
    said = {"AvailabilityZone": ZONE, "SnapshotId": snapshot(aws), "ClientToken": "t1"}
    first = ec2.create_volume(**said)["VolumeId"]
    assert ec2.create_volume(**said)["VolumeId"] == first
    assert ec2.create_volume(**{**said, "ClientToken": "t2"})["VolumeId"] != first
    other = {**said, "AvailabilityZone": f"{HOME}b"}
    assert error_code(lambda: ec2.create_volume(**other)) == "IdempotentParameterMismatch"
    ec2.delete_volume(VolumeId=first)
    assert ec2.create_volume(**said)["VolumeId"] == first


def test_a_rate_of_initialization_is_kept_and_one_that_does_not_fit_is_refused(aws: EmbeddedAws) -> None:
    ec2, source = client(aws, "ec2"), snapshot(aws)
    made = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=source, VolumeInitializationRate=150)["VolumeId"]
    assert ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["VolumeInitializationRate"] == 150
    for wrong in (
        {"SnapshotId": source, "VolumeInitializationRate": 301},
        {"Size": 8, "VolumeInitializationRate": 150},
    ):
        code = error_code(lambda wrong=wrong: ec2.create_volume(AvailabilityZone=ZONE, **wrong))
        assert code == "InvalidParameterValue"


def test_a_volume_is_attached_where_there_is_room_for_it(aws: EmbeddedAws) -> None:
    ec2, there = client(aws, "ec2"), launched(aws, "ami-12345678")["InstanceId"]

    def attach(name: str, device: str) -> Any:
        return ec2.attach_volume(VolumeId=name, InstanceId=there, Device=device)

    first, second = volume(aws), volume(aws)
    attach(first, "/dev/sdf")
    assert state(aws, first) == "in-use"
    assert error_code(lambda: attach(second, "/dev/sdf")) == "InvalidParameterValue"
    assert error_code(lambda: attach(first, "/dev/sdg")) == "VolumeInUse"
    elsewhere = ec2.create_volume(AvailabilityZone=f"{HOME}b", Size=8)["VolumeId"]
    assert error_code(lambda: attach(elsewhere, "/dev/sdg")) == "InvalidVolume.ZoneMismatch"
    aws.set_ec2_transition("held")
    assert error_code(lambda: attach(volume(aws), "/dev/sdg")) == "IncorrectState"


# --- instances


def test_a_held_instance_is_pending_until_it_has_booted(aws: EmbeddedAws) -> None:
    aws.set_ec2_transition("held")
    made = launched(aws, "ami-12345678")["InstanceId"]
    assert state(aws, made) == "pending"
    aws.finish_ec2()
    assert state(aws, made) == "running"
    client(aws, "ec2").stop_instances(InstanceIds=[made])
    assert state(aws, made) == "stopped"


def test_an_instance_that_is_terminated_while_it_is_pending_stays_so(aws: EmbeddedAws) -> None:
    aws.set_ec2_transition("held")
    made = launched(aws, "ami-12345678")["InstanceId"]
    client(aws, "ec2").terminate_instances(InstanceIds=[made])
    aws.finish_ec2()
    assert state(aws, made) == "terminated"


def test_an_instance_that_fails_at_its_start_says_why(aws: EmbeddedAws) -> None:
    made = launched(aws, "ami-12345678")["InstanceId"]
    aws.fail_instance(HOME, made, "Server.InternalError", "Server error on launch")
    entry = client(aws, "ec2").describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
    assert entry["State"]["Name"] == "terminated"
    assert entry["StateReason"] == {"Code": "Server.InternalError", "Message": "Server error on launch"}


def test_an_instance_has_the_volumes_of_its_image(aws: EmbeddedAws) -> None:
    ec2, named = client(aws, "ec2"), image(aws)
    snapshots = {
        b["Ebs"]["SnapshotId"] for b in ec2.describe_images(ImageIds=[named])["Images"][0]["BlockDeviceMappings"]
    }
    made = launched(aws, named)["InstanceId"]
    found = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [made]}])["Volumes"]
    assert {v["SnapshotId"] for v in found} == snapshots
    assert {v["Attachments"][0]["Device"] for v in found} == {"/dev/sda1", "/dev/sdf"}


def test_an_image_that_is_not_ready_launches_nothing(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    named = image(aws)
    assert error_code(lambda: launched(aws, named)) == "InvalidAMIID.Unavailable"


def test_a_client_token_names_one_launch_and_no_other_request(aws: EmbeddedAws) -> None:
    said = {"ClientToken": "t1", "InstanceType": "m5.large"}
    first = launched(aws, "ami-12345678", **said)
    assert first["ClientToken"] == "t1"
    assert launched(aws, "ami-12345678", **said)["InstanceId"] == first["InstanceId"]
    other = {**said, "InstanceType": "m6i.large"}
    assert error_code(lambda: launched(aws, "ami-12345678", **other)) == "IdempotentParameterMismatch"
    assert launched(aws, "ami-12345678")["InstanceId"] != launched(aws, "ami-12345678")["InstanceId"]


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "Unsupported"])
def test_a_launch_that_a_zone_refuses_makes_nothing_and_can_be_had_later_under_its_token(
    aws: EmbeddedAws, code: str
) -> None:
    ec2 = client(aws, "ec2")
    subnets = {s["AvailabilityZone"]: s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]}
    said = {"InstanceType": "m5.large", "SubnetId": subnets[f"{HOME}b"], "ClientToken": "t1"}
    aws.refuse_launches(f"{HOME}b", "m5.large", code)
    assert error_code(lambda: launched(aws, "ami-12345678", **said)) == code
    assert ec2.describe_instances()["Reservations"] == []
    launched(aws, "ami-12345678", InstanceType="m5.large", SubnetId=subnets[f"{HOME}a"])
    aws.refuse_launches(f"{HOME}b", "m5.large", "")
    assert launched(aws, "ami-12345678", **said)["SubnetId"] == subnets[f"{HOME}b"]


# --- versions of launch templates


def templated(aws: EmbeddedAws) -> str:
    data = {"InstanceType": "m5.large", "KeyName": "shop"}
    made = client(aws, "ec2").create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def version(aws: EmbeddedAws, **more: Any) -> dict[str, Any]:
    said = {"LaunchTemplateName": "web", "LaunchTemplateData": {"ImageId": "ami-1"}, **more}
    made: dict[str, Any] = client(aws, "ec2").create_launch_template_version(**said)["LaunchTemplateVersion"]
    return made


def numbers(aws: EmbeddedAws) -> list[int]:
    pages = client(aws, "ec2").get_paginator("describe_launch_template_versions").paginate(LaunchTemplateName="web")
    return [each["VersionNumber"] for page in pages for each in page["LaunchTemplateVersions"]]


def test_a_version_takes_over_what_its_source_has_and_a_client_token_names_one(aws: EmbeddedAws) -> None:
    templated(aws)
    made = version(aws, SourceVersion="1", ClientToken="t1")
    assert made["LaunchTemplateData"] == {"InstanceType": "m5.large", "KeyName": "shop", "ImageId": "ami-1"}
    assert version(aws)["LaunchTemplateData"] == {"ImageId": "ami-1"}
    assert version(aws, SourceVersion="1", ClientToken="t1")["VersionNumber"] == made["VersionNumber"]
    assert error_code(lambda: version(aws, ClientToken="t1")) == "IdempotentParameterMismatch"
    assert numbers(aws) == [1, 2, 3]


def test_versions_are_listed_in_pages(aws: EmbeddedAws) -> None:
    templated(aws)
    for _ in range(20):
        version(aws)
    assert numbers(aws) == list(range(1, 22))
    aws.cap_pages(2)
    assert numbers(aws) == list(range(1, 22))


def test_a_version_is_deleted_for_itself_and_the_default_and_one_that_is_gone_are_not(aws: EmbeddedAws) -> None:
    templated(aws)
    version(aws)
    version(aws)
    ec2 = client(aws, "ec2")
    reply = ec2.delete_launch_template_versions(LaunchTemplateName="web", Versions=["1", "3", "9"])
    assert [v["VersionNumber"] for v in reply["SuccessfullyDeletedLaunchTemplateVersions"]] == [3]
    refused = {
        v["VersionNumber"]: v["ResponseError"]["Code"] for v in reply["UnsuccessfullyDeletedLaunchTemplateVersions"]
    }
    assert refused == {1: "unexpectedError", 9: "launchTemplateVersionDoesNotExist"}
    assert numbers(aws) == [1, 2]
    assert ec2.describe_launch_templates()["LaunchTemplates"][0]["LatestVersionNumber"] == 2
    assert version(aws)["VersionNumber"] == 4
