"""An object on its way into Swift: segments, the manifest, and what is settled after a lost reply."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from drorch.domain.errors import AlreadyExists, Damaged, DrorchError, NotFound, OutcomeUnknown
from drorch.stores import Parts, uncopied
from drorch.stores.swift import segments

if TYPE_CHECKING:
    from drorch.stores.swift import SwiftStore


class SwiftUpload:
    """An upload in equal parts. What is shorter than one part is put: it needs no segments."""

    def __init__(self, store: SwiftStore, path: str) -> None:
        self._store = store
        self._path = path
        self._parts = Parts(store.limits, vault=store.vault, resource=path)
        self._token = secrets.token_hex(16)
        self._waiting = b""
        self._marked = False
        self._unsure = False
        self._sent: list[segments.Segment] = []

    def write(self, part: bytes | bytearray | memoryview) -> None:
        """Send a segment; a first part that is shorter than a whole one is all there is, and waits for the commit."""
        self._parts.add(len(part))
        if not self._marked and len(part) < self._store.limits.part_bytes:
            self._waiting = bytes(part)
            return
        try:
            if not self._marked:
                segments.mark(self._store, self._path, self._token)
                self._marked = True
            if len(part):
                self._send(uncopied(part))
        except DrorchError:
            self._parts.end("a part could not be sent")
            raise

    def commit(self) -> None:
        """Write the manifest (or the object), then HEAD: size and ETag must be those of what was sent."""
        self._parts.commit()
        if not self._marked:
            self._store.put(self._path, self._waiting)
            self._waiting = b""
            return
        named = segments.gathered(self._store, self._path, self._token, self._sent)
        try:
            self._write_manifest(named)
        except AlreadyExists:
            with suppress(DrorchError):
                self._drop()
            raise
        except OutcomeUnknown:
            self._unsure = True
            raise
        self._marked = False
        with suppress(DrorchError):  # the object is there; `abort_upload` knows a mark that was left
            segments.unmark(self._store, self._path, self._token)
        found = self._store.facts(self._path)
        if (found.size, found.etag) != (self._parts.bytes, segments.etag_of(named)):
            raise Damaged(
                f"the store holds {found.size} bytes, ETag {found.etag}, of {self._parts.bytes}",
                operation="upload",
                vault=self._store.vault,
                resource=self._path,
            )

    def abort(self) -> None:
        """Delete the segments. Raises when that fails: they would stay, invisible and billed.

        After a commit whose outcome is unknown they stay for as long as a manifest may still arrive that names them:
        `uploads` shows them, `abort_upload` drops them unless it has arrived.
        """
        self._parts.end("it was given up")
        self._waiting = b""
        if not self._marked:
            return
        if self._unsure:
            with suppress(NotFound):
                if self._store.facts(self._path).token == self._token:
                    segments.unmark(self._store, self._path, self._token)
            self._marked = False
            return
        self._drop()

    def _send(self, body: bytes | bytearray) -> None:
        name = f"{segments.folder(self._store, self._path, self._token)}{len(self._sent) + 1:08d}"
        self._sent.append(segments.put(self._store, self._path, name, body))

    def _write_manifest(self, named: list[segments.Segment]) -> None:
        began = time.monotonic()
        headers = self._store.once(self._token)
        name = self._store.name(self._path)
        with self._store.settled(self._path, self._token, began):
            reply = segments.put_manifest(self._store, self._path, name, named, headers, mutates=True)
            self._store.require_newest(reply, self._path)

    def _drop(self) -> None:
        segments.drop(self._store, self._path, self._token, self._sent)
        self._marked = False
