"""The rights of runbooks: what the role that restores may do to groups, templates and records, and what not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from iam_judge import allowed
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from policy_words import policy_of
from runbooks import HOST, TWO, shop

from drorch.domain.iam import documents
from drorch.domain.iam_roles import AccountUse, statements
from drorch.domain.iam_runbook import RunbookUse
from drorch.steps import launch, record
from drorch.wiring.rights import _runbooks

PROD, AWAY = "111111111111", "us-west-2"
RUNBOOKS = RunbookUse(
    {AWAY: frozenset({"shop-dr"})}, frozenset({"Z1"}), launch.PERMISSIONS, launch.BEHALF, record.PERMISSIONS
)
GROUP = f"arn:aws:autoscaling:{AWAY}:{PROD}:autoScalingGroup:0a:autoScalingGroupName/shop-dr"
TEMPLATE = f"arn:aws:ec2:{AWAY}:{PROD}:launch-template/lt-1"
INSTANCE, IMAGE = f"arn:aws:ec2:{AWAY}:{PROD}:instance/*", f"arn:aws:ec2:{AWAY}::image/ami-1"
ROLE, ZONE = f"arn:aws:iam::{PROD}:role/shop", "arn:aws:route53:::hostedzone/Z1"
HERE = {"aws:RequestedRegion": AWAY}


def role(name: str, runbooks: RunbookUse = RUNBOOKS) -> tuple[dict[str, Any], ...]:
    return documents(statements(AccountUse("prod", PROD, "acme", runbooks=runbooks), name))


def test_the_documents_are_within_the_grammar() -> None:
    for document in role("restore"):
        IAMPolicyDocumentValidator(json.dumps(document)).validate()


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("autoscaling:DescribeAutoScalingGroups", "*", HERE),
        ("autoscaling:UpdateAutoScalingGroup", GROUP, {}),
        ("elasticloadbalancing:DescribeTargetHealth", "*", HERE),
        ("ec2:DescribeLaunchTemplateVersions", "*", HERE),
        ("ec2:CreateLaunchTemplateVersion", TEMPLATE, {}),
        ("ec2:RunInstances", INSTANCE, {}),
        ("ec2:RunInstances", IMAGE, {}),
        ("ec2:CreateTags", INSTANCE, {"ec2:CreateAction": "RunInstances"}),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("route53:ListResourceRecordSets", ZONE, {}),
        ("route53:ChangeResourceRecordSets", ZONE, {}),
        ("route53:GetChange", "arn:aws:route53:::change/C1", {}),
    ],
)
def test_the_role_that_restores_carries_the_steps_out(action: str, resource: str, context: dict[str, Any]) -> None:
    assert allowed(role("restore"), action, resource, context)
    for other in ("backup", "vault"):
        assert not allowed(role(other), action, resource, context)
    assert not allowed(role("restore", RunbookUse()), action, resource, context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("autoscaling:UpdateAutoScalingGroup", GROUP.replace("shop-dr", "shop-prod"), {}),
        ("autoscaling:UpdateAutoScalingGroup", GROUP.replace(AWAY, "us-east-1"), {}),
        ("ec2:RunInstances", INSTANCE.replace(AWAY, "us-east-1"), {}),
        ("ec2:CreateTags", INSTANCE, {}),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("route53:ChangeResourceRecordSets", ZONE.replace("Z1", "Z2"), {}),
        ("route53:DeleteHostedZone", ZONE, {}),
        ("autoscaling:DeleteAutoScalingGroup", GROUP, {}),
    ],
)
def test_it_may_do_nothing_else(action: str, resource: str, context: dict[str, Any]) -> None:
    assert not allowed(role("restore"), action, resource, context)


def test_groups_are_those_of_their_region() -> None:
    found = _runbooks([policy_of(TWO, HOST)], "prod")
    assert found.groups == {"us-west-2": frozenset({"dr-west"}), "ap-south-1": frozenset({"dr-south"})}


def test_what_runbooks_use_is_gathered_from_the_policies() -> None:
    found = _runbooks([policy_of(shop(), HOST)], "prod")
    assert found == RunbookUse(
        {AWAY: frozenset({"shop-dr"})}, frozenset({"Z1"}), launch.PERMISSIONS, launch.BEHALF, record.PERMISSIONS
    )
    assert _runbooks([policy_of(shop(), HOST)], "vault") == RunbookUse()
    assert _runbooks([policy_of(shop().partition("\nrecovery:")[0], HOST)], "prod") == RunbookUse()
