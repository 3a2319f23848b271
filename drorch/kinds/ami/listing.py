"""What EC2 lists as drorch sees it: images with the snapshots that they are made of, instances with their volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drorch.domain.catalogue_native import TAG_IMAGE, TAG_POINT, TAG_SOURCE
from drorch.domain.instant import floor_second
from drorch.domain.native import IMAGE, PART, NativeSnapshot, Part, Source
from drorch.kinds import GIB, IN_THE_BIN, SNAPSHOT_STATES, percent, tag_map

_SERVICE = "ec2"
_GONE = "deregistered"
_UNDER_WAY = ("pending", "transient")
_FACTS = {
    "type": "InstanceType",
    "image": "ImageId",
    "subnet": "SubnetId",
    "vpc": "VpcId",
    "key_name": "KeyName",
    "architecture": "Architecture",
    "platform": "PlatformDetails",
    "boot_mode": "BootMode",
}

Entry = Mapping[str, Any]


def seen(images: Sequence[Entry], snapshots: Sequence[Entry], account: str, region: str) -> list[NativeSnapshot]:
    """Every image that is registered, with its snapshots; then the snapshots that none of them is made of.

    Raises KeyError for an entry without its id.
    """
    there = {entry["SnapshotId"]: entry for entry in snapshots if entry.get("State") != IN_THE_BIN}
    of_points: dict[str, dict[str, Entry]] = {}
    for native_id, entry in there.items():
        of_points.setdefault(tag_map(entry.get("Tags")).get(TAG_POINT, ""), {})[native_id] = entry
    found = [_image(entry, of_points, account, region) for entry in images if entry.get("State") != _GONE]
    used = {part.native_id for image in found for part in image.parts}
    return found + [_part(entry, account, region) for native_id, entry in there.items() if native_id not in used]


def _image(entry: Entry, of_points: Mapping[str, Mapping[str, Entry]], account: str, region: str) -> NativeSnapshot:
    tags, mapping = tag_map(entry.get("Tags")), _mapping(entry)
    of_point = of_points.get(tags.get(TAG_POINT, ""), {})
    own = {name: snapshot for name, snapshot in of_point.items() if name in mapping or _is_to_be_of(snapshot, entry)}
    state, why = _state(entry, mapping, own)
    started = min((at for s in own.values() if (at := s.get("StartTime"))), default=None)
    if started is None and state == "failed":
        started = _created(entry)  # a copy that failed may show no snapshot; its next try waits from then on
    return NativeSnapshot(
        native_id=entry["ImageId"],
        account=account,
        region=region,
        service=_SERVICE,
        state=state,
        tags=tags,
        source_id="" if TAG_SOURCE in tags else entry.get("SourceInstanceId", ""),
        started=floor_second(started) if started else None,
        bytes=sum(s.get("VolumeSize", 0) for s in own.values()) * GIB,
        encrypted=any(s.get("Encrypted", False) for s in own.values()),
        kms_key=next((key for name in sorted(own) if (key := own[name].get("KmsKeyId", ""))), ""),
        progress=min((percent(s.get("Progress") or "") for s in own.values()), default=0),
        why=why,
        role=IMAGE,
        parts=tuple(_as_part(name, own[name], mapping.get(name, "")) for name in sorted(own)),
    )


def _is_to_be_of(snapshot: Entry, image: Entry) -> bool:
    """An image that is not ready may not tell yet what it is made of: the name that the snapshot bears decides."""
    ready = image.get("State") in ("available", "disabled")
    return not ready and tag_map(snapshot.get("Tags")).get(TAG_IMAGE, "") == image.get("Name")


def _mapping(image: Entry) -> dict[str, str]:
    """Snapshot -> the device that the image gives it."""
    return {
        block["Ebs"]["SnapshotId"]: block.get("DeviceName", "")
        for block in image.get("BlockDeviceMappings", ())
        if block.get("Ebs", {}).get("SnapshotId")
    }


def _state(image: Entry, mapping: Mapping[str, str], own: Mapping[str, Entry]) -> tuple[str, str]:
    """`usable` when the image is available and every snapshot of it is there and completed; else why it is not."""
    state = image.get("State") or "pending"
    if state in _UNDER_WAY:
        return "pending", ""
    if state == "disabled":
        return "failed", "the image is disabled; EnableImage makes it usable again"
    if state != "available":
        reason = image.get("StateReason") or {}
        return "failed", reason.get("Message") or f"state {state}"
    if not mapping:
        return "pending", "the image names no snapshot that it is made of"
    if unseen := sorted(mapping.keys() - own.keys()):
        return "pending", f"{', '.join(unseen)} of the image is not seen with the point's tags"
    states = {name: snapshot.get("State") or "pending" for name, snapshot in own.items()}
    broken = [name for name, of in sorted(states.items()) if of not in SNAPSHOT_STATES]
    if broken:
        return "failed", "; ".join(f"{n}: {own[n].get('StateMessage') or f'state {states[n]}'}" for n in broken)
    return ("usable" if {SNAPSHOT_STATES[of] for of in states.values()} == {"usable"} else "pending"), ""


def _created(image: Entry) -> datetime | None:
    """``2026-11-20T09:00:00.000Z``: the API gives it as a text."""
    try:
        created = datetime.fromisoformat(str(image.get("CreationDate", "")))
        return created.astimezone(UTC) if created.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _as_part(native_id: str, snapshot: Entry, device: str) -> Part:
    copied = TAG_SOURCE in tag_map(snapshot.get("Tags"))
    return Part(
        native_id=native_id,
        # A copy shows an arbitrary volume id (EC2 API, CopySnapshot): it says nothing.
        source_id="" if copied else snapshot.get("VolumeId", ""),
        device=device,
        bytes=snapshot.get("VolumeSize", 0) * GIB,
        encrypted=snapshot.get("Encrypted", False),
    )


def _part(snapshot: Entry, account: str, region: str) -> NativeSnapshot:
    """A snapshot whose image is gone, or not seen yet."""
    tags, started = tag_map(snapshot.get("Tags")), snapshot.get("StartTime")
    state = snapshot.get("State") or "pending"
    return NativeSnapshot(
        native_id=snapshot["SnapshotId"],
        account=account,
        region=region,
        service=_SERVICE,
        state=SNAPSHOT_STATES.get(state, "failed"),
        tags=tags,
        source_id="" if TAG_SOURCE in tags else snapshot.get("VolumeId", ""),
        started=floor_second(started) if started else None,
        bytes=snapshot.get("VolumeSize", 0) * GIB,
        encrypted=snapshot.get("Encrypted", False),
        kms_key=snapshot.get("KmsKeyId", ""),
        progress=percent(snapshot.get("Progress") or ""),
        why="" if state in SNAPSHOT_STATES else snapshot.get("StateMessage") or f"state {state}",
        role=PART,
    )


def source_of(instance: Entry, volumes: Mapping[str, Entry]) -> Source:
    """An instance as a source, with what a restore needs of it. Raises KeyError for one without its id."""
    blocks = instance.get("BlockDeviceMappings", ())
    attached = [volumes[name] for block in blocks if (name := block.get("Ebs", {}).get("VolumeId")) and name in volumes]
    settings: dict[str, object] = {name: instance[field] for name, field in _FACTS.items() if instance.get(field)}
    settings["security_groups"] = sorted(group["GroupId"] for group in instance.get("SecurityGroups", ()))
    if profile := instance.get("IamInstanceProfile", {}).get("Arn"):
        settings["instance_profile"] = profile
    return Source(
        source_id=instance["InstanceId"],
        bytes=sum(volume.get("Size", 0) for volume in attached) * GIB,
        encrypted=any(volume.get("Encrypted", False) for volume in attached),
        kms_key=next((key for volume in attached if (key := volume.get("KmsKeyId", ""))), ""),
        instance=instance["InstanceId"],
        device=instance.get("RootDeviceName", ""),
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        tags={k: v for k, v in tag_map(instance.get("Tags")).items() if not k.lower().startswith("aws:")},
        identity=instance["InstanceId"],
        settings=settings,
    )
