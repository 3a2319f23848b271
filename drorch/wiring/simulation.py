"""A loss simulated on this host: looked at from behind a fence, then judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drorch.app.databases import DatabaseLists
from drorch.app.policies import PolicySet
from drorch.app.simulation import Picture, picture
from drorch.domain.feasibility import domains_of
from drorch.domain.loss import Loss, require_known
from drorch.domain.simulation import ApplicationLoss, simulate
from drorch.wiring.fence import Fence, accounts_of, fenced
from drorch.wiring.host import Host


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was seen, what became of every application, and why vaults were not asked."""

    seen: Picture
    applications: tuple[ApplicationLoss, ...]
    closed: Mapping[str, str]


def simulated(host: Host, policies: PolicySet, losses: Sequence[Loss], *, offline: bool = False) -> Simulated:
    """What all of `losses`, at once, would leave of the valid `policies`; nothing that is lost is asked, and nothing at
    all with `offline`. Usage for a loss in which nothing lives or lies.
    """
    homes = [resource.home for loaded in policies.valid for resource in loaded.policy.resources]
    places = {name: vault.domain for name, vault in host.vaults.items()}
    for loaded in policies.valid:
        places |= domains_of(loaded.policy, host.vaults)
    require_known(losses, homes, places.values())
    fence = Fence(losses, homes, accounts_of(host), offline=offline)
    behind = fenced(host, fence)
    locking = (behind.vocabulary.locks or {}).keys()
    seen = picture(policies, behind.observer, DatabaseLists(behind.cache), locking, behind.now())
    found = [
        simulate(known.policy, known.catalogue, known.places, losses, seen.at, policy_valid=known.valid)
        for known in seen.known
    ]
    closed = {name: why for name, place in places.items() if (why := fence.why(place))}
    return Simulated(seen, tuple(found), closed)
