"""The dumps of a runbook: each is loaded into its target in a thread of its own, while other steps go on.

A target says what it holds (`BearsMark`): one that holds the point already is done, whoever loaded it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from drorch.app.loading import Reader
from drorch.app.progress import Progress
from drorch.app.region_report import BroughtBack
from drorch.app.restore import RestoreRequest, locate, mark_of, restore
from drorch.domain.catalogue import Catalogue
from drorch.domain.dump_return import DumpReturn
from drorch.domain.errors import DrorchError, OutcomeUnknown, Refused, Unavailable
from drorch.domain.forecast import measured
from drorch.domain.recovery import Choice, Step
from drorch.domain.runbook import StepProgress
from drorch.domain.runbook_order import DONE, FAILED, OVER
from drorch.domain.size import size_text
from drorch.ports import BearsMark, Clock, Engine, ObjectStore

ATTEMPTS = 3
"""So often a load is begun that is cut off; before anything was loaded the patience of the loop counts."""

_ENDING = 30.0
"""Seconds that loads have, when a runbook is given up, to clear their targets."""


@dataclass(frozen=True, slots=True)
class DumpSources:
    """What dumps are read from and loaded with: open stores, keys and identities, the engine of a target, the password
    of one; `site` is "" under break glass.
    """

    stores: Mapping[str, ObjectStore]
    reader: Reader
    engine: Callable[[str], Engine]
    password: Callable[[DumpReturn], str | None]
    site: str = ""


@dataclass(frozen=True, slots=True)
class LocatedDump:
    """A dump that is brought back: the point that was chosen, into which target."""

    resource: str
    kind: str
    choice: Choice
    options: DumpReturn
    estimate_s: int | None = None
    notes: tuple[str, ...] = ()
    next_best: str = ""

    @property
    def vault(self) -> str:
        """Where the dump is read from."""
        return self.choice.vaults[0]

    @property
    def id(self) -> str:
        """What its target says of it afterwards."""
        return mark_of(self.choice.point)


@dataclass
class _Load:
    """One dump on its way. `bytes` are those of this attempt, `cut_off` the attempts that ended after some had come."""

    thread: threading.Thread | None = None
    doing: str = "looks at the target"
    moved: bool = False
    cut_off: int = 0
    ended: StepProgress | BaseException | None = None
    failed: DrorchError | None = None


@dataclass
class LoadedDumps:
    """Brings dumps back, `sources` being needed where any are `wanted`. `at` chooses their points."""

    application: str
    wanted: Mapping[str, DumpReturn] = field(default_factory=dict)
    sources: DumpSources | None = None
    at: datetime | None = None
    located: Mapping[str, LocatedDump] = field(default_factory=dict)
    _loads: dict[str, _Load] = field(default_factory=dict)
    _cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def _of(self) -> DumpSources:
        if self.sources is None:
            raise TypeError("dumps are brought back with something")
        return self.sources

    def locate(self) -> None:
        """Choose a point of each. Raises as `drorch.app.restore.locate`."""
        self.located = {name: self._locate(name, options) for name, options in self.wanted.items()}

    def _locate(self, resource: str, options: DumpReturn) -> LocatedDump:
        request = self._request(resource, options)
        engine = self._of.engine(options.into)
        engine.target(options.into, None, with_globals=False)
        choice, catalogue = locate(request, self._of.stores, self._of.reader)
        kind = choice.point.kind
        if kind and kind != engine.kind:
            raise Refused(f"{resource} is a dump of {kind}", operation="restore", resource=options.into)
        return LocatedDump(resource, engine.kind, choice, options, self._estimate(catalogue, choice))

    def _estimate(self, catalogue: Catalogue, choice: Choice) -> int | None:
        resource, now = choice.point.resource, self._of.reader.clock.now()
        found = measured(resource, catalogue.of(resource), catalogue.drills).forecast(choice.vaults[:1], now)
        return None if found.took is None else int(found.took.total_seconds())

    def _request(self, resource: str, options: DumpReturn) -> RestoreRequest:
        return RestoreRequest(self.application, options.into, resource, at=self.at, site=self._of.site, mark=True)

    def check(self) -> None:
        """Look, before anything begins, for what opens the dumps and the targets. Refused."""
        if self.located and not self._of.reader.identities:
            hint = "--identity FILE, the age identity that opens the dumps"
            raise Refused("the runbook brings dumps back, and nothing opens them", operation="restore", hint=hint)
        for each in self.located.values():
            self._of.password(each.options)

    @property
    def estimates(self) -> Mapping[str, int | None]:
        """Seconds by resource, None where no drill has measured it."""
        return {name: each.estimate_s for name, each in self.located.items()}

    def __contains__(self, resource: str) -> bool:
        return resource in self.located

    def advance(self, resource: str) -> StepProgress:
        """One look: begins to load, or says how far that is. After Unavailable the next look begins again."""
        load = self._loads.setdefault(resource, _Load())
        if load.thread is None:
            load.moved, load.ended = False, None
            load.thread = threading.Thread(
                target=self._run, args=(resource, load), daemon=True, name=f"load {resource}"
            )
            load.thread.start()
        if load.ended is not None:
            load.thread.join()
            return self._ended(load, load.ended)
        if load.failed is not None and not load.moved:
            raise load.failed  # until something comes, nobody has answered
        return StepProgress(detail=load.doing)

    def _ended(self, load: _Load, how: StepProgress | BaseException) -> StepProgress:
        if isinstance(how, StepProgress):
            return how
        if isinstance(how, Unavailable | OutcomeUnknown):
            load.cut_off += load.moved
            if load.cut_off >= ATTEMPTS:
                return StepProgress(failed=f"{how}, {ATTEMPTS} times")
            load.thread, load.failed = None, how
        if isinstance(how, DrorchError):
            raise how
        cause = f"{type(how).__name__}: {how}"
        raise Refused("loading failed in a way that drorch does not know", operation="restore", cause=cause)

    def close(self) -> None:
        """Give up what is still being loaded; its targets are as they were."""
        self._cancel.set()
        for load in self._loads.values():
            if load.thread is not None:
                load.thread.join(_ENDING)

    def outcomes(self, steps: Iterable[Step], clock: Clock) -> tuple[BroughtBack, ...]:
        """What came of each by the `steps` as they ended."""
        ended, now = {step.resource: step for step in steps}, clock.now()
        return tuple(
            BroughtBack(
                located=each,
                restore=each.id,
                made=(),
                outcome=DONE if ended[name].outcome in OVER else FAILED,
                data_loss_s=each.choice.data_loss_s(now),
                why=_why_not(ended[name]),
                notes=each.choice.notes,
                into=each.options.into,
            )
            for name, each in self.located.items()
        )

    # --- in the thread ---

    def _run(self, resource: str, load: _Load) -> None:
        try:
            load.ended = self._load(self.located[resource], load)
        except BaseException as error:  # noqa: BLE001  the thread's end must not leave the step waiting for ever
            load.ended = error

    def _load(self, located: LocatedDump, load: _Load) -> StepProgress:
        into, point = located.options.into, located.choice.point
        engine, password = self._of.engine(into), self._of.password(located.options)
        target = engine.target(into, password, with_globals=False)
        held = target.left() if isinstance(target, BearsMark) else ""
        if held == located.id:
            return StepProgress(True, f"{into} holds point {point.id} already")
        if self.at is None and held.rpartition("/")[0] == located.id.rpartition("/")[0]:
            older = held.rpartition("/")[2]
            note = f"{into} was restored from point {older} before, and is left so; newer is {point.id}"
            return StepProgress(True, f"{into} holds point {older} already", notes=(note,))

        def moved(progress: Progress) -> None:
            load.moved, load.doing = True, _words(progress)

        def took(step: Step) -> None:
            load.doing = f"{step.step}: {step.detail}" if step.detail else step.step

        request = replace(self._request(located.resource, located.options), point=point.id, at=None, password=password)
        reader = replace(self._of.reader, sink=moved, cancel=self._cancel)
        report = restore(request, engine, self._of.stores, reader, took)
        return StepProgress(True, f"{size_text(report.bytes)} of point {report.point} in {into}", notes=report.notes)


def _words(progress: Progress) -> str:
    """``load 1.2 GiB of 3.0 GiB (40 %), 80.0 MiB/s``."""
    words = f"{progress.step} {size_text(progress.done)}"
    if progress.total:
        words += f" of {size_text(progress.total)} ({min(progress.done * 100 // progress.total, 100)} %)"
    return words + (f", {size_text(int(progress.rate))}/s" if progress.rate else "")


def _why_not(ended: Step) -> str:
    return "" if ended.outcome in OVER else f"{ended.detail}; its target is as it was, the same command begins again"
