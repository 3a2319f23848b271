"""The journal: what no other record tells. Hourly what was attained and which deletions were held; restores. Pure.

An hour's entry holds the worst of everything that the passes of that hour (UTC) saw, for all applications together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from drorch.domain.canonical import canonical_bytes
from drorch.domain.errors import Damaged
from drorch.domain.instant import from_text, to_text
from drorch.domain.objective import Standing
from drorch.domain.record import Record, RecordType, parse

HOUR = "hour"
RESTORE = "restore"
SWEPT = "swept"
"""What the records of a point said that are removed after it."""

APPLICATIONS = 2000
"""At most so many stand in one entry: well below the largest record."""
_HELD = 100
"""At most so many held or refused deletions of an application are named in an hour; the others are counted."""
_COUNTED = 10**9
"""No figure of the journal is larger; seconds of thirty years."""


def hour_of(at: datetime) -> datetime:
    """The hour (UTC) that an instant lies in, by its start."""
    return at.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Figure:
    """How a level stood in an hour, at worst; seconds. `rpo` and `rto` are promised, None where nothing is.

    An attained one is None where there was none, or it was not known, at any time of the hour; met None where that was
    not known.
    """

    rpo: int | None = None
    rpo_attained: int | None = None
    rpo_met: bool | None = None
    rto: int | None = None
    rto_attained: int | None = None
    rto_met: bool | None = None
    exempt: str = ""

    def body(self) -> dict[str, object]:
        """As the journal carries it, without what is not known."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in told.items() if value not in (None, "")}

    @classmethod
    def of(cls, body: object) -> Figure:
        """The inverse of `body`. Raises Damaged."""
        if not isinstance(body, Mapping):
            raise Damaged("a level of the journal is no object")
        return cls(
            rpo=_seconds(body.get("rpo")),
            rpo_attained=_seconds(body.get("rpo_attained")),
            rpo_met=_whether(body.get("rpo_met")),
            rto=_seconds(body.get("rto")),
            rto_attained=_seconds(body.get("rto_attained")),
            rto_met=_whether(body.get("rto_met")),
            exempt=_optional(body, "exempt"),
        )


def figure_of(standing: Standing) -> Figure | None:
    """How an application stands at a level now; None where nothing is promised and nothing is exempt."""
    objective = standing.objective
    if objective is None and not standing.exempt:
        return None
    return Figure(
        rpo=_whole(objective.rpo) if objective else None,
        rpo_attained=_whole(standing.rpo_attained),
        rpo_met=standing.rpo_met,
        rto=_whole(objective.rto) if objective else None,
        rto_attained=_whole(standing.rto_attained),
        rto_met=standing.rto_met,
        exempt=standing.exempt,
    )


def worse(one: Figure, other: Figure) -> Figure:
    """The worst of both; what is promised is what the `other`, later one says."""
    return Figure(
        rpo=other.rpo,
        rpo_attained=_most(one.rpo_attained, other.rpo_attained),
        rpo_met=_both(one.rpo_met, other.rpo_met),
        rto=other.rto,
        rto_attained=_most(one.rto_attained, other.rto_attained),
        rto_met=_both(one.rto_met, other.rto_met),
        exempt=other.exempt,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A deletion that was wanted and not carried out: `action` is what was held, `reason` why."""

    vault: str
    point: str
    resource: str
    action: str
    reason: str

    def body(self) -> dict[str, str]:
        """As the journal carries it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of(cls, body: object) -> Held:
        """The inverse of `body`. Raises Damaged."""
        if not isinstance(body, Mapping):
            raise Damaged("a held deletion of the journal is no object")
        return cls(**{name: _text(body, name) for name in cls.__slots__})


@dataclass(slots=True)
class ApplicationHour:
    """One application in one hour. `policy` is the digest of its policy's text, `commit` git's ("" while not known);
    `done` counts the actions that ended well, by name.
    """

    policy: str = ""
    commit: str = ""
    valid: bool = True
    levels: dict[str, Figure] = field(default_factory=dict)
    held: dict[tuple[str, str, str], Held] = field(default_factory=dict)
    held_more: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def saw(self, levels: Mapping[str, Figure], *, valid: bool) -> None:
        """What one pass saw; a level that was promised before and is no more keeps what it had."""
        for level, figure in levels.items():
            known = self.levels.get(level)
            self.levels[level] = figure if known is None else worse(known, figure)
        self.valid = self.valid and valid

    def hold(self, held: Iterable[Held]) -> None:
        """Deletions that were held; each counts once in the hour."""
        for one in held:
            key = (one.vault, one.point, one.action)
            if key not in self.held and len(self.held) >= _HELD:
                self.held_more += 1
            else:
                self.held[key] = one

    def body(self) -> dict[str, object]:
        """As the journal carries it, without what there was none of."""
        told = {
            "policy": self.policy,
            "commit": self.commit,
            "invalid": not self.valid,
            "levels": {level: figure.body() for level, figure in self.levels.items()},
            "held": [held.body() for held in self.held.values()],
            "held_more": self.held_more,
            "done": dict(self.done),
        }
        return {name: value for name, value in told.items() if value}

    @classmethod
    def of(cls, body: object) -> ApplicationHour:
        """The inverse of `body`. Raises Damaged."""
        if not isinstance(body, Mapping):
            raise Damaged("an application of the journal is no object")
        made = cls(_optional(body, "policy"), _optional(body, "commit"), body.get("invalid") is not True)
        made.levels = {level: Figure.of(figure) for level, figure in _mapping(body, "levels").items()}
        listed = body.get("held", [])
        made.hold(Held.of(entry) for entry in (listed if isinstance(listed, list) else [None]))
        made.held_more += _seconds(body.get("held_more")) or 0
        made.done = Counter({name: _seconds(count) or 0 for name, count in _mapping(body, "done").items()})
        return made


@dataclass(slots=True)
class Hour:
    """What the passes of one hour saw: from the `first` to the `last` of so many `passes`."""

    start: datetime
    first: datetime
    last: datetime
    passes: int = 0
    applications: dict[str, ApplicationHour] = field(default_factory=dict)

    @classmethod
    def begun(cls, now: datetime) -> Hour:
        """The hour of `now`, nothing seen yet."""
        return cls(hour_of(now), now, now)

    def saw(self, now: datetime) -> None:
        """One more pass."""
        self.first, self.last, self.passes = min(self.first, now), max(self.last, now), self.passes + 1

    def of_application(self, name: str) -> ApplicationHour:
        """One application's part, made when it is asked for first."""
        return self.applications.setdefault(name, ApplicationHour())

    def bodies(self) -> list[dict[str, object]]:
        """The content of the entries for it: one, or several where there are very many applications."""
        names = sorted(self.applications)
        parts = [names[n : n + APPLICATIONS] for n in range(0, len(names), APPLICATIONS)]
        times = {"hour": to_text(self.start), "first": to_text(self.first), "last": to_text(self.last)}
        return [
            {**times, "passes": self.passes, "applications": {name: self.applications[name].body() for name in part}}
            for part in parts
        ]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Hour:
        """The hour that an entry tells of. Raises Damaged for one that drorch did not write."""
        start, first, last = (_time(body, name) for name in ("hour", "first", "last"))
        if not start == hour_of(start) <= first <= last < start + timedelta(hours=1):
            raise Damaged("an hour of the journal does not hold its passes")
        applications = {name: ApplicationHour.of(one) for name, one in _mapping(body, "applications").items()}
        return cls(start, first, last, _seconds(body.get("passes")) or 0, applications)


def hour_in(record: Record) -> Hour:
    """As `Hour.of`, of an entry that `parse` accepted; one from before its own hour has begun is none."""
    hour = Hour.of(record.body)
    if record.at < hour.start:
        raise Damaged("an entry of the journal tells of an hour that was still to come", cause=record.path)
    return hour


# --- what records said that are gone -------------------------------------------------------------------------------


def kept_of(record: Record) -> dict[str, Any] | None:
    """What an entry keeps of a record: all of marks and proofs, of native copies all but their members; else None."""
    if record.type in (RecordType.MARK, RecordType.PROOF):
        return dict(record.body)
    return {**record.body, "members": []} if record.type == RecordType.NATIVE else None


def swept_in(record: Record) -> list[Record]:
    """The records that an entry keeps. Raises Damaged for one that drorch did not write."""
    listed = record.body.get("records")
    if not isinstance(listed, list) or not all(isinstance(body, Mapping) for body in listed):
        raise Damaged("an entry of the journal keeps no records", cause=record.path)
    kept = [parse(canonical_bytes(body)) for body in listed]
    of = (record.application, record.resource, record.point)
    if any((one.application, one.resource, one.point) != of or kept_of(one) is None for one in kept):
        raise Damaged("an entry of the journal keeps records of something else", cause=record.path)
    return kept


# --- fields --------------------------------------------------------------------------------------------------------


def _most(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _both(one: bool | None, other: bool | None) -> bool | None:
    """A miss at any time is one; else what is not known at any time is not known."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _whole(span: timedelta | None) -> int | None:
    """Whole seconds, a started one counted: figures are not prettier than what they are made of."""
    return None if span is None else -(-int(span.total_seconds() * 1000) // 1000)


def _seconds(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _COUNTED:
        raise Damaged("a figure of the journal is not a count")
    return value


def _whether(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise Damaged("a figure of the journal is neither met nor missed")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Damaged(f"an entry of the journal has no {name}")
    return value


def _optional(body: Mapping[str, Any], name: str) -> str:
    return "" if body.get(name) is None else _text(body, name)


def _time(body: Mapping[str, Any], name: str) -> datetime:
    try:
        return from_text(_text(body, name))
    except ValueError as error:
        raise Damaged(f"an entry of the journal has a {name} that is no time", cause=str(error)) from error


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, Mapping):
        raise Damaged(f"the {name} of an entry of the journal are no object")
    return value
