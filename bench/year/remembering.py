"""What lets a year fit into minutes: nothing that is known to be the same is read, parsed or folded again.

The product's code does the work, on less of the world: a listing covers the folders that changed since the last one
(the in-memory stores keep a journal, so that this is known for certain), what the cache said of an application is
remembered until that application's part of it is written, and a catalogue is folded again when any of its sources
changed. A listing that fails still fails; a cache that is lost still is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from bench.year.ports import SimStore
from drorch.app import catalogue as reading
from drorch.app.cache import Cache, CachedRecord
from drorch.app.catalogue import Scope, VaultReader
from drorch.app.observe import Observer, World
from drorch.domain.catalogue import Catalogue
from drorch.domain.instant import to_text
from drorch.domain.policy import Policy
from drorch.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Folders(Scope):
    """A scope that is a handful of folders."""

    folders: tuple[str, ...] = ()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The folders themselves."""
        return self.folders


class RememberingCache(Cache):
    """A cache in memory that remembers its answers until what they are about is written."""

    def __init__(self, trusted: str) -> None:
        super().__init__(None, trusted)
        self.versions: dict[tuple[str, str], int] = {}
        self._records: dict[tuple[str, str], list[CachedRecord]] = {}
        self._objects: dict[tuple[str, str], dict[str, int]] = {}

    def replace(self, vault: str, prefixes: Iterable[str], *args: Any, **kwargs: Any) -> None:
        """As the product's own; what was remembered of these applications is forgotten."""
        given = tuple(prefixes)
        super().replace(vault, given, *args, **kwargs)
        for application in {prefix.split("/")[3] for prefix in given}:
            self.versions[(vault, application)] = self.versions.get((vault, application), 0) + 1
        for known in (self._records, self._objects):
            above = tuple(_above(given))
            stale = [prefix for name, prefix in tuple(known) if name == vault and prefix.startswith(above)]
            for prefix in stale:
                known.pop((vault, prefix))

    def records(self, vault: str, prefix: str) -> list[CachedRecord]:
        """As the product's own."""
        key = (vault, prefix)
        if key not in self._records:
            self._records[key] = super().records(vault, prefix)
        return list(self._records[key])

    def objects(self, vault: str, prefix: str) -> dict[str, int]:
        """As the product's own."""
        key = (vault, prefix)
        if key not in self._objects:
            self._objects[key] = super().objects(vault, prefix)
        return self._objects[key]


def _above(prefixes: Iterable[str]) -> set[str]:
    """``drorch/v1/records/APPLICATION/`` of folders below it."""
    return {"/".join(prefix.split("/")[:4]) for prefix in prefixes}


class DeltaReader(VaultReader):
    """Lists what changed since it last listed it; everything else is as the cache has it."""

    cache: RememberingCache

    def __init__(self, cache: RememberingCache, trusted: Any, site: str) -> None:
        super().__init__(cache, trusted, site)
        self.cache = cache
        self._seen: dict[tuple[str, str], int] = {}

    def refresh(self, store: ObjectStore, now: datetime, scope: Scope | None = None) -> None:
        """As the product's own, on the folders in the scope that the store's journal says have changed."""
        scope, kept = scope or Scope(), cast("SimStore", store)
        for prefix in scope.prefixes:
            kept.look(prefix)
        at = kept.changes
        folders = [
            folder
            for prefix in scope.prefixes
            for folder, changed in kept.folders(prefix)
            if changed > self._seen.get((store.vault, folder), 0)
        ]
        if folders:
            super().refresh(store, now, Folders(scope.application or "some", scope.resource, tuple(folders)))
        self._seen.update(((store.vault, folder), at) for folder in folders)
        if not scope.application:
            self.cache.set_listing(store.vault, to_text(now))


class RememberingObserver(Observer):
    """Folds an application again when something that its catalogue is made of has changed."""

    def __init__(self, cache: RememberingCache, **given: Any) -> None:
        super().__init__(cache=cache, **given)
        self._versions = cache.versions
        self._folded: dict[str, tuple[object, Catalogue]] = {}

    def catalogue(self, policy: Policy, world: World, now: datetime | None = None) -> Catalogue:
        """As the product's own."""
        name = policy.application
        natives = tuple((v.vault.name, v.complete, tuple(map(id, v.snapshots))) for v in world.natives_of(name))
        unread = tuple(sorted(set(world.unread) & self.vaults.keys()))
        key = (tuple(self._versions.get((vault, name), 0) for vault in self.vaults), natives, unread)
        known = self._folded.get(name)
        if known is None or known[0] != key or known[1].ahead or any(p.pin_until for p in known[1].points):
            self._folded[name] = known = (key, super().catalogue(policy, world, now))
        return known[1]


def remember_pure_functions() -> None:
    """Pure functions of the product that are asked the same thing over and over."""
    reading.check_path = lru_cache(maxsize=200_000)(reading.check_path)  # type: ignore[attr-defined]
