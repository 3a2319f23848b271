"""DB clusters out of their snapshots: the cluster, and once it is available the instances that are its members.

"After restoring, the cluster has no DB instances" (Aurora user guide, "Restoring from a DB cluster snapshot"): they are
made by CreateDBInstance, of the recorded classes. RDS makes those of a Multi-AZ DB cluster itself, and a cluster of
Aurora Serverless v1 has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drorch.aws import mapped
from drorch.domain.errors import AlreadyExists, NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import READY, TAG_DRILL, Made, NativeRestore, RestorePart, RestoreProgress
from drorch.kinds import legible, named_in, tag_map
from drorch.kinds.rds_family.restore_notes import by_hand, deliberate, differences
from drorch.kinds.rds_family.restore_options import RestoredCluster
from drorch.kinds.rds_family.restore_request import (
    cluster_request,
    has_members,
    is_multi_az_cluster,
    member_request,
)
from drorch.kinds.rds_family.restores import (
    Entry,
    RestoresDatabases,
    Wish,
    bears,
    is_drill,
    is_of,
    name_of,
    progress,
    state_of,
    value_of,
)
from drorch.kinds.rds_family.settings import cluster_settings

CLUSTER, MEMBER = "cluster", "cluster member"
_ADDRESSES = {CLUSTER: "aws_rds_cluster", MEMBER: "aws_rds_cluster_instance"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One member that is to be: its name and the source's, what is recorded of that, the classes to try."""

    name: str
    source_id: str
    recorded: Mapping[str, Any]
    classes: tuple[str, ...]


class RestoresClusters(RestoresDatabases):
    """RestoresSnapshots for DB clusters with their members."""

    noun = "cluster"

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """RestoreDBClusterFromSnapshot, then CreateDBInstance for each member that is missing: the writer first, the
        others beside it where all are of one class, else once it is there, for the first one becomes the writer.
        """
        part = self._part(order)
        found, instances = self._found(order.account, order.region)
        cluster = next((each for each in found if is_of(order, each)), None)
        if cluster is None:
            cluster = self._restored(order, self._wish(order, part, found, instances))
        name = str(cluster["DBClusterIdentifier"])
        wanted = _members(order, part, name)
        there = {str(each["DBInstanceIdentifier"]): each for each in instances if _belongs(order, each, name)}
        if state_of(str(cluster.get("Status") or "creating")) == READY:
            there |= self._made_members(order, cluster, wanted, there, instances)
        made_of = [each for each in wanted if each.name in there]
        members = [there[each.name] for each in made_of]
        made = [_cluster_made(cluster, part.source_id, members, bool(wanted))]
        made += [_member_made(there[each.name], each.source_id) for each in made_of]
        whole = len(members) == len(wanted)
        return progress(made, whole=whole, notes=self._notes(order, part, cluster, tuple(members)))

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """Clusters, then members, by two whole listings; of drills with their security groups, by one more."""
        found, instances = self._found(account, region)
        clusters = [
            (value_of(e, tag), _cluster_made(e, "", _writers(e, instances), _needs_writer(e)))
            for e in found
            if bears(e, tag, restore)
        ]
        members = [
            (value_of(e, tag), _member_made(e))
            for e in instances
            if e.get("DBClusterIdentifier") and bears(e, tag, restore)
        ]
        groups = self._drill_groups(account, region).made(restore) if tag == TAG_DRILL else ()
        return (*clusters, *members, *groups)

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """Members first, then the clusters without any, all without a last snapshot; each looked at once more. At last
        the security group.
        """
        self._check_discard(tag, restore, account, region)
        clusters, instances = self._drilled(account, region, restore)
        for entry in instances:
            if entry.get("DBInstanceStatus") != "deleting":
                self._delete_drilled(account, region, entry["DBInstanceIdentifier"], restore)
        if clusters:
            clusters, instances = self._drilled(account, region, restore)
        for entry in clusters:
            if entry.get("Status") != "deleting":
                self._delete_cluster(account, region, entry["DBClusterIdentifier"], restore)
        clusters, instances = self._drilled(account, region, restore)
        left = (*(_cluster_made(entry, "", (), False) for entry in clusters), *map(_member_made, instances))
        return left or self._drill_groups(account, region).discard(restore)

    # --- how

    def _found(self, account: str, region: str) -> tuple[Sequence[Entry], Sequence[Entry]]:
        clusters: list[dict[str, Any]] = []
        for page in self._pages(account, region, "describe_db_clusters", "DBClusters"):
            with legible("rds DescribeDBClusters", native_vault_name(account, region)):
                clusters += [{**entry, "DBClusterIdentifier": entry["DBClusterIdentifier"]} for entry in page]
        return clusters, self._all_instances(account, region)

    def _drilled(self, account: str, region: str, restore: str) -> tuple[Sequence[Entry], Sequence[Entry]]:
        found, instances = self._found(account, region)
        members = [e for e in instances if e.get("DBClusterIdentifier") and is_drill(e, restore)]
        return [entry for entry in found if is_drill(entry, restore)], members

    def _wish(
        self, order: NativeRestore, part: RestorePart, found: Sequence[Entry], instances: Sequence[Entry]
    ) -> Wish:
        options, recorded = _options(order), _recorded(part)
        name = self._name(order, options, part, {str(entry["DBClusterIdentifier"]) for entry in found})
        wanted = self._checked_members(order, part, name, instances)
        shown = self._check_snapshot(order, part)
        engine = str(shown.get("Engine") or recorded.get("engine") or "")
        request = {
            "DBClusterIdentifier": name,
            "SnapshotIdentifier": part.native_id,
            "Engine": engine,
            **cluster_request(options, recorded, drill=order.tag == TAG_DRILL),
            **self._network(order, options, recorded),
        }
        groups = tuple(filter(None, [str(recorded.get("parameter_group") or "")]))
        what = "cluster parameter group"
        if group := self._group(order, what, "parameter_group", options.parameter_group, groups):
            request["DBClusterParameterGroupName"] = group
        for member in wanted:
            self._member_group(order, member)
            self._offered(order, engine, member.classes)
        classes = options.wanted_classes or (str(recorded["class"]),) if is_multi_az_cluster(recorded) else ()
        offered, tags = self._offered(order, engine, classes), tag_map(shown.get("TagList"))
        return Wish(name, request, offered, tags, self._inside(order, options, recorded))

    def _checked_members(
        self, order: NativeRestore, part: RestorePart, cluster: str, instances: Sequence[Entry]
    ) -> tuple[_Wanted, ...]:
        """The members that are to be. Refused when somebody has a name of theirs, and when there would be none."""
        made_here = has_members(_recorded(part))
        taken = {str(entry["DBInstanceIdentifier"]) for entry in instances}
        wanted = _members(order, part, cluster)
        if used := [each.name for each in wanted if each.name in taken]:
            raise self.taken(order, used[0], "instance")
        if made_here and not wanted:
            cause, way = "it would be empty", "class: and members:"
            raise self.refused(order, "no member of the cluster is recorded", cause, way)
        if _options(order).members and not made_here:
            raise self.refused(
                order, "the members of such a cluster are not made here", "RDS does", "leave out members:"
            )
        return wanted

    def _restored(self, order: NativeRestore, wish: Wish) -> Entry:
        operation, vault = "rds RestoreDBClusterFromSnapshot", native_vault_name(order.account, order.region)
        try:
            reply = self._make(order, "restore_db_cluster_from_snapshot", wish, "DBClusterInstanceClass")
        except AlreadyExists:
            entry = self._cluster(order.account, order.region, wish.name)
            if entry is None:
                raise self._unseen(order, wish.name) from None
            if not is_of(order, entry):
                raise self.taken(order, wish.name) from None
            return entry
        made: Entry = named_in(reply, "DBCluster", operation, wish.name, vault)
        with legible(operation, vault, mutates=True):
            return {**made, "DBClusterIdentifier": made["DBClusterIdentifier"]}

    def _made_members(
        self,
        order: NativeRestore,
        cluster: Entry,
        wanted: Sequence[_Wanted],
        there: Mapping[str, Entry],
        instances: Sequence[Entry],
    ) -> dict[str, Entry]:
        """Those that were missing and could be made now."""
        made: dict[str, Entry] = {}
        taken = {str(each["DBInstanceIdentifier"]) for each in instances}
        alike = len({each.classes for each in wanted}) == 1
        for member in wanted:
            writer = {**there, **made}.get(wanted[0].name)
            if member is not wanted[0] and not alike and _status(writer) != READY:
                break
            if member.name not in there:
                if member.name in taken:
                    raise self.taken(order, member.name, "instance")
                made[member.name] = self._made_member(order, cluster, member)
        return made

    def _made_member(self, order: NativeRestore, cluster: Entry, member: _Wanted) -> Entry:
        engine = str(cluster.get("Engine") or "")
        request = {
            "DBInstanceIdentifier": member.name,
            "DBClusterIdentifier": cluster["DBClusterIdentifier"],
            "Engine": engine,
            **member_request(_options(order), member.recorded),
        }
        if group := self._member_group(order, member):
            request["DBParameterGroupName"] = group
        tags = tag_map(cluster.get("TagList"))
        wish = Wish(member.name, request, self._offered(order, engine, member.classes), tags)
        try:
            reply = self._make(order, "create_db_instance", wish)
        except AlreadyExists:
            return self._own_instance(order, member.name)
        vault = native_vault_name(order.account, order.region)
        entry: Entry = named_in(reply, "DBInstance", "rds CreateDBInstance", member.name, vault)
        with legible("rds CreateDBInstance", vault, mutates=True):
            return {**entry, "DBInstanceIdentifier": entry["DBInstanceIdentifier"]}

    def _member_group(self, order: NativeRestore, member: _Wanted) -> str:
        given = _options(order).member_parameter_group
        recorded = tuple(member.recorded.get("parameter_groups") or ())
        return self._group(order, "parameter group", "member_parameter_group", given, recorded)

    def _has_group(self, order: NativeRestore, what: str, name: str) -> bool:
        if what != "cluster parameter group":
            return super()._has_group(order, what, name)
        client = self._accounts.client("rds", order.account, order.region)
        vault = native_vault_name(order.account, order.region)
        try:
            with mapped("rds DescribeDBClusterParameterGroups", resource=name, vault=vault):
                reply = client.describe_db_cluster_parameter_groups(DBClusterParameterGroupName=name)
        except NotFound:
            return False
        return bool(reply.get("DBClusterParameterGroups"))

    def _notes(
        self, order: NativeRestore, part: RestorePart, entry: Entry | None, members: tuple[Entry, ...] = ()
    ) -> tuple[str, ...]:
        options, recorded = _options(order), _recorded(part)
        name = str(entry["DBClusterIdentifier"]) if entry else name_of(order, options, part)
        shown = cluster_settings(entry, members) if entry else None
        found = [*differences(recorded, shown)] if shown else []
        found += deliberate(options, recorded, drill=order.tag == TAG_DRILL and shown is None)
        wanted, count = _members(order, part, name), len(recorded.get("members") or ())
        if len(wanted) < count:
            found.append(f"{len(wanted)} of {count} members are made")
        for member, instance in zip(wanted, members, strict=False):
            was, now = member.recorded.get("class"), instance.get("DBInstanceClass")
            if was and was != now:
                found.append(f"class of member {member.name}: {was} at the cut, {now} now")
        return (*found, *by_hand("cluster", name, order.region, recorded, shown))

    def _cluster(self, account: str, region: str, name: str) -> Entry | None:
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        try:
            with mapped("rds DescribeDBClusters", resource=name, vault=vault):
                reply = client.describe_db_clusters(DBClusterIdentifier=name)
        except NotFound:
            return None
        return next(iter(reply.get("DBClusters") or ()), None)

    def _delete_cluster(self, account: str, region: str, name: str, restore: str) -> None:
        """Not one that somebody gave an instance of his own: Refused."""
        entry, vault = self._cluster(account, region, name), native_vault_name(account, region)
        if entry is None or not is_drill(entry, restore):
            return
        for member in entry.get("DBClusterMembers") or ():
            instance = self._instance(account, region, str(member.get("DBInstanceIdentifier")))
            if instance is not None and not is_drill(instance, restore) and not entry.get("DBClusterInstanceClass"):
                raise Refused(
                    "the cluster has an instance that the drill did not make",
                    operation="rds DeleteDBCluster",
                    resource=name,
                    vault=vault,
                    cause=str(member.get("DBInstanceIdentifier")),
                    hint="see whose it is, and delete it and the cluster by hand",
                )
        client = self._accounts.client("rds", account, region)
        self._delete_once(
            lambda: client.delete_db_cluster(
                DBClusterIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
            ),
            "rds DeleteDBCluster",
            name,
            vault,
        )


def _members(order: NativeRestore, part: RestorePart, cluster: str) -> tuple[_Wanted, ...]:
    """The recorded ones, the writer first, or as many as are said; under their own names where the cluster has its."""
    options, settings = _options(order), _recorded(part)
    if not has_members(settings):
        return ()
    recorded: list[Mapping[str, Any]] = list(settings.get("members") or ())
    count = options.members or len(recorded) or (1 if options.wanted_classes else 0)
    further = recorded[0] if recorded else {}
    found = []
    for number in range(1, count + 1):
        known = recorded[number - 1] if number <= len(recorded) else None
        kept = known is not None and cluster == part.source_id
        name = str(known["instance"]) if kept and known else f"{cluster[:60].rstrip('-')}-{number}"
        said = known if known is not None else further
        classes = options.wanted_classes or tuple(filter(None, [str(said.get("class") or "")]))
        if not classes:
            return ()
        found.append(_Wanted(name, str(known["instance"]) if known is not None else "", said, classes))
    return tuple(found)


def _recorded(part: RestorePart) -> Mapping[str, Any]:
    return part.settings


def _options(order: NativeRestore) -> RestoredCluster:
    if not isinstance(order.options, RestoredCluster):
        raise TypeError(f"rds-cluster takes its own options, not {type(order.options).__name__}")
    return order.options


def _belongs(order: NativeRestore, entry: Entry, cluster: str) -> bool:
    return entry.get("DBClusterIdentifier") == cluster and is_of(order, entry)


def _needs_writer(entry: Entry) -> bool:
    return not entry.get("DBClusterInstanceClass") and entry.get("EngineMode") != "serverless"


def _writers(entry: Entry, instances: Sequence[Entry]) -> list[Entry]:
    members = entry.get("DBClusterMembers") or ()
    names = {each.get("DBInstanceIdentifier") for each in members if each.get("IsClusterWriter")}
    return [each for each in instances if each["DBInstanceIdentifier"] in names]


def _status(entry: Entry | None) -> str:
    return "" if entry is None else state_of(str(entry.get("DBInstanceStatus") or "creating"))


def _cluster_made(entry: Entry, source_id: str, members: Sequence[Entry], needs_writer: bool) -> Made:
    """It answers once its writer does."""
    status, name = str(entry.get("Status") or "creating"), str(entry["DBClusterIdentifier"])
    answers = state_of(status) == READY and (not needs_writer or (bool(members) and _status(members[0]) == READY))
    address, port = entry.get("Endpoint"), entry.get("Port")
    endpoint = f"{address}:{port}" if answers and address and port else ""
    login = (str(entry.get(key) or "") for key in ("Engine", "MasterUsername", "DatabaseName"))
    return Made(CLUSTER, name, state_of(status), status, source_id, _ADDRESSES[CLUSTER], name, endpoint, *login)


def _member_made(entry: Entry, source_id: str = "") -> Made:
    status, name = str(entry.get("DBInstanceStatus") or "creating"), str(entry["DBInstanceIdentifier"])
    return Made(MEMBER, name, state_of(status), status, source_id, _ADDRESSES[MEMBER], name)
