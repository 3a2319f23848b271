"""The words of the field as values: failure levels and domains, vaults, slots, points and their copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class FailureLevel(StrEnum):
    """What can be lost at once, in the order in which people read them."""

    ZONE = "zone"
    REGION = "region"
    ACCOUNT = "account"
    PROVIDER = "provider"
    TAMPERING = "tampering"


@dataclass(frozen=True, slots=True)
class FailureDomain:
    """Where something lies. `account` is a key of the host configuration ("" where there is none), never digits."""

    provider: str
    region: str
    account: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Vault:
    """Where copies lie: ``ACCOUNT.REGION`` for native snapshots, a configured name for object stores."""

    name: str
    domain: FailureDomain
    native: bool = False


def native_vault_name(account: str, region: str) -> str:
    """The implicit vault of native snapshots of one account and region, such as ``prod.us-west-2``."""
    return f"{account}.{region}"


def place_of(vault: str) -> tuple[str, str]:
    """(account, region) of an implicit vault of native snapshots, by its name; two empty words for any other vault."""
    account, dot, region = vault.partition(".")
    return (account, region) if dot else ("", "")


def survives(level: FailureLevel, home: FailureDomain, copy: FailureDomain, *, locked: bool = False) -> bool:
    """Whether a copy in domain `copy` is left when `level` of `home` is lost (contract, section 3).

    `locked` says that the copy's lock was read back, is unexpired and cannot be bypassed from the host.
    """
    elsewhere = copy.provider != home.provider
    if level is FailureLevel.ZONE:
        same_place = not elsewhere and copy.region == home.region
        return not (same_place and copy.zone and copy.zone == home.zone)
    if level is FailureLevel.REGION:
        return elsewhere or copy.region != home.region
    if level is FailureLevel.ACCOUNT:
        return elsewhere or copy.account != home.account
    if level is FailureLevel.PROVIDER:
        return elsewhere
    return locked


class LockMode(StrEnum):
    """How a store keeps an object from being deleted. `compliance`: nobody may shorten it; `governance`: who has the
    right to bypass it may (S3 Object Lock modes; GCS object retention `Locked` and `Unlocked`).
    """

    COMPLIANCE = "compliance"
    GOVERNANCE = "governance"


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """A lock as it was read back from the store; `until` is by the store's own clock."""

    mode: LockMode
    until: datetime


class CopyState(StrEnum):
    """The states that people and scripts see (contract, section 4)."""

    PENDING = "pending"
    USABLE = "usable"
    FAILED = "failed"
    UNSIGNED = "unsigned"
    UNSUPPORTED = "unsupported"
    EXPIRING = "expiring"


@dataclass(frozen=True, slots=True)
class Member:
    """One native object of a copy: a snapshot or image. `bytes` is the source's size, not the space it takes.

    `image` names the image that a snapshot is a part of: its bytes are counted there.
    """

    native_id: str
    source_id: str
    role: str = "snapshot"
    bytes: int = 0
    device: str = ""
    instance: str = ""
    image: str = ""


_WHOLE = (CopyState.USABLE, CopyState.EXPIRING)


@dataclass(frozen=True, slots=True)
class Copy:
    """The point's data in one vault. `path` is the folder of a dump's data; native copies have members instead.

    `recorded_in` names the object vaults that hold a valid native record (or manifest) of this copy; `partial` says
    that not every creating call of it has been made, `failed_at` when the newest try that failed was begun.
    `locked_until` and `lock_mode` say what holds of the whole copy, `held_until` is the latest end of any lock in it.
    `marked_at` is when the mark `expiring` in force was signed, `expiring_since` the instant from which the grace runs,
    `expired_at` when a deletion was begun that is not at its end. `damaged` says that a check of its bytes failed,
    `gone` that only its records are left of it.
    """

    vault: str
    state: CopyState
    members: tuple[Member, ...] = ()
    path: str = ""
    bytes: int = 0
    usable_at: datetime | None = None
    verified_at: datetime | None = None
    locked_until: datetime | None = None
    lock_mode: LockMode | None = None
    held_until: datetime | None = None
    marked_at: datetime | None = None
    expiring_since: datetime | None = None
    expired_at: datetime | None = None
    damaged: bool = False
    gone: bool = False
    kms_key: str = ""
    kms_keys: frozenset[str] = frozenset()
    """Of a native copy every key that its members bear: all of them have to open for it to be restored."""
    shut: str = ""
    """Why what is in it opens for nobody now (its key is disabled); "" where it opens or that is not known."""
    listed: frozenset[str] = frozenset()
    """Native ids that signed records of the point list for this vault: what drorch may delete."""
    recorded_in: frozenset[str] = frozenset()
    partial: bool = False
    why: str = ""
    failed_at: datetime | None = None
    carry_until: datetime | None = None
    """From when on a dump's manifest counts in no other vault that it is brought to: its key is trusted no longer."""

    @property
    def usable(self) -> bool:
        """Whether a restore could start from it now; an expiring copy still can."""
        return self.state in _WHOLE and not self.shut

    @property
    def whole(self) -> bool:
        """Whether all of it is there, whether it opens now or not: what is whole is neither made nor ended anew."""
        return self.state in _WHOLE

    @property
    def undeletable_until(self) -> datetime | None:
        """When the last lock of anything in it ends; None where nothing is known to be locked."""
        return max((end for end in (self.locked_until, self.held_until) if end is not None), default=None)

    @property
    def shown(self) -> str:
        """Its state as people and scripts are told: of what does not open it is `failed`."""
        return CopyState.FAILED.value if self.shut else self.state.value


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """One restorable state of one resource as of `cut_at` (None while the source has not said), with its copies."""

    id: str
    application: str
    resource: str
    kind: str
    slot: str
    cut_at: datetime | None
    copies: tuple[Copy, ...] = ()
    pinned: bool = False
    pin_until: datetime | None = None
    note: str = ""
    suspect: str = ""
    """Why what is in it is not believed to be everything; "" when it is, or when a person has cleared it."""
    judged: bool = False
    """Whether a mark has said already that it is suspect or clear."""
    filed: tuple[str, str] | None = None
    """Under which application and resource its records and data lie, where a policy carries another's history on."""
    identities: frozenset[str] = frozenset()
    """What the sources that it was cut from cannot share with others (DbiResourceId, system identifier, volume ids)."""
    facts: dict[str, object] = field(default_factory=dict, hash=False, compare=False)

    @property
    def manual(self) -> bool:
        """Whether a person ordered it (`drorch backup`)."""
        return self.slot.startswith("manual:")

    @property
    def filed_under(self) -> tuple[str, str]:
        """The application and resource in the paths of its records and data."""
        return self.filed or (self.application, self.resource)

    @property
    def partial(self) -> str:
        """What of its source alone it holds, in words (``partial: schemas app, billing``); "" where it is all of it."""
        filters = self.facts.get("filters")
        told = ("schemas", "schemas"), ("exclude_schemas", "all but schemas")
        if not isinstance(filters, dict):
            return ""
        parts = [f"{words} {', '.join(map(str, names))}" for key, words in told if (names := _listed(filters.get(key)))]
        return f"partial: {'; '.join(parts)}" if parts else ""

    def copy_in(self, vault: str) -> Copy | None:
        """The copy in `vault`, if there is one in any state."""
        for copy in self.copies:
            if copy.vault == vault:
                return copy
        return None

    @property
    def usable(self) -> bool:
        """Whether any copy of it is usable."""
        for copy in self.copies:  # noqa: SIM110  a loop, here and below: nothing is asked as often
            if copy.state in _WHOLE and not copy.shut:
                return True
        return False


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that does not fit and is held, never touched: a duplicate, a tag without a valid id, a lone record."""

    vault: str
    what: str
    resource: str = ""
    point: str = ""
    alarm: str = "oddity"
    """`oddity`, `removed` (somebody deleted it) or `tampering` (somebody wrote or deleted over a committed object)."""
