"""What goes on side by side: on a terminal a table that is drawn anew, in a pipe lines."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from drorch.cli.screen import age, prose, tell

if TYPE_CHECKING:
    from drorch.domain.recovery import Step

_IN_A_PIPE = 30.0
"""Seconds between two looks at what is under way, where each look is a line that stays."""


class LiveSteps:
    """Steps as they end, and below them those under way with their time, what is left of it and what they wait for.

    `promised` is the RTO objective, against which the whole time is told. Questions are asked from another thread.
    """

    def __init__(self, *, quiet: bool = False, promised: timedelta | None = None) -> None:
        self._quiet = quiet
        self._promised = promised
        self._terminal = sys.stderr.isatty()
        self._lines = 0
        self._asked: str | None = None
        self._drawing = threading.RLock()
        self._began = time.monotonic()
        self._last = self._began

    def ended(self, step: Step) -> None:
        """One step is over: its line stays."""
        if self._quiet:
            return
        took = "" if step.took_s is None else age(timedelta(seconds=step.took_s))
        color = {"failed": "red", "not begun": "yellow", "by hand": "yellow"}.get(step.outcome)
        name = f"{step.step:<9}" if step.resource else f"{step.step:<26}"
        resource = f"{step.resource:<16} " if step.resource else ""
        with self._drawing:
            self.clear()
            if self._asked and self._terminal:
                self._control("\r\x1b[K")  # where the answer is typed
            tell(f"{step.outcome or 'done':>9}  {name} {resource}{took:>7}  {prose(step.detail)}", color=color)
            if self._asked and self._terminal:
                self._control(f"{self._asked} [y/N]: ")

    def shown(self, steps: Sequence[Step]) -> None:
        """These are under way; `took_s` is their time so far, `estimate_s` what it is expected to be."""
        with self._drawing:
            self._show(steps)

    def _show(self, steps: Sequence[Step]) -> None:
        now = time.monotonic()
        if self._quiet or self._asked is not None or (not self._terminal and now - self._last < _IN_A_PIPE):
            return
        self._last = now
        if not self._terminal:
            tell("; ".join(f"{_named(step)}: {prose(step.detail)}" for step in steps))
            return
        columns, rows = self._size()
        lines = [_row(step) for step in steps[: max(1, rows - 3)]]
        if len(lines) < len(steps):
            lines.append(f"  and {len(steps) - len(lines)} more")
        lines.append(self._total(timedelta(seconds=now - self._began)))
        self._draw([line[: columns - 1] for line in lines])

    def clear(self) -> None:
        """Leave the terminal as if nothing had been drawn."""
        with self._drawing:
            if self._lines:
                self._control(f"\x1b[{self._lines}A\x1b[J")
                self._lines = 0

    @contextmanager
    def standing(self, question: str = "") -> Iterator[None]:
        """Nothing is drawn meanwhile: a question stands there, and once more below each step that ends."""
        with self._drawing:
            self.clear()
            self._asked = question
        try:
            yield
        finally:
            self._asked = None

    def _draw(self, lines: Sequence[str]) -> None:
        self._control((f"\x1b[{self._lines}A\x1b[J" if self._lines else "") + "".join(f"{line}\n" for line in lines))
        self._lines = len(lines)

    def _total(self, elapsed: timedelta) -> str:
        told = f"  {age(elapsed)} so far"
        if self._promised is None:
            return told
        left = self._promised - elapsed
        if left >= timedelta():
            return f"{told} of {age(self._promised)} promised, {age(left)} left"
        return click.style(f"{told}, {age(-left)} over the {age(self._promised)} promised", fg="red")

    @staticmethod
    def _size() -> tuple[int, int]:
        try:
            size = os.get_terminal_size(sys.stderr.fileno())
        except (OSError, ValueError):
            return 80, 24
        return size.columns or 80, size.lines or 24

    @staticmethod
    def _control(text: str) -> None:
        # Past click, which takes these out where colours are not wanted.
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _named(step: Step) -> str:
    return f"{step.step} {step.resource}" if step.resource else step.step


def _row(step: Step) -> str:
    so_far = timedelta(seconds=step.took_s or 0)
    told = age(so_far)
    if step.estimate_s is not None:
        left = timedelta(seconds=step.estimate_s) - so_far
        told += f", about {age(left)} left" if left > timedelta() else f", {age(-left)} over the estimate"
    return f"  {_named(step):<26} {told:<24} {prose(step.detail)}"
