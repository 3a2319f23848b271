"""``drorch plan``: what the next pass would do; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, say, table

if TYPE_CHECKING:
    from drorch.app.reconcile import ApplicationPlan
    from drorch.domain.action import Action

_COLORS = {"expire": RED, "hold": YELLOW, "keep": None}


@click.command()
@click.argument("applications", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also every copy that is kept, with its reasons.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, everything in it.")
@click.pass_obj
def plan(config: str | None, applications: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """What the next pass would do, keep, let go and hold, each with its reason. Changes nothing."""
    from drorch.app.report import plan_json
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, tell_about_policies
    from drorch.wiring.host import open_host

    seen = open_host(config).reconciler.look()
    plans = chosen(seen, applications)
    if as_json:
        emit_json(plan_json(seen.at, {p.policy.application: p for p in plans}))
    else:
        print_plan(plans, everything=everything)
    tell_about_policies(seen)
    return 3 if seen.policies.invalid else 0


def print_plan(plans: Iterable[ApplicationPlan], *, everything: bool = False) -> None:
    """One table per application; what is merely kept is counted unless `everything`."""
    from drorch.domain.action import deletions_digest

    deletions: list[Action] = []
    for p in plans:
        say(p.policy.application, bold=True)
        shown = [a for a in p.actions if everything or a.name != "keep"]
        rows = [
            (
                click.style(action.name, fg=_COLORS.get(action.name, GREEN)),
                action.resource,
                action.vault or ", ".join(getattr(action, "into", ())),
                action.point,
                action.reason,
            )
            for action in shown
        ]
        if rows:
            table(("ACTION", "RESOURCE", "VAULT", "POINT", "REASON"), rows)
        kept = sum(action.name == "keep" for action in p.actions)
        say(f"{kept} copies kept" + ("" if everything or not kept else " (--all shows why)"))
        deletions += [action for action in p.actions if action.name == "expire"]
    if deletions:
        say(f"{len(deletions)} copies would expire (digest {deletions_digest(deletions)[:16]}); nothing is deleted")
