"""``drorch unprotected``: what lies in the accounts and regions of the policies, and no policy selects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import YELLOW, say, size, table, tell

if TYPE_CHECKING:
    from drorch.domain.native import Source
    from drorch.domain.unprotected import Place, UnprotectedSeen

_HEADERS = ("KIND", "WHERE", "ID", "SIZE", "WHAT IS KNOWN OF IT")


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also what is ignored, each with its reason.")
@click.option("--check", is_flag=True, help="Exit 5 when anything is unprotected, 4 when it could not be seen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def unprotected(config: str | None, everything: bool, check: bool, as_json: bool) -> int:
    """Volumes, RDS instances and clusters that no policy selects and no `ignore:` covers.

    Looks where policies name an account and region of AWS, homes and copies alike; lists everything there once.
    """
    from drorch.app.report import unprotected_json
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json
    from drorch.cli.selection import tell_about_policies

    host = the_host(config)
    seen = host.reconciler.look()
    policies = [loaded.policy for loaded in seen.policies.valid]
    selected = partial(host.observer.sources_of, world=seen.world)
    bare = host.unprotected.look(policies, selected, seen.at)
    if as_json:
        emit_json(unprotected_json(seen.at, bare))
    else:
        print_unprotected(bare, everything=everything)
    tell_about_policies(seen)
    for (kind, account, region), why in sorted(bare.unseen.items()):
        tell(f"{kind} in {account}.{region} could not be seen: {why}", color=YELLOW)
    if not check:
        return 0
    if bare.unseen:
        return 4
    return 3 if seen.policies.invalid else 5 * any(bare.found.values())


def print_unprotected(bare: UnprotectedSeen, *, everything: bool) -> None:
    """A table of what is forgotten, one of what is ignored, and how many there are."""
    rows = [_row(place, source, known(source)) for place, found in bare.found.items() for source in found]
    if rows:
        table(_HEADERS, rows, right=frozenset({3}))
    if everything and bare.ignored:
        say("ignored", bold=True)
        ignored = [_row(entry.place, entry.source, entry.reason) for entry in bare.ignored]
        table((*_HEADERS[:-1], "REASON"), ignored, right=frozenset({3}))
    hint = "" if everything or not bare.ignored else " (--all shows them)"
    say(f"{len(rows)} unprotected, {len(bare.ignored)} ignored{hint}")


def _row(place: Place, source: Source, told: str) -> tuple[str, ...]:
    kind, account, region = place
    return kind, f"{account}.{region}", source.source_id, size(source.bytes or None), told


def known(source: Source) -> str:
    """What helps to find out whose it is: engine, instance, tags."""
    engine = source.settings.get("engine")
    words = [str(engine)] if engine else []
    if source.instance:
        words.append(f"on {source.instance}")
    words += [f"{key}={value}" for key, value in sorted(source.tags.items()) if not key.startswith("aws:")]
    return ", ".join(words) or "no tags"
