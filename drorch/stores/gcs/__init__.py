"""Google Cloud Storage.

Write-once is `ifGenerationMatch=0` (https://cloud.google.com/storage/docs/request-preconditions). Each write carries a
token in the object's metadata, so that after a lost reply a look tells our object from another's. Large objects go
through a resumable upload, pushed in chunks (https://cloud.google.com/storage/docs/performing-resumable-uploads); the
session belongs to its URL and ends by itself after a week: sessions cannot be listed. CRC-32C is compared in both
directions.

Every generation of an object is a version of it (https://cloud.google.com/storage/docs/object-versioning); GCS has no
delete markers, a path without a live generation shows as one. Locks are object retention (`locks`).

``STORAGE_EMULATOR_HOST`` reaches an emulator, without credentials.
"""

from __future__ import annotations

import base64
import copy
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drorch.domain import layout
from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.guide import StockTool
from drorch.domain.model import FailureDomain, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import Prefix, StoreClock, lock_from, unsettled
from drorch.stores.gcs import locks, replies, stock
from drorch.stores.gcs.errors import answered, mapped
from drorch.stores.gcs.session import Session
from drorch.stores.gcs.upload import GcsUpload, crc32c

CHUNK = 1024 * 1024
RESUMES = 3
"""How often one read is taken up again where its connection broke."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two bytes."""
PATIENCE = 60.0
"""Seconds for which one call is repeated while GCS fails or cannot be reached."""
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_LOCKING_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
"""What objects.patch asks for (https://cloud.google.com/storage/docs/json_api/v1/objects/patch)."""
_TOKEN = "drorch-write"  # noqa: S105  (the name of a metadata field)
_BYTES = "application/octet-stream"


class Options(BaseModel):
    """`{type: gcs, bucket: ..., region: ...}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")
    region: str = Field(min_length=1)
    prefix: Prefix = ""
    lock: LockRule | None = None

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider="gcp", region=self.region)

    @property
    def url(self) -> str:
        """What `from_url` reads."""
        return f"gs://{self.bucket}{f'/{self.prefix}' if self.prefix else ''}"

    @property
    def stock_tools(self) -> tuple[StockTool, ...]:
        """What people read the bucket with."""
        return stock.tools(self.bucket, self.prefix)


def open_store(name: str, options: Options, *, patience: float = PATIENCE) -> GcsStore:
    """The bucket as a vault, with the application default credentials; talks to nobody yet."""
    from google.auth.transport import requests
    from google.cloud.storage import Client

    transport: Any = requests
    with mapped("gcs client", resource=options.bucket, vault=name):
        credentials = _credentials(_SCOPE if options.lock is None else _LOCKING_SCOPE)
        client = Client(project=None, credentials=credentials)
        http = transport.AuthorizedSession(credentials)
    return GcsStore(name, client, http, options.bucket, options.prefix, patience=patience, lock=options.lock)


def _credentials(scope: str) -> Any:
    import google.auth
    from google.auth import credentials

    kinds: Any = credentials
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return kinds.AnonymousCredentials()
    return google.auth.default(scopes=[scope])[0]


def from_url(url: str) -> Options:
    """``gs://bucket[/prefix]``. Raises Refused."""
    parts = urlsplit(url)
    shape = "gs://bucket[/prefix]"
    if parts.scheme != "gs" or parts.query or parts.fragment:
        raise Refused(f"{url!r} is not the address of a GCS bucket", hint=shape)
    try:
        return Options(bucket=parts.netloc, prefix=parts.path, region="unknown")
    except ValidationError as error:
        wrong = "; ".join(str(found["msg"]) for found in error.errors())
        raise Refused(f"{url!r} is not the address of a GCS bucket", cause=wrong, hint=shape) from error


class GcsStore:
    """An ObjectStore over a bucket. Safe for threads."""

    def __init__(
        self,
        vault: str,
        client: Any,
        http: Any,
        bucket: str,
        prefix: str = "",
        *,
        patience: float = PATIENCE,
        limits: StoreLimits | None = None,
        lock: LockRule | None = None,
    ) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self.vault = vault
        self.limits = limits or StoreLimits(max_parts=2**31)  # a resumable upload counts no chunks
        self.http = http
        self._client = client
        self._bucket = client.bucket(bucket)
        self._prefix = f"{prefix}/" if prefix else ""
        host = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
        self._media = f"{host}/download/storage/v1/b/{bucket}/o/"
        self._objects = f"{host}/storage/v1/b/{bucket}/o"
        self.lock = lock
        self._lockable = layout.lockable
        self._clock = StoreClock(self._ask_time)
        self._asked = {"timeout": TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(patience)}

    def now(self) -> datetime:
        """The Date header of a listing of at most one object: whole seconds, cut off."""
        return self._clock.now()

    def reckoned(self) -> datetime:
        """The present as far as the ends of locks need it: see `StoreClock`."""
        return self._clock.reckoned()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """objects.list, page by page."""
        check_path(prefix + "x", vault=self.vault)
        for blob in self._blobs(prefix, "name,size,timeCreated"):
            with self.legible("gcs objects.list", prefix):
                found = replies.info(blob.name.removeprefix(self._prefix), blob)
            yield found

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """objects.list with `versions`: every generation; after those of a path that has no live one, a marker."""
        check_path(prefix + "x", vault=self.vault)
        blobs = self._blobs(prefix, "name,size,timeCreated,timeDeleted,generation", versions=True)
        for name, generations in groupby(blobs, key=lambda blob: blob.name):
            path = name.removeprefix(self._prefix)
            same_name = list(generations)
            with self.legible("gcs objects.list", prefix):
                ordered = sorted(same_name, key=replies.generation)
                kept = [replies.version(path, blob) for blob in ordered]
                gone = ordered[-1].time_deleted
            yield from kept
            if gone is not None:
                yield ObjectVersion(path, 0, gone.astimezone(UTC), marker=True)

    def stat(self, path: str) -> ObjectInfo:
        """objects.get."""
        return replies.info(path, self.facts(path))

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """A streamed download; a broken connection is taken up again where it broke, on the same object only.

        The first reply says where it ends: one that comes after it does not change that.
        An object read whole is compared with its CRC-32C: Damaged, after the last byte, when they differ.
        """
        check_path(path, vault=self.vault)
        if length == 0:
            self._check_start(path, start, self.facts(path, version).size)
            return
        at, wanted = start, None if length is None else start + length
        end: int | None = None
        whole, checksum = "", crc32c()
        generation: str | None = None
        resumes = 0
        while end is None or at < end:
            broken: DrorchError | None = None
            with closing(self._get(path, at, wanted if end is None else end, generation, version)) as reply:
                if end is None:
                    end, whole = self._extent(path, at, wanted, reply)
                    generation = reply.headers.get("x-goog-generation")
                try:
                    while at < end:
                        with self.mapped("gcs download", path):
                            chunk = reply.raw.read(min(CHUNK, end - at))
                        if not chunk:
                            break
                        at += len(chunk)
                        checksum.update(chunk)
                        yield chunk
                except Unavailable as error:
                    broken = error
            if at < end and (resumes := resumes + 1) > RESUMES:
                raise Unavailable(
                    f"the stream ended {end - at} bytes early, {resumes} times", **self._where("gcs download", path)
                ) from broken
        if whole and whole != base64.b64encode(checksum.digest()).decode():
            raise Damaged("what was read is not what GCS says it holds (CRC-32C)", **self._where("gcs download", path))

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """objects.insert in one request, with a lock where the vault has one; then objects.get must show it."""
        lock = None if overwrite else self.lock_for(path)
        blob, token = self.new(path, lock)
        condition = {} if overwrite else {"if_generation_match": 0}
        try:
            with locks.hinted(lock), self.mapped("gcs objects.insert", path, mutates=True):
                blob.upload_from_string(bytes(body), content_type=_BYTES, checksum="crc32c", **condition, **self._asked)
        except (AlreadyExists, OutcomeUnknown) as error:
            self.look(path, token, error)
        if lock is not None:
            locks.require(self, path, lock, self.facts(path), "gcs objects.insert")

    def upload(self, path: str) -> GcsUpload:
        """A resumable upload, begun with the second part; a single part goes in one request."""
        return GcsUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """objects.delete of every generation, the newest first: what a lock refuses is what was first."""
        check_path(path, vault=self.vault)
        name = self._prefix + path
        blobs = [blob for blob in self._blobs(path, "name,generation", versions=True) if blob.name == name]
        with self.legible("gcs objects.list", path):
            found = [replies.generation(blob) for blob in blobs]
        for generation in sorted(found, reverse=True):
            try:
                with suppress(NotFound), self.mapped("gcs objects.delete", path, mutates=True):
                    self._bucket.blob(name, generation=generation).delete(**self._asked)
            except Refused as error:
                raise locks.refused(self, path, str(generation), error) from error

    def lock_of(self, path: str) -> ObjectLock | None:
        """objects.get."""
        return locks.of_blob(self.facts(path))

    def extend_lock(self, path: str, until: datetime) -> None:
        """objects.patch, read back."""
        locks.extend(self, path, until)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """None: GCS lists no sessions. One that nobody ends is gone after a week, and costs nothing until then."""
        check_path(prefix + "x", vault=self.vault)
        return iter(())

    def abort_upload(self, upload: PendingUpload) -> None:
        """Nothing: there is none that `uploads` could have shown."""

    def with_lock(self, rule: LockRule, below: str) -> GcsStore:
        """The same bucket, which locks by `rule` what is written once below the prefix `below`, and nothing else."""
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
        self.http.close()

    def facts(self, path: str, generation: str = "") -> Any:
        """The object's metadata as it is now, of the live generation unless one is named.

        A missing bucket is not a missing object: Refused. Whatever is read of it later can be read.
        """
        check_path(path, vault=self.vault)
        blob = self._bucket.blob(self._prefix + path, generation=int(generation) if generation else None)
        try:
            with self.legible("gcs objects.get", path), self.mapped("gcs objects.get", path):
                blob.reload(**self._asked)
        except NotFound:
            self._check_bucket(path)
            raise
        with self.legible("gcs objects.get", path):
            replies.check(blob)
        return blob

    def patch(self, blob: Any, path: str) -> None:
        """objects.patch of what was changed in `blob`, whatever else happens to the object meanwhile: Refused then."""
        with self.mapped("gcs objects.patch", path):
            blob.patch(if_metageneration_match=blob.metageneration, **self._asked)

    def new(self, path: str, lock: ObjectLock | None) -> tuple[Any, str]:
        """A blob to be written, and the token by which it is known to be ours."""
        token = secrets.token_hex(16)
        blob = self._bucket.blob(self._prefix + check_path(path, vault=self.vault))
        blob.metadata = {_TOKEN: token}
        if lock is not None:
            locks.set_on(blob, lock)
        return blob, token

    def begin(self, blob: Any, path: str) -> Session:
        """A resumable session for a new blob. Beginning it twice after a lost reply harms nothing."""
        with locks.hinted(self.lock_for(path)), self.mapped("gcs objects.insert", path):
            url = blob.create_resumable_upload_session(
                content_type=_BYTES, if_generation_match=0, checksum=None, **self._asked
            )
        return Session(self.http, url, vault=self.vault, path=path, timeout=TIMEOUT)

    def look(self, path: str, token: str, error: DrorchError) -> None:
        """After a lost reply, or a refusal that may answer the SDK's own repetition: fine if what is there is ours.

        Else raises `error`, or AlreadyExists; OutcomeUnknown where nothing (yet) is there or the look fails.
        """
        try:
            theirs = (self.facts(path).metadata or {}).get(_TOKEN)
        except DrorchError as unseen:
            raise unsettled(error, unseen) from error.__cause__
        if theirs == token:
            return
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists("another writer was first", **self._where(error.operation, path)) from error

    def mapped(self, operation: str, path: str, *, mutates: bool = False) -> AbstractContextManager[None]:
        """Our errors for Google's, with this vault's name."""
        return mapped(operation, resource=path, vault=self.vault, mutates=mutates)

    def legible(self, operation: str, path: str) -> AbstractContextManager[None]:
        """Unavailable, with this vault's name, where a field of a reply cannot be read."""
        return replies.legible(operation, resource=path, vault=self.vault)

    def _blobs(self, prefix: str, fields: str, *, versions: bool = False) -> Iterator[Any]:
        """objects.list, page by page: by name."""
        with self.mapped("gcs objects.list", prefix):
            found = self._client.list_blobs(
                self._bucket,
                prefix=self._prefix + prefix,
                page_size=self.limits.page,
                versions=versions or None,
                fields=f"items({fields}),nextPageToken",
                **self._asked,
            )
        objects = iter(found)
        while True:
            try:
                with self.legible("gcs objects.list", prefix), self.mapped("gcs objects.list", prefix):
                    blob = next(objects, None)
            except NotFound as error:
                raise self._no_bucket(error) from error
            if blob is None:
                return
            yield blob

    def _ask_time(self) -> datetime:
        operation = "gcs objects.list"
        query = {"prefix": self._prefix, "maxResults": "1", "fields": "nextPageToken"}
        ask = self._asked["retry"](self._ask)
        try:
            with self.mapped(operation, ""), closing(ask(self._objects, {}, query)) as reply:
                if reply.status_code != 200:
                    raise answered(reply)
                return parsedate_to_datetime(reply.headers["Date"]).astimezone(UTC)
        except NotFound as error:
            raise self._no_bucket(error) from error
        except (KeyError, ValueError, OverflowError) as error:
            raise Unavailable("the reply does not tell the time", **self._where(operation, "")) from error

    def _get(self, path: str, start: int, end: int | None, generation: str | None, version: str) -> Any:
        """The reply of a streamed download."""
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        condition = {"ifGenerationMatch": generation} if generation else {}
        if version:
            condition = {"generation": version}
        url = self._media + quote(self._prefix + path, safe="")
        ask = self._asked["retry"](self._ask)
        try:
            with self.mapped("gcs download", path):
                reply = ask(url, headers, {"alt": "media", **condition})
                if reply.status_code == 416:
                    with closing(reply):
                        self._check_start(path, start, self.facts(path, version).size)
                elif reply.status_code not in (200, 206):
                    raise answered(reply)
        except NotFound:
            self._check_bucket(path)
            raise
        except AlreadyExists as error:  # 412
            raise Unavailable("it was replaced while it was read", **self._where("gcs download", path)) from error
        found = replies.span(reply)
        if reply.status_code != 416 and (start or found) and not found.startswith(f"{start}-"):
            reply.close()
            raise Unavailable("the reply begins at another byte", **self._where("gcs download", path))
        return reply

    def _ask(self, url: str, headers: dict[str, str], query: dict[str, str]) -> Any:
        reply = self.http.get(url, headers=headers, params=query, stream=True, timeout=TIMEOUT)
        if reply.status_code in (408, 429) or reply.status_code >= 500:
            raise answered(reply)
        return reply

    def _extent(self, path: str, start: int, wanted: int | None, reply: Any) -> tuple[int, str]:
        """Where the bytes end that are to be read, and the object's CRC-32C if they are all of it."""
        if reply.status_code == 416:
            return start, ""
        with self.legible("gcs download", path):
            length, total, whole = replies.extent(reply)
        if total is not None:
            self._check_start(path, start, total)
        end = start + length if wanted is None else min(wanted, start + length)
        return end, whole if total is None and end == start + length else ""

    def _check_start(self, path: str, start: int, size: int) -> None:
        if start > size:
            raise Refused("it ends before the first byte asked for", **self._where("gcs download", path))

    def _check_bucket(self, path: str) -> None:
        """GCS answers 404 to a missing bucket and to a missing object; a listing tells them apart."""
        for _ in self._blobs(path, "name"):
            return

    def _no_bucket(self, error: DrorchError) -> Refused:
        return Refused(
            "GCS has no such bucket",
            **self._where("gcs objects.list", self._bucket.name),
            cause=error.cause,
            hint="create the bucket, or correct its name in the configuration",
        )

    def _where(self, operation: str, path: str) -> dict[str, str]:
        return {"operation": operation, "vault": self.vault, "resource": path}
