"""Instants as text. All instants are aware UTC datetimes; fractions are cut off downward (formats: cut_at)."""

from __future__ import annotations

from datetime import UTC, datetime

_TEXT = "%Y-%m-%dT%H:%M:%SZ"
_COMPACT = "%Y%m%dT%H%M%SZ"
_SLOT = "%Y-%m-%dT%H:%MZ"
_EARLIEST = 1000
"""Years before are not padded by strftime: what could not be written back is not read either."""


def floor_second(when: datetime) -> datetime:
    """The same instant in UTC, its fraction cut off."""
    return when.astimezone(UTC).replace(microsecond=0)


def to_text(when: datetime) -> str:
    """``2026-11-20T09:15:00Z``, as records carry it."""
    return floor_second(when).strftime(_TEXT)


def from_text(text: str) -> datetime:
    """The inverse of `to_text`. Raises ValueError on any other spelling."""
    when = datetime.fromisoformat(text)  # many times as fast as strptime, and laxer: the spelling is checked
    if when.isoformat() != text.removesuffix("Z") + "+00:00" or not text.endswith("Z") or when.year < _EARLIEST:
        raise ValueError(f"{text!r} is not of the form 2026-11-20T09:15:00Z")
    return when


def to_compact(when: datetime) -> str:
    """``20261120T091500Z``, as paths carry it."""
    return floor_second(when).strftime(_COMPACT)


def from_compact(text: str) -> datetime:
    """The inverse of `to_compact`. Raises ValueError on any other spelling."""
    when = datetime.fromisoformat(text)
    spelled = when.isoformat().replace("-", "").replace(":", "")
    if spelled != text.removesuffix("Z") + "+0000" or not text.endswith("Z") or when.year < _EARLIEST:
        raise ValueError(f"{text!r} is not of the form 20261120T091500Z")
    return when


def to_slot(when: datetime) -> str:
    """``2026-11-20T09:00Z``: a slot of the grid by its start, the exact string in tags, records and ids."""
    return when.astimezone(UTC).strftime(_SLOT)


def manual_slot(when: datetime) -> str:
    """``manual:2026-11-20T09:12:31Z``: a point that a person ordered; it fills no slot of the grid."""
    return f"manual:{to_text(when)}"


def slot_start(slot: str) -> datetime:
    """The start of a grid slot, or the instant of a manual one. Raises ValueError on any other spelling."""
    if slot.startswith("manual:"):
        return from_text(slot.removeprefix("manual:"))
    when = datetime.fromisoformat(slot)
    if when.isoformat() != slot.removesuffix("Z") + ":00+00:00" or not slot.endswith("Z") or when.year < _EARLIEST:
        raise ValueError(f"{slot!r} is not of the form 2026-11-20T09:00Z")
    return when
