"""Which rights the calls need that adapters make through the SDK: heard by its own events, told apart by who calls."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import drorch.aws
from drorch.aws import asking
from drorch.stores.s3 import permissions as s3
from drorch.wiring.adapters import SNAPSHOT_KINDS, declared_of

_ADAPTER = re.compile(r"drorch\.(kinds\.\w+|steps\.\w+|stores\.s3|aws\.asking)\b")
_RESTORING = re.compile(r"drorch\.kinds\.\w+\.(restore|placing|template)$")
"""What brings copies back, which a kind declares by itself (RESTORE_PERMISSIONS): heard as ``KIND:restore``."""
_FOR_OTHERS = frozenset({"drorch.kinds.ec2_restoring", "drorch.kinds.isolation"})
"""What they call, they call for the kind that called them."""
_SHARED = "drorch.kinds.rds_family"
"""What the kinds of RDS have in common calls for one of them: its object's class says for which."""
NEEDS_NO_RIGHT = frozenset({"sts:GetCallerIdentity"})
_TAGS = {"ec2": ("TagSpecifications", "ec2:CreateTags"), "rds": ("Tags", "rds:AddTagsToResource")}
"""Tags in a creating call are authorised as an action of their own."""


@contextmanager
def heard() -> Iterator[set[tuple[str, str]]]:
    """(module of the adapter, IAM action) for every call within the block, as soon as it is made."""
    found: set[tuple[str, str]] = set()
    opened = drorch.aws._AccountSession.client

    def listen(params: Any, model: Any, **_: Any) -> None:
        caller = _caller()
        if caller:
            found.update((caller, action) for action in _actions(model, params))

    def client(self: Any, *arguments: Any) -> Any:
        made = opened(self, *arguments)
        made.meta.events.register("before-parameter-build", listen)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drorch.aws._AccountSession, "client", client)
        yield found


def declared(module: str) -> frozenset[str]:
    """The actions that an adapter's module declares; what `drorch doctor` asks may be what the kinds are to do."""
    if module == "drorch.aws.asking":
        of_kinds = {action for kind in SNAPSHOT_KINDS for action in declared_of(kind).permissions}
        return frozenset({*asking.PERMISSIONS, *of_kinds}) | NEEDS_NO_RIGHT
    kind, restoring, _ = module.partition(":")
    if restoring:
        return frozenset(importlib.import_module(kind).RESTORE_PERMISSIONS) | NEEDS_NO_RIGHT
    found = importlib.import_module(f"{module}.permissions" if module.endswith(".s3") else module)
    return frozenset(found.PERMISSIONS) | NEEDS_NO_RIGHT


def undeclared(calls: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that their adapter does not declare."""
    return {(module, action) for module, action in calls if action not in declared(module)}


def _actions(model: Any, params: Any) -> tuple[str, ...]:
    service, operation = model.service_model.service_name, model.name
    if service == "s3":
        return s3.actions_of(operation, params)
    parameter, tagging = _TAGS.get(service, ("", ""))
    service = {"elbv2": "elasticloadbalancing"}.get(service, service.replace("-", ""))  # Service Quotas
    return (f"{service}:{operation}", *([tagging] if params.get(parameter) else []))


def _caller() -> str:
    """The adapter nearest to the call; what kinds share calls for one of them."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if _RESTORING.match(name):
            return f"{name.rpartition('.')[0]}:restore"
        module = None if name in _FOR_OTHERS else _ADAPTER.match(name)
        if module and module[0] == _SHARED:
            module = _ADAPTER.match(type(frame.f_locals.get("self")).__module__)
            if module and str(frame.f_globals["__name__"]).startswith(f"{_SHARED}.restore"):
                return f"{module[0]}:restore"
        if module and module[0] != _SHARED:
            return module[0]
        frame = frame.f_back  # type: ignore[assignment]  # the outermost has none
    return ""
