"""What a reply of Swift says. Nothing is read into one that does not: Unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from drorch.domain.errors import Unavailable

TOKEN = "X-Object-Meta-Drorch-Write"  # noqa: S105  (the name of a header)


@dataclass(frozen=True, slots=True)
class Facts:
    """What HEAD says of an object: bytes, time, the MD5 of it (of its segments' MD5s), and by which write it is."""

    size: int
    modified: datetime
    etag: str
    token: str
    segmented: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a container's listing."""

    name: str
    size: int
    modified: datetime
    etag: str


@contextmanager
def legible(operation: str, *, resource: str, vault: str) -> Iterator[None]:
    """Around nothing but what takes a reply apart: what cannot be read is Unavailable."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise Unavailable(
            "the reply of Swift cannot be read", operation=operation, resource=resource, vault=vault, cause=cause
        ) from error


def facts(reply: Any) -> Facts:
    """Of a HEAD. `X-Timestamp` is the time that listings show, `Last-Modified` the next whole second."""
    headers = reply.headers
    return Facts(
        size=_count(headers["Content-Length"]),
        modified=datetime.fromtimestamp(float(headers["X-Timestamp"]), UTC),
        etag=etag(reply),
        token=headers.get(TOKEN, ""),
        segmented=segmented(reply),
    )


def page(reply: Any, prefix: str, marker: str) -> list[Listed]:
    """A page of a listing: names below `prefix`, each after the one before, the first after `marker`."""
    if reply.status_code == 204:
        return []
    found = [
        Listed(entry["name"], _count(str(entry["bytes"])), _instant(entry["last_modified"]), str(entry["hash"]))
        for entry in reply.json()
    ]
    for entry in found:
        if not entry.name.startswith(prefix) or entry.name.encode() <= marker.encode():
            raise ValueError(f"{entry.name[:80]!r} does not belong there")
        marker = entry.name
    return found


def etag(reply: Any) -> str:
    """The ETag without its quotes: large objects have them, small ones have none."""
    return str(reply.headers["Etag"]).strip('"')


def segmented(reply: Any) -> bool:
    """Whether the object is a static large object."""
    return str(reply.headers.get("X-Static-Large-Object", "")).lower() == "true"


def extent(reply: Any) -> tuple[int, int | None]:
    """(bytes that follow, size of the object if they are a range of it) of a GET."""
    total = _count(span(reply).partition("/")[2]) if span(reply) else None
    return _count(reply.headers["Content-Length"]), total


def span(reply: Any) -> str:
    """``FIRST-LAST/TOTAL``; empty where the reply is the whole object."""
    return str(reply.headers.get("Content-Range", "")).removeprefix("bytes ")


def date(reply: Any) -> datetime:
    """The Date header: whole seconds, cut off."""
    return parsedate_to_datetime(reply.headers["Date"]).astimezone(UTC)


def _instant(text: str) -> datetime:
    """Of a listing: UTC, without saying so."""
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _count(text: str) -> int:
    """A whole number that is not below zero."""
    if not text.isdecimal():
        raise ValueError(f"{text[:20]!r} is no whole number")
    return int(text)
