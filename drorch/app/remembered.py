"""The points that a cache remembers, for who has neither keys nor a network: counted, never acted on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from drorch.app.cache import CACHE, Cache
from drorch.app.catalogue import VaultReader
from drorch.app.native_text import loaded
from drorch.domain.catalogue import Catalogue, fold
from drorch.domain.catalogue_former import carried_on, former_names
from drorch.domain.catalogue_native import TAG_APPLICATION, NativeView
from drorch.domain.feasibility import native_domain
from drorch.domain.instant import from_text
from drorch.domain.model import RecoveryPoint, Vault
from drorch.domain.native import NativeSnapshot
from drorch.domain.policy import Policy
from drorch.domain.policy_figures import Held


def remembered(
    state: Path, site: str, vaults: Mapping[str, Vault], old: Iterable[Policy], new: Iterable[Policy], now: datetime
) -> Held:
    """What the cache in the state folder knows of the points of both policies' applications.

    Whether a snapshot's tag is of this site's making takes the signing key: here every one is counted. Raises
    Unavailable where the cache cannot be read.
    """
    cache = Cache.of_another(state / CACHE, site)
    try:
        before, after = list(old), list(new)
        reader = VaultReader(cache, (), site)
        natives = _natives(cache, [*before, *after])
        by_application = _by_application(natives)
        carried = {name for policy in after for name in (policy.application, *policy.formerly)}
        policies = [*after, *(policy for policy in before if policy.application not in carried)]
        points: dict[tuple[str, str], list[RecoveryPoint]] = {}
        for policy in policies:
            for point in _catalogue(policy, reader, vaults, by_application, now).points:
                points.setdefault((policy.application, point.resource), []).append(point)
        listed = {name for name in vaults if reader.listed_at(name) is not None}
        return Held(points, frozenset(listed | {view.vault.name for view in natives}))
    finally:
        cache.close()


def _natives(cache: Cache, policies: Iterable[Policy]) -> list[NativeView]:
    """What was listed last wherever a native resource goes."""
    places = {
        (resource.kind, rule.vault)
        for policy in policies
        for resource in policy.resources
        for rule in (resource.targets if resource.native else ())
    }
    views = []
    for kind, name in sorted(places):
        listing = cache.listing(f"{kind}:{name}")
        if listing is not None:
            vault = Vault(name, native_domain(name), native=True)
            views.append(NativeView(vault, kind, True, loaded(listing[1]), from_text(listing[0])))
    return views


def _by_application(natives: Iterable[NativeView]) -> dict[str, list[NativeView]]:
    """Each application's own snapshots: its fold must not read those of all others."""
    found: dict[str, list[NativeView]] = {}
    for view in natives:
        own: dict[str, list[NativeSnapshot]] = {}
        for snapshot in view.snapshots:
            own.setdefault(snapshot.tags.get(TAG_APPLICATION, ""), []).append(snapshot)
        for application, snapshots in own.items():
            found.setdefault(application, []).append(replace(view, snapshots=tuple(snapshots)))
    return found


def _catalogue(
    policy: Policy,
    reader: VaultReader,
    vaults: Mapping[str, Vault],
    natives: Mapping[str, list[NativeView]],
    now: datetime,
) -> Catalogue:
    def folded(name: str) -> Catalogue:
        views = [reader.view(vault, name) for vault in vaults.values()]
        return fold(name, views, natives.get(name, ()), lambda *_: True, now)

    own, *former = (folded(name) for name in (policy.application, *former_names(policy)))
    return carried_on(policy, own, former)
