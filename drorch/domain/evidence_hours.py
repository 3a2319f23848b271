"""Evidence of what was attained: the journal's hours of an application, by day and by month, and its gaps. Pure.

Unknown is not met: an hour that no signed entry tells of counts for nothing but the hours there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from drorch.domain.instant import to_text
from drorch.domain.journal import ApplicationHour, Figure, Hour
from drorch.domain.model import FailureLevel

ONE = timedelta(hours=1)
SETTLED = timedelta(hours=2)
"""So long after its start an hour is expected to be told: its entry is written by the first pass after it."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, and without, `end`."""

    start: datetime
    end: datetime

    def holds(self, at: datetime | None) -> bool:
        """Whether an instant lies in it."""
        return at is not None and self.start <= at < self.end

    def hours(self, made: datetime) -> list[datetime]:
        """The starts of the hours that lie in it as a whole, and that could be told of at `made`."""
        begin = self.start.replace(minute=0, second=0, microsecond=0)
        begin += ONE if begin < self.start else timedelta()
        count = max(0, (min(self.end, made - SETTLED + ONE) - begin) // ONE)
        return [begin + n * ONE for n in range(count)]


@dataclass(slots=True)
class Told:
    """What signed entries tell of an application in an hour, and their numbers."""

    hour: ApplicationHour
    sources: list[int] = field(default_factory=list)


Hours = Mapping[datetime, Told]


def by_application(entries: Iterable[tuple[Hour, int]]) -> dict[str, dict[datetime, Told]]:
    """application -> hour -> what is told of it; entries of several hosts or processes are taken together."""
    found: dict[str, dict[datetime, Told]] = {}
    for hour, number in entries:
        for name, of_application in hour.applications.items():
            hours = found.setdefault(name, {})
            told = hours.setdefault(hour.start, Told(ApplicationHour()))
            told.sources.append(number)
            _add(told.hour, of_application)
    return found


def _add(to: ApplicationHour, more: ApplicationHour) -> None:
    to.policy, to.commit = more.policy or to.policy, more.commit or to.commit
    to.saw(more.levels, valid=more.valid)
    to.hold(more.held.values())
    to.held_more += more.held_more
    to.done += more.done


def spans(
    hours: Hours, expected: Sequence[datetime], name: str, key: Callable[[datetime], str]
) -> list[dict[str, Any]]:
    """Of each day or month (`name`, by its `key`) the figures of all levels, and what was done."""
    parts: dict[str, list[datetime]] = {}
    for start in expected:
        parts.setdefault(key(start), []).append(start)
    return [{name: part, **_span(hours, starts)} for part, starts in parts.items()]


def _span(hours: Hours, starts: Sequence[datetime]) -> dict[str, Any]:
    told = [hours[start] for start in starts if start in hours]
    done: Counter[str] = Counter()
    for one in told:
        done += one.hour.done
    levels = [level for level in FailureLevel if any(str(level) in one.hour.levels for one in told)]
    return {
        "hours": len(starts),
        "hours_told": len(told),
        "hours_invalid": sum(not one.hour.valid for one in told),
        "levels": {str(level): _level([one.hour for one in told], str(level), len(starts)) for level in levels},
        "done": dict(sorted(done.items())),
        "sources": sorted({number for one in told for number in one.sources}),
    }


def _level(told: Sequence[ApplicationHour], level: str, hours: int) -> dict[str, Any]:
    figures = [one.levels[level] for one in told if level in one.levels]
    unpromised = len(told) - len(figures)
    return {
        "rpo": _promise(
            [(f.rpo, f.rpo_attained, f.rpo_met) for f in figures], hours - unpromised - _without(figures, "rpo")
        ),
        "rto": _promise(
            [(f.rto, f.rto_attained, f.rto_met) for f in figures], hours - unpromised - _without(figures, "rto")
        ),
        "exempt": sorted({figure.exempt for figure in figures} - {""}),
    }


def _without(figures: Iterable[Figure], what: str) -> int:
    """In how many hours nothing of it was promised."""
    return sum(getattr(figure, what) is None for figure in figures)


def _promise(figures: Iterable[tuple[int | None, int | None, bool | None]], hours: int) -> dict[str, Any] | None:
    """`hours` are those in which it was promised, or in which nobody can tell; None where it never was promised.

    `promised_s` has every value that it had, `worst_s` is the worst of the hours in which something was attained all
    the time, `none` counts the missed ones in which that was not so.
    """
    promised = [(wanted, attained, met) for wanted, attained, met in figures if wanted is not None]
    if not promised:
        return None
    met = Counter(one[2] for one in promised)
    attained = [one[1] for one in promised if one[1] is not None]
    return {
        "promised_s": list(dict.fromkeys(one[0] for one in promised)),
        "worst_s": max(attained, default=None),
        "hours": hours,
        "met": met[True],
        "missed": met[False],
        "unknown": hours - met[True] - met[False],
        "none": sum(one[1] is None and one[2] is False for one in promised),
    }


def gaps(hours: Hours, expected: Iterable[datetime]) -> list[dict[str, Any]]:
    """The hours that no signed entry tells of, those that follow each other together."""
    return [
        {"from": to_text(run[0]), "to": to_text(run[-1] + ONE), "hours": len(run)}
        for run in _runs([start for start in expected if start not in hours])
    ]


def _runs(starts: Iterable[datetime]) -> Iterator[list[datetime]]:
    run: list[datetime] = []
    for start in starts:
        if run and start != run[-1] + ONE:
            yield run
            run = []
        run.append(start)
    if run:
        yield run


def policies(hours: Hours, expected: Iterable[datetime]) -> list[dict[str, Any]]:
    """Under which texts of the policy the application stood, from the first to the last hour of each."""
    found: list[dict[str, Any]] = []
    for start in expected:
        told = hours.get(start)
        if told is None or not told.hour.policy:
            continue
        text = {"digest": told.hour.policy, "commit": told.hour.commit or None}
        if not found or {name: found[-1][name] for name in text} != text:
            found.append({**text, "from": to_text(start), "sources": list(told.sources)})
        found[-1]["to"] = to_text(start + ONE)
    return found


def held(hours: Hours, expected: Iterable[datetime]) -> list[dict[str, Any]]:
    """Deletions that were held or refused, each once: from the first to the last hour in which it was."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for start in expected:
        told = hours.get(start)
        for key, one in told.hour.held.items() if told is not None else ():
            row = found.setdefault(key, {"at": to_text(start), "sources": [], **one.body()})
            row["until"], row["reason"] = to_text(start + ONE), one.reason
            row["sources"] += told.sources if told is not None else []
    return list(found.values())
