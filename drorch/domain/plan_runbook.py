"""The part of the planner that keeps the runbook in every object vault, so that it is found without git. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Action, Hold, Replicate, WriteRunbook
from drorch.domain.catalogue_runbook import Runbook
from drorch.domain.instant import to_text
from drorch.domain.policy import Policy
from drorch.domain.runbook_record import runbook_content

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

_INSTANT = timedelta(seconds=1)
"""What records can tell apart: two runbooks of one second would be one."""


def plan_runbook(policy: Policy, observed: Observed, now: datetime) -> Iterator[Action]:
    """A new runbook when the policy says another one, the newest where a vault lacks it.

    Not under the last valid text of a file that is invalid now: what it says is written already.
    """
    application, known = policy.application, observed.catalogue.runbook
    if not observed.writable or observed.skewed or observed.stale:
        return  # one signed by a clock that is ahead would stand before all that follow, until that time comes
    content = runbook_content(policy)
    if known is None and not content["regions"]:
        return
    reason = ""
    if known is None:
        reason = "no vault that was read has the runbook"
    elif known.content != content:
        reason = "the policy has another runbook" if content["regions"] else "the policy has no runbook any more"
    elif known.until is not None and now >= known.until:
        reason = "its key is not trusted any more"
    if reason and known is not None and now < known.at + _INSTANT:
        yield Hold(application, "", "", "", f"the last runbook is of {to_text(known.at)}: no new one before that")
    elif reason:
        yield WriteRunbook(application, "", "", "", reason, observed.writable)
    elif known is not None:
        yield from _everywhere(application, known, observed)


def _everywhere(application: str, known: Runbook, observed: Observed) -> Iterator[Action]:
    sources = sorted(vault for vault in known.have if vault not in observed.unread)
    for vault in observed.writable:
        if vault not in known.have and sources:
            reason = f"{vault} lacks the runbook that {sources[0]} has"
            yield Replicate(application, "", vault, "", reason, sources[0], known.path)
