"""Commands that the contract reserves: refused by their name, whatever stands behind it."""

from __future__ import annotations

import click

from drorch.domain.errors import Usage


def reserved(name: str) -> click.Command:
    """A hidden command `name` (such as ``key check``) that says that this version does not have it."""

    def refuse(_rest: tuple[str, ...]) -> None:
        raise Usage(f"{name} is not in this version of drorch")

    rest = click.Argument(["_rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(
        name.split()[-1],
        callback=refuse,
        params=[rest],
        hidden=True,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
