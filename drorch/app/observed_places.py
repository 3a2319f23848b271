"""Where a pass looks: the places of sources and of snapshots, as the policies name them."""

from __future__ import annotations

from collections.abc import Iterable

from drorch.domain.model import place_of
from drorch.domain.policy import ResourcePolicy

Place = tuple[str, str, str]
"""(kind, account, region); of copies (service of their quota, account, region)."""


def home_of(resource: ResourcePolicy) -> Place:
    """Where its sources live."""
    return resource.kind, resource.home.account, resource.home.region


def places_of(resources: Iterable[ResourcePolicy]) -> tuple[dict[Place, list[object]], set[Place]]:
    """Where sources live (with every option that selects there), and where snapshots may lie."""
    homes: dict[Place, list[object]] = {}
    places: set[Place] = set()
    for resource in resources:
        homes.setdefault(home_of(resource), []).append(resource.options)
        for rule in resource.targets:
            places.add((resource.kind, *place_of(rule.vault)))
    return homes, places


def locking_places(resources: Iterable[ResourcePolicy]) -> set[Place]:
    """Where copies are to be locked: their locks are listed there."""
    return {
        (resource.kind, *place_of(rule.vault))
        for resource in resources
        for rule in resource.targets
        if rule.lock is not None
    }


def one_kind_each(places: Iterable[Place]) -> set[Place]:
    """One place for each account and region: their clock is the same for every service."""
    first: dict[tuple[str, str], Place] = {}
    for place in sorted(places):
        first.setdefault(place[1:], place)
    return set(first.values())
