"""RDS clusters (Aurora, and Multi-AZ DB clusters): manual cluster snapshots under an identifier that drorch chooses.

As of instances (`rds_instance`), with the operations of clusters, and these differences of the RDS API: a copy of a
plain snapshot cannot be encrypted ("If you copy an unencrypted DB cluster snapshot and specify a value for the KmsKeyId
parameter, an error is returned"), there are no option groups to map, and a copy does not tell when its source was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drorch.domain.errors import NotInThisVersion, Refused
from drorch.domain.instant import floor_second
from drorch.domain.model import native_vault_name
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds import GIB, KEY_PERMISSIONS, legible
from drorch.kinds.rds_family.restore_cluster import RestoresClusters
from drorch.kinds.rds_family.restore_options import RestoredCluster
from drorch.kinds.rds_family.restores import RESTORE_LOOKING
from drorch.kinds.rds_family.settings import cluster_settings
from drorch.kinds.rds_family.snapshots import Identified, Nouns, people_tags, shown_snapshot
from drorch.ports import CopyOrder

PERMISSIONS = (
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",  # a cluster names its members, their class stands with them alone
    "rds:DescribeAccountAttributes",
    "rds:CreateDBClusterSnapshot",
    "rds:CopyDBClusterSnapshot",
    "rds:ModifyDBClusterSnapshotAttribute",  # only where copies go into another account
    "rds:AddTagsToResource",  # tags in the creating call are authorised as this action (RDS user guide)
    # This right alone lets go, and can be given for as long as it is wanted: without it copies are marked, and stay.
    "rds:DeleteDBClusterSnapshot",
    *KEY_PERMISSIONS,
)

RESTORE_PERMISSIONS = (
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusterParameterGroups",
    "rds:RestoreDBClusterFromSnapshot",
    "rds:CreateDBInstance",
    "rds:AddTagsToResource",
    "rds:DeleteDBInstance",  # of drills alone
    "rds:DeleteDBCluster",  # of drills alone
    *(right for right in RESTORE_LOOKING if right != "rds:DescribeOptionGroups"),
)
"""What a person needs who makes clusters of snapshots, and clears away what a drill made."""

_ENGINES = ("aurora", "mysql", "postgres")
"""What the engines of RDS's own clusters begin with; the same listing shows those of Neptune and DocumentDB."""


RestoreOptions = RestoredCluster
"""What may be said of what a restore makes."""


class Options(Identified):
    """``identifier: shop-orders``: the cluster's identifier, which RDS keeps in lower case."""


class RdsClusterSnapshots(RestoresClusters):
    """Manual snapshots of Aurora and Multi-AZ DB clusters (SnapshotKind)."""

    kind = "rds-cluster"
    nouns = Nouns(source="DBCluster", snapshot="DBClusterSnapshot")
    options = Options
    listing = "describe_db_cluster_snapshots"

    def _listed(self, account: str, region: str, wanted: frozenset[str]) -> Iterator[Source]:
        """With the instances of all, in one more listing, when a cluster that is wanted is there."""
        vault = native_vault_name(account, region)
        found = []
        for page in self._pages(account, region, "describe_db_clusters", "DBClusters"):
            with legible("rds DescribeDBClusters", vault):
                found += [entry for entry in page if entry["DBClusterIdentifier"] in wanted]
        members = {
            member.get("DBInstanceIdentifier") for entry in found for member in entry.get("DBClusterMembers", ())
        }
        instances: list[Mapping[str, Any]] = []
        if members:
            for page in self._pages(account, region, "describe_db_instances", "DBInstances"):
                instances += [entry for entry in page if entry.get("DBInstanceIdentifier") in members]
        for entry in found:
            yield _source(entry, instances)

    def _snapshot(self, entry: Mapping[str, Any], account: str, region: str) -> NativeSnapshot:
        """Its time is absent while RDS is creating it; a copy's is never taken for its source's."""
        started = entry.get("SnapshotCreateTime")
        return shown_snapshot(
            entry,
            self.nouns,
            account,
            region,
            encrypted=entry.get("StorageEncrypted", False),
            started=floor_second(started) if started else None,
        )

    def _check_source(self, source: Source, operation: str, vault: str) -> None:
        engine = str(source.settings.get("engine", ""))
        if engine and not engine.startswith(_ENGINES):
            raise NotInThisVersion(
                f"snapshots of {engine} clusters are not in this version",
                operation=operation,
                resource=source.source_id,
                vault=vault,
            )

    def _copy_request(self, order: CopyOrder, entry: Mapping[str, Any]) -> dict[str, Any]:
        if order.kms_key and not entry.get("StorageEncrypted", False):
            raise Refused(
                "the cluster is not encrypted, and a copy of its snapshot cannot be",
                operation="rds CopyDBClusterSnapshot",
                resource=order.snapshot.native_id,
                vault=native_vault_name(order.account, order.region),
                cause=f"RDS refuses a KMS key for such a copy; the policy names {order.kms_key}",
                hint="encrypt the cluster (restore a snapshot of it with a key), or take kms_key out of copies:",
            )
        return {"KmsKeyId": order.kms_key} if order.kms_key else {}

    def _check_shareable(self, order: CopyOrder) -> None:
        """There are no option groups of clusters."""

    def _modify(self, client: Any, native_id: str, change: Mapping[str, Any]) -> object:
        return client.modify_db_cluster_snapshot_attribute(DBClusterSnapshotIdentifier=native_id, **change)

    def _create(self, client: Any, request: Mapping[str, Any]) -> Any:
        return client.create_db_cluster_snapshot(**request)

    def _copy(self, client: Any, request: Mapping[str, Any]) -> Any:
        return client.copy_db_cluster_snapshot(**request)

    def _describe(self, client: Any, native_id: str) -> Any:
        return client.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=native_id)

    def _delete(self, client: Any, native_id: str) -> object:
        return client.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=native_id)


def _source(entry: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> Source:
    return Source(
        source_id=entry["DBClusterIdentifier"],
        bytes=(entry.get("AllocatedStorage") or 0) * GIB,
        encrypted=entry.get("StorageEncrypted", False),
        kms_key=entry.get("KmsKeyId", ""),
        tags=people_tags(entry),
        identity=entry.get("DbClusterResourceId", ""),
        settings=cluster_settings(entry, instances),
    )
