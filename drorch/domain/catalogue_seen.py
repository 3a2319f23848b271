"""What the catalogue is folded from: records and objects as they were seen in vaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from drorch.domain.model import ObjectLock, Vault
from drorch.domain.record import Record


class Trust(StrEnum):
    """What checking a record's signature gave. Only `signed` counts for anything that releases or promises."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """A record as it lies in one vault: its content, what its signature is worth, the store's own time of writing."""

    vault: str
    path: str
    record: Record
    trust: Trust
    written: datetime
    digest: str
    why: str = ""
    until: datetime | None = None
    """The end of the trust in its key: what a store is given of it from then on counts for nothing there."""


@dataclass(frozen=True, slots=True)
class VaultView:
    """One object vault as last listed. `objects` maps data paths to sizes; `at` is when it was last read completely."""

    vault: Vault
    complete: bool
    at: datetime | None = None
    records: tuple[SeenRecord, ...] = ()
    objects: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    tampered: Mapping[str, str] = field(default_factory=dict)
    """Paths of committed objects over which somebody wrote or deleted, each with what was seen (versioned stores)."""
    heads: tuple[str, ...] = ()
    """The paths of all heads of the application that lie there; of the newest alone the content is read."""
    uploads: Mapping[str, datetime] = field(default_factory=dict)
    """Data paths of uploads that were not ended, and when they were begun."""
    locks: Mapping[str, ObjectLock] = field(default_factory=dict)
    """Point -> the weakest mode and the earliest end of its objects' locks, as last read back."""
