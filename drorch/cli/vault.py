"""``drorch vault``: mark a vault; run the store contract against it."""

from __future__ import annotations

import click

from drorch.cli.reserved import reserved


@click.group()
def vault() -> None:
    """Mark a vault; run the store contract against it."""


@vault.command(short_help="Mark a vault as this site's.")
@click.argument("name", metavar="V")
@click.pass_obj
def init(config: str | None, name: str) -> int:
    """Mark a vault as this site's and write its RESTORE.md. Repeating it is harmless."""
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
    )
    say(f"{name}: {done}")
    return 0


@vault.command(short_help="Run the store contract against the live vault.")
@click.argument("name", metavar="V")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def check(config: str | None, name: str, as_json: bool) -> int:
    """Run the store contract against the live vault and name what it lacks (exit 3).

    What it writes, below drorch/v1/check/, it removes again.
    """
    from drorch.app.vaults import check_vault
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, say, table

    host = the_host(config)
    store = host.store(name)
    results = check_vault(store, site=host.config.site, trusted=host.trusted)
    broken = [result for result in results if not result.ok]
    if as_json:
        clauses = [{"clause": r.name, "promise": r.promise, "ok": r.ok, "detail": r.detail or None} for r in results]
        emit_json({"vault": name, "ok": not broken, "clauses": clauses})
        return 3 if broken else 0
    rows = [
        (
            click.style("ok", fg="green") if r.ok else click.style("BROKEN", fg="red"),
            r.name,
            r.promise + (f": {r.detail}" if r.detail else ""),
        )
        for r in results
    ]
    table(("", "CLAUSE", "PROMISE"), rows)
    say(f"{len(results) - len(broken)} of {len(results)} clauses hold", color="red" if broken else "green")
    return 3 if broken else 0


vault.add_command(reserved("vault verify"))
