"""A dump that stands in others' way is given up: whoever waits for its locks makes everybody else wait behind them.

pg_dump holds the weakest lock on every table until it ends. Only what changes a table's form waits for it (ALTER TABLE,
DROP, VACUUM FULL), but all that comes after such a statement waits, too: a dump of an hour is an outage of an hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg

from drorch.domain.duration import duration_text
from drorch.domain.errors import Busy, DrorchError
from drorch.engines.postgres.connection import Session, close, connect
from drorch.engines.postgres.place import Place

_LOOKS = 6
"""So often is it looked within the patience."""

_LAST_LOOK = 6.0
"""Seconds for a look that has begun: its statement may take 5."""

_WAITING = """
SELECT waiting.pid, coalesce(waiting.usename, 'somebody')
FROM pg_catalog.pg_stat_activity AS waiting
WHERE EXISTS (
  SELECT FROM unnest(pg_catalog.pg_blocking_pids(waiting.pid)) AS holder (pid)
  JOIN pg_catalog.pg_stat_activity AS dump ON dump.pid = holder.pid
  WHERE dump.application_name = %s)
"""
"""Who waits for a session of the dump. `pg_blocking_pids` needs no privilege, and our own sessions are ours to see."""


@contextmanager
def watched(place: Place, patience: timedelta, cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` once somebody has waited for the sessions named `place.session` longer than `patience`.

    Whatever the block then raises becomes Busy, naming who waited. Without a connection for it nothing is watched.
    """
    watchdog = _Watchdog(place, patience, cancel)
    watchdog.start()
    try:
        yield
    except DrorchError as error:
        if not watchdog.why:
            raise
        raise Busy(
            "the dump kept others waiting and was given up",
            operation="dump",
            resource=place.shown,
            cause=watchdog.why,
            hint="it is tried again later; see that tables are not altered while it runs",
        ) from error
    finally:
        watchdog.end()


class _Watchdog:
    """A thread with a session of its own."""

    def __init__(self, place: Place, patience: timedelta, cancel: Callable[[], None]) -> None:
        self.why = ""
        self._place, self._patience, self._cancel = place, patience, cancel
        self._ended = threading.Event()
        self._since: dict[object, float] = {}
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Stop looking; returns when the thread is at its end, or waits for an answer that does not come."""
        self._ended.set()
        self._thread.join(_LAST_LOOK)

    def _run(self) -> None:
        session: Session | None = None
        try:
            while not self._ended.wait(self._patience.total_seconds() / _LOOKS) and not self.why:
                session = session or connect(self._place.watching(), "dump", {"statement_timeout": "5000"})
                self._look(session)
        except (DrorchError, psycopg.Error):
            return  # no connection is left for it: the dump is what matters
        finally:
            close(session)

    def _look(self, session: Session) -> None:
        found = session.execute(_WAITING, (self._place.session,)).fetchall()
        waiting, now = {row[0]: row[1] for row in found}, time.monotonic()
        self._since = {pid: self._since.get(pid, now) for pid in waiting}
        late = [pid for pid, since in self._since.items() if now >= since + self._patience.total_seconds()]
        if late and not self._ended.is_set():
            who = ", ".join(sorted(f"{waiting[pid]} (pid {pid})" for pid in late))
            self.why = f"{who} waited for its locks for {duration_text(self._patience)}"
            self._cancel()
