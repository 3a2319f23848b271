"""RDS's automated backups: listed with their window, replicated to another region, stopped; read replicas that break.

moto lists automated backups by their snapshots alone, without window or identity, and knows neither their replication
nor those of clusters. Its global databases come in one page, without who follows, and one made of a cluster has no
primary. From the API model (DBInstanceAutomatedBackup, DBInstanceStatusInfo, GlobalClusterMember) and the user guide.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.rds.exceptions import InvalidParameterValue, RDSClientError
from moto.rds.models import DBCluster, DBInstance, GlobalCluster, RDSBackend, rds_backends
from moto.rds.responses import RDSResponse

from drorch.demo.repairs.rds import in_pages
from drorch.demo.repairs.replacing import around, instead_of

LAG = timedelta(minutes=5)
"""Logs are shipped so often (RDS user guide, point-in-time recovery)."""


@dataclass
class Replicated:
    """Automated backups of another region's instance; `frozen` is where they stand still."""

    source: Any
    arn: str
    retention: int
    status: str = "replicating"
    frozen: datetime | None = None


_database: Any = DBInstance
_cluster: Any = DBCluster


def replicated_in(backend: Any) -> dict[str, Replicated]:
    """What a region holds of others, by DbiResourceId; gone when the backend is emptied."""
    found: dict[str, Replicated] = backend.__dict__.setdefault("_drorch_replicated", {})
    return found


def _replications(self: Any) -> list[dict[str, str]]:
    there = (replicated_in(each).get(self.dbi_resource_id) for each in rds_backends[self.account_id].values())
    return [{"DBInstanceAutomatedBackupsArn": r.arn} for r in there if r is not None and r.status == "replicating"]


_database.db_instance_automated_backups_replications = property(_replications)
_database.broken_replication = None
"""(status, message) of a read replica that does not follow."""
_cluster.broken_replication = None


def _status_infos(self: Any) -> list[dict[str, Any]]:
    """ "The status of a read replica. If the DB instance isn't a read replica, the value is blank." """
    if not self.is_replica:
        return []
    status, message = self.broken_replication or ("replicating", "")
    normal = self.broken_replication is None
    return [{"StatusType": "read replication", "Normal": normal, "Status": status, "Message": message}]


_database.status_infos = property(_status_infos)


@around(RDSBackend, "create_db_instance_read_replica")
def _create_read_replica(original: Any, self: Any, db_kwargs: Any) -> Any:
    """A database of its own, which moto makes with its source's identity."""
    replica = original(self, db_kwargs)
    replica.dbi_resource_id = "db-" + base64.b32encode(secrets.token_bytes(17)).decode()[:26]
    return replica


@around(DBInstance, "remove_replica")
def _remove_replica(original: Any, self: Any, replica: Any) -> None:
    """A replica in another region is named by its ARN."""
    if replica.db_instance_arn in self.replicas:
        self.replicas.remove(replica.db_instance_arn)
    else:
        original(self, replica)


@around(RDSBackend, "create_global_cluster")
def _create_global_cluster(original: Any, self: Any, **asked: Any) -> Any:
    """Of a cluster of any region, which becomes the primary: moto seeks it in one region alone, and makes none."""
    arn = asked.get("source_db_cluster_identifier") or ""
    if not arn.startswith("arn:"):
        return original(self, **asked)
    (source,) = rds_backends[self.account_id][arn.split(":")[3]].describe_db_clusters(db_cluster_identifier=arn)
    taken = {"source_db_cluster_identifier": None, "engine": source.engine, "engine_version": source.engine_version}
    made = original(self, **{**asked, **taken})
    made.members.append(source)
    source.is_writer, source.global_cluster_identifier = True, made.global_cluster_identifier
    return made


_members: Any = GlobalCluster.global_cluster_members


def _synchronized(self: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = _members.fget(self)
    for cluster, member in zip(self.members, told, strict=True):
        member["SynchronizationStatus"] = "connected" if cluster.broken_replication is None else "pending-resync"
    return told


_global: Any = GlobalCluster
_global.global_cluster_members = property(_synchronized)


@instead_of(RDSResponse, "describe_global_clusters")
def _describe_global_clusters(self: Any) -> ActionResult:
    return in_pages(self, "GlobalClusters", self.global_backend.describe_global_clusters(), managed=False)


def _entry(database: Any, status: str, retention: int, latest: datetime, arn: str = "") -> dict[str, Any]:
    return {
        "DBInstanceArn": database.db_instance_arn,
        "DbiResourceId": database.dbi_resource_id,
        "Region": database.region,
        "DBInstanceIdentifier": database.db_instance_identifier,
        "RestoreWindow": {"EarliestTime": latest - timedelta(days=retention), "LatestTime": latest},
        "Status": status,
        "BackupRetentionPeriod": retention,
        **({"DBInstanceAutomatedBackupsArn": arn} if arn else {}),
    }


def _replicated_entry(of: Replicated) -> dict[str, Any]:
    return _entry(of.source, of.status, of.retention, of.frozen or utcnow() - 2 * LAG, of.arn)


@instead_of(RDSResponse, "describe_db_instance_automated_backups")
def _describe_db_instance_automated_backups(self: Any) -> ActionResult:
    """Of the instances that keep any, and of what other regions replicate to this one."""
    own = [
        _entry(database, "active", database.backup_retention_period, utcnow() - LAG)
        for database in self.backend.databases.values()
        if database.backup_retention_period and not getattr(database, "db_cluster_identifier", None)
    ]
    replicated = [_replicated_entry(of) for of in replicated_in(self.backend).values()]
    return in_pages(self, "DBInstanceAutomatedBackups", [*own, *replicated], managed=False)


def _describe_db_cluster_automated_backups(self: Any) -> ActionResult:
    latest = utcnow() - LAG
    found = [
        {
            "DBClusterArn": cluster.db_cluster_arn,
            "DbClusterResourceId": cluster.db_cluster_resource_id,
            "Region": self.backend.region_name,
            "DBClusterIdentifier": cluster.db_cluster_identifier,
            "RestoreWindow": {"EarliestTime": latest - timedelta(days=1), "LatestTime": latest},
            "Status": "active",
            "BackupRetentionPeriod": cluster.backup_retention_period,
        }
        for cluster in self.backend.clusters.values()
    ]
    return in_pages(self, "DBClusterAutomatedBackups", found, managed=False)


def _start(self: Any) -> ActionResult:
    """Called in the destination, for an instance elsewhere that keeps automated backups."""
    source = self.backend.find_db_from_id(self.params["SourceDBInstanceArn"])
    if source.region == self.backend.region_name:
        raise InvalidParameterValue("The source and the destination region are the same")
    if not source.backup_retention_period:
        name = source.db_instance_identifier
        raise RDSClientError("InvalidDBInstanceState", f"The instance {name} keeps no automated backups")
    suffix = base64.b32encode(secrets.token_bytes(16)).decode().lower().rstrip("=")
    arn = f"arn:aws:rds:{self.backend.region_name}:{self.backend.account_id}:auto-backup:ab-{suffix}"
    of = Replicated(source, arn, int(self.params.get("BackupRetentionPeriod") or 7))
    replicated_in(self.backend)[source.dbi_resource_id] = of
    return ActionResult({"DBInstanceAutomatedBackup": _replicated_entry(of)})


def _stop(self: Any) -> ActionResult:
    """ "Replicated backups are retained according to the set backup retention period." """
    source = self.backend.find_db_from_id(self.params["SourceDBInstanceArn"])
    of = replicated_in(self.backend).get(source.dbi_resource_id)
    if of is None or of.status != "replicating":
        raise RDSClientError("InvalidDBInstanceState", "The automated backups of the instance are not replicated")
    of.frozen, of.status = of.frozen or utcnow() - 2 * LAG, "retained"
    return ActionResult({"DBInstanceAutomatedBackup": _replicated_entry(of)})


_response: Any = RDSResponse
_response.describe_db_cluster_automated_backups = _describe_db_cluster_automated_backups
_response.start_db_instance_automated_backups_replication = _start
_response.stop_db_instance_automated_backups_replication = _stop
