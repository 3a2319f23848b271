"""``drorch points``: recovery points and their copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, prose, say, size, table, when

if TYPE_CHECKING:
    from drorch.domain.catalogue import Catalogue
    from drorch.domain.model import Copy, RecoveryPoint

_COLORS = {"usable": GREEN, "pending": YELLOW, "expiring": YELLOW}


@click.command()
@click.argument("application", metavar="APP")
@click.argument("resource", required=False)
@click.option("--vault", metavar="V", help="Only copies in this vault.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def points(config: str | None, application: str, resource: str | None, vault: str | None, as_json: bool) -> int:
    """Recovery points of an application (or of one resource) and their copies, newest first."""
    from dataclasses import replace

    from drorch.app.report import points_json
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, made_from, tell_about_policies, tell_unread
    from drorch.domain.errors import NotFound
    from drorch.domain.feasibility import domains_of

    host = the_host(config)
    seen = host.reconciler.look()
    plan = chosen(seen, [application])[0]
    domains = domains_of(plan.policy, host.reconciler.observer.vaults)
    wanted = {resource, *made_from(plan.policy, resource or "")}
    found = [p for p in plan.catalogue.points if resource is None or p.resource in wanted]
    names = {r.name for r in plan.policy.resources}
    if resource is not None and not found and resource not in names:
        raise NotFound(f"{application} has no resource {resource!r}", hint=f"it has: {', '.join(sorted(names))}")
    if vault is not None:
        if vault not in domains and not any(p.copy_in(vault) for p in found):
            raise NotFound(f"there is no vault {vault!r}", hint=f"{application} uses: {', '.join(sorted(domains))}")
        narrowed = [replace(p, copies=tuple(c for c in p.copies if c.vault == vault)) for p in found]
        found = [p for p in narrowed if p.copies]
    if as_json:
        emit_json(points_json(found, domains))
    else:
        print_points(found, plan.observed.grace)
        for line in unsuspicious(found, plan.catalogue):
            say(line, color=YELLOW)
    tell_about_policies(seen)
    tell_unread(seen)
    return 0


def print_points(found: Sequence[RecoveryPoint], grace: timedelta) -> None:
    """A row per point, and beneath it one per copy. `grace` is how long a copy is marked before it is deleted."""
    if not found:
        say("no points")
        return
    rows: list[tuple[str, ...]] = []
    for point in found:
        rows.append((click.style(point.id, bold=True), point.resource, when(point.cut_at), _said(point), _about(point)))
        rows += [(f"  {copy.vault}", _state(copy), *_proved(copy), _fate(copy, grace)) for copy in point.copies]
    table(("POINT\n  VAULT", "RESOURCE\nSTATE", "DATA AS OF\nVERIFIED", "\nSIZE", "SLOT\n"), rows)


def unsuspicious(found: Sequence[RecoveryPoint], catalogue: Catalogue) -> Iterator[str]:
    """Of every resource with a suspect point among `found`: which is the last that nobody doubts."""
    from drorch.domain.suspicion import last_unsuspicious

    for resource in dict.fromkeys(point.resource for point in found if point.suspect):
        good = last_unsuspicious(catalogue.of(resource))
        told = f"{good.id} as of {when(good.cut_at)} UTC" if good else "none"
        yield f"{resource}: last unsuspicious: {told}"


def _said(point: RecoveryPoint) -> str:
    """What marks say about the whole point."""
    marks = [click.style("suspect", fg=RED, bold=True)] if point.suspect else []
    marks += [click.style("pinned", fg=YELLOW)] if point.pinned else []
    return " ".join(marks)


def _about(point: RecoveryPoint) -> str:
    note = f": {prose(point.note)}" if point.note else ""
    until = f"; pinned until {when(point.pin_until)}" if point.pinned and point.pin_until else ""
    told = "".join(f"; {prose(words)}" for words in (point.partial, point.suspect) if words)
    return point.slot + note + until + told


def _state(copy: Copy) -> str:
    state = "damaged" if copy.damaged else "gone" if copy.gone else copy.shown
    return click.style(state, fg=_COLORS.get(state, RED))


def _proved(copy: Copy) -> tuple[str, str]:
    """When a drill last proved it, and its size: of a native copy that of its members."""
    return when(copy.verified_at), size(copy.bytes or sum(member.bytes for member in copy.members) or None)


def _fate(copy: Copy, grace: timedelta) -> str:
    """What is to become of it, and what keeps it; then why its state is what it is."""
    told = []
    if copy.expired_at is not None:
        told.append(f"its deletion began {when(copy.expired_at)}")
    elif copy.expiring_since is not None:
        since, until = when(copy.expiring_since), when(copy.expiring_since + grace)
        told.append(f"expiring since {since}, deleted no earlier than {until}")
    if copy.locked_until is not None:
        told.append(f"locked until {when(copy.locked_until)} ({copy.lock_mode or 'mode not known'})")
    from drorch.domain.copy_failure import told_failure
    from drorch.domain.model import CopyState

    why = told_failure(copy.why) if copy.state is CopyState.FAILED else copy.why
    return "; ".join([*told, *filter(None, [why])])
