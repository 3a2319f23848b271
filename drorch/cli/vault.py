"""``drorch vault``: mark a vault; run the store contract against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.app.store_contract import ClauseResult


@click.group()
def vault() -> None:
    """Mark a vault; run the store contract against it."""


@vault.command(short_help="Mark a vault as this site's.")
@click.argument("name", metavar="V")
@click.pass_obj
def init(config: str | None, name: str) -> int:
    """Mark a vault as this site's and write its RESTORE.md. Repeating it is harmless.

    A vault with a lock is asked for it first: refused (exit 3) when it does not lock as it says.
    """
    from drorch.app.vaults import init_vault
    from drorch.cli.opening import the_host
    from drorch.cli.screen import say

    host = the_host(config)
    done = init_vault(
        host.store(name),
        site=host.config.site,
        key=host.signing_key(),
        trusted=host.trusted,
        recipients=host.config.encryption.recipients,
        now=host.clock.now(),
        words=host.guide_words,
    )
    say(f"{name}: {done}")
    return 0


@vault.command(short_help="Run the store contract against the live vault.")
@click.argument("name", metavar="V")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def check(config: str | None, name: str, as_json: bool) -> int:
    """Run the store contract against the live vault and name what it lacks (exit 3).

    What it writes, below drorch/v1/check/, it removes again; of a vault with a lock some objects stay locked for two
    minutes, and a later check removes them.
    """
    from drorch.app.vaults import check_vault
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, say, say_prose, table

    host = the_host(config)
    store = host.store(name)
    results = check_vault(store, site=host.config.site, trusted=host.trusted)
    broken = [result for result in results if not result.ok]
    if as_json:
        clauses = [{"clause": r.name, "promise": r.promise, "ok": r.ok, "detail": r.detail or None} for r in results]
        emit_json({"vault": name, "ok": not broken, "clauses": clauses})
        return 3 if broken else 0
    table(("", "CLAUSE", "PROMISE"), [(_word(r), r.name, r.promise) for r in results])
    for line in _told(results):
        say_prose(line)
    said = f"{len(results) - len(broken)} of {len(results)} clauses hold"
    limited = sum(1 for result in results if result.ok and result.detail)
    if limited:
        said += f", {limited} of them with a limit"
    say(said, color="red" if broken else "green")
    return 3 if broken else 0


def _told(results: Sequence[ClauseResult]) -> Iterator[str]:
    """What is broken, then where there are limits: one line for each reason, with the clauses that it stands for."""
    for ok in (False, True):
        reasons: dict[str, list[ClauseResult]] = {}
        for result in results:
            if result.detail and result.ok is ok:
                reasons.setdefault(result.detail, []).append(result)
        for detail, told in reasons.items():
            yield f"{_word(told[0])}  {', '.join(result.name for result in told)}: {detail}"


def _word(result: ClauseResult) -> str:
    if not result.ok:
        return click.style("BROKEN", fg="red")
    return click.style("limit", fg="yellow") if result.detail else click.style("ok", fg="green")


@vault.command(short_help="Compare what lies in a vault with what was signed.")
@click.argument("name", metavar="V")
@click.argument("application", metavar="[APP]", required=False)
@click.argument("resource", metavar="[RESOURCE]", required=False)
@click.option("--sample", metavar="SHARE", help="So much of every artefact, at least one leaf.  [default: 1%]")
@click.option("--full", is_flag=True, help="Every byte.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def verify(
    config: str | None,
    name: str,
    application: str | None,
    resource: str | None,
    sample: str | None,
    full: bool,
    as_json: bool,
) -> int:
    """Read the points in a vault and compare them with what was signed. No key is needed but the public one.

    Of every point the signatures, sizes and digests, and a random sample of the data (or all). Exit 6 for damage, 4
    when something could not be read. Where this host has its signing key, damage is signed into the vaults: such a copy
    counts no more until it is repaired.
    """
    from drorch.cli.vault_verify import run_verify

    return run_verify(config, name, application or "", resource or "", sample=sample, full=full, as_json=as_json)
