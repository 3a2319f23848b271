"""RDS database instances: manual snapshots under an identifier that drorch chooses, so that doing it twice is refused.

The identifier is the key (`drorch-` and the point's id; `-N` added for the N-th copy): RDS has no client tokens, and a
repeated request ends in DBSnapshotAlreadyExists, which means "look whether it is ours". Creating calls are sent once
all the same: repeated by the SDK, a lost reply and then a refused connection would look like nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_POINT, TAG_SET, TAG_SITE, TAG_SOURCE
from drorch.domain.errors import NotFound, NotInThisVersion, Refused, Unavailable
from drorch.domain.instant import floor_second
from drorch.domain.model import native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, Source
from drorch.kinds import (
    GIB,
    KEY_PERMISSIONS,
    carried_tags,
    check_copy,
    check_kms_key,
    copied_tags,
    gone_is_done,
    legible,
    named_in,
    pages,
    set_text,
    tag_list,
    tag_map,
)
from drorch.ports import CopyOrder, CutOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "rds:DescribeDBSnapshots",
    "rds:DescribeDBInstances",
    "rds:CreateDBSnapshot",
    "rds:CopyDBSnapshot",
    "rds:AddTagsToResource",  # tags in the creating call are authorised as this action (RDS user guide)
    # This right alone lets go, and can be given for as long as it is wanted: without it copies are marked, and stay.
    "rds:DeleteDBSnapshot",
    *KEY_PERMISSIONS,
)

RECORDS_PER_PAGE = 100
RESERVED_PREFIXES = ("rds:",)
"""Tag keys may not begin so, beside `aws:` (RDS API, Tag)."""

_STATES = {"available": "usable", "creating": "pending", "copying": "pending"}
_GONE = ("DBSnapshotNotFound", "DBSnapshotNotFoundFault")
_WRONG_STATE = ("InvalidDBSnapshotState", "InvalidDBSnapshotStateFault")

_SETTINGS = {
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "class": "DBInstanceClass",
    "license": "LicenseModel",
    "storage_type": "StorageType",
    "storage_gib": "AllocatedStorage",
    "storage_gib_max": "MaxAllocatedStorage",
    "iops": "Iops",
    "throughput": "StorageThroughput",
    "kms_key": "KmsKeyId",
    "multi_az": "MultiAZ",
    "zone": "AvailabilityZone",
    "port": "DbInstancePort",
    "database": "DBName",
    "user": "MasterUsername",
    "character_set": "CharacterSetName",
    "timezone": "Timezone",
    "public": "PubliclyAccessible",
    "iam_authentication": "IAMDatabaseAuthenticationEnabled",
    "certificate_authority": "CACertificateIdentifier",
    "backup_days": "BackupRetentionPeriod",
    "deletion_protection": "DeletionProtection",
    "replica_of": "ReadReplicaSourceDBInstanceIdentifier",
    "cluster": "DBClusterIdentifier",
}


class Options(BaseModel):
    """``identifier: shop-ledger``: the instance's identifier, which RDS keeps in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identifier: str = Field(pattern=r"^[a-z](-?[a-z0-9])*$", max_length=63)


class RdsInstanceSnapshots:
    """Manual snapshots of RDS instances (SnapshotKind). The state `usable` is RDS's `available`."""

    kind = "rds-instance"
    service = "rds"
    repeatable_cut = True

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All manual snapshots there that bear the site's tag (RDS cannot filter by tag, but lists the tags)."""
        for snapshot in self._manual(account, region):
            if snapshot.tags.get(TAG_SITE) == site:
                yield snapshot

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """The manual snapshots there that bear the point's id, in their tags or in their identifier."""
        identifier = _identifier(point)
        return tuple(
            snapshot
            for snapshot in self._manual(account, region)
            if snapshot.tags.get(TAG_POINT) == point
            or snapshot.native_id == identifier
            or snapshot.native_id.startswith(f"{identifier}-")
        )

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """Every manual snapshot in the making that was copied from another region or account, or is being copied."""
        vault = native_vault_name(account, region)
        for page in self._pages(account, region):
            with legible("rds DescribeDBSnapshots", vault):
                found = [
                    PendingCopy(entry["DBSnapshotIdentifier"], entry.get("SourceRegion") or "")
                    for entry in page
                    if _STATES.get(entry.get("Status") or "creating") == "pending"
                    and (entry.get("SourceDBSnapshotIdentifier") or entry.get("Status") == "copying")
                ]
            yield from found

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """The instances that `options` name, out of one listing of all (a filter on an absent name is an error)."""
        wanted = {_identifier_of(option) for option in options}
        if not wanted:
            return
        vault = native_vault_name(account, region)
        listing = pages(
            self._accounts.client("rds", account, region),
            "describe_db_instances",
            "DBInstances",
            size=RECORDS_PER_PAGE,
            vault=vault,
        )
        for page in listing:
            with legible("rds DescribeDBInstances", vault):
                found = [_source(entry) for entry in page if entry["DBInstanceIdentifier"] in wanted]
            yield from found

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The instance of that identifier, if it is there."""
        wanted = _identifier_of(options)
        return tuple(source for source in sources if source.source_id == wanted)

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """One call per instance."""
        return tuple((source,) for source in sorted(sources, key=lambda source: source.source_id))

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """CreateDBSnapshot. Unavailable while the instance is busy (backing up, modifying): waiting is no failure."""
        calls = self.creating_calls(order.sources)
        (source,) = calls[call]
        vault = native_vault_name(order.account, order.region)
        if cluster := source.settings.get("cluster"):
            raise NotInThisVersion(
                "the instance belongs to a cluster, and snapshots of clusters are not in this version",
                operation="rds CreateDBSnapshot",
                resource=source.source_id,
                vault=vault,
                cause=f"a member of {cluster}",
            )
        own = {**order.tags, TAG_SET: set_text(call, calls)}
        client = self._accounts.client("rds", order.account, order.region, repeatable=False)
        with mapped("rds CreateDBSnapshot", resource=source.source_id, vault=vault, mutates=True):
            reply = client.create_db_snapshot(
                DBSnapshotIdentifier=_identifier(order.point),
                DBInstanceIdentifier=source.source_id,
                Tags=tag_list(carried_tags(own, source.tags, RESERVED_PREFIXES)),
            )
        made = named_in(reply, "DBSnapshot", "rds CreateDBSnapshot", source.source_id, vault)
        with legible("rds CreateDBSnapshot", vault, mutates=True):
            return (_snapshot(made, order.account, order.region),)

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """CopyDBSnapshot, called in the destination, its source by ARN.

        The option group is left to the destination's default; where AWS refuses that, the hint says so.
        """
        check_copy(order, "rds CopyDBSnapshot")
        source, vault = order.snapshot, native_vault_name(order.account, order.region)
        tags = copied_tags(order, RESERVED_PREFIXES)
        request = {
            "SourceDBSnapshotIdentifier": self._arn(order),
            "TargetDBSnapshotIdentifier": f"{_identifier(order.point)}-{order.attempt}",
            "SourceRegion": order.from_region,
            "CopyTags": False,
            "Tags": tag_list(tags),
        }
        if order.kms_key:
            request["KmsKeyId"] = order.kms_key
        client = self._accounts.client("rds", order.account, order.region, repeatable=False)
        try:
            with mapped("rds CopyDBSnapshot", resource=source.native_id, vault=vault, mutates=True):
                reply = client.copy_db_snapshot(**request)
        except Refused as error:
            if "option group" not in f"{error.message} {error.cause}".lower():
                raise
            raise Refused(
                error.message,
                operation="rds CopyDBSnapshot",
                resource=source.native_id,
                vault=vault,
                cause=error.cause,
                hint=f"the source has its own option group; mapping one into {order.region} is not in this version",
            ) from error
        made = named_in(reply, "DBSnapshot", "rds CopyDBSnapshot", source.native_id, vault)
        with legible("rds CopyDBSnapshot", vault, mutates=True):
            return _snapshot({"TagList": tag_list(tags), **made}, order.account, order.region)

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused with a hint unless the key exists there, is enabled and symmetric."""
        check_kms_key(self._accounts, account, region, key)

    def now(self, account: str, region: str) -> datetime:
        """By the clock of the region's STS."""
        return self._accounts.now(account, region)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """DeleteDBSnapshot; repeated by the SDK, for a repetition finds it gone.

        Unavailable while RDS still makes it; Refused when it is at rest and RDS keeps it all the same, as it does what
        another service manages. A copy that is under way is ended by it (RDS API, DeleteDBSnapshot).
        """
        client = self._accounts.client("rds", account, region)
        vault, operation = native_vault_name(account, region), "rds DeleteDBSnapshot"
        try:
            with gone_is_done(_GONE), mapped(operation, resource=native_id, vault=vault, mutates=True):
                client.delete_db_snapshot(DBSnapshotIdentifier=native_id)
        except Unavailable as error:
            if code_of(error) in _WRONG_STATE and self._at_rest(account, region, native_id):
                raise Refused(
                    "RDS does not let the snapshot go",
                    operation=operation,
                    resource=native_id,
                    vault=vault,
                    cause=error.cause,
                    hint="see whether another service manages it (AWS Backup): then that one deletes it",
                ) from error
            raise

    def _at_rest(self, account: str, region: str, native_id: str) -> bool:
        """Whether nothing is under way with it that one could wait for. False when it is gone meanwhile."""
        client = self._accounts.client("rds", account, region)
        try:
            with mapped("rds DescribeDBSnapshots", resource=native_id, vault=native_vault_name(account, region)):
                reply = client.describe_db_snapshots(DBSnapshotIdentifier=native_id)
        except NotFound:
            return False
        return [entry.get("Status") for entry in reply.get("DBSnapshots", ())] in (["available"], ["failed"])

    def _pages(self, account: str, region: str) -> Iterator[Sequence[dict[str, Any]]]:
        return pages(
            self._accounts.client("rds", account, region),
            "describe_db_snapshots",
            "DBSnapshots",
            size=RECORDS_PER_PAGE,
            vault=native_vault_name(account, region),
            SnapshotType="manual",
        )

    def _manual(self, account: str, region: str) -> Iterator[NativeSnapshot]:
        vault = native_vault_name(account, region)
        for page in self._pages(account, region):
            with legible("rds DescribeDBSnapshots", vault):
                found = [_snapshot(entry, account, region) for entry in page]
            yield from found

    def _arn(self, order: CopyOrder) -> str:
        """The source's ARN, asked of its region: it holds the account's digits and the partition.

        NotFound when the snapshot is gone, Unavailable while it is not yet `available`: RDS refuses to copy it then.
        """
        source, vault = order.snapshot.native_id, native_vault_name(order.from_account, order.from_region)
        client = self._accounts.client("rds", order.from_account, order.from_region)
        with mapped("rds DescribeDBSnapshots", resource=source, vault=vault):
            reply = client.describe_db_snapshots(DBSnapshotIdentifier=source)
        found = next(iter(reply.get("DBSnapshots", ())), None)
        if found is None or found.get("Status") != "available":
            raise Unavailable(
                "the snapshot cannot be copied yet",
                operation="rds CopyDBSnapshot",
                resource=source,
                vault=vault,
                cause=f"status {found.get('Status') if found else 'not told'}",
            )
        with legible("rds DescribeDBSnapshots", vault):
            return str(found["DBSnapshotArn"])


def _identifier(point: str) -> str:
    return f"drorch-{point}"


def _identifier_of(options: object) -> str:
    if not isinstance(options, Options):
        raise TypeError(f"rds-instance takes its own options, not {type(options).__name__}")
    return options.identifier


def _source(entry: Mapping[str, Any]) -> Source:
    tags = tag_map(entry.get("TagList"))
    settings: dict[str, object] = {
        name: entry[field] for name, field in _SETTINGS.items() if entry.get(field) not in (None, "")
    }
    endpoint = entry.get("Endpoint") or {}
    if endpoint.get("Port"):
        settings["port"] = endpoint["Port"]  # DbInstancePort is 0 for most engines (RDS API, DBInstance)
    subnets = entry.get("DBSubnetGroup") or {}
    lists = {
        "parameter_groups": ("DBParameterGroups", "DBParameterGroupName"),
        "option_groups": ("OptionGroupMemberships", "OptionGroupName"),
        "security_groups": ("VpcSecurityGroups", "VpcSecurityGroupId"),
    }
    settings |= {
        name: [item[key] for item in entry.get(field) or () if item.get(key)] for name, (field, key) in lists.items()
    }
    settings |= {
        name: subnets[field]
        for name, field in (("subnet_group", "DBSubnetGroupName"), ("vpc", "VpcId"))
        if subnets.get(field)
    }
    return Source(
        source_id=entry["DBInstanceIdentifier"],
        bytes=(entry.get("AllocatedStorage") or 0) * GIB,
        encrypted=entry.get("StorageEncrypted", False),
        kms_key=entry.get("KmsKeyId", ""),
        zone=entry.get("AvailabilityZone", ""),
        tags={key: value for key, value in tags.items() if not key.lower().startswith("aws:")},
        identity=entry.get("DbiResourceId", ""),
        settings=settings,
    )


def _snapshot(entry: Mapping[str, Any], account: str, region: str) -> NativeSnapshot:
    """A snapshot of a listing or of a creating call's reply; its time is absent while RDS is creating it."""
    tags = tag_map(entry.get("TagList"))
    status = entry.get("Status") or "creating"
    copied = TAG_SOURCE in tags
    own, original = (entry.get(field) for field in ("SnapshotCreateTime", "OriginalSnapshotCreateTime"))
    started = own if copied else original or own
    return NativeSnapshot(
        native_id=entry["DBSnapshotIdentifier"],
        account=account,
        region=region,
        service=RdsInstanceSnapshots.service,
        state=_STATES.get(status, "failed"),
        tags=tags,
        source_id=entry.get("DBInstanceIdentifier", ""),
        started=floor_second(started) if started else None,
        bytes=(entry.get("AllocatedStorage") or 0) * GIB,
        encrypted=entry.get("Encrypted", False),
        kms_key=entry.get("KmsKeyId", ""),
        progress=entry.get("PercentProgress") or 0,
        why="" if status in _STATES else f"status {status}",
        origin=floor_second(original) if copied and original else None,
    )
