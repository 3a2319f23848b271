"""What the core asks of a provider's own snapshots, and of what belongs to them: keys, locks, quotas, sharing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from drorch.domain.automated import RegionSeen
from drorch.domain.kms import KmsKey
from drorch.domain.model import LockMode, ObjectLock
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.domain.native_restore import Made, NativeRestore, RestoreProgress


@dataclass(frozen=True, slots=True)
class CutOrder:
    """Everything one cut needs. `tags` are complete but for `drorch:set`, which the kind adds per creating call."""

    account: str
    region: str
    point: str
    sources: tuple[Source, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """One native object to be copied into `account`.`region`. `attempt` counts copies of the point made there."""

    account: str
    region: str
    from_account: str
    from_region: str
    point: str
    snapshot: NativeSnapshot
    tags: Mapping[str, str]
    kms_key: str
    attempt: int


class SnapshotKind(Protocol):
    """A kind of resource whose points are the provider's own snapshots."""

    kind: str
    service: str
    repeatable_cut: bool
    """Whether the caller-chosen identifier makes a creating call harmless to repeat (RDS), or not (EC2)."""

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """All snapshots of the site there, for all applications, one paginated, filtered listing.

        Images come each with its snapshots as `parts`; a snapshot whose image is gone comes by itself, its role `part`.
        Raises Unavailable at any item: incomplete is never empty.
        """

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """All sources there that any of `options` might select: one listing for all applications together."""

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """Which of `sources` this resource's options select. Pure."""

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """How one cut is divided into creating calls (one crash-consistent set each), in a fixed order. Pure."""

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """Make creating call `call` (from 0) of the order. Not repeatable blindly where `repeatable_cut` is false.

        OutcomeUnknown when the reply was lost; AlreadyExists when the identifier is taken (it is returned by
        `find`).
        """

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """Begin one copy, called in the destination. Errors as in `cut`."""

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """Every snapshot there that bears this point's id, asked of the provider now: the look before acting."""

    def check_key(self, account: str, region: str, key: str) -> None:
        """Refused with a hint unless the KMS key or alias exists there, is enabled and symmetric."""

    def now(self, account: str, region: str) -> datetime:
        """The provider's own present there, aware, UTC, from a reply of this moment (its Date header). Unavailable."""

    def expire(self, account: str, region: str, native_id: str) -> None:
        """Delete one snapshot, or one image without its snapshots; harmless when it is gone already. Only `app.expiry`
        calls it.

        Refused when the provider does not let it go (in use by an image, locked); OutcomeUnknown when the reply was
        lost: asking again is harmless.
        """


class Everything(Protocol):
    """What could be protected in an account and region, whether anybody selects it or not."""

    def sources(self, kind: str, account: str, region: str) -> Iterator[Source]:
        """All of a kind there (`drorch.domain.unprotected.KINDS`), one paginated listing without a filter by tag.

        Raises Unavailable at any item: incomplete is never empty.
        """


class AutomatedBackups(Protocol):
    """What RDS keeps by itself in an account and region: databases with their replicas, and automated backups."""

    def seen(self, account: str, region: str, kinds: Collection[str]) -> RegionSeen:
        """All of `kinds` there, whoever's, by paginated listings, none per database.

        Raises Unavailable: incomplete is never empty.
        """


class KmsKeys(Protocol):
    """The keys that copies are encrypted with, asked of the provider: nothing here changes or opens anything."""

    def describe(self, account: str, region: str, key: str) -> KmsKey:
        """A key by its alias, id or ARN, as the region knows it. NotFound when it knows none, Refused when the caller
        may not look at it, Unavailable when there is no answer.
        """

    def require_use(self, account: str, region: str, key: str) -> None:
        """Refused, with the provider's word, when a dry run says that the caller may not encrypt with the key."""


@runtime_checkable
class CountsCopies(Protocol):
    """A kind that can say how many copies are under way at its provider."""

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """Every copy into the region that takes one of the account's places there, whoever began it: one listing.

        Raises Unavailable at any item: incomplete is never few.
        """


@runtime_checkable
class CountsSnapshots(Protocol):
    """A kind whose provider lets an account have only so many snapshots in a region."""

    def snapshot_rooms(self, account: str, region: str) -> Mapping[str, SnapshotRoom]:
        """By kind, this one and those that the same answer tells of: one call. A kind that is missing is not counted.

        Raises Unavailable, and Refused where that may not be asked.
        """


@runtime_checkable
class TellsLocks(Protocol):
    """A kind whose snapshots can be locked at their provider, by anybody."""

    def locks(self, account: str, region: str, native_ids: Sequence[str] = ()) -> Mapping[str, ObjectLock]:
        """Native id -> the lock of every snapshot there that has or had one; of `native_ids` alone where any is given.

        One that somebody may take off is told as governance, one that has run out ends in the past. Unavailable.
        """


@runtime_checkable
class LocksCopies(TellsLocks, Protocol):
    """A kind whose snapshots drorch can lock. There is no way back: nothing here takes a lock off."""

    def lock(self, account: str, region: str, native_id: str, mode: LockMode, until: datetime) -> None:
        """Lock one snapshot until `until` (aware, at least a day ahead), at once and for good in compliance mode.

        A lock in compliance mode becomes longer alone: Refused otherwise. OutcomeUnknown when the reply was lost:
        asking again is harmless. A reply that says yes proves nothing: read it back (`locks`).
        """


@runtime_checkable
class SharesSnapshots(Protocol):
    """A kind whose snapshots another account may copy while they are shared with it. Accounts go by their names."""

    def share(self, order: CopyOrder) -> None:
        """Let `order.account` copy the order's snapshot; harmless twice.

        Refused, and nothing is shared, for what could not be copied there: encrypted without a key for the copy, or
        under a key that the provider does not share.
        """

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Take that back; harmless twice, and when the snapshot is gone."""

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:
        """The ids of the site's snapshots there that are shared with account `other`: one listing.

        Raises Unavailable at any item: incomplete is never empty.
        """


@runtime_checkable
class RestoresSnapshots(Protocol):
    """A kind whose copies drorch can bring back. Level-triggered: nothing is kept between calls but what the provider
    shows, so any process goes on where another was killed, and doing it again makes nothing twice.
    """

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """Look, and change nothing: whether `advance` could begin. What must be known before: settings of the record
        that will not be as they were, in words.

        Refused, with the way out, for a name that is taken by something else, and for options that name what is not
        there (zone, subnet, group, profile, key); what bears the order's own id is in nobody's way. Unavailable.
        """

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """Look at what bears the order's id, make what is missing and can be made now, and say how far it is.

        Returns at once: nothing in it waits for a provider to finish. Called until `done` (or something `failed`).
        Nothing that exists is overwritten, changed or deleted. OutcomeUnknown when a reply was lost: calling again is
        harmless. Refused as in `check_restore`, and where the provider does not let it be.
        """

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """(id, thing) of all that bears the tag `tag` there, of one restore or of every one. Unavailable."""

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """Delete what bears exactly this tag and id, as far as it can be deleted now; what is left of it. Only drills
        call it. Harmless twice; nothing without the tag is ever touched (asked of the provider now, not remembered).
        """
