"""``drorch plan``: what the next pass would do; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import GREEN, RED, YELLOW, prose, say, table

if TYPE_CHECKING:
    from drorch.app.reconcile import ApplicationPlan, Pass
    from drorch.domain.action import Action

_COLORS = {"expire": RED, "hold": YELLOW, "keep": None}


@click.command()
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--all", "everything", is_flag=True, help="Also every copy that is kept, with its reasons.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, everything in it.")
@click.pass_obj
def plan(config: str | None, applications: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """What the next pass would do, keep, let go and hold, each with its reason. Changes nothing."""
    from drorch.app.report import plan_json
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, tell_about_policies, tell_unread
    from drorch.wiring.host import open_host

    seen = open_host(config).reconciler.look()
    plans = chosen(seen, applications)
    if as_json:
        emit_json(plan_json(seen.at, {p.policy.application: p for p in plans}))
    else:
        print_plan(plans, everything=everything, causes=_causes(seen))
    tell_about_policies(seen)
    if as_json:
        tell_unread(seen)
    return 3 if seen.policies.invalid else 0


def _causes(seen: Pass) -> Sequence[str]:
    """Why something could not be seen in this pass, each cause once."""
    sources = [why for why in seen.world.sources.values() if isinstance(why, str)]
    return list(dict.fromkeys([*seen.world.unread.values(), *sources]))


def print_plan(plans: Iterable[ApplicationPlan], *, everything: bool = False, causes: Sequence[str] = ()) -> None:
    """One table per application; what is merely kept is counted unless `everything`.

    One cause may stand behind many decisions: each of `causes` is told once, at the end, by its number.
    """
    from drorch.domain.action import deletions_digest

    deletions: list[Action] = []
    for number, p in enumerate(plans):
        if number:
            say()
        say(p.policy.application, bold=True)
        shown = [a for a in p.actions if everything or a.name != "keep"]
        rows = [
            (
                click.style(action.name, fg=_COLORS.get(action.name, GREEN)),
                action.resource,
                action.vault or ", ".join(getattr(action, "into", ())),
                action.point,
                _numbered(action.reason, causes),
            )
            for action in shown
        ]
        if rows:
            table(("ACTION", "RESOURCE", "VAULT", "POINT", "REASON"), rows)
        kept = sum(action.name == "keep" for action in p.actions)
        say(f"{_copies(kept)} kept" + ("" if everything or not kept else " (--all shows why)"))
        deletions += [action for action in p.actions if action.name == "expire"]
    if deletions:
        say(f"{_copies(len(deletions))} would expire (digest {deletions_digest(deletions)[:16]}); nothing is deleted")
    for number, cause in enumerate(causes, 1):
        say(f"[{number}] {prose(cause)}", color=YELLOW)


def _copies(count: int) -> str:
    return f"{count} {'copy' if count == 1 else 'copies'}"


def _numbered(reason: str, causes: Sequence[str]) -> str:
    # Longest first: one cause may be the beginning of another.
    for number, cause in sorted(enumerate(causes, 1), key=lambda entry: -len(entry[1])):
        reason = reason.replace(f": {cause}", f" [{number}]").replace(f"({cause})", f"[{number}]")
    return reason
