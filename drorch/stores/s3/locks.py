"""S3 Object Lock: what the requests say, what the replies show, and how a lock is extended.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html: a retention belongs to one version; compliance
mode is never shortened by anybody, governance mode by whoever may bypass it (drorch never asks to).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import Damaged, NotInThisVersion, Refused
from drorch.domain.model import LockMode, ObjectLock
from drorch.stores import require_lock, stronger, told_as_lock, whole_second

if TYPE_CHECKING:
    from drorch.stores.s3 import S3Store

HINT = (
    "the bucket needs Object Lock (it cannot be emulated), the caller s3:PutObjectRetention and s3:GetObjectRetention;"
    " else take `lock:` from the vault"
)


def of_request(lock: ObjectLock | None) -> dict[str, Any]:
    """The parameters of PutObject and CreateMultipartUpload that lock the object at its creation."""
    if lock is None:
        return {}
    return {"ObjectLockMode": lock.mode.value.upper(), "ObjectLockRetainUntilDate": lock.until}


def of_reply(head: Any) -> ObjectLock | None:
    """The lock in a HeadObject reply. It shows none to a caller without s3:GetObjectRetention
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html). A mode that is not known counts as one that
    can be taken off again.
    """
    mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
    if not mode or until is None:
        return None
    compliant = mode.lower() == LockMode.COMPLIANCE
    return ObjectLock(LockMode.COMPLIANCE if compliant else LockMode.GOVERNANCE, until.astimezone(UTC))


def require(store: S3Store, path: str, wanted: ObjectLock | None, head: Any, operation: str) -> None:
    """Refused unless the reply shows the lock that was wanted, if one was."""
    if wanted is not None:
        require_lock(wanted, of_reply(head), operation=operation, vault=store.vault, resource=path, hint=HINT)


@contextmanager
def hinted(wanted: ObjectLock | None) -> Iterator[None]:
    """A refusal that speaks of locks says what to do about it."""
    try:
        yield
    except Refused as error:
        if wanted is not None and not error.hint and "lock" in error.cause.lower():
            error.hint = HINT
        raise


def extend(store: S3Store, path: str, until: datetime) -> None:
    """PutObjectRetention on the current version, read back; nothing is asked where the lock is long enough.

    A gateway that does not know the request may take its body for the object's (Swift's answers 200 and replaces the
    object), so it is sent only to a bucket that says it has Object Lock; size and ETag are compared afterwards.
    """
    operation = "s3 PutObjectRetention"
    if store.lock is None:
        raise NotInThisVersion("this vault has no lock", operation=operation, vault=store.vault, resource=path)
    before = store.head(path)
    found = of_reply(before)
    wanted = stronger(ObjectLock(store.lock.mode, whole_second(until)), found)
    if wanted == found:
        return
    _require_configured(store, path)
    version = {"VersionId": before["VersionId"]} if before.get("VersionId") else {}
    with hinted(wanted), store.mapped(operation, path):
        store.client.put_object_retention(
            **store.key(path),
            **version,
            Retention={"Mode": wanted.mode.value.upper(), "RetainUntilDate": wanted.until},
        )
    after = store.head(path, version.get("VersionId", ""))
    if (after["ContentLength"], after["ETag"]) != (before["ContentLength"], before["ETag"]):
        raise Damaged(
            "the object is another after its lock was extended", operation=operation, vault=store.vault, resource=path
        )
    require(store, path, wanted, after, operation)


def _require_configured(store: S3Store, path: str) -> None:
    """Refused unless the bucket has Object Lock, which is never switched off: asked once."""
    if store.bucket_locks:
        return
    with (
        hinted(ObjectLock(LockMode.GOVERNANCE, datetime.now(UTC))),
        store.mapped("s3 GetObjectLockConfiguration", path),
    ):
        reply = store.client.get_object_lock_configuration(Bucket=store.bucket)
    if reply.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
        raise Refused(
            "the bucket has no Object Lock",
            operation="s3 GetObjectLockConfiguration",
            vault=store.vault,
            resource=store.bucket,
            hint=HINT,
        )
    store.bucket_locks = True


def refused(store: S3Store, path: str, version: str, error: Refused) -> Refused:
    """A refusal to delete a version, told as the lock that it comes from, if it does."""
    try:
        lock = of_reply(store.head(path, version))
    except Refused:
        lock = None
    return told_as_lock(error, lock, store.reckoned(), operation="s3 DeleteObject", vault=store.vault, resource=path)
