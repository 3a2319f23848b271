"""The public fake: a store in this process's memory, true to the whole contract. For tests, of ours and of others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from drorch.domain.errors import AlreadyExists, NotFound, Refused
from drorch.domain.model import FailureDomain
from drorch.ports import ObjectInfo, StoreLimits, check_path
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


class MemoryStore:
    """An ObjectStore over a dict: path -> (bytes, time of writing by `now`). Safe for threads."""

    def __init__(
        self,
        vault: str = "memory",
        *,
        now: Callable[[], datetime] | None = None,
        limits: StoreLimits | None = None,
    ) -> None:
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self._now = now or (lambda: datetime.now(UTC))
        self._lock = threading.Lock()

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

    def stat(self, path: str) -> ObjectInfo:
        """One object's facts."""
        body, modified = self._object(path, "stat")
        return ObjectInfo(path, len(body), modified)

    def read(self, path: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes as they are now; a later overwrite does not show."""
        body, _ = self._object(path, "read")
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
            self.objects[path] = (bytes(body), self._now())

    def upload(self, path: str) -> MemoryUpload:
        """Begin an upload; its bytes are kept aside until commit."""
        return MemoryUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """Remove it, if it is there."""
        check_path(path, vault=self.vault)
        with self._lock:
            self.objects.pop(path, None)

    def close(self) -> None:
        """Nothing to release; what it holds stays."""

    def _object(self, path: str, operation: str) -> tuple[bytes, datetime]:
        check_path(path, vault=self.vault)
        with self._lock:
            if path in self.objects:
                return self.objects[path]
        raise NotFound("there is no such object", operation=operation, vault=self.vault, resource=path)


class MemoryUpload:
    """An upload whose parts lie aside until `commit`."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._body = bytearray()

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Keep a copy of the part."""
        self._parts.add(len(part))
        self._body += part

    def commit(self) -> None:
        """Show it at its path, write-once."""
        self._parts.commit()
        body, self._body = bytes(self._body), bytearray()
        self._store.put(self._path, body)

    def abort(self) -> None:
        """Forget the parts."""
        self._parts.end("it was given up")
        self._body = bytearray()
