"""EC2 instances: launched once per client token, with the volumes of their image, where there is capacity; they boot.

Written from the API model and pages of RunInstances, DescribeInstances and its error codes.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend, InstanceState, StateReason
from moto.ec2.responses.instances import InstanceResponse

from drorch.demo.repairs import images, offers, states
from drorch.demo.repairs.replacing import around
from drorch.demo.repairs.tokens import once

INSTANCE = "ec2::instance"
_WORDS = {
    "InsufficientInstanceCapacity": "We currently do not have sufficient capacity in the zone you requested",
    "Unsupported": "Your requested instance type is not supported in the zone you requested",
}

_instance: Any = Instance
states.manage(_instance, INSTANCE, [("pending", "running")], failed="terminated")


def _read_state(self: Any) -> Any:
    """Pending until it has booted; what becomes of it then, or before, is moto's."""
    state = self.__dict__["_shown_state"]
    if state.name == "pending" and self.status == "running":
        state.name, state.code = "running", 16
    return state


def _write_state(self: Any, value: Any) -> None:
    self.__dict__["_shown_state"] = value


_instance._state = property(_read_state, _write_state)


@around(Instance, "__init__")
def _init(original: Any, self: Any, *args: Any, **given: Any) -> None:
    original(self, *args, **given)
    self.status = "pending"
    self._state = InstanceState()


def fail(instance: Any, code: str, message: str) -> None:
    """The instance ends at its start, for this reason (EC2 API, StateReason)."""
    instance.terminate()
    instance.state_reason = StateReason(message, code)


@around(InstanceBackend, "run_instances")
def _run_instances(original: Any, self: Any, image_id: str, count: int, *rest: Any, **given: Any) -> Any:
    """An image of ours must be available, and its snapshots become the volumes; moto gives one that is empty."""
    image = self.amis.get(image_id)
    mapping = getattr(image, "mapping", None)
    if mapping:
        if image.state != "available":
            raise EC2ClientError("InvalidAMIID.Unavailable", f"The image ID '[{image_id}]' is not available")
        if "block_device_mappings" not in given:
            given["block_device_mappings"] = images.blocks(image)
    _require_capacity(self, given)
    return original(self, image_id, count, *rest, **given)


def _require_capacity(backend: Any, given: Any) -> None:
    zone = given.get("placement") or f"{backend.region_name}a"
    if given.get("subnet_id"):
        zone = backend.get_subnet(given["subnet_id"]).availability_zone
    code = offers.full.get((zone, given.get("instance_type")))
    if code:
        raise EC2ClientError(code, _WORDS.get(code, code))


@around(InstanceResponse, "run_instances")
def _run(original: Any, self: Any) -> Any:
    result = once(self, lambda: original(self))
    for instance in result.result.instances:
        instance.client_token = self._get_param("ClientToken", "")
    return result


@around(InstanceResponse, "describe_instances")
def _describe(original: Any, self: Any) -> ActionResult:
    result: ActionResult = original(self)
    shown: Any = result.result
    listed: list[Any] = [instance for group in shown["Reservations"] for instance in group.instances]
    states.described(listed)
    return result
