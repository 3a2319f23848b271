"""The part of the planner that knows keys: which copies cannot be begun for want of one, and what does not open. Pure.

A copy under a wrong key is accepted and fails minutes later, so it is held before it is asked for; the other
destinations go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from drorch.domain.action import Hold
from drorch.domain.copy_failure import Cause, failure_of
from drorch.domain.instant import to_text
from drorch.domain.kms import KmsSeen
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, RecoveryPoint, place_of
from drorch.domain.policy import ResourcePolicy, VaultRule

if TYPE_CHECKING:
    from drorch.domain.plan import Observed

NO_KEY, WRONG_KEY = "kms-key-missing", "kms-key"
"""The alarms: encrypted, and no key is named for its copy; a key that is named, or borne, and does not do."""

PROBE_EVERY = timedelta(hours=6)
"""How long copies under a key that just failed one wait before one of them tries again, while the key looks right."""

_NOTHING = KmsSeen()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why copies into a vault are held. `plain`: those of points that bear no key are not. `probe`: one may try."""

    why: str
    alarm: str
    plain: bool = False
    probe: bool = False

    def concerns(self, home: PointCopy | None) -> bool:
        """Whether the copy of a point, whose copy at home this is, is held by it."""
        return not (self.plain and (home is None or not home.kms_key))


def trouble(resource: ResourcePolicy, rule: VaultRule, observed: Observed, now: datetime) -> Trouble | None:
    """What is wrong with the key of a destination, as far as it is known; None when nothing is."""
    if not resource.native or rule.home:
        return None
    if not rule.kms_key:
        return _without(resource, rule, observed)
    seen = observed.keys.get((rule.vault, rule.kms_key), _NOTHING)
    if seen.wrong:
        return Trouble(f"nothing is copied to {rule.vault}: {seen.wrong}; {_mend(rule)}", WRONG_KEY)
    account = place_of(rule.vault)[0]
    if seen.default and account != resource.home.account:
        why = f"{rule.kms_key} is a default key of AWS, and the copy crosses accounts: such a key is never shared"
        return Trouble(f"nothing is copied to {rule.vault}: {why}; make a key of your own there", WRONG_KEY)
    return _after_failure(rule, seen, observed.catalogue.of(resource.name), now)


def _mend(rule: VaultRule) -> str:
    region = place_of(rule.vault)[1]
    return f"a copy needs an enabled, symmetric key of {region}; it is asked about again within 15 minutes"


def _without(resource: ResourcePolicy, rule: VaultRule, observed: Observed) -> Trouble | None:
    """Seen at the sources before anything is cut, else at the newest point."""
    sources = observed.sources.get(resource.name)
    bare = sorted(s.source_id for s in sources.sources if s.encrypted) if sources is not None else []
    home = resource.targets[0].vault
    if not bare:
        newest = next((p for p in observed.catalogue.of(resource.name) if p.copy_in(home) is not None), None)
        copy = newest.copy_in(home) if newest is not None else None
        bare = [newest.id] if newest is not None and copy is not None and copy.kms_key else []
    if not bare:
        return None
    region = place_of(rule.vault)[1]
    more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
    are = "is" if len(bare) == 1 else "are"
    why = f"{', '.join(bare[:3])}{more} {are} encrypted, and nothing is copied to {rule.vault} without a key"
    hint = f"name one of {region}, copies: [{{region: {region}, kms_key: alias/NAME}}]"
    return Trouble(f"{why}: {hint}", NO_KEY, plain=True)


def _after_failure(rule: VaultRule, seen: KmsSeen, points: Sequence[RecoveryPoint], now: datetime) -> Trouble | None:
    """A key that let a copy fail though it looks right lets one try, and the others wait for how that ends."""
    there = [copy for point in points if (copy := point.copy_in(rule.vault)) is not None]
    failed = max((c.failed_at for c in there if c.failed_at is not None and _by_key(c)), default=None)
    fixed = [at for c in there if c.whole and (at := c.usable_at) is not None] + ([seen.mended] if seen.mended else [])
    if failed is None or any(at > failed for at in fixed):
        return None
    why = f"a copy to {rule.vault} under {rule.kms_key} failed: {failure_of('key not accessible')}"
    if seen.doubt:
        why = f"{why}; a dry run of its use is refused ({seen.doubt})"
    if now < failed + PROBE_EVERY:
        return Trouble(f"{why}; one is tried at {to_text(failed + PROBE_EVERY)}", WRONG_KEY)
    trying = any(c.state is CopyState.PENDING for c in there)
    return Trouble(f"{why}; one copy is tried, the others wait for how it ends", WRONG_KEY, probe=not trying)


def _by_key(copy: PointCopy) -> bool:
    return copy.state is CopyState.FAILED and failure_of(copy.why).cause is Cause.KEY


def plan_shut(application: str, resource: ResourcePolicy, observed: Observed) -> Iterator[Hold]:
    """One for each vault with copies that do not open: they count for nothing, and none of them is let go."""
    shut: dict[tuple[str, str], list[RecoveryPoint]] = defaultdict(list)
    for point in observed.catalogue.of(resource.name):
        for copy in point.copies:
            if copy.shut:
                shut[copy.vault, copy.shut].append(point)
    for (vault, why), points in sorted(shut.items()):
        count = f"{len(points)} {'copy' if len(points) == 1 else 'copies'}"
        reason = f"{count} in {vault} cannot be restored: {why}; nothing counts on them, and none of them is let go"
        yield Hold(application, resource.name, vault, points[0].id, reason, WRONG_KEY)
