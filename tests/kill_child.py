"""The process that the kill tests kill: `run --once` of a real host, in a child forked for each order.

Orders come as JSON lines ``{"config", "minutes", "failpoint", "locked"}`` on standard input; each is answered by the
child's wait status. `minutes` is how far the child's clock is ahead, and with it those of vaults and regions; `locked`
says that the vault `disk` locks. Everything is the product's own but the database: dumps are of kind ``memory``, made
by workers that run `kill_worker`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from drorch.app.failpoint import VARIABLE
from drorch.app.heavy import LocalHands
from drorch.app.once import OnceReport, run_once
from drorch.app.runner import LocalRunner
from drorch.domain.instant import from_text, to_text
from drorch.domain.model import LockMode, ObjectLock
from drorch.domain.policy import LockRule
from drorch.domain.vocabulary import KindWords
from drorch.engines.memory import Options
from drorch.wiring import adapters
from drorch.wiring.host import Host, open_host
from drorch.wiring.jobs import compose_job

_WORKER = Path(__file__).with_name("kill_worker.py")


class ClockAhead:
    """The system's clock, turned on."""

    def __init__(self, minutes: float) -> None:
        self._ahead = timedelta(minutes=minutes)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


LOCKED = LockRule(for_=timedelta(days=30))


def host_of(config: str, minutes: float, locked: bool = False) -> Host:
    """A host as the wiring makes it, with the kind `memory` beside the others."""
    host = open_host(config, clock=ClockAhead(minutes), environ=os.environ)
    known = adapters.vocabulary_of(host.config)
    words = {**known.kinds, "memory": KindWords(Options, native=False)}
    runner = LocalRunner(command=(sys.executable, str(_WORKER)), environ=os.environ)
    locks = {"disk": LOCKED} if locked else {}
    host.__dict__["vocabulary"] = replace(known, kinds=words, locks=locks)
    host.__dict__["heavy"] = LocalHands(runner, partial(compose_job, host))
    host.__dict__["store"] = partial(_store, host.store, timedelta(minutes=minutes), locks)
    for kind in host.kinds.values():
        kind.now = partial(_later, kind.now, timedelta(minutes=minutes))  # type: ignore[method-assign]
    return host


def _later(now: Callable[..., datetime], ahead: timedelta, *where: str) -> datetime:
    return now(*where) + ahead


def _store(opened: Callable[[str], Any], ahead: timedelta, locks: dict[str, LockRule], name: str) -> Any:
    """The vault, with a clock as far ahead as the host's; one that locks keeps its locks in a file beside it."""
    store = opened(name)
    if "now" not in vars(store):
        store.now = partial(_later, store.now, ahead)
        if name in locks:
            book = LockBook(Path(store._root).with_suffix(".locks"))
            store.lock, store.lock_of, store.extend_lock = locks[name], book.lock_of, book.extend_lock
    return store


class LockBook:
    """The locks of a folder that has none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lock_of(self, path: str) -> ObjectLock | None:
        until = self._read().get(path)
        return ObjectLock(LOCKED.mode, from_text(until)) if until else None

    def extend_lock(self, path: str, until: datetime) -> None:
        assert LOCKED.mode is LockMode.COMPLIANCE
        self._path.write_text(json.dumps(self._read() | {path: to_text(until)}))

    def _read(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}


def run(config: str, minutes: float, locked: bool) -> OnceReport:
    """Passes until nothing can be started any more, with little patience."""
    host = host_of(config, minutes, locked)
    return run_once(host.reconciler, host.clock, poll=timedelta(seconds=0.05), timeout=timedelta(seconds=60))


def _obey(order: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.dup2(2, 1)
    if order["failpoint"]:
        os.environ[VARIABLE] = order["failpoint"]
    report = run(order["config"], order["minutes"], order["locked"])
    sys.stderr.write("".join(f"{problem}\n" for problem in report.problems))
    sys.stderr.flush()
    os._exit(report.exit_code)


def main() -> None:
    """Obey until there are no orders any more."""
    import boto3  # noqa: F401 - loaded once, for all children

    for line in sys.stdin:
        sys.stdout.write(f"{_obey(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
