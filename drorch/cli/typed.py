"""Texts, instants and durations as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from drorch.domain.duration import parse_duration
from drorch.domain.errors import Usage

if TYPE_CHECKING:
    from drorch.app.reading import TrustedKey

_LONGEST = 1000


def words(text: str, option: str) -> str:
    """A text that goes into signed records and onto screens. Usage for one that is too long or no text at all."""
    if len(text) > _LONGEST:
        raise Usage(f"{option} is longer than {_LONGEST} characters")
    if not text.isprintable():
        raise Usage(f"{option} has characters that cannot be shown", hint="plain text on one line")
    return text


def end_of_pin(text: str, now: datetime) -> datetime | None:
    """The end of ``--pin D``: None for `forever`. Usage for anything that is no duration."""
    return None if text == "forever" else now + duration(text, "--pin")


def duration(text: str, option: str) -> timedelta:
    """A duration such as 90m or 14d. Usage for anything else."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Usage(f"{option}: {error}") from error


def instant(text: str, option: str) -> datetime:
    """An instant such as 2026-11-20T09:15Z; without a zone it is UTC. Usage for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"{option} {text}: not a time", hint="such as 2026-11-20T09:15Z") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def trusted_key(text: str) -> TrustedKey:
    """``RW...`` or a .pub file, optionally ``@before=TIME``."""
    from drorch.app.reading import TrustedKey
    from drorch.crypto.minisign import PublicKey
    from drorch.domain.errors import Usage

    key, mark, before = text.partition("@before=")
    if not key.startswith("RW") or len(key) != 56:
        try:
            key = Path(key).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Usage(f"--trust {text}: neither a key RW... nor a readable .pub file", cause=str(error)) from error
    return TrustedKey(PublicKey.parse(key), instant(before, "--trust @before") if mark else None)
