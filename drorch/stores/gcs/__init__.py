"""Google Cloud Storage.

Write-once is `ifGenerationMatch=0` (https://cloud.google.com/storage/docs/request-preconditions). Each write carries a
token in the object's metadata, so that after a lost reply a look tells our object from another's. Large objects go
through a resumable upload, pushed in chunks (https://cloud.google.com/storage/docs/performing-resumable-uploads); the
session belongs to its URL and ends by itself after a week. CRC-32C is compared in both directions.

``STORAGE_EMULATOR_HOST`` reaches an emulator, without credentials.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.model import FailureDomain
from drorch.ports import ObjectInfo, StoreLimits, check_path
from drorch.stores import Parts
from drorch.stores.gcs.errors import answered, mapped
from drorch.stores.gcs.session import Session

CHUNK = 1024 * 1024
PAGE = 1000
RESUMES = 3
"""How often one read is taken up again where its connection broke."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two bytes."""
PATIENCE = 60.0
"""Seconds for which one call is repeated while GCS fails or cannot be reached."""
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_TOKEN = "drorch-write"  # noqa: S105  (the name of a metadata field)
_BYTES = "application/octet-stream"


class Options(BaseModel):
    """`{type: gcs, bucket: ..., region: ...}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")
    region: str = Field(min_length=1)
    prefix: str = ""

    @field_validator("prefix")
    @classmethod
    def _folder(cls, prefix: str) -> str:
        """Without slashes at its ends."""
        prefix = prefix.strip("/")
        try:
            return prefix and check_path(prefix)
        except Refused as error:
            raise ValueError(error.cause) from error

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it."""
        return FailureDomain(provider="gcp", region=self.region)


def open_store(name: str, options: Options, *, patience: float = PATIENCE) -> GcsStore:
    """The bucket as a vault, with the application default credentials; talks to nobody yet."""
    from google.auth.transport import requests
    from google.cloud.storage import Client

    transport: Any = requests
    with mapped("gcs client", resource=options.bucket, vault=name):
        credentials = _credentials()
        client = Client(project=None, credentials=credentials)
        http = transport.AuthorizedSession(credentials)
    return GcsStore(name, client, http, options.bucket, options.prefix, patience=patience)


def _credentials() -> Any:
    import google.auth
    from google.auth import credentials

    kinds: Any = credentials
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return kinds.AnonymousCredentials()
    return google.auth.default(scopes=[_SCOPE])[0]


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


def _crc32c() -> Any:
    import google_crc32c

    library: Any = google_crc32c
    return library.Checksum()


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
    ) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self.vault = vault
        self.limits = limits or StoreLimits(max_parts=2**31)  # a resumable upload counts no chunks
        self.http = http
        self._client = client
        self._bucket = client.bucket(bucket)
        self._prefix = f"{prefix}/" if prefix else ""
        self._media = (
            os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
            + f"/download/storage/v1/b/{bucket}/o/"
        )
        self._asked = {"timeout": TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(patience)}

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """objects.list, page by page."""
        check_path(prefix + "x", vault=self.vault)
        with self.mapped("gcs objects.list", prefix):
            found = self._client.list_blobs(
                self._bucket,
                prefix=self._prefix + prefix,
                page_size=PAGE,
                fields="items(name,size,timeCreated),nextPageToken",
                **self._asked,
            )
        objects = iter(found)
        while True:
            try:
                with self.mapped("gcs objects.list", prefix):
                    blob = next(objects, None)
            except NotFound as error:
                raise self._no_bucket(error) from error
            if blob is None:
                return
            yield ObjectInfo(blob.name.removeprefix(self._prefix), blob.size, blob.time_created.astimezone(UTC))

    def stat(self, path: str) -> ObjectInfo:
        """objects.get."""
        blob = self.facts(path)
        return ObjectInfo(path, blob.size, blob.time_created.astimezone(UTC))

    def read(self, path: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """A streamed download; a broken connection is taken up again where it broke, on the same object only.

        An object read whole is compared with its CRC-32C: Damaged, after the last byte, when they differ.
        """
        check_path(path, vault=self.vault)
        if length == 0:
            self._check_start(path, start, self.stat(path).size)
            return
        at, end = start, None if length is None else start + length
        whole, checksum = "", _crc32c()
        generation: str | None = None
        resumes = 0
        while end is None or at < end:
            broken: DrorchError | None = None
            with closing(self._get(path, at, end, generation)) as reply:
                if end is None or at == start:
                    end, whole = self._extent(path, at, reply)
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
        """objects.insert in one request."""
        blob, token = self.new(path)
        condition = {} if overwrite else {"if_generation_match": 0}
        try:
            with self.mapped("gcs objects.insert", path, mutates=True):
                blob.upload_from_string(bytes(body), content_type=_BYTES, checksum="crc32c", **condition, **self._asked)
        except (AlreadyExists, OutcomeUnknown) as error:
            self.look(path, token, error)

    def upload(self, path: str) -> GcsUpload:
        """A resumable upload, begun with the second part; a single part goes in one request."""
        return GcsUpload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """objects.delete."""
        check_path(path, vault=self.vault)
        with suppress(NotFound), self.mapped("gcs objects.delete", path, mutates=True):
            self._bucket.blob(self._prefix + path).delete(**self._asked)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
        self.http.close()

    def facts(self, path: str) -> Any:
        """The object's metadata as it is now. A missing bucket is not a missing object: Refused."""
        check_path(path, vault=self.vault)
        blob = self._bucket.blob(self._prefix + path)
        try:
            with self.mapped("gcs objects.get", path):
                blob.reload(**self._asked)
        except NotFound:
            self._check_bucket(path)
            raise
        return blob

    def new(self, path: str) -> tuple[Any, str]:
        """A blob to be written, and the token by which it is known to be ours."""
        token = secrets.token_hex(16)
        blob = self._bucket.blob(self._prefix + check_path(path, vault=self.vault))
        blob.metadata = {_TOKEN: token}
        return blob, token

    def begin(self, blob: Any, path: str) -> Session:
        """A resumable session for a new blob. Beginning it twice after a lost reply harms nothing."""
        with self.mapped("gcs objects.insert", path):
            url = blob.create_resumable_upload_session(
                content_type=_BYTES, if_generation_match=0, checksum=None, **self._asked
            )
        return Session(self.http, url, vault=self.vault, path=path, timeout=TIMEOUT)

    def look(self, path: str, token: str, error: DrorchError) -> None:
        """After a lost reply, or a refusal that may answer the SDK's own repetition: fine if what is there is ours.

        Else raises `error`; OutcomeUnknown where nothing (yet) is there or the look fails.
        """
        try:
            theirs = (self.facts(path).metadata or {}).get(_TOKEN)
        except DrorchError:
            raise error from error.__cause__
        if theirs == token:
            return
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists("another writer was first", **self._where(error.operation, path)) from error

    def mapped(self, operation: str, path: str, *, mutates: bool = False) -> AbstractContextManager[None]:
        """Our errors for Google's, with this vault's name."""
        return mapped(operation, resource=path, vault=self.vault, mutates=mutates)

    def _get(self, path: str, start: int, end: int | None, generation: str | None) -> Any:
        """The reply of a streamed download."""
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        condition = {"ifGenerationMatch": generation} if generation else {}
        url = self._media + quote(self._prefix + path, safe="")
        ask = self._asked["retry"](self._ask)
        try:
            with self.mapped("gcs download", path):
                reply = ask(url, headers, {"alt": "media", **condition})
                if reply.status_code == 416:
                    with closing(reply):
                        self._check_start(path, start, self.stat(path).size)
                elif reply.status_code not in (200, 206):
                    raise answered(reply)
                return reply
        except NotFound:
            self._check_bucket(path)
            raise
        except AlreadyExists as error:  # 412
            raise Unavailable("it was replaced while it was read", **self._where("gcs download", path)) from error

    def _ask(self, url: str, headers: dict[str, str], query: dict[str, str]) -> Any:
        reply = self.http.get(url, headers=headers, params=query, stream=True, timeout=TIMEOUT)
        if reply.status_code in (408, 429) or reply.status_code >= 500:
            raise answered(reply)
        return reply

    def _extent(self, path: str, start: int, reply: Any) -> tuple[int, str]:
        """Where the reply's bytes end, and the object's CRC-32C if they are all of it."""
        if reply.status_code == 416:
            return start, ""
        span, _, total = reply.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if total:
            self._check_start(path, start, int(total))
        size = int(reply.headers["Content-Length"])
        hashes = dict(part.strip().split("=", 1) for part in reply.headers.get("x-goog-hash", "").split(",") if part)
        return start + size, hashes.get("crc32c", "") if not span else ""

    def _check_start(self, path: str, start: int, size: int) -> None:
        if start > size:
            raise Refused("it ends before the first byte asked for", **self._where("gcs download", path))

    def _check_bucket(self, path: str) -> None:
        """GCS answers 404 to a missing bucket and to a missing object; a listing tells them apart."""
        for _ in self.list(path):
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


class GcsUpload:
    """An upload in equal parts. The first part waits for the second: an object of one part needs no session."""

    def __init__(self, store: GcsStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._blob, self._token = store.new(path)
        self._checksum = _crc32c()
        self._waiting = b""
        self._session: Session | None = None

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Send a whole part once there are two; keep a shorter one for the commit, as it ends the object."""
        self._parts.add(len(part))
        self._checksum.update(bytes(part))
        if self._parts.count == 1:
            self._waiting = bytes(part)
            return
        try:
            if self._session is None:
                self._session = self._store.begin(self._blob, self._path)
                self._session.send(self._waiting)
                self._waiting = b""
            if len(part) == self._store.limits.part_bytes:
                self._session.send(part)
            else:
                self._waiting = bytes(part)
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """Send the last part with the total size, then objects.get: size and CRC-32C must be what was written."""
        self._parts.commit()
        if self._session is None:
            self._store.put(self._path, self._waiting)
        else:
            try:
                self._session.finish(self._waiting)
            except (AlreadyExists, NotFound, OutcomeUnknown) as error:
                self._settle(error)
            self._session = None
        self._waiting = b""
        blob = self._store.facts(self._path)
        sent = (self._parts.bytes, base64.b64encode(self._checksum.digest()).decode())
        if (blob.size, blob.crc32c) != sent:
            raise Damaged(
                f"the store holds {blob.size} bytes, CRC-32C {blob.crc32c}, of {sent[0]}, {sent[1]}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )

    def abort(self) -> None:
        """Cancel the session. One that cannot be cancelled ends by itself within a week, and costs nothing."""
        self._parts.end("it was given up")
        self._waiting = b""
        if self._session is not None:
            with suppress(DrorchError):
                self._session.cancel()
            self._session = None

    def _settle(self, error: DrorchError) -> None:
        """After a lost or odd reply: fine if the object is ours after all; drop the parts if it is another's."""
        try:
            self._store.look(self._path, self._token, error)
        except AlreadyExists:
            self.abort()
            raise
        except NotFound:
            raise Unavailable(
                "the upload is gone: its session has ended",
                operation="gcs objects.insert",
                vault=self._store.vault,
                resource=self._path,
            ) from error
