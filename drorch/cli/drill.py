"""``drorch drill``: restore into scratch, ask the probes, sign the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from drorch.app.passing import Finished, Pass
    from drorch.cli.screen import ProgressLine
    from drorch.domain.errors import DrorchError
    from drorch.wiring.host import Host


@click.command()
@click.argument("application", required=False, metavar="[APP]")
@click.argument("resource", required=False)
@click.option(
    "--from", "vaults", multiple=True, metavar="VAULT", help="Default: the vaults of the policy's drill rule."
)
@click.option("--scenario", type=click.Choice(["region"]), help="Drill the whole application: its runbook.")
@click.option("--into", metavar="REGION", help="With --scenario: a region of the runbook. Default: the policy's.")
@click.option("--audit", is_flag=True, help="Drill a point of any application that a seed picks, not you.")
@click.option("--passphrase-file", metavar="FILE", help="The passphrase of protected identities; else it is asked for.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def drill(
    config: str | None,
    application: str | None,
    resource: str | None,
    vaults: tuple[str, ...],
    scenario: str | None,
    into: str | None,
    audit: bool,
    passphrase_file: str | None,
    as_json: bool,
) -> int:
    """Restore the newest point into scratch, ask the probes, measure, clean up, sign the proof.

    With --scenario region the runbook's restores are carried out in their order, under the tags of a drill.

    With --audit application, level, vault and point are picked by a seed that the journal has before the drill begins.

    Exit 6 when the drill failed; the proof says so, too.
    """
    from drorch.cli.backup import worst
    from drorch.cli.opening import the_host
    from drorch.cli.passphrase import from_person
    from drorch.cli.screen import ProgressLine, emit_json, progress_words, tell
    from drorch.cli.selection import chosen, resources
    from drorch.domain.errors import DrorchError, Usage

    if audit != (application is None) or (audit and (vaults or scenario)):
        raise Usage("name an application, or --audit alone: nobody chooses what an audit drills")
    if scenario and (resource or vaults):
        raise Usage("--scenario drills the whole application", hint="leave RESOURCE and --from out")
    if into and not scenario:
        raise Usage("--into is for --scenario", hint="--scenario region --into REGION")
    if scenario and application:
        from drorch.cli.drill_scenario import drill_scenario

        return drill_scenario(the_host(config), application, into or "", as_json=as_json)
    host = the_host(config)
    host.ask = from_person(passphrase_file or "")
    seen = host.reconciler.look()
    line = ProgressLine(quiet=as_json)
    host.orders.watch = lambda name, progress: line.show(f"{name}: {progress_words(progress)}")
    if application is None:
        return _audit(host, seen, line, as_json=as_json)
    plan = chosen(seen, [application])[0]
    wanted = [
        (found, vault)
        for found in resources(plan, [resource] if resource else [])
        if resource or not found.native or found.drill
        for vault in (
            vaults or (found.drill.from_ if found.drill else ()) or [rule.vault for rule in found.targets][:1]
        )
    ]
    if not wanted:
        raise Usage(f"{application} has nothing to drill", hint="of snapshots name the resource, or give it a drill:")
    if any(not found.native for found, _ in wanted):
        host.identities()  # a passphrase is asked for now, not under a lock and a line of progress
    outcomes: list[Mapping[str, Any]] = []
    failed: list[DrorchError] = []
    for found, vault in wanted:
        try:
            finished = host.orders.drill(seen, plan, found, vault)
        except DrorchError as error:
            failed.append(error)
            line.end()
            tell(f"{found.name} from {vault}: {error}", color="red")
            continue
        line.end()
        outcomes.append(finished.result)
        if finished.error is not None:
            failed.append(finished.error)
        if not as_json:
            print_drill(finished.result)
    if as_json:
        emit_json(_document(outcomes, failed))
    return worst(failed)


def _document(outcomes: Sequence[Mapping[str, Any]], failed: Sequence[DrorchError]) -> dict[str, object]:
    """The stable fields (contract, section 4)."""
    steps = [step for outcome in outcomes for step in outcome["steps"]]
    return {"steps": steps, "drills": list(outcomes), "errors": [str(error) for error in failed]}


def told(finished: Finished, show: Callable[[Mapping[str, Any]], None], *, as_json: bool) -> int:
    """One drill that ended, as JSON or as `show` has it for people; its exit code."""
    from drorch.cli.backup import worst
    from drorch.cli.screen import emit_json

    failed = [finished.error] if finished.error is not None else []
    if as_json:
        emit_json(_document([finished.result], failed))
    else:
        show(finished.result)
    return worst(failed)


def _audit(host: Host, seen: Pass, line: ProgressLine, *, as_json: bool) -> int:
    """Pick, or go on with what was picked and has no proof yet; drill it."""
    from drorch.cli.screen import tell

    picked = host.audits.by_hand(seen, host.who())
    offer = picked.offer
    tell(f"{picked.reason}: {offer.application}/{offer.resource}, point {offer.point} from {offer.vault}")
    finished = host.orders.audit(seen, picked)
    line.end()
    return told(finished, print_drill, as_json=as_json)


def print_drill(outcome: Mapping[str, Any]) -> None:
    """What one drill found, for people."""
    from drorch.cli.screen import say, size

    well = outcome["outcome"] in ("passed", "restorable")
    seconds = outcome["seconds"]
    say(
        f"{outcome['application']}/{outcome['resource']} from {outcome['vault']}: {outcome['outcome']}",
        color="green" if well else "red",
        bold=True,
    )
    say(f"  point {outcome['point']}, data as of {outcome['cut_at']}, {size(outcome['bytes'])}")
    phases = ", ".join(
        f"{name} {seconds[name]} s"
        for name in ("download", "decrypt", "load", "create", "compare", "probe", "total")
        if name in seconds
    )
    say(f"  {phases}")
    for probe in outcome["probes"]:
        mark = "met" if probe["met"] else "NOT MET"
        say(f"  probe {mark}: {probe['sql']} gave {probe['got']}, expected {probe['expected']}")
    for difference in outcome["differences"]:
        say(f"  count differs: {difference}", color="red")
    if outcome["outcome"] == "restorable":
        say("  all of it can be made from this copy; what is in it was asked by nobody, so it is not verified")
    if outcome.get("left"):
        say(f"  still there, cleared away by the daemon when its time is up: {', '.join(outcome['left'])}", color="red")
    if outcome.get("why"):
        say(f"  {outcome['why']}", color="red")
