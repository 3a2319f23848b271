"""Runs a parser over mutated seeds. A finding is any error that is not documented, a broken promise, or lost bounds."""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from fuzz.mutate import Mutator

SEEDS = Path(__file__).parent / "seeds"
SECONDS = 2.0
"""What one input may take; generous: the slowest takes some hundredths."""
MEMORY_KIB = 512 * 1024
"""By how much one input may raise the most memory that this process ever had."""
OPEN = "open-"
"""Names of seeds that still show a fault: the suite fails while there is one, and a run does not tell it again."""
MENDED = "found-"
"""Names of seeds that showed one once."""


@dataclass(frozen=True)
class Parser:
    """A reader of foreign bytes. `check` returns when all is well and raises what is wrong; `plant` makes seeds.

    `rounds` is how many inputs the test suite gives it.
    """

    name: str
    check: Callable[[bytes], None]
    plant: Callable[[], Mapping[str, bytes]]
    rounds: int = 200

    @property
    def folder(self) -> Path:
        return SEEDS / self.name

    def seeds(self) -> dict[str, bytes]:
        """The kept seeds by name, in an order that no renaming changes: a run stays the same run."""
        kept = {path.name: path.read_bytes() for path in self.folder.glob("*") if path.is_file()}
        return dict(sorted(kept.items(), key=lambda seed: (hashlib.sha256(seed[1]).digest(), seed[0])))

    def settle(self) -> list[str]:
        """Rename the open seeds that show no fault any more; from then on they must not again. Their former names."""
        mended = [name for name, data in self.seeds().items() if name.startswith(OPEN) and tried(self, data)[0] is None]
        for name in mended:
            (self.folder / name).rename(self.folder / name.replace(OPEN, MENDED))
        return mended


@dataclass(frozen=True)
class Finding:
    """One input and what it did. Findings with the same `mark` have the same cause."""

    parser: str
    data: bytes
    mark: str
    text: str

    def keep(self) -> Path:
        """Store the input among the seeds."""
        path = SEEDS / self.parser / f"{OPEN}{hashlib.sha256(self.mark.encode()).hexdigest()[:8]}"
        path.write_bytes(self.data)
        return path


@dataclass
class Report:
    """What a run over one parser gave."""

    parser: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[Finding] = field(default_factory=list)


class TooSlow(BaseException):
    """One input took far too long; no `except Exception` of the parser may swallow it."""


def tried(parser: Parser, data: bytes) -> tuple[Finding | None, float]:
    """What one input does, and the seconds it took.

    What seems slow is tried once more: in a process of ten thousand tests the first input that needs a model builds it,
    and pays for a look through everybody's memory.
    """
    finding, seconds = _tried_once(parser, data)
    slow = finding is not None and finding.mark == f"slow {parser.name}"
    return _tried_once(parser, data) if slow else (finding, seconds)


def _tried_once(parser: Parser, data: bytes) -> tuple[Finding | None, float]:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    finding: Finding | None = None
    try:
        with _limited(10 * SECONDS):
            parser.check(data)
    except (Exception, TooSlow) as error:  # noqa: BLE001  # whatever it is, it is what we look for
        finding = Finding(parser.name, data, _mark(error), "".join(traceback.format_exception(error))[-3000:])
    seconds = time.thread_time() - begun  # other tests' servers work in threads of this process
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if finding is None and seconds > SECONDS:
        finding = Finding(parser.name, data, f"slow {parser.name}", f"it took {seconds:.1f} s")
    if finding is None and grown > MEMORY_KIB:
        finding = Finding(parser.name, data, f"large {parser.name}", f"it took {grown} KiB")
    return finding, seconds


def run(parser: Parser, rounds: int, seed: int, *, seconds: float = float("inf")) -> Report:
    """At most `rounds` inputs made from the parser's seeds, for `seconds` at most; each cause is told once."""
    report, begun = Report(parser.name), time.monotonic()
    kept = parser.seeds()
    known = {found.mark for name, data in kept.items() if name.startswith(OPEN) and (found := tried(parser, data)[0])}
    mutator = Mutator(list(kept.values()), random.Random(f"{parser.name} {seed}"))
    while report.inputs < rounds and time.monotonic() - begun < seconds:
        finding, took = tried(parser, mutator.next())
        report.inputs += 1
        report.slowest = max(report.slowest, took)
        if finding is not None and finding.mark not in known:
            known.add(finding.mark)
            report.findings.append(finding)
    report.seconds = time.monotonic() - begun
    return report


def table(reports: Sequence[Report]) -> str:
    """Parser, inputs, findings, seconds, slowest input in milliseconds."""
    lines = [f"{'PARSER':18} {'INPUTS':>8} {'FINDINGS':>8} {'SECONDS':>8} {'SLOWEST':>8}"]
    lines += [
        f"{r.parser:18} {r.inputs:8} {len(r.findings):8} {r.seconds:8.1f} {r.slowest * 1000:6.0f}ms" for r in reports
    ]
    total = Report("all", sum(r.inputs for r in reports), sum(r.seconds for r in reports))
    lines.append(f"{total.parser:18} {total.inputs:8} {sum(len(r.findings) for r in reports):8} {total.seconds:8.1f}")
    return "\n".join(lines)


def _mark(error: BaseException) -> str:
    """The kind of error and the innermost line of drorch's own that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/drorch/" in frame.filename or "/fuzz/" in frame.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].line}" if ours else "?"
    return f"{type(error).__name__} {where}"


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """No input may hang the run, or take the memory of the machine."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MEMORY_KIB * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
