"""Azure Blob Storage.

Write-once is `If-None-Match: *` on Put Blob and Put Block List
(https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations). Each
write carries a token in the blob's metadata, so that after a lost reply a look tells our object from another's. Large
objects are staged as blocks (`blocks`); Azure compares the MD5 of every request's body.

Where versioning is on, what was written over or deleted is a version that is not current
(https://learn.microsoft.com/azure/storage/blobs/versioning-overview); Azure has no delete markers, a path without a
current version shows as one. Locks are version-level immutability (`locks`).
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drorch.domain import layout
from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.guide import StockTool
from drorch.domain.model import FailureDomain, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import Prefix, StoreClock, lock_from, unsettled
from drorch.stores.azure import blocks, locks, replies, stock
from drorch.stores.azure.credentials import container_client
from drorch.stores.azure.errors import mapped, status_of
from drorch.stores.azure.upload import AzureUpload

SPAN = 4 * 1024 * 1024
"""Bytes of one request for a part of an object: held in memory as a whole."""
ATTEMPTS = 5
"""Attempts at one call while Azure fails or cannot be reached: for about twenty seconds."""
MAX_BLOCKS = 50_000
"""https://learn.microsoft.com/rest/api/storageservices/put-block-list"""
TOKEN = "drorch_write"  # noqa: S105  (the name of a metadata field)
_BYTES = "application/octet-stream"


class Options(BaseModel):
    """`{type: azure, account_name: ..., container: ..., region: ...}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_name: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    container: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")
    region: str = Field(min_length=1)
    prefix: Prefix = ""
    lock: LockRule | None = None

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider="azure", region=self.region)

    @property
    def url(self) -> str:
        """What `from_url` reads."""
        return f"azure://{self.account_name}/{self.container}{f'/{self.prefix}' if self.prefix else ''}"

    @property
    def stock_tools(self) -> tuple[StockTool, ...]:
        """What people read the container with."""
        return stock.tools(self.account_name, self.container, self.prefix)


def open_store(name: str, options: Options, *, attempts: int = ATTEMPTS) -> AzureStore:
    """The container as a vault, with the credentials of this process; talks to nobody yet."""
    with mapped("azure client", resource=options.account_name, vault=name):
        client = container_client(name, options, attempts=attempts, span=SPAN)
    return AzureStore(name, client, options.prefix, lock=options.lock)


def from_url(url: str) -> Options:
    """``azure://account/container[/prefix]``. Raises Refused."""
    parts = urlsplit(url)
    shape = "azure://account/container[/prefix]"
    if parts.scheme != "azure" or parts.query or parts.fragment:
        raise Refused(f"{url!r} is not the address of an Azure container", hint=shape)
    container, _, prefix = parts.path.removeprefix("/").partition("/")
    try:
        return Options(account_name=parts.netloc, container=container, prefix=prefix, region="unknown")
    except ValidationError as error:
        wrong = "; ".join(str(found["msg"]) for found in error.errors())
        raise Refused(f"{url!r} is not the address of an Azure container", cause=wrong, hint=shape) from error


class AzureStore:
    """An ObjectStore over a container. Safe for threads."""

    def __init__(
        self,
        vault: str,
        client: Any,
        prefix: str = "",
        *,
        limits: StoreLimits | None = None,
        lock: LockRule | None = None,
    ) -> None:
        self.vault = vault
        self.limits = limits or StoreLimits(max_parts=MAX_BLOCKS)
        self.lock = lock
        self._client = client
        self._prefix = f"{prefix}/" if prefix else ""
        self._lockable = layout.lockable
        self._clock = StoreClock(self._ask_time)

    def now(self) -> datetime:
        """The Date header of a listing of at most one blob: whole seconds, cut off."""
        return self._clock.now()

    def reckoned(self) -> datetime:
        """The present as far as the ends of locks need it: see `StoreClock`."""
        return self._clock.reckoned()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List Blobs, page by page."""
        check_path(prefix + "x", vault=self.vault)
        for blob in self.blobs(prefix, []):
            with self.legible("azure List Blobs", prefix):
                found = replies.info(self.path(blob.name), blob)
            yield found

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """List Blobs with versions: every version; after those of a path that shows none of them, a marker."""
        check_path(prefix + "x", vault=self.vault)
        for name, same_name in groupby(self.blobs(prefix, ["versions"]), key=lambda blob: blob.name):
            path = self.path(name)
            with self.legible("azure List Blobs", prefix):
                found = sorted(same_name, key=lambda blob: (replies.current(blob), str(blob.version_id or "")))
                kept = [replies.version(path, blob) for blob in found]
                shown = replies.current(found[-1])
            yield from kept
            if not shown:
                yield ObjectVersion(path, 0, kept[-1].modified, marker=True)

    def stat(self, path: str) -> ObjectInfo:
        """Get Blob Properties."""
        return replies.info(path, self.facts(path))

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """Ranged Get Blob, `SPAN` bytes at a time; the SDK asks again for one that broke, on the same object only.

        The first reply says where it ends: one that comes after it does not change that.
        """
        check_path(path, vault=self.vault)
        if length == 0:
            self._check_start(path, start, version)
            return
        named: dict[str, Any] = {"version_id": version} if version else {}
        first = SPAN if length is None else min(SPAN, length)
        chunk, span, etag = self._get(path, start, first, named)
        with self.legible("azure Get Blob", path):
            size = replies.total(span) if span else start
        end = size if length is None else min(size, start + length)
        named |= self.unchanged(etag)
        while start < end:
            if len(chunk) != min(SPAN, end - start):
                raise Unavailable("the stream ended before its announced end", **self._where("azure Get Blob", path))
            start += len(chunk)
            yield chunk
            if start < end:
                chunk, _, _ = self._get(path, start, min(SPAN, end - start), named)

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """Put Blob, with a lock where the vault has one; then Get Blob Properties must show it."""
        check_path(path, vault=self.vault)
        token = secrets.token_hex(16)
        lock = None if overwrite else self.lock_for(path)
        try:
            try:
                self._put_blob(path, body, token, lock, overwrite=overwrite)
            except AlreadyExists:
                if overwrite or not self._absent(path):
                    raise
                self._put_block(path, body, token, lock)
        except (AlreadyExists, OutcomeUnknown) as error:
            self.look(path, token, error)
        if lock is not None:
            locks.require(self, path, lock, self.facts(path), "azure Put Blob")

    def upload(self, path: str) -> AzureUpload:
        """Staged blocks, begun with the second part; a single part goes in one Put Blob."""
        return AzureUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """Delete Blob of every version, the newest first: what a lock refuses is what was first.

        A deletion of what the path shows makes it a version that is not current, locked or not: so it is looked at.
        """
        check_path(path, vault=self.vault)
        with suppress(NotFound):
            locks.require_none(self, path, self.facts(path))
            self._delete(path, "")
        name = self.name(path)
        found = [blob.version_id for blob in self.blobs(path, ["versions"]) if blob.name == name and blob.version_id]
        for version in sorted(found, reverse=True):
            with suppress(NotFound):
                self._delete(path, version)

    def lock_of(self, path: str) -> ObjectLock | None:
        """Get Blob Properties."""
        return locks.of_blob(self.facts(path))

    def extend_lock(self, path: str, until: datetime) -> None:
        """Set Blob Immutability Policy, read back."""
        locks.extend(self, path, until)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """List Blobs with uncommitted ones, then Get Block List of each."""
        check_path(prefix + "x", vault=self.vault)
        return blocks.pending(self, prefix)

    def abort_upload(self, upload: PendingUpload) -> None:
        """Discard its blocks, unless another upload to the same path has some there: Azure does within a week."""
        blocks.drop(self, check_path(upload.path, vault=self.vault), upload.handle)

    def with_lock(self, rule: LockRule, below: str) -> AzureStore:
        """The same container, which locks by `rule` what is written once below the prefix `below`, and nothing else."""
        other = copy.copy(self)
        other.lock, other._lockable = rule, lambda path: path.startswith(below)
        return other

    def lock_for(self, path: str) -> ObjectLock | None:
        """What an object that is written once at `path`, now, is to be locked with."""
        if self.lock is None or not self._lockable(path):
            return None
        return lock_from(self.lock, self.reckoned())

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def blob(self, path: str) -> Any:
        """The SDK's client of one blob, over the connections of the container's."""
        return self._client.get_blob_client(self.name(path))

    def name(self, path: str) -> str:
        """The blob's name. Azure takes a backslash for a slash: it is escaped, and so is what escapes it."""
        return self._prefix + path.replace("%", "%25").replace("\\", "%5C")

    def path(self, name: str) -> str:
        """The path of a blob."""
        return name.removeprefix(self._prefix).replace("%5C", "\\").replace("%25", "%")

    def blobs(self, prefix: str, include: Sequence[str]) -> Iterator[Any]:
        """List Blobs, page by page: by name. The SDK asks for the next page by what the last one said of itself."""
        beginning = self.name(prefix)
        with self.mapped("azure List Blobs", prefix):
            blobs = self._client.list_blobs(
                name_starts_with=beginning, include=list(include), results_per_page=self.limits.page
            )
            found = iter(blobs)
        while True:
            with self.legible("azure List Blobs", prefix), self.mapped("azure List Blobs", prefix):
                blob = next(found, None)
            if blob is None:
                return
            if not str(blob.name).startswith(beginning):
                raise Unavailable("the listing is of another prefix", **self._where("azure List Blobs", prefix))
            yield blob

    def facts(self, path: str, version: str = "") -> Any:
        """The blob's properties as they are now, of the current version unless one is named.

        Whatever is read of them later can be read.
        """
        check_path(path, vault=self.vault)
        named = {"version_id": version} if version else {}
        with self.legible("azure Get Blob Properties", path):
            with self.mapped("azure Get Blob Properties", path):
                blob = self.blob(path).get_blob_properties(**named)
            replies.check(blob)
        return blob

    def look(self, path: str, token: str, error: DrorchError) -> None:
        """After a lost reply, or a refusal that may answer the SDK's own repetition: fine if what is there is ours.

        Else raises `error`, or AlreadyExists; OutcomeUnknown where nothing (yet) is there or the look fails;
        Unavailable where what was there is only what `blocks.drop` left, which is taken away.
        """
        try:
            found = self.facts(path)
        except DrorchError as unseen:
            raise unsettled(error, unseen) from error.__cause__
        if (found.metadata or {}).get(TOKEN) == token:
            return
        if blocks.take_away(self, path, found):
            raise Unavailable(
                "the path was covered to discard blocks; it is free again", **self._where(error.operation, path)
            ) from error
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists("another writer was first", **self._where(error.operation, path)) from error

    def mapped(self, operation: str, path: str, *, mutates: bool = False) -> AbstractContextManager[None]:
        """Our errors for Azure's, with this vault's name."""
        return mapped(operation, resource=path, vault=self.vault, mutates=mutates)

    def legible(self, operation: str, path: str) -> AbstractContextManager[None]:
        """Unavailable, with this vault's name, where a field of a reply cannot be read."""
        return replies.legible(operation, resource=path, vault=self.vault)

    @staticmethod
    def written(token: str) -> dict[str, Any]:
        """The parameters of every request that makes an object."""
        from azure.storage.blob import ContentSettings

        return {"metadata": {TOKEN: token}, "content_settings": ContentSettings(content_type=_BYTES)}

    @staticmethod
    def unchanged(etag: str) -> dict[str, Any]:
        """The condition that a blob is still the one that had this ETag."""
        from azure.core import MatchConditions

        return {"etag": etag, "match_condition": MatchConditions.IfNotModified}

    def _put_blob(self, path: str, body: bytes, token: str, lock: ObjectLock | None, *, overwrite: bool) -> None:
        with locks.hinted(lock), self.mapped("azure Put Blob", path, mutates=True):
            self.blob(path).upload_blob(
                bytes(body),
                length=len(body),
                overwrite=overwrite,
                validate_content=True,
                **self.written(token),
                **locks.of_request(lock),
            )

    def _put_block(self, path: str, body: bytes, token: str, lock: ObjectLock | None) -> None:
        """Past another upload's blocks, for which Put Blob may take the path for taken: one block of our own."""
        names = [blocks.block_id(self.reckoned(), token, 0)] if body else []
        for name in names:
            blocks.stage(self, path, name, bytes(body))
        blocks.commit(self, path, names, token, lock)

    def _absent(self, path: str) -> bool:
        try:
            self.facts(path)
        except NotFound:
            return True
        return False

    def _ask_time(self) -> datetime:
        operation = "azure List Blobs"
        told: list[str] = []

        def hook(reply: Any) -> None:
            told.append(reply.http_response.headers.get("Date", ""))

        with self.legible(operation, ""), self.mapped(operation, ""):
            pages = self._client.list_blobs(name_starts_with=self._prefix, results_per_page=1, raw_response_hook=hook)
            next(pages.by_page(), None)
        try:
            return parsedate_to_datetime(told[-1]).astimezone(UTC)
        except (LookupError, ValueError, OverflowError) as error:
            raise Unavailable("the reply does not tell the time", **self._where(operation, "")) from error

    def _get(self, path: str, start: int, length: int, named: dict[str, Any]) -> tuple[bytes, str, str]:
        """(bytes, their span, ETag) of one request; nothing and no span when there is nothing at and after `start`."""
        operation = "azure Get Blob"
        try:
            with self.legible(operation, path), self.mapped(operation, path):
                reply = self.blob(path).download_blob(offset=start, length=length, max_concurrency=1, **named)
                return reply.readall(), str(reply.properties.content_range), str(reply.properties.etag)
        except AlreadyExists as error:  # 412
            raise Unavailable("it was replaced while it was read", **self._where(operation, path)) from error
        except NotFound:
            raise
        except Refused as error:
            if status_of(error.__cause__) != 416:
                raise
        if "etag" in named:  # it was there a moment ago
            raise Unavailable("it ends before its announced end", **self._where(operation, path))
        self._check_start(path, start, named.get("version_id", ""))
        return b"", "", ""

    def _delete(self, path: str, version: str) -> None:
        named = {"version_id": version} if version else {}
        try:
            with self.mapped("azure Delete Blob", path, mutates=True):
                self.blob(path).delete_blob(**named)
        except NotFound:
            raise
        except Refused as error:
            raise locks.refused(self, path, version, error) from error

    def _check_start(self, path: str, start: int, version: str) -> None:
        if start > self.facts(path, version).size:
            raise Refused("it ends before the first byte asked for", **self._where("azure Get Blob", path))

    def _where(self, operation: str, path: str) -> dict[str, str]:
        return {"operation": operation, "vault": self.vault, "resource": path}
