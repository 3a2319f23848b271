"""What Auto Scaling says of versions of launch templates, and where it puts instances.

moto says of every instance of a group that it is of the template's default version, and puts all of them into one zone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState

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
