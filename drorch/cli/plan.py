"""``drorch plan``: what the next pass would do; changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, tell_about_policies, tell_unread

    seen = the_host(config).reconciler.look()
    plans = chosen(seen, applications)
    told: Collection[str] = ()
    if as_json:
        emit_json(plan_json(seen.at, {p.policy.application: p for p in plans}))
    else:
        told = print_plan(plans, everything=everything, causes=_causes(seen))
    tell_about_policies(seen)
    tell_unread(seen, without=told)
    return 3 if seen.policies.invalid else 0


def _causes(seen: Pass) -> Iterable[str]:
    """Why something could not be seen in this pass."""
    return {*seen.world.unread.values(), *(why for why in seen.world.sources.values() if isinstance(why, str))}


class _Footnotes:
    """One cause may stand behind many decisions: it is told once, at the end, by its number."""

    def __init__(self, causes: Iterable[str]) -> None:
        self.numbers: dict[str, int] = {}
        self._causes = sorted(causes, key=len, reverse=True)  # one may be the beginning of another

    def shorten(self, reason: str) -> str:
        """The reason with numbers instead of causes."""
        for cause in self._causes:
            for whole, short in ((f": {cause}", " [{}]"), (f"({cause})", "[{}]")):
                if whole in reason:
                    number = self.numbers.setdefault(cause, len(self.numbers) + 1)
                    reason = reason.replace(whole, short.format(number))
        return reason


def print_plan(
    plans: Iterable[ApplicationPlan], *, everything: bool = False, causes: Iterable[str] = ()
) -> Collection[str]:
    """One table per application; what is merely kept is counted unless `everything`.

    Those of `causes` that reasons quote are told once, at the end; they are returned.
    """
    from drorch.domain.action import deletions_digest

    deletions: list[Action] = []
    notes = _Footnotes(causes)
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
                notes.shorten(action.reason),
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
    for cause, number in notes.numbers.items():
        say(f"[{number}] {prose(cause)}", color=YELLOW)
    return notes.numbers.keys()


def _copies(count: int) -> str:
    return f"{count} {'copy' if count == 1 else 'copies'}"
