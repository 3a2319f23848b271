"""Locks in GCS: the retention of an object.

https://cloud.google.com/storage/docs/object-lock: `Locked` is never shortened or taken off by anybody, `Unlocked` by
whoever may override it (drorch never asks to); the bucket must have been made for it. A locked object can be made
noncurrent, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import AlreadyExists, NotInThisVersion, Refused, Unavailable
from drorch.domain.model import LockMode, ObjectLock
from drorch.stores import require_lock, stronger, told_as_lock, whole_second

if TYPE_CHECKING:
    from drorch.stores.gcs import GcsStore

HINT = (
    "the bucket must have object retention enabled, the caller storage.objects.setRetention (and .update to extend);"
    " else take `lock:` from the vault"
)
_MODES = {LockMode.COMPLIANCE: "Locked", LockMode.GOVERNANCE: "Unlocked"}


def set_on(blob: Any, lock: ObjectLock) -> None:
    """Let the next request that writes the blob, or patches it, lock it."""
    blob.retention.mode = _MODES[lock.mode]
    blob.retention.retain_until_time = lock.until


def of_blob(blob: Any) -> ObjectLock | None:
    """The retention of an object; one that comes from its bucket counts as one that can be taken off again."""
    retention = blob.retention
    if retention.mode and retention.retain_until_time is not None:
        known = {told: mode for mode, told in _MODES.items()}
        return ObjectLock(known.get(retention.mode, LockMode.GOVERNANCE), _utc(retention.retain_until_time))
    kept = blob.retention_expiration_time
    return ObjectLock(LockMode.GOVERNANCE, _utc(kept)) if kept is not None else None


def require(store: GcsStore, path: str, wanted: ObjectLock | None, blob: Any, operation: str) -> None:
    """Refused unless the object has the lock that was wanted, if one was."""
    if wanted is not None:
        require_lock(wanted, of_blob(blob), operation=operation, vault=store.vault, resource=path, hint=HINT)


@contextmanager
def hinted(wanted: ObjectLock | None) -> Iterator[None]:
    """A refusal that speaks of retention says what to do about it."""
    try:
        yield
    except Refused as error:
        if wanted is not None and "retention" in error.cause.lower():
            error.hint = HINT
        raise


def extend(store: GcsStore, path: str, until: datetime) -> None:
    """objects.patch of the live generation, read back; nothing is asked where the lock is long enough."""
    operation = "gcs objects.patch"
    if store.lock is None:
        raise NotInThisVersion("this vault has no lock", operation=operation, vault=store.vault, resource=path)
    blob = store.facts(path)
    found = of_blob(blob)
    wanted = stronger(ObjectLock(store.lock.mode, whole_second(until)), found)
    if wanted == found:
        return
    set_on(blob, wanted)
    try:
        with hinted(wanted):
            store.patch(blob, path)
    except AlreadyExists as error:  # 412
        raise Unavailable(
            "it was changed while it was locked", operation=operation, vault=store.vault, resource=path
        ) from error
    require(store, path, wanted, store.facts(path), operation)


def refused(store: GcsStore, path: str, generation: str, error: Refused) -> Refused:
    """A refusal to delete a generation, told as the lock that it comes from, if it does."""
    try:
        lock = of_blob(store.facts(path, generation))
    except Refused:
        lock = None
    return told_as_lock(error, lock, store.reckoned(), operation="gcs objects.delete", vault=store.vault, resource=path)


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
