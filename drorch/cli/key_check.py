"""``drorch key check``: an offline key opens its token on any machine, and the host records the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drorch.domain.record import Record

EPILOG = """
\b
Where the key lies, on any machine, by nothing but the vault:
  drorch key check --identity key.txt --vault-url gs://acme-dr --trust RW...
\b
On the host, with the answer that it printed:
  drorch key check --answer drorch-key-1.4f1c...
\b
Which keys were proved, and which are due:
  drorch key check
"""


@click.command(epilog=EPILOG, short_help="Prove that a key opens what it should.")
@click.option("--identity", "identities", multiple=True, metavar="FILE", help="An age identity file to prove.")
@click.option("--passphrase-file", metavar="FILE", help="The passphrase of protected identities; else it is asked for.")
@click.option("--vault-url", metavar="URL", help="Where the token lies: s3://, gs:// or file:///. No config.")
@click.option("--vault", metavar="V", help="Where the token lies: a vault of this host's configuration.")
@click.option(
    "--trust", multiple=True, metavar="KEY", help="RW... or a .pub file: only a token that it signed is opened."
)
@click.option("--answer", metavar="TEXT", help="On the host: record the answer that another machine printed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def check(
    config: str | None,
    identities: tuple[str, ...],
    passphrase_file: str | None,
    vault_url: str | None,
    vault: str | None,
    trust: tuple[str, ...],
    answer: str | None,
    as_json: bool,
) -> int:
    """Prove that an age identity opens the token that lies in every vault for its recipient.

    No dump is touched. The answer on stdout is no secret and holds for its time alone; `--answer` records it on the
    host, where an alarm stands when a recipient's key was not proved for `prove_every`. Without options it says when
    each key was proved last.
    """
    from drorch.domain.errors import Usage

    where = [name for name, given in (("--vault-url", vault_url), ("--vault", vault)) if given]
    if answer is not None:
        if identities or where or trust:
            raise Usage("--answer stands alone", hint="the answer says of which key and when it is")
        return _record(config, answer, as_json=as_json)
    if not identities:
        if where or trust or passphrase_file:
            raise Usage(f"{(*where, '--trust')[0]} needs --identity", hint="the age identity file to prove")
        return _report(config, as_json=as_json)
    if len(where) != 1:
        raise Usage("--identity needs one of --vault-url and --vault", hint="the vault whose token is to be opened")
    records = _tokens_at(vault_url, trust) if vault_url else _tokens_in(config, vault or "", trust)
    return _open(records, identities, passphrase_file or "", as_json=as_json)


def _open(records: Sequence[Record], identities: Sequence[str], passphrase_file: str, *, as_json: bool) -> int:
    from drorch.app.clock import SystemClock
    from drorch.app.key_check import open_tokens
    from drorch.cli.passphrase import identities_in
    from drorch.cli.screen import emit_json, say, tell
    from drorch.domain.instant import to_text

    keys = [found for name in identities for found in identities_in(name, passphrase_file)]
    opened = open_tokens(records, keys, SystemClock().now())
    if as_json:
        emit_json(
            {
                "opened": [
                    {"recipient": o.recipient, "at": to_text(o.answer.at), "answer": o.answer.text()} for o in opened
                ]
            }
        )
        return 0
    for each in opened:
        tell(f"the key of {each.recipient} opened its token; on the host: drorch key check --answer", color="green")
        say(each.answer.text())
    return 0


def _tokens_at(url: str, trust: Sequence[str]) -> Sequence[Record]:
    """By nothing but the vault: what lies there, or what the trusted keys signed."""
    from drorch.app.key_check import read_keys
    from drorch.cli.opening import store_at
    from drorch.cli.screen import tell
    from drorch.cli.typed import trusted_key

    if not trust:
        tell("without --trust anybody may have written this token; the host will tell", color="yellow")
    return read_keys(store_at(url), [trusted_key(text) for text in trust] or None)


def _tokens_in(config: str | None, vault: str, trust: Sequence[str]) -> Sequence[Record]:
    from drorch.app.key_check import read_keys
    from drorch.cli.opening import the_host
    from drorch.cli.typed import trusted_key

    host = the_host(config)
    return read_keys(host.store(vault), [trusted_key(text) for text in trust] or host.trusted, host.config.site)


def _record(config: str | None, text: str, *, as_json: bool) -> int:
    from drorch.app.key_check import record_answer
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, say, tell

    host = the_host(config)
    proof, lost = record_answer(
        text,
        site=host.config.site,
        by=host.who(),
        vaults=list(host.vaults),
        store_of=host.store,
        trusted=host.trusted,
        signing=host.signing_key,
        now=host.clock.now(),
    )
    for vault, error in lost.items():
        tell(f"{vault} does not have the proof: {error}", color="yellow")
    if as_json:
        emit_json({"recipient": proof.text("recipient"), "proved_at": proof.text("proved_at"), "missed": sorted(lost)})
        return 0
    say(f"recorded: the key of {proof.text('recipient')} opened its token at {proof.text('proved_at')}", color="green")
    return 0


def _report(config: str | None, *, as_json: bool) -> int:
    from drorch.cli.opening import the_host
    from drorch.cli.screen import emit_json, table, tell, when
    from drorch.domain.instant import to_text

    host = the_host(config)
    now, every = host.clock.now(), host.config.prove_every
    seen = host.key_watch.seen(host.vaults, now, write=False)
    for vault, why in seen.failed.items():
        tell(f"{vault} could not be read: {why}", color="yellow")
    if as_json:
        keys = [
            {
                "recipient": key.recipient,
                "proved_at": to_text(key.proved) if key.proved else None,
                "due_at": to_text(due) if (due := key.due(every)) else None,
                "overdue": bool(key.overdue(every, now)),
            }
            for key in seen.standing
        ]
        emit_json({"keys": keys, "unread": dict(seen.failed)})
        return 0
    rows = [
        (key.recipient, when(key.proved), when(key.due(every)), key.overdue(every, now) and "overdue")
        for key in seen.standing
    ]
    table(("RECIPIENT", "PROVED", "DUE", ""), rows)
    return 0
