"""RDS database instances: manual snapshots under an identifier that drorch chooses, so that doing it twice is refused.

The identifier is the key (`drorch-` and the point's id; `-N` added for the N-th copy): RDS has no client tokens, and a
repeated request ends in DBSnapshotAlreadyExists, which means "look whether it is ours". Creating calls are sent once
all the same: repeated by the SDK, a lost reply and then a refused connection would look like nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drorch.domain.catalogue_native import TAG_SOURCE
from drorch.domain.errors import Refused
from drorch.domain.instant import floor_second
from drorch.domain.model import native_vault_name
from drorch.domain.native import NativeSnapshot, Source
from drorch.kinds import GIB, KEY_PERMISSIONS, legible, tag_map
from drorch.kinds.rds_family.option_groups import (
    GROUP_PERMISSIONS,
    option_group_for,
    refuse_bound,
    refused_for_options,
    speaks_of_options,
)
from drorch.kinds.rds_family.restore_instance import RestoresInstances
from drorch.kinds.rds_family.restore_options import RestoredInstance
from drorch.kinds.rds_family.restores import RESTORE_LOOKING
from drorch.kinds.rds_family.settings import instance_settings
from drorch.kinds.rds_family.snapshots import Identified, Nouns, people_tags, shown_snapshot
from drorch.ports import CopyOrder

PERMISSIONS = (
    "rds:DescribeDBSnapshots",
    "rds:DescribeDBInstances",
    "rds:DescribeAccountAttributes",
    "rds:CreateDBSnapshot",
    "rds:CopyDBSnapshot",
    "rds:ModifyDBSnapshotAttribute",  # only where copies go into another account
    "rds:AddTagsToResource",  # tags in the creating call are authorised as this action (RDS user guide)
    # This right alone lets go, and can be given for as long as it is wanted: without it copies are marked, and stay.
    "rds:DeleteDBSnapshot",
    *GROUP_PERMISSIONS,
    *KEY_PERMISSIONS,
)
RESTORE_PERMISSIONS = (
    "rds:DescribeDBSnapshots",
    "rds:DescribeDBInstances",
    "rds:RestoreDBInstanceFromDBSnapshot",
    "rds:AddTagsToResource",
    "rds:DeleteDBInstance",  # of drills alone
    *RESTORE_LOOKING,
)
"""What a person needs who makes instances of snapshots, and clears away what a drill made."""


RestoreOptions = RestoredInstance
"""What may be said of what a restore makes."""


class Options(Identified):
    """``identifier: shop-ledger``: the instance's identifier, which RDS keeps in lower case."""


class RdsInstanceSnapshots(RestoresInstances):
    """Manual snapshots of RDS instances (SnapshotKind)."""

    kind = "rds-instance"
    nouns = Nouns(source="DBInstance", snapshot="DBSnapshot")
    options = Options
    listing = "describe_db_snapshots"

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """CopyDBSnapshot, with the destination's option group of the same name where the source has its own.

        Refused, with what to make, when the copy cannot do without that group and it is not there.
        """
        try:
            return super().copy(order)
        except Refused as error:
            if not speaks_of_options(error):
                raise
            raise refused_for_options(error, order, "rds CopyDBSnapshot") from error

    def _listed(self, account: str, region: str, wanted: frozenset[str]) -> Iterator[Source]:
        vault = native_vault_name(account, region)
        for page in self._pages(account, region, "describe_db_instances", "DBInstances"):
            with legible("rds DescribeDBInstances", vault):
                found = [_source(entry) for entry in page if entry["DBInstanceIdentifier"] in wanted]
            yield from found

    def _snapshot(self, entry: Mapping[str, Any], account: str, region: str) -> NativeSnapshot:
        """Its time is absent while RDS is creating it."""
        copied = TAG_SOURCE in tag_map(entry.get("TagList"))
        own, original = (entry.get(field) for field in ("SnapshotCreateTime", "OriginalSnapshotCreateTime"))
        started = own if copied else original or own
        return shown_snapshot(
            entry,
            self.nouns,
            account,
            region,
            encrypted=entry.get("Encrypted", False),
            started=floor_second(started) if started else None,
            origin=floor_second(original) if copied and original else None,
        )

    def _check_source(self, source: Source, operation: str, vault: str) -> None:
        """ "CreateDBSnapshot ... doesn't apply to Aurora": a cluster is snapshotted as a whole."""
        if cluster := source.settings.get("cluster"):
            raise Refused(
                "the instance belongs to a cluster, which has the snapshots",
                operation=operation,
                resource=source.source_id,
                vault=vault,
                cause=f"a member of {cluster}",
                hint=f"kind: rds-cluster, identifier: {cluster}",
            )

    def _copy_request(self, order: CopyOrder, entry: Mapping[str, Any]) -> dict[str, Any]:
        """A key given encrypts a plain one, too (RDS API, CopyDBSnapshot, KmsKeyId)."""
        request = {"KmsKeyId": order.kms_key} if order.kms_key else {}
        group = option_group_for(self._accounts, order, entry.get("OptionGroupName") or "")
        return {**request, "OptionGroupName": group} if group else request

    def _check_shareable(self, order: CopyOrder) -> None:
        shown = self._shown(order.from_account, order.from_region, order.snapshot.native_id)
        for entry in shown:
            refuse_bound(self._accounts, order, entry.get("OptionGroupName") or "")

    def _modify(self, client: Any, native_id: str, change: Mapping[str, Any]) -> object:
        return client.modify_db_snapshot_attribute(DBSnapshotIdentifier=native_id, **change)

    def _create(self, client: Any, request: Mapping[str, Any]) -> Any:
        return client.create_db_snapshot(**request)

    def _copy(self, client: Any, request: Mapping[str, Any]) -> Any:
        return client.copy_db_snapshot(**request)

    def _describe(self, client: Any, native_id: str) -> Any:
        return client.describe_db_snapshots(DBSnapshotIdentifier=native_id)

    def _delete(self, client: Any, native_id: str) -> object:
        return client.delete_db_snapshot(DBSnapshotIdentifier=native_id)


def _source(entry: Mapping[str, Any]) -> Source:
    return Source(
        source_id=entry["DBInstanceIdentifier"],
        bytes=(entry.get("AllocatedStorage") or 0) * GIB,
        encrypted=entry.get("StorageEncrypted", False),
        kms_key=entry.get("KmsKeyId", ""),
        zone=entry.get("AvailabilityZone", ""),
        tags=people_tags(entry),
        identity=entry.get("DbiResourceId", ""),
        settings=instance_settings(entry),
    )
