"""What the GCS emulator forgets: write-once preconditions, holds, retention, versions; and uploads in linear time.

gcp-storage-emulator 2026.7.19 ignores ``ifGenerationMatch`` (8 of 8 racing creates "won"), drops holds and retention of
objects, stores that of buckets without enforcing it, keeps no noncurrent generations, and takes no notice of the digest
that comes with the last chunk of an upload. Every write of it ends in one of four methods, which are repaired here.
https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/object-holds,
https://cloud.google.com/storage/docs/object-lock, https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from gcp_storage_emulator.exceptions import BadRequest, NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.storage import Storage

objects._WRITABLE_FIELDS = tuple(
    dict.fromkeys((*objects._WRITABLE_FIELDS, "temporaryHold", "eventBasedHold", "retention"))
)
_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


class PreconditionFailed(Exception):
    """HTTP 412: the object's generation is not what the caller expects."""


class HeldObject(Exception):
    """HTTP 403: a hold, or the retention of the object or of the bucket, keeps the object as it is."""


class RepairedStorage(Storage):  # type: ignore[misc]  # the emulator has no types
    """In memory. `conditions` are the query parameters of the request being served, `announced` the digest in its
    X-Goog-Hash header; the caller holds the lock.
    """

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True, data_dir="/")
        self.conditions: Mapping[str, list[str]] = {}
        self.announced = ""
        self._sessions: dict[str, bytearray] = {}
        self._noncurrent: dict[tuple[str, str], list[tuple[dict[str, Any], bytes]]] = {}

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
            self._require_digest(content)
            self.require_generation(bucket, name)
            self._require_retainable(bucket, resource)
            self._make_way(bucket, name)
        except (BadRequest, PreconditionFailed, HeldObject):
            if session:
                self.forget_session(session)
            raise
        if (ends := self._kept_until(bucket, resource)) is not None:
            resource["retentionExpirationTime"] = ends.strftime(_INSTANT)
        super().create_file(bucket, name, content, resource, session)
        if session:
            self._sessions.pop(session, None)

    def delete_file(self, bucket: str, name: str) -> None:
        """Delete the generation that the request names for good, if nothing holds it; else make the live one give way.

        NotFound when there is no such object or generation.
        """
        self.require_generation(bucket, name)
        live = self.objects.get(bucket, {}).get(name)
        wanted = (self.conditions.get("generation") or [""])[0]
        if wanted and (live is None or live["generation"] != wanted):
            self._delete_noncurrent(bucket, name, wanted)
            return
        if wanted or live is None:
            self._require_free(bucket, live)
        else:
            self._make_way(bucket, name)
        super().delete_file(bucket, name)

    def versions(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        """The noncurrent generations of the objects whose names start with `prefix`."""
        return [
            resource
            for (where, name), kept in self._noncurrent.items()
            if where == bucket and name.startswith(prefix)
            for resource, _ in kept
        ]

    @contextmanager
    def showing(self, bucket: str, name: str, generation: str) -> Iterator[None]:
        """Within the block the generation is the live one; NotFound when there is none such."""
        live = self.objects.get(bucket, {}).get(name)
        if live is not None and live["generation"] == generation:
            yield
            return
        kept = {pair[0]["generation"]: pair for pair in self._noncurrent.get((bucket, name), ())}
        if generation not in kept:
            raise NotFound
        resource, content = kept[generation]
        there = self.get_file(bucket, name) if live is not None else b""
        objects_there = self.objects.setdefault(bucket, {})
        objects_there[name] = resource
        self._store.write_bytes(self._object_path(bucket, name), content)
        try:
            yield
        finally:
            if live is None:
                del objects_there[name]
            else:
                objects_there[name] = live
                self._store.write_bytes(self._object_path(bucket, name), there)

    def require_patchable(self, bucket: str, name: str, changes: Any) -> None:
        """Raise unless the metadata of the live object may be changed so: a locked retention only grows."""
        live = self.objects.get(bucket, {}).get(name)
        wanted = (self.conditions.get("ifMetagenerationMatch") or [""])[0]
        if live is None or "retention" not in (changes or {}):
            return
        if wanted and wanted != live["metageneration"]:
            raise PreconditionFailed(name)
        self._require_retainable(bucket, changes)
        before, after = live.get("retention") or {}, changes["retention"] or {}
        shorter = str(after.get("retainUntilTime") or "") < str(before.get("retainUntilTime") or "")
        override = (self.conditions.get("overrideUnlockedRetention") or [""])[0] == "true"
        if (before.get("mode") == "Locked" and (shorter or after.get("mode") != "Locked")) or (
            shorter and not override
        ):
            raise HeldObject(f"the retention of {name} cannot be shortened")

    def create_resumable_upload(self, bucket: str, name: str, resource: Any) -> str:
        """Open a session, if its preconditions hold now."""
        self.require_generation(bucket, name)
        self._require_retainable(bucket, resource)
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

    def _require_digest(self, content: bytes) -> None:
        """https://cloud.google.com/storage/docs/data-validation"""
        announced = self.announced.partition("crc32c=")[2].partition(",")[0]
        if announced and announced != (found := objects._crc32c(content)):
            raise BadRequest(objects.CRC32C_CHECKSUM_ERROR.format(announced, found))

    def _make_way(self, bucket: str, name: str) -> None:
        """The live object becomes noncurrent where there are versions, which nothing prevents; else it must be free."""
        live = self.objects.get(bucket, {}).get(name)
        if live is None:
            return
        if not ((self.get_bucket(bucket) or {}).get("versioning") or {}).get("enabled"):
            self._require_free(bucket, live)
            return
        gone = dict(live) | {"timeDeleted": datetime.now(UTC).strftime(_INSTANT)}
        self._noncurrent.setdefault((bucket, name), []).append((gone, self.get_file(bucket, name)))

    def _delete_noncurrent(self, bucket: str, name: str, generation: str) -> None:
        kept = self._noncurrent.get((bucket, name), [])
        for pair in kept:
            if pair[0]["generation"] == generation:
                self._require_free(bucket, pair[0])
                kept.remove(pair)
                return
        raise NotFound

    def _require_retainable(self, bucket: str, resource: Any) -> None:
        enabled = ((self.get_bucket(bucket) or {}).get("objectRetention") or {}).get("mode") == "Enabled"
        if ((resource or {}).get("retention") or {}).get("mode") and not enabled:
            raise BadRequest("Object retention is not enabled for the bucket")

    def _require_free(self, bucket: str, resource: Any) -> None:
        if resource is None:
            return
        name = resource["name"]
        if resource.get("temporaryHold") or resource.get("eventBasedHold"):
            raise HeldObject(f"{name} is held")
        ends = self._kept_until(bucket, resource)
        if ends is not None and datetime.now(UTC) < ends:
            raise HeldObject(f"{name} is retained")

    def _kept_until(self, bucket: str, resource: Any) -> datetime | None:
        """The later end of the bucket's and the object's own retention."""
        ends = []
        if told := (resource.get("retention") or {}).get("retainUntilTime"):
            ends.append(datetime.fromisoformat(told))
        policy = (self.get_bucket(bucket) or {}).get("retentionPolicy") or {}
        if period := int(policy.get("retentionPeriod") or 0):
            born = datetime.strptime(resource["timeCreated"], _INSTANT).replace(tzinfo=UTC)
            ends.append(born + timedelta(seconds=period))
        return max(ends, default=None)

    def _write_config_to_file(self) -> None:
        """Nothing to keep: the original writes the metadata of all objects at each change."""
