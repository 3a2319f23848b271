"""Amazon S3 and S3-compatible stores.

Write-once is `If-None-Match: *` on PutObject and CompleteMultipartUpload
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Each write carries a token in the
object's metadata, so that after a lost reply a look tells our object from another's.

Parts are CRC-32 checked by AWS itself. With `endpoint:` the SDK's checksums are off, because many compatible stores
refuse them, and Content-MD5 does the same.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from drorch.aws import AMBIENT, AwsAccounts, mapped
from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.model import FailureDomain
from drorch.ports import ObjectInfo, StoreLimits, check_path
from drorch.stores import Parts

CHUNK = 1024 * 1024
PAGE = 1000
RESUMES = 3
"""How often one read is taken up again where its connection broke."""
_TOKEN = "drorch-write"  # noqa: S105  (the name of a metadata field)


class Options(BaseModel):
    """`{type: s3, bucket: ..., account: ..., region: ...}`; off AWS `endpoint`, `provider` and `region`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$")
    region: str = Field(min_length=1)
    account: str = ""
    prefix: str = ""
    endpoint: str = Field(default="", pattern=r"^(https?://[^/?#@]+/?)?$")
    provider: str = ""

    @field_validator("prefix")
    @classmethod
    def _folder(cls, prefix: str) -> str:
        """Without slashes at its ends."""
        prefix = prefix.strip("/")
        try:
            return prefix and check_path(prefix)
        except Refused as error:
            raise ValueError(error.cause) from error

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


def open_store(name: str, options: Options, accounts: AwsAccounts) -> S3Store:
    """The bucket as a vault; talks to nobody yet."""
    client = accounts.client("s3", options.account or AMBIENT, options.region, endpoint=options.endpoint)
    return S3Store(name, client, options.bucket, options.prefix, compatible=bool(options.endpoint))


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
    ) -> None:
        self.vault = vault
        self.limits = limits or StoreLimits()
        self.client = client
        self.bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._compatible = compatible

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """ListObjectsV2, page by page."""
        check_path(prefix + "x", vault=self.vault)
        asked: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self._prefix + prefix, "MaxKeys": PAGE}
        while True:
            with self.mapped("s3 ListObjectsV2", prefix):
                page = self.client.list_objects_v2(**asked)
            for found in page.get("Contents", ()):
                yield ObjectInfo(found["Key"].removeprefix(self._prefix), found["Size"], _utc(found["LastModified"]))
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or following == asked.get("ContinuationToken"):
                raise Unavailable(
                    "the listing is cut off without a way on", operation="s3 ListObjectsV2", vault=self.vault
                )
            asked["ContinuationToken"] = following

    def stat(self, path: str) -> ObjectInfo:
        """HeadObject."""
        head = self.head(path)
        return ObjectInfo(path, head["ContentLength"], _utc(head["LastModified"]))

    def read(self, path: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Ranged GetObject; a broken connection is taken up again where it broke, on the same object only."""
        asked: dict[str, Any] = {}
        end: int | None = None if length is None else start + length
        resumes = 0
        while end is None or start < end:
            reply = self._get(path, start, end, asked)
            if reply is None:
                return
            asked["IfMatch"] = reply["ETag"]
            end = start + reply["ContentLength"]
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
        if length == 0:
            self._check_start(path, start)

    def put(self, path: str, body: bytes, *, overwrite: bool = False) -> None:
        """PutObject."""
        check_path(path, vault=self.vault)
        token = secrets.token_hex(16)
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        try:
            with self.mapped("s3 PutObject", path, mutates=True):
                self.client.put_object(
                    **self.key(path), Body=body, Metadata={_TOKEN: token}, **condition, **self.checksum(body)
                )
        except (AlreadyExists, OutcomeUnknown) as error:
            self.look(path, token, error)

    def upload(self, path: str) -> S3Upload:
        """A multipart upload, begun with the second part; a single part goes in one PutObject."""
        return S3Upload(self, check_path(path, vault=self.vault))

    def delete(self, path: str) -> None:
        """DeleteObject; on a versioned bucket it leaves a delete marker."""
        check_path(path, vault=self.vault)
        with self.mapped("s3 DeleteObject", path, mutates=True), suppress(NotFound):
            self.client.delete_object(**self.key(path))

    def close(self) -> None:
        """Nothing: its connections belong to the accounts' shared client."""

    def head(self, path: str) -> Any:
        """HeadObject. A missing bucket has the same bare 404 as a missing object, so the bucket is asked too."""
        check_path(path, vault=self.vault)
        try:
            with self.mapped("s3 HeadObject", path):
                return self.client.head_object(**self.key(path))
        except NotFound:
            with self.mapped("s3 ListObjectsV2", path):
                self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(path)["Key"], MaxKeys=1)
            raise

    def key(self, path: str) -> dict[str, str]:
        """Bucket and key of a path, as every request takes them."""
        return {"Bucket": self.bucket, "Key": self._prefix + path}

    def checksum(self, body: bytes | bytearray | memoryview) -> dict[str, str]:
        """The parameter by which the service checks what arrives."""
        if self._compatible:
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            return {"ContentMD5": base64.b64encode(digest).decode()}
        return {"ChecksumCRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()}

    @property
    def checked_parts(self) -> dict[str, str]:
        """The parameter of CreateMultipartUpload that goes with `checksum`."""
        return {} if self._compatible else {"ChecksumAlgorithm": "CRC32"}

    def look(self, path: str, token: str, error: DrorchError) -> None:
        """After a lost reply, or a refusal that may answer the SDK's own repetition: fine if what is there is ours.

        Else raises `error`; OutcomeUnknown where nothing (yet) is there or the look fails.
        """
        try:
            theirs = self.head(path)["Metadata"].get(_TOKEN)
        except DrorchError:
            raise error from error.__cause__
        if theirs == token:
            return
        if isinstance(error, AlreadyExists):
            raise error from error.__cause__
        raise AlreadyExists(
            "another writer was first", operation=error.operation, vault=self.vault, resource=path
        ) from error

    def mapped(self, operation: str, path: str, *, mutates: bool = False) -> AbstractContextManager[None]:
        """Our errors for botocore's, with this vault's name."""
        return mapped(operation, resource=path, vault=self.vault, mutates=mutates)

    def _get(self, path: str, start: int, end: int | None, condition: dict[str, Any]) -> Any:
        """A GetObject reply; None when there is nothing at and after `start`."""
        check_path(path, vault=self.vault)
        span = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        try:
            with self.mapped("s3 GetObject", path):
                return self.client.get_object(**self.key(path), **span, **condition)
        except AlreadyExists as error:  # 412: If-Match
            raise Unavailable(
                "it was replaced while it was read", operation="s3 GetObject", vault=self.vault, resource=path
            ) from error
        except NotFound:
            raise
        except Refused as error:
            if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") not in ("InvalidRange", "416"):
                raise
            self._check_start(path, start)
            return None

    def _check_start(self, path: str, start: int) -> None:
        if start > self.stat(path).size:
            raise Refused(
                "it ends before the first byte asked for", operation="s3 GetObject", vault=self.vault, resource=path
            )


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC)


class S3Upload:
    """An upload in equal parts. The first part waits for the second: an object of one part needs no multipart."""

    def __init__(self, store: S3Store, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._token = secrets.token_hex(16)
        self._waiting: bytes | None = None
        self._upload_id = ""
        self._sent: list[dict[str, Any]] = []

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """UploadPart, once there are two."""
        self._parts.add(len(part))
        if self._parts.count == 1:
            self._waiting = bytes(part)
            return
        try:
            if self._waiting is not None:
                self._begin()
                self._send(self._waiting)
                self._waiting = None
            if len(part):
                self._send(part)
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """CompleteMultipartUpload (or PutObject), then HeadObject: the size must be what was written."""
        self._parts.commit()
        if not self._upload_id:
            self._store.put(self._path, self._waiting or b"")
            self._waiting = None
        else:
            self._complete()
        size = self._store.stat(self._path).size
        if size != self._parts.bytes:
            raise Damaged(
                f"the store holds {size} bytes of {self._parts.bytes}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )

    def abort(self) -> None:
        """AbortMultipartUpload. Raises when the parts could not be dropped: they would stay, invisible and billed."""
        self._parts.end("it was given up")
        self._waiting = None
        if not self._upload_id:
            return
        with self._store.mapped("s3 AbortMultipartUpload", self._path, mutates=True), suppress(NotFound):
            self._store.client.abort_multipart_upload(**self._store.key(self._path), UploadId=self._upload_id)
        self._upload_id = ""

    def _begin(self) -> None:
        with self._store.mapped("s3 CreateMultipartUpload", self._path):
            begun = self._store.client.create_multipart_upload(
                **self._store.key(self._path), Metadata={_TOKEN: self._token}, **self._store.checked_parts
            )
        self._upload_id = begun["UploadId"]

    def _send(self, part: bytes | bytearray | memoryview) -> None:
        number = len(self._sent) + 1
        body = bytes(part) if isinstance(part, memoryview) else part  # the SDK takes no views
        checksum = self._store.checksum(body)
        with self._store.mapped("s3 UploadPart", self._path):  # repeating the same part changes nothing
            reply = self._store.client.upload_part(
                **self._store.key(self._path), UploadId=self._upload_id, PartNumber=number, Body=body, **checksum
            )
        checksum.pop("ContentMD5", None)
        self._sent.append({"PartNumber": number, "ETag": reply["ETag"], **checksum})

    def _complete(self) -> None:
        try:
            with self._store.mapped("s3 CompleteMultipartUpload", self._path, mutates=True):
                self._store.client.complete_multipart_upload(
                    **self._store.key(self._path),
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._sent},
                    IfNoneMatch="*",
                )
        except (AlreadyExists, NotFound, OutcomeUnknown) as error:
            # NoSuchUpload answers a repetition after the first attempt's reply was lost.
            self._settle(error)
        self._upload_id = ""

    def _settle(self, error: DrorchError) -> None:
        """After a lost or odd reply: fine if the object is ours after all; drop the parts if it is another's."""
        try:
            self._store.look(self._path, self._token, error)
        except AlreadyExists:
            with suppress(DrorchError):
                self.abort()
            raise
        except NotFound:
            raise Unavailable(
                "the upload is gone: something aborted it, such as a lifecycle rule",
                operation="s3 CompleteMultipartUpload",
                vault=self._store.vault,
                resource=self._path,
            ) from error
