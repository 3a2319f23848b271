"""The record of one run: what was typed and shown, then estimated against measured times, and what was compared."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.crisis.estate import Contents, Estate
from bench.crisis.terminal import Answer, Frame, Shot, at_a_terminal
from bench.measure import Wrong, tell


@dataclass(frozen=True)
class Timed:
    """One step or one whole command: seconds as drorch said beforehand (None: it said nothing), and as it took."""

    scenario: str
    what: str
    estimated: float | None
    measured: float
    note: str = ""


@dataclass
class Record:
    """One scenario. `hidden` are texts of this machine and what stands for them."""

    title: str
    hidden: Sequence[tuple[str, str]]
    parts: list[str] = field(default_factory=list)
    timed: list[Timed] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A paragraph."""
        self.parts.append(self._clean(text))

    def show(self, shot: Shot) -> None:
        """A command with what it showed at the end and, where it drew, what stood there on the way."""
        lines = [
            f"$ {shot.typed}",
            *filter(None, shot.lines[:1]),
            *shot.lines[1:],
            f"[exit {shot.code}, {shot.seconds:.1f} s]",
        ]
        self.say("```console\n" + "\n".join(lines) + "\n```")
        for frame in moments(shot):
            shown = "\n".join(frame.lines)
            self.say(f"On the screen meanwhile, {frame.seconds:.0f} s after the command:\n\n```\n{shown}\n```")

    def compare(self, what: str, before: Contents, after: Contents) -> None:
        """A table of what was and what came back. Raises Wrong when anything differs."""
        rows = [f"| {what} | rows before | rows restored | MD5 of all rows | |", "|---|---|---|---|---|"]
        for name in sorted(before.tables.keys() | after.tables.keys()):
            old, new = before.tables.get(name), after.tables.get(name)
            shown = (old[0] if old else "-", new[0] if new else "-", new[1] if new else "-")
            rows.append(f"| {name} | {shown[0]} | {shown[1]} | `{shown[2]}` | {'same' if old == new else 'DIFFERS'} |")
        self.say("\n".join(rows))
        if dict(before.tables) != dict(after.tables):
            raise Wrong(f"{what}: what came back is not what was there:\n" + "\n".join(rows))

    def time(self, what: str, estimated: float | None, measured: float, note: str = "") -> None:
        """A line of the table at the end."""
        self.timed.append(Timed(self.title, what, estimated, measured, note))

    def text(self) -> str:
        """The page."""
        parts = [f"# {self.title}", *self.parts, "## Estimated against measured", table(self.timed)]
        return "\n\n".join(parts) + "\n"

    def write(self, file: Path) -> None:
        """Into a file whose folder may not exist yet."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text(), encoding="utf-8")

    def _clean(self, text: str) -> str:
        for found, instead in self.hidden:
            text = text.replace(found, instead)
        return text


def moments(shot: Shot) -> tuple[Frame, ...]:
    """Of what was drawn for the moment the frame that showed most at once, and of a table its last one, too."""
    if not shot.frames:
        return ()
    most = max(len(frame.lines) for frame in shot.frames)
    fullest = [frame for frame in shot.frames if len(frame.lines) == most]
    middle, last = fullest[len(fullest) // 2], shot.frames[-1]
    return (middle,) if most == 1 or middle is last else (middle, last)


def table(timed: Iterable[Timed]) -> str:
    """Estimated, measured and their ratio, a line each."""
    rows = ["| | estimated | measured | measured / estimated | |", "|---|---|---|---|---|"]
    for line in timed:
        ratio = "-" if not line.estimated else f"{line.measured / line.estimated:.2f}"
        estimated = "-" if line.estimated is None else f"{line.estimated:.0f} s"
        rows.append(f"| {line.what} | {estimated} | {line.measured:.0f} s | {ratio} | {line.note} |")
    return "\n".join(rows)


def as_json(records: Sequence[Record]) -> list[dict[str, object]]:
    """Every line of the tables."""
    return [asdict(line) for record in records for line in record.timed]


# --- what is typed -------------------------------------------------------------------------------------------------


def drorch(estate: Estate, line: str, *, record: Record | None = None, answer: Answer | None = None) -> Shot:
    """A command line of the host that begins with ``drorch``, typed in the installation's folder.

    Raises Wrong when it does not end with 0.
    """
    command = [sys.executable, "-m", *split(line)]
    shot = at_a_terminal(command, line, folder=estate.folder, env=estate.environment(), answer=answer)
    return noted(shot, record)


def asked(estate: Estate, line: str) -> dict[str, Any]:
    """What a command answers with ``--json``; it stands in no record. Raises Wrong as `drorch` does."""
    command = [sys.executable, "-m", *split(line), "--json"]
    done = subprocess.run(command, cwd=estate.folder, env=estate.environment(), capture_output=True, check=False)
    if done.returncode:
        raise Wrong(f"{line} --json ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def noted(shot: Shot, record: Record | None) -> Shot:
    """The shot, shown in the record. Raises Wrong when it did not end with 0."""
    tell(f"{shot.seconds:6.1f} s  {shot.typed.splitlines()[0]}")
    if record is not None:
        record.show(shot)
    if shot.code:
        raise Wrong(f"{shot.typed} ended with {shot.code}:\n" + "\n".join(shot.lines))
    return shot


def split(line: str) -> list[str]:
    """The words of a command line that may go on over lines."""
    return line.replace("\\\n", " ").split()


def steps_of(shot: Shot) -> dict[str, float]:
    """Step -> seconds, of the lines ``done  load  12 s`` that a restore of a dump leaves."""
    pattern = re.compile(r"^\s*done\s+(\w+)\s+(\d+) s\s")
    found: dict[str, float] = {}
    for match in filter(None, map(pattern.match, shot.lines)):
        found[match[1]] = found.get(match[1], 0) + float(match[2])
    return found


def outcomes_of(shot: Shot) -> dict[str, tuple[str, float | None]]:
    """Step -> (how it ended, seconds), of the table under ``STEP  ENDED  TOOK`` that a runbook ends with."""
    head = next((number for number, line in enumerate(shot.lines) if re.match(r"STEP\s+ENDED\s+TOOK", line)), None)
    if head is None:
        return {}
    ended, took = shot.lines[head].index("ENDED"), shot.lines[head].index("TOOK")
    found: dict[str, tuple[str, float | None]] = {}
    for line in shot.lines[head + 1 :]:
        if not line[:ended].strip():
            continue  # a detail that goes on
        if line[ended - 1 : ended] != " ":
            break
        found[line[:ended].strip()] = line[ended:took].strip(), _seconds(line[took:].split("  ")[0].strip())
    return found


def _seconds(text: str) -> float | None:
    units = {"h": 3600, "m": 60, "s": 1}
    found = re.findall(r"(\d+)([hms])", text)
    return sum(int(number) * units[unit] for number, unit in found) if found else None
