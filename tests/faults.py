"""Bad days on order, around any ObjectStore or SnapshotKind: what a test wants to go wrong, at the call it chooses.

``store = FaultyStore(MemoryStore()); store.faults.order("put", "after")``: the next put happens, and then says that its
outcome is unknown. Nothing here sleeps; what stalls waits for `Faults.release`.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeVar, get_args

from drorch.domain.catalogue_native import TAG_APPLICATION
from drorch.domain.errors import OutcomeUnknown, Throttled, Unavailable
from drorch.domain.native import NativeSnapshot, PendingCopy, SnapshotRoom, Source
from drorch.ports import (
    CopyOrder,
    CountsCopies,
    CountsSnapshots,
    CutOrder,
    LockMode,
    LockRule,
    LocksCopies,
    Made,
    NativeRestore,
    ObjectInfo,
    ObjectLock,
    ObjectStore,
    ObjectVersion,
    PendingUpload,
    RestoreProgress,
    RestoresSnapshots,
    SharesSnapshots,
    SnapshotKind,
    StoreLimits,
    TellsLocks,
    Upload,
)

Fault = Literal["before", "after", "stall", "lose", "short", "flip", "half", "throttled", "timeout", "full", "expired"]
"""``before``: Unavailable, nothing happened. ``after``: it happened, then OutcomeUnknown. ``stall``: blocks until
released, then goes on. ``lose``: says it happened, and did not (put, write, commit, delete). ``short``: a read ends in
Unavailable half-way. ``flip``: a read has one bit flipped in its middle. ``half``: a listing ends in Unavailable
half-way. ``throttled``: Throttled, nothing happened. ``timeout``: OutcomeUnknown, nothing happened. ``full``:
Unavailable, as a full disk is. ``expired``: this call and all after it are Unavailable until `recover`, as with expired
credentials.
"""

Ordered = Fault | Callable[[], None]
"""A fault, or what happens to the world at the very call, which then goes through (or raises what this raises)."""

_Item = TypeVar("_Item")

EVERYWHERE = "*"
_STALL_LIMIT = 60.0
"""Seconds after which a stall that no test released fails that test."""


class Faults:
    """Orders per method, met in their order; a call without an order goes through. Safe for threads."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """Calls per method, failed ones included."""
        self.met: Counter[str] = Counter()
        """Orders that were met, per method; what a black hole swallowed counts as ``black hole``."""
        self.stalled = threading.Event()
        """Set once a call stalls."""
        self._released = threading.Event()
        self._orders: defaultdict[str, deque[tuple[Ordered | None, str]]] = defaultdict(deque)
        self._black_holes: dict[str, str] = {}
        self._lock = threading.Lock()

    def order(self, method: str, fault: Ordered, *, times: int = 1, after: int = 0, only: str = "") -> None:
        """Let `times` calls of `method` meet `fault`, once `after` more calls have gone through.

        Only those calls count whose region or path (or id, of what expires; application, of cuts and copies) contains
        `only`.
        """
        if not callable(fault) and fault not in get_args(Fault):
            raise ValueError(f"unknown fault {fault!r}")
        with self._lock:
            self._orders[method].extend([*[(None, only)] * after, *[(fault, only)] * times])

    @property
    def standing(self) -> bool:
        """Whether anything that was ordered was not met yet."""
        return any(self._orders.values())

    def clear(self) -> None:
        """No order stands any more."""
        with self._lock:
            self._orders.clear()

    def black_hole(self, where: str = EVERYWHERE, why: str = "black-holed, as ordered") -> None:
        """From now on every call there (a region; everywhere by default) is Unavailable."""
        self._black_holes[where] = why

    def recover(self, where: str = EVERYWHERE) -> None:
        """It answers again."""
        self._black_holes.pop(where, None)

    @property
    def away(self) -> bool:
        """Whether no call at all is answered."""
        return EVERYWHERE in self._black_holes

    def release(self) -> None:
        """Whatever stalls goes on, now and later."""
        self._released.set()

    def meet(self, method: str, where: str = "", what: str = "") -> Fault | None:
        """Count the call; raise or stall if that is ordered; else the fault the caller is to act out."""
        with self._lock:
            self.calls[method] += 1
            hole = self._black_holes.get(where) or self._black_holes.get(EVERYWHERE)
            if hole:
                self.met["black hole"] += 1
                raise Unavailable(hole, operation=method, resource=where)
            orders = self._orders[method]
            fault = orders.popleft()[0] if orders and orders[0][1] in f"{where} {what}" else None
            self.met[method] += fault is not None
        if callable(fault):
            fault()
            return None
        return self._raised(fault, method, where)

    def _raised(self, fault: Fault | None, method: str, where: str) -> Fault | None:
        said = {"operation": method, "resource": where}
        if fault == "before":
            raise Unavailable("failed before anything happened, as ordered", **said)
        if fault == "throttled":
            raise Throttled("too many requests, as ordered", **said)
        if fault == "timeout":
            raise OutcomeUnknown("no reply came in time, as ordered", **said)
        if fault == "full":
            raise Unavailable("the disk is full, as ordered", **said)
        if fault == "expired":
            self.black_hole(why="ExpiredToken, as ordered")
            raise Unavailable("ExpiredToken, as ordered", **said)
        if fault == "stall":
            self.stalled.set()
            if not self._released.wait(_STALL_LIMIT):
                raise AssertionError(f"{method} stalled, and no test released it")
            return None
        return fault

    @staticmethod
    def end(method: str, fault: Fault | None) -> None:
        """Called when it has happened: the reply is lost, if that was ordered."""
        if fault == "after":
            raise OutcomeUnknown("the reply was lost, as ordered", operation=method)


class FaultyStore:
    """An ObjectStore in front of another. Methods to order for: list stat read put upload write
    commit abort delete lock_of extend_lock uploads abort_upload now."""

    def __init__(self, inner: ObjectStore, faults: Faults | None = None) -> None:
        self.inner = inner
        self.faults = faults or Faults()
        self.vault = inner.vault
        self.clock = timedelta()
        self._stale: list[ObjectInfo] = []
        self._stale_passes = 0

    def stale(self, passes: int) -> None:
        """The next `passes` listings show the store as it is now."""
        self._stale, self._stale_passes = list(self.inner.list("")), passes

    @property
    def limits(self) -> StoreLimits:
        """As the store's own."""
        return self.inner.limits

    @limits.setter
    def limits(self, limits: StoreLimits) -> None:
        self.inner.limits = limits

    @property
    def lock(self) -> LockRule | None:
        """As the store's own."""
        return self.inner.lock

    @lock.setter
    def lock(self, rule: LockRule | None) -> None:
        self.inner.lock = rule

    def now(self) -> datetime:
        """The store's clock; `clock` turns it by so much."""
        self.faults.meet("now")
        return self.inner.now() + self.clock

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """As `list`, with the same orders."""
        fault = self.faults.meet("list", prefix)
        if self._stale_passes:
            self._stale_passes -= 1
            yield from (
                ObjectVersion(found.path, found.size, found.modified)
                for found in self._stale
                if found.path.startswith(prefix)
            )
            return
        yield from _half_of(self.inner.history(prefix), fault, "list")

    def lock_of(self, path: str) -> ObjectLock | None:
        """A look that may fail."""
        self.faults.end("lock_of", self.faults.meet("lock_of", path))
        return self.inner.lock_of(path)

    def extend_lock(self, path: str, until: datetime) -> None:
        """A lock that may be lost."""
        fault = self.faults.meet("extend_lock", path)
        if fault != "lose":
            self.inner.extend_lock(path, until)
        self.faults.end("extend_lock", fault)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """A listing that may end half-way."""
        yield from _half_of(self.inner.uploads(prefix), self.faults.meet("uploads", prefix), "uploads")

    def abort_upload(self, upload: PendingUpload) -> None:
        """A deletion that may be lost."""
        fault = self.faults.meet("abort_upload", upload.path)
        if fault != "lose":
            self.inner.abort_upload(upload)
        self.faults.end("abort_upload", fault)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """A listing that may be stale, or end half-way."""
        fault = self.faults.meet("list", prefix)
        if self._stale_passes:
            self._stale_passes -= 1
            yield from (found for found in self._stale if found.path.startswith(prefix))
            return
        yield from _half_of(self.inner.list(prefix), fault, "list")

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts."""
        self.faults.end("stat", self.faults.meet("stat", path))
        return self.inner.stat(path)

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """A read that may be short, or have a bit flipped in its middle."""
        fault = self.faults.meet("read", path)
        if fault not in ("short", "flip"):
            yield from self.inner.read(path, start, length, version=version)
            return
        body = bytearray(b"".join(self.inner.read(path, start, length, version=version)))
        middle = len(body) // 2
        if fault == "short":
            yield bytes(body[:middle])
            raise Unavailable("the stream ended half-way, as ordered", operation="read", resource=path)
        if body:
            body[middle] ^= 1
        yield bytes(body)

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """A put that may be lost, with or without saying so."""
        fault = self.faults.meet("put", path)
        if fault != "lose":
            self.inner.put(path, body, overwrite=overwrite)
        self.faults.end("put", fault)

    def upload(self, path: str) -> FaultyUpload:
        """An upload whose steps meet the orders for `write`, `commit` and `abort`."""
        self.faults.end("upload", self.faults.meet("upload", path))
        return FaultyUpload(self.inner.upload(path), self.faults, path)

    def delete(self, path: str) -> None:
        """A deletion that may be lost."""
        fault = self.faults.meet("delete", path)
        if fault != "lose":
            self.inner.delete(path)
        self.faults.end("delete", fault)

    def with_lock(self, rule: LockRule, below: str) -> FaultyStore:
        """The store with another lock, in front of which the same faults stand."""
        return FaultyStore(self.inner.with_lock(rule, below), self.faults)  # type: ignore[attr-defined]

    def close(self) -> None:
        """As the store's own."""
        self.inner.close()


class FaultyUpload:
    """An Upload in front of another."""

    def __init__(self, inner: Upload, faults: Faults, path: str) -> None:
        self._inner = inner
        self._faults = faults
        self._path = path

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """A part that may be lost."""
        fault = self._faults.meet("write", self._path)
        if fault != "lose":
            self._inner.write(part)
        self._faults.end("write", fault)

    def commit(self) -> None:
        """A commit that may be lost: the object is said to be there, and is not."""
        fault = self._faults.meet("commit", self._path)
        if fault == "lose":
            self._inner.abort()
        else:
            self._inner.commit()
        self._faults.end("commit", fault)

    def abort(self) -> None:
        """As the store's own."""
        fault = self._faults.meet("abort", self._path)
        self._inner.abort()
        self._faults.end("abort", fault)


class FaultySnapshots:
    """A SnapshotKind in front of another. Methods to order for: snapshots pending_copies snapshot_rooms
    sources cut copy find check_key expire now locks lock share unshare shared check_restore advance made discard.

    Black holes are by region; a copy is lost with either of its regions.
    """

    def __init__(self, inner: SnapshotKind, faults: Faults | None = None) -> None:
        self.inner = inner
        self.faults = faults or Faults()
        self.kind = inner.kind
        self.service = inner.service
        self.repeatable_cut = inner.repeatable_cut
        self.clock = timedelta()
        self._stale_passes = 0
        self._seen: dict[tuple[str, str, str], tuple[NativeSnapshot, ...]] = {}

    def stale(self, passes: int) -> None:
        """The next `passes` listings answer as the same listing did before; one never asked before answers truly."""
        self._stale_passes = passes

    def snapshots(self, account: str, region: str, site: str) -> Iterator[NativeSnapshot]:
        """A listing that may be stale, or end half-way."""
        fault = self.faults.meet("snapshots", region)
        asked = (account, region, site)
        if self._stale_passes and asked in self._seen:
            self._stale_passes -= 1
            yield from self._seen[asked]
            return
        found = tuple(self.inner.snapshots(account, region, site))
        self._seen[asked] = found
        yield from _half_of(iter(found), fault, "snapshots")

    def pending_copies(self, account: str, region: str) -> Iterator[PendingCopy]:
        """A listing that may end half-way."""
        fault = self.faults.meet("pending_copies", region)
        found = self.inner.pending_copies(account, region) if isinstance(self.inner, CountsCopies) else iter(())
        yield from _half_of(found, fault, "pending_copies")

    def snapshot_rooms(self, account: str, region: str) -> Mapping[str, SnapshotRoom]:
        """A count that may fail."""
        self.faults.end("snapshot_rooms", self.faults.meet("snapshot_rooms", region))
        return self.inner.snapshot_rooms(account, region) if isinstance(self.inner, CountsSnapshots) else {}

    def sources(self, account: str, region: str, options: Sequence[object]) -> Iterator[Source]:
        """A listing that may end half-way."""
        fault = self.faults.meet("sources", region)
        yield from _half_of(self.inner.sources(account, region, options), fault, "sources")

    def select(self, options: object, sources: Sequence[Source]) -> tuple[Source, ...]:
        """As the kind's own: it is pure."""
        return self.inner.select(options, sources)

    def creating_calls(self, sources: Sequence[Source]) -> tuple[tuple[Source, ...], ...]:
        """As the kind's own: it is pure."""
        return self.inner.creating_calls(sources)

    def cut(self, order: CutOrder, call: int) -> tuple[NativeSnapshot, ...]:
        """A cut whose reply may be lost."""
        fault = self.faults.meet("cut", order.region, order.tags.get(TAG_APPLICATION, ""))
        made = self.inner.cut(order, call)
        self.faults.end("cut", fault)
        return made

    def copy(self, order: CopyOrder) -> NativeSnapshot:
        """A copy whose reply may be lost."""
        fault = self.faults.meet("copy", order.region, order.tags.get(TAG_APPLICATION, ""))
        self.faults.meet("copy source", order.from_region)
        made = self.inner.copy(order)
        self.faults.end("copy", fault)
        return made

    def find(self, account: str, region: str, point: str) -> tuple[NativeSnapshot, ...]:
        """A look that may fail."""
        self.faults.end("find", self.faults.meet("find", region))
        return self.inner.find(account, region, point)

    def share(self, order: CopyOrder) -> None:
        """A permission whose reply may be lost."""
        fault = self.faults.meet("share", order.from_region)
        if fault != "lose":
            self._sharing.share(order)
        self.faults.end("share", fault)

    def unshare(self, account: str, region: str, native_id: str, other: str) -> None:
        """Taking it back may be lost, with or without saying so."""
        fault = self.faults.meet("unshare", region, native_id)
        if fault != "lose":
            self._sharing.unshare(account, region, native_id, other)
        self.faults.end("unshare", fault)

    def shared(self, account: str, region: str, site: str, other: str) -> Iterator[str]:
        """A listing that may end half-way."""
        fault = self.faults.meet("shared", region)
        yield from _half_of(self._sharing.shared(account, region, site, other), fault, "shared")

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """A look that may fail."""
        self.faults.end("check_restore", self.faults.meet("check_restore", order.region))
        return self._restoring.check_restore(order)

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """What is made may be made, and its reply lost."""
        fault = self.faults.meet("advance", order.region)
        made = self._restoring.advance(order)
        self.faults.end("advance", fault)
        return made

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """A listing that may fail."""
        self.faults.end("made", self.faults.meet("made", region))
        return self._restoring.made(account, region, tag, restore)

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """A deletion whose reply may be lost."""
        fault = self.faults.meet("discard", region)
        left = self._restoring.discard(account, region, tag, restore)
        self.faults.end("discard", fault)
        return left

    @property
    def _restoring(self) -> RestoresSnapshots:
        assert isinstance(self.inner, RestoresSnapshots)
        return self.inner

    @property
    def _sharing(self) -> SharesSnapshots:
        assert isinstance(self.inner, SharesSnapshots)
        return self.inner

    def check_key(self, account: str, region: str, key: str) -> None:
        """A look that may fail."""
        self.faults.end("check_key", self.faults.meet("check_key", region))
        self.inner.check_key(account, region, key)

    def now(self, account: str, region: str) -> datetime:
        """The provider's clock; `clock` turns it by so much."""
        self.faults.meet("now", region)
        return self.inner.now(account, region) + self.clock

    def locks(self, account: str, region: str, native_ids: Sequence[str] = ()) -> Mapping[str, ObjectLock]:
        """A look that may fail."""
        self.faults.end("locks", self.faults.meet("locks", region))
        return self.inner.locks(account, region, native_ids) if isinstance(self.inner, TellsLocks) else {}

    def lock(self, account: str, region: str, native_id: str, mode: LockMode, until: datetime) -> None:
        """A lock that may be lost, with or without saying so."""
        fault = self.faults.meet("lock", region, native_id)
        assert isinstance(self.inner, LocksCopies)
        if fault != "lose":
            self.inner.lock(account, region, native_id, mode, until)
        self.faults.end("lock", fault)

    def expire(self, account: str, region: str, native_id: str) -> None:
        """A deletion that may be lost, with or without saying so."""
        fault = self.faults.meet("expire", region, native_id)
        if fault != "lose":
            self.inner.expire(account, region, native_id)
        self.faults.end("expire", fault)


def _half_of(items: Iterator[_Item], fault: Fault | None, method: str) -> Iterator[_Item]:
    if fault != "half":
        yield from items
        return
    whole = list(items)
    yield from whole[: len(whole) // 2]
    raise Unavailable("the listing ended half-way, as ordered", operation=method)
