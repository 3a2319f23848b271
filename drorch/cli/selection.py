"""What a command was asked about: applications, resources and points by their names; what it could not see."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from drorch.cli.screen import YELLOW, tell
from drorch.domain.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from drorch.app.passing import ApplicationPlan, Pass
    from drorch.domain.feasibility import Arithmetic
    from drorch.domain.model import RecoveryPoint
    from drorch.domain.policy import Policy, ResourcePolicy
    from drorch.wiring.host import Host


def chosen(seen: Pass, applications: Sequence[str]) -> list[ApplicationPlan]:
    """The plans of the named applications, all of them without names. NotFound names what there is."""
    for name in applications:
        if name not in seen.plans:
            invalid = {entry.application for entry in seen.policies.invalid}
            why = "its policy is invalid: drorch policy check" if name in invalid else ""
            raise NotFound(
                f"there is no application {name!r}", hint=why or f"there are: {', '.join(sorted(seen.plans)) or 'none'}"
            )
    return [seen.plans[name] for name in dict.fromkeys(applications or sorted(seen.plans))]


def resources(plan: ApplicationPlan, names: Sequence[str]) -> list[ResourcePolicy]:
    """The named resources of an application, all of them without names; a template's name means its databases'."""
    known = {resource.name: resource for resource in plan.policy.resources}
    found: list[ResourcePolicy] = []
    for name in names or known:
        made = [known[of] for of in made_from(plan.policy, name)]
        if name not in known and not made:
            raise NotFound(
                f"{plan.policy.application} has no resource {name!r}", hint=f"it has: {', '.join(sorted(known))}"
            )
        found += made or [known[name]]
    return list({resource.name: resource for resource in found}.values())


def late_promises(host: Host, plans: Sequence[ApplicationPlan], seen: Pass) -> dict[str, tuple[Arithmetic, ...]]:
    """What of each application's promises cannot be kept by the times that its copies took lately."""
    from drorch.domain.feasibility import domains_of
    from drorch.domain.time_to_usable import unkept

    return {
        p.policy.application: unkept(
            p.policy, p.catalogue, domains_of(p.policy, host.vaults), p.observed.locks, seen.at
        )
        for p in plans
    }


def tell_late(unkept: Mapping[str, Sequence[Arithmetic]]) -> None:
    """Promises that cannot be kept by measured times, on stderr."""
    for name, found in unkept.items():
        for late in found:
            tell(f"{name}: warning: {late}, by the times that copies took lately", color=YELLOW)


def made_from(policy: Policy, template: str) -> list[str]:
    """The names of the resources that a template became; none for a name that is no template's."""
    return [r.name for r in policy.resources if r.origin is not None and r.origin.template == template]


def the_point(seen: Pass, point: str) -> tuple[ApplicationPlan, RecoveryPoint]:
    """A point by its id, or by the beginning of it when that is unique.

    NotFound when there is none, Unavailable when a vault that could not be read may hold it.
    """
    found = [(p, c) for p in seen.plans.values() for c in p.catalogue.points if c.id.startswith(point)]
    if point and not found and seen.world.unread:
        unread = "; ".join(f"{vault} could not be read: {why}" for vault, why in sorted(seen.world.unread.items()))
        raise Unavailable(f"no point {point!r} was found", cause=unread)
    if not point or not found:
        raise NotFound(f"there is no point {point!r}", hint="drorch points APP lists them")
    if len(found) > 1:
        ids = ", ".join(sorted(candidate.id for _, candidate in found))
        raise NotFound(f"{point!r} is the beginning of several points", hint=ids)
    return found[0]


def tell_about_policies(seen: Pass) -> None:
    """Invalid and missing policy files, on stderr."""
    for finding in seen.policies.findings:
        tell(str(finding), color=YELLOW)
    for name in seen.policies.missing:
        tell(f"the policy of {name} is gone: its points are kept, nothing new is made", color=YELLOW)


def tell_unread(seen: Pass, without: Collection[str] = ()) -> None:
    """Vaults that could not be read, on stderr, each cause once; those in `without` were told already."""
    vaults: dict[str, list[str]] = {}
    for vault, why in sorted(seen.world.unread.items()):
        if why not in without:
            vaults.setdefault(why, []).append(vault)
    for why, names in vaults.items():
        tell(f"{', '.join(names)} could not be read now, last known state shown: {why}", color=YELLOW)
