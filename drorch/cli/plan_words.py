"""A plan as people read it: its rows, long runs as one, and what it would delete before anything else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, when

if TYPE_CHECKING:
    from drorch.app.passing import ApplicationPlan
    from drorch.domain.action import Action, Waiting

FEW = 5
"""More deletions than that are summed up before the table: nobody reads a thousand rows to see them."""
_RUN = 3
"""Longer runs of the same decision about one resource in one vault are one row."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

Shorten = Callable[[str], str]
"""A reason with footnotes instead of long causes."""


def copies(count: int) -> str:
    """``1 copy``, ``2 copies``."""
    return f"{count} {'copy' if count == 1 else 'copies'}"


def cadences(plan: ApplicationPlan) -> Iterator[str]:
    """``orders every 6h: region rpo 9h, time to usable 1h30m measured``, each that the policy leaves out; the databases
    of one entry together where they agree.
    """
    from drorch.domain.cadence import told

    derived = [(resource, why) for resource in plan.policy.resources if (why := told(resource))]
    named = ((resource.origin.template if resource.origin else resource.name, why) for resource, why in derived)
    for name, why in dict.fromkeys(named):
        yield f"{name} {why}"


# --- rows ----------------------------------------------------------------------------------------------------------


def rows(
    plan: ApplicationPlan, shorten: Shorten, *, everything: bool, queue: Mapping[str, Waiting] = MappingProxyType({})
) -> list[tuple[str, ...]]:
    """(action, resource, vault, point, reason) of every decision but what is merely kept; `everything` leaves none out
    and joins none. What `queue` names by its key waits for a place.
    """
    shown = [_queued(action, queue) for action in plan.actions if everything or action.name != "keep"]
    if everything:
        return [_row(action, shorten) for action in shown]
    found: list[tuple[str, ...]] = []
    for _, group in groupby(shown, _alike):
        run = list(group)
        joined = len(run) > _RUN and _joins(run[0])
        found += [_joined(plan, run, shorten)] if joined else [_row(action, shorten) for action in run]
    return found


def _queued(action: Action, queue: Mapping[str, Waiting]) -> Action:
    waits = queue.get(action.key)
    if waits is None:
        return action
    place = f", place {waits.place} in the queue" if waits.place else ""
    return replace(action, reason=f"{action.reason}; waits{place}: {waits.why}")


def _alike(action: Action) -> tuple[str, ...]:
    """What joins a run: the same decision, for the same reason but for its instants."""
    reason = _INSTANT.sub("", action.reason)
    return action.name, getattr(action, "mark", ""), _of_brake(action), action.resource, action.vault, reason


def _joins(action: Action) -> bool:
    return bool(action.point) and action.name in ("mark", "expire", "hold", "lock")


def _row(action: Action, shorten: Shorten) -> tuple[str, ...]:
    where = action.vault or ", ".join(getattr(action, "into", ()))
    return _shown(action), action.resource, where, action.point, shorten(action.reason)


def _joined(plan: ApplicationPlan, run: Sequence[Action], shorten: Shorten) -> tuple[str, ...]:
    first = run[0]
    found = (plan.catalogue.find(action.point) for action in run)
    times = sorted(point.cut_at for point in found if point is not None and point.cut_at is not None)
    span = f"as of {when(times[0])} to {when(times[-1])}: " if times else ""
    reason = shorten(first.reason) + ("" if len({action.reason for action in run}) == 1 else " (the first of them)")
    return _shown(first), first.resource, first.vault, f"{len(run)} points", span + reason


def _shown(action: Action) -> str:
    mark = getattr(action, "mark", "")
    if _of_brake(action):
        return click.style(action.name, fg=YELLOW, bold=True)
    if mark:
        return click.style(f"mark {mark}", fg={"expiring": RED, "suspect": YELLOW}.get(mark, GREEN))
    colors = {"expire": RED, "sweep": RED, "hold": YELLOW, "keep": None}
    return click.style(action.name, fg=colors.get(action.name, GREEN))


def _of_brake(action: Action) -> str:
    """Which deletion the brake holds here; "" for everything else."""
    return str(getattr(action, "wanted", ""))


# --- what would be deleted -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Going:
    """What a plan lets go: marks that begin a deletion, deletions, and those of both that the brake holds."""

    begins: tuple[Action, ...]
    deletes: tuple[Action, ...]
    held: tuple[Action, ...]

    @property
    def count(self) -> int:
        """How many copies."""
        return len(self.begins) + len(self.deletes) + len(self.held)


def going(actions: Iterable[Action]) -> Going:
    """The deletions of a plan."""
    listed = list(actions)
    return Going(
        tuple(action for action in listed if getattr(action, "lets_go", False)),
        tuple(action for action in listed if action.name == "expire"),
        tuple(action for action in listed if _of_brake(action)),
    )


def summary(plan: ApplicationPlan, at: datetime) -> Iterator[tuple[str, bool]]:
    """A line per resource, vault and step of many deletions, and whether the brake holds it; nothing for a few."""
    let_go = going(plan.actions)
    if let_go.count <= FEW:
        return
    over = f"deleted no earlier than {when(at + plan.observed.grace)} UTC"
    for actions, does, after in (
        (let_go.deletes, ("is deleted", "are deleted"), ""),
        (let_go.begins, ("begins to expire", "begin to expire"), f"; {over}"),
        (let_go.held, ("is held by the brake", "are held by the brake"), ""),
    ):
        counted = Counter((action.resource, action.vault) for action in actions)
        for (resource, vault), count in sorted(counted.items()):
            there = sum((c := p.copy_in(vault)) is not None and c.usable for p in plan.catalogue.of(resource))
            of = f"{count} of {copies(max(there, count))} of {plan.policy.application}/{resource} in {vault}"
            why = _why([action.reason for action in actions if (action.resource, action.vault) == (resource, vault)])
            yield f"{of} {does[count > 1]}: {why}{after}", actions is let_go.held


def _why(reasons: Sequence[str]) -> str:
    """The reasons, the most common first, three at most."""
    counted = Counter(_INSTANT.sub("...", reason.removeprefix("the brake holds it: ")) for reason in reasons)
    if len(counted) == 1:
        only = next(iter(counted))
        return only.replace(" keeps it", " keeps them") if len(reasons) > 1 else only
    told = [f"{reason} ({count})" for reason, count in counted.most_common(3)]
    return ", ".join(told) + (f", and {len(counted) - len(told)} other reasons" if len(counted) > len(told) else "")


def closing(let_go: Going, after: datetime, digest: str) -> Iterator[tuple[str, bool]]:
    """What would be marked and deleted and what the brake holds, under which digest, what to type next; whether in
    bold. `after` is when the grace of what is marked now is over.
    """
    parts = []
    if let_go.begins:
        parts.append(f"{copies(len(let_go.begins))} would begin to expire, deleted no earlier than {when(after)} UTC")
    if let_go.deletes:
        parts.append(f"{copies(len(let_go.deletes))} would be deleted")
    if let_go.held:
        parts.append(f"the brake holds {copies(len(let_go.held))}")
    if parts:
        yield f"{'; '.join(parts)} (digest {digest[:16]})", False
    if let_go.held:
        yield f"drorch approve {digest[:16]} lets exactly these pass, for an hour", True
