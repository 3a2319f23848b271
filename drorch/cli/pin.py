"""``drorch pin``, ``drorch unpin`` and ``drorch clear``: what a person says about a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.domain.errors import DrorchError


@click.command()
@click.argument("point")
@click.option("--reason", required=True, metavar="TEXT", help="Why; stands in the signed record.")
@click.option("--until", metavar="T", help="When the pin ends, such as 2027-01-31T00:00Z; without it never.")
@click.pass_obj
def pin(config: str | None, point: str, reason: str, until: str | None) -> int:
    """Retention never takes this point (or the one whose id begins so)."""
    from drorch.cli.opening import the_host
    from drorch.cli.screen import say, when
    from drorch.cli.selection import the_point
    from drorch.cli.typed import instant, words
    from drorch.domain.errors import Usage

    words(reason, "--reason")
    host = the_host(config)
    end = instant(until, "--until") if until else None
    if end is not None and end <= host.clock.now():
        raise Usage("--until is over already")
    _, found = the_point(host.reconciler.look(), point)
    missing = host.orders.pin(found, reason, end)
    until_when = f" until {when(end)} UTC" if end else ""
    say(f"point {found.id} of {found.application}/{found.resource} is pinned{until_when}")
    _tell_missing(missing)
    return 0


@click.command()
@click.argument("point")
@click.option("--reason", default="", metavar="TEXT", help="Why; stands in the signed record.")
@click.pass_obj
def unpin(config: str | None, point: str, reason: str) -> int:
    """End a pin: retention decides about the point again."""
    from drorch.cli.opening import the_host
    from drorch.cli.screen import say
    from drorch.cli.selection import the_point
    from drorch.cli.typed import words

    words(reason, "--reason")
    host = the_host(config)
    _, found = the_point(host.reconciler.look(), point)
    missing = host.orders.unpin(found, reason)
    say(f"point {found.id} of {found.application}/{found.resource} is not pinned any more")
    _tell_missing(missing)
    return 0


@click.command()
@click.argument("point")
@click.option("--reason", required=True, metavar="TEXT", help="Why it is as it should be; in the signed record.")
@click.pass_obj
def clear(config: str | None, point: str, reason: str) -> int:
    """A suspect point is what it should be: what is older may be let go again."""
    from drorch.cli.opening import the_host
    from drorch.cli.screen import say
    from drorch.cli.selection import the_point
    from drorch.cli.typed import words

    words(reason, "--reason")
    host = the_host(config)
    _, found = the_point(host.reconciler.look(), point)
    missing = host.orders.clear(found, reason)
    say(f"point {found.id} of {found.application}/{found.resource} is not suspect any more")
    _tell_missing(missing)
    return 0


def _tell_missing(missing: Mapping[str, DrorchError]) -> None:
    from drorch.cli.screen import YELLOW, tell

    for vault, error in sorted(missing.items()):
        tell(f"not written into {vault} now; the next pass brings it there: {error}", color=YELLOW)
