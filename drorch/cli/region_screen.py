"""What is brought back in a region, as people and scripts see it: before, and afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.app.bringing_back import BroughtBack, RegionReport
    from drorch.app.native_restore import Found, Located, RegionRequest
    from drorch.app.runbook import RunbookReport
    from drorch.domain.recovery import Step
    from drorch.domain.runbook import Recovery
    from drorch.ports import Clock


def plan_json(
    request: RegionRequest, found: Found, noted: Mapping[str, Sequence[str]], clock: Clock
) -> dict[str, object]:
    """The stable fields of ``--plan`` (README: restore into a region)."""
    from drorch.app.native_restore import as_of
    from drorch.domain.recovery import Step

    steps = []
    for each in found.located:
        steps.append(Step("locate", each.resource, as_of(each)))
        steps.append(Step("create", each.resource, _what(each), each.estimate_s))
    return _plan_json(request, found, noted, steps, clock)


def _plan_json(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    steps: Sequence[Step],
    clock: Clock,
) -> dict[str, object]:
    from drorch.app.native_restore import data_loss
    from drorch.domain.instant import to_text

    now = clock.now()
    return {
        "application": request.application,
        "region": request.region,
        "resources": [
            {
                "resource": each.resource,
                "kind": each.kind,
                "point": each.choice.point.id,
                "vault": each.vault,
                "cut_at": to_text(each.choice.cut_at),
                "data_loss_s": data_loss(each, now),
                "restore": each.order.id,
                "begun": each.begun,
                "newer": [newer.to_json() for newer in each.choice.newer],
                "offers": [offer.to_json() for offer in each.offers],
                "notes": list(_notes(each, noted)),
            }
            for each in found.located
        ],
        "steps": [step.to_json() for step in steps],
        "left": dict(found.left),
    }


def print_plan(request: RegionRequest, found: Found, noted: Mapping[str, Sequence[str]], clock: Clock) -> None:
    """What would be brought back, of when it is, and what will not be as it was."""

    from drorch.app.native_restore import data_loss
    from drorch.cli.screen import age, say, table, when

    now = clock.now()
    say(f"{request.application} into {request.region}: nothing that exists is overwritten", bold=True)
    rows = [
        (
            each.resource,
            each.choice.point.id,
            when(each.choice.cut_at),
            age(timedelta(seconds=data_loss(each, now))),
            each.vault,
            "" if each.estimate_s is None else f"about {age(timedelta(seconds=each.estimate_s))}",
            _what(each),
        )
        for each in found.located
    ]
    table(("RESOURCE", "POINT", "DATA AS OF (UTC)", "LOST", "FROM", "TAKES", "MAKES"), rows)
    if all(each.estimate_s is None for each in found.located):
        say("how long it takes is not known: no drill of these snapshots has measured it")
    for each in found.located:
        _print_notes(each, _notes(each, noted))
    _print_left(found.left)


def runbook_json(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    recovery: Recovery,
    clock: Clock,
) -> dict[str, object]:
    """As `plan_json`, its steps those of the runbook."""
    return _plan_json(request, found, noted, _estimated(found, recovery), clock)


def _estimated(found: Found, recovery: Recovery) -> list[Step]:
    """The steps of the runbook, those that bring something back with what a drill of it took."""
    from drorch.domain.runbook_order import launched, runbook_plan

    known = {each.resource: each.estimate_s for each in found.located if each.resource not in launched(recovery)}
    return [replace(step, estimate_s=known.get(step.resource)) for step in runbook_plan(recovery)]


def print_runbook(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    recovery: Recovery,
    clock: Clock,
) -> None:
    """Of when the data are, and every step in its order."""
    from drorch.cli.screen import age, say, table

    print_plan(request, found, noted, clock)
    say()
    say(f"the runbook of {request.application}; what needs nothing of each other goes side by side", bold=True)
    rows = [
        (
            str(number),
            step.step,
            "" if step.estimate_s is None else f"about {age(timedelta(seconds=step.estimate_s))}",
            step.detail,
        )
        for number, step in enumerate(_estimated(found, recovery), 1)
    ]
    table(("", "STEP", "TAKES", ""), rows, right=frozenset({0}))


def print_runbook_report(report: RunbookReport, whole: RegionReport, terraform: str) -> None:
    """What is there now, how each step ended, and what remains to be done by hand."""
    from drorch.cli.screen import age, prose, say, table, tell

    print_report(whole, terraform)
    rows = [
        (step.step, step.outcome, "" if step.took_s is None else age(timedelta(seconds=step.took_s)), step.detail)
        for step in report.steps
    ]
    table(("STEP", "ENDED", "TOOK", ""), rows)
    for note in report.notes:
        tell(f"note: {prose(note)}", color="yellow")
    for left in report.to_do:
        tell(f"still to be done: {prose(left)}", color="red")
    if not report.to_do:
        say(f"{report.application} is back in {report.region}", color="green", bold=True)


def _what(each: Located) -> str:
    count = sum(not part.image for part in each.order.parts)
    sort = "image" if any(part.role == "image" for part in each.order.parts) else "snapshot"
    return f"{each.kind} from {count} {sort}{'s' if count != 1 else ''}" + (", begun before" if each.begun else "")


def _notes(each: Located, noted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return (*each.choice.notes, *each.notes, *noted.get(each.resource, ()))


def _print_notes(each: Located, notes: Sequence[str]) -> None:
    from drorch.cli.screen import prose, tell, when

    for newer in each.choice.newer:
        told = f"{each.resource}: newer is {newer.point}, data as of {when(newer.cut_at)}: {newer.why}"
        tell(prose(told), color="yellow")
    for offer in each.offers:
        as_of = f", data as of {when(offer.data_as_of)} UTC" if offer.data_as_of else ""
        told = f"{each.resource}: {each.order.region} has {offer.what} {offer.name}{as_of}; {offer.detail}"
        tell(f"{prose(told)}. By hand:", color="yellow")
        tell(f"  {prose(offer.command)}", color="yellow")
    for note in notes:
        tell(f"note: {each.resource}: {prose(note)}", color="yellow")


def _print_left(left: Mapping[str, str]) -> None:
    from drorch.cli.screen import prose, tell

    for resource, why in sorted(left.items()):
        tell(f"not brought back by this: {resource}: {prose(why)}", color="yellow")


# --- the report ------------------------------------------------------------------------------------------------------


def print_report(report: RegionReport, terraform: str) -> None:
    """What is there now, what is lost, what remains to be done by hand."""
    from drorch.cli.screen import say, table

    rows = [
        (each.located.resource, made.what, made.native_id, made.state, made.endpoint or made.detail)
        for each in report.resources
        for made in each.made
    ]
    if rows:
        table(("RESOURCE", "WHAT", "ID", "STATE", ""), rows)
    for each in report.resources:
        _print_outcome(each)
        _print_notes(each.located, each.notes)
    _print_left(report.left)
    if terraform and any(made.address for each in report.resources for made in each.made):
        say(f"import blocks for Terraform and OpenTofu: {terraform}")


def _print_outcome(each: BroughtBack) -> None:

    from drorch.cli.screen import age, prose, say, tell, when

    lost = age(timedelta(seconds=each.data_loss_s))
    as_of = f"data as of {when(each.located.choice.cut_at)} UTC ({lost} ago), point {each.located.choice.point.id}"
    if each.outcome == "done":
        say(f"{each.located.resource} is back from {each.located.vault}: {as_of}", color="green", bold=True)
    else:
        tell(f"{each.located.resource} is not back: {prose(each.why)}", color="red")
