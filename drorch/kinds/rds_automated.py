"""What RDS keeps by itself: databases with their replicas, and automated backups. Listings alone, none per database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drorch.domain.automated import AutomatedBackup, Database, RegionSeen
from drorch.domain.instant import floor_second
from drorch.domain.model import native_vault_name
from drorch.kinds import legible, pages

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "rds:DescribeDBInstances",
    "rds:DescribeDBInstanceAutomatedBackups",
    "rds:DescribeDBClusters",
    "rds:DescribeDBClusterAutomatedBackups",
    "rds:DescribeGlobalClusters",
)

RECORDS_PER_PAGE = 100
_REPLICATION = "read replication"
"""The StatusType of a read replica (RDS API, DBInstanceStatusInfo)."""
_CONNECTED = "connected"
"""The SynchronizationStatus of a cluster that follows; the other one is ``pending-resync`` (RDS API)."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A cluster's part in an Aurora global database: the ARNs of its secondaries, or of the primary it follows."""

    secondaries: tuple[str, ...] = ()
    primary: str = ""
    status: str = ""
    of: str = ""


class AwsAutomatedBackups:
    """Automated backups and replicas (AutomatedBackups)."""

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def seen(self, account: str, region: str, kinds: Collection[str]) -> RegionSeen:
        """All of `kinds` there, whoever's: two paginated listings for each kind, and one of Aurora's global databases,
        which a region lists wherever their clusters are. Raises Unavailable, Refused.
        """
        databases: list[Database] = []
        backups: list[AutomatedBackup] = []
        if "rds-instance" in kinds:
            databases += map(_instance, self._all(account, region, "describe_db_instances", "DBInstances"))
            listing = "describe_db_instance_automated_backups", "DBInstanceAutomatedBackups"
            backups += (_backup(e, "rds-instance", "DbiResourceId") for e in self._all(account, region, *listing))
        if "rds-cluster" in kinds:
            members = _members(self._all(account, region, "describe_global_clusters", "GlobalClusters"))
            clusters = self._all(account, region, "describe_db_clusters", "DBClusters")
            databases += (_cluster(entry, members) for entry in clusters)
            listing = "describe_db_cluster_automated_backups", "DBClusterAutomatedBackups"
            backups += (_backup(e, "rds-cluster", "DbClusterResourceId") for e in self._all(account, region, *listing))
        return RegionSeen(tuple(databases), tuple(backups))

    def _all(self, account: str, region: str, method: str, items: str) -> Iterator[Mapping[str, Any]]:
        client, vault = self._accounts.client("rds", account, region), native_vault_name(account, region)
        for page in pages(client, method, items, size=RECORDS_PER_PAGE, vault=vault):
            with legible(f"rds {method}", vault):
                yield from page


def _instance(entry: Mapping[str, Any]) -> Database:
    replicated = entry.get("DBInstanceAutomatedBackupsReplications") or ()
    replication, trouble = _replication(entry)
    return Database(
        kind="rds-instance",
        identifier=str(entry.get("DBInstanceIdentifier", "")),
        identity=str(entry.get("DbiResourceId", "")),
        arn=str(entry.get("DBInstanceArn", "")),
        status=str(entry.get("DBInstanceStatus", "")),
        retention_days=entry.get("BackupRetentionPeriod") or 0,
        latest=_time(entry.get("LatestRestorableTime")),
        protected=bool(entry.get("DeletionProtection")),
        replicated_to=tuple(str(each.get("DBInstanceAutomatedBackupsArn", "")) for each in replicated),
        replicas=tuple(entry.get("ReadReplicaDBInstanceIdentifiers") or ()),
        replica_of=str(entry.get("ReadReplicaSourceDBInstanceIdentifier") or ""),
        replication=replication,
        trouble=trouble,
    )


def _members(entries: Iterable[Mapping[str, Any]]) -> dict[str, _Member]:
    """By the ARNs of clusters. A primary names its secondaries; while none is primary nobody is said to follow."""
    found: dict[str, _Member] = {}
    for entry in entries:
        members = {str(each.get("DBClusterArn", "")): each for each in entry.get("GlobalClusterMembers") or ()}
        name = str(entry.get("GlobalClusterIdentifier") or "")
        primary = next((arn for arn, each in members.items() if each.get("IsWriter")), "")
        for arn, each in members.items():
            if arn != primary:
                found[arn] = _Member((), primary, str(each.get("SynchronizationStatus") or ""), name)
        if primary:
            found[primary] = _Member(secondaries=tuple(sorted(members.keys() - {primary})))
    return found


def _cluster(entry: Mapping[str, Any], members: Mapping[str, _Member]) -> Database:
    """A secondary of a global database follows its primary as a read replica does."""
    replication, trouble = _replication(entry)
    member = members.get(str(entry.get("DBClusterArn", "")), _Member())
    if member.primary and member.status not in ("", _CONNECTED):
        trouble = trouble or member.status
    return Database(
        kind="rds-cluster",
        identifier=str(entry.get("DBClusterIdentifier", "")),
        identity=str(entry.get("DbClusterResourceId", "")),
        arn=str(entry.get("DBClusterArn", "")),
        status=str(entry.get("Status", "")),
        retention_days=entry.get("BackupRetentionPeriod") or 0,
        latest=_time(entry.get("LatestRestorableTime")),
        protected=bool(entry.get("DeletionProtection")),
        replicas=tuple(dict.fromkeys([*(entry.get("ReadReplicaIdentifiers") or ()), *member.secondaries])),
        replica_of=str(entry.get("ReplicationSourceIdentifier") or member.primary),
        replication=replication or member.status,
        trouble=trouble,
        global_cluster=member.of,
    )


def _replication(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The status of a read replica, and what is wrong with it; both "" where RDS says nothing of it."""
    infos = [info for info in entry.get("StatusInfos") or () if info.get("StatusType") == _REPLICATION]
    status = next((str(info.get("Status") or "") for info in infos), "")
    wrong = next((info for info in infos if info.get("Normal") is False), None)
    if wrong is None:
        return status, ""
    told = str(wrong.get("Message") or "")
    return status, f"{wrong.get('Status') or 'error'}{f' ({told})' if told else ''}"


def _backup(entry: Mapping[str, Any], kind: str, identity: str) -> AutomatedBackup:
    """Only replicated ones of instances have an ARN of their own that names the region which they lie in."""
    return AutomatedBackup(
        kind=kind,
        identity=str(entry.get(identity, "")),
        home=str(entry.get("Region", "")),
        status=str(entry.get("Status", "")),
        retention_days=entry.get("BackupRetentionPeriod") or 0,
        latest=_time((entry.get("RestoreWindow") or {}).get("LatestTime")),
        arn=str(entry.get("DBInstanceAutomatedBackupsArn") or entry.get("DBClusterAutomatedBackupsArn") or ""),
        earliest=_time((entry.get("RestoreWindow") or {}).get("EarliestTime")),
    )


def _time(when: datetime | None) -> datetime | None:
    return None if when is None else floor_second(when)
