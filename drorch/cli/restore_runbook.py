"""Restoring a whole application in another region: the steps of its runbook, in their order, side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.native_restore import Found, RegionRequest
    from drorch.app.region_report import RegionReport
    from drorch.app.runbook import RunbookReport
    from drorch.app.runbook_dumps import LoadedDumps
    from drorch.app.runbook_restores import LocatedRestores
    from drorch.cli.live import LiveSteps
    from drorch.cli.region_sources import Asked, Sources
    from drorch.domain.runbook import Recovery


def runbook_of(sources: Sources, found: Found) -> Recovery | None:
    """The policy's, else that of the newest signed record; None where there is none."""
    from drorch.wiring.runbook import recorded_runbook

    if sources.recovery is not None:
        return sources.recovery
    return recorded_runbook(found.runbook) if found.runbook else None


def with_runbook(asked: Asked, sources: Sources, request: RegionRequest, found: Found, recovery: Recovery) -> int:
    """Check every step, ask, carry out, report. Refused before anything has begun."""
    from drorch.app.native_restore import check_all
    from drorch.app.region_report import RegionReport
    from drorch.app.runbook_restores import LocatedRestores, ReadyThings
    from drorch.cli.live import LiveSteps
    from drorch.cli.region_screen import print_runbook, runbook_json
    from drorch.cli.restore_region import agreed, journal
    from drorch.cli.screen import emit_json
    from drorch.domain.runbook_order import launched

    live = LiveSteps(quiet=asked.as_json, promised=sources.promised)
    dumps = _dumps(asked, sources, recovery)
    found = replace(found, left={name: why for name, why in found.left.items() if name not in dumps})
    restores = LocatedRestores(found, sources.restores.restoring, ReadyThings(sources.clock, live.ended).note)
    restores.require(recovery.restored - dumps.located.keys())
    elsewhere = {each.resource for each in found.located} - recovery.restored
    noted = check_all(found, sources.restores.restoring, without=launched(recovery) | elsewhere)
    if asked.plan_only or asked.asks:
        if asked.as_json:
            emit_json(runbook_json(request, found, noted, recovery, sources.clock, dumps))
        else:
            print_runbook(request, found, noted, recovery, sources.clock, dumps)
        if asked.plan_only or not agreed(asked):
            return 0 if asked.plan_only else 3
    began = sources.clock.now()
    report = _carry_out(asked, sources, restores, dumps, recovery, live)
    backs = restores.outcomes(recovery.restored - launched(recovery), report.steps, sources.clock, noted)
    backs = (*backs, *dumps.outcomes(report.steps, sources.clock))
    whole = RegionReport(asked.application, asked.region, backs, report.steps, found.left, report.exit_code)
    journal(asked, sources, began, whole, report.to_do)
    return _told(asked, report, whole)


def _dumps(asked: Asked, sources: Sources, recovery: Recovery) -> LoadedDumps:
    """The dumps among what the steps bring back, each with its point."""
    from drorch.app.runbook_dumps import LoadedDumps
    from drorch.domain.dump_return import dumps_in

    wanted = dumps_in(recovery, asked.region)
    if not wanted:
        return LoadedDumps(asked.application)
    if sources.dumps is None:
        raise TypeError("a runbook of dumps needs what opens them")
    dumps = LoadedDumps(asked.application, wanted, sources.dumps(), asked.at)
    dumps.locate()
    return dumps


def _carry_out(
    asked: Asked,
    sources: Sources,
    restores: LocatedRestores,
    dumps: LoadedDumps,
    recovery: Recovery,
    live: LiveSteps,
) -> RunbookReport:
    from drorch.app.runbook import CarryingOut
    from drorch.app.runbook_hands import AskedBeside, commands_refused
    from drorch.app.runbook_restores import estimates
    from drorch.wiring.runbook import build_hands

    ask = AskedBeside(_asking(live, as_json=asked.as_json))
    located = restores.found.located
    names = {each.order.account for each in located} | {sources.account} - {""}
    if sources.accounts_of is None:
        raise TypeError("a runbook needs the accounts of AWS")
    hands = build_hands(
        recovery,
        sources.accounts_of(names),
        sources.clock,
        restores,
        ask,
        application=asked.application,
        region=asked.region,
        account=sources.account or next((each.order.account for each in located), ""),
        loads=dumps,
    )
    expected = estimates(restores.found, recovery, dumps.estimates)
    rounds = CarryingOut(hands, sources.clock, ask, live.ended, live.shown, expected)
    refused = commands_refused(configured=sources.commands, allow_commands=asked.allow_commands)
    rounds.check(recovery, {"command": refused} if refused else {})
    dumps.check()
    try:
        return rounds.run(asked.application, asked.region, recovery)
    finally:
        dumps.close()
        live.clear()


def _asking(live: LiveSteps, *, as_json: bool) -> Callable[[str, str], bool]:
    """Asks at the terminal; while a question stands there nothing is drawn over it."""
    from drorch.domain.errors import Refused

    def ask(step: str, text: str) -> bool:
        if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            hint = "give the same command at a terminal: what is done already is found done"
            raise Refused(f"{text}: nobody is here to say that it is done", operation=f"step {step}", hint=hint)
        question = f"{step}: {text}\nIs it done?"
        with live.standing(question):
            return click.confirm(question, err=True)

    return ask


def _told(asked: Asked, report: RunbookReport, whole: RegionReport) -> int:
    from drorch.cli.region_screen import print_runbook_report
    from drorch.cli.restore_region import write_blocks
    from drorch.cli.screen import emit_json

    if asked.terraform:
        write_blocks(Path(asked.terraform), whole.import_blocks())
    if asked.as_json:
        emit_json({**whole.to_json(), "notes": list(report.notes), "to_do": list(report.to_do)})
    else:
        print_runbook_report(report, whole, asked.terraform)
    return report.exit_code
