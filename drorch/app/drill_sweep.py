"""Clearing away what drills left behind: a quarter of an hour apart, beside the passes, which never wait for it.

Only what bears the tag of a drill whose own time is over goes, and each kind asks its provider for the tag once more
before it deletes. What bears the tag and no time that a drill gave is told, and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial

from drorch.app.beside import Beside, answered
from drorch.domain.native_drill import DrillLeft, Place, drill_places, until_of
from drorch.domain.native_restore import TAG_DRILL
from drorch.domain.policy import Policy
from drorch.ports import RestoresSnapshots, SnapshotKind

EVERY = timedelta(minutes=15)
LATE = timedelta(minutes=10)
"""After its time a drill that ends has so long to clear up by itself."""


class DrillSweep:
    """Looks where policies drill native points. Nothing of it must survive this process: the tags say it all."""

    def __init__(self, site: str, kinds: Mapping[str, SnapshotKind]) -> None:
        self._site = site
        self._kinds = kinds
        self._left: tuple[DrillLeft, ...] = ()
        self._asked: datetime | None = None
        self._beside = Beside()

    def known(self, policies: Iterable[Policy], now: datetime, *, clear: bool) -> tuple[DrillLeft, ...]:
        """What the last look found past its time. One that is due begins beside the pass; it clears away if `clear`."""
        places = drill_places(policies)
        due = self._asked is None or not self._asked <= now < self._asked + EVERY
        if places and clear and due and self._beside.idle:
            self._asked = now
            self._beside.begin(partial(self._look, places, now))
        return tuple(left for left in self._left if left.place in places)

    def wait(self) -> None:
        """Until a look that has begun is over."""
        self._beside.wait()

    def _look(self, places: Iterable[Place], now: datetime) -> None:
        found: list[DrillLeft] = []
        for place in sorted(places):
            kind, account, region = place
            restoring = self._kinds.get(kind)
            if isinstance(restoring, RestoresSnapshots):
                look = partial(_one, restoring, place, self._site, now)
                told = answered(look, kind=kind, account=account, region=region)
                # A place that does not answer says nothing new: what was found there before stands.
                found += told if not isinstance(told, str) else [left for left in self._left if left.place == place]
        self._left = tuple(found)


def _one(kind: RestoresSnapshots, place: Place, site: str, now: datetime) -> list[DrillLeft]:
    """Of this site alone: another's drills are its own affair."""
    things: dict[str, list[str]] = {}
    for drill, made in kind.made(place[1], place[2], TAG_DRILL):
        if drill.startswith(f"{site}/"):
            things.setdefault(drill, []).append(f"{made.what} {made.native_id}")
    found = []
    for drill, names in sorted(things.items()):
        until = until_of(drill)
        if until is None:
            found.append(DrillLeft(place, drill, tuple(names), "no drill gave this tag: nothing of it is touched"))
        elif now >= until + LATE:
            told = answered(partial(kind.discard, place[1], place[2], TAG_DRILL, drill), kind=place[0])
            why = told if isinstance(told, str) else f"{len(told)} of {len(names)} are still there"
            found.append(DrillLeft(place, drill, tuple(names), f"its time was over; cleared away: {why}"))
    return found
