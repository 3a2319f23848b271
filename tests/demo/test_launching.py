"""Launch templates, groups and records of the embedded AWS, where moto was simpler than the service."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import REGIONS, client

from drorch.demo.aws import EmbeddedAws

HOME = REGIONS[0]


@pytest.fixture
def ec2(aws: EmbeddedAws) -> Any:
    return client(aws, "ec2", HOME)


@pytest.fixture
def template(ec2: Any) -> str:
    volume = ec2.create_volume(Size=8, AvailabilityZone=f"{HOME}a")["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    blocks = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    image = ec2.register_image(Name="web", RootDeviceName="/dev/sda1", BlockDeviceMappings=blocks)["ImageId"]
    data = {"ImageId": image, "InstanceType": "m7g.large"}
    made = ec2.create_launch_template(LaunchTemplateName="shop", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def version(ec2: Any, template: str, **more: Any) -> dict[str, Any]:
    data = {"ImageId": "ami-2"}
    made = ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data, **more)
    return dict(made["LaunchTemplateVersion"])


def test_a_version_inherits_what_it_does_not_say(ec2: Any, template: str) -> None:
    made = version(ec2, template, SourceVersion="1")
    assert made["LaunchTemplateData"] == {"ImageId": "ami-2", "InstanceType": "m7g.large"}
    assert version(ec2, template)["LaunchTemplateData"] == {"ImageId": "ami-2"}


def test_one_token_makes_one_version(ec2: Any, template: str) -> None:
    numbers = [version(ec2, template, ClientToken=token)["VersionNumber"] for token in ("a", "a", "b")]
    assert numbers == [2, 2, 3]


def test_a_group_spreads_its_instances_over_its_zones_and_says_their_version(
    aws: EmbeddedAws, ec2: Any, template: str
) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{HOME}{zone}")["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    autoscaling = client(aws, "autoscaling", HOME)
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="shop",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join(subnets),
    )
    number = version(ec2, template, SourceVersion="1")["VersionNumber"]
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName="shop", LaunchTemplate={"LaunchTemplateId": template, "Version": str(number)}
    )
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["shop"])["AutoScalingGroups"]
    assert sorted(i["AvailabilityZone"] for i in group["Instances"]) == [f"{HOME}a", f"{HOME}a", f"{HOME}b"]
    assert {i["LaunchTemplate"]["Version"] for i in group["Instances"]} == {"1"}
    assert group["VPCZoneIdentifier"] == ",".join(subnets)


def test_a_group_registers_its_instances_as_targets_once_they_run(aws: EmbeddedAws, ec2: Any, template: str) -> None:
    aws.set_ec2_transition("held")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone=f"{HOME}a")["Subnet"]["SubnetId"]
    elbv2 = client(aws, "elbv2", HOME)
    of = {"Name": "shop", "Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    target = elbv2.create_target_group(**of)["TargetGroups"][0]["TargetGroupArn"]
    client(aws, "autoscaling", HOME).create_auto_scaling_group(
        AutoScalingGroupName="shop",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=2,
        TargetGroupARNs=[target],
        VPCZoneIdentifier=subnet,
    )

    def healthy() -> list[str]:
        found = elbv2.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]
        return [each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] == "healthy"]

    assert healthy() == []
    aws.finish_ec2()
    ids = healthy()
    assert len(ids) == 2
    elbv2.deregister_targets(TargetGroupArn=target, Targets=[{"Id": ids[0]}])
    assert healthy() == [ids[1]]


# --- records --------------------------------------------------------------------------------------------------------


class Zone:
    """A hosted zone with one record."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.route53 = client(aws, "route53", HOME)
        made = self.route53.create_hosted_zone(Name="example.com", CallerReference="1")
        self.id = made["HostedZone"]["Id"]
        self.change(("CREATE", "old"))

    def change(self, *changes: tuple[str, str], ttl: int = 60) -> None:
        batch = [
            {
                "Action": action,
                "ResourceRecordSet": {
                    "Name": "shop.example.com",
                    "Type": "CNAME",
                    "TTL": ttl,
                    "ResourceRecords": [{"Value": value}],
                },
            }
            for action, value in changes
        ]
        self.route53.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": batch})

    def value(self) -> str:
        found = self.route53.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return str(next(r["ResourceRecords"][0]["Value"] for r in found if r["Type"] == "CNAME"))


@pytest.fixture
def zone(aws: EmbeddedAws) -> Zone:
    return Zone(aws)


def test_a_record_is_replaced_in_one_batch(zone: Zone) -> None:
    zone.change(("DELETE", "old"), ("CREATE", "new"))
    assert zone.value() == "new"
    zone.change(("DELETE", "new"), ("CREATE", "old"))
    assert zone.value() == "old"


@pytest.mark.parametrize(
    ("changes", "ttl", "why"),
    [
        ([("CREATE", "new")], 60, "already exists"),
        ([("DELETE", "other"), ("CREATE", "new")], 60, "do not match the current values"),
        ([("DELETE", "old"), ("CREATE", "new")], 300, "do not match the current values"),
        ([("DELETE", "old"), ("DELETE", "old")], 60, "was not found"),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(
    zone: Zone, changes: list[tuple[str, str]], ttl: int, why: str
) -> None:
    with pytest.raises(ClientError, match=f"InvalidChangeBatch.*{why}"):
        zone.change(*changes, ttl=ttl)
    assert zone.value() == "old"
