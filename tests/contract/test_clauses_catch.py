"""The contract itself under test: for each way to be a bad store, some clause names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from drorch.app.store_contract import CLAUSES, check_store
from drorch.domain.errors import AlreadyExists, NotFound, OutcomeUnknown
from drorch.domain.model import LockMode, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload
from drorch.stores import memory
from drorch.stores.memory import MemoryStore, MemoryUpload


class PutReplaces(MemoryStore):
    """Ignores If-None-Match on PutObject, as s3rver does."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=True)


class PutLooksFirst(MemoryStore):
    """Write-once by looking first: what a store without conditions might do; racers all win."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        if not overwrite and path in self.objects:
            raise AlreadyExists("there")
        self._barrier_of_racers(path)
        super().put(path, body, overwrite=True)

    def _barrier_of_racers(self, path: str) -> None:
        if "racing" in path:
            self._race.wait(5)

    def __init__(self) -> None:
        super().__init__()
        import threading

        self._race = threading.Barrier(8)


class PutOfSameBytesIsFine(MemoryStore):
    """Takes a second put for the first when the bytes agree."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        if not overwrite and path in self.objects and self.objects[path][0] == body:
            return
        super().put(path, body, overwrite=overwrite)


class NeverOverwrites(MemoryStore):
    """Ignores that an overwrite was asked for."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        if not (overwrite and path in self.objects):
            super().put(path, body)


class _Visible(MemoryUpload):
    def write(self, part: bytes | bytearray | memoryview) -> None:
        super().write(part)
        self._store.objects[self._path] = (bytes(self._body), self._store._now())

    def commit(self) -> None:
        self._parts.commit()


class VisibleAtOnce(MemoryStore):
    """Shows an upload while it runs."""

    def upload(self, path: str) -> MemoryUpload:
        return _Visible(self, path)


class _Borrowing(MemoryUpload):
    def __init__(self, store: MemoryStore, path: str) -> None:
        super().__init__(store, path)
        self._borrowed: list[bytes | bytearray | memoryview] = []

    def write(self, part: bytes | bytearray | memoryview) -> None:
        self._parts.add(len(part))
        self._borrowed.append(part)

    def commit(self) -> None:
        self._body += b"".join(self._borrowed)
        super().commit()


class KeepsTheCallersBuffer(MemoryStore):
    """Looks at a part again after `write` returned."""

    def upload(self, path: str) -> MemoryUpload:
        return _Borrowing(self, path)


class _Undying(MemoryUpload):
    def abort(self) -> None:
        self._store.put(self._path, bytes(self._body), overwrite=True)


class AbortCommits(MemoryStore):
    """Leaves what an aborted upload had sent."""

    def upload(self, path: str) -> MemoryUpload:
        return _Undying(self, path)


class _Littering(MemoryUpload):
    def abort(self) -> None:
        self._parts.end("it was given up")


class AbortLeavesParts(MemoryStore):
    """Gives an upload up, and keeps what it had sent: it is billed for ever."""

    def upload(self, path: str) -> MemoryUpload:
        return _Littering(self, path)


class ListsOnce(MemoryStore):
    """Goes on with a listing where the last one of the prefix was left."""

    def __init__(self) -> None:
        super().__init__()
        self._under_way: dict[str, Iterator[ObjectInfo]] = {}

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        going_on = self._under_way.setdefault(prefix, iter(list(super().list(prefix))))
        yield from going_on
        self._under_way.pop(prefix, None)


class _Lossy(MemoryUpload):
    def commit(self) -> None:
        del self._body[-1:]
        super().commit()


class LosesTheLastByte(MemoryStore):
    """Stores uploads one byte short."""

    def upload(self, path: str) -> MemoryUpload:
        return _Lossy(self, path)


class ListsThousand(MemoryStore):
    """Ends a listing after its first page."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(list(super().list(prefix))[:15])


class EndsWithItsFirstPage(MemoryStore):
    """Never asks for the second page."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(list(super().list(prefix))[: self.limits.page])


class DecodesNames(MemoryStore):
    """Unquotes the names it lists, as some S3-compatible stores do."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in super().list(prefix):
            yield ObjectInfo(found.path.replace("%2F", "/").replace("+", " "), found.size, found.modified)


class ListsLate(MemoryStore):
    """Shows new objects from the second listing on."""

    def __init__(self) -> None:
        super().__init__()
        self._listed: set[str] = set()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in super().list(prefix):
            if found.path in self._listed:
                yield found
            self._listed.add(found.path)


class IgnoresCase(MemoryStore):
    """A file system that takes `UPPER` for `upper`."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path.lower(), body, overwrite=overwrite)


class RangesAreIgnored(MemoryStore):
    """Answers a range with everything."""

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        return super().read(path, version=version)


class AbsentIsEmpty(MemoryStore):
    """Reads an absent object as an empty one."""

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        try:
            return super().read(path, start, length, version=version)
        except NotFound:
            return iter(())


class DeletingAbsentFails(MemoryStore):
    """Raises where deleting should be harmless."""

    def delete(self, path: str) -> None:
        self.stat(path)
        super().delete(path)


class NoEmptyObjects(MemoryStore):
    """Takes an empty object for none."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (found for found in super().list(prefix) if found.size)


class AnyPath(MemoryStore):
    """Does not look at paths."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        self.objects[path] = (body, self._now())


class _Unlimited(MemoryUpload):
    def write(self, part: bytes | bytearray | memoryview) -> None:
        self._body += part


class AnyPart(MemoryStore):
    """Does not look at the order and size of parts."""

    def upload(self, path: str) -> MemoryUpload:
        return _Unlimited(self, path)


class _Spoiling(MemoryUpload):
    def abort(self) -> None:
        self._store.spoilt.add(self._path)  # type: ignore[attr-defined]
        super().abort()

    def commit(self) -> None:
        if self._path in self._store.spoilt:  # type: ignore[attr-defined]
            raise OutcomeUnknown("the session of an earlier upload is in the way")
        super().commit()


class RemembersFailures(MemoryStore):
    """An aborted upload spoils the next one to the same path."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: set[str] = set()

    def upload(self, path: str) -> MemoryUpload:
        return _Spoiling(self, path)


class NoTimeZone(MemoryStore):
    """Tells naive times."""

    def stat(self, path: str) -> ObjectInfo:
        found = super().stat(path)
        return ObjectInfo(found.path, found.size, found.modified.replace(tzinfo=None))


class _WrongAtTheEnd(MemoryUpload):
    def commit(self) -> None:
        if len(self._body) == memory.StoreLimits().part_bytes:
            self._body.clear()
        super().commit()


class DropsAWholeLastPart(MemoryStore):
    """Finalises an upload that ends on a whole part without it."""

    def upload(self, path: str) -> MemoryUpload:
        return _WrongAtTheEnd(self, path)


class NaiveClock(MemoryStore):
    """Tells a time without a zone."""

    def now(self) -> datetime:
        return super().now().replace(tzinfo=None)


class WrongClock(MemoryStore):
    """Tells another time than the one by which it dates its objects."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=10)


class StoppedClock(MemoryStore):
    """Tells the time at which it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = super().now()

    def now(self) -> datetime:
        return self._opened


class Versioned(MemoryStore):
    def __init__(self) -> None:
        super().__init__(versioned=True)


class NewestFirst(Versioned):
    """Shows the versions of an object backwards."""

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        return reversed(list(super().history(prefix)))


class ReadsTheCurrentVersion(Versioned):
    """Reads whatever is there, whichever version was named."""

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        del version
        return super().read(path, start, length)


class HistoryOfOnePage(MemoryStore):
    """Ends a history early."""

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        return iter(list(super().history(prefix))[:2])


class DropsNoUpload(MemoryStore):
    """Says that an unfinished upload was dropped, and keeps it."""

    def abort_upload(self, upload: PendingUpload) -> None:
        del upload


class ForgetsThatUploadsEnd(MemoryStore):
    """Shows uploads that were committed long ago."""

    def end(self, handle: str) -> None:
        del handle


class DeletesWithAMarker(Versioned):
    """Hides what it is to delete, as DeleteObject without a version does."""

    def delete(self, path: str) -> None:
        self.hide(path)


LOCK = LockRule(for_=timedelta(days=35))


class Locking(MemoryStore):
    def __init__(self) -> None:
        super().__init__(lock=LOCK)

    def lock_now(self, path: str, lock: ObjectLock | None) -> None:
        self._versions[path][-1].lock = lock


class LocksEverything(Locking):
    """A bucket with a default retention: RESTORE.md and heads would stay for weeks."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        if self.lock_of(path) is None:
            self.lock_now(path, ObjectLock(LockMode.COMPLIANCE, self.now() + timedelta(days=35)))


class ClaimsALock(Locking):
    """Takes the words of a lock, and does nothing."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        self.lock_now(path, None)


class LocksForAnHour(Locking):
    """Its own retention wins over the one asked for."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        if (lock := self.lock_of(path)) is not None:
            self.lock_now(path, ObjectLock(lock.mode, lock.until + timedelta(hours=1)))


class LocksByGovernance(Locking):
    """Gives a lock that can be bypassed instead of the one asked for."""

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        super().put(path, body, overwrite=overwrite)
        if (lock := self.lock_of(path)) is not None:
            self.lock_now(path, ObjectLock(LockMode.GOVERNANCE, lock.until))


class DeletesWhatIsLocked(Locking):
    """Shows a lock, and deletes all the same."""

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)
        self._versions.pop(path, None)


class ShortensLocks(Locking):
    """Sets a lock to what was asked for last."""

    def extend_lock(self, path: str, until: datetime) -> None:
        self.lock_now(path, ObjectLock(LockMode.COMPLIANCE, until))


class ExtensionReplacesTheObject(Locking):
    """Takes the request for a lock as the object, as Swift's S3 does."""

    def extend_lock(self, path: str, until: datetime) -> None:
        super().extend_lock(path, until)
        self.put(path, b"<Retention/>", overwrite=True)
        self.lock_now(path, ObjectLock(LockMode.COMPLIANCE, until))


class _Unlocked(MemoryUpload):
    def commit(self) -> None:
        super().commit()
        self._store._versions[self._path][-1].lock = None


class LocksNoParts(Locking):
    """Loses the lock of an upload in parts, as moto does."""

    def upload(self, path: str) -> MemoryUpload:
        return _Unlocked(self, path)


BAD = {
    PutReplaces: {"write-once-put", "write-once-upload", "racing-creates"},
    PutLooksFirst: {"racing-creates"},
    PutOfSameBytesIsFine: {"write-once-put"},
    NeverOverwrites: {"overwrite", "consistency"},
    VisibleAtOnce: {"invisible", "write-once-upload", "abort"},
    KeepsTheCallersBuffer: {"large"},
    AbortCommits: {"abort"},
    LosesTheLastByte: {"large", "whole-parts"},
    ListsThousand: {"listing"},
    DecodesNames: {"listing"},
    ListsLate: {"consistency"},
    IgnoresCase: {"listing"},
    RangesAreIgnored: {"ranges"},
    AbsentIsEmpty: {"not-found"},
    DeletingAbsentFails: {"not-found"},
    NoEmptyObjects: {"empty"},
    AnyPath: {"illegal-paths"},
    AnyPart: {"wrong-parts", "most-parts"},
    AbortLeavesParts: {"abort"},
    ListsOnce: {"given-up"},
    EndsWithItsFirstPage: {"pages"},
    RemembersFailures: {"next-upload"},
    NoTimeZone: {"round-trip"},
    DropsAWholeLastPart: {"whole-parts"},
    NaiveClock: {"clock"},
    WrongClock: {"clock"},
    StoppedClock: {"clock"},
    NewestFirst: {"history"},
    ReadsTheCurrentVersion: {"history"},
    HistoryOfOnePage: {"history"},
    DropsNoUpload: {"abandoned"},
    ForgetsThatUploadsEnd: {"abandoned"},
    DeletesWithAMarker: {"gone"},
    LocksEverything: {"lock-overwritten"},
    ClaimsALock: {"lock", "lock-parts"},
    LocksForAnHour: {"lock"},
    LocksByGovernance: {"lock"},
    DeletesWhatIsLocked: {"lock", "lock-parts"},
    ShortensLocks: {"lock"},
    ExtensionReplacesTheObject: {"lock"},
    LocksNoParts: {"lock-parts"},
}


@pytest.mark.parametrize(("bad", "caught"), BAD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_bad_store_is_named_by_its_clauses(bad: type[MemoryStore], caught: set[str]) -> None:
    results = check_store(bad(), "drorch/v1/check/a/")
    failed = {result.name for result in results if not result.ok}
    assert caught <= failed
    assert all(result.detail for result in results if not result.ok)


def test_every_clause_can_fail() -> None:
    """A clause that no bad store breaks proves nothing."""
    assert {clause.name for clause in CLAUSES} == set().union(*BAD.values())


def test_a_store_that_locks_by_itself_is_written_to_no_further() -> None:
    """What a check writes would stay for as long as the bucket says."""
    store = LocksEverything()
    results = check_store(store, "drorch/v1/check/a/")
    assert [result.name for result in results] == ["lock-overwritten", "clean"]
    assert len(store.objects) == 1


def test_a_clock_that_is_off_is_told_with_both_times() -> None:
    (found,) = [result for result in check_store(WrongClock(), "drorch/v1/check/a/") if result.name == "clock"]
    assert re.fullmatch(r"its clock says \S+Z, and dates what was written in that moment \S+Z", found.detail)
