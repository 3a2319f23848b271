"""Amazon S3 and S3-compatible stores.

Write-once is `If-None-Match: *` on PutObject and CompleteMultipartUpload
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Each write carries a token in the
object's metadata, so that after a lost reply a look tells our object from another's.

Where the vault has a lock, the creating request sets it and HeadObject reads it back (`locks`); what a bucket keeps
besides the current versions is listed by `versions`.

Not every compatible store makes the condition and the write one step (Swift's S3 does not: of writers that meet each is
told that it won). So off AWS the token is looked at once more, when every write that met ours has ended.

Parts are CRC-32 checked by AWS itself. With `endpoint:` the SDK's checksums are off, because many compatible stores
refuse them, and Content-MD5 does the same.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from drorch.aws import AMBIENT, AwsAccounts, mapped, told_time
from drorch.domain import layout
from drorch.domain.errors import AlreadyExists, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.guide import StockTool
from drorch.domain.model import FailureDomain, ObjectLock
from drorch.ports import LockRule, ObjectInfo, ObjectVersion, PendingUpload, StoreLimits, check_path
from drorch.stores import SETTLE, Prefix, StoreClock, let_settle, lock_from, unsettled
from drorch.stores.s3 import locks, replies, stock, versions
from drorch.stores.s3.upload import TOKEN, S3Upload

CHUNK = 1024 * 1024
RESUMES = 3
"""How often one read is taken up again where its connection broke."""


class Options(BaseModel):
    """`{type: s3, bucket: ..., account: ..., region: ...}`; off AWS `endpoint`, `provider` and `region`.

    `lock` is allowed with an endpoint too: `vault check` finds out whether that store gives locks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$")
    region: str = Field(min_length=1)
    account: str = ""
    prefix: Prefix = ""
    endpoint: str = Field(default="", pattern=r"^(https?://[^/?#@]+/?)?$")
    provider: str = ""
    lock: LockRule | None = None

    @model_validator(mode="after")
    def _placed(self) -> Options:
        if self.endpoint and not self.provider:
            raise ValueError("with `endpoint` a `provider` is required: whose failure takes this vault along?")
        if self.provider not in ("", "aws") and not self.endpoint:
            raise ValueError("without `endpoint` the bucket is at AWS, and so is its provider")
        if self.domain.provider == "aws" and not self.account:
            raise ValueError("`account` is required: a key of aws.accounts")
        return self

    @property
    def domain(self) -> FailureDomain:
        """What is lost together with it. Off AWS there is no account whose loss we know of."""
        provider = self.provider or "aws"
        account = self.account if provider == "aws" and self.account != AMBIENT else ""
        return FailureDomain(provider=provider, region=self.region, account=account)

    @property
    def url(self) -> str:
        """What `from_url` reads; whoever uses it brings credentials that may read the bucket."""
        query = {"region": self.region} | ({"endpoint": self.endpoint} if self.endpoint else {})
        return f"s3://{self.bucket}{f'/{self.prefix}' if self.prefix else ''}?{urlencode(query, safe=':/')}"

    @property
    def stock_tools(self) -> tuple[StockTool, ...]:
        """What people read the bucket with."""
        return stock.tools(self.bucket, self.prefix, self.region, self.endpoint)


def open_store(name: str, options: Options, accounts: AwsAccounts) -> S3Store:
    """The bucket as a vault; talks to nobody yet."""
    client = accounts.client("s3", options.account or AMBIENT, options.region, endpoint=options.endpoint)
    return S3Store(name, client, options.bucket, options.prefix, compatible=bool(options.endpoint), lock=options.lock)


def from_url(url: str) -> Options:
    """``s3://bucket[/prefix][?region=&endpoint=]`` with the credentials of this process. Raises Refused.

    Without a region it is the SDK's own default, else us-east-1, from where S3 redirects to the bucket's region.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    region = query.pop("region", "") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = query.pop("endpoint", "")
    shape = "s3://bucket[/prefix][?region=&endpoint=]"
    if parts.scheme != "s3" or query or parts.fragment:
        raise Refused(f"{url!r} is not the address of an S3 bucket", hint=shape)
    try:
        return Options(
            bucket=parts.netloc,
            prefix=parts.path,
            region=region or "us-east-1",
            account=AMBIENT,
            endpoint=endpoint,
            provider="s3-compatible" if endpoint else "",
        )
    except ValidationError as error:
        wrong = "; ".join(str(found["msg"]) for found in error.errors())
        raise Refused(f"{url!r} is not the address of an S3 bucket", cause=wrong, hint=shape) from error


class S3Store:
    """An ObjectStore over a bucket. Safe for threads. `compatible` says that the bucket is not at AWS."""

    def __init__(
        self,
        vault: str,
        client: Any,
        bucket: str,
        prefix: str = "",
        *,
        compatible: bool = False,
        limits: StoreLimits | None = None,
        lock: LockRule | None = None,
        settle: float = SETTLE,
    ) -> None:
        """`settle`: off AWS, see `let_settle`."""
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.lock = lock
        self.client = client
        self.bucket = bucket
        self.compatible = compatible
        self.settle = settle
        self.bucket_locks = False
        """Whether the bucket is known to have Object Lock."""
        self._prefix = f"{prefix}/" if prefix else ""
        self._lockable = layout.lockable
        self._clock = StoreClock(self._ask_time)

    def now(self) -> datetime:
        """The Date header of a listing of at most one object: whole seconds, cut off."""
        return self._clock.now()

    def reckoned(self) -> datetime:
        """The present as far as the ends of locks need it: see `StoreClock`."""
        return self._clock.reckoned()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """ListObjectsV2, page by page."""
        check_path(prefix + "x", vault=self.vault)
        asked: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self._prefix + prefix, "MaxKeys": self.limits.page}
        while True:
            with self.mapped("s3 ListObjectsV2", prefix):
                page = self.client.list_objects_v2(**asked)
            more = replies.continued(self, page, "s3 ListObjectsV2", prefix)
            for found in page.get("Contents", ()):
                replies.require(self, found, replies.LISTED, "s3 ListObjectsV2", prefix)
                yield ObjectInfo(found["Key"].removeprefix(self._prefix), found["Size"], _utc(found["LastModified"]))
            if not more:
                return
            following = page.get("NextContinuationToken")
            if not following or following == asked.get("ContinuationToken"):
                raise Unavailable(
                    "the listing is cut off without a way on", operation="s3 ListObjectsV2", vault=self.vault
                )
            asked["ContinuationToken"] = following

    def history(self, prefix: str) -> Iterator[ObjectVersion]:
        """ListObjectVersions, page by page; on a bucket that never had versions its objects, under the version ""."""
        check_path(prefix + "x", vault=self.vault)
        for found in versions.versions(self, prefix):
            if len(found) == 1 and found[0].version == versions.NULL:
                only = found[0]
                yield ObjectVersion(only.path, only.size, only.modified, "", only.marker)
            else:
                yield from found

    def stat(self, path: str) -> ObjectInfo:
        """HeadObject."""
        head = self.head(path)
        return ObjectInfo(path, head["ContentLength"], _utc(head["LastModified"]))

    def read(self, path: str, start: int = 0, length: int | None = None, *, version: str = "") -> Iterator[bytes]:
        """Ranged GetObject; a broken connection is taken up again where it broke, on the same object only.

        The first reply says where it ends: one that comes after it does not change that. Also what is read whole is
        asked for as a range, because such a reply tells the object's size, too.
        """
        if length == 0:
            self._check_start(path, start, version)
            return
        asked: dict[str, Any] = {"VersionId": version} if version else {}
        wanted = None if length is None else start + length
        end: int | None = None
        resumes = 0
        while end is None or start < end:
            reply = self._get(path, start, wanted if end is None else end, asked)
            if reply is None:
                return
            if end is None:
                announced: int = start + reply["ContentLength"]
                end = announced if wanted is None else min(wanted, announced)
            asked["IfMatch"] = reply["ETag"]
            broken: DrorchError | None = None
            try:
                with closing(reply["Body"]) as body:
                    while start < end:
                        with self.mapped("s3 GetObject", path):
                            chunk = body.read(min(CHUNK, end - start))
                        if not chunk:
                            break
                        start += len(chunk)
                        yield chunk
            except Unavailable as error:
                broken = error
            if start < end and (resumes := resumes + 1) > RESUMES:
                raise Unavailable(
                    f"the stream ended {end - start} bytes early, {resumes} times",
                    operation="s3 GetObject",
                    vault=self.vault,
                    resource=path,
                ) from broken

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """PutObject, with a lock where the vault has one; then HeadObject must show it."""
        check_path(path, vault=self.vault)
        token, began = secrets.token_hex(16), time.monotonic()
        lock = None if overwrite else self.lock_for(path)
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        try:
            with locks.hinted(lock), self.mapped("s3 PutObject", path, mutates=True):
                self.client.put_object(
                    **self.key(path),
                    Body=body,
                    Metadata={TOKEN: token},
                    **condition,
                    **self.checksum(body),
                    **self.checked_parts,  # required on a bucket with Object Lock
                    **locks.of_request(lock),
                )
        except (AlreadyExists, OutcomeUnknown) as error:
            self.look(path, token, error)
        if not overwrite:
            self.settled(path, token, began, "s3 PutObject")
        if lock is not None:
            locks.require(self, path, lock, self.head(path), "s3 PutObject")

    def upload(self, path: str) -> S3Upload:
        """A multipart upload, begun with the second part; a single part goes in one PutObject."""
        return S3Upload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """DeleteObject of every version and delete marker, the newest first: what a lock refuses is what was first.

        Where there never were versions it needs no right to delete versions.
        """
        check_path(path, vault=self.vault)
        found = next(versions.versions(self, path, only=path), [])
        if [version.version for version in found] in ([versions.NULL], [""]):
            if not versions.delete(self, path, ""):
                return
            found = next(versions.versions(self, path, only=path), [])
        for version in reversed(found):
            try:
                versions.delete(self, path, version.version)
            except Refused as error:
                raise locks.refused(self, path, version.version, error) from error

    def lock_of(self, path: str) -> ObjectLock | None:
        """HeadObject."""
        return locks.of_reply(self.head(path))

    def extend_lock(self, path: str, until: datetime) -> None:
        """PutObjectRetention, read back."""
        locks.extend(self, path, until)

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """ListMultipartUploads, page by page."""
        check_path(prefix + "x", vault=self.vault)
        return versions.uploads(self, prefix)

    def abort_upload(self, upload: PendingUpload) -> None:
        """AbortMultipartUpload."""
        with suppress(NotFound), self.mapped("s3 AbortMultipartUpload", upload.path, mutates=True):
            self.client.abort_multipart_upload(**self.key(upload.path), UploadId=upload.handle)

    def with_lock(self, rule: LockRule, below: str) -> S3Store:
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
        """Nothing: its connections belong to the accounts' shared client."""

    def head(self, path: str, version: str = "") -> Any:
        """HeadObject, of the current version unless one is named.

        A missing bucket has the same bare 404 as a missing object, so the bucket is asked too.
        """
        check_path(path, vault=self.vault)
        named = {"VersionId": version} if version else {}
        try:
            with self.mapped("s3 HeadObject", path):
                head = self.client.head_object(**self.key(path), **named)
        except NotFound:
            with self.mapped("s3 ListObjectsV2", path):
                page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(path)["Key"], MaxKeys=1)
            replies.continued(self, page, "s3 ListObjectsV2", path)
            raise
        replies.require(self, head, replies.HEAD, "s3 HeadObject", path)
        return head

    def key(self, path: str) -> dict[str, str]:
        """Bucket and key of a path, as every request takes them."""
        return {"Bucket": self.bucket, "Key": self._prefix + path}

    def path(self, key: str) -> str:
        """The path of a key."""
        return key.removeprefix(self._prefix)

    def checksum(self, body: bytes | bytearray | memoryview) -> dict[str, str]:
        """The parameter by which the service checks what arrives."""
        if self.compatible:
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            return {"ContentMD5": base64.b64encode(digest).decode()}
        return {"ChecksumCRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()}

    @property
    def checked_parts(self) -> dict[str, str]:
        """The parameter of CreateMultipartUpload and PutObject that goes with `checksum`."""
        return {} if self.compatible else {"ChecksumAlgorithm": "CRC32"}

    def look(self, path: str, token: str, error: DrorchError) -> None:
        """After a lost reply, or a refusal that may answer the SDK's own repetition: fine if what is there is ours.

        Else raises `error`, or AlreadyExists; OutcomeUnknown where nothing (yet) is there or the look fails.
        """
        try:
            told = self.head(path)["Metadata"]  # by names that some gateways capitalise, Swift's among them
            theirs = next((value for name, value in told.items() if name.lower() == TOKEN), None)
        except DrorchError as unseen:
            raise unsettled(error, unseen) from error.__cause__
        if theirs == token:
            return
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists(
            "another writer was first", operation=error.operation, vault=self.vault, resource=path
        ) from error

    def settled(self, path: str, token: str, began: float, operation: str) -> None:
        """Off AWS: whose object is there, now that writes that met ours have ended? AlreadyExists, OutcomeUnknown."""
        if self.compatible:
            let_settle(began, self.settle)
            gone = OutcomeUnknown("it is not there any more", operation=operation, vault=self.vault, resource=path)
            self.look(path, token, gone)

    def mapped(self, operation: str, path: str, *, mutates: bool = False) -> AbstractContextManager[None]:
        """Our errors for botocore's, with this vault's name."""
        return mapped(operation, resource=path, vault=self.vault, mutates=mutates)

    def _ask_time(self) -> datetime:
        operation = "s3 ListObjectsV2"
        with self.mapped(operation, ""):
            reply = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix, MaxKeys=1)
        return told_time(reply, operation, self.vault)

    def _get(self, path: str, start: int, end: int | None, condition: dict[str, Any]) -> Any:
        """A GetObject reply; None when there is nothing at and after `start`."""
        check_path(path, vault=self.vault)
        span = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            with self.mapped("s3 GetObject", path):
                reply = self.client.get_object(**self.key(path), Range=span, **condition)
        except AlreadyExists as error:  # 412: If-Match
            raise Unavailable(
                "it was replaced while it was read", operation="s3 GetObject", vault=self.vault, resource=path
            ) from error
        except NotFound:
            raise
        except Refused as error:
            if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") not in ("InvalidRange", "416"):
                raise
            if "IfMatch" in condition:  # it was there a moment ago
                raise Unavailable(
                    "it ends before its announced end", operation="s3 GetObject", vault=self.vault, resource=path
                ) from error
            self._check_start(path, start, condition.get("VersionId", ""))
            return None
        replies.require(self, reply, replies.HEAD, "s3 GetObject", path)
        if wrong := replies.wrong_span(reply, start, end):
            reply["Body"].close()
            raise Unavailable(wrong, operation="s3 GetObject", vault=self.vault, resource=path)
        return reply

    def _check_start(self, path: str, start: int, version: str) -> None:
        if start > self.head(path, version)["ContentLength"]:
            raise Refused(
                "it ends before the first byte asked for", operation="s3 GetObject", vault=self.vault, resource=path
            )


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC)
