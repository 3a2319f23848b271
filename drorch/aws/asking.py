"""What AWS says when it is asked whether something would do: callers, dry runs, keys, quotas, what a region offers.

Listings, and EC2's own DryRun of calls that make something: nothing here is carried out, nothing that ends something is
even named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from drorch.aws import AwsAccounts, mapped
from drorch.aws.errors import code_of
from drorch.domain.errors import DrorchError, NotFound, Refused
from drorch.domain.model import native_vault_name

PERMISSIONS = (
    "servicequotas:GetServiceQuota",
    "rds:DescribeOrderableDBInstanceOptions",
    "rds:DescribeDBSubnetGroups",
    "rds:DescribeDBParameterGroups",
    "rds:DescribeOptionGroups",
)

WOULD_WORK = "DryRunOperation"
"""The code of the error by which EC2 says that the caller may (EC2 API, DryRun)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Things that are there, to ask about: "" where there is none. `source_region` is where `snapshot` lies."""

    site: str
    volume: str = ""
    instance: str = ""
    snapshot: str = ""
    source_region: str = ""


def _tagged(site: str, kind: str = "snapshot") -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "drorch:site", "Value": site}]}]


_Request = Callable[[Sample], dict[str, Any] | None]


def _needs(name: str, request: Callable[[Sample], dict[str, Any]]) -> _Request:
    return lambda sample: request(sample) if getattr(sample, name) else None


DRY: Mapping[str, tuple[str, _Request]] = {
    "ec2:CreateSnapshot": (
        "create_snapshot",
        _needs("volume", lambda s: {"VolumeId": s.volume, "TagSpecifications": _tagged(s.site)}),
    ),
    "ec2:CreateSnapshots": (
        "create_snapshots",
        _needs(
            "instance",
            lambda s: {"InstanceSpecification": {"InstanceId": s.instance}, "TagSpecifications": _tagged(s.site)},
        ),
    ),
    "ec2:CopySnapshot": (
        "copy_snapshot",
        _needs(
            "snapshot",
            lambda s: {
                "SourceRegion": s.source_region,
                "SourceSnapshotId": s.snapshot,
                "TagSpecifications": _tagged(s.site),
            },
        ),
    ),
    "ec2:CreateImage": (
        "create_image",
        _needs(
            "instance",
            lambda s: {
                "InstanceId": s.instance,
                "Name": "drorch-doctor",
                "NoReboot": True,
                "TagSpecifications": [*_tagged(s.site, "image"), *_tagged(s.site)],
            },
        ),
    ),
}
"""IAM action -> the method of EC2's client, and its parameters (None where the sample has nothing to ask with)."""


def caller(accounts: AwsAccounts, account: str, region: str) -> tuple[str, str]:
    """(account digits, ARN) of who asks, by the STS of that very region."""
    client = accounts.client("sts", account, region)
    with mapped("sts GetCallerIdentity", vault=native_vault_name(account, region)):
        reply = client.get_caller_identity()
    return str(reply.get("Account", "")), str(reply.get("Arn", ""))


def dry_run(accounts: AwsAccounts, account: str, region: str, action: str, sample: Sample) -> bool | None:
    """Whether the caller may do `action`, an IAM action, by EC2's word; None where it cannot be asked.

    Refused when it may not, and when the endpoint does not know dry runs and has carried it out. Other errors of the
    service (the sample is gone) are raised as they are.
    """
    if action not in DRY:
        return None
    method, request = DRY[action]
    parameters = request(sample)
    if parameters is None:
        return None
    operation, vault = f"ec2 {action.partition(':')[2]}", native_vault_name(account, region)
    client = accounts.client("ec2", account, region, repeatable=False)
    try:
        with mapped(operation, vault=vault):
            getattr(client, method)(DryRun=True, **parameters)
    except DrorchError as error:
        if code_of(error) == WOULD_WORK:
            return True
        raise
    raise Refused(
        "the endpoint does not know dry runs: it has done what was asked",
        operation=operation,
        vault=vault,
        hint=f"look for what bears drorch:site={sample.site} and no drorch:point there",
    )


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota: its codes (Service Quotas), and what it is where nobody raised it."""

    service: str
    code: str
    default: int
    name: str


QUOTAS = {
    "ec2": Quota("ebs", "L-309BACF6", 100_000, "snapshots"),
    "rds": Quota("rds", "L-272F1212", 100, "manual instance snapshots"),
    "rds-cluster": Quota("rds", "L-9B510759", 100, "manual cluster snapshots"),
    "instances": Quota("rds", "L-7B6409FD", 40, "database instances"),
}
"""Per account and region (RDS user guide, "Quotas in Amazon RDS"; EBS user guide, "Amazon EBS quotas")."""


def quota(accounts: AwsAccounts, account: str, region: str, wanted: Quota) -> tuple[int, bool]:
    """The quota in force, and whether Service Quotas said so: where that is not allowed or silent, the default."""
    with suppress(DrorchError):
        client = accounts.client("service-quotas", account, region)
        with mapped("servicequotas GetServiceQuota", vault=native_vault_name(account, region)):
            reply = client.get_service_quota(ServiceCode=wanted.service, QuotaCode=wanted.code)
        return int(reply["Quota"]["Value"]), True
    return wanted.default, False


def instances(accounts: AwsAccounts, account: str, region: str) -> int:
    """How many database instances there are."""
    client, vault = accounts.client("rds", account, region), native_vault_name(account, region)
    with mapped("rds DescribeDBInstances", vault=vault):
        pages = client.get_paginator("describe_db_instances").paginate()
        return sum(len(page.get("DBInstances", ())) for page in pages)


def offered(accounts: AwsAccounts, account: str, region: str, engine: str, version: str, instance_class: str) -> bool:
    """Whether an instance of this class, engine and version can be made there."""
    client, vault = accounts.client("rds", account, region), native_vault_name(account, region)
    request = {"Engine": engine, "DBInstanceClass": instance_class} | ({"EngineVersion": version} if version else {})
    with mapped("rds DescribeOrderableDBInstanceOptions", resource=instance_class, vault=vault):
        reply = client.describe_orderable_db_instance_options(**request, MaxRecords=20)
    return bool(reply.get("OrderableDBInstanceOptions"))


_GROUPS = {
    "subnet group": ("describe_db_subnet_groups", "DBSubnetGroupName", "DBSubnetGroups"),
    "parameter group": ("describe_db_parameter_groups", "DBParameterGroupName", "DBParameterGroups"),
    "option group": ("describe_option_groups", "OptionGroupName", "OptionGroupsList"),
}


def has_group(accounts: AwsAccounts, account: str, region: str, what: str, name: str) -> bool:
    """Whether a group of that name is there: `what` is ``subnet group``, ``parameter group`` or ``option group``."""
    method, parameter, groups = _GROUPS[what]
    client, vault = accounts.client("rds", account, region), native_vault_name(account, region)
    try:
        with mapped(f"rds {method}", resource=name, vault=vault):
            reply = getattr(client, method)(**{parameter: name})
    except NotFound:
        return False
    return bool(reply.get(groups))
