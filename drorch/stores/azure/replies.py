"""What a reply of Azure says. The SDK fills in None where a reply lacks a field.

All but `legible` raise what that one is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from drorch.domain.errors import Unavailable
from drorch.ports import ObjectInfo, ObjectVersion
from drorch.stores.azure import locks


@contextmanager
def legible(operation: str, *, resource: str, vault: str) -> Iterator[None]:
    """Around nothing but what takes fields out of a reply: what cannot be read is Unavailable. `mapped` goes inside."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise Unavailable(
            "the reply of Azure cannot be read", operation=operation, resource=resource, vault=vault, cause=cause
        ) from error


def check(blob: Any) -> None:
    """All that is read of a blob's properties, sooner or later."""
    info("", blob)
    locks.of_blob(blob)
    dict(blob.metadata or {})
    if not blob.etag:
        raise ValueError("there is no ETag")


def info(path: str, blob: Any) -> ObjectInfo:
    """The object at `path`."""
    size = int(blob.size)
    if size < 0:
        raise ValueError(f"a size of {size}")
    return ObjectInfo(path, size, blob.last_modified.astimezone(UTC))


def version(path: str, blob: Any) -> ObjectVersion:
    """One of the versions at `path`; "" is what was written without versioning."""
    found = info(path, blob)
    return ObjectVersion(path, found.size, found.modified, str(blob.version_id or ""))


def current(blob: Any) -> bool:
    """Whether it is what its path shows: a version that is not is marked by nothing."""
    return bool(blob.is_current_version) or not blob.version_id


def total(span: str) -> int:
    """Of ``bytes FIRST-LAST/TOTAL``."""
    return int(span.rpartition("/")[2])
