"""How many manual snapshots an account may have in a region: RDS tells it, and refuses the next one.

moto counts automated ones, too, allows a thousand, and does not know DescribeAccountAttributes.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import RDSClientError
from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

from drorch.demo.repairs import offers
from drorch.demo.repairs.replacing import around

DEFAULT = 100
"""Of each kind in a region (RDS user guide, "Quotas in Amazon RDS")."""
_CODES = {"ManualSnapshots": "L-272F1212", "ManualClusterSnapshots": "L-9B510759"}
"""The names of DescribeAccountAttributes (RDS API, AccountQuota) and the codes of Service Quotas for the same."""


def _most(backend: Any, name: str) -> int:
    return offers.raised.get((backend.region_name, "rds", _CODES[name]), DEFAULT)


def _used(backend: Any, name: str) -> int:
    held = backend.database_snapshots if name == "ManualSnapshots" else backend.cluster_snapshots
    return sum(snapshot.snapshot_type == "manual" for snapshot in held.values())


def _describe_account_attributes(self: Any) -> ActionResult:
    told = [{"AccountQuotaName": n, "Used": _used(self.backend, n), "Max": _most(self.backend, n)} for n in _CODES]
    return ActionResult({"AccountQuotas": told})


RDSResponse.describe_account_attributes = _describe_account_attributes  # type: ignore[attr-defined]


def _require_room(backend: Any, name: str, identifier: str, held: Any) -> None:
    """A taken identifier is told first: then nothing would be made."""
    most = _most(backend, name)
    if identifier not in held and _used(backend, name) >= most:
        raise RDSClientError("SnapshotQuotaExceeded", f"Cannot create more than {most} manual snapshots")


@around(RDSBackend, "create_db_snapshot")
def _create_db_snapshot(
    original: Any, self: Any, db_instance_identifier: str, db_snapshot_identifier: str, *args: Any, **kwargs: Any
) -> Any:
    if "automated" not in (*args, kwargs.get("snapshot_type")):
        _require_room(self, "ManualSnapshots", db_snapshot_identifier, self.database_snapshots)
    return original(self, db_instance_identifier, db_snapshot_identifier, *args, **kwargs)


@around(RDSBackend, "copy_db_snapshot")
def _copy_db_snapshot(original: Any, self: Any, target_db_snapshot_identifier: str, **given: Any) -> Any:
    _require_room(self, "ManualSnapshots", target_db_snapshot_identifier, self.database_snapshots)
    return original(self, target_db_snapshot_identifier=target_db_snapshot_identifier, **given)


@around(RDSBackend, "create_db_cluster_snapshot")
def _create_db_cluster_snapshot(
    original: Any, self: Any, db_cluster_identifier: str, db_cluster_snapshot_identifier: str, **given: Any
) -> Any:
    if given.get("snapshot_type", "manual") == "manual":
        _require_room(self, "ManualClusterSnapshots", db_cluster_snapshot_identifier, self.cluster_snapshots)
    return original(self, db_cluster_identifier, db_cluster_snapshot_identifier, **given)


@around(RDSBackend, "copy_db_cluster_snapshot")
def _copy_db_cluster_snapshot(
    original: Any, self: Any, target_db_cluster_snapshot_identifier: str, **given: Any
) -> Any:
    _require_room(self, "ManualClusterSnapshots", target_db_cluster_snapshot_identifier, self.cluster_snapshots)
    return original(self, target_db_cluster_snapshot_identifier=target_db_cluster_snapshot_identifier, **given)
