"""EBS volumes, chosen by tag: one crash-consistent set of snapshots per instance, single volumes for themselves.

EC2 takes no client token for CreateSnapshot, CreateSnapshots and CopySnapshot (AWS API model), so these three are sent
once and never repeated by the SDK; what a lost reply left behind is found by its tags, set in the creating call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from drorch.aws import mapped
from drorch.domain.catalogue_native import TAG_IMAGE, TAG_POINT, TAG_SET, TAG_SITE, TAG_SOURCE
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.instant import floor_second
from drorch.domain.model import LockMode, ObjectLock, native_vault_name
from drorch.domain.native import NativeSnapshot, PendingCopy, Source
from drorch.kinds import (
    GIB,
    IN_THE_BIN,
    KEY_PERMISSIONS,
    MOST_FILTER_VALUES,
    MOST_TAGS,
    SNAPSHOT_STATES,
    carried_tags,
    check_copy,
    check_kms_key,
    check_sharing,
    copied_tags,
    digits_of,
    gone_is_done,
    legible,
    named_in,
    pages,
    percent,
    permit_snapshot,
    set_text,
    sets_by_instance,
    tag_list,
    tag_map,
    user_tags,
)
from drorch.kinds import Select as Select
from drorch.kinds.ebs.restore import RESTORE_PERMISSIONS as RESTORE_PERMISSIONS
from drorch.kinds.ebs.restore import RestoreOptions as RestoreOptions
from drorch.kinds.ebs.restore import RestoresVolumes
from drorch.kinds.snapshot_locks import LOCKING as LOCKING
from drorch.kinds.snapshot_locks import LOOKING, lock_snapshot, locks_there, told_if_locked
from drorch.ports import CopyOrder, CutOrder

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "ec2:DescribeSnapshots",
    *LOOKING,
    "ec2:DescribeVolumes",
    "ec2:DescribeInstances",
    "ec2:CreateSnapshot",
    "ec2:CreateSnapshots",
    "ec2:CopySnapshot",
    "ec2:ModifySnapshotAttribute",  # only where copies go into another account
    "ec2:CreateTags",  # tags in the creating call are authorised as this action (EC2 user guide)
    # This right alone lets go, and can be given for as long as it is wanted: without it copies are marked, and stay.
    "ec2:DeleteSnapshot",
    *KEY_PERMISSIONS,
)
SNAPSHOTS_PER_PAGE = 1000
VOLUMES_PER_PAGE = 500
MOST_EXCLUDED = 40
"""Data volumes that one CreateSnapshots call can leave out (EC2 API, InstanceSpecification)."""

_VOLUME_OF_COPIES = "vol-ffffffff"
"""What every copy was seen to name as its volume. EC2 promises no such thing (EC2 API, Snapshot, VolumeId): nothing but
the count of pending copies goes by it, and a count that is too small costs a refused call."""
_GONE = ("InvalidSnapshot.NotFound",)


class Options(BaseModel):
    """``select: {tags: {app: shop, tier: data}}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: Select


class EbsSnapshots(RestoresVolumes):
    """Snapshots of EBS volumes (SnapshotKind, RestoresSnapshots). The state `usable` is EC2's `completed`."""

    kind = "ebs"
    service = "ec2"
    repeatable_cut = False

    def __init__(self, accounts: AwsAccounts) -> None:
        self._accounts = accounts

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All snapshots there that bear the site's tag; other services' snapshots are never fetched."""
        yield from self._listed(account, region, TAG_SITE, site)

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """The snapshots there that bear the point's id, asked now."""
        return tuple(self._listed(account, region, TAG_POINT, point))

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """Every pending snapshot there that is a copy: it has a TransferType, only copies do (EC2 API, Snapshot)."""
        vault = native_vault_name(account, region)
        listing = pages(
            self._accounts.client("ec2", account, region),
            "describe_snapshots",
            "Snapshots",
            size=SNAPSHOTS_PER_PAGE,
            vault=vault,
            OwnerIds=["self"],
            Filters=[{"Name": "status", "Values": ["pending"]}],
        )
        for page in listing:
            with legible("ec2 DescribeSnapshots", vault):
                found = [PendingCopy(entry["SnapshotId"]) for entry in page if _is_copy(entry)]
            yield from found

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """Every volume in use or available that bears one tag key of each of `options`, in one listing."""
        keys = sorted({min(_tags_of(option)) for option in options})
        if not keys:
            return
        filters = [{"Name": "status", "Values": ["in-use", "available"]}]
        if len(keys) <= MOST_FILTER_VALUES:
            filters.append({"Name": "tag-key", "Values": keys})
        client = self._accounts.client("ec2", account, region)
        vault = native_vault_name(account, region)
        for page in pages(client, "describe_volumes", "Volumes", size=VOLUMES_PER_PAGE, vault=vault, Filters=filters):
            with legible("ec2 DescribeVolumes", vault):
                found = [_source(volume) for volume in page]
            yield from found

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The volumes that bear every tag of `options`."""
        wanted = _tags_of(options).items()
        return tuple(source for source in sources if all(source.tags.get(key) == value for key, value in wanted))

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """One set per instance, by instance id, then the unattached volumes one by one."""
        return sets_by_instance(sources)

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """CreateSnapshots for a set of several volumes, CreateSnapshot for a single one (attached or not).

        Raises, before anything is made: Unavailable when a volume has left its instance since it was listed; Refused
        when the instance has more unselected volumes than the call can leave out.
        """
        calls = self.creating_calls(order.sources)
        members = calls[call]
        own = {**order.tags, TAG_SET: set_text(call, calls)}
        if len(members) == 1:
            return self._cut_volume(order, members[0], own)
        return self._cut_set(order, members, own)

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """CopySnapshot, called in the destination by its account. Its `started` is not known before it is listed."""
        check_copy(order, "ec2 CopySnapshot")
        vault, source = native_vault_name(order.account, order.region), order.snapshot
        tags = copied_tags(order)
        request: dict[str, Any] = {
            "SourceRegion": order.from_region,
            "SourceSnapshotId": source.native_id,
            "TagSpecifications": _on_snapshot(tags),
        }
        if order.kms_key:
            request |= {"Encrypted": True, "KmsKeyId": order.kms_key}
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        with mapped("ec2 CopySnapshot", resource=source.native_id, vault=vault, mutates=True):
            reply = client.copy_snapshot(**request)
        return NativeSnapshot(
            native_id=named_in(reply, "SnapshotId", "ec2 CopySnapshot", source.native_id, vault),
            account=order.account,
            region=order.region,
            service=self.service,
            state="pending",
            tags=tags,
            source_id="",
            started=None,
            bytes=source.bytes,
            encrypted=bool(order.kms_key),
            kms_key=order.kms_key,
        )

    def share(self, order: CopyOrder) -> None:
        """The permission to make volumes of it."""
        other = check_sharing(self._accounts, order, "ec2 ModifySnapshotAttribute")
        permit_snapshot(self._accounts, order.from_account, order.from_region, order.snapshot.native_id, "add", other)

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Take it back; harmless twice, and when the snapshot is gone."""
        with gone_is_done(_GONE):
            permit_snapshot(self._accounts, account, region, native_id, "remove", digits_of(self._accounts, other))

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:
        """Those of the site's snapshots that account `other` was given by name."""
        digits = digits_of(self._accounts, other)
        for page in self._pages(account, region, TAG_SITE, site, RestorableByUserIds=[digits]):
            with legible("ec2 DescribeSnapshots", native_vault_name(account, region)):
                found = [entry["SnapshotId"] for entry in page]
            yield from found

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused with a hint unless the key exists there, is enabled and symmetric."""
        check_kms_key(self._accounts, account, region, key)

    def now(self, account: str, region: str) -> datetime:
        """By the clock of the region's STS."""
        return self._accounts.now(account, region)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """DeleteSnapshot; repeated by the SDK, for a repetition finds it gone.

        Refused, with the image's id as its cause, while an image uses the snapshot, and while a lock stands, which is
        named. A rule of
        the Recycle Bin may keep what was deleted: no listing shows it.
        """
        client = self._accounts.client("ec2", account, region)
        vault = native_vault_name(account, region)
        with (
            told_if_locked(self._accounts, account, region, native_id),
            gone_is_done(_GONE),
            mapped("ec2 DeleteSnapshot", resource=native_id, vault=vault, mutates=True),
        ):
            client.delete_snapshot(SnapshotId=native_id)

    def locks(self, account: str, region: str, native_ids: Sequence[str] = ()) -> Mapping[str, ObjectLock]:
        """By DescribeLockedSnapshots."""
        return locks_there(self._accounts, account, region, native_ids)

    def lock(self, account: str, region: str, native_id: str, mode: LockMode, until: datetime) -> None:
        """LockSnapshot, without a cooling-off period."""
        lock_snapshot(self._accounts, account, region, native_id, mode, until)

    def _listed(self, account: str, region: str, tag: str, value: str) -> Iterator[NativeSnapshot]:
        for page in self._pages(account, region, tag, value):
            with legible("ec2 DescribeSnapshots", native_vault_name(account, region)):
                found = [_snapshot(entry, account, region) for entry in page if _alone(entry)]
            yield from found

    def _pages(
        self, account: str, region: str, tag: str, value: str, **more: Any
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Every page of the account's own snapshots there that bear the tag."""
        return pages(
            self._accounts.client("ec2", account, region),
            "describe_snapshots",
            "Snapshots",
            size=SNAPSHOTS_PER_PAGE,
            vault=native_vault_name(account, region),
            OwnerIds=["self"],
            Filters=[{"Name": f"tag:{tag}", "Values": [value]}],
            **more,
        )

    def _cut_volume(self, order: CutOrder, source: Source, own: Mapping[str, str]) -> tuple[NativeSnapshot, ...]:
        volume, vault = source.source_id, native_vault_name(order.account, order.region)
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        with mapped("ec2 CreateSnapshot", resource=volume, vault=vault, mutates=True):
            made = client.create_snapshot(
                VolumeId=volume, TagSpecifications=_on_snapshot(carried_tags(own, source.tags))
            )
        named_in(made, "SnapshotId", "ec2 CreateSnapshot", volume, vault)
        with legible("ec2 CreateSnapshot", vault, mutates=True):
            return (_snapshot(made, order.account, order.region),)

    def _cut_set(
        self, order: CutOrder, members: Sequence[Source], own: Mapping[str, str]
    ) -> tuple[NativeSnapshot, ...]:
        instance, vault = members[0].instance, native_vault_name(order.account, order.region)
        only = _only(members, self._instance(instance, order.account, order.region), vault)
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        with mapped("ec2 CreateSnapshots", resource=instance, vault=vault, mutates=True):
            reply = client.create_snapshots(InstanceSpecification=only, **_set_tags(own, members))
        made_set = named_in(reply, "Snapshots", "ec2 CreateSnapshots", instance, vault)
        with legible("ec2 CreateSnapshots", vault, mutates=True):
            return tuple(_snapshot(made, order.account, order.region) for made in made_set)

    def _instance(self, instance: str, account: str, region: str) -> Mapping[str, Any]:
        vault = native_vault_name(account, region)
        client = self._accounts.client("ec2", account, region)
        with mapped("ec2 DescribeInstances", resource=instance, vault=vault):
            reply = client.describe_instances(InstanceIds=[instance])
        found = [entry for group in reply.get("Reservations", ()) for entry in group.get("Instances", ())]
        if not found:
            raise Unavailable(
                "the reply does not hold the instance",
                operation="ec2 DescribeInstances",
                resource=instance,
                vault=vault,
            )
        entry: Mapping[str, Any] = found[0]
        return entry


def _only(members: Sequence[Source], instance: Mapping[str, Any], vault: str) -> dict[str, Any]:
    """The instance specification that takes exactly `members`: CreateSnapshots takes every volume unless told."""
    where = {"operation": "ec2 CreateSnapshots", "resource": members[0].instance, "vault": vault}
    attached = {
        mapping["Ebs"]["VolumeId"]: mapping.get("DeviceName", "")
        for mapping in instance.get("BlockDeviceMappings", ())
        if mapping.get("Ebs", {}).get("VolumeId")
    }
    wanted = {member.source_id for member in members}
    if gone := sorted(wanted - attached.keys()):
        raise Unavailable(
            "a volume left its instance after it was listed; the next pass sees where it is",
            cause=", ".join(gone),
            **where,
        )
    boot = {volume for volume, device in attached.items() if device == instance.get("RootDeviceName")}
    others = sorted(attached.keys() - wanted - boot)
    if len(others) > MOST_EXCLUDED:
        raise Refused(
            f"the instance has {len(others)} unselected data volumes; one call leaves out at most {MOST_EXCLUDED}",
            hint="select more of its volumes, or one per resource: a single volume needs no exclusion",
            **where,
        )
    only: dict[str, Any] = {"InstanceId": members[0].instance}
    if boot - wanted:
        only["ExcludeBootVolume"] = True
    if others:
        only["ExcludeDataVolumeIds"] = others
    return only


def _tags_of(options: object) -> Mapping[str, str]:
    if not isinstance(options, Options):
        raise TypeError(f"ebs takes its own options, not {type(options).__name__}")
    return options.select.tags


def _on_snapshot(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": "snapshot", "Tags": tag_list(tags)}]


def _set_tags(own: Mapping[str, str], members: Sequence[Source]) -> dict[str, Any]:
    """The tag parameters of one CreateSnapshots call.

    TagSpecifications put the same tags on every snapshot of the set; only CopyTagsFromSource tells members apart, and
    it copies all or nothing. So: volumes tagged alike get ours and theirs; volumes that differ get ours and, by
    CopyTagsFromSource, each its own, where nothing would clash and all fits under the ceiling; otherwise ours and what
    they have in common.
    """
    theirs = [user_tags(member.tags) for member in members]
    common = dict(set.intersection(*(set(tags.items()) for tags in theirs)))
    if any(tags != common for tags in theirs) and all(
        len(member.tags) + len(own) <= MOST_TAGS and not any(key.startswith("drorch:") for key in member.tags)
        for member in members
    ):
        return {"TagSpecifications": _on_snapshot(own), "CopyTagsFromSource": "volume"}
    return {"TagSpecifications": _on_snapshot(carried_tags(own, common))}


def _source(volume: Mapping[str, Any]) -> Source:
    attached = sorted(
        (attachment["InstanceId"], attachment.get("Device", ""))
        for attachment in volume.get("Attachments", ())
        if attachment.get("InstanceId") and attachment.get("State") in ("attached", "busy")
    )
    instance, device = attached[0] if attached else ("", "")
    facts = {"type": "VolumeType", "iops": "Iops", "throughput": "Throughput", "gib": "Size"}
    tags = tag_map(volume.get("Tags"))
    return Source(
        source_id=volume["VolumeId"],
        bytes=volume.get("Size", 0) * GIB,
        encrypted=volume.get("Encrypted", False),
        kms_key=volume.get("KmsKeyId", ""),
        instance=instance,
        device=device,
        zone=volume.get("AvailabilityZone", ""),
        tags={key: value for key, value in tags.items() if not key.lower().startswith("aws:")},
        identity=volume["VolumeId"],
        settings={name: volume[field] for name, field in facts.items() if volume.get(field) is not None},
    )


def _alone(entry: Mapping[str, Any]) -> bool:
    """Whether a listed snapshot is there, and no part of an image: those are of another kind."""
    return entry.get("State") != IN_THE_BIN and TAG_IMAGE not in tag_map(entry.get("Tags"))


def _snapshot(entry: Mapping[str, Any], account: str, region: str) -> NativeSnapshot:
    """A snapshot of a listing or of a creating call's reply; CreateSnapshots may answer without a state."""
    tags = tag_map(entry.get("Tags"))
    state = entry.get("State") or "pending"
    started = entry.get("StartTime")
    return NativeSnapshot(
        native_id=entry["SnapshotId"],
        account=account,
        region=region,
        service=EbsSnapshots.service,
        state=SNAPSHOT_STATES.get(state, "failed"),
        tags=tags,
        # A copy shows an arbitrary volume id (EC2 API, CopySnapshot): it says nothing.
        source_id="" if TAG_SOURCE in tags else entry.get("VolumeId", ""),
        started=floor_second(started) if started else None,
        bytes=entry.get("VolumeSize", 0) * GIB,
        encrypted=entry.get("Encrypted", False),
        kms_key=entry.get("KmsKeyId", ""),
        progress=percent(entry.get("Progress") or ""),
        why="" if state in SNAPSHOT_STATES else entry.get("StateMessage") or f"state {state}",
    )


def _is_copy(entry: Mapping[str, Any]) -> bool:
    tagged = any(tag.get("Key") == TAG_SOURCE for tag in entry.get("Tags") or ())
    return bool(entry.get("TransferType")) or tagged or entry.get("VolumeId") == _VOLUME_OF_COPIES
