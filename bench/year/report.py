"""The year in figures, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from bench.year.simulation import Outcome

_SHOWN = 20


def as_text(outcomes: Sequence[Outcome], seconds: float, days: int) -> str:
    """What happened, as a person reads it."""
    sites, applications = len(outcomes), sum(o.applications for o in outcomes)
    lines = [f"{applications} applications in {sites} sites, {days} days, in {seconds:.0f} s", ""]
    lines += _table("what happened", _sum(o.counts for o in outcomes))
    lines += _table("actions by outcome", _sum(o.actions for o in outcomes))
    due = sum(o.cuts_due for o in outcomes)
    missed = _sum(o.missed for o in outcomes)
    lines += _table(f"slots without a point, of {due}, by what was wrong meanwhile", missed)
    lines += _table("alarms (application-days; of vaults site-days)", _sum(o.alarms for o in outcomes))
    compared = sum(o.compared for o in outcomes)
    lines += [f"worst attained RPO, reported and true, in hours ({compared} comparisons)"]
    lines += [f"  {level:<12}{said:>10.1f}{true:>10.1f}" for level, (said, true) in _worst(outcomes).items()]
    lines += ["", f"{sum(o.passes for o in outcomes)} passes"]
    broken = sorted((b for o in outcomes for b in o.broken), key=lambda b: b.day)
    if broken:
        lines += _table("BROKEN, by invariant", Counter(b.invariant for b in broken))
        lines += [f"BROKEN {b}" for b in broken[:_SHOWN]]
    else:
        lines += ["every invariant held"]
    return "\n".join(lines) + "\n"


def as_json(outcomes: Sequence[Outcome], seconds: float, days: int) -> dict[str, object]:
    """The same as plain values."""
    return {
        "applications": sum(o.applications for o in outcomes),
        "sites": len(outcomes),
        "days": days,
        "seconds": round(seconds, 1),
        "passes": sum(o.passes for o in outcomes),
        "slots": sum(o.cuts_due for o in outcomes),
        "counts": dict(_sum(o.counts for o in outcomes)),
        "actions": dict(_sum(o.actions for o in outcomes)),
        "missed": dict(_sum(o.missed for o in outcomes)),
        "alarms": dict(_sum(o.alarms for o in outcomes)),
        "worst_rpo_hours": {level: {"reported": s, "true": t} for level, (s, t) in _worst(outcomes).items()},
        "comparisons": sum(o.compared for o in outcomes),
        "broken": [asdict(b) for o in outcomes for b in o.broken],
    }


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _worst(outcomes: Iterable[Outcome]) -> dict[str, tuple[float, float]]:
    worst: dict[str, tuple[float, float]] = {}
    for outcome in outcomes:
        for level, (said, true) in outcome.worst.items():
            before = worst.get(level, (0.0, 0.0))
            worst[level] = (max(before[0], said), max(before[1], true))
    return worst


def _table(title: str, rows: Mapping[str, int]) -> list[str]:
    width = max((len(name) for name in rows), default=0)
    shown = [f"  {name:<{width}}  {rows[name]:>9,}" for name in sorted(rows) if rows[name]]
    return [title, *(shown or ["  nothing"]), ""]
