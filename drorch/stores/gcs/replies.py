"""What a reply of GCS says. Google's classes hold its JSON as it came, and trip over it where it is another than GCS's.

All but `legible` raise what that one is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from drorch.domain.errors import Unavailable
from drorch.ports import ObjectInfo, ObjectVersion
from drorch.stores.gcs import locks


@contextmanager
def legible(operation: str, *, resource: str, vault: str) -> Iterator[None]:
    """Around nothing but what takes fields out of a reply: what cannot be read is Unavailable. `mapped` goes inside."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise Unavailable(
            "the reply of GCS cannot be read", operation=operation, resource=resource, vault=vault, cause=cause
        ) from error


def check(blob: Any) -> None:
    """All that is read of an object's metadata, sooner or later."""
    info("", blob)
    locks.of_blob(blob)
    dict(blob.metadata or {})


def info(path: str, blob: Any) -> ObjectInfo:
    """The object at `path`."""
    return ObjectInfo(path, _count(str(blob.size)), blob.time_created.astimezone(UTC))


def version(path: str, blob: Any) -> ObjectVersion:
    """One of the generations at `path`."""
    found = info(path, blob)
    return ObjectVersion(path, found.size, found.modified, str(generation(blob)))


def generation(blob: Any) -> int:
    """Its number: a later one is larger."""
    return _count(str(blob.generation))


def extent(reply: Any) -> tuple[int, int | None, str]:
    """(bytes that follow, size of the object if they are a range of it, the object's CRC-32C or "") of a download."""
    hashes = dict(part.strip().split("=", 1) for part in reply.headers.get("x-goog-hash", "").split(",") if part)
    total = _count(span(reply).partition("/")[2]) if span(reply) else None
    return _count(reply.headers["Content-Length"]), total, hashes.get("crc32c", "")


def span(reply: Any) -> str:
    """``FIRST-LAST/TOTAL``; empty where the reply is the whole object."""
    return str(reply.headers.get("Content-Range", "")).removeprefix("bytes ")


def _count(text: str) -> int:
    """A whole number that is not below zero."""
    if not text.isdecimal():
        raise ValueError(f"{text[:20]!r} is no whole number")
    return int(text)
