"""Running an image by an Auto Scaling group that is there, behind its target group: the pilot light is turned up.

Nothing that runs is touched: the group must be empty, or run this very image. Its launch template gets one more version
with the image; what the template says otherwise stays (EC2 API, CreateLaunchTemplateVersion, SourceVersion).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from drorch.aws import mapped
from drorch.domain.errors import NotFound, Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.runbook import StepProgress

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts
    from drorch.ports import LaunchOrder

PERMISSIONS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:UpdateAutoScalingGroup",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:CreateLaunchTemplateVersion",
)
BEHALF = ("ec2:RunInstances", "ec2:CreateTags", "iam:PassRole")
"""What whoever gives a group a launch template must be allowed to do, as Auto Scaling checks (Amazon EC2 Auto Scaling
user guide, "Control Amazon EC2 launch template usage"); the last where the template names an instance profile."""

ZONES = 2
"""A site in one zone is lost with it."""


class AutoScalingLaunches:
    """Auto Scaling groups and target groups (LaunchesImages)."""

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def advance(self, order: LaunchOrder) -> StepProgress:
        """One look at the group; a version of its template, then the group's new size, where it is empty."""
        at = _Region(self._accounts, order)
        group = at.group()
        template, version = _template_of(group, order)
        if len(set(group["AvailabilityZones"])) < ZONES:
            zones = ", ".join(group["AvailabilityZones"])
            raise Refused(f"group {order.group} spans one zone", cause=zones, hint="two at the least", **at.said)
        target = at.target_group()
        if target not in group.get("TargetGroupARNs", ()):
            hint = "attach it: a group registers its instances with its own target groups alone"
            raise Refused(f"target group {order.target_group} is not attached to {order.group}", hint=hint, **at.said)
        size = _size(group, order)
        number, image = at.current(template, version)
        others = [i["InstanceId"] for i in group.get("Instances", ()) if _version_of(i, number) != number]
        if image == order.image and not others:
            if group["DesiredCapacity"] >= size:
                return at.health(group, target, size)
        elif others or group["DesiredCapacity"]:
            of = f"{group['DesiredCapacity']} of image {image}"
            raise Refused(
                f"group {order.group} runs something else",
                cause=f"{', '.join(others)}: not of image {order.image}" if others else of,
                hint="a group of the runbook is empty until then: set its desired capacity to 0, or name another one",
                **at.said,
            )
        else:
            number = at.version_with_image(template, version)
        at.start(template, number, size)
        return StepProgress(detail=f"{size} instances are launched")


class _Region:
    """The calls about one order; each fails as ours."""

    def __init__(self, accounts: AwsAccounts, order: LaunchOrder) -> None:
        self._accounts, self._order = accounts, order
        self.said = {"operation": "launch", "resource": order.group}
        self._vault = native_vault_name(order.account, order.region)

    def _client(self, service: str, *, repeatable: bool = True) -> Any:
        return self._accounts.client(service, self._order.account, self._order.region, repeatable=repeatable)

    def group(self) -> Mapping[str, Any]:
        with self._asked("autoscaling DescribeAutoScalingGroups", self._order.group):
            reply = self._client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self._order.group])
            found = reply["AutoScalingGroups"]
        if not found:
            raise NotFound(f"there is no Auto Scaling group {self._order.group}", cause=self._vault, **self.said)
        group: Mapping[str, Any] = found[0]
        return group

    def target_group(self) -> str:
        with self._asked("elbv2 DescribeTargetGroups", self._order.target_group):
            reply = self._client("elbv2").describe_target_groups(Names=[self._order.target_group])
            found = reply["TargetGroups"]
        if not found:
            raise NotFound(f"there is no target group {self._order.target_group}", cause=self._vault, **self.said)
        return str(found[0]["TargetGroupArn"])

    def _versions(self, template: str, **which: Any) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        client = self._client("ec2")
        with self._asked("ec2 DescribeLaunchTemplateVersions", template):
            pages = client.get_paginator("describe_launch_template_versions")
            for page in pages.paginate(LaunchTemplateId=template, **which):
                found.extend(page["LaunchTemplateVersions"])
        return found

    def current(self, template: str, version: str) -> tuple[str, str]:
        """(number, image) of a version; ``$Latest`` and ``$Default`` are what they are now."""
        found = self._versions(template, Versions=[version])
        if not found:
            raise NotFound(f"there is no version {version} of {template}", cause=self._vault, **self.said)
        return str(found[0]["VersionNumber"]), str(found[0].get("LaunchTemplateData", {}).get("ImageId", ""))

    def version_with_image(self, template: str, source: str) -> str:
        """The number of the version that was made for this image, now or by an earlier command."""
        described = f"drorch {self._order.application} {self._order.image}"
        for found in self._versions(template):
            if found.get("VersionDescription") == described and (
                found.get("LaunchTemplateData", {}).get("ImageId") == self._order.image
            ):
                return str(found["VersionNumber"])
        token = hashlib.sha256(f"{template}\0{described}".encode()).hexdigest()[:64]
        with self._asked("ec2 CreateLaunchTemplateVersion", template, mutates=True):
            reply = self._client("ec2").create_launch_template_version(
                LaunchTemplateId=template,
                SourceVersion=source,
                VersionDescription=described,
                LaunchTemplateData={"ImageId": self._order.image},
                ClientToken=token,
            )
            return str(reply["LaunchTemplateVersion"]["VersionNumber"])

    def start(self, template: str, version: str, size: int) -> None:
        """Template and size in one call, so that nothing of the old version is ever launched."""
        with self._asked("autoscaling UpdateAutoScalingGroup", self._order.group, mutates=True):
            self._client("autoscaling").update_auto_scaling_group(
                AutoScalingGroupName=self._order.group,
                LaunchTemplate={"LaunchTemplateId": template, "Version": version},
                DesiredCapacity=size,
            )

    def health(self, group: Mapping[str, Any], target: str, size: int) -> StepProgress:
        """How many of the group's instances its target group calls healthy, and in how many zones they are."""
        with self._asked("elbv2 DescribeTargetHealth", self._order.target_group):
            reply = self._client("elbv2").describe_target_health(TargetGroupArn=target)
            states = {t["Target"]["Id"]: t["TargetHealth"]["State"] for t in reply["TargetHealthDescriptions"]}
        zones = {i["InstanceId"]: i["AvailabilityZone"] for i in group.get("Instances", ())}
        healthy = [instance for instance in zones if states.get(instance) == "healthy"]
        there = {zones[instance] for instance in healthy}
        told = f"{len(healthy)} of {size} healthy, in {len(there)} zones"
        return StepProgress(len(healthy) >= size and len(there) >= ZONES, told)

    @contextmanager
    def _asked(self, operation: str, resource: str, *, mutates: bool = False) -> Iterator[None]:
        try:
            with mapped(operation, resource=resource, vault=self._vault, mutates=mutates):
                yield
        except KeyError as error:
            cause = f"without {error}"
            raise Unavailable(
                "the reply cannot be read", operation=operation, vault=self._vault, cause=cause
            ) from error


def _template_of(group: Mapping[str, Any], order: LaunchOrder) -> tuple[str, str]:
    """(id, version) of the group's own launch template."""
    template = group.get("LaunchTemplate") or {}
    if not template.get("LaunchTemplateId"):
        what = "a mixed instances policy" if group.get("MixedInstancesPolicy") else "a launch configuration"
        raise Refused(
            f"group {order.group} has {what}, which is not in this version",
            operation="launch",
            resource=order.group,
            hint="give it a launch template of its own",
        )
    return template["LaunchTemplateId"], str(template.get("Version") or "$Default")


def _version_of(instance: Mapping[str, Any], otherwise: str) -> str:
    """The version of the template that an instance was launched from."""
    return str((instance.get("LaunchTemplate") or {}).get("Version") or otherwise)


def _size(group: Mapping[str, Any], order: LaunchOrder) -> int:
    """How many instances are launched: those of the order, as many as the group has at the least."""
    size = max(order.capacity, int(group["MinSize"]))
    if size > group["MaxSize"]:
        raise Refused(
            f"group {order.group} takes {group['MaxSize']} instances at the most, {size} are wanted",
            operation="launch",
            resource=order.group,
            hint="a larger maximum, or a smaller capacity in the runbook",
        )
    return size
