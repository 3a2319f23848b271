"""``drorch plan``: what the next pass would do; changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from drorch.cli import plan_words as words
from drorch.cli.screen import RED, YELLOW, prose, say, say_prose, table, tell

if TYPE_CHECKING:
    from drorch.app.passing import ApplicationPlan, Pass
    from drorch.domain.action import Waiting


@click.command()
@click.argument("applications", nargs=-1, metavar="[APP]...")
@click.option("--all", "everything", is_flag=True, help="Also every copy that is kept, and every row of long runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, everything in it.")
@click.pass_obj
def plan(config: str | None, applications: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """What the next pass would do, keep, let go and hold, each with its reason. Changes nothing."""
    from drorch.app.report import plan_json
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import chosen, late_promises, tell_about_policies, tell_late, tell_unread
    from drorch.domain.snapshot_quota import holdings

    host = the_host(config, asks_servers=True)
    seen = host.reconciler.look()
    waiting = host.reconciler.admitted(seen).wait
    plans = chosen(seen, applications)
    held = holdings((loaded.policy for loaded in seen.policies.valid), host.config.grace)
    unkept = late_promises(host, plans, seen)
    told: Collection[str] = ()
    if as_json:
        document = plan_json(seen.at, {p.policy.application: p for p in plans}, waiting, unkept)
        emit_json(document | {"snapshot_quotas": [holding.to_json() for holding in held]})
    else:
        together = len(plans) in (1, len(seen.plans))
        queue = {w.action.key: w for w in waiting if w.told}
        told = print_plan(plans, seen.at, everything=everything, causes=_causes(seen), together=together, queue=queue)
    tell_about_policies(seen)
    for holding in held:
        if not holding.fits:
            tell(str(holding), color=YELLOW)
    tell_late(unkept)
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
    plans: Sequence[ApplicationPlan],
    at: datetime,
    *,
    everything: bool = False,
    causes: Iterable[str] = (),
    together: bool = True,
    queue: Mapping[str, Waiting] = MappingProxyType({}),
) -> Collection[str]:
    """One table per application, many deletions summed up before it; what is kept is counted unless `everything`.

    `together`: the digest is that of all of it, else each application has its own (only those can be approved). Those
    of `causes` that reasons quote are told once, at the end; they are returned. `queue` maps the keys of copies that
    wait for a place to what they wait for.
    """
    notes = _Footnotes(causes)
    for number, p in enumerate(plans):
        if number:
            say()
        say(p.policy.application, bold=True)
        for cadence in words.cadences(p):
            say_prose(prose(cadence))
        for line, held in words.summary(p, at):
            say_prose(prose(line), color=YELLOW if held else RED, bold=True)
        shown = words.rows(p, notes.shorten, everything=everything, queue=queue)
        if shown:
            table(("ACTION", "RESOURCE", "VAULT", "POINT", "REASON"), shown)
        kept = sum(action.name == "keep" for action in p.actions)
        say(f"{words.copies(kept)} kept" + ("" if everything or not kept else " (--all shows why)"))
        if not together:
            _close([p], at)
    if together:
        _close(plans, at)
    for cause, number in notes.numbers.items():
        say(f"[{number}] {prose(cause)}", color=YELLOW)
    return notes.numbers.keys()


def _close(plans: Sequence[ApplicationPlan], at: datetime) -> None:
    from drorch.domain.action import deletions_digest

    actions = [action for p in plans for action in p.actions]
    grace = max((p.observed.grace for p in plans), default=timedelta())
    for line, bold in words.closing(words.going(actions), at + grace, deletions_digest(actions)):
        say_prose(line, bold=bold)
