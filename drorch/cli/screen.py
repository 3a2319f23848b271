"""What people and scripts see: tables and progress for people (stderr), one JSON document for scripts (stdout)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from drorch.domain.duration import duration_text

GREEN, RED, YELLOW = "green", "red", "yellow"


def emit_json(document: Mapping[str, object]) -> None:
    """The one document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str = "", *, color: str | None = None, bold: bool = False) -> None:
    """A line for people, on stdout, where a command's answer belongs."""
    click.echo(click.style(text, fg=color, bold=bold) if color or bold else text)


def tell(text: str, *, color: str | None = None) -> None:
    """A line beside the answer, on stderr: progress, notes, warnings."""
    click.echo(click.style(text, fg=color) if color else text, err=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
    """A plain table on stdout: columns as wide as they must be, headers in bold, colours inside cells allowed."""
    widths = [max([len(headers[i]), *(len(click.unstyle(row[i])) for row in rows)]) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for i, cell in enumerate(cells):
            room = " " * (widths[i] - len(click.unstyle(cell)))
            padded.append(room + cell if i in right else cell + room)
        return "  ".join(padded).rstrip()

    click.echo(click.style(line(headers), bold=True))
    for row in rows:
        click.echo(line(row))


def age(span: timedelta | None) -> str:
    """A span as people read it: two units, `-` for none."""
    if span is None:
        return "-"
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            seconds -= seconds % {"d": 3600, "h": 60, "m": 1}[unit]
            return duration_text(timedelta(seconds=seconds))
    return f"{seconds}s"


def when(instant: datetime | None) -> str:
    """``2026-11-20 09:15`` in UTC, `-` for none."""
    return "-" if instant is None else instant.strftime("%Y-%m-%d %H:%M")


def size(count: int | None) -> str:
    """Bytes for people."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def progress_words(progress: Mapping[str, Any]) -> str:
    """What a worker or a restore reported last: step, bytes of how many, rate, time left."""
    step, done, total = str(progress.get("step") or "starting"), progress.get("done"), progress.get("total")
    if not isinstance(done, int):
        done = progress.get("plain_bytes")
    if not isinstance(done, int) or (done == 0 and not total):
        return step
    words = f"{step} {size(done)}" + (f" of {size(total)} ({done * 100 // total} %)" if total else "")
    rate, left = progress.get("rate"), progress.get("left_s")
    if isinstance(rate, int | float) and rate:
        words += f", {size(int(rate))}/s"
    return words + (f", {age(timedelta(seconds=left))} left" if isinstance(left, int) else "")


class ProgressLine:
    """Progress on stderr: one line rewritten on a terminal, a line every ten seconds in a pipe."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._open = False

    def show(self, text: str, *, now: float | None = None) -> None:
        """Show the newest state, as often as it can be read."""
        now = time.monotonic() if now is None else now
        if self._quiet or now - self._last < (0.1 if self._terminal else 10.0):
            return
        self._last = now
        if self._terminal:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            self._open = True
        else:
            click.echo(text, err=True)

    def end(self) -> None:
        """Leave the terminal with a clean line."""
        if self._open:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._open = False
