"""What the role `restore` may do in EC2: make what bears a restore's or a drill's tag, let go what bears a drill's.

Resources and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from drorch.domain.iam import Conditions, Statement
from drorch.domain.native_restore import TAG_DRILL, TAG_RESTORE

_TAGGED: Conditions = {"ForAnyValue:StringEquals": {"aws:TagKeys": [TAG_DRILL, TAG_RESTORE]}}
_OF_A_DRILL: Conditions = {"Null": {f"aws:ResourceTag/{TAG_DRILL}": "false"}}
_OF_A_RESTORE: Conditions = {"Null": {f"aws:ResourceTag/{TAG_RESTORE}": "false"}}
_MADE = {"ec2:CreateVolume": ("volume",), "ec2:RunInstances": ("volume", "instance", "network-interface")}
_FROM = {"ec2:CreateVolume": ("snapshot",), "ec2:RunInstances": ("snapshot", "image")}
_INTO = ("subnet", "security-group", "key-pair")
_ENDED = {
    "ec2:DeleteVolume": ("volume",),
    "ec2:TerminateInstances": ("instance",),
    "ec2:DeleteLaunchTemplateVersions": ("launch-template",),
}
"""A version bears no tag: it may be deleted where somebody has given its template one."""


def restored_in_ec2(
    actions: Sequence[str], mine: Sequence[str], copies: Sequence[str], of_the_site: Conditions
) -> Iterator[Statement]:
    """The statements for `actions`; `mine` and `copies` are the beginnings of ARNs, with and without the account.

    Of `iam:` nothing is made, and no role may be passed: whoever restores with `instance_profile:` needs iam:PassRole
    for that role, which a person gives.
    """
    making = [action for action in _MADE if action in actions]
    yield from _given("RestoreEc2", making, _arns(mine, _MADE, making), _TAGGED)
    yield from _given("RestoreEc2From", making, _arns(copies, _FROM, making), of_the_site)
    launching = [action for action in making if action == "ec2:RunInstances"]
    yield from _given("RestoreEc2Into", launching, [f"{arn}{kind}/*" for arn in mine for kind in _INTO])
    creating = {"StringEquals": {"ec2:CreateAction": [action.partition(":")[2] for action in making]}}
    tagging = [action for action in actions if action == "ec2:CreateTags"]
    yield from _given("TagRestoredEc2", tagging, _arns(mine, _MADE, making), creating)
    attaching = [action for action in actions if action == "ec2:AttachVolume"]
    yield from _given("AttachEc2To", attaching, [f"{arn}instance/*" for arn in mine])
    for sid, condition in (("AttachEc2Restored", _OF_A_RESTORE), ("AttachEc2Drilled", _OF_A_DRILL)):
        yield from _given(sid, attaching, [f"{arn}volume/*" for arn in mine], condition)
    versions = [action for action in actions if action == "ec2:CreateLaunchTemplateVersion"]
    yield from _given("RestoreEc2Template", versions, [f"{arn}launch-template/*" for arn in mine])
    ending = [action for action in _ENDED if action in actions]
    yield from _given("LetGoDrillsEc2", ending, _arns(mine, _ENDED, ending), _OF_A_DRILL)


def _arns(prefixes: Sequence[str], kinds: Mapping[str, tuple[str, ...]], actions: Sequence[str]) -> list[str]:
    wanted = dict.fromkeys(kind for action in actions for kind in kinds[action])
    return [f"{prefix}{kind}/*" for prefix in prefixes for kind in wanted]


def _given(
    sid: str, actions: Sequence[str], resources: Sequence[str], conditions: Conditions | None = None
) -> Iterator[Statement]:
    if actions and resources:
        yield Statement(sid, tuple(actions), tuple(resources), conditions or {})
