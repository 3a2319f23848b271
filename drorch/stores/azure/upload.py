"""An object on its way into Azure: staged blocks, the commit, and what is settled after a lost reply."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown, Unavailable
from drorch.domain.model import ObjectLock
from drorch.stores import Parts
from drorch.stores.azure import blocks, locks

if TYPE_CHECKING:
    from drorch.stores.azure import AzureStore


class AzureUpload:
    """An upload in equal parts. What is shorter than one part is put: it needs no blocks."""

    def __init__(self, store: AzureStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._token = secrets.token_hex(16)
        self._waiting = b""
        self._begun: datetime | None = None
        self._sent: list[str] = []

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Put Block; a first part that is shorter than a whole one is all there is, and waits for the commit."""
        self._parts.add(len(part))
        if not self._sent and len(part) < self._store.limits.part_bytes:
            self._waiting = bytes(part)
            return
        try:
            if len(part):
                self._stage(bytes(part))
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """Put Block List (or Put Blob), then Get Blob Properties: size and lock must be what was asked for."""
        self._parts.commit()
        if not self._sent:
            self._store.put(self._path, self._waiting)
            self._waiting = b""
        lock = self._store.lock_for(self._path) if self._sent else None
        if self._sent:
            self._complete(lock)
        blob = self._store.facts(self._path)
        if blob.size != self._parts.bytes:
            raise Damaged(
                f"the store holds {blob.size} bytes of {self._parts.bytes}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )
        locks.require(self._store, self._path, lock, blob, "upload")

    def abort(self) -> None:
        """Discard the blocks. Those that cannot be discarded go by themselves within a week, and cost until then."""
        self._parts.end("it was given up")
        self._waiting = b""
        if self._begun is not None:
            self._begun = None
            with suppress(DrorchError):
                blocks.drop(self._store, self._path, self._token)

    def _stage(self, part: bytes) -> None:
        if self._begun is None:
            self._begun = self._store.reckoned()
        name = blocks.block_id(self._begun, self._token, len(self._sent))
        blocks.stage(self._store, self._path, name, part)
        self._sent.append(name)

    def _complete(self, lock: ObjectLock | None) -> None:
        try:
            blocks.commit(self._store, self._path, self._sent, self._token, lock)
        except (AlreadyExists, NotFound, OutcomeUnknown) as error:
            # InvalidBlockList answers a repetition after the first attempt's reply was lost.
            self._settle(error)
        self._begun = None

    def _settle(self, error: DrorchError) -> None:
        """After a lost or odd reply: fine if the object is ours after all; else nothing of ours is left behind.

        Who was first discarded our blocks with his commit; where he was there before they were, Azure does within a
        week.
        """
        try:
            self._store.look(self._path, self._token, error)
        except AlreadyExists:
            self._begun = None
            raise
        except NotFound:
            raise Unavailable(
                "the upload is gone: its blocks were discarded",
                operation="azure Put Block List",
                vault=self._store.vault,
                resource=self._path,
            ) from error
