"""``drorch key``: new keys, and whether old ones still open what they should."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from drorch.cli.key_check import check
from drorch.cli.key_rewrap import rewrap


@click.group()
def key() -> None:
    """Make an age identity or a signing key; prove that a key opens what it should."""


@key.command(short_help="A new secret key into a file, its public key beside it.")
@click.option("--signing", is_flag=True, help="A minisign secret key for records, instead of an age identity.")
@click.option("--passphrase", is_flag=True, help="Protect the identity by a passphrase, asked for twice.")
@click.option("--passphrase-file", metavar="FILE", help="Protect it by the passphrase in FILE, without asking.")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Never overwritten.")
def new(signing: bool, passphrase: bool, passphrase_file: str | None, out: Path) -> None:
    """Write a new secret key into FILE (mode 600) and its public key into FILE.pub and on stdout.

    An age identity opens dumps; keep one offline. Under a passphrase it is in the form that `age -p` writes. A signing
    key lets this host's records count; it has no passphrase, for the host must sign by itself.
    """
    from drorch.cli.screen import say, tell
    from drorch.crypto import age, minisign

    if signing:
        _refuse_passphrase(passphrase or passphrase_file is not None)
        secret = minisign.SecretKey.generate()
        text, public, public_file = secret.text(), secret.public.text(), secret.public.file_text()
    else:
        identity, public = age.new_identity()
        text, public_file = age.identity_file(identity, datetime.now(UTC)), public + "\n"
        if passphrase or passphrase_file is not None:
            text = _protected(text, passphrase_file)
    public_path = out.with_name(out.name + ".pub")
    _write_new(out, text, 0o600)
    try:
        _write_new(public_path, public_file, 0o644)
    except BaseException:
        out.unlink()
        raise
    say(public)
    tell(f"secret key: {out} (mode 600)   public key: {public_path}")
    if not signing:
        tell("keep a copy of the secret key away from this host: without it no dump opens")


key.add_command(check)
key.add_command(rewrap)


def _refuse_passphrase(given: bool) -> None:
    from drorch.domain.errors import Usage

    if given:
        raise Usage("a signing key has no passphrase", hint="keep the file where only drorch reads it, mode 600")


def _protected(text: str, passphrase_file: str | None) -> str:
    from drorch.cli.passphrase import new_passphrase, secret_file
    from drorch.crypto.age_protected import protect

    return protect(text, new_passphrase() if passphrase_file is None else secret_file(passphrase_file))


def _write_new(path: Path, text: str, mode: int) -> None:
    from drorch.domain.errors import Refused, Unavailable

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise Refused(f"{path} exists", hint="a key is never overwritten; choose another name") from error
    except OSError as error:
        raise Refused(f"cannot write {path}", cause=error.strerror or "") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}", cause=error.strerror or "") from error
