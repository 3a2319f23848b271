"""Carrying a history on: what policies call `formerly`. Pure.

Records and data stay where they are, under the names that they were made with; the points of those names are shown and
judged as points of the resource that carries them on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from drorch.domain.catalogue import Catalogue, Scattered
from drorch.domain.catalogue_intermediate import Intermediate
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.catalogue_upkeep import Bygone, Leftover
from drorch.domain.model import Oddity, RecoveryPoint
from drorch.domain.policy import Policy

_Named = TypeVar("_Named", Oddity, Scattered, LetGo, Leftover, Bygone, Intermediate)


def former_names(policy: Policy) -> tuple[str, ...]:
    """The applications whose records a policy reads beside its own."""
    return tuple(name for name in policy.formerly if name != policy.application)


def carries_on(policy: Policy) -> bool:
    """Whether some of its points are filed under other names than their own."""
    return bool(former_names(policy)) or any(resource.formerly for resource in policy.resources)


def carried_on(policy: Policy, own: Catalogue, former: Iterable[Catalogue]) -> Catalogue:
    """The catalogue of an application with the histories that it carries on.

    A former application's resources keep their names, a resource's former names become its present one. What nothing
    carries on stays under its own name and is told as left behind.
    """
    names = {old: resource.name for resource in policy.resources for old in resource.formerly}
    parts = [own, *former]
    if len(parts) == 1 and not names:
        return own
    points = [_renamed(point, policy.application, names) for part in parts for point in part.points]
    points.sort(key=lambda p: (p.cut_at is not None, p.cut_at.timestamp() if p.cut_at else 0.0, p.id), reverse=True)
    drills = [replace(d, resource=names.get(d.resource, d.resource)) for part in parts for d in part.drills]
    return Catalogue(
        application=policy.application,
        points=tuple(points),
        drills=tuple(sorted(drills, key=lambda drill: drill.at, reverse=True)),
        oddities=tuple(_of(names, entry) for part in parts for entry in part.oddities),
        taken=frozenset().union(*(part.taken for part in parts)),
        scattered=tuple(_of(names, entry) for part in parts for entry in part.scattered),
        let_go=tuple(_of(names, entry) for part in parts for entry in part.let_go),
        leftovers=tuple(_of(names, entry) for part in parts for entry in part.leftovers),
        head=own.head or next((part.head for part in parts if part.head is not None), None),
        ahead=own.ahead,
        digests={where: digest for part in parts for where, digest in part.digests.items()},
        bygone=tuple(_of(names, entry) for part in parts for entry in part.bygone),
        heads=own.heads,
        runbook=own.runbook,
        intermediates=tuple(_of(names, entry) for part in parts for entry in part.intermediates),
        uploads=own.uploads,
    )


def _renamed(point: RecoveryPoint, application: str, names: Mapping[str, str]) -> RecoveryPoint:
    resource = names.get(point.resource, point.resource)
    if (application, resource) == (point.application, point.resource):
        return point
    return replace(point, application=application, resource=resource, filed=point.filed_under)


def _of(names: Mapping[str, str], entry: _Named) -> _Named:
    return replace(entry, resource=names[entry.resource]) if entry.resource in names else entry
