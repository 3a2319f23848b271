"""A window of the day: when a dump may start. What is due outside it waits until it opens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

from drorch.domain.cron import after_gap, instants_of
from drorch.domain.present import present_of
from drorch.domain.schedule import Schedule, zone_named

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_FROM = date(2026, 1, 1)
"""Where windows are tried: the clock changes of the years ahead, whatever the present is."""
_YEARS = timedelta(days=4 * 366)


@dataclass(frozen=True, slots=True)
class Window:
    """Open from `opens` to `closes`, both minutes after local midnight in the zone `timezone` (an IANA name); past
    midnight where `closes` is not the later one. `days` are those on which it opens, 0 is Monday.

    A local time that the clock skips is the instant after the gap, a doubled one its first occurrence. Raises
    ValueError for one that never closes or never opens, and for an unknown zone.
    """

    opens: int
    closes: int
    timezone: str = "UTC"
    days: frozenset[int] = EVERY_DAY

    def __post_init__(self) -> None:
        zone_named(self.timezone)
        if self.opens == self.closes or (self.closes - self.opens == 1440 and self.days == EVERY_DAY):
            raise ValueError("the window never closes (hint: leave it out, or from and to that differ)")
        if not self.days:
            raise ValueError("the window never opens (hint: days: [sat, sun])")

    def open_at(self, now: datetime) -> bool:
        """Whether it is open."""
        if (present := present_of(now)) is not None:
            return present.looked_up(self.open_at, self._turns_after)
        today = now.astimezone(zone_named(self.timezone)).date()
        return any(start <= now < end for start, end in self._spans(today - _DAY, today + _DAY))

    def opens_after(self, now: datetime) -> datetime:
        """When it opens next, after `now`."""
        if (present := present_of(now)) is not None:
            return present.looked_up(self.opens_after, self._turns_after)
        today = now.astimezone(zone_named(self.timezone)).date()
        return next(start for start, _ in self._spans(today - _DAY, today + 15 * _DAY) if start > now)

    def _turns_after(self, now: datetime) -> datetime:
        """When it opens or closes next, after `now`."""
        today = now.astimezone(zone_named(self.timezone)).date()
        spans = self._spans(today - _DAY, today + 15 * _DAY)
        return min(turn for span in spans for turn in span if turn > now)

    def longest_closed(self) -> timedelta:
        """The longest time from its closing to its next opening, days of clock change included."""
        return max(opens - closes for closes, opens in _closed(self))

    def outside(self, schedule: Schedule) -> datetime | None:
        """The first slot of the years ahead that begins while it is closed; None where there is none."""
        return _outside(self, schedule)  # type: ignore[arg-type]  # the grids are frozen values, and hashable

    def _spans(self, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
        """From when to when it is open, of the days from `first` to `last`; none where the clock skips all of it."""
        for number in range((last - first).days + 1):
            day = first + number * _DAY
            if day.weekday() not in self.days:
                continue
            start = self._at(day, self.opens)
            end = self._at(day if self.closes > self.opens else day + _DAY, self.closes)
            if start < end:
                yield start, end

    def _at(self, day: date, minutes: int) -> datetime:
        zone = zone_named(self.timezone)
        wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
        return (instants_of(wall, zone) or [after_gap(wall, zone)])[0]

    def __str__(self) -> str:
        days = "" if self.days == EVERY_DAY else " " + ",".join(WEEKDAYS[day] for day in sorted(self.days))
        return f"{_shown(self.opens)}-{_shown(self.closes)} {self.timezone}{days}"


def _shown(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@lru_cache(maxsize=1024)
def _closed(window: Window) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when it is closed, in the years ahead."""
    spans = list(window._spans(_FROM, _FROM + _YEARS))
    return tuple((before[1], after[0]) for before, after in pairwise(spans) if before[1] < after[0])


@lru_cache(maxsize=1024)
def _outside(window: Window, schedule: Schedule) -> datetime | None:
    for closes, opens in _closed(window):
        slot = schedule.next_after(closes - _INSTANT)
        if slot < opens:
            return slot
    return None
