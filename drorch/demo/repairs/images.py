"""EC2 images: made of a snapshot of every volume, tagged with them, and ready when those are.

Written from the API model and pages of CreateImage, CopyImage, DescribeImages and DeregisterImage.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameterDependency
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import random_ami_id

from drorch.demo.repairs.ec2 import copied, copyable, in_pages, require_place
from drorch.demo.repairs.replacing import around, instead_of

_FORCED = frozenset({"disabled", "failed"})
_ami: Any = Ami


@around(Ami, "__init__")
def _init(original: Any, self: Any, ec2_backend: Any, *args: Any, **given: Any) -> None:
    """moto gives every image a snapshot of a volume that nobody has; ours are made of `mapping`, device -> snapshot."""
    self.mapping = {}
    original(self, ec2_backend, *args, **given)
    ec2_backend.snapshots.pop(self.ebs_snapshot.id, None)


def _read_state(self: Any) -> str:
    """An image is ready when its snapshots are, and fails with them."""
    if forced := self.__dict__.get("_forced_state"):
        return str(forced)
    states = {snapshot.status for snapshot in self.mapping.values()}
    if "error" in states:
        return "failed"
    return "pending" if "pending" in states else "available"


def _write_state(self: Any, value: str) -> None:
    self.__dict__["_forced_state"] = value if value in _FORCED else None


def _reason(self: Any) -> dict[str, str] | None:
    if self.state != "failed":
        return None
    of_snapshots = (snapshot.state_message for snapshot in self.mapping.values() if snapshot.state_message)
    message = self.__dict__.get("state_message") or next(of_snapshots, "Client error")
    return {"Code": "Client.InternalError", "Message": str(message)}


def _shown_mapping(self: Any) -> list[dict[str, Any]]:
    """An image that is still being made does not tell what it is made of."""
    return [] if self.state == "pending" else blocks(self)


def blocks(image: Any) -> list[dict[str, Any]]:
    """The block device mappings of an image, as RunInstances takes them."""
    return [
        {
            "DeviceName": device,
            "Ebs": {
                "SnapshotId": snapshot.id,
                "VolumeSize": snapshot.volume.size,
                "Encrypted": snapshot.encrypted,
                "DeleteOnTermination": False,
                "VolumeType": "gp3",
            },
        }
        for device, snapshot in image.mapping.items()
    ]


_ami.state = _ami.status = property(_read_state, _write_state)
_ami.failed_status = "failed"
_ami.state_reason = property(_reason)
_ami.block_device_mappings = property(_shown_mapping)
_ami.used_snapshots = property(lambda self: {snapshot.id for snapshot in self.mapping.values()})


@around(Ami, "get_filter_value")
def _get_filter_value(original: Any, self: Any, filter_name: str, *rest: Any) -> Any:
    if filter_name == "block-device-mapping.snapshot-id":
        return sorted(self.used_snapshots)
    return original(self, filter_name, *rest)


@instead_of(AmisResponse, "create_image")
def _create_image(self: Any) -> ActionResult:
    """A snapshot of every volume of the instance, all with the same tags; a name is taken once per region."""
    name, backend = self._get_param("Name"), self.ec2_backend
    tags = _tags(self)
    instance = backend.get_instance(self._get_param("InstanceId"))
    self.error_on_dryrun()
    _require_free(backend, name)
    image: Any = Ami(
        backend,
        random_ami_id(),
        instance=instance,
        name=name,
        description=self._get_param("Description", ""),
        root_device_name=instance.root_device_name,
        root_device_type="ebs",
    )
    for device, block in instance.get_block_device_mapping:
        snapshot = backend.create_snapshot(block.volume_id, f"Created by CreateImage({instance.id}) for {image.id}")
        snapshot.add_tags(tags.get("snapshot", {}))
        image.mapping[device] = snapshot
    return _made(backend, image, tags)


@instead_of(AmisResponse, "copy_image")
def _copy_image(self: Any) -> ActionResult:
    """A copy of every snapshot; a ClientToken that was used names the same image again, whatever became of it."""
    backend, tags = self.ec2_backend, _tags(self)
    asked, token = self._get_param("KmsKeyId"), self._get_param("ClientToken")
    encrypt = self._get_bool_param("Encrypted", False)
    if asked and not encrypt:
        raise InvalidParameterDependency("KmsKeyId", "Encrypted")
    source_id, region, name = (self._get_param(key) for key in ("SourceImageId", "SourceRegion", "Name"))
    wanted = (source_id, region, name, asked, encrypt)
    tokens = backend.__dict__.setdefault("copy_image_tokens", {})
    if token in tokens:
        if tokens[token][0] != wanted:
            raise EC2ClientError("IdempotentParameterMismatch", "The token was used with other parameters")
        return ActionResult({"ImageId": tokens[token][1]})
    source: Any = _copyable_image(backend, source_id, region)
    if source.state != "available":
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '[{source_id}]' is not available")
    for snapshot in source.mapping.values():
        copyable(backend, snapshot.id, region)
    self.error_on_dryrun()
    require_place(backend)
    image: Any = Ami(
        backend,
        random_ami_id(),
        source_ami=source,
        name=name,
        description=self._get_param("Description"),
        root_device_name=source.root_device_name,
        root_device_type="ebs",
    )
    for device, snapshot in source.mapping.items():
        image.mapping[device] = copied(backend, snapshot.id, region, asked=asked, encrypt=encrypt)
        image.mapping[device].add_tags(tags.get("snapshot", {}))
    tokens[token] = wanted, image.id
    return _made(backend, image, tags)


def _copyable_image(backend: Any, source_id: str, region: str) -> Any:
    """The account's own image of `region`, or another's that it may launch (EC2 user guide, "Copy an Amazon EC2 AMI");
    its snapshots must be shared, too.
    """
    for owner, regions in ec2_backends.items():
        image: Any = regions[region].amis.get(source_id) if owner != backend.account_id and region in regions else None
        if image is not None and {"UserId": backend.account_id} in image.launch_permissions:
            return image
    return ec2_backends[backend.account_id][region].describe_images(ami_ids=[source_id])[0]


@around(AmiBackend, "modify_image_attribute")
def _modify_image_attribute(original: Any, self: Any, ami_id: str, **given: Any) -> Any:
    """moto trips over an image that is gone."""
    if ami_id not in self.amis:
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '[{ami_id}]' is no longer available")
    return original(self, ami_id=ami_id, **given)


@around(AmisResponse, "register_image")
def _register_image(original: Any, self: Any) -> Any:
    """An image uses the snapshots that it was registered with; moto forgets those."""
    mappings = self._get_param("BlockDeviceMappings", [])
    used = {m.get("DeviceName", ""): m["Ebs"]["SnapshotId"] for m in mappings if m.get("Ebs", {}).get("SnapshotId")}
    snapshots = {device: self.ec2_backend.get_snapshot(snapshot_id) for device, snapshot_id in used.items()}
    _require_free(self.ec2_backend, self._get_param("Name"))
    reply = original(self)
    self.ec2_backend.amis[reply.result["ImageId"]].mapping = snapshots
    return reply


@instead_of(AmisResponse, "describe_images")
def _describe_images(self: Any) -> ActionResult:
    """In pages, and without disabled images unless they are asked for."""
    self.error_on_dryrun()
    ids = self._get_param("ImageIds", [])
    found = self.ec2_backend.describe_images(
        ami_ids=ids,
        filters=self._filters_from_querystring(),
        exec_users=self._get_param("ExecutableUsers", []),
        owners=self._get_param("Owners", []),
    )
    if not self._get_bool_param("IncludeDisabled", False):
        found = [image for image in found if image.state != "disabled"]
    return in_pages(self, "Images", found, by_id=bool(ids))


def _tags(response: Any) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = response._parse_tag_specification()
    if other := sorted(tags.keys() - {"image", "snapshot"}):
        raise EC2ClientError("InvalidParameterValue", f"{', '.join(other)} is not a valid resource type here")
    return tags


def _require_free(backend: Any, name: str) -> None:
    taken = next((image.id for image in backend.amis.values() if image.name == name), None)
    if taken:
        raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {taken}")


def _made(backend: Any, image: Any, tags: dict[str, dict[str, str]]) -> ActionResult:
    image.add_tags(tags.get("image", {}))
    backend.amis[image.id] = image
    return ActionResult({"ImageId": image.id})
