"""``drorch points``: recovery points and their copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, say, size, table, when

if TYPE_CHECKING:
    from drorch.domain.model import Copy, RecoveryPoint

_COLORS = {"usable": GREEN, "pending": YELLOW, "expiring": YELLOW}


@click.command()
@click.argument("application")
@click.argument("resource", required=False)
@click.option("--vault", help="Only copies in this vault.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def points(config: str | None, application: str, resource: str | None, vault: str | None, as_json: bool) -> int:
    """Recovery points and their copies, newest first."""
    from dataclasses import replace

    from drorch.app.report import points_json
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, tell_about_policies
    from drorch.domain.errors import NotFound
    from drorch.wiring.host import open_host

    host = open_host(config)
    seen = host.reconciler.look()
    plan = chosen(seen, [application])[0]
    found = [p for p in plan.catalogue.points if resource is None or p.resource == resource]
    if resource is not None and not found and resource not in {r.name for r in plan.policy.resources}:
        raise NotFound(f"{application} has no resource {resource!r}")
    if vault is not None:
        narrowed = [replace(p, copies=tuple(c for c in p.copies if c.vault == vault)) for p in found]
        found = [p for p in narrowed if p.copies]
    if as_json:
        emit_json(points_json(found, host.reconciler.domains(plan.policy)))
    else:
        print_points(found)
    tell_about_policies(seen)
    return 0


def print_points(found: Sequence[RecoveryPoint]) -> None:
    """One row per copy; the point's own columns stand in its first row."""
    if not found:
        say("no points")
        return
    rows = []
    for point in found:
        own = (point.id, point.resource, when(point.cut_at), point.slot + (" pinned" if point.pinned else ""))
        for number, copy in enumerate(point.copies):
            first = own if number == 0 else ("", "", "", "")
            rows.append((*first, copy.vault, _state(copy), size(copy.bytes), when(copy.verified_at), copy.why))
    table(("POINT", "RESOURCE", "DATA AS OF", "SLOT", "VAULT", "STATE", "SIZE", "VERIFIED", ""), rows)


def _state(copy: Copy) -> str:
    return click.style(str(copy.state), fg=_COLORS.get(str(copy.state), RED))
