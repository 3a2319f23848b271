"""A present that notes what it is compared with: until when a decision made with it would come out the same. Pure.

`Present` stands in for an instant while something is decided. It can be compared with instants and moved by spans, and
the difference to an instant is a `Span`, which can be compared with spans; each comparison notes the instant at which
it would come out differently. Nothing else can be asked of either: no text, no date, no hash. What asks for more fails
(`FAILS`), so that a decision which used the present in a way that nobody can follow is never taken for one that lasts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Any, NoReturn, TypeVar, cast

_T = TypeVar("_T")
_RESOLUTION = timedelta.resolution


class Unfollowed(Exception):
    """Something was asked of the present of which nobody can say until when it holds."""


FAILS = (Unfollowed, TypeError)
"""What is raised then; by operators that are not there at all a TypeError."""


class Horizon:
    """The instant `now`, and the first later one at which any comparison noted so far would come out differently.

    What was decided holds from `now` on and before `until`; None: for ever.
    """

    __slots__ = ("now", "until")

    def __init__(self, now: datetime) -> None:
        self.now = now.astimezone(UTC)
        self.until: datetime | None = None

    def note(self, at: datetime) -> None:
        """A comparison comes out differently before, at, or after this instant; of the past none ever will again."""
        if at < self.now or (self.until is not None and self.until <= at):
            return
        # At the instant itself all that is certain is the instant itself.
        self.until = at if at > self.now else at + _RESOLUTION

    def present(self) -> datetime:
        """The present to decide with; only what `Present` can be asked may be asked of it."""
        return cast(datetime, Present(self, timedelta()))


class _Closed:
    """Fails at everything that is not defined."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> NoReturn:
        raise Unfollowed(name)

    def __repr__(self) -> str:
        raise Unfollowed("its text")

    def __format__(self, _spec: str) -> str:
        raise Unfollowed("its text")


class _Compared(_Closed, ABC):
    """Can be compared: `_against` notes what with, and gives what `_value` has to be compared with."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def _value(self) -> Any:
        """What it is now."""

    @abstractmethod
    def _against(self, other: object) -> Any:
        """What it is compared with, noted."""

    def __lt__(self, other: object) -> bool:
        return bool(self._value() < self._against(other))

    def __le__(self, other: object) -> bool:
        return bool(self._value() <= self._against(other))

    def __gt__(self, other: object) -> bool:
        return bool(self._value() > self._against(other))

    def __ge__(self, other: object) -> bool:
        return bool(self._value() >= self._against(other))

    def __eq__(self, other: object) -> bool:
        return bool(self._value() == self._against(other))


class Present(_Compared):
    """The present, `shift` later."""

    __slots__ = ("_horizon", "_shift")

    def __init__(self, horizon: Horizon, shift: timedelta) -> None:
        self._horizon = horizon
        self._shift = shift

    def _value(self) -> datetime:
        return self._horizon.now + self._shift

    def _against(self, other: object) -> datetime:
        """What it is compared with, noted."""
        if isinstance(other, Present):
            return other._value()  # both move alike: nothing will ever change
        if not isinstance(other, datetime):
            raise Unfollowed("a comparison")
        self._horizon.note(_moved(other, -self._shift))
        return other

    def __bool__(self) -> bool:
        return True

    def __add__(self, span: timedelta) -> Present:
        return Present(self._horizon, self._shift + _plain(span))

    __radd__ = __add__

    def __sub__(self, other: object) -> object:
        if isinstance(other, Present):
            return self._shift - other._shift
        if isinstance(other, datetime):
            return Span(self._horizon, _moved(other, -self._shift), 1)
        if isinstance(other, Span) and other._sign > 0:
            return _moved(other._anchor, self._shift)  # now minus the age of something: when it was
        return Present(self._horizon, self._shift - _plain(other))

    def __rsub__(self, other: object) -> Span:
        if not isinstance(other, datetime):
            raise Unfollowed("a difference")
        return Span(self._horizon, _moved(other, -self._shift), -1)

    def astimezone(self, zone: tzinfo) -> Present:
        """The same instant; in UTC alone, for what is asked of another zone's clock cannot be followed."""
        if zone is not UTC:
            raise Unfollowed("its local time")
        return self

    def looked_up(self, value: Callable[[datetime], _T], changes: Callable[[datetime], datetime]) -> _T:
        """The value of a function of time that has steps; `changes` gives the first one after an instant."""
        at = self._value()
        self._horizon.note(_moved(changes(at), -self._shift))
        return value(at)


class Span(_Compared):
    """How long ago `anchor` was (`sign` 1), or how far it is ahead (-1): it grows, or shrinks, with the present."""

    __slots__ = ("_anchor", "_horizon", "_sign")

    def __init__(self, horizon: Horizon, anchor: datetime, sign: int) -> None:
        self._horizon = horizon
        self._anchor = anchor
        self._sign = sign

    def at(self, now: datetime) -> timedelta:
        """How long it is at that instant."""
        return now - self._anchor if self._sign > 0 else self._anchor - now

    def _value(self) -> timedelta:
        return self.at(self._horizon.now)

    def _against(self, other: object) -> timedelta:
        """What it is compared with, noted."""
        if isinstance(other, Span):
            if other._sign != self._sign:
                raise Unfollowed("a comparison of an age with what lies ahead")
            return other._value()
        self._horizon.note(_moved(self._anchor, self._sign * _plain(other)))
        return _plain(other)

    def __bool__(self) -> bool:
        return self._value() != self._against(timedelta())

    def __floordiv__(self, span: timedelta) -> int:
        if self._sign < 0 or _plain(span) <= timedelta():
            raise Unfollowed("a division")
        whole = self._value() // span
        self._horizon.note(_moved(self._anchor, (whole + 1) * span))
        return whole


def present_of(now: object) -> Present | None:
    """The recording present that `now` is, if it is one."""
    return now if type(now) is Present else None


def span_at(span: timedelta | None, now: datetime) -> timedelta | None:
    """How long it is at an instant; of a span that does not move, itself."""
    moving: object = span
    return moving.at(now) if isinstance(moving, Span) else span


def holds_present(values: Iterable[object]) -> bool:
    """Whether anything among the values, or within dataclasses and tuples among them, moves with the present."""
    for value in values:
        kind: type = type(value)
        if kind is str:
            continue
        if isinstance(value, _Closed) or (isinstance(value, tuple) and holds_present(value)):
            return True
        names = _fields_of(kind)
        if names and holds_present([getattr(value, name) for name in names]):
            return True
    return False


@cache
def _fields_of(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _plain(span: object) -> timedelta:
    if not isinstance(span, timedelta):
        raise Unfollowed("a span")
    return span


def _moved(at: datetime, span: timedelta) -> datetime:
    try:
        return at + span
    except OverflowError as error:
        raise Unfollowed("an instant beyond the calendar") from error
