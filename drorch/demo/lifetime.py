"""What the demo begins and ends with: its folder, its host, its silence, and an orderly end whatever comes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from drorch.aws import AwsAccount, AwsAccounts
from drorch.demo import site
from drorch.domain.errors import DrorchError
from drorch.wiring.host import Host, open_host

_STOP_SECONDS = 20
_LONGEST_PARENT = 45
"""Bytes; with longer ones the path of a server's socket below the demo's folder does not fit into 107 (unix(7))."""


@contextmanager
def folder() -> Iterator[Path]:
    """The demo's one folder. Others may pass through it to what is theirs (PostgreSQL, when we are root)."""
    with tempfile.TemporaryDirectory(prefix="drorch-demo-", dir=_parent(), ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def opened(installation: site.Installation) -> Iterator[Host]:
    """The host of the configuration; at the end its workers are gone before the world is."""
    host = open_host(str(installation.config))
    # A lost region is asked twice, not six times with growing pauses: nobody wants to watch that.
    known = {name: AwsAccount(id=account.id) for name, account in host.config.aws.accounts.items()}
    host.accounts = AwsAccounts(known, attempts=2)
    try:
        yield host
    finally:
        reconciler = host.reconciler
        reconciler.cancel()
        deadline = time.monotonic() + _STOP_SECONDS
        while reconciler.heavy_running() and time.monotonic() < deadline:
            with contextlib.suppress(DrorchError):
                reconciler.harvest()
            time.sleep(0.05)
        reconciler.close()
        host.accounts.close()


@contextmanager
def quiet_logs() -> Iterator[None]:
    """drorch's own log lines say what the story says; they would stand between its lines."""
    before: dict[str, Any] = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def orderly_end() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo like Ctrl-C; what was started is stopped, and no second signal disturbs that."""
    ending = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        if not ending.is_set():
            ending.set()
            raise KeyboardInterrupt

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parent() -> Path:
    """The system's temporary folder, unless it is too deep or PostgreSQL, which is not root, could not pass through."""
    first = Path(tempfile.gettempdir()).resolve()
    for parent in (first, Path("/tmp"), Path("/var/tmp")):  # noqa: S108  (the folder made in it is ours alone)
        if not parent.is_dir():
            continue
        open_to_others = all(place.stat().st_mode & stat.S_IXOTH for place in (parent, *parent.parents))
        if len(os.fsencode(parent)) <= _LONGEST_PARENT and (open_to_others or os.geteuid() != 0):
            return parent
    return first
