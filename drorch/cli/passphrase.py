"""Identity files named on a command line, and the passphrases of protected ones: from a file, else from a person."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path


def secret_file(name: str) -> str:
    """The secret in a file named on the command line. Refused like `resolve_secret`."""
    from drorch.app.secret import SecretRef, resolve_secret

    return resolve_secret(SecretRef(file=str(Path(name).absolute())), os.environ)


def identities_in(name: str, passphrase_file: str = "") -> tuple[str, ...]:
    """The age identities in a file named on the command line. Raises like `read_identity_file`."""
    from drorch.app.secret import SecretRef, resolve_secret_bytes
    from drorch.crypto.age_protected import read_identity_file

    data = resolve_secret_bytes(SecretRef(file=str(Path(name).absolute())), os.environ)
    return read_identity_file(data, partial(from_person(passphrase_file), f"file {name}"))


def from_person(passphrase_file: str) -> Callable[[str], str]:
    """What gets the passphrase of an identity: out of the file that the person named, else typed by the person."""
    if passphrase_file:
        return lambda _name: secret_file(passphrase_file)
    return lambda name: _typed(f"Passphrase of the identity in {name}")


def new_passphrase() -> str:
    """A new passphrase, typed twice. Refused when it is empty, when the two differ, or without a terminal."""
    from drorch.domain.errors import Refused

    first = _typed("New passphrase")
    if not first:
        raise Refused("the passphrase is empty", hint="without one anybody who finds the file opens every dump")
    if _typed("The same once more") != first:
        raise Refused("the two passphrases differ", hint="nothing was written")
    return first


def _typed(question: str) -> str:
    """What a person types at the terminal of this process, unseen, whatever stdin and stdout are."""
    from getpass import getpass

    from drorch.domain.errors import Refused

    try:
        # getpass falls back to stdin, where a passphrase would be shown: only a terminal will do.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return getpass(f"{question}: ")
    except EOFError:
        raise Refused("no passphrase was typed") from None
    except OSError:
        raise Refused("there is no terminal to ask for a passphrase on", hint="--passphrase-file FILE") from None
