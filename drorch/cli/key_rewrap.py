"""``drorch key rewrap``: a new recipient gets the old dumps, the data untouched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.passing import Pass
    from drorch.app.rewrap import Hands
    from drorch.app.verify import Place
    from drorch.wiring.host import Host

EPILOG = """
\b
Every dump of every application, with the offline key:
  drorch key rewrap --identity key.txt --to age1...
"""


@click.command(epilog=EPILOG, short_help="Give a new recipient the old dumps.")
@click.argument("application", metavar="[APP]", required=False)
@click.argument("resource", metavar="[RESOURCE]", required=False)
@click.option("--to", "recipient", required=True, metavar="RECIPIENT", help="age1..., whose key shall open them, too.")
@click.option(
    "--identity", "identities", multiple=True, metavar="FILE", help="A key that opens them; else this host's."
)
@click.option("--passphrase-file", metavar="FILE", help="The passphrase of protected identities; else it is asked for.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def rewrap(
    config: str | None,
    application: str | None,
    resource: str | None,
    recipient: str,
    identities: tuple[str, ...],
    passphrase_file: str | None,
    as_json: bool,
) -> int:
    """Write a signed header for RECIPIENT beside every usable dump that its key does not open yet.

    A restore with that key takes it; for stock tools RESTORE.md has the commands. The data are not touched, and whoever
    could open a dump still can: this gives a key access and takes none away. New dumps follow
    `encryption: recipients:`.
    """
    from drorch.app.rewrap import rewrap as carry_out
    from drorch.cli.backup import worst
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, say, tell
    from drorch.cli.selection import tell_unread
    from drorch.crypto.age import check_recipient
    from drorch.domain.errors import DrorchError

    check_recipient(recipient)
    host = the_host(config)
    hands = _hands(host, identities, passphrase_file or "")
    seen = host.reconciler.look(fresh=True)
    readable = [name for name in host.vaults if name not in seen.world.unread]
    written, had, failed = [], 0, list[DrorchError]()
    for place, source in _dumps(seen, application, resource):
        try:
            done = carry_out(place, recipient, source, readable, hands)
        except DrorchError as error:
            failed.append(error)
            tell(f"{place.application}/{place.resource} {place.point}: {error}", color="red")
            continue
        for vault, lost in done.lost.items():
            tell(f"{vault} does not have the header of {place.point}: {lost}", color="yellow")
        had += not done.written
        if done.written:
            written.append(place)
    tell_unread(seen)
    if as_json:
        points = [{"application": p.application, "resource": p.resource, "point": p.point} for p in written]
        emit_json({"rewrapped": points, "had_it": had, "errors": [str(error) for error in failed]})
    else:
        say(f"{len(written)} dumps rewrapped, {had} had it, {len(failed)} failed", color="red" if failed else "green")
    return worst(failed)


def _hands(host: Host, identities: tuple[str, ...], passphrase_file: str) -> Hands:
    from drorch.app.rewrap import Hands
    from drorch.cli.passphrase import from_person, identities_in

    host.ask = from_person(passphrase_file)
    keys = tuple(found for name in identities for found in identities_in(name, passphrase_file)) or host.identities()
    return Hands(host.store, host.trusted, keys, host.signing_key, host.clock)


def _dumps(seen: Pass, application: str | None, resource: str | None) -> Iterator[tuple[Place, str]]:
    """Every usable dump, and a vault that has it and can be read."""
    from drorch.app.verify import Place
    from drorch.cli.selection import chosen, resources

    for planned in chosen(seen, [application] if application else []):
        for each in resources(planned, [resource] if resource else []):
            for point in planned.catalogue.of(each.name):
                copies = [c.vault for c in point.copies if c.usable and c.path and c.vault not in seen.world.unread]
                if copies and point.cut_at is not None:
                    yield Place(*point.filed_under, point.cut_at, point.id), copies[0]
