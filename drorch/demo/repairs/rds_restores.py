"""RDS's restores: what comes from the snapshot and what is a default of the call; groups, names, capacity, states.

moto takes nearly everything from the source, its zone, groups, tags and protection among them, overlooks whatever is
said to be off, and restores a cluster over another one. From the API model (RestoreDBInstanceFromDBSnapshot,
RestoreDBClusterFromSnapshot, CreateDBInstance) and the user guide, "Restoring to a DB instance".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.rds.exceptions import DBClusterParameterGroupNotFoundError, InvalidParameterValue, RDSClientError
from moto.rds.models import RDSBackend

from drorch.demo.repairs import offers, rds
from drorch.demo.repairs.replacing import around

_OF_SNAPSHOT = (
    "engine",
    "engine_version",
    "db_name",
    "master_username",
    "port",
    "license_model",
    "character_set_name",
    "allocated_storage",
    "storage_type",
    "iops",
    "auto_minor_version_upgrade",
    "backup_retention_period",
    "preferred_backup_window",
    "db_instance_class",
)
"""What an instance has from its snapshot where the call says nothing; all else is the call's default."""
_OF_CLUSTER_SNAPSHOT = (
    "engine",
    "engine_version",
    "database_name",
    "master_username",
    "port",
    "allocated_storage",
    "storage_type",
    "backup_retention_period",
    "preferred_backup_window",
    "storage_encrypted",
    "kms_key_id",
    "engine_mode",
)


@around(RDSBackend, "restore_db_instance_from_db_snapshot")
def _restore_instance(_original: Any, self: Any, from_snapshot_id: str, overrides: Any) -> Any:
    """With real databases the new instance's DBName names its own copy: all of them live in one server."""
    snapshot = self.get_db_snapshot(from_snapshot_id)
    if snapshot.status != "available":
        raise RDSClientError("InvalidDBSnapshotState", f"The snapshot {from_snapshot_id} is {snapshot.status}")
    if overrides["db_instance_identifier"] in self.databases:
        raise RDSClientError("DBInstanceAlreadyExists", "DB instance already exists")
    _check_places(self, overrides)
    asked = _said(overrides)
    if asked.get("allocated_storage", snapshot.allocated_storage) < snapshot.allocated_storage:
        message = "The allocated storage size can't be less than the source snapshot or backup size."
        raise InvalidParameterValue(message)
    source = snapshot.database
    kept = {name: getattr(source, name) for name in _OF_SNAPSHOT}
    kept["master_user_password"] = source._master_user_password
    group = snapshot.option_group_name
    if group in self.option_groups:
        kept["option_group_name"] = group
    kept |= {"kms_key_id": snapshot.kms_key_id, "storage_encrypted": snapshot.encrypted}
    if rds.databases and snapshot.database_name:
        wish = f"{source.db_name} {overrides['db_instance_identifier']}"
        asked["db_name"] = rds.databases.copy(self.region_name, snapshot.database_name, wish)
    return self.create_db_instance({**kept, **asked})


@around(RDSBackend, "create_db_instance")
def _create_db_instance(original: Any, self: Any, db_kwargs: Any) -> Any:
    """An instance needs capacity for its class; one of a cluster needs that to be available."""
    wanted = db_kwargs.get("db_instance_class")
    if (self.region_name, wanted) in offers.scarce:
        message = f"Cannot create a database instance because there are no {wanted} instances available now"
        raise RDSClientError("InsufficientDBInstanceCapacity", message)
    cluster = self.clusters.get(db_kwargs.get("db_cluster_identifier") or "")
    if cluster is not None and cluster.status != "available":
        message = f"DB cluster {cluster.db_cluster_identifier} is in state {cluster.status}, not available"
        raise RDSClientError("InvalidDBClusterStateFault", message)
    return original(self, db_kwargs)


@around(RDSBackend, "restore_db_cluster_from_snapshot")
def _restore_cluster(_original: Any, self: Any, from_snapshot_id: str, overrides: Any) -> Any:
    snapshot = self.get_db_cluster_snapshot(from_snapshot_id)
    if snapshot.status != "available":
        message = f"The snapshot {from_snapshot_id} is {snapshot.status}"
        raise RDSClientError("InvalidDBClusterSnapshotStateFault", message)
    name = overrides["db_cluster_identifier"]
    if name in self.clusters:
        raise RDSClientError("DBClusterAlreadyExistsFault", f"DB Cluster already exists: {name}")
    _check_places(self, overrides)
    group = overrides.get("db_cluster_parameter_group_name")
    if group and not group.startswith("default.") and group not in self.db_cluster_parameter_groups:
        raise DBClusterParameterGroupNotFoundError(group)
    wanted = overrides.get("db_cluster_instance_class")
    if (self.region_name, wanted) in offers.scarce:
        raise RDSClientError("InsufficientDBClusterCapacityFault", f"There is no capacity for {wanted} now")
    source = snapshot.cluster
    kept = {each: getattr(source, each) for each in _OF_CLUSTER_SNAPSHOT}
    kept["master_user_password"] = source._master_user_password
    return self.create_db_cluster({**kept, **_said(overrides)})


def _said(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says, that something is off or none among it."""
    return {name: value for name, value in overrides.items() if value is not None and value != ""}


def _check_places(backend: Any, overrides: Mapping[str, Any]) -> None:
    """Subnet and security groups must be of the region."""
    if group := overrides.get("db_subnet_group_name"):
        backend.describe_db_subnet_groups(group)
    there = ec2_backends[backend.account_id][backend.region_name].describe_security_groups()
    ids = {each.id for each in there}
    for wanted in overrides.get("vpc_security_group_ids") or ():
        if wanted not in ids:
            raise InvalidParameterValue(f"Invalid security group , groupId= {wanted}, groupName=.")
