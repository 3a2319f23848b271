"""Durations as text: ``90m``, ``1h30m``, ``7d``, ``2w`` or ISO 8601 (``PT1H30M``, ``P7D``); nothing is guessed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_SHORT = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_ISO = re.compile(r"P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII)
_LONGEST = timedelta(days=36525)
"""A hundred years. Nobody means more, and sums of longer ones leave the calendar: an OverflowError far from here."""
_EXAMPLES = "write 90m, 1h30m, 7d, 2w or PT1H30M"


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names, always longer than zero and at most a hundred years.

    Raises ValueError whose text ends in ``(hint: ...)`` on a bare number, a colon, a sign, a fraction, zero, or a unit
    without a fixed length (months, years).
    """
    match = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError(f"{text[:40]!r} is not a duration{_why(text)} (hint: {_EXAMPLES})")
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    try:
        length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"{text!r} is longer than any calendar (hint: {_EXAMPLES})") from error
    if length > _LONGEST:
        raise ValueError(f"{text!r} is longer than a hundred years (hint: {_EXAMPLES})")
    if not length:
        raise ValueError(f"{text!r} is no time at all (hint: a duration is longer than zero: {_EXAMPLES})")
    return length


def _why(text: str) -> str:
    if re.fullmatch(r"[+]?\d+([.]\d*)?", text):
        return ": a bare number has no unit"
    if text.startswith(("-", "P-", "PT-")):
        return ": it is negative"
    if ":" in text:
        return ": a colon may mean minutes or hours"
    if re.search(r"\d[.,]\d", text):
        return ": fractions are not read"
    if re.fullmatch(r"P(\d+Y)?(\d+M)?(\d+[WD])?(T.*)?", text) or re.fullmatch(r"\d+\s*(y|mo|M)\w*", text):
        return ": months and years have no fixed length"
    return ""


def duration_text(length: timedelta) -> str:
    """The short form for people: ``1h30m``, ``7d``, ``45s``; parts below a second are cut off, zero is ``0s``."""
    total = int(abs(length) / timedelta(seconds=1))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, total = divmod(total, size)
        if count:
            parts.append(f"{count}{unit}")
    text = "".join(parts) or "0s"
    return f"-{text}" if length < timedelta() and parts else text


def _read(value: object) -> timedelta:
    if isinstance(value, timedelta) and value > timedelta():
        return value
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from error
    raise PydanticCustomError("duration", "must be a duration (hint: {examples})", {"examples": _EXAMPLES})


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+[wdhms])+$|^P.+$", "examples": ["90m", "1h30m", "7d", "2w"]}),
]
"""A duration in a pydantic model: text as `parse_duration` reads it."""
