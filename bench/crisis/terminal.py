"""Commands at a terminal of their own, and what stood on it: at the end, and on the way there."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS, ROWS = 140, 50
_CODE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
_STOP_SECONDS = 20
_PROMPT = "[y/N]: "

Answer = Callable[[str], str]
"""What a person types when asked; given the question as it stands there."""


@dataclass(frozen=True)
class Frame:
    """What was drawn for the moment, and how many seconds after the beginning it was drawn over."""

    seconds: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Shot:
    """A command as it was typed, how it ended after how many seconds, and what its terminal showed."""

    typed: str
    code: int
    seconds: float
    lines: tuple[str, ...]
    frames: tuple[Frame, ...] = ()


class Screen:
    """A terminal as far as programs here use one: lines, ``\\r``, up, erasing to the right and down; no colours."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._lines = [""]
        self._row = self._column = 0
        self._rest = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """All that stands there, from the first line on."""
        return tuple(line.rstrip() for line in "\n".join(self._lines).rstrip().split("\n"))

    @property
    def line(self) -> str:
        """The line that the cursor is in."""
        return self._lines[self._row]

    def feed(self, text: str, seconds: float) -> None:
        """Take what the program wrote; `seconds` dates what is drawn over by it."""
        text, at = self._rest + text, 0
        self._rest = ""
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
            elif code := _CODE.match(text, at):
                self._obey(code[2], code[1], seconds)
                at = code.end()
            else:  # the rest of it is still to come
                self._rest = text[at:]
                return

    def _put(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append("")
            self._column = 0
        elif character == "\r":
            self._column = 0
        elif character >= " ":
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def _obey(self, code: str, number: str, seconds: float) -> None:
        if code == "A":
            self._row = max(0, self._row - int(number or 1))
        elif code == "K":
            self._keep([self._lines[self._row][self._column :]], seconds)
            self._lines[self._row] = self._lines[self._row][: self._column]
        elif code == "J":
            self._keep(self._lines[self._row :], seconds)
            del self._lines[self._row + 1 :]
            self._lines[self._row] = self._lines[self._row][: self._column]

    def _keep(self, lines: Sequence[str], seconds: float) -> None:
        shown = tuple(line.rstrip() for line in lines)
        while shown and not shown[-1]:
            shown = shown[:-1]
        if shown:
            self.frames.append(Frame(seconds, shown))


def at_a_terminal(
    command: Sequence[str], typed: str, *, folder: Path, env: Mapping[str, str], answer: Answer | None = None
) -> Shot:
    """Run it to its end in `folder` with exactly this environment; whoever `answer` is, is asked where it asks.

    Without `answer` nobody is there, and a question ends with "no".
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=dict(env), stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    screen = Screen()
    try:
        _watch(leader, screen, began, answer or (lambda _question: "n"))
        code = process.wait(_STOP_SECONDS)
    finally:
        process.kill()
        os.close(leader)
    return Shot(typed, code, time.monotonic() - began, screen.lines, tuple(screen.frames))


def _watch(leader: int, screen: Screen, began: float, answer: Answer) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        select.select([leader], [], [])
        try:
            piece = os.read(leader, 65536)
        except OSError:  # everybody has closed the terminal
            return
        if not piece:
            return
        screen.feed(decoder.decode(piece), time.monotonic() - began)
        if screen.line.endswith(_PROMPT):
            os.write(leader, answer("\n".join(screen.lines[-3:])).encode() + b"\n")
