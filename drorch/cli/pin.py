"""``drorch pin`` and ``drorch unpin``."""

from __future__ import annotations

import click


@click.command()
@click.argument("point")
@click.option("--reason", required=True, help="Why; stands in the signed record.")
@click.option("--until", metavar="T", help="When the pin ends; without it never.")
@click.pass_obj
def pin(config: str | None, point: str, reason: str, until: str | None) -> int:
    """Retention never takes this point (or the one whose id begins so)."""
    from drorch.cli.screen import say
    from drorch.cli.selection import the_point
    from drorch.cli.until import instant
    from drorch.domain.errors import Usage
    from drorch.wiring.host import open_host

    host = open_host(config)
    end = instant(until, "--until") if until else None
    if end is not None and end <= host.clock.now():
        raise Usage("--until is over already")
    plan, found = the_point(host.reconciler.look(), point)
    host.orders.pin(plan, found, reason, end)
    say(f"point {found.id} of {found.application}/{found.resource} is pinned" + (f" until {until}" if until else ""))
    return 0


@click.command()
@click.argument("point")
@click.option("--reason", default="", help="Why; stands in the signed record.")
@click.pass_obj
def unpin(config: str | None, point: str, reason: str) -> int:
    """End a pin: retention decides about the point again."""
    from drorch.cli.screen import say
    from drorch.cli.selection import the_point
    from drorch.wiring.host import open_host

    host = open_host(config)
    plan, found = the_point(host.reconciler.look(), point)
    host.orders.unpin(plan, found, reason)
    say(f"point {found.id} of {found.application}/{found.resource} is not pinned any more")
    return 0
