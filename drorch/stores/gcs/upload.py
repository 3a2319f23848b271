"""An object on its way into GCS: the session, the commit, and what is settled after a lost reply."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Unavailable
from drorch.stores import Parts
from drorch.stores.gcs import locks

if TYPE_CHECKING:
    from drorch.stores.gcs import GcsStore
    from drorch.stores.gcs.session import Session


_PIECE = 256 * 1024


def crc32c() -> Any:
    """An empty CRC-32C."""
    import google_crc32c

    library: Any = google_crc32c
    return library.Checksum()


class GcsUpload:
    """An upload in equal parts. What is shorter than one part is put: it needs no session."""

    def __init__(self, store: GcsStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._lock = store.lock_for(path)
        self._blob, self._token = store.new(path, self._lock)
        self._checksum = crc32c()
        self._waiting = b""
        self._session: Session | None = None

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Send a whole part; keep a shorter one for the commit, as it ends the object."""
        self._parts.add(len(part))
        for at in range(0, len(part), _PIECE):  # the library takes no views
            self._checksum.update(bytes(part[at : at + _PIECE]))
        if len(part) < self._store.limits.part_bytes:
            self._waiting = bytes(part)
            return
        try:
            if self._session is None:
                self._session = self._store.begin(self._blob, self._path)
            self._session.send(part)
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """Send the last part with the total size, then objects.get: size, CRC-32C and lock must be as asked for."""
        self._parts.commit()
        in_session = self._session is not None
        digest = base64.b64encode(self._checksum.digest()).decode()
        if self._session is None:
            self._store.put(self._path, self._waiting)
        else:
            try:
                self._session.finish(self._waiting, digest)
            except (AlreadyExists, NotFound, OutcomeUnknown) as error:
                self._settle(error)
            self._session = None
        self._waiting = b""
        blob = self._store.facts(self._path)
        sent = (self._parts.bytes, digest)
        if (blob.size, blob.crc32c) != sent:
            raise Damaged(
                f"the store holds {blob.size} bytes, CRC-32C {blob.crc32c}, of {sent[0]}, {sent[1]}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )
        if in_session:
            locks.require(self._store, self._path, self._lock, blob, "upload")

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
