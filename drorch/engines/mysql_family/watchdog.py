"""A dump that stands in others' way is given up, and so is one that waits too long for a table.

A dump program reads table after table, each under the weakest metadata lock, and lets it go at the next
(``ROLLBACK TO SAVEPOINT``). Only what changes a table's form or takes it whole waits for it (ALTER, DROP, TRUNCATE,
LOCK TABLES), but everything on that table that comes after such a statement waits, too. Whether somebody does is tried
by the same means: a SELECT of no row, which waits only when such a statement is before it. It needs no privilege that
the dump does not have; PROCESS shows whose statement it is.
"""

# ruff: noqa: S608 - names are quoted and strings written in hexadecimal (access.quoted, access.text)

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from drorch.domain.duration import duration_text
from drorch.domain.errors import Busy, DrorchError
from drorch.engines.mysql_family.access import Access, Row, quoted, text
from drorch.engines.mysql_family.failures import number_in

_ANSWER = 5
"""Seconds for its own questions: the end of a dump waits for them."""
_LOOKS = 2
"""So often is it looked within the shorter of both times."""
_TIMED_OUT = 1205
_TABLE = re.compile(r"`(?:[^`]|``)+`")
_READS = "SELECT /*!40001 SQL_NO_CACHE */%"
"""How both dump programs begin to read a table."""
_SHOWS = "SHOW %"
"""How they ask for definitions, for which they may have to wait, too."""
_BLOCKED = "the dump kept others waiting and was given up"
_WAITED = "the dump waited for others and was given up"
_WAITS = "Waiting for"
"""State of a thread that waits for a lock (MariaDB and MySQL, "General thread states")."""


@dataclass(frozen=True, slots=True)
class DumpRules:
    """`word` is the policy's `inventory:`; the others bound waiting for a lock, and letting others wait for one."""

    word: str
    lock_timeout: timedelta
    patience: timedelta


@dataclass(frozen=True, slots=True)
class _Thread:
    """A session in our database. `dumps`: it says what dump programs say; `table` is the one, quoted, that it reads."""

    number: int
    user: str
    state: str
    dumps: bool
    table: str


@contextmanager
def watched(access: Access, rules: DumpRules, cancel: Callable[[], None]) -> Iterator[None]:
    """Call `cancel` once the dump program has waited for `rules.lock_timeout`, or others for `rules.patience` for it.

    Whatever the block then raises becomes Busy, naming who waited where that can be seen.
    """
    watchdog = _Watchdog(access, rules, cancel)
    watchdog.start()
    try:
        yield
    except DrorchError as error:
        if not watchdog.why:
            raise
        raise Busy(
            watchdog.message,
            operation="dump",
            resource=access.place.shown,
            cause=watchdog.why,
            hint="it is tried again later; see that tables are not altered while it runs, and that those without "
            "transactions (MyISAM), which it locks against writing while it reads them, are not written to",
        ) from error
    finally:
        watchdog.end()


class _Watchdog:
    """A thread that asks now and then. A question that fails is asked again: the dump is what matters."""

    def __init__(self, access: Access, rules: DumpRules, cancel: Callable[[], None]) -> None:
        self.message = self.why = ""
        self._access, self._rules, self._cancel = access, rules, cancel
        self._ended = threading.Event()
        self._before: frozenset[int] = frozenset()
        self._since: dict[object, float] = {}
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Remember whose sessions are there already, then begin to look."""
        with suppress(DrorchError):
            self._before = frozenset(thread.number for thread in self._threads())
        self._thread.start()

    def end(self) -> None:
        """Stop looking; returns when the thread is at its end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        pause = min(self._rules.lock_timeout, self._rules.patience).total_seconds() / _LOOKS
        while not self._ended.wait(pause) and not self.why:
            with suppress(DrorchError):
                self._look()

    def _look(self) -> None:
        threads = self._threads()
        mine = [thread for thread in threads if self._is_mine(thread)]
        others = [thread for thread in threads if thread not in mine and thread.state.startswith(_WAITS)]
        waits = {thread.state for thread in mine if thread.state.startswith(_WAITS)}
        blocks = {thread.table for thread in mine if not waits and self._is_queued(thread.table)}
        now = time.monotonic()
        self._since = {key: self._since.get(key, now) for key in waits | blocks}
        for key, since in self._since.items():
            limit = self._rules.lock_timeout if key in waits else self._rules.patience
            if now < since + limit.total_seconds() or self._ended.is_set():
                continue
            if key in waits:
                self.message, self.why = _WAITED, f"{key.lower()} for {duration_text(limit)}"
            else:
                who = ", ".join(sorted(f"{other.user} (id {other.number})" for other in others)) or "somebody"
                self.message, self.why = _BLOCKED, f"{who} waited for the table {key} for {duration_text(limit)}"
            self._give_up(mine)
            return

    def _threads(self) -> list[_Thread]:
        """Those in the dumped database: our own user's, and with PROCESS everybody's."""
        query = (
            f"SELECT id, user, ifnull(state, ''), ifnull(info LIKE '{_READS}' OR info LIKE '{_SHOWS}', 0),"
            f" if(info LIKE '{_READS}', substring_index(info, ' FROM ', -1), '')"
            f" FROM information_schema.processlist WHERE db = {text(self._access.place.database)}"
        )
        rows = self._ask(query)
        return [_Thread(int(str(row[0])), str(row[1]), str(row[2]), row[3] == "1", str(row[4] or "")) for row in rows]

    def _is_mine(self, thread: _Thread) -> bool:
        """A session of our user that came with the dump and speaks as dump programs do: nothing else tells for all."""
        return thread.dumps and thread.user == self._access.place.user and thread.number not in self._before

    def _is_queued(self, table: str) -> bool:
        """Whether a reader of the table has to wait, while nothing but reading is going on: somebody is before it."""
        if not _TABLE.fullmatch(table):
            return False
        name = f"{quoted(self._access.place.database)}.{table}"
        try:
            # One second is the shortest that both vendors know.
            self._ask(f"SET SESSION lock_wait_timeout = 1; SELECT 1 FROM {name} LIMIT 0")
        except Busy as error:
            return number_in(error.cause) == _TIMED_OUT
        return False

    def _give_up(self, mine: list[_Thread]) -> None:
        self._cancel()
        for thread in mine:  # a server notices that a client has left only when it writes to it
            with suppress(DrorchError):
                self._ask(f"KILL CONNECTION {thread.number}")

    def _ask(self, statements: str) -> list[Row]:
        return self._access.ask(statements, "dump", database="", timeout=_ANSWER)
