"""The public fake: a store in this process's memory, true to the whole contract. For tests, of ours and of others."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from pydantic import BaseModel, ConfigDict, Field

from drorch.domain import layout
from drorch.domain.errors import AlreadyExists, NotFound, NotInThisVersion, Refused
from drorch.domain.instant import to_text
from drorch.domain.model import FailureDomain, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import Parts

CHUNK = 1024 * 1024


class Options(BaseModel):
    """`{type: memory, provider: ..., region: ...}`; what it holds is gone with the process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(default="memory", min_length=1)
    region: str = Field(default="memory", min_length=1)

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider=self.provider, region=self.region)


def open_store(name: str, options: Options) -> MemoryStore:
    """A new, empty store; there is nothing outside this process that two could share."""
    del options
    return MemoryStore(name)


def from_url(url: str) -> Options:
    """``memory:``, nothing else. Raises Refused."""
    if url != "memory:":
        raise Refused(f"{url!r} is not a memory vault", hint="memory:")
    return Options()


@dataclass(slots=True)
class _Version:
    """One version; `body` None is a delete marker."""

    body: bytes | None
    at: datetime
    name: str
    lock: ObjectLock | None = None


class MemoryStore:
    """An ObjectStore over a dict: path -> (bytes, time of writing by `now`). Safe for threads.

    `versioned` keeps every version, as a bucket with versioning does: what `plant` writes over an object and what
    `hide` deletes leave the versions from before. With a `lock` (which needs versions) nothing locked is ever deleted.
    """

    def __init__(
        self,
        vault: str = "memory",
        *,
        now: Callable[[], datetime] | None = None,
        limits: StoreLimits | None = None,
        versioned: bool = False,
        lock: LockRule | None = None,
    ) -> None:
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.lock = lock
        self.versioned = versioned or lock is not None
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self._now = now or (lambda: datetime.now(UTC))
        self._lock = threading.RLock()
        self._versions: dict[str, list[_Version]] = {}
        self._pending: dict[str, PendingUpload] = {}
        self._count = count(1)
        self._lockable = layout.lockable

    def now(self) -> datetime:
        """By the clock it was given."""
        return self._now()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As they were when the listing began."""
        check_path(prefix + "x", vault=self.vault)
        with self._lock:
            found = [
                ObjectInfo(path, len(body), modified)
                for path, (body, modified) in self.objects.items()
                if path.startswith(prefix)
            ]
        return iter(found)

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version, as they were when the listing began."""
        if not self.versioned:
            return (ObjectVersion(info.path, info.size, info.modified) for info in self.list(prefix))
        with self._lock:
            found = [
                ObjectVersion(path, len(version.body or b""), version.at, version.name, version.body is None)
                for path, versions in sorted(self._versions.items())
                if path.startswith(prefix)
                for version in versions
            ]
        return iter(found)

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts."""
        body, modified = self._object(path, "stat")
        return ObjectInfo(path, len(body), modified)

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """The bytes as they are now; a later overwrite does not show."""
        body = self._version(path, version) if version else self._object(path, "read")[0]
        if start > len(body):
            raise Refused("it ends before the first byte asked for", operation="read", vault=self.vault, resource=path)
        end = len(body) if length is None else min(len(body), start + length)
        return (body[at : min(at + CHUNK, end)] for at in range(start, end, CHUNK))

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Write it whole."""
        check_path(path, vault=self.vault)
        with self._lock:
            if path in self.objects and not overwrite:
                raise AlreadyExists("it exists already", operation="put", vault=self.vault, resource=path)
            self._write(path, bytes(body), locked=not overwrite and self._lockable(path))

    def upload(self, path: str) -> MemoryUpload:
        """Begin an upload; its bytes are kept aside until commit."""
        return MemoryUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """Remove it with all its versions, if it is there."""
        check_path(path, vault=self.vault)
        with self._lock:
            locks = [v.lock.until for v in self._versions.get(path, ()) if v.lock is not None]
            if any(self._now() < until for until in locks):
                cause = f"locked until {to_text(max(locks))}"
                raise Refused("it is locked", operation="delete", vault=self.vault, resource=path, cause=cause)
            self.objects.pop(path, None)
            self._versions.pop(path, None)

    def lock_of(self, path: str) -> ObjectLock | None:
        """The lock of the current version."""
        self._object(path, "lock_of")
        with self._lock:
            return self._versions[path][-1].lock if self.versioned else None

    def extend_lock(self, path: str, until: datetime) -> None:
        """Never shorter than it is."""
        self._object(path, "extend_lock")
        if self.lock is None:
            raise NotInThisVersion("this vault has no locks", operation="extend_lock", vault=self.vault, resource=path)
        with self._lock:
            version = self._versions[path][-1]
            longest = until if version.lock is None else max(until, version.lock.until)
            version.lock = ObjectLock(self.lock.mode, longest)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """Uploads that were neither committed nor given up."""
        with self._lock:
            return iter([upload for upload in self._pending.values() if upload.path.startswith(prefix)])

    def abort_upload(self, upload: PendingUpload) -> None:
        """Forget it, if it is there."""
        with self._lock:
            self._pending.pop(upload.handle, None)

    def with_lock(self, rule: LockRule, below: str) -> MemoryStore:
        """The same store, which locks by `rule` what is written once below the prefix `below`, and nothing else."""
        other = copy.copy(self)
        other.lock, other._lockable = rule, lambda path: path.startswith(below)
        return other

    def close(self) -> None:
        """Nothing to release; what it holds stays."""

    # --- what an attacker does, who holds the vault's own keys

    def plant(self, path: str, body: bytes) -> None:
        """Write over whatever is there: a newer version where there are versions."""
        with self._lock:
            self._write(path, body, locked=False)

    def hide(self, path: str) -> None:
        """Delete without naming a version: a delete marker where there are versions."""
        with self._lock:
            self.objects.pop(path, None)
            if self.versioned and path in self._versions:
                self._versions[path].append(_Version(None, self._now(), self._next()))

    # --- inside

    def begin(self, path: str) -> str:
        """Note an upload that is under way; its handle."""
        with self._lock:
            handle = self._next()
            self._pending[handle] = PendingUpload(path, self._now(), handle)
            return handle

    def end(self, handle: str) -> None:
        """The upload is not under way any more."""
        with self._lock:
            self._pending.pop(handle, None)

    def _next(self) -> str:
        return f"v{next(self._count)}"

    def _write(self, path: str, body: bytes, *, locked: bool) -> None:
        at = self._now()
        self.objects[path] = (body, at)
        if self.versioned:
            lock = ObjectLock(self.lock.mode, at + self.lock.for_) if locked and self.lock is not None else None
            self._versions.setdefault(path, []).append(_Version(body, at, self._next(), lock))

    def _object(self, path: str, operation: str) -> tuple[bytes, datetime]:
        check_path(path, vault=self.vault)
        with self._lock:
            if path in self.objects:
                return self.objects[path]
        raise NotFound("there is no such object", operation=operation, vault=self.vault, resource=path)

    def _version(self, path: str, name: str) -> bytes:
        with self._lock:
            body = next((v.body for v in self._versions.get(path, ()) if v.name == name), None)
        if body is None:
            raise NotFound("there is no such version", operation="read", vault=self.vault, resource=path)
        return body


class MemoryUpload:
    """An upload whose parts lie aside until `commit`."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._body = bytearray()
        self._handle = store.begin(path)

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Keep a copy of the part."""
        self._parts.add(len(part))
        self._body += part

    def commit(self) -> None:
        """Show it at its path, write-once."""
        self._parts.commit()
        body, self._body = bytes(self._body), bytearray()
        self._store.end(self._handle)
        self._store.put(self._path, body)

    def abort(self) -> None:
        """Forget the parts."""
        self._parts.end("it was given up")
        self._body = bytearray()
        self._store.end(self._handle)
