"""Questions asked at once, each with a deadline of its own: what cannot answer holds nothing up.

Nothing that is asked here changes or ends anything (docs/decisions/0035-doctor-asks-and-touches-nothing.md).
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from drorch.domain.errors import DrorchError, OutcomeUnknown, Unavailable

PATIENCE = timedelta(seconds=30)
"""For one check, from its start."""
AT_ONCE = 24


class Verdict(StrEnum):
    """What came of a check, in the words that people and scripts see."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found: `said` is the fact or the cause, `hint` what to do about it."""

    verdict: Verdict
    said: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `ask` may raise: a refusal is a failure, no answer is "could not be checked"."""

    area: str
    subject: str
    ask: Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check and its answer."""

    area: str
    subject: str
    answer: Answer


def ok(said: str = "") -> Answer:
    """All is well."""
    return Answer(Verdict.OK, said)


def examine(checks: Sequence[Check], *, patience: timedelta = PATIENCE, at_once: int = AT_ONCE) -> tuple[Finding, ...]:
    """Ask `checks`, `at_once` of them side by side; the findings in their order.

    One that has not answered within `patience` is left behind in its thread, and could not be checked.
    """
    answers: dict[int, Answer] = {}
    done: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
    waiting = deque(range(len(checks)))
    running: dict[int, float] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            number = waiting.popleft()
            running[number] = time.monotonic() + patience.total_seconds()
            # Not the pool of concurrent.futures: the end of the process would wait for who hangs.
            threading.Thread(target=_put, args=(done, number, checks[number]), daemon=True).start()
        try:
            number, answer = done.get(timeout=max(min(running.values()) - time.monotonic(), 0.0))
            if running.pop(number, None) is not None:
                answers[number] = answer
        except queue.Empty:
            for number in [number for number, end in running.items() if end <= time.monotonic()]:
                del running[number]
                answers[number] = Answer(Verdict.UNKNOWN, f"no answer within {patience.total_seconds():.0f} s")
    return tuple(Finding(check.area, check.subject, answers[number]) for number, check in enumerate(checks))


def exit_code(findings: Sequence[Finding]) -> int:
    """3 when something failed, else 4 when something could not be checked, else 0; warnings change nothing."""
    verdicts = {finding.answer.verdict for finding in findings}
    if Verdict.FAILED in verdicts:
        return 3
    return 4 if Verdict.UNKNOWN in verdicts else 0


def of_error(error: DrorchError) -> Answer:
    """An error as an answer."""
    lost = isinstance(error, Unavailable | OutcomeUnknown)
    said = f"{error.message}: {error.cause}" if error.cause else error.message
    return Answer(Verdict.UNKNOWN if lost else Verdict.FAILED, said, error.hint)


def _put(done: queue.SimpleQueue[tuple[int, Answer]], number: int, check: Check) -> None:
    try:
        answer = check.ask()
    except DrorchError as error:
        answer = of_error(error)
    except Exception as error:  # noqa: BLE001  one check that is at fault must not take the others along
        answer = Answer(Verdict.UNKNOWN, f"a fault in drorch itself: {type(error).__name__}: {error}")
    done.put((number, answer))
