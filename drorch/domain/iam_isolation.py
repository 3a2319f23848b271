"""What the role `restore` may do for the network of a drill's own: make security groups, close them, let them go.

Resources and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html. A
group gets its tag in the creating call alone, so that no rule of another one can be touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drorch.domain.iam import Conditions, Statement
from drorch.domain.native_restore import TAG_DRILL

CREATING = "ec2:CreateSecurityGroup"
_OF_A_DRILL: Conditions = {"Null": {f"aws:ResourceTag/{TAG_DRILL}": "false"}}
_TAGGED: Conditions = {"ForAnyValue:StringEquals": {"aws:TagKeys": [TAG_DRILL]}}
_RULES = ("ec2:RevokeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress")
_ENDING = "ec2:DeleteSecurityGroup"


def isolating(mine: Sequence[str]) -> Iterator[Statement]:
    """The statements; `mine` are the beginnings of the account's ARNs of EC2 in each region. None without any."""
    if not mine:
        return
    groups = tuple(f"{prefix}security-group/*" for prefix in mine)
    yield Statement("IsolateDrills", (CREATING,), groups, _TAGGED)
    yield Statement("IsolateDrillsIn", (CREATING,), tuple(f"{prefix}vpc/*" for prefix in mine), {})
    created: Conditions = {"StringEquals": {"ec2:CreateAction": [CREATING.partition(":")[2]]}}
    yield Statement("TagDrillGroups", ("ec2:CreateTags",), groups, created)
    yield Statement("CloseDrillGroups", _RULES, groups, _OF_A_DRILL)
    yield Statement("LetGoDrillGroups", (_ENDING,), groups, _OF_A_DRILL)
