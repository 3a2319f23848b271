"""One drill at a time in an account: by a lock of this host, and by looking for the tags of drills of any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from drorch.app.locks import Locks, drilling_lock
from drorch.domain.errors import Busy
from drorch.domain.native_drill import Place, others_alive
from drorch.domain.native_restore import TAG_DRILL, TAG_EXPIRES
from drorch.ports import RestoresSnapshots

_HINT = f"one drill at a time in an account; what is left of one goes when its time is up ({TAG_EXPIRES})"


@contextmanager
def drilling_in(state: str, accounts: Iterable[str], what: str) -> Iterator[None]:
    """Hold the locks of these accounts for the block. Busy when another drill of this host has one.

    Without a `state` folder there is nobody to lock out.
    """
    with ExitStack() as held:
        for account in sorted(set(accounts)) if state else ():
            held.enter_context(Locks(Path(state)).held(drilling_lock(account), what))
        yield


def require_alone(
    restoring: Callable[[str], RestoresSnapshots], looks: Iterable[Place], ours: Iterable[str], now: datetime
) -> list[str]:
    """The drills in `looks`, if all of them whose time is not over begin with one of `ours` (``SITE/APP/RESOURCE/``).

    Busy while any other goes on there; raises what a look raises: where nobody answers nothing is begun.
    """
    there = {
        drill
        for kind, account, region in sorted(set(looks))
        for drill, _ in restoring(kind).made(account, region, TAG_DRILL)
    }
    others = others_alive(there, tuple(ours), now)
    if others:
        cause = ", ".join(others)
        raise Busy("another drill goes on in this account", operation="drill", cause=cause, hint=_HINT)
    return sorted(there)
