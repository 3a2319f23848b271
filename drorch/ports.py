"""What the core asks of the world. Adapters implement these; tests/contract says what they mean.

Every method raises only the errors of `drorch.domain.errors`: Refused (and its kinds), Unavailable, OutcomeUnknown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, runtime_checkable

from drorch.domain.automated import RegionSeen as RegionSeen
from drorch.domain.errors import Refused
from drorch.domain.kms import KmsKey as KmsKey
from drorch.domain.model import LockMode as LockMode
from drorch.domain.model import ObjectLock as ObjectLock
from drorch.domain.native import Inventory as Inventory
from drorch.domain.native import NativeSnapshot as NativeSnapshot
from drorch.domain.native import PendingCopy as PendingCopy
from drorch.domain.native import SnapshotRoom as SnapshotRoom
from drorch.domain.native import Source as Source
from drorch.domain.policy import LockRule as LockRule


class Clock(Protocol):
    """The one source of the present. Tests turn theirs by hand."""

    def now(self) -> datetime:
        """The present, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait; returns early when the process is asked to stop."""


# --- object stores -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as the store lists it: path below the vault's prefix, bytes, and the store's own time of writing."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object, or a delete marker (`marker`) over the versions before it.

    `version` is the store's own word for it, "" where the store keeps one version only.
    """

    path: str
    size: int
    modified: datetime
    version: str = ""
    marker: bool = False


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """Parts that wait for the end of an upload: invisible, and billed. `handle` is the store's own word for it."""

    path: str
    begun: datetime
    handle: str


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """A store's limits as data: bytes of every part but the last, how many parts one object may have, and how many
    entries of a listing are asked for at once.
    """

    part_bytes: int = 8 * 1024 * 1024
    max_parts: int = 10_000
    page: int = 1000


class Upload(Protocol):
    """One object on its way in. Nothing is visible at its path before `commit` returned; then all of it is."""

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Send the next part: exactly `limits.part_bytes` bytes, only the last may be shorter (it may be empty).

        The buffer belongs to the caller again when this returns. AlreadyExists may come here already, where a store
        refuses when the upload begins.
        """

    def commit(self) -> None:
        """Make the object visible, write-once: AlreadyExists when the path is taken (and nothing is left behind).

        The store's size of the object is compared with what was written: Damaged when they differ.
        """

    def abort(self) -> None:
        """Drop what was sent; leaves no part behind where the store allows; harmless after commit and twice.

        May raise when parts could not be dropped: they would stay, and cost.
        """


class ObjectStore(Protocol):
    """A vault for dumps and records: flat paths, write-once, strongly consistent reads of what was committed.

    Paths are relative, `/`-separated, of printable ASCII without `..`, empty parts or a leading `/`: Refused otherwise.

    With a `lock` every object that is written once, and for which `layout.lockable` holds, is locked by the creating
    request itself (parts of a multipart upload included), until `now()` + the rule's length by the store's clock.
    """

    vault: str
    limits: StoreLimits
    lock: LockRule | None

    def now(self) -> datetime:
        """The store's own present, aware, UTC, from a reply of this moment (its Date header). Unavailable without."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose path starts with `prefix`, page by page, in any order.

        Raises Unavailable at any item: a listing that did not end is incomplete, never short.
        """

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version and delete marker of every path that starts with `prefix`, those of a path together, oldest
        first. What the store keeps: on one without versions it is `list`. Raises as `list`.
        """

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts. NotFound when it is known to be absent."""

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """The bytes from `start` (at most `length`), in chunks of the adapter's choice, bounded memory.

        `version` names one that `history` showed, "" the current one. NotFound when absent; Unavailable when the stream
        ends before the length the store announced; Refused when `start` lies behind the end (an empty object read from
        0 yields nothing).
        """

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Write a small object in one request. Write-once unless `overwrite`: AlreadyExists when the path is taken."""

    def upload(self, path: str) -> Upload:
        """Begin a streamed object of unknown length, write-once."""

    def delete(self, path: str) -> None:
        """Remove one object, all its versions and delete markers; harmless when absent.

        Refused while a lock stands; `vault check` removes what it wrote, `app.expiry` alone what has expired.
        """

    def lock_of(self, path: str) -> ObjectLock | None:
        """The lock of the current version, read back now; None for none. NotFound when absent."""

    def extend_lock(self, path: str, until: datetime) -> None:
        """Lock the current version until `until` at least, in the mode of `lock`; a longer lock stays as it is.

        NotInThisVersion where the store has no locks. A 200 proves nothing: read it back (`lock_of`).
        """

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """Unfinished uploads of paths that start with `prefix`; none where the store cannot list them. As `list`."""

    def abort_upload(self, upload: PendingUpload) -> None:
        """Drop the parts of an unfinished upload; harmless when it is gone."""

    def close(self) -> None:
        """Release connections."""


PATH_LENGTH = 900
PART_LENGTH = 200


def check_path(path: str, *, vault: str = "") -> str:
    """`path` itself, if every store can hold it; Refused otherwise. A prefix is legal when ``prefix + "x"`` is.

    Beyond what `ObjectStore` says: no part begins with a dot (folders keep unfinished and hidden files there), a part
    has at most 200 characters (file systems take 255 bytes), a path at most 900 (S3 and GCS take 1,024 bytes with the
    vault's prefix).
    """
    parts = path.split("/")
    if not (path.isascii() and path.isprintable()):
        wrong = "it holds other than printable ASCII characters"
    elif "" in parts:
        wrong = "it is empty, begins or ends with '/', or has an empty part"
    elif any(part.startswith(".") for part in parts):
        wrong = "a part of it begins with a dot"
    elif len(path) > PATH_LENGTH or max(map(len, parts)) > PART_LENGTH:
        wrong = f"it is longer than {PATH_LENGTH} characters, or a part than {PART_LENGTH}"
    else:
        return path
    raise Refused(f"{path[:PATH_LENGTH]!r} cannot be the path of an object", vault=vault, cause=wrong)


# --- native snapshots ----------------------------------------------------------------------------------------------


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


# --- database engines ----------------------------------------------------------------------------------------------


class Producer(Protocol):
    """A child process (or several) whose output is one artefact."""

    stdout: BinaryIO

    def finish(self) -> None:
        """Wait for the end. Raises unless every process ended with 0 and, as far as the engine can tell, nothing is
        missing: only then are the bytes worth committing.
        """

    def kill(self) -> None:
        """End it at once; harmless twice and after the end."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One stream of a dump. The object's name is `name` + ``.zst.age``; `open` starts the process."""

    name: str
    open: Callable[[], Producer]


class DumpSession(Protocol):
    """One consistent view of a source, held open while its artefacts stream."""

    cut_at: datetime
    facts: Mapping[str, object]
    """For the manifest: engine, server_version, client_version, flags, identity (system identifier), extensions,
    roles_without_password, and whatever a restore must know. JSON-able, no floats, no secrets."""

    def artefacts(self) -> Sequence[Artefact]:
        """The streams, the data first, in the order in which they are dumped.

        Neighbours named ``data-N.*`` are opened and read at the same time, each in a thread of its own, and loaded so.
        """

    def inventory(self) -> Inventory:
        """Counts taken in the exported snapshot (contract: `inventory: exact|estimate|off`)."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The answer to one probe: what was asked, what came, whether it is what the policy expects."""

    sql: str
    expected: str
    got: str
    met: bool


class Consumer(Protocol):
    """A child process that reads one artefact's plain stream."""

    stdin: BinaryIO

    def finish(self) -> tuple[str, ...]:
        """Close the input, wait; warnings for people. Raises unless everything was loaded."""

    def kill(self) -> None:
        """End it at once, its transaction rolled back; harmless twice."""


class RestoreTarget(Protocol):
    """Where a dump is loaded: nothing that exists is overwritten, nothing half-loaded is taken for whole."""

    @property
    def versions(self) -> Mapping[str, str]:
        """What loads and what it is loaded into, by the name of the program; empty before `prepare`."""

    def prepare(self, facts: Mapping[str, object]) -> None:
        """Refused when the target holds user objects, or when clients or server are too old for the dump.

        An absent database is created under a temporary, marked name; the remains of a failed restore are replaced.
        """

    def load(self, artefact: str) -> Consumer:
        """A consumer for an artefact (`data.pgcustom`, `globals.sql`).

        Those named ``data-N.*`` are loaded at the same time, each in a thread of its own.
        """

    def inventory(self, expected: Inventory) -> Inventory:
        """Exact counts of the loaded data for the tables of `expected` that were counted exactly."""

    def probe(self, sql: str) -> object:
        """The single value that a query answers, in a read-only transaction with a time limit."""

    def complete(self) -> tuple[str, ...]:
        """Make the loaded data real (rename); notes for people, such as roles without password."""

    def abandon(self) -> None:
        """Give up: what was loaded is dropped or marked as the remains of a failed restore."""


class Engine(Protocol):
    """A database engine whose points are streamed logical dumps."""

    kind: str

    def dump(self, options: object, secrets: Mapping[str, str], inventory: str) -> AbstractContextManager[DumpSession]:
        """Open a consistent view. `secrets` maps credential names to their values; `inventory` is the policy's word."""

    def target(self, url: str, password: str | None, *, with_globals: bool) -> RestoreTarget:
        """A restore target from its URL (contract, TARGET); a password inside the URL is Refused as Usage."""

    def scratch(self, options: object, secrets: Mapping[str, str]) -> AbstractContextManager[RestoreTarget]:
        """A scratch place for a drill; removed at the end whatever happened. `options` None means `private`."""


@runtime_checkable
class ListsDatabases(Protocol):
    """An engine that can say which databases a server has."""

    def databases(self, options: object, secrets: Mapping[str, str]) -> tuple[str, ...]:
        """Those that hold data of users, sorted; what `options` leave out is among them. Raises as `dump` does."""


@runtime_checkable
class TellsVersions(Protocol):
    """An engine that can say, without dumping, what a dump would be made of and with."""

    def versions(self, options: object, secrets: Mapping[str, str]) -> Mapping[str, str]:
        """The version of the server, and of each program that a dump of it would use, by its name.

        Connects as `dump` does, and raises as it does: wrong password, no TLS, no program that is new enough.
        """
