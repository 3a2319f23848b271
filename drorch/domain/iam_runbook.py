"""Which rights the steps of runbooks need of the role that restores: groups, launch templates and records that policies
name, and nothing else of their sort.

Resources and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/ (Amazon EC2 Auto
Scaling, Elastic Load Balancing V2, Amazon EC2, Route 53).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from drorch.domain.iam import Statement

_LOOKING = ("Describe", "List", "Get")


@dataclass(frozen=True, slots=True)
class RunbookUse:
    """What the runbooks of a site do in one account.

    `groups` maps regions to the Auto Scaling groups there, `zones` are hosted zones; `launching` and `switching` are
    what the steps declare, `behalf` what AWS checks of whoever gives a group a launch template.
    """

    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    zones: frozenset[str] = frozenset()
    launching: tuple[str, ...] = ()
    behalf: tuple[str, ...] = ()
    switching: tuple[str, ...] = ()


def runbook_statements(use: RunbookUse, account: str, partition: Callable[[str], str]) -> Iterator[Statement]:
    """The statements for the account of these twelve digits; none where no runbook does anything there."""
    if use.groups:
        yield from _launching(use, account, partition)
    if use.zones:
        arns = tuple(f"arn:{_only(use, partition)}:route53:::hostedzone/{zone}" for zone in use.zones)
        changes = (f"arn:{_only(use, partition)}:route53:::change/*",)
        asked = tuple(action for action in use.switching if action.endswith("GetChange"))
        yield Statement("RunbookRecords", tuple(a for a in use.switching if a not in asked), arns)
        yield Statement("RunbookChanges", asked, changes)


def _launching(use: RunbookUse, account: str, partition: Callable[[str], str]) -> Iterator[Statement]:
    regions = sorted(use.groups)
    within = {"StringEquals": {"aws:RequestedRegion": regions}}
    looking = tuple(action for action in use.launching if _verb(action).startswith(_LOOKING))
    yield Statement("RunbookLooking", looking, ("*",), within)
    groups = tuple(
        f"arn:{partition(region)}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{name}"
        for region in regions
        for name in sorted(use.groups[region])
    )
    yield Statement("RunbookGroups", _of(use.launching, "autoscaling", looking), groups)
    templates = tuple(f"arn:{partition(region)}:ec2:{region}:{account}:launch-template/*" for region in regions)
    yield Statement("RunbookTemplates", _of(use.launching, "ec2", looking), templates)
    made = tuple(
        arn
        for region in regions
        for arn in (f"arn:{partition(region)}:ec2:{region}:{account}:*", f"arn:{partition(region)}:ec2:{region}::*")
    )
    launches = tuple(action for action in use.behalf if action == "ec2:RunInstances")
    tags = tuple(action for action in use.behalf if action == "ec2:CreateTags")
    passed = tuple(action for action in use.behalf if action.startswith("iam:"))
    yield Statement("RunbookInstances", launches, made)
    yield Statement("RunbookTags", tags, made, {"StringEquals": {"ec2:CreateAction": "RunInstances"}})
    roles = (f"arn:{partition(regions[0])}:iam::{account}:role/*",)
    service = {"StringEquals": {"iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]}}
    yield Statement("RunbookProfiles", passed, roles, service)


def _only(use: RunbookUse, partition: Callable[[str], str]) -> str:
    """The partition of the account, by the regions in use; the commercial one where none is."""
    return partition(next(iter(sorted(use.groups)), ""))


def _of(actions: tuple[str, ...], service: str, without: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(action for action in actions if action.startswith(f"{service}:") and action not in without)


def _verb(action: str) -> str:
    return action.partition(":")[2]
