"""``drorch approve``: lets exactly the deletions that a plan showed pass the brake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.approval import Approved


@click.command()
@click.argument("digest")
@click.option("--reason", default="", metavar="TEXT", help="Why; stands in the signed record.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def approve(config: str | None, digest: str, reason: str, as_json: bool) -> int:
    """Let exactly the deletions that `plan` showed under DIGEST pass the brake, for an hour.

    Nothing is asked: the digest names every copy. Exit 3 when the plan has changed since.
    """
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.typed import words
    from drorch.domain.instant import to_text

    words(reason, "--reason")
    host = the_host(config)
    approved = host.orders.approve(host.reconciler.look(fresh=True), digest, reason)
    if as_json:
        emit_json(
            {
                "digest": approved.digest,
                "until": to_text(approved.until),
                "deletions": [release.to_json() for release in approved.releases],
                "lost": {vault: str(error) for vault, error in sorted(approved.lost.items())},
            }
        )
    else:
        print_approved(approved)
    _tell_lost(approved)
    return 0


def print_approved(approved: Approved) -> None:
    """What it releases, and until when."""
    from drorch.cli.screen import RED, say, size, table, when

    rows = [
        (
            click.style("delete" if release.deletes else "expiring", fg=RED),
            release.vault,
            release.application,
            release.resource,
            release.point,
            when(release.cut_at),
            size(release.bytes or None),
        )
        for release in approved.releases
    ]
    table(("ACTION", "VAULT", "APPLICATION", "RESOURCE", "POINT", "DATA AS OF", "SIZE"), rows)
    count = len(approved.releases)
    those = "this deletion" if count == 1 else f"these {count} deletions"
    say(f"{those} may pass until {when(approved.until)} UTC (digest {approved.digest[:16]})", bold=True)
    if any(not release.deletes for release in approved.releases):
        say("what is marked as expiring is deleted after the grace; until then a keep rule or a pin still saves it")


def _tell_lost(approved: Approved) -> None:
    """The vaults that could not take the approval: one is enough."""
    from drorch.cli.screen import YELLOW, tell

    for vault, error in sorted(approved.lost.items()):
        tell(f"not written into {vault}: {error}", color=YELLOW)
