"""EBS volumes: made once per client token, in states that take time, attached where there is room.

Written from the API model and pages of CreateVolume, AttachVolume and DescribeVolumes.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from drorch.demo.repairs import states
from drorch.demo.repairs.replacing import around
from drorch.demo.repairs.tokens import once

VOLUME = "ec2::volume"
_RATES = range(100, 301)
"""MiB/s (EC2 API, CreateVolume, VolumeInitializationRate)."""

_volume: Any = Volume
states.manage(_volume, VOLUME, [("creating", "available")], failed="error")
_managed: Any = _volume.status
_volume.volume_initialization_rate = None


@around(Volume, "__init__")
def _init(original: Any, self: Any, *args: Any, **given: Any) -> None:
    original(self, *args, **given)
    self.status = "creating"


def _status(self: Any) -> str:
    """A volume that was launched with an instance is in use from the start."""
    return "in-use" if self.attachment else str(_managed.fget(self))


_volume.status = property(_status, _managed.fset)


@around(ElasticBlockStore, "create_volume")
def _create_volume(original: Any, self: Any) -> Any:
    rate = self._get_int_param("VolumeInitializationRate")
    if rate is not None and (rate not in _RATES or not self._get_param("SnapshotId")):
        raise EC2ClientError("InvalidParameterValue", f"VolumeInitializationRate {rate} does not fit this volume")

    def make() -> Any:
        result = original(self)
        result.result.volume_initialization_rate = rate
        return result

    return once(self, make)


@around(ElasticBlockStore, "attach_volume")
def _attach_volume(original: Any, self: Any) -> ActionResult:
    """An available volume, in the instance's zone, under a name that is free."""
    backend, device = self.ec2_backend, self._get_param("Device")
    volume, instance = (
        backend.get_volume(self._get_param("VolumeId")),
        backend.get_instance(self._get_param("InstanceId")),
    )
    if volume.attachment:
        raise EC2ClientError("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.status != "available":
        raise EC2ClientError("IncorrectState", f"Volume '{volume.id}' is not 'available'.")
    if volume.availability_zone != instance.availability_zone:
        raise EC2ClientError("InvalidVolume.ZoneMismatch", f"The volume '{volume.id}' is not in the instance's zone")
    if device in instance.block_device_mapping:
        message = f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        raise EC2ClientError("InvalidParameterValue", message)
    result: ActionResult = original(self)
    return result
