"""Database servers asked by one worker for all of them: their drivers stay out of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drorch.app.jobs import ServersJob
from drorch.app.runner import LocalRunner
from drorch.domain.errors import Unavailable

if TYPE_CHECKING:
    from drorch.wiring.host import Host


def answers(
    host: Host, job: ServersJob, *, operation: str, patience: timedelta, end: timedelta
) -> Sequence[Mapping[str, Any]]:
    """What the worker found of each server of `job`, in their order.

    Raises Unavailable when it has not answered within `patience`; it then gets `end` to be gone.
    """
    handle = LocalRunner(environ=host.environ).start(job)
    outcome = handle.wait(patience)
    if outcome is None:
        handle.cancel()
        handle.wait(end)
        raise Unavailable("the servers did not answer", operation=operation, cause=f"not within {patience.seconds} s")
    found: Sequence[Mapping[str, Any]] = outcome.get()["servers"]
    return found
