"""S3: wrong checksums are refused, write-once stays write-once when two writers race, and locks stay locks.

moto stores an object whatever checksum came with it, and looks for an existing object without a lock. It loses the lock
of a multipart upload and the bucket's default for one, lets anybody shorten a retention, lists every unfinished
upload at once, as begun in 2010, and copies the contents of all objects for each listing of their versions.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from awscrt import checksums  # type: ignore[import-untyped]
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.s3.exceptions import AccessDeniedByLock, LockNotEnabled, S3ClientError
from moto.s3.models import FakeKey, FakeMultipart, S3Backend
from moto.s3.responses import S3Response

from drorch.demo.repairs.replacing import around, instead_of

_TRAILER = re.compile(rb"x-amz-checksum-(\w+):([A-Za-z0-9+/=]+)\s*$")
_TRAILER_BYTES = 256
_conditional = threading.Lock()
_creating = threading.local()
"""The lock that the request of this thread asks for: legal hold, mode, end."""


def _big_endian(checksum: Callable[[bytes], int], length: int) -> Callable[[bytes], bytes]:
    return lambda body: checksum(body).to_bytes(length, "big")


_ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": _big_endian(binascii.crc32, 4),
    "crc32c": _big_endian(checksums.crc32c, 4),
    "crc64nvme": _big_endian(checksums.crc64nvme, 8),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


@around(S3Response, "put_object")
def _put_object(original: Any, self: Any) -> Any:
    _verify(self)
    with _conditional:
        return original(self)


@around(S3Response, "upload_part")
def _upload_part(original: Any, self: Any) -> Any:
    _verify(self)
    return original(self)


@around(S3Response, "_key_response_post")
def _key_response_post(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    with _conditional:
        return original(self, *args, **kwargs)


# --- locks ----------------------------------------------------------------------------------------------------------


@around(S3Response, "_key_response_post")
def _remember_lock(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """CreateMultipartUpload says how the object is to be locked; moto forgets it."""
    bucket = self.backend.get_bucket(self.bucket_name)
    # No default of the bucket here: it counts from the end of the upload.
    _creating.lock = self._get_lock_details(bucket, lock_enabled=False)
    if any(_creating.lock) and not bucket.object_lock_enabled:
        raise LockNotEnabled
    return original(self, *args, **kwargs)


@around(S3Backend, "complete_multipart_upload")
def _complete_multipart_upload(original: Any, self: Any, bucket_name: str, multipart_id: str, body: Any) -> Any:
    bucket = self.get_bucket(bucket_name)
    hold, mode, until = bucket.multiparts[multipart_id].lock
    key = original(self, bucket_name, multipart_id, body)
    if key is not None:
        if mode is None and bucket.has_default_lock:
            mode, until = bucket.default_lock_mode, bucket.default_retention()
        key.lock_legal_status, key.lock_mode, key.lock_until = hold, mode, until
    return key


@around(S3Response, "put_object_retention")
def _put_object_retention(original: Any, self: Any) -> Any:
    """A retention in compliance mode only grows; one in governance mode too, unless the caller bypasses it."""
    key = self.backend.get_object(self.bucket_name, self.parse_key_name(), version_id=self._get_param("versionId"))
    bypassed = self.headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
    if key is not None and key.lock_until and key.is_locked(governance_bypass=bypassed):
        mode, until = self._mode_until_from_body()
        shorter = not until or _instant(until) < _instant(key.lock_until)
        if shorter or (key.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE"):
            raise AccessDeniedByLock
    return original(self)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- unfinished uploads -----------------------------------------------------------------------------------------------


@around(FakeMultipart, "__init__")
def _begin(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    original(self, *args, **kwargs)
    self.initiated = utcnow()
    self.lock = getattr(_creating, "lock", (None, None, None))


@instead_of(S3Response, "list_multipart_uploads")
def _list_multipart_uploads(self: Any) -> Any:
    """By key and instant, in pages of at most ``max-uploads``."""

    def asked(name: str, default: str = "") -> str:
        return str((self.querystring.get(name) or [default])[0])

    marker = (asked("key-marker"), asked("upload-id-marker"))
    found = [
        upload
        for upload in self.backend.list_multipart_uploads(self.bucket_name).values()
        if upload.key_name.startswith(asked("prefix"))
    ]
    found.sort(key=lambda upload: (upload.key_name, upload.initiated))
    names = [(upload.key_name, upload.id) for upload in found]
    start = names.index(marker) + 1 if marker in names else sum(name[0] <= marker[0] for name in names)
    end = start + min(int(asked("max-uploads", "1000")), 1000)
    result = {
        "Bucket": self.bucket_name,
        "KeyMarker": marker[0],
        "UploadIdMarker": marker[1],
        "MaxUploads": end - start,
        "IsTruncated": end < len(found),
        "Uploads": [
            {
                "Key": upload.key_name,
                "UploadId": upload.id,
                "StorageClass": "STANDARD",
                "Initiated": upload.initiated.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            }
            for upload in found[start:end]
        ],
    }
    if end < len(found):
        result["NextKeyMarker"], result["NextUploadIdMarker"] = names[end - 1]
    self.data["Action"] = "ListMultipartUploads"
    return self.serialized(ActionResult(result))


# --- versions ---------------------------------------------------------------------------------------------------------


def _as_listed(self: Any, _memo: Any) -> Any:
    """What a listing of versions tells of an object; the content stays where it is."""
    listed: Any = object.__new__(type(self))
    own = {"_etag": self.etag.strip('"'), "_value_buffer": io.BytesIO(), "multipart": None, "disposed": True}
    listed.__dict__.update(self.__dict__, **own)
    return listed


FakeKey.__deepcopy__ = _as_listed  # type: ignore[attr-defined]


# --- checksums --------------------------------------------------------------------------------------------------------


def _verify(response: Any) -> None:
    body = bytes(response.body or b"")
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    if response.headers.get("Content-MD5", md5) != md5:
        raise S3ClientError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for algorithm, sent in _sent_checksums(response):
        if algorithm in _ALGORITHMS and sent != base64.b64encode(_ALGORITHMS[algorithm](body)).decode():
            message = f"The {algorithm.upper()} you specified did not match the calculated checksum."
            raise S3ClientError("BadDigest", message)


def _sent_checksums(response: Any) -> Iterator[tuple[str, str]]:
    for algorithm in _ALGORITHMS:
        if sent := response.headers.get(f"x-amz-checksum-{algorithm}"):
            yield algorithm, sent
    if "TRAILER" in response.headers.get("x-amz-content-sha256", ""):
        for match in _TRAILER.finditer(response.raw_body[-_TRAILER_BYTES:]):
            yield match[1].decode(), match[2].decode()
