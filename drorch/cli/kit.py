"""``drorch kit``: the crisis kit, for a USB stick and a safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.kit import Kit

EPILOG = """
\b
On a stick that is mounted, made anew whenever keys, vaults or policies change:
  drorch kit --out /media/stick/drorch
"""


@click.command(epilog=EPILOG, short_help="Make the crisis kit: all but the keys, for a safe.")
@click.option("--out", required=True, metavar="DIR", help="An empty folder, or one with the last kit of this site.")
@click.option("--no-wheels", is_flag=True, help="Bring no wheels but drorch's own; nothing is downloaded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def kit(config: str | None, out: str, no_wheels: bool, as_json: bool) -> int:
    """Write all that a person without this host needs on the day: KIT.md (and kit.html, one page to print) with the
    commands to type, every vault's RESTORE.md, public keys, drorch with all it needs as wheels, the configuration.

    The age identity is not in it, nor any other secret. Everything is summed up in SHA256SUMS, which is signed. Exit 4
    when a vault could not be read: the kit is made without its RESTORE.md; 3 when a policy is invalid: the kit is made
    by its last valid text.
    """
    from pathlib import Path

    from drorch.app.kit import make_kit
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, tell
    from drorch.wiring.kit import kit_facts, kit_sources

    host = the_host(config)
    made = make_kit(Path(out).absolute(), kit_facts(host), kit_sources(host), wheels=not no_wheels)
    for vault in made.vaults:
        if vault.why:
            tell(f"{vault.name}: its RESTORE.md is not in the kit: {vault.why}", color="yellow")
    invalid = sorted({policy.file for policy in host.policies().invalid})
    for file in invalid:
        tell(f"{file} is invalid: the kit has its last valid text, or nothing of it", color="yellow")
    if as_json:
        emit_json(made.to_json() | {"invalid": invalid})
    else:
        _print(made)
    return 4 if any(vault.why for vault in made.vaults) else 3 if invalid else 0


def _print(made: Kit) -> None:
    from drorch.cli.screen import say, size, tell

    say(f"{made.folder}: {made.files} files, {size(made.bytes)}, {made.wheels} wheels", color="green")
    say(f"{made.dumps} restore commands, {len(made.vaults)} vaults; print kit.html, and put key.txt elsewhere")
    if made.kept:
        more = f" and {len(made.kept) - 3} more" if len(made.kept) > 3 else ""
        tell(f"left alone, and not of the kit: {', '.join(made.kept[:3])}{more}", color="yellow")
