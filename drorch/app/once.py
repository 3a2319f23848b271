"""`run --once`: passes until nothing can be started and nothing that this run started is pending."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog

from drorch.app.clock import Gate
from drorch.app.passing import Finished, Pass
from drorch.domain.action import EXECUTABLE, Action, Copy, Cut, Settling
from drorch.domain.admit import is_heavy
from drorch.domain.errors import InvalidInput
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState
from drorch.domain.snapshot_room import FULL
from drorch.domain.template import UNLISTED, UNPROTECTED
from drorch.ports import Clock

log = structlog.get_logger()

POLL = timedelta(seconds=10)
"""Between two passes that only wait for what is pending at a provider, or for a worker."""
GRACE = timedelta(seconds=20)
"""How long what runs may take to end after the run was stopped, before the process leaves it behind."""

_STEP = 0.05
_WORST_FIRST = (6, 1, 4, 3, 5)
"""Contract, section 4; a fault in drorch itself is not hidden behind something that trying again may cure."""
_ALARM_CODES = {
    "vault-unread": 4,
    "sources-unread": 4,
    "empty-selection": 3,
    "another-source": 3,
    "other-host": 4,
    FULL: 4,
    UNLISTED: 4,
    UNPROTECTED: 3,
}
"""Holds that kept this run from doing what was due; other alarms are told and leave the exit code alone."""


class Passes(Protocol):
    """What a run asks of the reconciler."""

    def run_pass(self, *, start: Any = True) -> Pass:
        """One pass; it asks for the truth of `start` when it is about to start something."""

    def harvest(self) -> tuple[Finished, ...]:
        """What ended since the last look."""

    def running_count(self) -> int:
        """How many actions are under way."""

    def heavy_running(self) -> tuple[Action, ...]:
        """The dumps, ships and drills among them."""

    def cancel(self) -> None:
        """Abandon every worker safely."""


@dataclass(frozen=True, slots=True)
class OnceReport:
    """What a run did. `pending` names what it left for the next pass; `problems` says why the exit code is not 0."""

    passes: int
    finished: tuple[Finished, ...]
    pending: tuple[str, ...]
    exit_code: int
    problems: tuple[str, ...] = ()


def run_once(
    reconciler: Passes,
    clock: Clock,
    *,
    timeout: timedelta | None = None,
    poll: timedelta = POLL,
    stop: threading.Event | None = None,
    grace: timedelta = GRACE,
) -> OnceReport:
    """Due drills included. On `stop` or after `timeout` nothing new starts and workers are abandoned.

    Raises what a pass raises: a folder of policies that is empty, a configuration that is refused.
    """
    return _Run(reconciler, clock, timeout, poll, stop or threading.Event(), grace).to_the_end()


class _Run:
    def __init__(
        self,
        reconciler: Passes,
        clock: Clock,
        timeout: timedelta | None,
        poll: timedelta,
        stop: threading.Event,
        grace: timedelta,
    ) -> None:
        self._reconciler, self._clock, self._poll, self._stop, self._grace = reconciler, clock, poll, stop, grace
        self._deadline = None if timeout is None else clock.now() + timeout
        self._finished: list[Finished] = []
        self._ours: dict[tuple[str, str], Action] = {}
        self._passes = 0

    def to_the_end(self) -> OnceReport:
        while True:
            seen = self._reconciler.run_pass(start=Gate(lambda: not self._over()))
            self._passes += 1
            self._take(seen.finished)
            pending = tuple(self._pending(seen))
            if self._over():
                return self._stopped(seen)
            soon = pending or any(waits.throttled for waits in seen.waiting)
            if not (seen.started or seen.finished or self._reconciler.running_count() or soon):
                return self._report(seen, (*_settling(seen), *_queued(seen)))
            self._wait(progress=bool(seen.finished))

    def _over(self) -> bool:
        return self._stop.is_set() or (self._deadline is not None and self._clock.now() >= self._deadline)

    def _take(self, finished: Iterable[Finished]) -> None:
        for each in finished:
            self._finished.append(each)
            native = isinstance(each.action, Cut | Copy) and not is_heavy(each.action)
            if native and each.error is None:
                self._ours[(each.action.point, each.action.vault)] = each.action

    def _pending(self, seen: Pass) -> Iterator[str]:
        """What this run cut or copied and does not see complete yet, or not at all."""
        for (point, vault), action in self._ours.items():
            copy = _copy_of(seen, action)
            if copy is None or copy.partial or copy.state is CopyState.PENDING:
                yield f"{action.name} of {action.application}/{action.resource}: {point} in {vault} is pending"

    def _wait(self, *, progress: bool) -> None:
        """Until something ends, at most `poll`; hardly at all after a pass in which something ended."""
        waited, longest = 0.0, _STEP if progress else self._poll.total_seconds()
        while waited < longest and not self._over():
            running = self._reconciler.running_count()
            step = (_STEP if waited < 1 else 10 * _STEP) if running else longest - waited
            self._clock.sleep(step)
            waited += step
            ended = self._reconciler.harvest() if running else ()
            self._take(ended)
            if ended:
                return

    # --- the end ---

    def _stopped(self, seen: Pass) -> OnceReport:
        left = [*self._pending(seen), *_unstarted(seen)]
        heavy = self._reconciler.heavy_running()
        left.extend(f"{_named(action)} was abandoned" for action in heavy)
        self._reconciler.cancel()
        waited = 0.0
        while self._reconciler.running_count() and waited < self._grace.total_seconds():
            time.sleep(_STEP)  # the clock of the run sleeps no more once it is told to stop
            waited += _STEP
            self._take(f for f in self._reconciler.harvest() if f.action not in heavy or f.error is None)
        running = self._reconciler.running_count()
        if running:
            left.append(f"{running} actions did not end within {self._grace.total_seconds():.0f} s")
        return self._report(seen, tuple(dict.fromkeys(left)))

    def _report(self, seen: Pass, pending: tuple[str, ...]) -> OnceReport:
        problems = [*_problems(seen), *self._failed(seen)]
        if pending:
            problems.append((4, f"pending: {'; '.join(pending)}"))
        codes = {3 if code == 2 else code for code, _ in problems}
        code = next((code for code in _WORST_FIRST if code in codes), 0)
        words = tuple(dict.fromkeys(text for _, text in problems))
        done = sum(each.error is None for each in self._finished)
        counts = {"passes": self._passes, "done": done, "failed": len(self._finished) - done}
        log.info("run ended", **counts, pending=list(pending), exit_code=code)
        return OnceReport(self._passes, tuple(self._finished), pending, code, words)

    def _failed(self, seen: Pass) -> Iterator[tuple[int, str]]:
        """Actions whose last try failed, and what the provider could not complete."""
        last = {each.action.key: each for each in self._finished}
        for each in last.values():
            if each.error is not None:
                yield each.error.exit_code, f"{_named(each.action)}: {each.error}"
        for action in self._ours.values():
            copy = _copy_of(seen, action)
            if copy is not None and copy.state is CopyState.FAILED:
                yield 4, f"{_named(action)}: the provider could not complete it ({copy.why})"


def _copy_of(seen: Pass, action: Action) -> PointCopy | None:
    plan = seen.plans.get(action.application)
    point = plan.catalogue.find(action.point) if plan is not None else None
    return point.copy_in(action.vault) if point is not None else None


def _problems(seen: Pass) -> Iterator[tuple[int, str]]:
    """What the last pass saw that kept it from doing its work."""
    if seen.policies.invalid:
        files = ", ".join(policy.file for policy in seen.policies.invalid)
        yield InvalidInput.exit_code, f"invalid: {files} ({len(seen.policies.findings)} findings)"
    for vault, why in seen.world.unread.items():
        yield 4, f"{vault} was not read completely: {why}"
    for application, fault in seen.faults.items():
        yield 1, f"{application}: {fault}"
    for hold in seen.holds:
        if hold.alarm:
            yield _ALARM_CODES.get(hold.alarm, 0), f"{hold.application}/{hold.resource}: {hold.reason}"


def _settling(seen: Pass) -> Iterator[str]:
    """Due work that this run could not do, because something else is at it or its outcome is not known yet."""
    for hold in seen.holds:
        if isinstance(hold, Settling):
            yield f"{hold.application}/{hold.resource}: {hold.reason}"


def _queued(seen: Pass) -> Iterator[str]:
    """Copies for which the provider has no place now."""
    for waits in seen.waiting:
        if waits.place:
            yield f"{_named(waits.action)} waits, place {waits.place}: {waits.why}"


def _unstarted(seen: Pass) -> Iterator[str]:
    """What could have been started, and was not any more."""
    started = {action.key for action in seen.started}
    for plan in seen.plans.values():
        for action in plan.actions:
            if isinstance(action, EXECUTABLE) and action.key not in started:
                yield f"{_named(action)} was not started"


def _named(action: Action) -> str:
    where = f" in {action.vault}" if action.vault else ""
    return f"{action.name} of {action.application}/{action.resource}{where}"
