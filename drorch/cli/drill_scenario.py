"""``drorch drill APP --scenario region``: the whole application, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drorch.wiring.host import Host


def drill_scenario(host: Host, application: str, region: str, *, as_json: bool) -> int:
    """Run it now, and tell what came of it. Exit 6 when it failed; the proof says so, too."""
    from drorch.cli.drill import told
    from drorch.cli.screen import ProgressLine, progress_words
    from drorch.cli.selection import chosen

    seen = host.reconciler.look()
    plan = chosen(seen, [application])[0]
    line = ProgressLine(quiet=as_json)
    host.orders.watch = lambda _name, progress: line.show(progress_words(progress))
    finished = host.orders.rehearse(seen, plan, region)
    line.end()
    return told(finished, print_scenario, as_json=as_json)


def print_scenario(outcome: Mapping[str, Any]) -> None:
    """What a drill of a whole application found, for people."""
    from drorch.cli.screen import say, size
    from drorch.domain.runbook_order import FAILED, NOT_BEGUN

    well, seconds = outcome["outcome"] == "restorable", outcome["seconds"]
    say(
        f"{outcome['application']} in {outcome['region']}: {outcome['outcome']}",
        color="green" if well else "red",
        bold=True,
    )
    say(f"  data as of {outcome['cut_at']} at the oldest, {size(outcome['bytes'])}, ready after {seconds['create']} s")
    width = max(len(step["step"]) for step in outcome["steps"])
    for step in outcome["steps"]:
        took = f" ({step['took_s']} s)" if step["took_s"] is not None else ""
        wrong = step["outcome"] in (FAILED, NOT_BEGUN)
        say(f"  {step['step']:<{width}}  {step['outcome']}: {step['detail']}{took}", color="red" if wrong else None)
    if well:
        say("  every step that ran did; what is in it was asked by nobody, so it is not verified")
    if outcome["left"]:
        say(f"  still there, cleared away by the daemon when its time is up: {', '.join(outcome['left'])}", color="red")
