"""What a person may approve: exactly the deletions of a plan, by its digest, and only while the view is whole. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drorch.app.passing import ApplicationPlan, Pass
from drorch.domain.action import Action, Braked, deletions, deletions_digest
from drorch.domain.errors import DrorchError, Refused, Unavailable, Usage
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, RecoveryPoint

SHORTEST = 16
"""So many characters of a digest name it: 64 bits that nobody types by accident."""


@dataclass(frozen=True, slots=True)
class Release:
    """One copy whose deletion (or its beginning) an approval lets pass. `bytes` is 0 while not known."""

    vault: str
    application: str
    resource: str
    point: str
    cut_at: datetime | None
    bytes: int
    deletes: bool
    held: bool
    reason: str

    def to_json(self) -> dict[str, object]:
        """The stable fields."""
        return {
            "vault": self.vault,
            "application": self.application,
            "resource": self.resource,
            "point": self.point,
            "cut_at": None if self.cut_at is None else to_text(self.cut_at),
            "bytes": self.bytes or None,
            "action": "expire" if self.deletes else "mark",
            "held": self.held,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Approved:
    """A signed approval: the whole digest, until when it counts, what it lets pass, and the vaults that missed it."""

    digest: str
    until: datetime
    releases: tuple[Release, ...]
    lost: Mapping[str, DrorchError]


def to_release(seen: Pass, digest: str) -> tuple[str, tuple[Release, ...]]:
    """The whole digest and what it names: the deletions of all plans together, or of one application alone.

    Raises Usage for what is no digest, Refused when no plan has it, when there is nothing to delete, and while clocks
    differ or a policy is invalid; Unavailable while a vault in question is not read completely.
    """
    typed = digest.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", typed):
        raise Usage(
            f"{digest!r} is no digest of a plan", hint=f"drorch plan shows it: 64 hex digits, or the first {SHORTEST}"
        )
    whole, plans = _found(seen, typed)
    actions = [action for plan in plans for action in plan.actions]
    if not deletions(actions):
        raise Refused("that plan deletes nothing", operation="approve", hint="there is nothing to approve")
    for plan in plans:
        if deletions(plan.actions):
            _require_whole_view(plan)
    released = [_release(plan, action) for plan in plans for action in plan.actions if deletions([action])]
    return whole, tuple(sorted(released, key=_by_place_and_age))


def _by_place_and_age(release: Release) -> tuple[str, ...]:
    cut_at = "" if release.cut_at is None else to_text(release.cut_at)
    return release.vault, release.application, release.resource, cut_at, release.point


def _found(seen: Pass, typed: str) -> tuple[str, Sequence[ApplicationPlan]]:
    everything = list(seen.plans.values())
    for plans in (everything, *([plan] for plan in everything)):
        whole = _digest(plans)
        if whole.startswith(typed):
            return whole, plans
    unread = "; ".join(f"{vault} could not be read: {why}" for vault, why in sorted(seen.world.unread.items()))
    now = f"the digest of all plans is now {_digest(everything)[:SHORTEST]}"
    own = {plan.policy.application: _digest([plan])[:SHORTEST] for plan in everything if deletions(plan.actions)}
    if not own:
        now = "nothing is to be deleted now"
    elif len(own) > 1:
        now += "".join(f", of {name} alone {short}" for name, short in sorted(own.items()))
    raise Refused(
        f"no plan has the digest {typed[:SHORTEST]} now",
        operation="approve",
        cause=unread,
        hint=f"the plan has changed since: look at it again (drorch plan); {now}",
    )


def _digest(plans: Iterable[ApplicationPlan]) -> str:
    return deletions_digest(action for plan in plans for action in plan.actions)


def _require_whole_view(plan: ApplicationPlan) -> None:
    """Pins, marks and proofs may lie in every object vault: none may be missing from what a person has looked at."""
    seen, name = plan.observed, plan.policy.application
    concerned = {*seen.object_vaults, *(rule.vault for r in plan.policy.resources for rule in r.targets)}
    unread = {vault: why for vault, why in seen.unread.items() if vault in concerned}
    unread |= {vault: "nothing is known of it yet" for vault in seen.never_read & concerned if vault not in unread}
    if unread:
        raise Unavailable(
            f"what {name} has was not seen completely, so nothing of it is released",
            operation="approve",
            cause="; ".join(f"{vault} could not be read: {why}" for vault, why in sorted(unread.items())),
        )
    if seen.skewed:
        raise Refused(
            f"nothing of {name} is released while clocks differ",
            operation="approve",
            cause=seen.skewed,
            hint="set this host's clock right",
        )
    if seen.stale:
        raise Refused(
            f"the policy file of {name} is invalid, so nothing of it is released",
            operation="approve",
            hint="drorch policy check",
        )


def _release(plan: ApplicationPlan, action: Action) -> Release:
    point = plan.catalogue.find(action.point)
    copy = point.copy_in(action.vault) if point is not None else None
    wanted = action.wanted if isinstance(action, Braked) else action.name
    return Release(
        vault=action.vault,
        application=action.application,
        resource=action.resource,
        point=action.point,
        cut_at=_cut_at(plan, point, action.point),
        bytes=_size(copy),
        deletes=wanted == "expire",
        held=isinstance(action, Braked),
        reason=action.reason,
    )


def _cut_at(plan: ApplicationPlan, point: RecoveryPoint | None, name: str) -> datetime | None:
    """Of data without a manifest the folder's own."""
    if point is not None:
        return point.cut_at
    return next((left.cut_at for left in plan.catalogue.leftovers if left.point == name), None)


def _size(copy: Copy | None) -> int:
    return 0 if copy is None else copy.bytes or sum(member.bytes for member in copy.members)
