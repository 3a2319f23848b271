"""What lies in the accounts and regions that policies name, and no policy protects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args

from drorch.domain.ignore import Ignore, SourceKind
from drorch.domain.model import place_of
from drorch.domain.native import Source
from drorch.domain.plan import SourcesSeen
from drorch.domain.policy import AWS, Policy, ResourcePolicy

KINDS: tuple[str, ...] = get_args(SourceKind)
SHORTEST = timedelta(hours=1)
"""How often everything is listed at the most."""
TAG_DRILL = "drorch:drill"
"""On what a drill made and removes again: nobody misses it."""
_BY_INSTANCE = {"ebs": "ami"}
"""The kind that selects instances, and so takes in what is attached to them."""

Place = tuple[str, str, str]
"""(kind, account, region)."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What policies select now: the ids at each place, and why that is not known of a place."""

    ids: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    blind: Mapping[Place, str] = field(default_factory=dict)

    def covers(self, place: Place, source: Source) -> bool:
        """Whether a resource selects the source, or the instance that it is attached to."""
        kind, *where = place
        if source.source_id in self.ids.get(place, ()):
            return True
        instances = self.ids.get((_BY_INSTANCE.get(kind, ""), where[0], where[1]), ())
        return bool(source.instance) and source.instance in instances

    def why_blind(self, place: Place) -> str:
        """Why nobody can say now what is protected there; "" when it is known."""
        kind, *where = place
        return self.blind.get(place, "") or self.blind.get((_BY_INSTANCE.get(kind, ""), where[0], where[1]), "")


@dataclass(frozen=True, slots=True)
class Ignored:
    """One source that no policy selects, and the reason that somebody gave for it."""

    place: Place
    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class UnprotectedSeen:
    """What no policy selects: by place (an empty one was looked at, too), what of it is ignored, and which places
    could not be seen, with why.
    """

    found: Mapping[Place, tuple[Source, ...]] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    unseen: Mapping[Place, str] = field(default_factory=dict)


def places_of(policies: Iterable[Policy]) -> tuple[Place, ...]:
    """Every kind in every account and region of AWS that a policy names: homes, and where copies go."""
    where: set[tuple[str, str]] = set()
    for policy in policies:
        for resource in policy.resources:
            if resource.home.provider == AWS and resource.home.account:
                where.add((resource.home.account, resource.home.region))
            where.update(filter(all, (place_of(rule.vault) for rule in resource.targets)))
    return tuple((kind, account, region) for account, region in sorted(where) for kind in KINDS)


def protection(
    policies: Iterable[Policy], selected: Callable[[ResourcePolicy], SourcesSeen], now: datetime
) -> Protection:
    """What the native resources select; an application that has left protects nothing any more."""
    ids: dict[Place, set[str]] = {}
    blind: dict[Place, str] = {}
    for policy in policies:
        if policy.retired is not None and now >= policy.retired.since:
            continue
        for resource in policy.resources:
            if not resource.native:
                continue
            place = resource.kind, resource.home.account, resource.home.region
            seen = selected(resource)
            if seen.why:
                blind[place] = f"what {policy.application}/{resource.name} selects could not be seen: {seen.why}"
            ids.setdefault(place, set()).update(source.source_id for source in seen.sources)
    return Protection({place: frozenset(found) for place, found in ids.items()}, blind)


def judge_places(
    listed: Mapping[Place, Sequence[Source] | str], protected: Protection, ignores: Sequence[Ignore]
) -> UnprotectedSeen:
    """`listed` has everything at each place, or why it could not be listed."""
    found: dict[Place, tuple[Source, ...]] = {}
    ignored: list[Ignored] = []
    unseen: dict[Place, str] = {}
    for place, sources in sorted(listed.items()):
        why = sources if isinstance(sources, str) else protected.why_blind(place)
        if why or isinstance(sources, str):
            unseen[place] = why
            continue
        bare = [s for s in sources if TAG_DRILL not in s.tags and not protected.covers(place, s)]
        reasons = {s.source_id: next((i.reason for i in ignores if i.covers(*place, s)), "") for s in bare}
        ignored += [Ignored(place, s, reasons[s.source_id]) for s in bare if reasons[s.source_id]]
        found[place] = tuple(s for s in bare if not reasons[s.source_id])
    return UnprotectedSeen(found, tuple(ignored), unseen)
