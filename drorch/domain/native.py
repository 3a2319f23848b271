"""What adapters observe, as values: native snapshots, the sources they are cut from, a database's inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

SNAPSHOT, IMAGE, PART = "snapshot", "image", "part"
"""What a native object is. A part is a snapshot that some image was made of, and that no image is seen to use."""


class Part(NamedTuple):
    """One snapshot of an image. `source_id` is its volume at the cut, "" on a copy; `device` where it is attached."""

    native_id: str
    source_id: str = ""
    device: str = ""
    bytes: int = 0
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class NativeSnapshot:
    """One snapshot as its provider shows it. `state` is `pending`, `usable` or `failed`; `why` is the provider's word.

    `started` is the instant its data are as of (EBS StartTime, RDS OriginalSnapshotCreateTime or SnapshotCreateTime;
    on a copy of either the copy's own time: `cut_at` is inherited through the record or `drorch:slot`'s point).
    """

    native_id: str
    account: str
    region: str
    service: str
    state: str
    tags: Mapping[str, str]
    source_id: str
    started: datetime | None
    bytes: int = 0
    encrypted: bool = False
    kms_key: str = ""
    progress: int = 0
    why: str = ""
    origin: datetime | None = None
    """On a copy: the source snapshot's own `started`, where the provider tells (RDS does, EBS does not)."""
    role: str = SNAPSHOT
    parts: tuple[Part, ...] = ()
    """The snapshots of an image as far as they are seen; all of them when it is `usable`."""


@dataclass(frozen=True, slots=True)
class PendingCopy:
    """A copy under way at a provider, whoever began it. `origin` is the region it comes from, "" where not told."""

    native_id: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotRoom:
    """How many snapshots of a kind an account has in a region, whoever made them, and how many it may have."""

    used: int
    most: int


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that a resource selects: a volume or a database instance, as it is now."""

    source_id: str
    bytes: int = 0
    encrypted: bool = False
    kms_key: str = ""
    instance: str = ""
    device: str = ""
    zone: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    """What outlives a reused name (DbiResourceId); the id itself where names are never reused."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What a restore needs to know (class, engine, version, groups ...), JSON-able, no floats."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was in the source within the dump's own snapshot. Tables as ``schema.table`` -> rows; None: not counted.

    `estimated` names the tables whose count is an estimate.
    """

    tables: Mapping[str, int | None]
    estimated: frozenset[str] = frozenset()
    bytes: int = 0
    details: Mapping[str, object] = field(default_factory=dict)
