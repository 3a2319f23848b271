"""Looking at what is shared with other accounts: one listing for each home and account that copies cross to, none else.

What is shared is asked in every pass. Only the places where that may be so are remembered, so that a policy which stops
crossing accounts leaves nothing shared behind it; a host that has lost its cache asks where the policies say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from drorch.app.cache import Cache
from drorch.domain.errors import DrorchError
from drorch.domain.instant import to_text
from drorch.domain.model import place_of
from drorch.domain.policy import ResourcePolicy
from drorch.ports import SharesSnapshots, SnapshotKind

Sharing = tuple[str, str, str]
"""(kind, native vault, account): the snapshots of a vault that another account may copy."""

_PLACES = "shared"
"""The cache's entry of the places to look at again."""


class SharingLook:
    """Lists what of a site's snapshots other accounts may copy."""

    def __init__(self, site: str, kinds: Mapping[str, SnapshotKind], cache: Cache) -> None:
        self._site = site
        self._kinds = kinds
        self._cache = cache

    def places(self, resources: Sequence[ResourcePolicy]) -> list[Sharing]:
        """Where copies of these resources cross accounts, and where they did at an earlier look."""
        homes = {(resource.kind, resource.targets[0].vault) for resource in resources}
        return sorted(_crossing(resources) | {place for place in self._remembered() if place[:2] in homes})

    def ask(self, place: Sharing) -> frozenset[str] | str:
        """The ids of what is shared there, or why that is not known."""
        kind, vault, other = place
        account, region = place_of(vault)
        hands = self._kinds[kind]
        if not isinstance(hands, SharesSnapshots):
            return f"snapshots of kind {kind} are not shared"
        try:
            return frozenset(hands.shared(account, region, self._site, other))
        except DrorchError as error:
            return str(error)

    def remember(
        self, resources: Sequence[ResourcePolicy], seen: Mapping[Sharing, frozenset[str] | str], now: datetime
    ) -> None:
        """Look again where something was shared or where that is not known, and where it will be."""
        crossing, before = _crossing(resources), self._remembered()
        after = before.difference(seen) | {place for place, ids in seen.items() if ids or place in crossing}
        if after != before:
            self._cache.set_listing(_PLACES, to_text(now), json.dumps(sorted(after)))

    def _remembered(self) -> set[Sharing]:
        known = self._cache.listing(_PLACES)
        return {(kind, vault, other) for kind, vault, other in json.loads(known[1])} if known else set()


def _crossing(resources: Iterable[ResourcePolicy]) -> set[Sharing]:
    """The homes whose snapshots are copied into other accounts, with each of these accounts."""
    return {
        (resource.kind, resource.targets[0].vault, account)
        for resource in resources
        for account in {place_of(rule.vault)[0] for rule in resource.targets}
        if account != resource.home.account
    }
