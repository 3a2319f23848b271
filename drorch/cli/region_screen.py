"""What is brought back in a region, as people and scripts see it: before, and afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.app.native_restore import Found, Located, RegionRequest
    from drorch.app.region_report import BroughtBack, Chosen, RegionReport
    from drorch.app.runbook import RunbookReport
    from drorch.app.runbook_dumps import LoadedDumps, LocatedDump
    from drorch.domain.recovery import Step
    from drorch.domain.runbook import Recovery
    from drorch.ports import Clock


def plan_json(
    request: RegionRequest, found: Found, noted: Mapping[str, Sequence[str]], clock: Clock
) -> dict[str, object]:
    """The stable fields of ``--plan`` (README: restore into a region)."""
    from drorch.app.native_restore import as_of
    from drorch.domain.recovery import Step

    steps: list[Step] = []
    for each in found.located:
        steps.append(Step("locate", each.resource, as_of(each)))
        steps.append(Step("create", each.resource, _what(each), each.estimate_s))
    return _plan_json(request, found, steps, [_native_json(each, noted, clock) for each in found.located])


def _native_json(each: Located, noted: Mapping[str, Sequence[str]], clock: Clock) -> dict[str, object]:
    offers = [offer.to_json() for offer in each.offers]
    own = {"restore": each.order.id, "begun": each.begun, "notes": list(_notes(each, noted)), "into": None}
    return _chosen_json(each, clock) | own | {"offers": offers}


def _dump_json(each: LocatedDump, clock: Clock) -> dict[str, object]:
    own = {"restore": each.id, "begun": False, "notes": list(each.choice.notes), "into": each.options.into}
    return _chosen_json(each, clock) | own | {"offers": []}


def _chosen_json(each: Chosen, clock: Clock) -> dict[str, object]:
    from drorch.domain.instant import to_text

    return {
        "resource": each.resource,
        "kind": each.kind,
        "point": each.choice.point.id,
        "vault": each.vault,
        "cut_at": to_text(each.choice.cut_at),
        "data_loss_s": each.choice.data_loss_s(clock.now()),
        "newer": [newer.to_json() for newer in each.choice.newer],
    }


def _plan_json(
    request: RegionRequest, found: Found, steps: Sequence[Step], resources: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    return {
        "application": request.application,
        "region": request.region,
        "resources": list(resources),
        "steps": [step.to_json() for step in steps],
        "left": dict(found.left),
    }


def print_plan(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    clock: Clock,
    dumps: Sequence[LocatedDump] = (),
) -> None:
    """What would be brought back, of when it is, and what will not be as it was."""
    from drorch.cli.screen import say, table

    say(f"{request.application} into {request.region}: nothing that exists is overwritten", bold=True)
    rows = [_row(each, _what(each), clock) for each in found.located]
    rows += [_row(dump, f"{dump.kind} into {dump.options.into}", clock) for dump in dumps]
    table(("RESOURCE", "POINT", "DATA AS OF (UTC)", "LOST", "FROM", "TAKES", "MAKES"), rows)
    chosen: tuple[Chosen, ...] = (*found.located, *dumps)
    if all(each.estimate_s is None for each in chosen):
        say("how long it takes is not known: no drill of these points has measured it")
    for each in found.located:
        _print_notes(each, _notes(each, noted))
    for dump in dumps:
        _print_notes(dump, dump.choice.notes)
    _print_left(found.left)


def _row(each: Chosen, makes: str, clock: Clock) -> tuple[str, ...]:
    from drorch.cli.screen import age, when

    return (
        each.resource,
        each.choice.point.id,
        when(each.choice.cut_at),
        age(timedelta(seconds=each.choice.data_loss_s(clock.now()))),
        each.vault,
        "" if each.estimate_s is None else f"about {age(timedelta(seconds=each.estimate_s))}",
        makes,
    )


def runbook_json(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    recovery: Recovery,
    clock: Clock,
    dumps: LoadedDumps,
) -> dict[str, object]:
    """As `plan_json`, its steps those of the runbook."""
    resources = [_native_json(each, noted, clock) for each in found.located]
    resources += [_dump_json(each, clock) for each in dumps.located.values()]
    return _plan_json(request, found, _estimated(found, recovery, dumps), resources)


def _estimated(found: Found, recovery: Recovery, dumps: LoadedDumps) -> list[Step]:
    """The steps of the runbook, those that bring something back with what a drill of it took."""
    from drorch.app.runbook_restores import estimates
    from drorch.domain.runbook_order import runbook_plan

    known = estimates(found, recovery, dumps.estimates)
    return [replace(step, estimate_s=known[step.step]) for step in runbook_plan(recovery)]


def print_runbook(
    request: RegionRequest,
    found: Found,
    noted: Mapping[str, Sequence[str]],
    recovery: Recovery,
    clock: Clock,
    dumps: LoadedDumps,
) -> None:
    """Of when the data are, and every step in its order."""
    from drorch.cli.screen import age, say, table

    print_plan(request, found, noted, clock, tuple(dumps.located.values()))
    say()
    say(f"the runbook of {request.application}; what needs nothing of each other goes side by side", bold=True)
    rows = [
        (
            str(number),
            step.step,
            "" if step.estimate_s is None else f"about {age(timedelta(seconds=step.estimate_s))}",
            step.detail,
        )
        for number, step in enumerate(_estimated(found, recovery, dumps), 1)
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


def _print_notes(each: Chosen, notes: Sequence[str]) -> None:
    from drorch.app.native_restore import Located
    from drorch.cli.screen import prose, tell, when

    for newer in each.choice.newer:
        told = f"{each.resource}: newer is {newer.point}, data as of {when(newer.cut_at)}: {newer.why}"
        tell(prose(told), color="yellow")
    if isinstance(each, Located):
        _print_offers(each)
    for note in notes:
        tell(f"note: {each.resource}: {prose(note)}", color="yellow")


def _print_offers(each: Located) -> None:
    """What the region has by itself that is newer than the copy."""
    from drorch.cli.screen import prose, tell, when

    for offer in each.offers:
        as_of = f", data as of {when(offer.data_as_of)} UTC" if offer.data_as_of else ""
        told = f"{each.resource}: {each.order.region} has {offer.what} {offer.name}{as_of}; {offer.detail}"
        tell(f"{prose(told)}. By hand:", color="yellow")
        tell(f"  {prose(offer.command)}", color="yellow")


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
