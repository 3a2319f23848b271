"""Instants as people write them: a date (its first second, UTC) or an ISO 8601 time with its zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from drorch.domain.explain import fault, type_name

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXAMPLES = "such as 2026-11-01 or 2026-11-01T06:00Z"


def parse_moment(text: str) -> datetime:
    """The instant that `text` names, aware, UTC; of a day, its first second in UTC.

    Raises a fault on what is no date, and on a time without a zone.
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            return when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise fault(f"{text[:40]!r} is not a date", _EXAMPLES) from error
    if not _DAY.fullmatch(text):
        raise fault(f"{text[:40]!r} has no time zone", _EXAMPLES)
    return when.replace(tzinfo=UTC)


def _read(value: object) -> datetime:
    if isinstance(value, str):
        return parse_moment(value)
    if isinstance(value, datetime):
        return parse_moment(value.isoformat())
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise fault(f"must be a date, not {type_name(value)}", _EXAMPLES)


Moment = Annotated[
    datetime,
    BeforeValidator(_read),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}", "examples": ["2026-11-01"]}),
]
"""An instant in a pydantic model: a date or text as `parse_moment` reads it."""
