"""Opening this host for a command."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.app.locks import Locks
    from drorch.ports import Clock, ObjectStore
    from drorch.wiring.host import Host


def the_host(config: str | None, *, clock: Clock | None = None, asks_servers: bool = False) -> Host:
    """The host of a configuration file, as `open_host`; what is logged from now on goes to stderr."""
    from drorch.telemetry.log import configure
    from drorch.wiring.host import open_host

    configure(environ=os.environ)
    return open_host(config, clock=clock, asks_servers=asks_servers)


def store_at(url: str) -> ObjectStore:
    """The store of a ``--vault-url``, with whatever AWS credentials this process has. Usage for anything else."""
    from drorch.aws import AwsAccounts
    from drorch.wiring import adapters

    store_type, options = adapters.store_from_url(url)
    return adapters.build_store(url, store_type, options, AwsAccounts())


def require_trust(trust: Sequence[str]) -> None:
    """Usage without ``--trust``: under break glass nothing else says whose records count."""
    from drorch.domain.errors import Usage

    if not trust:
        raise Usage("--vault-url needs --trust", hint="the public key from your own safe: RW..., or minisign.pub")


def stores_of(host: Host, first: str = "") -> dict[str, ObjectStore]:
    """The vaults that can be opened, `first` before the others; of the rest people are told why not."""
    from drorch.cli.screen import tell
    from drorch.domain.errors import DrorchError

    stores = {}
    for name in sorted(host.vaults, key=lambda vault: vault != first):
        try:
            stores[name] = host.store(name)
        except DrorchError as error:
            tell(f"{name} cannot be opened: {error}", color="yellow")
    return stores


def locks_of(host: Host) -> Locks | None:
    """The host's locks; None where its state folder is another's: a restore does not stop for that."""
    from drorch.domain.errors import DrorchError

    try:
        return host.locks
    except DrorchError as error:
        _unheard(error)
        return None


@contextmanager
def held_for(application: str, locks: Locks | None) -> Iterator[None]:
    """Nothing of the application is let go on this host meanwhile. A restore goes on where that cannot be said."""
    from drorch.app.locks import restoring_lock
    from drorch.domain.errors import DrorchError

    with ExitStack() as stack:
        try:
            if locks is not None:
                stack.enter_context(locks.shared(restoring_lock(application), "a restore"))
        except DrorchError as error:
            _unheard(error)
        yield


def _unheard(error: Exception) -> None:
    from drorch.cli.screen import tell

    tell(f"retention on this host does not know of this restore: {error}", color="yellow")
