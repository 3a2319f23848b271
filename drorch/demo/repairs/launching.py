"""What Auto Scaling says of versions of launch templates, where it puts instances, and when it registers them.

moto says of every instance of a group that it is of the template's default version, puts all of them into one zone, and
registers them as targets at once, which its own load balancing refuses of instances that are still pending.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from moto.autoscaling.models import (
    AutoScalingBackend,
    FakeAutoScalingGroup,
    InstanceState,
    autoscaling_backends,
)
from moto.elbv2.models import ELBv2Backend

from drorch.demo.repairs.replacing import around


@around(InstanceState, "__init__")
def _launched(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """Which version it was launched from is known once and for all."""
    original(self, *args, **kwargs)
    group = self.auto_scaling_group
    template = None if group is None else group.ec2_launch_template
    self.launched_version = None if template is None else template.get_version(group.launch_template_version).number


def _launch_template(self: Any) -> dict[str, Any] | None:
    """ "Version: the version number" (Auto Scaling API, Instance, LaunchTemplate)."""
    template = None if self.auto_scaling_group is None else self.auto_scaling_group.ec2_launch_template
    if template is None or self.launched_version is None:
        return None
    version = str(self.launched_version)
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": version}


InstanceState.launch_template = property(_launch_template)  # type: ignore[assignment, method-assign]


@around(FakeAutoScalingGroup, "replace_autoscaling_group_instances")
def _spread(original: Any, self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
    """One after the other, each in the subnet with the fewest: "Amazon EC2 Auto Scaling distributes instances evenly
    across the Availability Zones" (user guide, "Benefits of Auto Scaling"). moto puts all of them into the first.
    """
    subnets = (self.vpc_zone_identifier or "").split(",")
    for _ in range(count_needed):
        used = Counter(state.instance.subnet_id for state in self.instance_states)
        self.vpc_zone_identifier = ",".join(sorted(subnets, key=lambda subnet: used[subnet])) or None
        original(self, 1, propagated_tags)
    self.vpc_zone_identifier = ",".join(subnets) or None


@around(AutoScalingBackend, "update_attached_target_groups")
def _register(original: Any, self: Any, group_name: str) -> None:
    """Those that run: "an EC2 instance must be in the running state when you register it" (Elastic Load Balancing API,
    RegisterTargets).
    """
    group = self.autoscaling_groups[group_name]
    every = group.instance_states
    running = [state for state in every if state.instance.state == "running"]
    group.instance_states = running
    try:
        original(self, group_name)
    finally:
        group.instance_states = every
    for state in running:
        state.registered = True


@around(ELBv2Backend, "describe_target_health")
def _describe_health(original: Any, self: Any, target_group_arn: str, *rest: Any, **given: Any) -> Any:
    """What has come to run since belongs to it by now; what somebody took out meanwhile stays out."""
    scaling = autoscaling_backends[self.account_id][self.region_name]
    for group in scaling.autoscaling_groups.values():
        fresh = any(s.instance.state == "running" and not hasattr(s, "registered") for s in group.instance_states)
        if fresh and target_group_arn in group.target_group_arns:
            scaling.update_attached_target_groups(group.name)
    return original(self, target_group_arn, *rest, **given)
