"""A security group of a drill's own: out of it goes nothing, and into it come the named sources alone, to one port.

Its name is made of the drill's id and is the key: EC2 refuses a second one of that name in a VPC, and a group that has
another name is not a drill's, whatever tags somebody gave it. All that a call here leaves undone is done by the next.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from drorch.aws import code_of, mapped
from drorch.domain.errors import AlreadyExists, NotFound, Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import CREATING, DRILL_NAMES, READY, TAG_DRILL, TAG_RESTORE, Made, NativeRestore
from drorch.kinds import gone_is_done, legible, pages, restored_tags, tag_list, tag_map

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

ISOLATION_PERMISSIONS = (
    "ec2:DescribeVpcs",
    "ec2:CreateSecurityGroup",
    "ec2:CreateTags",  # in the creating call
    "ec2:RevokeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:DeleteSecurityGroup",
)
"""Beside ec2:DescribeSecurityGroups: for drills alone."""

WHAT = "security group"
_GROUPS_PER_PAGE = 1000
_USED = frozenset({"DependencyViolation", "InvalidGroup.InUse"})
"""EC2's words for a group that something still uses, or did until a moment ago."""
_GONE = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound")

Entry = Mapping[str, Any]


def group_name(kind: str, drill: str) -> str:
    """Of the group of a drill of this kind."""
    return f"{DRILL_NAMES}{kind}-{sha256(drill.encode()).hexdigest()[:24]}"


def default_vpc(accounts: AwsAccounts, account: str, region: str) -> str:
    """The id of the region's default VPC; "" where it has none."""
    client, vault = accounts.client("ec2", account, region), native_vault_name(account, region)
    with mapped("ec2 DescribeVpcs", vault=vault):
        reply = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
    return next((str(vpc.get("VpcId") or "") for vpc in reply.get("Vpcs", ())), "")


@dataclass(frozen=True, slots=True)
class DrillGroups:
    """The security groups of one kind's drills in an account and region."""

    accounts: AwsAccounts
    kind: str
    account: str
    region: str

    @property
    def _vault(self) -> str:
        return native_vault_name(self.account, self.region)

    def closed(self, order: NativeRestore, vpc: str, port: int) -> str:
        """The id of the order's group in the VPC, made if it is not there, closed but for the order's sources.

        Unavailable while EC2 does not show what it made; Refused where it lets in what nobody named.
        """
        group = next((each for each in self._listed(order.id) if each.get("VpcId") == vpc), None)
        if group is None:
            self._create(order, vpc)
            group = next((each for each in self._listed(order.id) if each.get("VpcId") == vpc), None)
        if group is None:
            raise Unavailable(
                "EC2 does not show the security group that was made",
                operation="ec2 DescribeSecurityGroups",
                resource=group_name(self.kind, order.id),
                vault=self._vault,
                hint="it is asked again",
            )
        self._let_out_nothing(group)
        self._let_in(group, order, port)
        return str(group["GroupId"])

    def made(self, drill: str = "") -> tuple[tuple[str, Made], ...]:
        """(id of the drill, its group) of one drill, or of every one."""
        return tuple((tag_map(each.get("Tags"))[TAG_DRILL], _made(each)) for each in self._listed(drill))

    def discard(self, drill: str) -> tuple[Made, ...]:
        """DeleteSecurityGroup of what is this drill's by tag and name; what is left, because something uses it."""
        left: list[Made] = []
        for group in self._listed(drill):
            client = self.accounts.client("ec2", self.account, self.region)
            name, operation = str(group["GroupId"]), "ec2 DeleteSecurityGroup"
            try:
                with gone_is_done(_GONE), mapped(operation, resource=name, vault=self._vault, mutates=True):
                    client.delete_security_group(GroupId=name)
            except Refused as error:
                if code_of(error) not in _USED:
                    raise
                left.append(Made(WHAT, name, CREATING, f"still in use: {error.cause or error.message}"))
        return tuple(left)

    # --- how

    def _listed(self, drill: str) -> list[Entry]:
        """Those of a drill, or of all (""), each compared once more: EC2's filters know wildcards."""
        client = self.accounts.client("ec2", self.account, self.region)
        told = {"Name": f"tag:{TAG_DRILL}", "Values": [drill]} if drill else {"Name": "tag-key", "Values": [TAG_DRILL]}
        found: list[Entry] = []
        listing = pages(
            client,
            "describe_security_groups",
            "SecurityGroups",
            size=_GROUPS_PER_PAGE,
            vault=self._vault,
            Filters=[told],
        )
        for page in listing:
            with legible("ec2 DescribeSecurityGroups", self._vault):
                found += [group for group in page if group["GroupId"] and self._is_drills(group, drill)]
        return found

    def _is_drills(self, group: Entry, drill: str) -> bool:
        tags = tag_map(group.get("Tags"))
        told = tags.get(TAG_DRILL, "")
        own = bool(told) and drill in ("", told) and TAG_RESTORE not in tags
        return own and group.get("GroupName") == group_name(self.kind, told)

    def _create(self, order: NativeRestore, vpc: str) -> None:
        client = self.accounts.client("ec2", self.account, self.region, repeatable=False)
        name = group_name(self.kind, order.id)
        tags = {"ResourceType": "security-group", "Tags": tag_list(restored_tags(order, {}))}
        operation = "ec2 CreateSecurityGroup"
        with suppress(AlreadyExists), mapped(operation, resource=name, vault=self._vault, mutates=True):
            client.create_security_group(
                GroupName=name, Description="drorch: a drill", VpcId=vpc, TagSpecifications=[tags]
            )

    def _let_out_nothing(self, group: Entry) -> None:
        """EC2 gives every new group a rule that lets everything out."""
        rules = [_asked(rule) for rule in group.get("IpPermissionsEgress") or ()]
        if not rules:
            return
        client = self.accounts.client("ec2", self.account, self.region)
        operation = "ec2 RevokeSecurityGroupEgress"
        with suppress(NotFound), mapped(operation, resource=group["GroupId"], vault=self._vault, mutates=True):
            client.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=rules)

    def _let_in(self, group: Entry, order: NativeRestore, port: int) -> None:
        wanted = set(order.isolation.reach_from) if order.isolation else set()
        there = set(_let_in(group.get("IpPermissions") or (), port))
        if more := sorted(there - wanted):
            raise Refused(
                "the drill's security group lets in what nobody named",
                operation="ec2 DescribeSecurityGroups",
                resource=str(group["GroupId"]),
                vault=self._vault,
                cause=", ".join(more),
                hint="reach_from: names all that may come in; the group goes with the drill",
            )
        rules = [_rule(source, port) for source in sorted(wanted - there)]
        if not rules:
            return
        client = self.accounts.client("ec2", self.account, self.region)
        operation = "ec2 AuthorizeSecurityGroupIngress"
        with suppress(AlreadyExists), mapped(operation, resource=group["GroupId"], vault=self._vault, mutates=True):
            client.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=rules)


def _made(group: Entry) -> Made:
    return Made(WHAT, str(group["GroupId"]), READY, address="aws_security_group", import_id=str(group["GroupId"]))


def _asked(rule: Entry) -> dict[str, Any]:
    """A rule of a reply as a request takes it: without the lists that are empty."""
    return {key: value for key, value in rule.items() if value not in ([], None)}


def _rule(source: str, port: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if source.startswith("sg-"):
        return rule | {"UserIdGroupPairs": [{"GroupId": source}]}
    if ipaddress.ip_network(source).version == 6:
        return rule | {"Ipv6Ranges": [{"CidrIpv6": source}]}
    return rule | {"IpRanges": [{"CidrIp": source}]}


def _let_in(rules: Iterable[Entry], port: int) -> Iterator[str]:
    """What comes in by these rules: sources as a policy names them, or more in words where it is not the port alone."""
    for rule in rules:
        only = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort")) == ("tcp", port, port)
        sources = [str(each.get("GroupId")) for each in rule.get("UserIdGroupPairs") or ()]
        sources += [str(each.get("CidrIp")) for each in rule.get("IpRanges") or ()]
        sources += [str(each.get("CidrIpv6")) for each in rule.get("Ipv6Ranges") or ()]
        sources += [str(each.get("PrefixListId")) for each in rule.get("PrefixListIds") or ()]
        yield from (source if only else f"{source} to other ports" for source in sources)
