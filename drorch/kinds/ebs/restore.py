"""EBS volumes out of the snapshots of a copy, attached to an instance where that is asked for.

CreateVolume takes a client token (EC2 API): of one restore and one snapshot there is one volume, however often and from
wherever it is asked for. AttachVolume takes none; where a volume is attached is looked at before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drorch.aws import code_of, mapped
from drorch.domain.catalogue_native import TAG_IMAGE
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import FAILED, READY, Made, NativeRestore, RestorePart, RestoreProgress
from drorch.kinds import KEY_PERMISSIONS, check_kms_key, legible, named_in, restored_tags, tag_list, tag_map
from drorch.kinds.ebs.volumes import RestoreOptions as RestoreOptions
from drorch.kinds.ebs.volumes import devices_for, differences, shape_of
from drorch.kinds.ec2_restoring import PERMISSIONS as SHARED
from drorch.kinds.ec2_restoring import (
    Entry,
    attachments,
    begun_otherwise,
    described,
    discard_volumes,
    require_drill,
    token,
    volume_made,
    volumes_bearing,
)

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

RESTORE_PERMISSIONS = (
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeSnapshots",
    "ec2:CreateVolume",
    "ec2:CreateTags",  # tags in the creating call are authorised as this action (EC2 user guide)
    "ec2:AttachVolume",
    *SHARED,
    *KEY_PERMISSIONS,
)
"""Every call that a restore into volumes makes; volumes of drills are deleted, and none else."""

_ALIVE = ("pending", "running", "stopping", "stopped")
_LAZY = (
    "blocks are fetched when they are first read: the volumes are slow until then "
    "(initialization_rate: 300 fetches them at once)"
)


class RestoresVolumes:
    """How `ebs` brings a copy back (RestoresSnapshots): one volume of each snapshot. `failed` is EC2's `error`."""

    _accounts: AwsAccounts

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """Whether zone, key, instance and every snapshot are there, and fit; the differences to what was recorded."""
        there = self._volumes(order)
        self._require(order, [part for part in order.parts if part.native_id not in there])
        return _differences(order)

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """Make the volumes that are missing, then attach those that are available. A volume whose id EC2 has given out
        and that no listing shows yet counts as creating.
        """
        options, there = _options(order), self._volumes(order)
        missing = [part for part in order.parts if part.native_id not in there]
        unseen = set()
        if missing:
            snapshots = self._require(order, missing)
            for part in missing:
                there[part.native_id] = [self._create(order, part, snapshots[part.native_id])]
                unseen.add(there[part.native_id][0]["VolumeId"])
        volumes = [there[part.native_id][0] for part in order.parts]
        made = tuple(volume_made(v, part.source_id) for v, part in zip(volumes, order.parts, strict=True))
        # For a token that it knows EC2 names the volume of then, though somebody may have deleted it.
        waited = [
            f"{each.native_id} is {each.detail}" for each in made if each.state != READY or each.native_id in unseen
        ]
        if waited:
            return RestoreProgress(made, done=False, waiting=", ".join(waited))
        if options.attach is not None and (attaching := self._attach(order, volumes, options.attach.instance)):
            return RestoreProgress(made, done=False, waiting=", ".join(attaching))
        return RestoreProgress(made, done=True, notes=_notes(order, there))

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """Volumes, but for those of instances that a restore of kind `ami` made."""
        found = volumes_bearing(self._accounts, account, region, tag, restore)
        return tuple((tag_map(v.get("Tags"))[tag], volume_made(v)) for v in found if not _of_image(v))

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """Delete a drill's volumes; one that is attached stays until it is detached. Refused for any other tag."""
        require_drill("discard volumes", account, region, tag, restore)
        found = volumes_bearing(self._accounts, account, region, tag, restore)
        return discard_volumes(self._accounts, account, region, [v for v in found if not _of_image(v)])

    def _volumes(self, order: NativeRestore) -> dict[str, list[Entry]]:
        """Snapshot -> the volumes of this restore that were made of it, the one to go on with first."""
        found: dict[str, list[Entry]] = {}
        bearing = volumes_bearing(self._accounts, order.account, order.region, order.tag, order.id)
        for volume in sorted(bearing, key=lambda v: (volume_made(v).state == FAILED, str(v["VolumeId"]))):
            if not _of_image(volume):
                found.setdefault(str(volume.get("SnapshotId", "")), []).append(volume)
        return found

    def _require(self, order: NativeRestore, missing: Sequence[RestorePart]) -> Mapping[str, Entry]:
        """The snapshots of what is missing. Refused and NotFound for all that could not be made so."""
        options, vault = _options(order), native_vault_name(order.account, order.region)
        client = self._accounts.client("ec2", order.account, order.region)
        if not order.parts:
            raise Refused("the copy holds no snapshot", operation="ec2 CreateVolume", resource=order.point, vault=vault)
        for part in order.parts:
            shape_of(part, options)
        _require_zone(client, options.zone, vault)
        if options.kms_key:
            check_kms_key(self._accounts, order.account, order.region, options.kms_key)
        if options.attach is not None:
            used = _devices(self._target(order, options.attach.instance))
            devices_for([(part.native_id, part.device) for part in missing], used)
        return _snapshots(client, [part.native_id for part in missing], vault)

    def _create(self, order: NativeRestore, part: RestorePart, snapshot: Entry) -> Entry:
        """CreateVolume; repeated by the SDK, for its token makes that harmless."""
        options, vault = _options(order), native_vault_name(order.account, order.region)
        client, operation = self._accounts.client("ec2", order.account, order.region), "ec2 CreateVolume"
        with begun_otherwise(order), mapped(operation, resource=part.native_id, vault=vault, mutates=True):
            reply: Entry = client.create_volume(**_request(order, part, snapshot, options))
        named_in(reply, "VolumeId", operation, part.native_id, vault)
        return reply

    def _target(self, order: NativeRestore, instance: str) -> Entry:
        """The instance that volumes are to be attached to. Refused unless it is there, alive and in the zone."""
        vault, zone = native_vault_name(order.account, order.region), _options(order).zone
        client = self._accounts.client("ec2", order.account, order.region)
        hint = "attach: {instance: ID} names one that is there, or leave attach: out and attach by hand"
        found = described(client, "describe_instances", "Reservations", vault, hint, InstanceIds=[instance])
        entries: list[Entry] = [entry for group in found for entry in group.get("Instances", ())]
        said = {"operation": "ec2 AttachVolume", "resource": instance, "vault": vault}
        if not entries:
            raise Unavailable("the reply does not hold the instance", **said)
        state = entries[0].get("State", {}).get("Name", "")
        if state not in _ALIVE:
            raise Refused(f"the instance is {state}", hint=hint, **said)
        there = entries[0].get("Placement", {}).get("AvailabilityZone", "")
        if there != zone:
            raise Refused(f"the instance is in {there}, the volumes in {zone}", hint=f"zone: {there}", **said)
        return entries[0]

    def _attach(self, order: NativeRestore, volumes: Sequence[Entry], instance: str) -> list[str]:
        """AttachVolume of those that are nowhere; what is waited for then, nothing when each is where it belongs.

        One that somebody has attached elsewhere stays there.
        """
        loose = [volume for volume in volumes if not attachments(volume)]
        under_way = [f"{v['VolumeId']} is being attached" for v in volumes if _attaching(v)]
        if not loose:
            return under_way
        used = _devices(self._target(order, instance))
        used += [device for volume in volumes for where, device in attachments(volume) if where == instance]
        recorded = {part.native_id: part.device for part in order.parts}
        wanted = [(str(v["VolumeId"]), recorded[str(v.get("SnapshotId"))]) for v in loose]
        for volume, device in devices_for(wanted, used).items():
            self._attach_one(order, volume, instance, device)
        return [f"{volume} is being attached" for volume, _ in wanted] + under_way

    def _attach_one(self, order: NativeRestore, volume: str, instance: str, device: str) -> None:
        """AttachVolume. One that is attached by now is left where it is: the next look shows where. Unavailable when
        something else has taken the name since the instance was looked at.
        """
        vault = native_vault_name(order.account, order.region)
        client = self._accounts.client("ec2", order.account, order.region, repeatable=False)
        said = {"operation": "ec2 AttachVolume", "resource": volume, "vault": vault}
        try:
            with mapped(said["operation"], resource=volume, vault=vault, mutates=True):
                client.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        except Refused as error:
            if code_of(error) == "VolumeInUse":
                return
            if "already in use" not in error.cause:
                raise
            raise Unavailable(
                f"{device} was taken meanwhile; the next look chooses", cause=error.cause, **said
            ) from error


def _options(order: NativeRestore) -> RestoreOptions:
    if not isinstance(order.options, RestoreOptions):
        raise TypeError(f"ebs takes its own options of a restore, not {type(order.options).__name__}")
    return order.options


def _devices(instance: Entry) -> list[str]:
    """The names that are in use on an instance."""
    return [str(block.get("DeviceName", "")) for block in instance.get("BlockDeviceMappings", ())]


def _of_image(volume: Entry) -> bool:
    return TAG_IMAGE in tag_map(volume.get("Tags"))


def _attaching(volume: Entry) -> bool:
    return any(attachment.get("State") in ("attaching", "busy") for attachment in volume.get("Attachments") or ())


def _require_zone(client: Any, zone: str, vault: str) -> None:
    """Refused, with the zones there are, for one that is not of the region, not opted into or not available."""
    operation = "ec2 DescribeAvailabilityZones"
    with mapped(operation, vault=vault):
        reply = client.describe_availability_zones()
    with legible(operation, vault):
        zones = {entry["ZoneName"]: entry.get("State", "") for entry in reply["AvailabilityZones"]}
    if zones.get(zone) == "available":
        return
    there = sorted(name for name, state in zones.items() if state == "available")
    raise Refused(
        f"zone {zone} is {zones[zone]}" if zone in zones else f"there is no zone {zone} in the copy's region",
        operation="ec2 CreateVolume",
        resource=zone,
        vault=vault,
        hint=f"zone: one of {', '.join(there)}" if there else "no zone of the region is available: wait",
    )


def _snapshots(client: Any, wanted: Sequence[str], vault: str) -> Mapping[str, Entry]:
    """Snapshot id -> how it is shown now. NotFound, Unavailable (not complete yet) and Refused (archived, failed)."""
    if not wanted:
        return {}
    hint = "the copy is not whole any more: choose another copy, or another point"
    listed = described(client, "describe_snapshots", "Snapshots", vault, hint, SnapshotIds=list(wanted))
    with legible("ec2 DescribeSnapshots", vault):
        found: dict[str, Entry] = {entry["SnapshotId"]: entry for entry in listed}
    for name in wanted:
        said = {"operation": "ec2 CreateVolume", "resource": name, "vault": vault}
        if name not in found:
            raise Unavailable("the reply does not hold the snapshot", **said)
        state = found[name].get("State") or "pending"
        if state in ("pending", "recovering"):
            raise Unavailable("the snapshot is not complete yet", cause=f"state {state}", **said)
        if found[name].get("StorageTier") == "archive":
            way = "restore it from the archive first (aws ec2 restore-snapshot-tier, hours), or choose another copy"
            raise Refused("the snapshot is archived", hint=way, **said)
        if state != "completed":
            raise Refused("no volume can be made of the snapshot", cause=f"state {state}", hint=hint, **said)
    return found


def _request(order: NativeRestore, part: RestorePart, snapshot: Entry, options: RestoreOptions) -> dict[str, Any]:
    shape = shape_of(part, options)
    tags = restored_tags(order, tag_map(snapshot.get("Tags")))
    numbers = {
        "Iops": shape.iops,
        "Throughput": shape.throughput,
        "VolumeInitializationRate": options.initialization_rate or 0,
    }
    request: dict[str, Any] = {
        "AvailabilityZone": options.zone,
        "SnapshotId": part.native_id,
        "VolumeType": shape.type,
        "ClientToken": token(order, part.native_id),
        "TagSpecifications": [{"ResourceType": "volume", "Tags": tag_list(tags)}],
        **{name: number for name, number in numbers.items() if number},
    }
    if options.kms_key:
        request |= {"Encrypted": True, "KmsKeyId": options.kms_key}
    return request


def _differences(order: NativeRestore) -> tuple[str, ...]:
    options = _options(order)
    return tuple(said for part in order.parts for said in differences(part, options))


def _notes(order: NativeRestore, there: Mapping[str, Sequence[Entry]]) -> tuple[str, ...]:
    options, said = _options(order), list(_differences(order))
    instance = options.attach.instance if options.attach is not None else ""
    for part in order.parts:
        volume, *surplus = there[part.native_id]
        name = volume["VolumeId"]
        said += [f"{other['VolumeId']} is a second volume of {part.native_id}: nobody needs it" for other in surplus]
        for where, device in attachments(volume) if instance else ():
            if where != instance:
                said.append(f"{name} was attached to {where} by somebody, not to {instance}")
            elif device != part.device:
                said.append(f"{name} is {device} of {instance}; it was {part.device or 'of no recorded device'}")
    if not options.initialization_rate:
        said.append(_LAZY)
    return tuple(said)
