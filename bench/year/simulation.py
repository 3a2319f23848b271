"""One site through its year: events at their instants, passes when slots begin, and the truth compared after each."""

from __future__ import annotations

import tempfile
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bench.year import sabotage
from bench.year.applications import Site
from bench.year.clock import START
from bench.year.events import timetable
from bench.year.installation import Installation, Killed, prepare
from bench.year.ledger import Broken
from bench.year.truth import check_end, check_rpo
from drorch.app.passing import Pass
from drorch.domain.action import Braked, Settling, WriteHead
from drorch.domain.errors import InvalidInput
from drorch.domain.instant import to_slot

AFTER_SLOT = timedelta(minutes=5)
BETWEEN = timedelta(minutes=4)
"""Within the quarter of an hour for which a listing of a vault as a whole is good."""
AT_MOST = 5
LATER = (timedelta(hours=3), timedelta(hours=8))
"""What could not be done when the slot began is looked at again so long after it."""
APART = timedelta(minutes=20)
"""Between two clusters of passes, so that each begins with listings of its own."""
SAMPLE = 4


@dataclass
class Outcome:
    """What one site tells. Plain values: it goes from one process to another."""

    site: int
    kind: str
    applications: int
    passes: int = 0
    cuts_due: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    worst: dict[str, list[float]] = field(default_factory=dict)
    compared: int = 0
    broken: list[Broken] = field(default_factory=list)


class Simulation:
    """See the module."""

    def __init__(self, site: Site, state: Path) -> None:
        self.site = site
        self.world = Installation(site, state)
        self.told = Outcome(site.number, site.of.name, len(site.names))
        self.timetable = deque(timetable(site))
        self.causes: set[str] = set()
        self.during: set[str] = set()
        """What was wrong at any time since the slot began."""
        self._alarmed: set[tuple[str, str, int]] = set()
        self._schedule = next(iter(self.world.policies.values())).resources[0].schedule
        self._last = START - timedelta(days=1)

    def run(self) -> Outcome:
        """The whole year."""
        end = START + timedelta(days=self.site.days)
        slot = self._schedule.next_after(START)
        while slot < end:
            self._until(slot + AFTER_SLOT)
            self.during = set(self.causes)
            self._cluster()
            following = self._schedule.next_after(slot)
            for later in LATER:
                if self._to_be_done(to_slot(slot)) and slot + later + timedelta(hours=1) < following:
                    self._until(slot + later)
                    self._cluster()
            self._until(following - timedelta(seconds=1))
            self._count_missed(to_slot(slot))
            slot = following
        self._until(max(end, self.world.clocks.true))
        check_end(self.world.ledger, self.world.policies.values())
        return self._outcome()

    # --- time ---

    def _until(self, instant: object) -> None:
        """Turn the clock; what happens before `instant` happens at its own."""
        clocks = self.world.clocks
        while self.timetable and START + self.timetable[0][0] <= instant:  # type: ignore[operator]
            at, word, cause, act, look = self.timetable.popleft()
            clocks.true = max(clocks.true, START + at)
            if word == "begin":
                self.causes.add(cause)
                self.during.add(cause)
            else:
                self.causes.discard(cause)
            self._guarded(lambda act=act: act(self.world))
            if look:
                self._cluster(everybody=True)
        clocks.true = max(clocks.true, instant)  # type: ignore[call-overload]

    def _cluster(self, *, everybody: bool = False) -> None:
        """Passes until one has nothing to begin but heads, five at most."""
        clocks = self.world.clocks
        clocks.true = max(clocks.true, self._last + APART)
        for number in range(AT_MOST):
            seen = self._pass(everybody=everybody and number == 0)
            self._last = clocks.true
            clocks.true += BETWEEN
            if seen is None or all(isinstance(action, WriteHead) for action in seen.started):
                break

    def _pass(self, *, everybody: bool) -> Pass | None:
        world = self.world
        world.ledger.begin_pass()
        self.told.passes += 1
        seen = self._guarded(world.reconciler.run_pass)
        if not isinstance(seen, Pass):
            return None
        for name, fault in seen.faults.items():
            world.ledger.break_("fault", name, fault)
        for finished in seen.finished:
            self.told.actions[f"{finished.action.name} {finished.outcome}"] += 1
            if finished.outcome == "drorcherror":
                world.ledger.break_("fault", finished.action.application, str(finished.error))
        self._note_holds(seen)
        self._compare(seen, everybody=everybody)
        return seen

    def _guarded(self, act: object) -> object:
        """What a process does until it ends: by itself, without its folder of policies, or killed."""
        try:
            return act()  # type: ignore[operator]
        except Killed:
            self.world.ledger.counts["processes killed"] += 1
            for taken in self.world.ledger.taken_copies.values():
                taken.told = True  # what it saw went down with it, and the next may find the copy brought again
            self.world.restart()
        except InvalidInput:
            self.told.alarms["policy folder (passes)"] += 1
        return None

    # --- what is noted ---

    def _compare(self, seen: Pass, *, everybody: bool) -> None:
        names = list(seen.plans)
        step = 1 if everybody else max(1, len(names) // SAMPLE)
        for name in names[self.told.passes % step :: step]:
            check_rpo(self.world.ledger, seen, seen.plans[name], self.told.worst)
            self.told.compared += 1

    def _note_holds(self, seen: Pass) -> None:
        day = int(self.world.clocks.day)
        for hold in seen.holds:
            if hold.alarm == "removed":
                taken = self.world.ledger.taken_copies.get((hold.vault, hold.point))
                if taken is not None:
                    taken.told = True
            if hold.alarm and not isinstance(hold, Settling):
                self._alarmed.add((hold.alarm, hold.application, day))
            self.told.actions["braked"] += isinstance(hold, Braked)
        if seen.world.skewed:
            self._alarmed.add(("clock (site)", "", day))
        for vault in seen.world.unread:
            self._alarmed.add((f"unread {vault}", "", day))

    def _to_be_done(self, slot: str) -> bool:
        slots = self.world.ledger.slots
        return any(slot not in slots.get((name, "data"), ()) for name in self.world.policies)

    def _count_missed(self, slot: str) -> None:
        for name in self.world.policies:
            self.told.cuts_due += 1
            if slot not in self.world.ledger.slots.get((name, "data"), ()):
                self.told.missed[", ".join(sorted(self.during)) or "no cause known"] += 1

    def _outcome(self) -> Outcome:
        told, ledger = self.told, self.world.ledger
        told.counts = Counter(ledger.counts)
        told.counts["calls refused"] = self.world.weather.refused
        told.counts["processes"] = self.world.processes
        for alarm, _, _ in self._alarmed:
            told.alarms[alarm] += 1
        told.broken = ledger.broken
        return told


def simulate(site: Site) -> Outcome:
    """One site's year, in this process."""
    prepare()
    sabotage.apply(site.sabotage)
    memory = Path("/dev/shm")  # noqa: S108  locks and intents are synced to the disk otherwise
    with tempfile.TemporaryDirectory(prefix="drorch-year-", dir=memory if memory.is_dir() else None) as state:
        return Simulation(site, Path(state) / "state").run()
