"""RDS: snapshots and instances that take time, copies that say where they come from, databases that exist.

moto's endpoints resolve to nothing. With a `Databases` hook, each PostgreSQL instance is a real database, a DB snapshot
a copy of it, and a restore a new one.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any, Protocol

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.rds.exceptions import (
    InvalidParameterCombination,
    InvalidParameterValue,
    KMSKeyNotAccessibleFault,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend, rds_backends
from moto.rds.responses import RDSResponse

from drorch.demo.repairs import copy_places, states
from drorch.demo.repairs.kms import key_arn
from drorch.demo.repairs.paging import BadToken, page
from drorch.demo.repairs.rds_sharing import Shared
from drorch.demo.repairs.replacing import around, instead_of

DB_SNAPSHOT = "rds::dbsnapshot"
DB_INSTANCE = "rds::dbinstance"
_PER_PAGE = range(20, 101)


class Databases(Protocol):
    """The real databases behind the instances. A `name` is a database of the server at `endpoint`."""

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where the server listens."""

    def open(self, region: str, name: str, user: str, password: str) -> None:
        """Make sure that `name` exists in `region` and that `user` owns it."""

    def copy(self, region: str, source: str, wish: str) -> str:
        """Copy the database `source` under a free name near `wish`, which is returned."""

    def drop(self, name: str) -> None:
        """Remove a database; harmless when absent."""

    def lose(self, region: str, *, lost: bool) -> None:
        """Cut off, or give back, every database of a region."""


databases: Databases | None = None
"""The hook, or None: then endpoints stay names that resolve to nothing. Set by the embedded AWS."""

_instance: Any = DBInstance
_db_snapshot: Any = DBSnapshot
states.manage(_instance, DB_INSTANCE, [("creating", "backing-up"), ("backing-up", "available")], failed="failed")


def lost_key(snapshot: Any) -> str:
    """Why a copy under way fails for its key, "" when it does not. RDS tells that it failed, and not why."""
    key = snapshot.kms_key_id
    return "" if not key or key_arn(snapshot.account_id, snapshot.region, key) else "The KMS key is not accessible"


def _ends(snapshot: Any) -> str:
    """A copy needs its key until it is done."""
    return lost_key(snapshot) if snapshot.is_copy else ""


states.manage(_db_snapshot, DB_SNAPSHOT, [("creating", "available")], failed="failed", ends=_ends)
_db_snapshot.percent_progress = property(lambda self: 100 if self.status == "available" else 45)
_db_snapshot.source_region = None
_db_snapshot.is_copy = False
_db_snapshot.source_db_snapshot_identifier = None
_db_snapshot.database_name = None


@around(DBInstance, "__init__")
def _init_instance(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """moto gives every instance the same DbiResourceId, which is what outlives a reused name."""
    original(self, *args, **kwargs)
    self.dbi_resource_id = "db-" + base64.b32encode(secrets.token_bytes(17)).decode()[:26]


_instance.endpoint = property(
    lambda self: (
        {"Address": databases.endpoint[0], "Port": databases.endpoint[1]}
        if databases and self.engine == "postgres"
        else {"Address": self.address, "Port": self.port}
    )
)


@around(RDSBackend, "create_db_instance")
def _create_db_instance(original: Any, self: Any, db_kwargs: Any) -> Any:
    name, engine = db_kwargs.get("db_name"), db_kwargs.get("engine")
    if databases and name and engine == "postgres":
        user = db_kwargs.get("master_username") or "postgres"
        databases.open(self.region_name, name, user, db_kwargs.get("master_user_password") or "")
    return original(self, db_kwargs)


@around(RDSBackend, "delete_db_instance")
def _delete_db_instance(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    gone = original(self, *args, **kwargs)
    if databases and gone.db_name and gone.engine == "postgres":
        databases.drop(gone.db_name)
    return gone


@around(RDSBackend, "create_db_snapshot")
def _create_db_snapshot(
    original: Any, self: Any, db_instance_identifier: str, db_snapshot_identifier: str, *args: Any, **kwargs: Any
) -> Any:
    database = self.databases.get(db_instance_identifier)
    automated = "automated" in (*args, kwargs.get("snapshot_type"))
    if database and not automated and database.status != "available":
        message = f"DB instance {db_instance_identifier} is in state {database.status}, not available"
        raise RDSClientError("InvalidDBInstanceState", message)
    snapshot = original(self, db_instance_identifier, db_snapshot_identifier, *args, **kwargs)
    if databases and database.db_name and database.engine == "postgres":
        snapshot.database_name = databases.copy(self.region_name, database.db_name, f"snapshot of {database.db_name}")
    return snapshot


@around(RDSBackend, "_validate_kms_key")
def _validate_kms_key(original: Any, self: Any, kms_key_id: str) -> Any:
    """An alias that names no key is no fault of the server: moto trips over the None that it finds."""
    try:
        return original(self, kms_key_id)
    except (AttributeError, ServiceException) as error:
        if isinstance(error, KMSKeyNotAccessibleFault):
            raise
        raise KMSKeyNotAccessibleFault(kms_key_id) from error


@around(RDSBackend, "copy_db_snapshot")
def _copy_db_snapshot(
    original: Any, self: Any, source_db_snapshot_identifier: str, target_db_snapshot_identifier: str, **given: Any
) -> Any:
    """A cross-region copy says where it comes from and needs a key of its own (RDS API, CopyDBSnapshot, KmsKeyId)."""
    source = self.get_db_snapshot(source_db_snapshot_identifier)
    if source.status != "available":
        message = f"Cannot copy snapshot {source.db_snapshot_identifier}: its status is {source.status}"
        raise RDSClientError("InvalidDBSnapshotState", message)
    away, foreign = source.region != self.region_name, source.account_id != self.account_id
    crosses = away or foreign
    if crosses and source.encrypted and not given.get("kms_key_id"):
        message = "A KmsKeyId is required to copy an encrypted snapshot from another region or account"
        raise InvalidParameterCombination(message)
    if away and copy_places.is_full("rds", self.database_snapshots.values()):
        message = f"Cannot copy more than {copy_places.places['rds']} snapshots across regions"
        raise RDSClientError("SnapshotQuotaExceeded", message)
    made = original(self, source_db_snapshot_identifier, target_db_snapshot_identifier, **given)
    made.dbi_resource_id = source.dbi_resource_id
    made.is_copy = crosses
    if crosses:
        made.source_region = source.region
        made.source_db_snapshot_identifier = source.arn
    if databases and source.database_name:
        made.database_name = databases.copy(self.region_name, source.database_name, f"copy of {source.database_name}")
    return made


@around(RDSBackend, "delete_db_snapshot")
def _delete_db_snapshot(original: Any, self: Any, db_snapshot_identifier: str) -> Any:
    """Not while it is being made; a copy under way is ended by it, and one whose source goes fails, as it may on AWS.

    "If the snapshot is being copied, the copy operation is terminated. The DB snapshot must be in the available state
    to be deleted" (RDS API, DeleteDBSnapshot).
    """
    there = self.database_snapshots.get(db_snapshot_identifier)
    made = there and there.snapshot_type == "manual" and not there.source_db_snapshot_identifier
    if made and there.status == "creating":  # automated ones go with their instance, whatever they are at
        raise RDSClientError("InvalidDBSnapshotState", f"The snapshot {db_snapshot_identifier} is {there.status}")
    gone = original(self, db_snapshot_identifier)
    for backend in (backend for regions in rds_backends.values() for backend in regions.values()):
        copies: list[Any] = list(backend.database_snapshots.values())
        for snapshot in copies:
            if snapshot.source_db_snapshot_identifier == gone.arn and snapshot.status == "creating":
                states.fail(snapshot, "The source snapshot was deleted")
    if databases and gone.database_name:
        databases.drop(gone.database_name)
    return gone


@around(RDSBackend, "restore_db_instance_to_point_in_time")
def _restore_to_point_in_time(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    if databases:  # the real database keeps no log to replay, and two instances must not share one
        raise InvalidParameterValue("The embedded cloud restores from snapshots only")
    return original(self, *args, **kwargs)


@instead_of(RDSResponse, "describe_db_snapshots")
def _describe_db_snapshots(self: Any) -> ActionResult:
    asked = self.params.get
    filters = {item["Name"]: item["Values"] for item in asked("Filters", [])}
    names = asked("DBInstanceIdentifier"), asked("DBSnapshotIdentifier"), asked("SnapshotType")
    found = self.backend.describe_db_snapshots(*names, filters)
    if asked("SnapshotType") == "shared":
        found = [Shared(snapshot) for snapshot in found]
    return in_pages(self, "DBSnapshots", found)


@instead_of(RDSResponse, "describe_db_instances")
def _describe_db_instances(self: Any) -> ActionResult:
    filters = {item["Name"]: item["Values"] for item in self.params.get("Filters", [])}
    found = self.backend.describe_db_instances(self.params.get("DBInstanceIdentifier"), filters=filters)
    return in_pages(self, "DBInstances", found)


def in_pages(response: Any, name: str, found: list[Any], *, managed: bool = True) -> ActionResult:
    """One page of a listing, called `name` in the reply; each resource in it, if `managed`, is described once more."""
    size = int(response.params.get("MaxRecords") or _PER_PAGE[-1])
    if size not in _PER_PAGE:
        raise InvalidParameterValue(f"Invalid value {size} for MaxRecords. Must be between 20 and 100")
    try:
        chosen, marker = page(found, response.params.get("Marker"), size)
    except BadToken as error:
        raise InvalidParameterValue("The marker is not valid") from error
    if managed:
        states.described(chosen)
    return ActionResult({name: chosen, "Marker": marker})
