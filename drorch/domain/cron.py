"""A cron expression of five fields with its unix meaning (crontab(5), POSIX), in a time zone.

0 and 7 are Sunday; day-of-month OR weekday when both are restricted; only a bare ``*`` is a wildcard. A fixed hour
fires once on the days the clock changes: a local time that is skipped fires at the instant after the gap, a doubled one
at its first occurrence. A wildcard hour runs in real time: a skipped time does not fire, a doubled one fires twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
_REFERENCE = date(2026, 1, 1)
"""Where gaps are measured from: the clock changes of the years ahead, whatever the present is."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first_name: int = 0

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.first_name
        if not text.isdigit() or not self.low <= int(text) <= self.high:
            named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
            raise ValueError(f"cron: {self.name} {text!r} is not {self.low}-{self.high}{named}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        found: set[int] = set()
        for item in text.split(","):
            match = _ITEM.fullmatch(item)
            if not match:
                hint = f"(hint: {self.name} takes *, numbers, a-b, */n, a-b/n and lists of these)"
                raise ValueError(f"cron: {self.name} {item!r} is not understood {hint}")
            star, first, last, step = match.groups()
            if step is not None and not star and last is None:
                hint = f"(hint: write {first}-{self.high}/{step})"
                raise ValueError(f"cron: {self.name} {item!r} has a step without a range {hint}")
            low, high = (self.low, self.high) if star else (self.number(first), self.number(last or first))
            if step is not None and int(step) == 0:
                raise ValueError(f"cron: {self.name} {item!r} has a step of zero")
            if low > high:
                hint = " (hint: Sunday is 0 and 7)" if self.names is _WEEKDAYS else ""
                raise ValueError(f"cron: {self.name} range {item!r} runs backwards{hint}")
            found.update(range(low, high + 1, int(step or 1)))
        return frozenset(found)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("weekday", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class CronDays:
    """The days on which an expression fires. `dates` and `weekdays` (0 is Sunday) are None for ``*``."""

    months: frozenset[int]
    dates: frozenset[int] | None
    weekdays: frozenset[int] | None

    def match(self, day: date) -> bool:
        """Whether `day` is one of them: date OR weekday when both are restricted."""
        if day.month not in self.months:
            return False
        if self.dates is None:
            return self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        return day.day in self.dates or (self.weekdays is not None and day.isoweekday() % 7 in self.weekdays)

    @property
    def possible(self) -> bool:
        """Whether any such day ever comes (the 29th of February does)."""
        if self.dates is None or self.weekdays is not None:
            return True
        return any(min(self.dates) <= monthrange(2024, month)[1] for month in self.months)

    def on_or_after(self, day: date) -> date:
        """The first such day from `day` on. OverflowError at the end of the calendar."""
        while not self.match(day):
            if day.month in self.months:
                day += _DAY
            else:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        return day

    def on_or_before(self, day: date) -> date:
        """The last such day up to `day`."""
        while not self.match(day):
            day = day - _DAY if day.month in self.months else day.replace(day=1) - _DAY
        return day


@dataclass(frozen=True, slots=True)
class CronTable:
    """A parsed expression: its days, and its times of day as minutes after midnight, ascending."""

    days: CronDays
    times: tuple[int, ...]
    wildcard_hour: bool


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> CronTable:
    """Raises ValueError on anything but five fields of the unix form, and on a day that never comes."""
    texts = expression.split()
    if len(texts) != 5:
        hint = "(hint: minute hour day-of-month month weekday, such as 15 */6 * * *)"
        raise ValueError(f"cron: {expression!r} has {len(texts)} fields, not five {hint}")
    minutes, hours, dates, months, weekdays = (field.values(text) for field, text in zip(_FIELDS, texts, strict=True))
    days = CronDays(
        months,
        None if texts[2] == "*" else dates,
        None if texts[4] == "*" else frozenset(weekday % 7 for weekday in weekdays),
    )
    if not days.possible:
        raise ValueError(f"cron: {expression!r} never fires (hint: no month it names has such a day)")
    times = tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes))
    return CronTable(days, times, texts[1] == "*")


# --- the instants of one day ---------------------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def fires_on(expression: str, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """The instants (UTC, ascending) of the local times of `day`; it is not asked whether `day` matches."""
    table = parse_cron(expression)
    midnight = datetime.combine(day, time())
    if not _clock_changes(zone, midnight):
        start = midnight.replace(tzinfo=zone).astimezone(UTC)
        return tuple(start + timedelta(minutes=minutes) for minutes in table.times)
    local = [midnight + timedelta(minutes=minutes) for minutes in table.times]
    if table.wildcard_hour:
        return tuple(sorted({when for wall in local for when in instants_of(wall, zone)}))
    return tuple(sorted({(instants_of(wall, zone) or [after_gap(wall, zone)])[0] for wall in local}))


def _clock_changes(zone: ZoneInfo, midnight: datetime) -> bool:
    """Whether the clock of `zone` changes on the day that begins at the local time `midnight`, or at either end."""
    ends = (midnight, midnight + _DAY)
    return len({wall.replace(tzinfo=zone, fold=fold).utcoffset() for wall in ends for fold in (0, 1)}) > 1


def instants_of(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which the clock of `zone` shows `wall`: none in a gap, two when it is doubled, in order."""
    found: list[datetime] = []
    for fold in (0, 1):
        when = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if when not in found and when.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            found.append(when)
    return found


def after_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after the gap in which the local time `wall` is skipped.

    In a gap, fold 1 reads the time with the offset after the change and so lies before it, fold 0 the other way round
    (PEP 495).
    """
    before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


# --- the grid ------------------------------------------------------------------------------------------------------


def newest_fire(expression: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The newest firing instant that is not after `now`."""
    days = parse_cron(expression).days
    today = now.astimezone(zone).date()
    best: datetime | None = None
    # Around a clock change the instants of neighbouring days interleave (Goose Bay fell back from 00:01 to 23:01).
    for day in (today + _DAY, today, today - _DAY):
        if days.match(day):
            fires = fires_on(expression, zone, day)
            at = bisect_right(fires, now)
            if at and (best is None or fires[at - 1] > best):
                best = fires[at - 1]
    day = today - _DAY
    while best is None:
        day = days.on_or_before(day - _DAY)
        fires = fires_on(expression, zone, day)
        best = fires[-1] if fires else None
    return best


def next_fire(expression: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The first firing instant after `now`."""
    days = parse_cron(expression).days
    today = now.astimezone(zone).date()
    best: datetime | None = None
    for day in (today - _DAY, today, today + _DAY):
        if days.match(day):
            fires = fires_on(expression, zone, day)
            at = bisect_right(fires, now)
            if at < len(fires) and (best is None or fires[at] < best):
                best = fires[at]
    day = today + _DAY
    while best is None:
        day = days.on_or_after(day + _DAY)
        fires = fires_on(expression, zone, day)
        best = fires[0] if fires else None
    return best


@lru_cache(maxsize=4096)
def longest_gap(expression: str, zone: ZoneInfo) -> timedelta:
    """The longest time between two neighbouring firing instants of the years ahead, clock changes included."""
    table = parse_cron(expression)
    apart, pairs = _furthest_days(table.days)
    if apart > 1:
        return max(fires_on(expression, zone, b)[0] - fires_on(expression, zone, a)[-1] for a, b in pairs)
    minutes = [*table.times, table.times[0] + 1440]
    longest = timedelta(minutes=max(b - a for a, b in pairwise(minutes)))
    for changed in _clock_change_days(zone):
        around = [changed + _DAY * offset for offset in (-1, 0, 1)]
        fires = sorted({when for day in around for when in fires_on(expression, zone, day)})
        longest = max(longest, *(b - a for a, b in pairwise(fires)))
    return longest


@lru_cache(maxsize=1024)
def _furthest_days(days: CronDays) -> tuple[int, tuple[tuple[date, date], ...]]:
    """How many days lie at most between two neighbouring days, and which pairs lie so far apart.

    Eight years show every clock change and every short month; rarer days need the century without a leap day as well.
    """
    if days.dates is None and days.weekdays is None and len(days.months) == 12:
        return 1, ()
    years = 8 if len(days.months) == 12 else 80
    end = _REFERENCE.replace(year=_REFERENCE.year + years)
    found: dict[int, list[tuple[date, date]]] = {}
    day = days.on_or_after(_REFERENCE)
    while day < end:
        following = days.on_or_after(day + _DAY)
        found.setdefault((following - day).days, []).append((day, following))
        day = following
    return max(found), tuple(found[max(found)])


@cache
def _clock_change_days(zone: ZoneInfo) -> tuple[date, ...]:
    days = (_REFERENCE + _DAY * number for number in range(4 * 366))
    return tuple(day for day in days if _clock_changes(zone, datetime.combine(day, time())))
