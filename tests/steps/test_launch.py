"""Running an image behind a target group: an empty group is turned up, one that runs something else is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from clouds import client
from native_clouds import ACCOUNT, HOME, Cloud

from drorch.domain.errors import NotFound, Refused
from drorch.ports import LaunchOrder
from drorch.steps.launch import AutoScalingLaunches

GROUP, TARGETS = "shop-dr", "shop-tg"


class Region:
    """A region with a launch template, an empty group over two zones, and its target group."""

    def __init__(self, aws: Cloud) -> None:
        self.ec2, self.autoscaling, self.elbv2 = (
            client(aws.aws, name, HOME) for name in ("ec2", "autoscaling", "elbv2")
        )
        self.old, self.new = self.image("old"), self.image("new")
        zones = [z["ZoneName"] for z in self.ec2.describe_availability_zones()["AvailabilityZones"]][:2]
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for n, zone in enumerate(zones)
        ]
        data = {"ImageId": self.old, "InstanceType": "m7g.large"}
        made = self.ec2.create_launch_template(LaunchTemplateName="shop", LaunchTemplateData=data)
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        of = {"Name": TARGETS, "Protocol": "HTTP", "Port": 80, "VpcId": vpc}
        self.target = self.elbv2.create_target_group(**of)["TargetGroups"][0]["TargetGroupArn"]
        self.group(GROUP, self.subnets)
        self.launches = AutoScalingLaunches(aws.accounts)
        self.order = LaunchOrder(ACCOUNT, HOME, "shop", self.new, GROUP, TARGETS)

    def image(self, name: str) -> str:
        snapshot = self.ec2.create_snapshot(
            VolumeId=self.ec2.create_volume(Size=8, AvailabilityZone=f"{HOME}a")["VolumeId"]
        )
        blocks = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot["SnapshotId"]}}]
        return str(
            self.ec2.register_image(Name=name, RootDeviceName="/dev/sda1", BlockDeviceMappings=blocks)["ImageId"]
        )

    def group(self, name: str, subnets: list[str], **more: Any) -> None:
        given = {
            "LaunchTemplate": {"LaunchTemplateId": self.template, "Version": "$Default"},
            "MinSize": 0,
            "MaxSize": 4,
            "DesiredCapacity": 0,
            "TargetGroupARNs": [self.target],
        }
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, VPCZoneIdentifier=",".join(subnets), **(given | more)
        )

    def now(self) -> dict[str, Any]:
        (found,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return dict(found)

    def images(self) -> set[str]:
        ids = [i["InstanceId"] for i in self.now()["Instances"]]
        found = self.ec2.describe_instances(InstanceIds=ids)["Reservations"] if ids else []
        return {i["ImageId"] for r in found for i in r["Instances"]}

    def versions(self) -> int:
        return len(self.ec2.describe_launch_template_versions(LaunchTemplateId=self.template)["LaunchTemplateVersions"])


@pytest.fixture
def region(aws: Cloud) -> Region:
    return Region(aws)


def test_an_empty_group_is_turned_up_with_the_image(region: Region) -> None:
    assert region.launches.advance(region.order).detail == "2 instances are launched"
    assert region.images() == {region.new}
    progress = region.launches.advance(region.order)
    assert (progress.done, progress.detail) == (True, "2 of 2 healthy, in 2 zones")
    assert region.versions() == 2


def test_what_the_template_says_otherwise_stays(region: Region) -> None:
    region.launches.advance(region.order)
    (made,) = region.ec2.describe_launch_template_versions(LaunchTemplateId=region.template, Versions=["2"])[
        "LaunchTemplateVersions"
    ]
    assert made["LaunchTemplateData"]["InstanceType"] == "m7g.large"


def test_the_version_of_an_earlier_command_is_used(region: Region) -> None:
    described = f"drorch shop {region.new}"
    data = {"ImageId": region.new}
    region.ec2.create_launch_template_version(
        LaunchTemplateId=region.template, SourceVersion="1", VersionDescription=described, LaunchTemplateData=data
    )
    region.launches.advance(region.order)
    assert region.versions() == 2
    assert region.now()["LaunchTemplate"]["Version"] == "2"


def test_targets_that_are_not_healthy_are_waited_for(region: Region) -> None:
    region.launches.advance(region.order)
    one, _ = (i["InstanceId"] for i in region.now()["Instances"])
    region.elbv2.deregister_targets(TargetGroupArn=region.target, Targets=[{"Id": one}])
    progress = region.launches.advance(region.order)
    assert (progress.done, progress.detail) == (False, "1 of 2 healthy, in 1 zones")


def test_a_group_that_runs_something_else_is_left_alone(region: Region) -> None:
    region.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    with pytest.raises(Refused, match="group shop-dr runs something else"):
        region.launches.advance(region.order)
    assert region.images() == {region.old}
    assert region.versions() == 1


def test_a_group_that_runs_the_image_is_made_larger_only(region: Region) -> None:
    region.launches.advance(region.order)
    region.launches.advance(replace(region.order, capacity=3))
    assert (region.now()["DesiredCapacity"], region.versions()) == (3, 2)
    assert region.launches.advance(replace(region.order, capacity=2)).done
    assert region.now()["DesiredCapacity"] == 3


def test_a_group_has_its_own_minimum(region: Region) -> None:
    region.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=4)
    with pytest.raises(Refused, match="takes 4 instances at the most, 5 are wanted"):
        region.launches.advance(replace(region.order, capacity=5))


def test_a_group_in_one_zone_is_refused(region: Region) -> None:
    region.group("lone", region.subnets[:1])
    with pytest.raises(Refused, match="group lone spans one zone"):
        region.launches.advance(replace(region.order, group="lone"))


def test_a_target_group_of_another_group_is_refused(region: Region) -> None:
    region.group("bare", region.subnets, TargetGroupARNs=[])
    with pytest.raises(Refused, match="target group shop-tg is not attached to bare"):
        region.launches.advance(replace(region.order, group="bare"))


def test_a_mixed_instances_policy_is_not_in_this_version(region: Region) -> None:
    specification = {"LaunchTemplateId": region.template, "Version": "$Default"}
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification}}
    region.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="mixed",
        VPCZoneIdentifier=",".join(region.subnets),
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        MixedInstancesPolicy=policy,
    )
    with pytest.raises(Refused, match="mixed instances policy, which is not in this version"):
        region.launches.advance(replace(region.order, group="mixed"))


@pytest.mark.parametrize("what", [{"group": "nowhere"}, {"target_group": "nowhere"}])
def test_a_group_that_is_not_there_is_not_found(region: Region, what: dict[str, str]) -> None:
    with pytest.raises(NotFound):
        region.launches.advance(replace(region.order, **what))
