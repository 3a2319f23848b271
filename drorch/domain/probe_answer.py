"""What restored data answered a probe, beside what its policy expects. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPECT = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*(.*?\S)\s*", re.DOTALL)


def understood(expect: str) -> bool:
    """Whether it is ``OP VALUE``."""
    return _EXPECT.fullmatch(expect) is not None


def meets(value: object, expect: str) -> bool:
    """Whether an answer is what is expected: as numbers if the expected one is a number, else as text."""
    match = _EXPECT.fullmatch(expect)
    if match is None:
        return False
    expected = _number(match[2])
    if expected is None:
        given = str(value).lower() if isinstance(value, bool) else str(value)
        return _COMPARE[match[1]](given, _unquoted(match[2]))
    number = _number(value)
    return match[1] == "!=" if number is None else _COMPARE[match[1]](number, expected)


def instant_of(value: object) -> datetime | None:
    """A timestamp, a date or the text of either; without a zone it is read as UTC."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime.combine(when, time())
    if not isinstance(when, datetime):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
