"""What a command was asked about: applications, resources and points by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drorch.cli.screen import YELLOW, tell
from drorch.domain.errors import NotFound

if TYPE_CHECKING:
    from drorch.app.reconcile import ApplicationPlan, Pass
    from drorch.domain.model import RecoveryPoint
    from drorch.domain.policy import ResourcePolicy


def chosen(seen: Pass, applications: Sequence[str]) -> list[ApplicationPlan]:
    """The plans of the named applications, all of them without names. NotFound names what there is."""
    for name in applications:
        if name not in seen.plans:
            invalid = {entry.application for entry in seen.policies.invalid}
            why = "its policy is invalid: drorch policy check" if name in invalid else ""
            raise NotFound(
                f"there is no application {name!r}", hint=why or f"there are: {', '.join(sorted(seen.plans)) or 'none'}"
            )
    return [seen.plans[name] for name in (applications or sorted(seen.plans))]


def resources(plan: ApplicationPlan, names: Sequence[str]) -> list[ResourcePolicy]:
    """The named resources of an application, all of them without names."""
    known = {resource.name: resource for resource in plan.policy.resources}
    for name in names:
        if name not in known:
            raise NotFound(
                f"{plan.policy.application} has no resource {name!r}", hint=f"it has: {', '.join(sorted(known))}"
            )
    return [known[name] for name in (names or known)]


def the_point(seen: Pass, point: str) -> tuple[ApplicationPlan, RecoveryPoint]:
    """A point by its id, or by the beginning of it when that is unique."""
    found = [(p, c) for p in seen.plans.values() for c in p.catalogue.points if c.id.startswith(point)]
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
