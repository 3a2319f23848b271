"""Opening this host for a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drorch.ports import Clock
    from drorch.wiring.host import Host


def the_host(config: str | None, *, clock: Clock | None = None, asks_servers: bool = False) -> Host:
    """The host of a configuration file, as `open_host`; what is logged from now on goes to stderr."""
    from drorch.telemetry.log import configure
    from drorch.wiring.host import open_host

    configure(environ=os.environ)
    return open_host(config, clock=clock, asks_servers=asks_servers)
