"""What the demo shows while drorch's own loop runs: a line for everything that a pass started, saw or finished.

Nothing here is scripted: every line comes from a `Pass`, the value that the daemon's loop returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal, Protocol

from drorch.app.passing import Finished, Pass
from drorch.app.reconcile import Reconciler
from drorch.domain.action import EXECUTABLE, Action, Cut
from drorch.domain.errors import Unavailable
from drorch.domain.model import CopyState
from drorch.domain.objective import ApplicationStatus

Tone = Literal["", "good", "bad", "quiet"]
PATIENCE = 120.0
"""Seconds until a loop that does not come to rest is given up."""
_TICK = 0.25
"""Seconds between passes; the daemon takes 60."""


class Stage(Protocol):
    """Where the story is told."""

    def act(self, title: str) -> None:
        """A new act begins."""

    def line(self, text: str, tone: Tone = "") -> None:
        """One line of it."""

    def standing(self, statuses: Iterable[ApplicationStatus], at: datetime) -> None:
        """The table of ``drorch status``."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to hold, and whether it did."""

    what: str
    held: bool
    detail: str = ""


@dataclass(slots=True)
class Story:
    """The telling: seconds since the beginning, what each act took, what was checked."""

    stage: Stage
    began: float = field(default_factory=time.monotonic)
    acts: list[tuple[str, float]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @contextmanager
    def act(self, name: str, title: str) -> Iterator[None]:
        """One act, its time taken."""
        self.stage.act(title)
        began = time.monotonic()
        yield
        self.acts.append((name, time.monotonic() - began))

    def tell(self, what: str, subject: str, text: str, tone: Tone = "", *, seconds: float | None = None) -> None:
        """One aligned line with the time since the beginning (of what is told late: when it happened)."""
        when = self.seconds if seconds is None else seconds
        self.stage.line(f"{when:6.1f}s  {what:<8} {subject:<8} {text}".rstrip(), tone)

    def check(self, what: str, held: bool, detail: str = "") -> None:
        """Note one comparison and say how it came out."""
        self.checks.append(Check(what, held, detail))
        self.tell("check", "held" if held else "DIFFERS", f"{what}{': ' + detail if detail else ''}", _tone(held))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    @property
    def held(self) -> bool:
        """Whether there were comparisons and every one held."""
        return bool(self.checks) and all(check.held for check in self.checks)


class Watch:
    """Runs the daemon's passes, one after the other, and tells what each brought."""

    def __init__(self, reconciler: Reconciler, story: Story) -> None:
        self._reconciler = reconciler
        self._story = story
        self._states: dict[tuple[str, str], CopyState] = {}
        self.finished: list[Finished] = []
        """Everything that ended so far."""
        self._late: list[Callable[[], None]] = []

    def run(self, *, but: tuple[type[Action], ...] = ()) -> Pass:
        """Pass after pass until all is done, actions of the kinds `but` aside; the last one.

        Raises what an action raised; Unavailable when it does not come to rest.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self._reconciler.run_pass()
            self.finished += seen.finished
            self._tell(seen)
            for ended in seen.finished:
                if ended.error is not None:
                    raise ended.error
            if self._rests(seen, but):
                return seen
            if time.monotonic() > deadline:
                waiting = ", ".join(sorted({f"{action.name} of {action.resource}" for action in executable(seen)}))
                raise Unavailable(
                    f"drorch did not come to rest in {PATIENCE:.0f} s", operation="demo", cause=waiting or "it waits"
                )
            time.sleep(_TICK)

    def look(self) -> Pass:
        """What is there now, every vault listed afresh; changes nothing."""
        return self._reconciler.look(fresh=True)

    def _rests(self, seen: Pass, but: tuple[type[Action], ...]) -> bool:
        """Whether nothing runs, nothing could be started and nothing is pending.

        A pass in which something ended was planned before that: only the next one tells.
        """
        if seen.finished:
            return False
        heavy = self._reconciler.heavy_running()
        light = self._reconciler.running_count() - len(heavy)
        others = [action for action in (*executable(seen), *heavy) if not isinstance(action, but)]
        return not light and not others and not _pending(seen)

    def _tell(self, seen: Pass) -> None:
        for action in seen.started:
            if isinstance(action, Cut) and action.into:
                self._line(action, f"a dump begins, into {', '.join(action.into)}")
            elif action.name in ("ship", "drill"):
                self._line(action, f"begins: {action.reason}")
        for ended in seen.finished:
            if ended.error is not None:
                self._line(ended.action, str(ended.error), "bad")
            elif ended.action.name != "replicate":
                self._line(ended.action, ended.text, "good")
        for plan in seen.plans.values():
            for point in plan.catalogue.points:
                for copy in point.copies if _native(point.kind) else ():
                    before = self._states.get((point.id, copy.vault))
                    if copy.state is not before:
                        self._states[(point.id, copy.vault)] = copy.state
                        arrow = f"{before} -> {copy.state}" if before else str(copy.state)
                        tone: Tone = "good" if copy.usable else ""
                        self._story.tell("state", point.resource, f"{copy.vault}: {arrow}", tone)

    def _line(self, action: Action, text: str, tone: Tone = "") -> None:
        where = f"{action.vault}: " if action.name in ("copy", "drill", "record") else ""
        tell = partial(self._story.tell, action.name, action.resource, where + text, tone, seconds=self._story.seconds)
        if action.name == "drill":
            self._late.append(tell)
        else:
            tell()

    def catch_up(self) -> None:
        """Tell of the drills: they begin as soon as there is a dump, and have an act of their own."""
        lines, self._late = self._late, []
        for line in lines:
            line()


def _native(kind: str) -> bool:
    """Whether a point's copies are the provider's snapshots, which take their time."""
    return kind in ("ebs", "rds-instance")


def executable(seen: Pass) -> tuple[Action, ...]:
    """What the pass would do if it could."""
    return tuple(a for plan in seen.plans.values() for a in plan.actions if isinstance(a, EXECUTABLE))


def _pending(seen: Pass) -> bool:
    """Whether a provider is still making a copy."""
    points = [point for plan in seen.plans.values() for point in plan.catalogue.points]
    return any(copy.state is CopyState.PENDING for point in points for copy in point.copies)


def _tone(held: bool) -> Tone:
    return "good" if held else "bad"
