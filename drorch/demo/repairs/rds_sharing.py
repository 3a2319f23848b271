"""RDS snapshots that are shared with another account: who sees them, who may copy them, and what cannot be shared.

RDS API, ModifyDBSnapshotAttribute and ModifyDBClusterSnapshotAttribute (`restore`), DescribeDBSnapshots (SnapshotType
`shared`); RDS user guide, "Sharing a DB snapshot".
"""

from __future__ import annotations

from typing import Any

from moto.rds.exceptions import InvalidParameterCombination
from moto.rds.models import RDSBackend, rds_backends

from drorch.demo.repairs.kms import is_default
from drorch.demo.repairs.replacing import around, instead_of

_IDENTIFIERS = ("db_snapshot_identifier", "db_cluster_snapshot_identifier")


class Shared:
    """A snapshot as an account sees it that it is shared with: named by its ARN, without its owner's tags."""

    def __init__(self, snapshot: Any) -> None:
        self._snapshot = snapshot
        self._managed_status = snapshot.__dict__["_managed_status"]  # a look at it counts as one at the snapshot

    def __getattr__(self, name: str) -> Any:
        if name in _IDENTIFIERS:
            return self._snapshot.arn
        return [] if name in ("tags", "tag_list") else getattr(self._snapshot, name)


@instead_of(RDSBackend, "get_snapshot")
def _get_snapshot(self: Any, identifier: str, resource_type: Any, not_found_exception: Any) -> Any:
    """By ARN one of any account that shares it; of others as if it were not there."""
    account, region, name = self.account_id, self.region_name, identifier
    if identifier.startswith("arn"):
        _, _, _, region, account, _, name = identifier.split(":")
    found = rds_backends[account][region].resource_map[resource_type].get(name)
    if found is None or self.account_id not in (account, *found.attributes["restore"]):
        raise not_found_exception(identifier)
    return found


def _refuse_default_key(backend: Any, snapshot: Any, added: Any) -> None:
    if added and snapshot.kms_key_id and is_default(backend.account_id, backend.region_name, snapshot.kms_key_id):
        raise InvalidParameterCombination("A snapshot encrypted with the default key of RDS cannot be shared")


@around(RDSBackend, "modify_db_snapshot_attribute")
def _modify_snapshot(original: Any, self: Any, db_snapshot_identifier: str, *args: Any, **given: Any) -> Any:
    _refuse_default_key(self, self.get_db_snapshot(db_snapshot_identifier), given.get("values_to_add"))
    return original(self, db_snapshot_identifier, *args, **given)


@around(RDSBackend, "modify_db_cluster_snapshot_attribute")
def _modify_cluster_snapshot(
    original: Any, self: Any, db_cluster_snapshot_identifier: str, *args: Any, **given: Any
) -> Any:
    _refuse_default_key(self, self.get_db_cluster_snapshot(db_cluster_snapshot_identifier), given.get("values_to_add"))
    return original(self, db_cluster_snapshot_identifier, *args, **given)
