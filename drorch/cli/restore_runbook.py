"""``drorch restore APP --into region:NAME`` where a runbook says the steps: carried out, shown, reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.bringing_back import BroughtBack
    from drorch.app.native_restore import Found
    from drorch.app.runbook import RunbookReport
    from drorch.app.runbook_hands import AskedBeside
    from drorch.cli.restore_region import Asked, Sources
    from drorch.cli.screen import ProgressLine
    from drorch.domain.recovery import Step
    from drorch.domain.runbook import Recovery


def runbook_for(asked: Asked, sources: Sources, found: Found) -> Recovery | None:
    """The runbook that is to be carried out: the policy's, without one the newest signed one; None where there is none
    for the region, or where resources were named: then they alone are brought back.
    """
    from drorch.domain.runbook_record import recovery_of
    from drorch.wiring import adapters

    if asked.resources:
        return None
    recovery = sources.recovery
    if sources.mapped is None and found.runbook is not None:
        recovery = recovery_of(found.runbook.content, adapters.restore_models())
    if recovery is None or not recovery.steps or asked.region not in recovery.regions:
        return None
    return recovery


def print_runbook(recovery: Recovery) -> None:
    """Its steps, in an order in which each follows all that it needs."""
    from drorch.cli.screen import say, table
    from drorch.domain.runbook_order import described

    say("steps of the runbook", bold=True)
    table(("STEP", "AFTER", ""), [(s.name, ", ".join(s.needs), described(s)) for s in recovery.steps])


def carry_out(
    asked: Asked, sources: Sources, found: Found, recovery: Recovery, line: ProgressLine
) -> tuple[RunbookReport, tuple[BroughtBack, ...]]:
    """Carry it out; how it went, and what was brought back. Refused before anything begins where a step may not be."""
    from drorch.app.runbook import CarryingOut
    from drorch.app.runbook_hands import AskedBeside, commands_refused
    from drorch.app.runbook_restores import LocatedRestores, brought_back
    from drorch.wiring.runbook import runbook_hands

    restores = LocatedRestores(found, sources.restores.restoring)
    account = sources.home or next((each.order.account for each in found.located), "")
    ask = AskedBeside(lambda step, text: _asked(line, step, text))
    hands = runbook_hands(
        recovery,
        restores,
        sources.accounts_of({account, *(each.order.account for each in found.located)}),
        sources.clock,
        ask,
        application=asked.application,
        region=asked.region,
        account=account,
        environ=os.environ,
    )
    carrying = CarryingOut(hands, sources.clock, ask, _heard(asked, line), _shown(line, ask))
    refused = commands_refused(configured=sources.commands, allow_commands=asked.allow_commands)
    carrying.check(recovery, {"command": refused} if refused is not None else {})
    try:
        report = carrying.run(asked.application, asked.region, recovery)
    finally:
        line.end()
    return report, brought_back(found, restores, recovery, report, sources.clock)


def print_to_do(report: RunbookReport) -> None:
    """What people must know, and what remains to be done by hand."""
    from drorch.cli.screen import prose, say, tell

    for note in report.notes:
        tell(f"note: {prose(note)}", color="yellow")
    for what in report.to_do:
        tell(f"not done: {prose(what)}", color="red")
    if not report.to_do:
        say("every step of the runbook is done", color="green", bold=True)


def _asked(line: ProgressLine, step: str, text: str) -> bool:
    """A person's word. Refused where nobody is there to give it."""
    from drorch.cli.screen import prose
    from drorch.domain.errors import Refused

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = "give the command on a terminal: what is done already stays"
        raise Refused(f"nobody is here to say that it is done: {text}", operation=f"step {step}", hint=hint)
    line.end()
    return click.confirm(f"{step}: {prose(text)}\nIs it done?", err=True)


def _heard(asked: Asked, line: ProgressLine) -> Callable[[Step], None]:
    from drorch.cli.restore_region import silent, telling

    return silent if asked.as_json else telling(line)


def _shown(line: ProgressLine, ask: AskedBeside) -> Callable[[tuple[Step, ...]], None]:
    """What is under way, unless somebody is being asked: the question stays legible."""

    def show(steps: tuple[Step, ...]) -> None:
        if not ask.asking:
            line.show("; ".join(f"{step.step}: {step.detail}" for step in steps))

    return show


def with_runbook(document: Mapping[str, object], recovery: Recovery | None) -> dict[str, object]:
    """The document of ``--plan`` with the steps of the runbook, if one is carried out."""
    from drorch.domain.runbook_order import runbook_plan

    steps = None if recovery is None else [step.to_json() for step in runbook_plan(recovery)]
    return {**document, "runbook": steps}
