"""When a whole application is drilled: due by its newest proof in that region, as a drill of a resource is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, ScenarioDrill
from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.duration import duration_text
from drorch.domain.instant import to_text
from drorch.domain.model import native_vault_name, place_of
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.retention import FUTURE
from drorch.domain.scenario import SCENARIO, accounts_in, rehearsed

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

RETRIED = timedelta(days=1)
"""After a drill that failed, at the latest."""


def scenario_vault(policy: Policy, region: str) -> str:
    """The native vault that the proofs of a region are signed for: that of the first step's copy; "" without one."""
    found = next(iter(rehearsed(policy, region).values()), None)
    return native_vault_name(accounts_in(found, region)[0], region) if found is not None else ""


def last_scenario(catalogue: Catalogue, region: str, until: datetime) -> Drilled | None:
    """The newest drill of the whole application in a region, none of after `until`."""
    drills = (d for d in catalogue.drills if d.resource == SCENARIO and place_of(d.vault)[1] == region)
    return next((d for d in drills if d.at <= until), None)


def failed_whole(resource: ResourcePolicy, catalogue: Catalogue) -> str:
    """In which region the last drill of the whole application failed, in words, where the resource has snapshots there
    of which no later drill ended well; "" when none did.
    """
    last: dict[str, Drilled] = {}
    for drill in catalogue.drills:  # newest first
        region = place_of(drill.vault)[1]
        if drill.resource in (SCENARIO, resource.name) and resource.native and accounts_in(resource, region):
            last.setdefault(region, drill)
    for region, drill in sorted(last.items()):
        if drill.resource == SCENARIO and not drill.well:
            at = to_text(drill.at)
            return f"the drill of the whole application in {region} at {at} failed, and none has ended well since"
    return ""


def whole_measured(policy: Policy, catalogue: Catalogue, now: datetime) -> dict[str, Drilled]:
    """The last drill of the whole application, for each of the resources that it brings back."""
    rule = policy.scenario
    last = None if rule is None else last_scenario(catalogue, rule.into, now + FUTURE)
    return {} if rule is None or last is None else dict.fromkeys(rehearsed(policy, rule.into), last)


def plan_scenario(policy: Policy, observed: Observed, now: datetime) -> Iterator[Action]:
    """The drill of the whole application where it is due, or why it waits."""
    rule = policy.scenario
    if rule is None or observed.skewed:
        return  # as for every drill: a proof of the future would outweigh those of all that time
    vault = scenario_vault(policy, rule.into)
    if not vault or not _there(policy, rule.into, observed, now):
        return
    last = last_scenario(observed.catalogue, rule.into, now + FUTURE)
    if last is None:
        reason = f"no drill of the whole application in {rule.into} yet"
    elif last.well and now >= last.at + rule.every:
        reason = f"last passed at {to_text(last.at)}, due every {duration_text(rule.every)}"
    elif not last.well and now >= last.at + min(rule.every, RETRIED):
        reason = f"the drill at {to_text(last.at)} failed"
    elif not last.well:
        reason = f"the drill of the application at {to_text(last.at)} failed; it is tried again within a day"
        yield Hold(policy.application, SCENARIO, vault, "", reason, "drill-failed")
        return
    else:
        return
    yield ScenarioDrill(policy.application, SCENARIO, vault, "", reason)


def _there(policy: Policy, region: str, observed: Observed, now: datetime) -> bool:
    """Whether every resource has a copy there that could be brought back, as far as was read in this pass."""
    for name, resource in rehearsed(policy, region).items():
        vaults = {native_vault_name(account, region) for account in accounts_in(resource, region)} - set(
            observed.unread
        )
        points = (p for p in observed.catalogue.of(name) if p.cut_at is None or p.cut_at <= now + FUTURE)
        if not any(copy.vault in vaults and copy.usable for point in points for copy in point.copies):
            return False
    return True
