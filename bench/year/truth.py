"""What is compared with the ledger after passes and at the end: attained RPO, what is kept, what is missing.

The rules are counted anew here, by a few lines that share nothing with the product's retention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bench.year.applications import DOMAINS
from bench.year.ledger import FLOOR, GRACE, Held, Ledger
from drorch.app.passing import ApplicationPlan, Pass
from drorch.domain.model import FailureLevel
from drorch.domain.policy import Policy

LEVELS = ("zone", "region", "account", "provider")
TOLERANCE = timedelta(seconds=1)
OVERDUE = timedelta(days=3)
"""So long after its grace something that no rule keeps may still lie there: passes are made when slots begin."""


def survives(level: str, vault: str) -> bool:
    """Whether a vault is left when so much of the home (prod, us-east-1, aws) is lost."""
    domain = DOMAINS[vault]
    other = domain.provider != "aws"
    return {
        "zone": True,
        "region": other or domain.region != "us-east-1",
        "account": other or domain.account != "prod",
        "provider": other,
    }[level]


def newest(ledger: Ledger, application: str, level: str, unread: Iterable[str]) -> datetime | None:
    """The newest data time that really survives; what was taken from a vault that cannot be read counts still."""
    found = [
        held.cut_at
        for vault, points in ledger.copies.get((application, "data"), {}).items()
        if survives(level, vault)
        for held in points.values()
        if held.usable
    ]
    blind = set(unread)
    found += [
        taken.held.cut_at
        for (vault, _), taken in ledger.taken_copies.items()
        if vault in blind and taken.application == application and survives(level, vault)
    ]
    return max(found, default=None)


def check_rpo(ledger: Ledger, seen: Pass, planned: ApplicationPlan, worst: dict[str, list[float]]) -> None:
    """What the product reports of an application is never better than the truth."""
    application = planned.policy.application
    for level in LEVELS:
        said = planned.status.levels[FailureLevel(level)].rpo_attained
        true = newest(ledger, application, level, seen.world.unread)
        age = None if true is None else ledger.clocks.true - true
        if said is not None and (age is None or said + TOLERANCE < age):
            ledger.break_("rpo", application, f"level {level}: {said} is reported, the truth is {age}")
        if said is not None and age is not None:
            most = worst.setdefault(level, [0.0, 0.0])
            most[0] = max(most[0], said / timedelta(hours=1))
            most[1] = max(most[1], age / timedelta(hours=1))


# --- the end --------------------------------------------------------------------------------------------------------


def check_end(ledger: Ledger, policies: Iterable[Policy]) -> None:
    """One kept point per slot; nothing missing that rules keep; nothing left that nothing keeps; all losses told."""
    for policy in policies:
        for resource in policy.resources:
            where = (policy.application, resource.name)
            for rule in resource.targets:
                there = ledger.of(where, rule.vault)
                rules = rule.keep.model_dump()
                _one_per_slot(ledger, policy.application, rule.vault, there)
                if rule.home:
                    anywhere = dict(there)
                elif resource.native:
                    anywhere = {**ledger.of(where, resource.targets[0].vault), **there}
                else:
                    anywhere = {p: h for r in resource.targets for p, h in ledger.of(where, r.vault).items()}
                zone = resource.schedule.zone
                for held in _wanted(rules, anywhere.values(), zone):
                    if held.point not in there or not there[held.point].usable:
                        what = f"{rule.vault} lacks {held.point} (data as of {held.cut_at}), which its rules keep"
                        ledger.break_("missing", policy.application, what)
                _nothing_stays(ledger, policy, rule.vault, there, rules, zone)
    for (vault, point), taken in ledger.taken_copies.items():
        if not taken.told:
            ledger.break_("untold", taken.application, f"{point} was taken from {vault} at {taken.at}, nothing said so")


def _one_per_slot(ledger: Ledger, application: str, vault: str, there: Mapping[str, Held]) -> None:
    kept: dict[str, list[str]] = {}
    for held in there.values():
        if held.marked is None:
            kept.setdefault(held.slot, []).append(held.point)
    for slot, points in kept.items():
        if len(points) > 1:
            ledger.break_(
                "slot", application, f"{vault} keeps {len(points)} points of slot {slot}: {', '.join(points)}"
            )


def _wanted(rules: Mapping[str, object], held: Iterable[Held], zone: ZoneInfo) -> Iterator[Held]:
    """What keep rules keep of one point per slot (the earliest), newest first."""
    earliest: dict[str, Held] = {}
    for one in sorted((h for h in held if h.usable), key=lambda h: (h.cut_at, h.point)):
        earliest.setdefault(one.slot, one)
    ordered = sorted(earliest.values(), key=lambda h: (h.cut_at, h.point), reverse=True)
    kept = {one.point for one in ordered[: max(_count(rules, "last"), FLOOR)]}
    for rule, form in (("daily", "%Y-%m-%d"), ("weekly", "%G-%V"), ("monthly", "%Y-%m"), ("yearly", "%Y")):
        buckets: dict[str, str] = {}
        for one in ordered:
            if len(buckets) < _count(rules, rule):
                buckets.setdefault(one.cut_at.astimezone(zone).strftime(form), one.point)
        kept |= set(buckets.values())
    return (one for one in ordered if one.point in kept)


def _count(rules: Mapping[str, object], name: str) -> int:
    value = rules.get(name)
    return value if isinstance(value, int) else 0


def _nothing_stays(
    ledger: Ledger, policy: Policy, vault: str, there: Mapping[str, Held], rules: Mapping[str, object], zone: ZoneInfo
) -> None:
    """What was marked goes when its grace is over; what nothing keeps is marked, but for pinned and verified points."""
    now = ledger.clocks.true
    resource = policy.resources[0]
    slot = max(resource.schedule.longest_gap(), timedelta(days=1))
    wanted = {one.point for one in _wanted(rules, there.values(), zone)}
    copies = [h for held in ledger.copies[(policy.application, resource.name)].values() for h in held.values()]
    special = {h.point for h in copies if h.verified or ledger.pinned.get(h.point, now) > now}
    for held in there.values():
        if held.marked is not None and now > held.marked + GRACE + slot + OVERDUE:
            ledger.break_(
                "stays", policy.application, f"{vault}: {held.point} was marked at {held.marked} and is there"
            )
        young = now < held.came + 2 * slot
        if held.marked is None and held.point not in wanted | special and not young:
            ledger.break_("stays", policy.application, f"{vault}: {held.point} ({held.cut_at}) is kept by no rule")
