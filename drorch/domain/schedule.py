"""The slot grid of a schedule: which cut is due now, and when the next one is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from drorch.domain.cron import longest_gap, newest_fire, next_fire, parse_cron
from drorch.domain.duration import duration_text
from drorch.domain.present import present_of

_ANCHOR = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday, so that a grid of weeks begins where weeks do."""
_MINUTE = timedelta(minutes=1)
_UTC = ZoneInfo("UTC")


@runtime_checkable
class Schedule(Protocol):
    """A grid of instants; the time from one to the next is a slot, named by its start. Instants are aware, in UTC."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which retention's days, weeks and months are counted."""

    def slot_at(self, now: datetime) -> datetime:
        """The start of the slot in which `now` lies: the newest instant of the grid that is not after it."""

    def next_after(self, now: datetime) -> datetime:
        """The first instant of the grid after `now`."""

    def longest_gap(self) -> timedelta:
        """The longest slot, days of clock change included."""


@dataclass(frozen=True, slots=True)
class Every:
    """A grid of equal slots of `period`, anchored at Monday 1970-01-05T00:00Z plus `offset`; both in whole minutes.

    Raises ValueError on a period below a minute, on seconds, and on an offset that is not shorter than the period.
    """

    period: timedelta
    offset: timedelta = timedelta()

    def __post_init__(self) -> None:
        if self.period < _MINUTE or self.period % _MINUTE:
            raise ValueError(f"every {duration_text(self.period)} is not in whole minutes (hint: 1m is the shortest)")
        if self.offset % _MINUTE or not timedelta() <= self.offset < self.period:
            raise ValueError(
                f"offset {duration_text(self.offset)} does not fit (hint: whole minutes, shorter than "
                f"every {duration_text(self.period)})"
            )

    @property
    def zone(self) -> ZoneInfo:
        """UTC: a grid of equal slots knows no local time."""
        return _UTC

    def slot_at(self, now: datetime) -> datetime:
        """The newest instant of the grid that is not after `now`."""
        start = _ANCHOR + self.offset
        return start + (now.astimezone(UTC) - start) // self.period * self.period

    def next_after(self, now: datetime) -> datetime:
        """The first instant of the grid after `now`."""
        return self.slot_at(now) + self.period

    def longest_gap(self) -> timedelta:
        """The period."""
        return self.period

    def __str__(self) -> str:
        offset = f" offset {duration_text(self.offset)}" if self.offset else ""
        return f"every {duration_text(self.period)}{offset}"


@dataclass(frozen=True, slots=True)
class Cron:
    """The firing instants of a cron `expression` in the time zone `timezone` (an IANA name).

    Raises ValueError on an expression that is not understood or never fires, and on an unknown zone.
    """

    expression: str
    timezone: str

    def __post_init__(self) -> None:
        parse_cron(self.expression)
        zone_named(self.timezone)

    @property
    def zone(self) -> ZoneInfo:
        """The schedule's own zone."""
        return zone_named(self.timezone)

    def slot_at(self, now: datetime) -> datetime:
        """The newest firing instant that is not after `now`."""
        if (present := present_of(now)) is not None:
            return present.looked_up(self.slot_at, self.next_after)
        return newest_fire(self.expression, zone_named(self.timezone), now)

    def next_after(self, now: datetime) -> datetime:
        """The first firing instant after `now`."""
        if (present := present_of(now)) is not None:
            return present.looked_up(self.next_after, self.next_after)
        return next_fire(self.expression, zone_named(self.timezone), now)

    def longest_gap(self) -> timedelta:
        """The longest time between two firing instants of the years ahead, days of clock change included."""
        return longest_gap(self.expression, zone_named(self.timezone))

    def __str__(self) -> str:
        return f"cron {self.expression} {self.timezone}"


@cache
def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name. ValueError on a name that the database does not have."""
    try:
        if name in _zone_names():
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error
    raise ValueError(f"unknown time zone {name!r}")


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_names() -> frozenset[str]:
    """Every IANA name that the time zone database knows."""
    return _zone_names()
