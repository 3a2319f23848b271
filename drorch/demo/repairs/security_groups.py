"""Security groups that are in use: EC2 does not let them go.

moto deletes a group whatever lies in it. EC2 answers DependencyViolation while an interface is in the group (a database
of RDS has one; those of EC2 instances are not looked at here) or a rule of another group names it (EC2 API,
DeleteSecurityGroup).
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.rds.models import rds_backends

from drorch.demo.repairs.replacing import around


@around(SecurityGroupBackend, "delete_security_group")
def _delete_security_group(original: Any, self: Any, name: str | None = None, group_id: str | None = None) -> Any:
    if group_id and _used(self, group_id):
        raise DependencyViolationError(f"resource {group_id} has a dependent object")
    return original(self, name, group_id)


def _used(backend: Any, group: str) -> bool:
    rds = rds_backends[backend.account_id][backend.region_name]
    databases: tuple[Any, ...] = (*rds.databases.values(), *rds.clusters.values())
    if any(group in (database.vpc_security_group_ids or ()) for database in databases):
        return True
    others = (each for each in backend.describe_security_groups() if each.id != group)
    rules = (rule for other in others for rule in (*other.ingress_rules, *other.egress_rules))
    return any(rule.source_group.get("GroupId") == group for rule in rules)
