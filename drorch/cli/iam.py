"""``drorch iam``: least-privilege policies for the roles of a site; no secret, no network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from drorch.domain.iam_roles import AccountUse


@click.command(short_help="Print least-privilege IAM policies for what is configured.")
@click.option("--role", type=click.Choice(["backup", "vault", "restore"]), help="This role only.")
@click.option("--account", metavar="NAME", help="This account only, a key of aws.accounts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def iam(config: str | None, role: str | None, account: str | None, as_json: bool) -> int:
    """Print least-privilege IAM policies for the kinds, regions and buckets that configuration and policies use.

    \b
    backup   cuts, copies and writes; ends only what bears this site's tag
    vault    the same in an account where nothing lives but copies
    restore  reads, and makes new resources out of copies

    Before a role that drorch takes on in another account stands its trust policy: who may, and with which external id.

    Statements named LetGo... are what deletion needs: without them everything else works, and nothing is let go.
    """
    from drorch.cli.screen import emit_json, say, tell
    from drorch.domain.iam import MOST_CHARACTERS, characters
    from drorch.domain.iam_roles import statements

    chosen = [
        (use, name)
        for use in _uses(config, account)
        for name in ([role] if role else use.roles)
        if statements(use, name)
    ]
    if as_json:
        emit_json({"roles": [_document(use, name) for use, name in chosen]})
        return 0
    for use, name in chosen:
        document = _document(use, name)
        made, trusted = document["documents"], document["trust"]
        if trusted:
            say(f"# account {use.account} ({use.id}), role {name}: trust policy of {use.role_arn}", bold=True)
            say(json.dumps(trusted, indent=2))
        for number, part in enumerate(made, 1):
            counted = f"document {number} of {len(made)}, {characters(part)} of {MOST_CHARACTERS} characters"
            say(f"# account {use.account} ({use.id}), role {name}: {counted}", bold=True)
            say(json.dumps(part, indent=2))
    if not chosen:
        tell("nothing in these accounts needs such a role")
    return 0


def _uses(config: str | None, account: str | None) -> list[AccountUse]:
    """The accounts asked for. NotFound for one that is not configured, InvalidInput for an invalid policy."""
    from drorch.app.policies import PolicyFolder
    from drorch.cli.opening import the_host
    from drorch.domain.errors import InvalidInput, NotFound
    from drorch.wiring.rights import account_uses

    host = the_host(config)
    loaded = PolicyFolder(host.config.policies, host.vocabulary).load({})
    if loaded.findings:
        raise InvalidInput("the rights of an invalid policy are not known", loaded.findings)
    uses = account_uses(host.config, [entry.policy for entry in loaded.valid])
    if account is not None and account not in host.config.aws.accounts:
        known = ", ".join(sorted(host.config.aws.accounts)) or "none"
        raise NotFound(f"there is no AWS account named {account!r}", hint=f"aws.accounts has: {known}")
    return [use for use in uses if account in (None, use.account)]


def _document(use: AccountUse, role: str) -> dict[str, Any]:
    from drorch.domain.iam import documents
    from drorch.domain.iam_roles import statements
    from drorch.domain.iam_trust import trust

    return {
        "account": use.account,
        "id": use.id,
        "role": role,
        "trust": trust(use, role),
        "documents": list(documents(statements(use, role))),
    }
