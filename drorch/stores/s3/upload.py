"""An object on its way into S3: parts, the commit, and what is settled after a lost reply."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Unavailable
from drorch.domain.model import ObjectLock
from drorch.stores import Parts, uncopied
from drorch.stores.s3 import locks, replies

if TYPE_CHECKING:
    from drorch.stores.s3 import S3Store

TOKEN = "drorch-write"  # noqa: S105  (the name of a metadata field)


class S3Upload:
    """An upload in equal parts. What is shorter than one part is put: it needs no multipart."""

    def __init__(self, store: S3Store, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._token = secrets.token_hex(16)
        self._waiting = b""
        self._upload_id = ""
        self._sent: list[dict[str, Any]] = []
        self._lock: ObjectLock | None = None

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """UploadPart; a first part that is shorter than a whole one is all there is, and waits for the commit."""
        self._parts.add(len(part))
        if not self._upload_id and len(part) < self._store.limits.part_bytes:
            self._waiting = bytes(part)
            return
        try:
            if not self._upload_id:
                self._begin()
            if len(part):
                self._send(part)
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """CompleteMultipartUpload (or PutObject), then HeadObject: size and lock must be what was asked for."""
        self._parts.commit()
        if not self._upload_id:
            self._store.put(self._path, self._waiting)
            self._waiting = b""
        else:
            self._complete()
        head = self._store.head(self._path)
        size = head["ContentLength"]
        if size != self._parts.bytes:
            raise Damaged(
                f"the store holds {size} bytes of {self._parts.bytes}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )
        locks.require(self._store, self._path, self._lock, head, "upload")

    def abort(self) -> None:
        """AbortMultipartUpload. Raises when the parts could not be dropped: they would stay, invisible and billed."""
        self._parts.end("it was given up")
        self._waiting = b""
        if not self._upload_id:
            return
        with suppress(NotFound), self._store.mapped("s3 AbortMultipartUpload", self._path, mutates=True):
            self._store.client.abort_multipart_upload(**self._store.key(self._path), UploadId=self._upload_id)
        self._upload_id = ""

    def _begin(self) -> None:
        self._lock = self._store.lock_for(self._path)
        with locks.hinted(self._lock), self._store.mapped("s3 CreateMultipartUpload", self._path):
            begun = self._store.client.create_multipart_upload(
                **self._store.key(self._path),
                Metadata={TOKEN: self._token},
                **self._store.checked_parts,
                **locks.of_request(self._lock),
            )
        replies.require(self._store, begun, ("UploadId",), "s3 CreateMultipartUpload", self._path)
        self._upload_id = begun["UploadId"]

    def _send(self, part: bytes | bytearray | memoryview) -> None:
        number = len(self._sent) + 1
        body = uncopied(part)
        checksum = self._store.checksum(body)
        with self._store.mapped("s3 UploadPart", self._path):  # repeating the same part changes nothing
            reply = self._store.client.upload_part(
                **self._store.key(self._path), UploadId=self._upload_id, PartNumber=number, Body=body, **checksum
            )
        replies.require(self._store, reply, ("ETag",), "s3 UploadPart", self._path)
        checksum.pop("ContentMD5", None)
        self._sent.append({"PartNumber": number, "ETag": reply["ETag"], **checksum})

    def _complete(self) -> None:
        operation, began = "s3 CompleteMultipartUpload", time.monotonic()
        try:
            with self._store.mapped(operation, self._path, mutates=True):
                self._store.client.complete_multipart_upload(
                    **self._store.key(self._path),
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._sent},
                    IfNoneMatch="*",
                )
        except (AlreadyExists, NotFound, OutcomeUnknown) as error:
            # NoSuchUpload answers a repetition after the first attempt's reply was lost.
            self._settle(error)
        self._store.settled(self._path, self._token, began, operation)
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
