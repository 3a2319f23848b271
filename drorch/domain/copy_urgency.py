"""When a promise would be missed without a copy: what the queue of copies is ordered by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from drorch.domain.action import Action, Copy
from drorch.domain.catalogue import Catalogue
from drorch.domain.model import FailureDomain, survives
from drorch.domain.objective import ApplicationStatus, Standing
from drorch.domain.policy import Policy, ResourcePolicy


def with_due(
    actions: tuple[Action, ...],
    policy: Policy,
    catalogue: Catalogue,
    status: ApplicationStatus,
    domains: Mapping[str, FailureDomain],
    now: datetime,
) -> tuple[Action, ...]:
    """The same actions, every Copy with its point's `cut_at` and with when a promise breaks that it would renew.

    Of one resource's copies into one vault only the newest serves promises; the others only fill its history.
    """
    copies = [action for action in actions if isinstance(action, Copy)]
    if not copies:
        return actions
    points = {point.id: point for point in catalogue.points}
    cuts = {action.point: points[action.point].cut_at for action in copies if action.point in points}
    newest: dict[tuple[str, str], datetime] = {}
    for action in copies:
        where, cut_at = (action.resource, _served(action)), cuts.get(action.point)
        if cut_at is not None:
            newest[where] = max(cut_at, newest.get(where, cut_at))
    resources = {resource.name: resource for resource in policy.resources}

    def dated(action: Action) -> Action:
        if not isinstance(action, Copy):
            return action
        cut_at, resource, domain = cuts.get(action.point), resources.get(action.resource), domains.get(_served(action))
        if cut_at is None or resource is None or domain is None:
            return action
        serves = newest[action.resource, _served(action)] == cut_at
        due = _due(resource, domain, status, cut_at, now) if serves else None
        return replace(action, cut_at=cut_at, due=due)

    return tuple(dated(action) for action in actions)


def _served(action: Copy) -> str:
    """Where the copy is to be in the end."""
    return action.intermediate or action.vault


def _due(
    resource: ResourcePolicy, domain: FailureDomain, status: ApplicationStatus, cut_at: datetime, now: datetime
) -> datetime | None:
    """The earliest instant at which a level that the copy would survive misses its RPO; None when it renews none.

    A promise that nothing keeps yet counts as missed since the cut.
    """
    levels = (dataset.levels.items() for dataset in status.datasets if dataset.dataset == resource.dataset)
    standings = [
        standing for each in levels for level, standing in each if survives(level, resource.home, domain, locked=False)
    ]
    return min(_breaks(standings, cut_at, now), default=None)


def _breaks(standings: Iterable[Standing], cut_at: datetime, now: datetime) -> Iterable[datetime]:
    for standing in standings:
        if standing.exempt or standing.objective is None or standing.objective.rpo is None:
            continue
        if standing.rpo_attained is None:
            yield cut_at
        elif cut_at > now - standing.rpo_attained:
            yield now - standing.rpo_attained + standing.objective.rpo
