"""How long a recovery would take now: measured by drills, scaled to today's sizes. Pure; nothing is ever invented.

What streams the data (download, decrypt, load, and the counting that compares what was loaded) takes time in proportion
to its size; starting a server, preparing it and asking the probes does not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from drorch.domain import layout
from drorch.domain.catalogue_point import Drilled
from drorch.domain.model import Copy, RecoveryPoint, place_of
from drorch.domain.size import size_text

STREAMED = ("download", "decrypt", "load", "compare")
"""The phases of a drill that take time in proportion to the size."""
MADE = "create"
"""The phase of a drill of snapshots in which the provider makes all of it."""
FEWEST, SHORTEST = 3, timedelta(days=7)
"""Points, and the time that they span, without which no growth is told."""
SOON = timedelta(days=30)
"""How long before growth breaks a promise somebody is told."""
_SAME_YEAR = timedelta(days=300)
"""So long a day and a month say which one is meant."""
_FURTHEST = timedelta(days=3650)
"""Beyond this no growth is foreseen."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one passed drill says of a restore from `vault`; `borrowed` when it was made from another vault."""

    vault: str
    drill: Drilled
    borrowed: bool = False

    def seconds(self, size: float) -> float:
        """For `size` bytes of ciphertext. As long as the drill took where either size is not known."""
        streamed, fixed = self._parts
        if not self._scales or size <= 0:
            return float(self._whole)
        return fixed + streamed * size / self.drill.bytes

    def size(self, seconds: float) -> float:
        """The most bytes that take no longer than `seconds`; infinite where the time does not follow the size."""
        streamed, fixed = self._parts
        if not self._scales or not streamed:
            return math.inf
        return (seconds - fixed) * self.drill.bytes / streamed

    @property
    def _scales(self) -> bool:
        return self.drill.bytes > 0 and MADE not in self.drill.seconds

    @property
    def _whole(self) -> int:
        """Of a drill of snapshots without what it took to clear up: a provider makes them whatever their size, as far
        as anybody has measured here.
        """
        return self.drill.seconds.get(MADE, self.drill.seconds["total"])

    @property
    def _parts(self) -> tuple[int, int]:
        """(streamed, fixed) seconds. Streams at the same time count each their own: parts may exceed the whole."""
        known, total = self.drill.seconds, self._whole
        streamed = sum(known.get(phase, 0) for phase in STREAMED)
        streamed = max(min(streamed, total - known.get("probe", 0)), 0)
        return streamed, total - streamed

    def basis(self, size: int, now: datetime) -> str:
        """``drill of 12 Nov, 212.0 GiB, from gcs-eu``, and what else must be said of it."""
        told = [f"drill of {_day(self.drill.at, now)}"]
        if self._scales:
            told.append(size_text(self.drill.bytes))
        told.append(f"from {self.drill.vault}")
        if self._scales and size > 0 and abs(size - self.drill.bytes) * 100 > self.drill.bytes:
            told.append(f"scaled to {size_text(size)}")
        if self.borrowed:
            told.append(f"none was made from {self.vault}")
        return ", ".join(told)


def _day(at: datetime, now: datetime) -> str:
    return f"{at.day} {at:%b}" + ("" if now - at < _SAME_YEAR else f" {at.year}")


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a restore would take now (None: not known) and why that is thought; `rates` and `size` made it."""

    took: timedelta | None
    basis: str
    rates: tuple[Rate, ...] = ()
    size: int = 0
    size_at: datetime | None = None
    """As of when it has that size."""

    def breaks_at(self, limit: timedelta, growth: float | None) -> datetime | None:
        """When it exceeds `limit` at a growth of so many bytes a second since the newest point was cut; None for never,
        not known, or already.
        """
        if self.took is None or self.took > limit or not growth or growth <= 0 or self.size <= 0:
            return None
        if not self.rates:
            return None  # of what was measured as a whole nobody knows how it grows
        if self.size_at is None:
            return None
        left = max(rate.size(limit.total_seconds()) for rate in self.rates) - self.size
        seconds = left / growth
        return self.size_at + timedelta(seconds=max(seconds, 0)) if seconds < _FURTHEST.total_seconds() else None


@dataclass(frozen=True, slots=True)
class Measured:
    """What the drills of one resource measured, and how large its newest point is (`measured`)."""

    last: Mapping[str, Drilled]
    """The last drill from each vault, passed or not."""
    size: int
    size_at: datetime | None = None
    whole: Drilled | None = None
    """The last drill of the whole application that brought it back, passed or not."""

    def of_application(self, surviving: Collection[str], now: datetime) -> Forecast:
        """As `forecast`, or what the whole application took to be brought back: where that was measured later than the
        resource itself, or took longer. The promise is about the application.
        """
        part, whole = self.forecast(surviving, now), self.whole
        region = place_of(whole.vault)[1] if whole is not None else ""
        if whole is None or all(place_of(vault)[1] != region for vault in surviving):
            return part
        newer = all(whole.at > drill.at for drill in self.last.values())
        if not whole.well:
            why = f"the last drill of the whole application in {region} did not pass"
            return Forecast(None, why, size=self.size, size_at=self.size_at) if newer else part
        took = timedelta(seconds=whole.seconds.get(MADE, whole.seconds.get("total", 0)))
        if not newer and (part.took is None or part.took >= took):
            return part
        basis = f"scenario drill of {_day(whole.at, now)}, in {region}"
        return Forecast(took, basis, size=self.size, size_at=self.size_at)

    def forecast(self, surviving: Collection[str], now: datetime) -> Forecast:
        """From the quickest of the `surviving` vaults, those with a copy that a restore could start from.

        A vault counts by its last drill, and for nothing when that failed; one that was never drilled from by the best
        drill of another.
        """
        if not surviving:
            return Forecast(None, "")
        if not self.last:
            return Forecast(None, "no drill of it has been made", size=self.size, size_at=self.size_at)
        rates = tuple(rate for vault in sorted(surviving) if (rate := self._rate(vault)) is not None)
        if not rates:
            failed = sorted(self.last.keys() & set(surviving)) or sorted(self.last)
            return Forecast(
                None, f"the last drill from {', '.join(failed)} did not pass", size=self.size, size_at=self.size_at
            )
        quickest = min(rates, key=lambda rate: (rate.seconds(self.size), rate.borrowed, rate.vault))
        took = timedelta(seconds=math.ceil(quickest.seconds(self.size)))
        return Forecast(took, quickest.basis(self.size, now), rates, self.size, self.size_at)

    def _rate(self, vault: str) -> Rate | None:
        own = self.last.get(vault)
        if own is not None:
            return Rate(vault, own) if _measures(own) else None
        others = (Rate(vault, drill, borrowed=True) for drill in self.last.values() if _measures(drill))
        return min(others, key=lambda rate: (rate.seconds(self.size), rate.drill.vault), default=None)


def measured(resource: str, points: Iterable[RecoveryPoint], drills: Iterable[Drilled]) -> Measured:
    """Of a resource with these points; `drills` may be of others, too."""
    last: dict[str, Drilled] = {}
    for drill in drills:
        if drill.resource == resource and (drill.vault not in last or drill.at > last[drill.vault].at):
            last[drill.vault] = drill
    return Measured(last, *newest_size(points)) if last else Measured(last, 0)


def _measures(drill: Drilled) -> bool:
    return drill.well and "total" in drill.seconds


# --- sizes -----------------------------------------------------------------------------------------------------------


def could_start(copy: Copy) -> bool:
    """Whether a restore could start from it: an expiring copy is there still, a damaged or vanished one is not."""
    return copy.usable and not copy.damaged and not copy.gone


def newest_size(points: Iterable[RecoveryPoint]) -> tuple[int, datetime | None]:
    """Bytes of the newest point that a restore could start from, and as of when; 0 and None where that is not known."""
    sized = [(cut_at, bytes_to_load(point)) for point in points if (cut_at := point.cut_at) and _restorable(point)]
    newest = max(sized, key=lambda entry: entry[0], default=None)
    return (newest[1], newest[0]) if newest is not None else (0, None)


def growth(points: Iterable[RecoveryPoint]) -> float | None:
    """Bytes a second, by the straight line that fits the points best; None with fewer than `FEWEST` of them, over less
    than `SHORTEST`. What is suspect is left out: it may not be everything.
    """
    sized = {
        point.id: (point.cut_at.timestamp(), bytes_to_load(point))
        for point in points
        if point.cut_at is not None and not point.suspect and _restorable(point)
    }
    known = [(at, size) for at, size in sized.values() if size > 0]
    times = [at for at, _ in known]
    if len(known) < FEWEST or max(times) - min(times) < SHORTEST.total_seconds():
        return None
    middle, mean = sum(times) / len(known), sum(size for _, size in known) / len(known)
    return sum((at - middle) * (size - mean) for at, size in known) / sum((at - middle) ** 2 for at in times)


def bytes_to_load(point: RecoveryPoint) -> int:
    """What a restore streams of a point: of a dump its artefacts without the inventory, else the largest copy."""
    artefacts = point.facts.get("artefacts")
    if isinstance(artefacts, list):
        loaded = [a for a in artefacts if a["name"] != layout.INVENTORY + layout.ENCRYPTED]
        return sum(int(artefact["bytes"]) for artefact in loaded)
    return max((copy.bytes for copy in point.copies if could_start(copy)), default=0)


def _restorable(point: RecoveryPoint) -> bool:
    return any(could_start(copy) for copy in point.copies)
