"""``drorch backup``: a point now, before a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import datetime

    from drorch.app.orders import Ordered
    from drorch.domain.errors import DrorchError
    from drorch.wiring.host import Host


@click.command()
@click.argument("application", metavar="APP")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
@click.option("--note", default="", metavar="TEXT", help="What it is for; stands beside the point.")
@click.option("--pin", "pin_for", metavar="D", help="Pin it for a duration such as 14d, or `forever`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def backup(
    config: str | None, application: str, resources: tuple[str, ...], note: str, pin_for: str | None, as_json: bool
) -> int:
    """Cut points of an application (or of some of its resources) now, and wait until they are usable.

    They fill no slot of the schedule and live for `keep_manual` (14 days by default), or until their pin ends.

    \b
    Before a deployment:
      drorch backup shop orders --note "before v2.1" --pin 30d
    """
    from drorch.cli.opening import the_host
    from drorch.cli.screen import GREEN, ProgressLine, emit_json, progress_words, say, tell, when
    from drorch.cli.selection import chosen
    from drorch.cli.selection import resources as chosen_resources
    from drorch.cli.typed import end_of_pin, words
    from drorch.domain.errors import DrorchError
    from drorch.domain.instant import to_text

    words(note, "--note")
    host = the_host(config, asks_servers=True)
    until = end_of_pin(pin_for, host.clock.now()) if pin_for else None
    if pin_for:
        host.orders.require_a_vault()
    seen = host.reconciler.look()
    plan = chosen(seen, [application])[0]
    line = ProgressLine(quiet=as_json)
    host.orders.watch = lambda resource, progress: line.show(f"{resource}: {progress_words(progress)}")
    made: list[Ordered] = []
    failed: list[DrorchError] = []
    for resource in chosen_resources(plan, resources):
        if resource.window is not None and not resource.window.open_at(host.clock.now()):
            tell(f"{resource.name}: its window {resource.window} is closed; an order does not wait for it")
        try:
            made.append(host.orders.backup(seen, plan, resource, note))
        except DrorchError as error:
            failed.append(error)
            line.end()
            tell(f"{resource.name}: {error}", color="red")
    line.end()
    if pin_for and made:
        failed += _pin(host, application, made, note or "ordered with the backup", until)
    if as_json:
        emit_json(
            {
                "points": [
                    {
                        "id": o.point,
                        "application": application,
                        "resource": o.resource,
                        "cut_at": to_text(o.cut_at),
                        "vaults": list(o.vaults),
                        "lost": dict(o.lost),
                    }
                    for o in made
                ],
                "failed": [str(error) for error in failed],
            }
        )
    for o in () if as_json else made:
        say(f"{o.resource}: point {o.point}, data as of {when(o.cut_at)} UTC, in {', '.join(o.vaults)}", color=GREEN)
        for vault, why in o.lost.items():
            tell(f"  not in {vault}, shipped later: {why}", color="yellow")
    return worst(failed)


def _pin(
    host: Host, application: str, made: Sequence[Ordered], reason: str, until: datetime | None
) -> list[DrorchError]:
    """Pin what was made; the errors. The points are there all the same."""
    from drorch.cli.screen import tell
    from drorch.domain.errors import DrorchError

    failed: list[DrorchError] = []
    plan = host.reconciler.look().plans[application]
    for ordered in made:
        point = plan.catalogue.find(ordered.point)
        if point is None:
            continue
        try:
            host.orders.pin(point, reason, until)
        except DrorchError as error:
            failed.append(error)
            tell(f"{ordered.resource}: point {ordered.point} could not be pinned: {error}", color="red")
    return failed


def worst(errors: Sequence[DrorchError]) -> int:
    """The exit code of several outcomes: 6, then 4, 3, 5; a fault in drorch itself is not hidden behind the others."""
    codes = {error.exit_code for error in errors}
    return next((code for code in (6, 1, 4, 3, 5, 2) if code in codes), 0)
