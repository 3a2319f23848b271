"""What people and scripts see: tables and progress for people (stderr), one JSON document for scripts (stdout)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import click

from drorch.domain.size import size_text

GREEN, RED, YELLOW = "green", "red", "yellow"
_ROOM = 36
"""Columns that prose needs beside a table; with less it stands beneath its row."""
_INDENT = "    "


class NobodyReads(Exception):
    """The pipe that stdout goes into was closed: there is nobody to tell anything."""


def emit_json(document: Mapping[str, object]) -> None:
    """The one document on stdout."""
    plain = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    _answer(json.dumps(document, indent=2, ensure_ascii=plain))


def say(text: str = "", *, color: str | None = None, bold: bool = False) -> None:
    """A line for people, on stdout, where a command's answer belongs."""
    _answer(click.style(text, fg=color, bold=bold) if color or bold else text)


def say_prose(text: str, *, color: str | None = None, bold: bool = False) -> None:
    """A sentence for people, on stdout: on a terminal whole words only, what follows the first line indented."""
    limit = columns()
    lines = [text] if limit is None else _wrapped(text, limit - len(_INDENT))
    for number, line in enumerate(lines):
        say(line if number == 0 else _INDENT + line, color=color, bold=bold)


def tell(text: str, *, color: str | None = None) -> None:
    """A line beside the answer, on stderr: progress, notes, warnings. Nobody there to read it ends nothing."""
    with suppress(OSError):
        click.echo(click.style(text, fg=color) if color else text, err=True)


def _answer(text: str) -> None:
    try:
        click.echo(text)
    except OSError as error:
        from drorch.domain.errors import Unavailable

        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise NobodyReads from error
        raise Unavailable("the answer could not be written", cause=error.strerror or str(error)) from error


def columns() -> int | None:
    """How wide the terminal is that stdout goes to; None in a pipe or a file, where lines are as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
    """A plain table on stdout: columns as wide as they must be, headers in bold, colours inside cells allowed.

    A header may have two lines; a row of a single cell is a heading. The last column is prose, without colours: on a
    terminal it wraps, beside its row or beneath it.
    """
    heads = _of_one_height(headers)
    rows = [(*row[:-1], prose(row[-1])) for row in rows]
    full = [row for row in rows if len(row) > 1]
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*heads, *full, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for i, cell in enumerate(cells):
            room = " " * (widths[i] - len(click.unstyle(cell)))
            padded.append(room + cell if i in right else cell + room)
        return "  ".join(padded).rstrip()

    taken = sum(width + 2 for width in widths[:-1])
    limit = columns() or taken + widths[-1]
    fits, beside = taken + widths[-1] <= limit, limit - taken >= _ROOM
    for head in heads:
        _answer(click.style(line(head if fits or beside else [*head[:-1], ""]), bold=True))
    for row in rows:
        if len(row) == 1:
            _answer(row[0])
        elif fits:
            _answer(line(row))
        elif beside:
            first, *rest = _wrapped(row[-1], limit - taken) or [""]
            _answer(line([*row[:-1], first]))
            for text in rest:
                _answer(" " * taken + text)
        else:
            _answer(line([*row[:-1], ""]))
            for text in _wrapped(row[-1], limit - len(_INDENT)):
                _answer(_INDENT + click.style(text, dim=True))


def _wrapped(text: str, width: int) -> list[str]:
    """Whole words only: names, paths and addresses stay in one piece."""
    return textwrap.wrap(text, max(width, 20), break_on_hyphens=False, break_long_words=False)


def _of_one_height(headers: Sequence[str]) -> list[list[str]]:
    """The lines of the headers, short ones at the bottom."""
    split = [header.split("\n") for header in headers]
    height = max(len(header) for header in split)
    padded = [[""] * (height - len(header)) + header for header in split]
    return [list(row) for row in zip(*padded, strict=True)]


def prose(text: str) -> str:
    """Text on one line, without anything that a terminal would take for an order."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def age(span: timedelta | None) -> str:
    """A span as people read it: two units, `-` for none."""
    from drorch.domain.duration import duration_text  # brings pydantic, which no help should wait for

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
    """Bytes for people, `-` for none."""
    if count is None:
        return "-"
    return size_text(count)


def progress_words(progress: Mapping[str, Any]) -> str:
    """What a worker or a restore reported last: step, bytes of how many, rate, time left."""
    step, done, total = str(progress.get("step") or "starting"), progress.get("done"), progress.get("total")
    if not isinstance(done, int):
        done = progress.get("plain_bytes")
    if not isinstance(done, int) or (done == 0 and not total):
        return step
    words = f"{step} {size(done)}" + (f" of {size(total)} ({min(done * 100 // total, 100)} %)" if total else "")
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
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            self._control(f"\r\x1b[K{text[: max(width - 1, 1)]}")
            self._open = True
        else:
            tell(text)

    def end(self) -> None:
        """Leave the terminal with a clean line."""
        if self._open:
            self._control("\r\x1b[K")
            self._open = False

    @staticmethod
    def _control(text: str) -> None:
        # Past click, which takes these out where colours are not wanted.
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()
