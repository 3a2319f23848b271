"""Listings in pages, as AWS gives them; moto answers everything in one page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

_cap: int | None = None


class BadToken(ValueError):
    """A token that no listing gave out."""


def cap_pages(entries: int | None) -> None:
    """At most `entries` per page whatever the caller asks for (AWS may always return fewer); None lifts the cap."""
    global _cap
    _cap = entries


def page(entries: Sequence[Any], token: str | None, size: int | None) -> tuple[list[Any], str | None]:
    """One page of at most `size` entries (None: all of them) and the token of the next page, if there is one."""
    start = _start(token)
    limit = min(value for value in (size, _cap, len(entries)) if value is not None)
    chosen = list(entries[start : start + limit])
    end = start + len(chosen)
    return chosen, base64.b64encode(f"from:{end}".encode()).decode() if end < len(entries) else None


def _start(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token, validate=True).removeprefix(b"from:"))
    except (binascii.Error, ValueError) as error:
        raise BadToken(token) from error
