"""Reading the records of every vault that can be read, all at once: what hangs holds nobody up who has enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from drorch.domain.catalogue import VaultView
from drorch.domain.errors import DrorchError

LATECOMERS = 15.0
"""Seconds that the remaining vaults still have once there is something to restore from: in a crisis a vault that hangs
must not hold up the ones that answer.
"""


def read_all(
    names: Sequence[str],
    read: Callable[[str], VaultView],
    needed: str,
    enough: Callable[[Mapping[str, VaultView]], bool],
) -> tuple[dict[str, VaultView], dict[str, str]]:
    """Views of the vaults that were read, and why the others were not. Raises the error of the `needed` one.

    Nobody waits for the threads, at the end of the process neither: one that hangs in a read cannot be stopped.
    """
    arrivals: SimpleQueue[tuple[str, VaultView | BaseException]] = SimpleQueue()

    def fetch(name: str) -> None:
        try:
            arrivals.put((name, read(name)))
        except BaseException as error:  # noqa: BLE001 (raised again by who waits for it)
            arrivals.put((name, error))

    for name in names:
        threading.Thread(target=fetch, args=(name,), name=f"read {name}", daemon=True).start()
    views: dict[str, VaultView] = {}
    unread: dict[str, str] = {}
    deadline: float | None = None
    while len(views) + len(unread) < len(names):
        try:
            name, found = arrivals.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            late = f"did not answer within {LATECOMERS:g} s"
            unread |= {name: late for name in names if name not in views and name not in unread}
            break
        if isinstance(found, BaseException):
            if name == needed or not isinstance(found, DrorchError):
                raise found
            unread[name] = str(found)
            continue
        views[name] = found
        if deadline is None and enough(views):
            deadline = time.monotonic() + LATECOMERS
    return views, unread
