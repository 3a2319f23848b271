"""S3: wrong checksums are refused, and write-once stays write-once when two writers race.

moto stores an object whatever checksum came with it, and looks for an existing object without a lock.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from awscrt import checksums  # type: ignore[import-untyped]
from moto.s3.exceptions import S3ClientError
from moto.s3.responses import S3Response

from drorch.demo.repairs.replacing import around

_TRAILER = re.compile(rb"x-amz-checksum-(\w+):([A-Za-z0-9+/=]+)\s*$")
_TRAILER_BYTES = 256
_conditional = threading.Lock()


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
