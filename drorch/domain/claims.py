"""Which resources select the same thing: two would cut it twice, and each would let go of copies as if it were alone.

Known only from what was observed. The one that cut it last goes on, the one that came later is held. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf

from drorch.domain.catalogue_native import TAG_APPLICATION, TAG_RESOURCE, TAG_SOURCE, NativeView
from drorch.domain.model import native_vault_name
from drorch.domain.native import Source
from drorch.domain.policy import Policy, ResourcePolicy

Claimant = tuple[str, str]
"""(application, resource)."""
Thing = tuple[str, str, str]
"""(kind, home vault, source id)."""


def claims(
    policies: Iterable[Policy],
    selected: Callable[[ResourcePolicy], Iterable[Source]],
    natives: Iterable[NativeView],
    now: datetime,
) -> dict[Claimant, str]:
    """Each resource that has to stand back -> why, naming the other and what both select.

    Applications that have left claim nothing: they are not cut any more. Between two that never cut it the order of
    the applications' names and that within the policy decide.
    """
    holders: dict[Thing, list[Claimant]] = {}
    for policy in policies:
        if policy.retired is not None and now >= policy.retired.since:
            continue
        for resource in policy.resources:
            if resource.native:
                home = native_vault_name(resource.home.account, resource.home.region)
                for source_id in dict.fromkeys(source.source_id for source in selected(resource)):
                    thing = resource.kind, home, source_id
                    holders.setdefault(thing, []).append((policy.application, resource.name))
    shared = {thing: claimants for thing, claimants in holders.items() if len(claimants) > 1}
    return _stand_back(shared, _last_cuts(natives, shared)) if shared else {}


def _stand_back(shared: Mapping[Thing, list[Claimant]], cut: Mapping[Claimant, datetime]) -> dict[Claimant, str]:
    """In the order of precedence each goes on unless one that goes on already has a part of it: never do both stop."""
    things: dict[Claimant, list[Thing]] = {}
    for thing, claimants in shared.items():
        for claimant in claimants:
            things.setdefault(claimant, []).append(thing)
    named = {claimant: number for number, claimant in enumerate(things)}
    ranked = sorted(things, key=lambda c: (-cut[c].timestamp() if c in cut else inf, c[0], named[c]))
    taken: dict[Thing, Claimant] = {}
    held: dict[Claimant, str] = {}
    for claimant in ranked:
        clash = next((thing for thing in sorted(things[claimant]) if thing in taken), None)
        if clash is None:
            taken.update(dict.fromkeys(things[claimant], claimant))
            continue
        application, resource = taken[clash]
        held[claimant] = (
            f"{application}/{resource} selects {clash[2]} in {clash[1]}, too, and goes on with it: nothing is cut "
            "here. One thing, one resource: change what one of the two selects"
        )
    return held


def _last_cuts(natives: Iterable[NativeView], shared: Mapping[Thing, Sequence[Claimant]]) -> dict[Claimant, datetime]:
    """When each claimant last began a snapshot of what is shared, by the tags that its creating call put there."""
    newest: dict[Claimant, datetime] = {}
    for view in natives:
        for snapshot in view.snapshots:
            thing = view.kind, view.vault.name, snapshot.source_id
            if thing not in shared or TAG_SOURCE in snapshot.tags:
                continue
            if snapshot.state == "failed" or snapshot.started is None:
                continue
            who = snapshot.tags.get(TAG_APPLICATION, ""), snapshot.tags.get(TAG_RESOURCE, "")
            newest[who] = max(snapshot.started, newest.get(who, snapshot.started))
    return newest
