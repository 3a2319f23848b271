"""Intermediate copies: what AWS's default key encrypts never leaves its account, so it is copied under a key of the
owner's first, in the home region and account, and copied on from there. Pure.

EBS user guide, "Share an Amazon EBS snapshot"; RDS user guide, "Sharing encrypted snapshots". All that is known of one
is in its tags, so that a crash changes nothing; `drorch.domain.plan_intermediate` lets it go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Copy, Hold, Settling
from drorch.domain.catalogue_intermediate import Intermediate
from drorch.domain.copy_failure import told_failure
from drorch.domain.instant import to_text
from drorch.domain.intent_keys import through_intent
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import place_of
from drorch.domain.plan_keys import WRONG_KEY
from drorch.domain.policy import ResourcePolicy, VaultRule
from drorch.domain.waits import AFTER_FAILURE, SETTLING

if TYPE_CHECKING:
    from drorch.domain.plan import Observed


def is_needed(resource: ResourcePolicy, rule: VaultRule, source: PointCopy, observed: Observed) -> bool:
    """Whether a copy crosses accounts and its source is under a default key of AWS, as far as that is known."""
    account = place_of(rule.vault)[0]
    if account == place_of(source.vault)[0] or not resource.native:
        return False
    return any((known := observed.keys.get((source.vault, key))) and known.default for key in source.kms_keys)


def by_way_of(action: Copy, source: PointCopy, observed: Observed, now: datetime) -> Action:
    """The copy made from its point's intermediates; where they are not all there, their copy, or why it waits."""
    if action.kind == "ami":
        why = "an image under AWS's default key does not leave its account, and making it anew is not in this version"
        return _held(action, f"{why}: encrypt its volumes with a key of your own")
    if not action.kms_key.startswith("alias/"):
        why = f"{source.vault} is under AWS's default key, which crosses no account"
        return _held(action, f"{why}: name the copy's key by an alias, and give that alias to a key at home, too")
    at_home = observed.keys.get((source.vault, action.kms_key))
    if at_home is not None and (at_home.wrong or at_home.default):
        why = at_home.wrong or f"{action.kms_key} is a default key of AWS there"
        return _held(action, f"its intermediate copy in {source.vault} needs a key of your own: {why}")
    own = [i for i in observed.catalogue.intermediates if i.point == action.point and i.into == action.vault]
    done = {i.made_from: i.native_id for i in own if i.state == "usable"}
    wanted = [member.native_id for member in source.members]
    if all(member in done for member in wanted):
        reason = f"{action.reason}; from its intermediate copy in {source.vault}"
        return replace(action, reason=reason, through=tuple(done[member] for member in wanted))
    return _make(action, source, own, observed, now)


def _make(action: Copy, source: PointCopy, own: Sequence[Intermediate], observed: Observed, now: datetime) -> Action:
    """AWS makes it under the key of the owner; of the members that have none, or whose last one failed."""
    alive = {i.made_from for i in own if i.state != "failed"}
    left = [member for member in source.members if member.native_id not in alive]
    begun = observed.intents.get(through_intent(action.point, source.vault, action.vault))
    reason = f"{action.vault} is to have a copy, and AWS's default key crosses no account"
    copying = source.vault, action.kind, max(1, len(left))
    if not left:
        why = f"{reason}: its intermediate copy in {source.vault} is being made"
        return Hold(action.application, action.resource, action.vault, action.point, why)
    if begun is not None and now < begun + SETTLING:
        why = f"{reason}: an intermediate begun at {to_text(begun)} may still show; settling"
        return Settling(action.application, action.resource, source.vault, action.point, why, "", *copying)
    failed = [i for i in own if i.state == "failed" and i.started is not None]
    last = max(failed, key=lambda i: str(i.started), default=None)
    if last is not None and last.started is not None and now < last.started + AFTER_FAILURE:
        told = told_failure(f"{last.native_id}: {last.why}")
        return _held(action, f"its intermediate copy in {source.vault} failed ({told})", "copy-failed")
    return replace(
        action,
        vault=source.vault,
        reason=f"{reason}: an intermediate one first, under {action.kms_key}",
        places=max(1, len(left)),
        intermediate=action.vault,
    )


def _held(action: Copy, reason: str, alarm: str = WRONG_KEY) -> Hold:
    return Hold(action.application, action.resource, action.vault, action.point, reason, alarm)
