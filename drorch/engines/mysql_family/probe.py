"""One question to restored data: read-only, one statement, one value, one minute."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from drorch.domain.errors import Refused
from drorch.engines.mysql_family.access import Access, open_access, text
from drorch.engines.mysql_family.place import Place
from drorch.engines.mysql_family.vendor import Vendor

TIME_LIMIT_SECONDS = 60
_LONGEST_ANSWER = 2.0 * TIME_LIMIT_SECONDS
"""Seconds for the client, connecting among them: a network that swallows everything is no answer either."""

_INTEGER = re.compile(r"0|-?[1-9]\d*")
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?")
_NOT_TEXT = re.compile(r"0\d")


@contextmanager
def asking(vendor: Vendor, place: Place, tools: Sequence[Path]) -> Iterator[Callable[[str], object]]:
    """A way to ask a database that is there already; raises as `open_access` does when it does not let us in."""
    access = open_access(vendor, place, tools, "probe")
    try:
        access.ask("DO 0", "probe")
        yield partial(ask, access)
    finally:
        access.close()


def ask(access: Access, query: str) -> object:
    """The single value that `query` answers: None (for the text NULL too), a number, an instant or day, else text.

    The client tells no types, so that text which reads as a number is one. Refused when the statement fails, takes
    longer than a minute, or answers no or more than one value. Times are in UTC.
    """
    limits = access.vendor.time_limit.format(TIME_LIMIT_SECONDS, TIME_LIMIT_SECONDS * 1000)
    # Prepared by the server, so that it is one statement and nothing of it is a command of the client.
    statements = (
        f"SET SESSION time_zone = '+00:00'; {limits}; START TRANSACTION READ ONLY;"
        f" SET @drorch_probe = {text(query)}; PREPARE drorch_probe FROM @drorch_probe; EXECUTE drorch_probe;"
    )
    where = {"operation": "probe", "resource": access.place.shown}
    try:
        rows = access.ask(statements, "probe", timeout=_LONGEST_ANSWER)
    except Refused as error:
        raise Refused("the probe failed", cause=error.cause, **where) from error
    if not rows:
        raise Refused("the probe answers nothing", **where)
    if len(rows) != 1 or len(rows[0]) != 1:
        raise Refused("a probe must answer one row of one column", cause=query, **where)
    return _value(rows[0][0])


def _value(found: str | None) -> object:
    if found is None or _NOT_TEXT.match(found):
        return found
    if _INTEGER.fullmatch(found):
        return int(found)
    if _DECIMAL.fullmatch(found):
        return Decimal(found)
    if _INSTANT.fullmatch(found):
        try:
            return datetime.fromisoformat(f"{found}+00:00") if " " in found else date.fromisoformat(found)
        except ValueError:  # MariaDB and MySQL know a day zero
            return found
    return found
