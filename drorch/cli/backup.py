"""``drorch backup``: a point now, before a deployment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import datetime

    from drorch.app.ordered_cuts import Ordered
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

    All of them begin before any is waited for. They fill no slot of the schedule and live for `keep_manual` (14 days by
    default), or until their pin ends. One that fails is told; the others stay.

    \b
    Before a deployment:
      drorch backup shop orders --note "before v2.1" --pin 30d
    And when it went wrong:
      drorch restore shop orders --note "before v2.1" --into postgresql:///orders_back
    """
    from drorch.cli.opening import the_host
    from drorch.cli.screen import ProgressLine, emit_json, progress_words, tell
    from drorch.cli.selection import chosen
    from drorch.cli.selection import resources as chosen_resources
    from drorch.cli.typed import end_of_pin, words
    from drorch.domain.errors import DrorchError

    words(note, "--note")
    host = the_host(config, asks_servers=True)
    until = end_of_pin(pin_for, host.clock.now()) if pin_for else None
    if pin_for:
        host.orders.require_a_vault()
    seen = host.reconciler.look()
    plan = chosen(seen, [application])[0]
    line = ProgressLine(quiet=as_json)
    host.orders.watch = lambda resource, progress: line.show(f"{resource}: {progress_words(progress)}")
    wanted = chosen_resources(plan, resources)
    for resource in wanted:
        if resource.window is not None and not resource.window.open_at(host.clock.now()):
            tell(f"{resource.name}: its window {resource.window} is closed; an order does not wait for it")
    ended = host.orders.together(seen, plan, wanted, note)
    line.end()
    made = [how for how in ended.values() if not isinstance(how, DrorchError)]
    not_cut = {resource: how for resource, how in ended.items() if isinstance(how, DrorchError)}
    for name, error in not_cut.items():
        tell(f"{name}: {error}", color="red")
    not_pinned = _pin(host, application, made, note or "ordered with the backup", until) if pin_for and made else {}
    failed = [*not_cut.values(), *not_pinned.values()]
    if as_json:
        pinned = {o.point for o in made if pin_for and o.point not in not_pinned}
        emit_json(_document(application, note, made, not_cut, failed, pinned, until))
    else:
        _show(made)
    return worst(failed)


def _document(
    application: str,
    note: str,
    made: Sequence[Ordered],
    not_cut: Mapping[str, DrorchError],
    failed: Sequence[DrorchError],
    pinned: Collection[str],
    until: datetime | None,
) -> dict[str, object]:
    """The stable fields. `spread_s` lies between the first and the last `cut_at`; `pin_until` null of a pinned point is
    for ever.
    """
    from drorch.domain.instant import to_text

    end = None if until is None else to_text(until)
    return {
        "application": application,
        "note": note or None,
        "spread_s": _spread(made),
        "points": [
            {
                "id": o.point,
                "application": application,
                "resource": o.resource,
                "cut_at": to_text(o.cut_at),
                "vaults": list(o.vaults),
                "lost": dict(o.lost),
                "pinned": o.point in pinned,
                "pin_until": end if o.point in pinned else None,
            }
            for o in made
        ],
        "not_cut": [
            {"resource": resource, "why": str(error), "exit_code": error.exit_code}
            for resource, error in not_cut.items()
        ],
        "failed": [str(error) for error in failed],
    }


def _spread(made: Sequence[Ordered]) -> int | None:
    instants = [o.cut_at for o in made]
    return int((max(instants) - min(instants)).total_seconds()) if instants else None


def _show(made: Sequence[Ordered]) -> None:
    from datetime import timedelta

    from drorch.cli.screen import GREEN, age, say, tell, when

    for o in made:
        say(f"{o.resource}: point {o.point}, data as of {when(o.cut_at)} UTC, in {', '.join(o.vaults)}", color=GREEN)
        for vault, why in o.lost.items():
            tell(f"  not in {vault}, shipped later: {why}", color="yellow")
    if len(made) > 1:
        say(f"{len(made)} points, cut within {age(timedelta(seconds=_spread(made) or 0))} of each other")


def _pin(
    host: Host, application: str, made: Sequence[Ordered], reason: str, until: datetime | None
) -> dict[str, DrorchError]:
    """Pin what was made; the errors by point. The points are there all the same."""
    from drorch.cli.screen import tell
    from drorch.domain.errors import DrorchError, Unavailable

    failed: dict[str, DrorchError] = {}
    plan = host.reconciler.look().plans[application]
    for ordered in made:
        point = plan.catalogue.find(ordered.point)
        try:
            if point is None:
                raise Unavailable("it does not show any more", hint="drorch points, then drorch pin")
            host.orders.pin(point, reason, until)
        except DrorchError as error:
            failed[ordered.point] = error
            tell(f"{ordered.resource}: point {ordered.point} could not be pinned: {error}", color="red")
    return failed


def worst(errors: Sequence[DrorchError]) -> int:
    """The exit code of several errors."""
    from drorch.domain.errors import worst_code

    return worst_code(error.exit_code for error in errors)
