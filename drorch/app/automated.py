"""Looking at what RDS keeps by itself, a quarter of an hour apart and beside the passes, which never wait for it.

Its calls depend on the accounts and regions of databases, not on how many databases there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from drorch.app.beside import Beside, answered
from drorch.domain.automated import (
    Automated,
    Place,
    RegionSeen,
    automated,
    databases_of,
    first_places,
    further_places,
)
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.ports import AutomatedBackups

EVERY = timedelta(minutes=15)

AutomatedSeen = Mapping[tuple[str, str], Automated]
"""(application, resource) -> what RDS keeps of it by itself."""


_Each = Callable[[Mapping[Place, frozenset[str]]], dict[Place, RegionSeen | str]]


class AutomatedWatch:
    """Lists what RDS keeps where policies have databases of it. Nothing of it must survive this process."""

    def __init__(self, backups: AutomatedBackups) -> None:
        self._backups = backups
        self._listed: dict[Place, RegionSeen | str] = {}
        self._asked: datetime | None = None
        self._places: frozenset[Place] = frozenset()
        self._beside = Beside()

    def look(self, policies: Iterable[Policy], now: datetime) -> AutomatedSeen:
        """List now, and say what there is. Nothing is asked where no policy has such a database."""
        found = list(databases_of(policies))
        listed = self._list([resource for _, resource in found], self._at_once)
        return {(name, resource.name): automated(resource, listed, now) for name, resource in found}

    def known(self, policies: Iterable[Policy], now: datetime) -> AutomatedSeen:
        """What the last listing says; one that is due begins beside the pass. Databases that no listing of this process
        could have seen yet are left out.
        """
        found = list(databases_of(policies))
        resources = [resource for _, resource in found]
        if resources and self._beside.idle and self._due(resources, now):
            self._asked, self._places = now, frozenset(first_places(resources))
            self._beside.begin(partial(self._keep, resources))
        listed = self._listed
        return {
            (name, resource.name): automated(resource, listed, now)
            for name, resource in found
            if (resource.home.account or "", resource.home.region) in listed
        }

    def wait(self) -> None:
        """Until a listing that has begun is over."""
        self._beside.wait()

    def _due(self, resources: list[ResourcePolicy], now: datetime) -> bool:
        new = frozenset(first_places(resources)) - self._places
        return bool(new) or self._asked is None or not self._asked <= now < self._asked + EVERY

    def _keep(self, resources: list[ResourcePolicy]) -> None:
        self._listed = self._list(resources, self._in_turn)

    def _list(self, resources: list[ResourcePolicy], each: _Each) -> dict[Place, RegionSeen | str]:
        """Where the databases and their copies are, then where they replicate to besides."""
        listed = each(first_places(resources))
        return listed | each(further_places(resources, listed))

    def _at_once(self, asked: Mapping[Place, frozenset[str]]) -> dict[Place, RegionSeen | str]:
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="automated") as pool:
            return dict(zip(asked, pool.map(self._one, asked, asked.values()), strict=True))

    def _in_turn(self, asked: Mapping[Place, frozenset[str]]) -> dict[Place, RegionSeen | str]:
        """Without threads of its own, which an ending process would wait for."""
        return {place: self._one(place, kinds) for place, kinds in asked.items()}

    def _one(self, place: Place, kinds: frozenset[str]) -> RegionSeen | str:
        return answered(lambda: self._backups.seen(*place, kinds), account=place[0], region=place[1])
