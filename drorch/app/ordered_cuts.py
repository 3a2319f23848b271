"""Cuts that a person orders, of several resources together: all begin before any is waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drorch.app.carry import LightHands, Scene
from drorch.app.intents import Intents
from drorch.app.locks import Lock, Locks, resource_lock
from drorch.app.passing import Handle, HeavyHands, Pass
from drorch.app.reconcile import Reconciler
from drorch.domain.action import Cut, WriteRecord
from drorch.domain.errors import DrorchError, OutcomeUnknown, Unavailable
from drorch.domain.instant import from_text
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.ports import Clock

_LOOK_EVERY = timedelta(seconds=2)
"""Between two looks at snapshots that are pending."""
_POLL = 0.2
"""Seconds between looks at a worker on this host."""
_SHOWS_WITHIN = timedelta(minutes=5)
"""What shows nothing for so long was never begun."""

Watch = Callable[[str, Mapping[str, Any]], None]
"""Hears of progress: the resource, and what was reported last."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A point that was cut by order, usable now. `lost`: the vaults that it is not in, each with why."""

    resource: str
    point: str
    cut_at: datetime
    vaults: tuple[str, ...]
    lost: Mapping[str, str]


@dataclass(slots=True)
class _UnderWay:
    """A cut that was begun; of a dump with its worker."""

    cut: Cut
    scene: Scene
    lock: Lock
    since: datetime
    handle: Handle | None = None


class OrderedCuts:
    """Carries out cuts of one application. At most `at_once` dumps run at the same time, whatever their servers."""

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        light: LightHands,
        heavy: HeavyHands,
        locks: Locks,
        intents: Intents,
        clock: Clock,
        at_once: int,
        watch: Watch,
    ) -> None:
        self._reconciler = reconciler
        self._light = light
        self._heavy = heavy
        self._locks = locks
        self._intents = intents
        self._clock = clock
        self._at_once = at_once
        self._watch = watch
        self._under_way: dict[str, _UnderWay] = {}
        self._ended: dict[str, Ordered | DrorchError] = {}
        self._looked: datetime | None = None

    def carry_out(self, wanted: Sequence[tuple[Cut, Scene]]) -> dict[str, Ordered | DrorchError]:
        """resource -> its point, usable now, or why there is none; one that fails keeps no other from being cut.

        Dumps begin first: their workers take a moment to start, a snapshot is asked for in one call.
        """
        dumps = deque(each for each in wanted if each[0].into)
        with ExitStack() as stack:
            stack.callback(self._give_up)
            self._begin_dumps(dumps)
            for cut, scene in wanted:
                if not cut.into:
                    self._begin(cut, scene)
            while self._under_way:
                self._poll_dumps()
                self._begin_dumps(dumps)
                self._look_at_snapshots()
                if self._under_way:
                    dumping = any(begun.handle is not None for begun in self._under_way.values())
                    self._clock.sleep(_POLL if dumping else _LOOK_EVERY.total_seconds())
        return {cut.resource: self._ended[cut.resource] for cut, _ in wanted}

    # --- beginning ---

    def _begin_dumps(self, dumps: deque[tuple[Cut, Scene]]) -> None:
        while dumps and sum(begun.handle is not None for begun in self._under_way.values()) < self._at_once:
            self._begin(*dumps.popleft())

    def _begin(self, cut: Cut, scene: Scene) -> None:
        try:
            lock = self._locks.take(resource_lock(cut.application, cut.resource), "cut by order")
        except DrorchError as error:
            self._ended[cut.resource] = error
            return
        begun = self._under_way[cut.resource] = _UnderWay(cut, scene, lock, self._clock.now())
        try:
            if cut.into:
                begun.handle = self._heavy.start(cut, scene, lock)
            else:
                self._light.carry_out(cut, scene, begun.since)
        except OutcomeUnknown as error:
            if cut.into:
                self._end(begun, error)
            else:
                self._watch(cut.resource, {"step": "looking whether the cut was begun"})
        except DrorchError as error:
            self._end(begun, error)

    # --- waiting ---

    def _poll_dumps(self) -> None:
        for begun in list(self._under_way.values()):
            if begun.handle is None:
                continue
            finished = begun.handle.poll()
            if finished is None:
                self._watch(begun.cut.resource, getattr(begun.handle, "progress", {}))
            elif finished.error is not None:
                self._end(begun, finished.error)
            else:
                self._read_back(begun.cut.into, begun.cut)
                self._end(begun, _of_dump(begun.cut, finished.result))

    def _look_at_snapshots(self) -> None:
        pending = [begun for begun in self._under_way.values() if begun.handle is None]
        now = self._clock.now()
        if not pending or (self._looked is not None and self._looked <= now < self._looked + _LOOK_EVERY):
            return
        self._looked = now
        seen = self._reconciler.look()
        for begun in pending:
            try:
                point = self._usable(begun, seen)
                if point is not None:
                    self._intents.end(point.id)
                    self._record(begun, seen)
                    self._end(begun, _of_snapshots(begun.cut, point))
            except DrorchError as error:
                self._end(begun, error)

    def _usable(self, begun: _UnderWay, seen: Pass) -> RecoveryPoint | None:
        """The point when it is whole, None while it is pending. Raises for one that failed, or never showed."""
        cut = begun.cut
        point = seen.plans[cut.application].catalogue.find(cut.point)
        copy = point.copy_in(cut.vault) if point is not None else None
        if copy is None:
            if self._clock.now() - begun.since > _SHOWS_WITHIN:
                raise OutcomeUnknown(
                    f"point {cut.point} does not show", vault=cut.vault, hint="drorch points shows it if it comes up"
                )
            return None
        if copy.state is CopyState.FAILED:
            raise Unavailable(f"point {cut.point} failed at the provider", vault=cut.vault, cause=copy.why)
        if copy.whole:
            return point
        self._watch(cut.resource, {"step": copy.why})
        return None

    def _record(self, begun: _UnderWay, seen: Pass) -> None:
        """Sign the native record; what no vault takes now is written at the next pass."""
        into, cut, scene = tuple(self._reconciler.observer.vaults), begun.cut, begun.scene
        if not into:
            return
        record = WriteRecord(cut.application, cut.resource, cut.vault, cut.point, "usable", into)
        catalogue = seen.plans[cut.application].catalogue
        scene = Scene(scene.resource, catalogue, seen.world, scene.sources, scene.note)
        self._light.carry_out(record, scene, self._clock.now())
        self._read_back(into, cut)

    def _read_back(self, vaults: Sequence[str], cut: Cut) -> None:
        for vault in vaults:
            self._reconciler.observer.refresh(vault, cut.application, cut.resource, self._clock.now())

    # --- ending ---

    def _end(self, begun: _UnderWay, how: Ordered | DrorchError) -> None:
        self._ended[begun.cut.resource] = how
        del self._under_way[begun.cut.resource]
        begun.lock.release()

    def _give_up(self) -> None:
        """Abandon what is still under way: nothing is, unless the order was interrupted."""
        for begun in self._under_way.values():
            if begun.handle is not None:
                begun.handle.cancel()
            begun.lock.release()


def _of_dump(cut: Cut, result: Mapping[str, Any]) -> Ordered:
    lost = dict(result.get("lost") or {})
    return Ordered(cut.resource, cut.point, from_text(result["cut_at"]), tuple(result["vaults"]), lost)


def _of_snapshots(cut: Cut, point: RecoveryPoint) -> Ordered:
    if point.cut_at is None:
        raise Unavailable(f"the provider does not say what {point.id} is as of", resource=cut.resource)
    return Ordered(cut.resource, point.id, point.cut_at, (cut.vault,), {})
