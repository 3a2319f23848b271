"""Contestants measured side by side in one run: wall and CPU seconds, peak memory of the whole process tree, ratios.

Absolute figures drift with the machine, so every claim is a ratio within a round: A B A B, the first round thrown away
as a warm-up, medians and the range of the others.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.02


class Wrong(Exception):
    """An output is not what it should be: no figure of such a run means anything."""


@dataclass(frozen=True)
class Measured:
    """One run: wall and CPU seconds of the process tree, the largest sum of its processes' resident MiB."""

    wall: float
    cpu: float
    mib: float


def measure(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, of: str = ""
) -> Measured:
    """Run a command to its end. Raises Wrong, with what it said, unless it ended with 0.

    `of`: the memory is that of the processes below it whose command line holds these words, and of what they start.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(env or os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = _Peak(process.pid, of)
    _, said = process.communicate()
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    mib = peak.end()
    if process.returncode:
        raise Wrong(f"{command[0]} ended with {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall, cpu, mib)


class _Peak:
    """Looks at the resident memory of a process and all below it, fifty times a second."""

    def __init__(self, pid: int, of: str) -> None:
        self._pid, self._of, self._most, self._ended = pid, of.encode(), 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            roots = [pid for pid in _tree(self._pid) if self._of in _command_line(pid)] if self._of else [self._pid]
            seen = {pid for root in roots for pid in _tree(root)}
            self._most = max(self._most, sum(_resident(pid) for pid in seen if not _is_its_parent(pid)))

    def end(self) -> float:
        """The largest sum that was seen, in MiB."""
        self._ended.set()
        self._thread.join()
        return self._most / 1024


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


def _is_its_parent(pid: int) -> bool:
    """Whether it has only just been forked: until it becomes its own program it has its parent's memory, not more."""
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return False
    return _command_line(pid) == _command_line(parent)


def _resident(pid: int) -> int:
    """KiB; 0 for a process that has just ended."""
    try:
        fields = Path(f"/proc/{pid}/status").read_text().split()
        return int(fields[fields.index("VmRSS:") + 1])
    except (OSError, ValueError):
        return 0


Contestants = Mapping[str, Callable[[int], Measured]]
"""Name -> what runs it in a round and checks its output; the round is a number from 0."""


def rounds(contestants: Contestants, count: int, tell: Callable[[str], None]) -> dict[str, list[Measured]]:
    """Every contestant once a round, in turn, each round beginning with another; the first round does not count."""
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(count + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            tell(f"round {number} of {count}: {name}" + ("" if number else " (warm-up)"))
            measured = contestants[name](number)
            if number:
                found[name].append(measured)
    return found


@dataclass(frozen=True)
class Claim:
    """`subject` is to be at least `reach` times as fast as `against`, by wall time."""

    subject: str
    against: str
    reach: float


def ratios(found: Mapping[str, Sequence[Measured]], claim: Claim) -> list[float]:
    """Per round: how many times as fast the subject is."""
    pairs = zip(found[claim.against], found[claim.subject], strict=True)
    return [other.wall / own.wall for other, own in pairs]


def as_table(found: Mapping[str, Sequence[Measured]], claims: Sequence[Claim]) -> str:
    """Medians with their range, then the claims; what is not reached says so."""
    width = max(map(len, found))
    lines = [f"{'':{width}}  {'wall s':>22}  {'CPU s':>8}  {'peak MiB':>8}"]
    for name, runs in found.items():
        walls = [run.wall for run in runs]
        wall = f"{statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})"
        cpu = statistics.median(run.cpu for run in runs)
        lines.append(f"{name:{width}}  {wall:>22}  {cpu:>8.2f}  {max(run.mib for run in runs):>8.0f}")
    for claim in claims:
        if claim.subject in found and claim.against in found:
            found_ratios = ratios(found, claim)
            middle = statistics.median(found_ratios)
            verdict = "reached" if middle >= claim.reach else f"NOT reached, by {claim.reach - middle:.2f}"
            lines.append(
                f"{claim.subject} against {claim.against}: {middle:.2f} times as fast "
                f"({min(found_ratios):.2f}-{max(found_ratios):.2f}), to reach {claim.reach}: {verdict}"
            )
    return "\n".join(lines) + "\n"


def as_json(
    found: Mapping[str, Sequence[Measured]], claims: Sequence[Claim], facts: Mapping[str, object]
) -> dict[str, object]:
    """Every run with the medians and spread of its walls, and per claim the ratios, their median and range."""
    said = [
        {**asdict(claim), "ratios": values, "median": statistics.median(values), "range": [min(values), max(values)]}
        for claim in claims
        if claim.subject in found and claim.against in found
        for values in [ratios(found, claim)]
    ]
    walls = {name: spread([run.wall for run in runs]) for name, runs in found.items()}
    runs = {name: [asdict(run) for run in made] for name, made in found.items()}
    return {"facts": dict(facts), "runs": runs, "walls": walls, "claims": said}


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, once a round; `reach` is what its median is to stay within, if anything."""

    name: str
    unit: str
    values: tuple[float, ...]
    reach: float | None = None
    digits: int = 1


def tell_figures(
    title: str,
    figures: Sequence[Figure],
    ratios: Mapping[str, Sequence[float]],
    facts: Mapping[str, object],
    file: Path | None,
) -> None:
    """A table on stdout, medians with their range, and the same with every single value into `file`.

    `ratios` are of one round each: how many times as fast, or as much. What is not reached says so, and fails nothing.
    """
    width = max(map(len, (*(figure.name for figure in figures), *ratios)))
    lines = [title, *(f"{figure.name:{width}}  {_figure(figure)}" for figure in figures)]
    for name, values in ratios.items():
        lines.append(f"{name:{width}}  {statistics.median(values):.2f} times ({min(values):.2f}-{max(values):.2f})")
    sys.stdout.write("\n".join(lines) + "\n")
    told = {figure.name: {"unit": figure.unit, **spread(figure.values), **_verdict(figure)} for figure in figures}
    write_json(file, {"facts": dict(facts), "figures": told, "ratios": {n: spread(v) for n, v in ratios.items()}})


def spread(values: Sequence[float]) -> dict[str, object]:
    """Every value, their median, and their range (two numbers, and as a share of the median)."""
    middle = statistics.median(values)
    share = (max(values) - min(values)) / middle if middle else 0.0
    return {"values": list(values), "median": middle, "range": [min(values), max(values)], "spread": share}


def _verdict(figure: Figure) -> dict[str, object]:
    if figure.reach is None:
        return {}
    return {"reach": figure.reach, "reached": statistics.median(figure.values) <= figure.reach}


def _figure(figure: Figure) -> str:
    middle, low, high = statistics.median(figure.values), min(figure.values), max(figure.values)
    digits, verdict = figure.digits, ""
    if figure.reach is not None:
        reached = "reached" if middle <= figure.reach else f"NOT reached, {middle / figure.reach:.1f} times over"
        verdict = f", to reach {figure.reach:g}: {reached}"
    return f"{middle:,.{digits}f} {figure.unit} ({low:,.{digits}f}-{high:,.{digits}f}){verdict}"


def write_json(file: Path | None, body: Mapping[str, object]) -> None:
    """Beside the table, for whoever compares runs."""
    if file is not None:
        file.write_text(json.dumps(body, indent=2) + "\n")


def tell(line: str) -> None:
    """Progress, to stderr."""
    sys.stderr.write(f"\r\x1b[2K{line}" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()
