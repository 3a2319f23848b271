"""States that take time: pending -> completed, creating -> available.

moto makes snapshots and database instances final at once. Here their ``status`` is moto's own `ManagedState`, driven
by its state manager: at once, after seconds, after a number of describes, or held until a test finishes them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from moto.moto_api import state_manager
from moto.moto_api._internal.managed_state_model import ManagedState

_NEVER = 10**9
_FORCED = frozenset({"deleting", "stopping", "stopped", "error", "failed"})
_alive: weakref.WeakSet[Any] = weakref.WeakSet()


def manage(
    cls: Any,
    model: str,
    steps: list[tuple[str | None, str]],
    failed: str,
    ends: Callable[[Any], str] = lambda _resource: "",
) -> None:
    """Give `cls` a status that walks `steps`; `failed` is the state that `fail` puts it into.

    `ends` says, when one is about to reach its last state, why it fails instead; "" when it does not.
    """
    last = steps[-1][1]

    def read(self: Any) -> Any:
        forced, managed = self.__dict__.get("_forced_status"), self.__dict__["_managed_status"]
        if forced or managed.status != last or self.__dict__.get("_ended"):
            return forced or managed.status
        self.__dict__["_ended"] = True
        if why := ends(self):
            fail(self, why)
        return self.__dict__.get("_forced_status") or last

    def write(self: Any, value: str) -> None:
        if "_managed_status" not in self.__dict__:  # the assignment in __init__
            self.__dict__["_managed_status"] = ManagedState(model, steps)
            _alive.add(self)
        else:
            self.__dict__["_forced_status"] = value if value in _FORCED else None

    cls.status = property(read, write)
    cls.failed_status = failed
    state_manager.register_default_transition(model, {"progression": "immediate"})


def described(resources: list[Any]) -> None:
    """Count one describe of each resource (for transitions that go by describes)."""
    for resource in resources:
        resource.__dict__["_managed_status"].advance()


def set_transition(models: tuple[str, ...], *, seconds: float | None, describes: int | None, held: bool) -> None:
    """How long each step of `models` takes from now on; without any of the three, no time at all."""
    transition: dict[str, Any] = {"progression": "immediate"}
    if held:
        transition = {"progression": "manual", "times": _NEVER}
    elif describes is not None:
        transition = {"progression": "manual", "times": describes}
    elif seconds is not None:
        transition = {"progression": "time", "seconds": seconds}
    for model in models:
        state_manager.set_transition(model, transition)


def finish(models: tuple[str, ...]) -> None:
    """Bring everything of `models` to its last state now; what failed stays failed."""
    for resource in list(_alive):
        if resource.__dict__["_managed_status"].model_name in models:
            finish_one(resource)


def finish_one(resource: Any) -> None:
    """Bring one resource to its last state now; what failed stays failed."""
    managed = resource.__dict__["_managed_status"]
    managed.status = managed._get_last_status(managed._status)


def hold_one(resource: Any, model: str) -> None:
    """Keep one resource where it is until `finish_one`, whatever holds for the others; `model` names such ones."""
    state_manager.register_default_transition(model, {"progression": "manual", "times": _NEVER})
    resource.__dict__["_managed_status"] = ManagedState(model, resource.__dict__["_managed_status"]._transitions)


def fail(resource: Any, message: str) -> None:
    """Put one resource into its failed state, with the provider's message."""
    resource.status = resource.failed_status
    resource.state_message = resource.status_message = message
