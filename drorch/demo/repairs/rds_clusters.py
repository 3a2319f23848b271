"""RDS clusters and their snapshots: states that take time, copies that say where they come from, listings in pages.

As of instances (`rds`). The clusters hold no real database.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import InvalidParameterCombination, RDSClientError
from moto.rds.models import DBCluster, DBClusterSnapshot, RDSBackend, rds_backends
from moto.rds.responses import RDSResponse

from drorch.demo.repairs import copy_places, states
from drorch.demo.repairs.rds import in_pages, lost_key
from drorch.demo.repairs.rds_sharing import Shared
from drorch.demo.repairs.replacing import around, instead_of

DB_CLUSTER = "rds::dbcluster"
DB_CLUSTER_SNAPSHOT = "rds::dbclustersnapshot"

_cluster: Any = DBCluster
_snapshot: Any = DBClusterSnapshot
states.manage(_cluster, DB_CLUSTER, [("creating", "available")], failed="failed")


def _ends(snapshot: Any) -> str:
    """As of instances: a copy needs its key until it is done."""
    return lost_key(snapshot) if snapshot.source_db_cluster_snapshot_arn else ""


states.manage(_snapshot, DB_CLUSTER_SNAPSHOT, [("creating", "available")], failed="failed", ends=_ends)
_managed: Any = _snapshot.status


def _status(self: Any) -> Any:
    """A copy in the making is `copying` (RDS API, DBClusterSnapshot, Status)."""
    status = _managed.fget(self)
    return "copying" if status == "creating" and self.source_db_cluster_snapshot_arn else status


_snapshot.status = property(_status, _managed.fset)
_snapshot.percent_progress = property(
    lambda self: 100 if self.status == "available" else 45,
    lambda self, value: None,  # noqa: ARG005  (moto's own, always 100)
)
_snapshot.source_db_cluster_snapshot_arn = None
_snapshot.db_cluster_resource_id = property(lambda self: self.cluster.db_cluster_resource_id)


@around(DBCluster, "__init__")
def _init_cluster(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """moto's cluster is available when somebody has looked at it; here it takes its time. A plain one has no key."""
    original(self, *args, **kwargs)
    self.status = "creating"
    if not self.storage_encrypted:
        self.kms_key_id = None


@around(RDSBackend, "create_db_cluster_snapshot")
def _create_db_cluster_snapshot(
    original: Any, self: Any, db_cluster_identifier: str, db_cluster_snapshot_identifier: str, **given: Any
) -> Any:
    cluster = self.clusters.get(db_cluster_identifier)
    if cluster and given.get("snapshot_type", "manual") == "manual" and cluster.status != "available":
        message = f"DB cluster {db_cluster_identifier} is in state {cluster.status}, not available"
        raise RDSClientError("InvalidDBClusterStateFault", message)
    return original(self, db_cluster_identifier, db_cluster_snapshot_identifier, **given)


@around(RDSBackend, "copy_db_cluster_snapshot")
def _copy_db_cluster_snapshot(
    original: Any,
    self: Any,
    source_db_cluster_snapshot_identifier: str,
    target_db_cluster_snapshot_identifier: str,
    **given: Any,
) -> Any:
    """A copy says where it comes from; an encrypted one needs a key of its region, a plain one takes none.

    RDS API, CopyDBClusterSnapshot: the source "must be in the available state"; KmsKeyId must be set across regions,
    and "if you copy an unencrypted DB cluster snapshot and specify a value for the KmsKeyId parameter, an error is
    returned".
    """
    source = self.get_db_cluster_snapshot(source_db_cluster_snapshot_identifier)
    if source.status != "available":
        message = f"Cannot copy snapshot {source.db_cluster_snapshot_identifier}: its status is {source.status}"
        raise RDSClientError("InvalidDBClusterSnapshotStateFault", message)
    key = given.get("kms_key_id")
    elsewhere = (source.account_id, source.region) != (self.account_id, self.region_name)
    if source.storage_encrypted and elsewhere and not key:
        message = "A KmsKeyId is required to copy an encrypted snapshot from another region or account"
        raise InvalidParameterCombination(message)
    if key and not source.storage_encrypted:
        raise InvalidParameterCombination("A KmsKeyId is given, and the source snapshot is not encrypted")
    if source.region != self.region_name:
        _require_place(self, source.region)
    made = original(self, source_db_cluster_snapshot_identifier, target_db_cluster_snapshot_identifier, **given)
    made.source_db_cluster_snapshot_arn = source.arn
    return made


def _require_place(backend: Any, origin: str) -> None:
    """So many from one region at a time (Aurora user guide, copying a DB cluster snapshot, limitations)."""
    places = copy_places.places["rds-cluster"]
    copying = [s for s in backend.cluster_snapshots.values() if s.status == "copying"]
    if sum(s.source_db_cluster_snapshot_arn.split(":")[3] == origin for s in copying) >= places:
        raise RDSClientError("SnapshotQuotaExceeded", f"Cannot copy more than {places} snapshots across regions")


@around(RDSBackend, "delete_db_cluster_snapshot")
def _delete_db_cluster_snapshot(original: Any, self: Any, db_snapshot_identifier: str) -> Any:
    """Not while it is being made; a copy under way is ended by it, and one whose source goes fails, as it may on AWS.

    "If the snapshot is being copied, the copy operation is terminated. The DB cluster snapshot must be in the available
    state to be deleted" (RDS API, DeleteDBClusterSnapshot).
    """
    there = self.cluster_snapshots.get(db_snapshot_identifier)
    if there and there.status == "creating":
        message = f"The snapshot {db_snapshot_identifier} is {there.status}"
        raise RDSClientError("InvalidDBClusterSnapshotStateFault", message)
    gone = original(self, db_snapshot_identifier)
    for backend in (backend for regions in rds_backends.values() for backend in regions.values()):
        copies: list[Any] = list(backend.cluster_snapshots.values())
        for snapshot in copies:
            if snapshot.source_db_cluster_snapshot_arn == gone.arn and snapshot.status == "copying":
                states.fail(snapshot, "The source snapshot was deleted")
    return gone


@instead_of(RDSResponse, "describe_db_cluster_snapshots")
def _describe_db_cluster_snapshots(self: Any) -> ActionResult:
    asked = self.params.get
    filters = {item["Name"]: item["Values"] for item in asked("Filters", [])}
    names = asked("DBClusterIdentifier"), asked("DBClusterSnapshotIdentifier"), asked("SnapshotType")
    found = self.backend.describe_db_cluster_snapshots(*names, filters)
    if asked("SnapshotType") == "shared":
        found = [Shared(snapshot) for snapshot in found]
    return in_pages(self, "DBClusterSnapshots", found)


@instead_of(RDSResponse, "describe_db_clusters")
def _describe_db_clusters(self: Any) -> ActionResult:
    filters = {item["Name"]: item["Values"] for item in self.params.get("Filters", [])}
    found = self.backend.describe_db_clusters(self.params.get("DBClusterIdentifier"), filters=filters)
    return in_pages(self, "DBClusters", found)
