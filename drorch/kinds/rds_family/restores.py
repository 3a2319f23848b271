"""What the restores of instances and of clusters share: whose a database is, groups that must exist, classes to try.

The identifier that is chosen is the key, as of snapshots: a creating call that is repeated finds it taken, and tags in
that call say by whom. Nothing is modified, and nothing is deleted but what a drill made.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drorch.aws import asking, code_of, mapped
from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_RESOURCE
from drorch.domain.errors import Busy, NotFound, Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import (
    CREATING,
    DRILL_NAMES,
    FAILED,
    READY,
    TAG_DRILL,
    TAG_RESTORE,
    Made,
    NativeRestore,
    RestorePart,
    RestoreProgress,
)
from drorch.kinds import check_kms_key, isolation, legible, restored_tags, tag_list, tag_map
from drorch.kinds.isolation import ISOLATION_PERMISSIONS
from drorch.kinds.rds_family.restore_options import DEFAULT, RestoredDatabase
from drorch.kinds.rds_family.restore_request import is_default
from drorch.kinds.rds_family.snapshots import RESERVED_PREFIXES, ManualSnapshots

Entry = Mapping[str, Any]

RESTORE_LOOKING = (
    "rds:DescribeDBSubnetGroups",
    "rds:DescribeDBParameterGroups",
    "rds:DescribeOptionGroups",
    "rds:DescribeOrderableDBInstanceOptions",
    "ec2:DescribeSecurityGroups",
    "kms:DescribeKey",
    *ISOLATION_PERMISSIONS,
)
"""What is looked at before anything is made, and what a drill's network of its own takes."""

NO_CAPACITY = frozenset({"InsufficientDBInstanceCapacity", "InsufficientDBClusterCapacityFault"})
"""The codes by which RDS says that it has no instance of a class left there now."""
_READY = frozenset({"available", "storage-optimization", "storage-initialization"})
"""An instance answers in each of them (RDS user guide, "Viewing DB instance status")."""
_FAILED = frozenset({"failed", "deleting", "stopped", "restore-error", "insufficient-capacity", "storage-full"})
_LONGEST = 60
"""Characters of a name that leave room for the numbers of members; RDS takes 63."""
_LISTED = 20
"""Security groups in one question, more than an instance takes."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made of an order: the call but for its class, and the classes to try in their order.

    Of `tags`, the snapshot's, those that people gave come along. `inside` is (VPC, port) of what lies in a security
    group of the drill's own.
    """

    name: str
    request: Mapping[str, Any]
    classes: tuple[str, ...]
    tags: Mapping[str, str]
    inside: tuple[str, int] | None = None


class RestoresDatabases(ManualSnapshots):
    """RestoresSnapshots but for what instances and clusters make."""

    noun = ""
    """What a restore makes, as its hints and commands call it: ``instance`` or ``cluster``."""

    @abstractmethod
    def _found(self, account: str, region: str) -> tuple[Sequence[Entry], Sequence[Entry]]:
        """(what restores of this kind make, all instances) there, by whole listings."""

    @abstractmethod
    def _wish(
        self, order: NativeRestore, part: RestorePart, found: Sequence[Entry], instances: Sequence[Entry]
    ) -> Wish:
        """What to make, everything looked at that must be there. Refused with the way out; Unavailable."""

    @abstractmethod
    def _notes(self, order: NativeRestore, part: RestorePart, entry: Entry | None) -> tuple[str, ...]:
        """Differences and what is left to do, of what is to be made or is there."""

    # --- the port

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """Looks alone: at names, the snapshot with its key, groups of the region, classes that it offers."""
        part = self._part(order)
        found, instances = self._found(order.account, order.region)
        mine = next((entry for entry in found if is_of(order, entry)), None)
        if mine is None:
            self._wish(order, part, found, instances)
        return self._notes(order, part, mine)

    # --- what both need

    def _part(self, order: NativeRestore) -> RestorePart:
        if len(order.parts) != 1:
            raise self.refused(order, "a point of RDS is one snapshot", f"{len(order.parts)} parts", "restore it alone")
        return order.parts[0]

    def _check_snapshot(self, order: NativeRestore, part: RestorePart) -> Entry:
        """The snapshot as its region shows it. NotFound; Unavailable while it is made; Refused for a lost key."""
        shown = next(iter(self._shown(order.account, order.region, part.native_id)), None)
        if shown is None or shown.get("Status") != "available":
            raise Unavailable(
                "the snapshot cannot be restored yet",
                operation=f"rds Describe{self.nouns.snapshot}s",
                resource=part.native_id,
                vault=native_vault_name(order.account, order.region),
                cause=f"status {shown.get('Status') if shown else 'not told'}",
            )
        if key := shown.get("KmsKeyId"):
            check_kms_key(self._accounts, order.account, order.region, key)
        return shown

    def _name(self, order: NativeRestore, options: RestoredDatabase, part: RestorePart, taken: Iterable[str]) -> str:
        """The new identifier. Refused when something else has it, or when nobody says one."""
        name = name_of(order, options, part)
        if not name:
            raise self.refused(order, f"the new {self.noun} has no name", "none is recorded", "name: NAME")
        if order.tag == TAG_DRILL and not name.startswith(DRILL_NAMES):
            cause = f"{name} could be anybody's, and what a drill makes is deleted"
            raise self.refused(
                order, "it is no name for a drill", cause, f"leave out name:, or name: {DRILL_NAMES}NAME"
            )
        if name in taken:
            raise self.taken(order, name)
        return name

    def taken(self, order: NativeRestore, name: str, noun: str = "") -> Refused:
        """For a name that something bears which is not this restore's."""
        noun = noun or self.noun
        way = f"name: ANOTHER, or rename the {noun} that has it"
        return self.refused(order, f"the {noun} {name} exists", "it does not bear this restore's tag", way)

    def refused(self, order: NativeRestore, message: str, cause: str, hint: str) -> Refused:
        """Refused, of the resource and the place of an order."""
        vault = native_vault_name(order.account, order.region)
        return Refused(
            message, operation=f"restore {self.kind}", resource=order.resource, vault=vault, cause=cause, hint=hint
        )

    def _network(self, order: NativeRestore, options: RestoredDatabase, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Subnet group and security groups as the calls take them, each looked at, and both of one VPC."""
        request: dict[str, Any] = {}
        vpc = ""
        subnets = options.subnet_group or recorded.get("subnet_group") or DEFAULT
        if not is_default(subnets):
            request["DBSubnetGroupName"] = subnets
            vpc = self._subnets(order, subnets)
        if order.isolation is not None:
            return request
        groups = options.security_groups
        if groups is None:
            groups = self._recorded_security_groups(order, recorded)
        if groups == DEFAULT or not groups:
            return request
        there = self._security_groups(order, groups)
        for group in groups:
            if group not in there:
                way = f"security_groups: groups of {order.region}, or security_groups: default"
                raise self.refused(order, f"there is no security group {group}", f"not in {order.region}", way)
            if vpc and there[group] and there[group] != vpc:
                cause = f"{group} is of {there[group]}, the subnet group {subnets} of {vpc}"
                way = "subnet_group: and security_groups: of one VPC"
                raise self.refused(order, "subnets and security groups are of two VPCs", cause, way)
        return request | {"VpcSecurityGroupIds": list(groups)}

    def _inside(
        self, order: NativeRestore, options: RestoredDatabase, recorded: Mapping[str, Any]
    ) -> tuple[str, int] | None:
        """(VPC, port) of a drill in a network of its own, None for anything else. Refused where nobody says them."""
        if order.isolation is None:
            return None
        subnets = options.subnet_group or recorded.get("subnet_group") or DEFAULT
        if is_default(subnets):
            vpc = isolation.default_vpc(self._accounts, order.account, order.region)
        else:
            vpc = self._subnets(order, subnets)
        if not vpc:
            cause = f"{order.region} has no default VPC"
            raise self.refused(order, "nobody says in which VPC the drill is", cause, "subnet_group: NAME")
        port = options.port or recorded.get("port") or 0
        if order.isolation.reach_from and not port:
            raise self.refused(order, "nobody says to which port the probes come", "none is recorded", "port: NUMBER")
        return vpc, int(port)

    def _drill_groups(self, account: str, region: str) -> isolation.DrillGroups:
        return isolation.DrillGroups(self._accounts, self.kind, account, region)

    def _subnets(self, order: NativeRestore, name: str) -> str:
        """The VPC of a subnet group. Refused when there is none of that name."""
        client = self._accounts.client("rds", order.account, order.region)
        vault = native_vault_name(order.account, order.region)
        try:
            with mapped("rds DescribeDBSubnetGroups", resource=name, vault=vault):
                reply = client.describe_db_subnet_groups(DBSubnetGroupName=name)
        except NotFound:
            reply = {}
        shown = next(iter(reply.get("DBSubnetGroups") or ()), None)
        if shown is None:
            way = f"subnet_group: a DB subnet group of {order.region}, or subnet_group: default"
            raise self.refused(order, f"there is no DB subnet group {name}", f"not in {order.region}", way)
        return str(shown.get("VpcId") or "")

    def _recorded_security_groups(self, order: NativeRestore, recorded: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the record, where the region still has them: ids mean nothing elsewhere, so that they are never
        replaced silently. A database that had none of its own keeps to the default.
        """
        groups = tuple(recorded.get("security_groups") or ())
        there = self._security_groups(order, groups) if groups else {}
        if missing := [group for group in groups if group not in there] or (None if recorded else ["recorded"]):
            raise self.refused(
                order,
                f"nobody says which security groups the {self.noun} gets in {order.region}",
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there",
                "security_groups: [sg-...], or security_groups: default",
            )
        return groups

    def _security_groups(self, order: NativeRestore, groups: Sequence[str]) -> Mapping[str, str]:
        """Those of these ids that are there -> their VPCs."""
        client = self._accounts.client("ec2", order.account, order.region)
        vault = native_vault_name(order.account, order.region)
        with mapped("ec2 DescribeSecurityGroups", resource=", ".join(groups), vault=vault):
            reply = client.describe_security_groups(Filters=[{"Name": "group-id", "Values": list(groups)[:_LISTED]}])
        with legible("ec2 DescribeSecurityGroups", vault):
            return {group["GroupId"]: group.get("VpcId", "") for group in reply.get("SecurityGroups", ())}

    def _group(self, order: NativeRestore, what: str, option: str, given: str, recorded: Sequence[str]) -> str:
        """The name of a parameter or option group, given or recorded; "" for the default of RDS. Refused when the
        region has none of that name.
        """
        name = given or next(iter(recorded), "")
        if not name or is_default(name):
            return ""
        if not self._has_group(order, what, name):
            way = f"{option}: a {what} of {order.region}, or {option}: default; or make {name} there as it was"
            raise self.refused(order, f"there is no {what} {name}", f"not in {order.region}", way)
        return name

    def _has_group(self, order: NativeRestore, what: str, name: str) -> bool:
        return asking.has_group(self._accounts, order.account, order.region, what, name)

    def _offered(self, order: NativeRestore, engine: str, classes: Sequence[str]) -> tuple[str, ...]:
        """Those of the classes that the region offers for the engine. Refused when it offers none of them."""
        accounts = self._accounts
        found = tuple(c for c in classes if asking.offered(accounts, order.account, order.region, engine, "", c))
        if classes and not found:
            cause = f"{order.region} offers no {', '.join(classes)} for {engine}"
            raise self.refused(order, "the class is not to be had there", cause, "class: NAME, or classes: [...]")
        return found

    def _make(self, order: NativeRestore, call: str, wish: Wish, class_field: str = "DBInstanceClass") -> Any:
        """One creating call, sent once; with the next class where RDS has none left of the one before.

        AlreadyExists, OutcomeUnknown; Busy when there is no capacity for any class.
        """
        client = self._accounts.client("rds", order.account, order.region, repeatable=False)
        operation = f"rds {client.meta.method_to_api_mapping[call]}"
        vault = native_vault_name(order.account, order.region)
        request = {**wish.request, "Tags": tag_list(restored_tags(order, wish.tags, RESERVED_PREFIXES))}
        if wish.inside is not None:
            closed = self._drill_groups(order.account, order.region).closed(order, *wish.inside)
            request["VpcSecurityGroupIds"] = [closed]
        for instance_class in wish.classes or ("",):
            chosen = {class_field: instance_class} if instance_class else {}
            try:
                with mapped(operation, resource=wish.name, vault=vault, mutates=True):
                    return getattr(client, call)(**request, **chosen)
            except Busy as error:
                if code_of(error) not in NO_CAPACITY:
                    raise
        raise Busy(
            "RDS has no capacity for the class now",
            operation=operation,
            resource=wish.name,
            vault=vault,
            cause=f"tried {', '.join(wish.classes) or 'the recorded class'}",
            hint="wait, or name others: classes: [db.r6g.large, db.r5.large]",
        )

    # --- instances, which clusters have, too

    def _own_instance(self, order: NativeRestore, name: str) -> Entry:
        """What has the name that RDS says is taken. Refused when it is not of this order, Unavailable while RDS does
        not show it.
        """
        entry = self._instance(order.account, order.region, name)
        if entry is None:
            raise self._unseen(order, name)
        if not is_of(order, entry):
            raise self.taken(order, name)
        return entry

    def _all_instances(self, account: str, region: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in self._pages(account, region, "describe_db_instances", "DBInstances"):
            with legible("rds DescribeDBInstances", native_vault_name(account, region)):
                found += [{**entry, "DBInstanceIdentifier": entry["DBInstanceIdentifier"]} for entry in page]
        return found

    def _instance(self, account: str, region: str, name: str) -> Entry | None:
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        try:
            with mapped("rds DescribeDBInstances", resource=name, vault=vault):
                reply = client.describe_db_instances(DBInstanceIdentifier=name)
        except NotFound:
            return None
        return next(iter(reply.get("DBInstances") or ()), None)

    def _unseen(self, order: NativeRestore, name: str) -> Unavailable:
        """For a name that is taken while RDS does not show by what: seen again later."""
        return Unavailable(
            "RDS says that the name is taken, and does not show by what",
            operation=f"restore {self.kind}",
            resource=name,
            vault=native_vault_name(order.account, order.region),
            hint="it is asked again",
        )

    # --- drills

    def _check_discard(self, tag: str, restore: str, account: str, region: str) -> None:
        if tag != TAG_DRILL or not restore:
            raise Refused(
                f"what bears {tag}={restore} is not cleared away",
                operation=f"discard {self.kind}",
                vault=native_vault_name(account, region),
                cause=f"only what bears {TAG_DRILL} with the id of a drill is",
                hint="delete it by hand when it is no longer needed",
            )

    def _delete_drilled(self, account: str, region: str, name: str, restore: str) -> None:
        entry = self._instance(account, region, name)
        if entry is None or not is_drill(entry, restore):
            return
        client = self._accounts.client("rds", account, region)
        self._delete_once(
            lambda: client.delete_db_instance(
                DBInstanceIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
            ),
            "rds DeleteDBInstance",
            name,
            native_vault_name(account, region),
        )

    def _delete_once(self, delete: Callable[[], object], operation: str, name: str, vault: str) -> None:
        """Gone is done; one that RDS does not let go yet is left for the next time."""
        try:
            with mapped(operation, resource=name, vault=vault, mutates=True):
                delete()
        except NotFound:
            return
        except Unavailable as error:
            if not code_of(error).startswith(("InvalidDBInstanceState", "InvalidDBClusterState")):
                raise


def bears(entry: Entry, tag: str, restore: str = "") -> bool:
    """Whether an instance or a cluster bears a tag with this value, or with any where none is given."""
    tags = tag_map(entry.get("TagList"))
    return tag in tags and (not restore or tags[tag] == restore)


def value_of(entry: Entry, tag: str) -> str:
    """The value of a tag, "" without it."""
    return tag_map(entry.get("TagList")).get(tag, "")


def is_drill(entry: Entry, restore: str) -> bool:
    """Whether it is of this drill and of no restore, by its tags and by its name: asked before anything is deleted."""
    name = str(entry.get("DBInstanceIdentifier") or entry.get("DBClusterIdentifier") or "")
    drilled = bool(restore) and bears(entry, TAG_DRILL, restore) and not bears(entry, TAG_RESTORE)
    return drilled and name.startswith(DRILL_NAMES)


def name_of(order: NativeRestore, options: RestoredDatabase, part: RestorePart) -> str:
    """The identifier that is said; else of a drill one of its own, of a restore the recorded one ("" for none)."""
    if options.name or order.tag != TAG_DRILL:
        return options.name or part.source_id
    said = re.sub(r"[^a-z0-9]+", "-", f"{order.id}-{order.resource}".lower()).strip("-")
    return f"{DRILL_NAMES}{said}"[:_LONGEST].rstrip("-")


def is_of(order: NativeRestore, entry: Entry) -> bool:
    """Whether it is this order's own: it bears the id, and is not of another resource of the same restore."""
    tags = tag_map(entry.get("TagList"))
    told = {TAG_APPLICATION: order.application, TAG_RESOURCE: order.resource}
    own = all(tags[key] == value for key, value in told.items() if key in tags and key in order.tags)
    return own and tags.get(order.tag) == order.id


def state_of(status: str) -> str:
    """Ours for RDS's status of an instance or a cluster."""
    if status in _READY:
        return READY
    failed = status in _FAILED or status.startswith(("incompatible-", "inaccessible-"))
    return FAILED if failed else CREATING


def progress(made: Sequence[Made], *, whole: bool, notes: tuple[str, ...]) -> RestoreProgress:
    """`whole`: everything that is to be made is there. Notes come when all of it is ready."""
    waiting = "; ".join(f"{each.what} {each.native_id} is {each.detail}" for each in made if each.state != READY)
    done = whole and all(each.state == READY for each in made)
    return RestoreProgress(tuple(made), done, "" if done else waiting or "more is to be made", notes if done else ())
