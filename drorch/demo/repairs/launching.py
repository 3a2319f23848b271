"""Versions of launch templates, and what Auto Scaling says of them.

moto takes a version's data as all of it, makes another version for the same token, says of every instance of a group
that it is of the template's default version, and puts all of them into one zone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.ec2.responses.launch_templates import LaunchTemplates

from drorch.demo.repairs.replacing import around

_TOKENS = "_versions_by_token"


@around(LaunchTemplates, "create_launch_template_version")
def _create_version(original: Any, self: Any) -> Any:
    """ "SourceVersion: the new version inherits the same launch parameters as the source version, except for parameters
    that you specify in LaunchTemplateData"; "ClientToken: to ensure the idempotency of the request" (EC2 API,
    CreateLaunchTemplateVersion).
    """
    template = self.ec2_backend.get_launch_template(self._get_param("LaunchTemplateId"))
    source, token = self._get_param("SourceVersion"), self._get_param("ClientToken")
    made = template.__dict__.setdefault(_TOKENS, {})
    if token and token in made:
        return made[token]
    reply = original(self)
    if source:
        version = template.versions[-1]
        version.data = {**template.get_version(source).data, **version.data}
        reply.result["LaunchTemplateVersion"]["LaunchTemplateData"] = version.data
    if token:
        made[token] = reply
    return reply


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
