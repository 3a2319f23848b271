"""The brake: it refuses what deletes too much, and the last of anything, whatever retention says. Pure.

It knows nothing of keep rules: it counts what records say was marked and added, and looks at what would be left. What
it holds, a person can let pass: `drorch approve` signs exactly the pairs of vault and point that a plan showed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import datetime, timedelta

from drorch.domain.action import Action, Braked, Expire, Mark, digest_of
from drorch.domain.catalogue import Catalogue
from drorch.domain.duration import duration_text
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, RecoveryPoint
from drorch.domain.policy import BrakeRule, Policy
from drorch.domain.record import Record, RecordType
from drorch.domain.retention import FUTURE

Pair = tuple[str, str]
"""(vault, point)."""

APPROVED_FOR = timedelta(hours=1)
"""So long an approval lets pass what it names; what is approved too late is shown and approved again."""


def brake(
    policy: Policy,
    actions: Sequence[Action],
    catalogue: Catalogue,
    rule: BrakeRule,
    approved: Set[Pair],
    now: datetime,
) -> tuple[Action, ...]:
    """The plan of one application with a Braked in the place of every deletion that may not be carried out."""
    lasts = _lasts(policy, actions, catalogue, now)
    left = _allowances(actions, catalogue, rule, now)
    decided = []
    for action in actions:
        why = ""
        if _deletes(action) and (action.vault, action.point) not in approved:
            why = lasts.get((action.vault, action.point), "")
            if not why and isinstance(action, Mark):
                left[action.vault] -= 1
                if left[action.vault] < 0:
                    why = _too_many(action.vault, catalogue, rule, now)
        decided.append(_held(action, why) if why else action)
    return tuple(decided)


def _deletes(action: Action) -> bool:
    return isinstance(action, Expire) or (isinstance(action, Mark) and action.lets_go)


def _held(action: Action, why: str) -> Braked:
    reason = f"the brake holds it: {why} ({action.reason})"
    return Braked(action.application, action.resource, action.vault, action.point, reason, "brake", action.name)


def approved_pairs(approvals: Iterable[Record], now: datetime) -> frozenset[Pair]:
    """What approvals (signed records) let pass now; one whose digest is not that of its deletions approves nothing."""
    pairs: set[Pair] = set()
    for approval in approvals:
        if approval.type != RecordType.APPROVAL or not approval.at <= now < approval.at + APPROVED_FOR:
            continue
        named = {(vault, point) for vault, point in approval.body["deletions"]}
        if digest_of(named) == approval.text("digest"):
            pairs |= named
    return frozenset(pairs)


# --- too many -------------------------------------------------------------------------------------------------------


def _allowances(actions: Iterable[Action], catalogue: Catalogue, rule: BrakeRule, now: datetime) -> Counter[str]:
    """vault -> how many more copies may be marked there now."""
    vaults = {action.vault for action in actions if _deletes(action)}
    return Counter(
        {vault: _allowed(vault, catalogue, rule, now) - _spent(vault, catalogue, rule, now) for vault in vaults}
    )


def _allowed(vault: str, catalogue: Catalogue, rule: BrakeRule, now: datetime) -> int:
    """As many as were added in the span, and the smaller of share (rounded up: of few copies one may go) and count."""
    usable = _usable(catalogue.points, vault)
    came = (copy.usable_at or point.cut_at for point, copy in usable)
    added = sum(1 for at in came if at is not None and now - rule.per < at <= now)
    share = -(-len(usable) * rule.share // 100)
    return added + min(rule.count, share)


def _spent(vault: str, catalogue: Catalogue, rule: BrakeRule, now: datetime) -> int:
    """Copies whose deletion began in the span (or, by a clock that was wrong, after it), each once."""
    return len({going.point for going in catalogue.let_go if going.vault == vault and going.at > now - rule.per})


def _too_many(vault: str, catalogue: Catalogue, rule: BrakeRule, now: datetime) -> str:
    allowed, spent = _allowed(vault, catalogue, rule, now), _spent(vault, catalogue, rule, now)
    return f"{allowed} may go from {vault} within {duration_text(rule.per)}, {spent} were marked before"


# --- the last of anything -------------------------------------------------------------------------------------------


def _lasts(policy: Policy, actions: Iterable[Action], catalogue: Catalogue, now: datetime) -> dict[Pair, str]:
    """(vault, point) -> why it is one of the last: counted anew from what would be left, not by retention's word."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for action in actions:
        if _deletes(action):
            wanted.setdefault((action.resource, action.vault), set()).add(action.point)
    floors = {resource.name: resource.floor for resource in policy.resources}
    return {
        (vault, point): why
        for (resource, vault), points in wanted.items()
        for point, why in _of_vault(catalogue.of(resource), vault, points, floors.get(resource, 1), now)
    }


def _of_vault(
    points: Sequence[RecoveryPoint], vault: str, wanted: Set[str], floor: int, now: datetime
) -> Iterator[tuple[str, str]]:
    there = [(p, c) for p, c in _usable(points, vault) if p.cut_at is not None and p.cut_at <= now + FUTURE]
    newest = there[0][0].id if there else ""
    proved = next((p.id for p, copy in there if copy.verified_at is not None), "")
    good = next((p.id for p, _ in there if not p.suspect), "")
    left = sum(1 for p, _ in there if p.id not in wanted)
    for point, copy in there:
        if point.id not in wanted:
            continue
        if point.id == newest:
            yield point.id, f"it is the newest usable copy in {vault}"
        elif point.id == proved:
            yield point.id, f"it is the newest copy that a drill from {vault} has verified"
        elif point.id == good:
            yield point.id, f"it is the newest copy in {vault} that is not suspect"
        elif point.pinned:
            yield point.id, "it is pinned"
        elif left < floor:
            yield point.id, f"{left} usable copies would be left in {vault}, the floor is {floor}"
        elif (locked := copy.undeletable_until) is not None and now < locked:
            yield point.id, f"it is locked until {to_text(locked)}"


def _usable(points: Iterable[RecoveryPoint], vault: str) -> list[tuple[RecoveryPoint, Copy]]:
    """The usable points of a vault, newest first as the catalogue has them."""
    return [(p, copy) for p in points if (copy := p.copy_in(vault)) is not None and copy.usable]
