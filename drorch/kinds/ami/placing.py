"""Where and as what the instances of a restore come up: asked of the provider, and refused before anything is made.

An instance never comes up in a default subnet or a default security group because something was left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from drorch.aws import mapped
from drorch.domain.errors import NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import NativeRestore, RestorePart
from drorch.kinds import legible, pages
from drorch.kinds.ec2_restoring import Entry

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeKeyPairs",
    "ec2:DescribeInstanceTypeOfferings",
    "iam:GetInstanceProfile",
)
PER_PAGE = 100
MOST_SHOWN = 8
"""Subnets or groups that a hint names."""

_ID = r"-[0-9a-f]{8,17}$"
InstanceType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
SubnetId = Annotated[str, StringConstraints(pattern="^subnet" + _ID)]
GroupId = Annotated[str, StringConstraints(pattern="^sg" + _ID)]


class RestoreOptions(BaseModel):
    """``{subnets: [subnet-1, subnet-2], security_groups: [sg-1], instance_types: [m6i.large, m5.large]}``, or
    ``{launch_template: shop-web}``. What is left out is as it was recorded, where that is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_types: tuple[InstanceType, ...] = Field(
        default=(), max_length=10, description="the first that has capacity, such as [m6i.large, m5.large]"
    )
    subnet: SubnetId | None = Field(
        default=None, description="one of the copy's region, such as subnet-0123456789abcdef0"
    )
    subnets: tuple[SubnetId, ...] = Field(default=(), max_length=16, description="the first with capacity, of one VPC")
    security_groups: tuple[GroupId, ...] = Field(
        default=(), max_length=16, description="ids of the copy's region, such as [sg-0123456789abcdef0]"
    )
    instance_profile: str = Field(
        default="", pattern=r"^[\w+=,.@-]*$", description="the name of an instance profile that is there; no ARN"
    )
    key_name: str = Field(default="", description="a key pair of the copy's region")
    count: int = Field(default=1, ge=1, le=20, description="instances of each image, 1 to 20")
    launch_template: str = Field(
        default="",
        pattern=r"^([a-zA-Z0-9()./_-]{3,128})?$",
        description="the name of one that is there, such as shop-web",
    )

    @model_validator(mode="after")
    def _one_way(self) -> RestoreOptions:
        if self.subnet is not None and self.subnets:
            raise ValueError("subnet and subnets: one of them; subnets: [first, second]")
        placed = [
            name
            for name in ("subnet", "subnets", "security_groups", "instance_profile", "key_name")
            if getattr(self, name)
        ]
        if self.launch_template and (placed or self.count != 1):
            raise ValueError(
                f"a launch template says itself where its instances go: leave {', '.join(placed) or 'count'} out"
            )
        if self.launch_template and len(self.instance_types) > 1:
            raise ValueError("a launch template takes one instance type: instance_types: [m6i.large]")
        return self

    @property
    def chosen_subnets(self) -> tuple[str, ...]:
        """Those that were named, the first to be taken first."""
        return (self.subnet,) if self.subnet is not None else self.subnets


@dataclass(frozen=True, slots=True)
class Manner:
    """As what an instance comes up, or came up."""

    type: str
    subnet: str
    groups: tuple[str, ...]
    key_name: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How the instances of one image come up: `tries` are (instance type, subnet), the first to be tried first."""

    tries: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    key_name: str

    @property
    def first(self) -> Manner:
        """With the type and subnet that are tried first."""
        return Manner(*self.tries[0], self.groups, self.key_name)


def launches(accounts: AwsAccounts, order: NativeRestore, images: Sequence[RestorePart]) -> Mapping[str, Launch]:
    """Image id -> how its instances come up. Refused, with the way out, for all that is not there."""
    place = _Place(accounts, order)
    place.require_profile()
    return {image.native_id: place.launch(image) for image in images}


class _Place:
    """What the region of an order has of all that its options and records name. Each thing is asked for once."""

    def __init__(self, accounts: AwsAccounts, order: NativeRestore) -> None:
        self._accounts, self._order, self._options = accounts, order, options_of(order)
        self._vault = native_vault_name(order.account, order.region)
        self._client: Any = accounts.client("ec2", order.account, order.region)
        settings = [part.settings for part in order.parts]
        chosen = self._options
        self._subnets = self._listed(
            "subnet", chosen.chosen_subnets or [str(s["subnet"]) for s in settings if s.get("subnet")]
        )
        self._groups = self._listed(
            "security_group",
            chosen.security_groups or [group for s in settings for group in _texts(s, "security_groups")],
        )
        self._keys = self._key_pairs({chosen.key_name, *(str(s.get("key_name") or "") for s in settings)})

    def launch(self, image: RestorePart) -> Launch:
        """Of one image."""
        subnets = self._subnets_of(image)
        groups = self._groups_of(image, self._subnets[subnets[0]].get("VpcId", ""))
        return Launch(self._tries(image, subnets), groups, self._key_of(image))

    def require_profile(self) -> None:
        """GetInstanceProfile of the one that was named: IAM objects are never made."""
        name = self._options.instance_profile
        if not name:
            return
        client = self._accounts.client("iam", self._order.account, self._order.region)
        try:
            with mapped("iam GetInstanceProfile", resource=name, vault=self._vault):
                client.get_instance_profile(InstanceProfileName=name)
        except NotFound as error:
            hint = "instance_profile: the name of one that is there; drorch makes none"
            raise self._refused(f"there is no instance profile {name}", name, hint, error.cause) from error

    def _subnets_of(self, image: RestorePart) -> tuple[str, ...]:
        recorded = str(image.settings.get("subnet") or "")
        wanted = self._options.chosen_subnets or ((recorded,) if recorded else ())
        if missing := [subnet for subnet in wanted if subnet not in self._subnets]:
            raise self._refused(
                f"there is no {', '.join(missing)} in the copy's region", missing[0], self._ways("subnet")
            )
        if not wanted:
            raise self._refused("no record tells the subnet", image.native_id, self._ways("subnet"))
        networks = {str(self._subnets[subnet].get("VpcId")) for subnet in wanted}
        if len(networks) > 1:
            found = f"the subnets are of {len(networks)} VPCs: {', '.join(sorted(networks))}"
            raise self._refused(found, wanted[0], "security groups are of one VPC: name subnets of one")
        return tuple(wanted)

    def _groups_of(self, image: RestorePart, network: str) -> tuple[str, ...]:
        wanted = self._options.security_groups or _texts(image.settings, "security_groups")
        there = [group for group in wanted if self._groups.get(group, {}).get("VpcId") == network]
        if wanted and len(there) == len(wanted):
            return tuple(wanted)
        missing = ", ".join(group for group in wanted if group not in there) or "none is recorded"
        raise self._refused(
            f"the security groups are not in {network}: {missing}",
            image.native_id,
            self._ways("security_group", network),
        )

    def _tries(self, image: RestorePart, subnets: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Every type in every subnet whose zone offers it: the type that is wanted most wherever it is to be had."""
        types = types_of(image, self._options)
        if not types:
            hint = "instance_types: [m6i.large], the types that may be taken"
            raise self._refused("no record tells the instance type", image.native_id, hint)
        zones = {subnet: str(self._subnets[subnet].get("AvailabilityZone", "")) for subnet in subnets}
        offered = self._offered(types, sorted(set(zones.values())))
        tries = tuple((kind, subnet) for kind in types for subnet in subnets if (kind, zones[subnet]) in offered)
        if not tries:
            found = f"{', '.join(types)} is not offered in {', '.join(sorted(set(zones.values())))}"
            raise self._refused(found, image.native_id, "instance_types: others, or subnets: of other zones")
        return tries

    def _key_of(self, image: RestorePart) -> str:
        """A key pair that was named must be there; one that was recorded is taken where it is."""
        named, recorded = self._options.key_name, str(image.settings.get("key_name") or "")
        if named and named not in self._keys:
            raise self._refused(f"there is no key pair {named}", named, "key_name: one of the copy's region, or none")
        return named or (recorded if recorded in self._keys else "")

    def _offered(self, types: Sequence[str], zones: Sequence[str]) -> set[tuple[str, str]]:
        filters = [{"Name": "instance-type", "Values": list(types)}, {"Name": "location", "Values": list(zones)}]
        return {
            (str(entry.get("InstanceType")), str(entry.get("Location")))
            for entry in self._all(
                "describe_instance_type_offerings",
                "InstanceTypeOfferings",
                Filters=filters,
                LocationType="availability-zone",
            )
        }

    def _listed(self, what: str, ids: Iterable[str]) -> dict[str, Entry]:
        """Those of `ids` that are there; of none, nothing."""
        wanted = sorted(set(ids))
        name, items, key = _LISTINGS[what]
        if not wanted:
            return {}
        filters = [{"Name": name, "Values": wanted}]
        return {str(entry.get(key)): entry for entry in self._all(f"describe_{what}s", items, Filters=filters)}

    def _key_pairs(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that are there. EC2 tells key pairs without pages."""
        wanted = sorted(name for name in names if name)
        if not wanted:
            return set()
        with mapped("ec2 DescribeKeyPairs", vault=self._vault):
            reply = self._client.describe_key_pairs(Filters=[{"Name": "key-name", "Values": wanted}])
        with legible("ec2 DescribeKeyPairs", self._vault):
            return {str(entry.get("KeyName")) for entry in reply["KeyPairs"]} & set(wanted)

    def _ways(self, what: str, network: str = "") -> str:
        """The way out, with what there is."""
        _, items, key = _LISTINGS[what]
        entries = self._all(f"describe_{what}s", items)
        there = sorted(_shown(entry, key) for entry in entries if network in ("", entry.get("VpcId")))
        more = f" and {len(there) - MOST_SHOWN} more" if len(there) > MOST_SHOWN else ""
        return f"{what}s: of {', '.join(there[:MOST_SHOWN]) or 'which there is none: make one'}{more}"

    def _all(self, method: str, items: str, **request: Any) -> list[Entry]:
        listing = pages(self._client, method, items, size=PER_PAGE, vault=self._vault, **request)
        return [entry for page in listing for entry in page]

    def _refused(self, message: str, resource: str, hint: str, cause: str = "") -> Refused:
        return Refused(
            message, operation="ec2 RunInstances", resource=resource, vault=self._vault, cause=cause, hint=hint
        )


_LISTINGS = {
    "subnet": ("subnet-id", "Subnets", "SubnetId"),
    "security_group": ("group-id", "SecurityGroups", "GroupId"),
}


def options_of(order: NativeRestore) -> RestoreOptions:
    """An order's options. TypeError when they are another kind's."""
    if not isinstance(order.options, RestoreOptions):
        raise TypeError(f"ami takes its own options of a restore, not {type(order.options).__name__}")
    return order.options


def types_of(image: RestorePart, options: RestoreOptions) -> tuple[str, ...]:
    """The instance types that may be taken, the one that is wanted most first."""
    recorded = str(image.settings.get("type") or "")
    return options.instance_types or ((recorded,) if recorded else ())


def differences(image: RestorePart, options: RestoreOptions, now: Manner) -> Iterator[str]:
    """What is not as it was recorded, in words."""
    settings, named = image.settings, image.source_id or image.native_id
    pairs = (("type", "was a", now.type), ("subnet", "was in", now.subnet), ("key_name", "had key pair", now.key_name))
    for key, verb, made in pairs:
        if (recorded := settings.get(key)) and recorded != made:
            yield f"{named}: {verb} {recorded}, now {made or 'none'}"
    if (was := _texts(settings, "security_groups")) and set(was) != set(now.groups):
        yield f"{named}: was in {', '.join(was)}, now in {', '.join(now.groups) or 'none'}"
    if (profile := str(settings.get("instance_profile") or "")) and not options.instance_profile:
        yield f"{named}: had instance profile {re.split('[:/]', profile)[-1]}, now none (instance_profile: NAME)"


def _texts(settings: Mapping[str, object], key: str) -> tuple[str, ...]:
    told = settings.get(key)
    return tuple(str(each) for each in told) if isinstance(told, list | tuple) else ()


def _shown(entry: Entry, key: str) -> str:
    beside = [str(entry[name]) for name in ("GroupName", "AvailabilityZone", "VpcId") if entry.get(name)]
    return f"{entry.get(key)} ({', '.join(beside)})"
