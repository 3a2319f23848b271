"""What the GCS emulator forgets: write-once preconditions, holds, retention; and uploads in linear time.

gcp-storage-emulator 2026.7.19 ignores ``ifGenerationMatch`` (8 of 8 racing creates "won"), drops holds, and stores
retention without enforcing it. Every write of it ends in one of four methods, which are repaired here.
https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/object-holds
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.storage import Storage

objects._WRITABLE_FIELDS = tuple(dict.fromkeys((*objects._WRITABLE_FIELDS, "temporaryHold", "eventBasedHold")))


class PreconditionFailed(Exception):
    """HTTP 412: the object's generation is not what the caller expects."""


class HeldObject(Exception):
    """HTTP 403: a hold or the bucket's retention keeps the object as it is."""


class RepairedStorage(Storage):  # type: ignore[misc]  # the emulator has no types
    """In memory. `conditions` are the query parameters of the request being served; the caller holds the lock."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True, data_dir="/")
        self.conditions: Mapping[str, list[str]] = {}
        self._sessions: dict[str, bytearray] = {}

    def require_generation(self, bucket: str, name: str) -> None:
        """Raise PreconditionFailed unless the live generation (0: there is none) is as the request expects."""
        live = int((self.objects.get(bucket, {}).get(name) or {}).get("generation", 0))
        wanted = self.conditions.get("ifGenerationMatch")
        unwanted = self.conditions.get("ifGenerationNotMatch")
        if (wanted and int(wanted[0]) != live) or (unwanted and int(unwanted[0]) == live):
            raise PreconditionFailed(name)

    def create_file(self, bucket: str, name: str, content: bytes, resource: Any, session: str | None = None) -> None:
        """Make an object, if its preconditions hold now (for a resumable upload: at its end)."""
        try:
            self.require_generation(bucket, name)
            self._require_free(bucket, name)
        except (PreconditionFailed, HeldObject):
            if session:
                self.forget_session(session)
            raise
        super().create_file(bucket, name, content, resource, session)
        if session:
            self._sessions.pop(session, None)

    def delete_file(self, bucket: str, name: str) -> None:
        """Delete an object, if nothing holds it."""
        self.require_generation(bucket, name)
        self._require_free(bucket, name)
        super().delete_file(bucket, name)

    def create_resumable_upload(self, bucket: str, name: str, resource: Any) -> str:
        """Open a session, if its preconditions hold now."""
        self.require_generation(bucket, name)
        return str(super().create_resumable_upload(bucket, name, resource))

    def forget_session(self, session: str) -> None:
        """Drop an upload session and what was sent; harmless when unknown."""
        self.resumable.pop(session, None)
        self._sessions.pop(session, None)

    def add_to_resumable_upload(
        self, session: str, content: bytes, total_size: int | None = None, expected_start: int | None = None
    ) -> bytes | None:
        """Append a chunk; the whole content once `total_size` is reached. The original rewrites all for each chunk."""
        buffer = self._sessions.setdefault(session, bytearray())
        if expected_start is not None and expected_start != len(buffer):
            raise BadRequest(f"Invalid Content-Range start: expected {len(buffer)}, got {expected_start}")
        buffer += content or b""
        return bytes(buffer[:total_size]) if total_size is not None and len(buffer) >= total_size else None

    def get_resumable_byte_count(self, session: str) -> int:
        """Bytes received so far."""
        return len(self._sessions.get(session, b""))

    def get_resumable_file_obj(self, session: str) -> Any:
        """The object that the session is to become; NotFound when the session is over."""
        if session not in self.resumable:
            raise NotFound
        return self.resumable[session]

    def _require_free(self, bucket: str, name: str) -> None:
        live = self.objects.get(bucket, {}).get(name)
        if live is None:
            return
        if live.get("temporaryHold") or live.get("eventBasedHold"):
            raise HeldObject(f"{name} is held")
        policy = (self.get_bucket(bucket) or {}).get("retentionPolicy") or {}
        born = datetime.strptime(live["timeCreated"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        if datetime.now(UTC) < born + timedelta(seconds=int(policy.get("retentionPeriod") or 0)):
            raise HeldObject(f"{name} is retained")

    def _write_config_to_file(self) -> None:
        """Nothing to keep: the original writes the metadata of all objects at each change."""
