"""Locks in Azure: the immutability policy of a version.

https://learn.microsoft.com/azure/storage/blobs/immutable-policy-configure-version-scope: the container must have been
made for it. `Locked` is never shortened or taken off by anybody, `Unlocked` by whoever may delete policies (drorch
never asks to). The requests that create a blob take the policy along, in whole seconds; a version that has one can be
made a former one, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drorch.domain.errors import DrorchError, NotInThisVersion, Refused
from drorch.domain.model import LockMode, ObjectLock
from drorch.stores import require_lock, stronger, told_as_lock, whole_second

if TYPE_CHECKING:
    from drorch.stores.azure import AzureStore

HINT = (
    "the container must have version-level immutability, the caller"
    " Microsoft.Storage/storageAccounts/blobServices/containers/blobs/immutableStorage/runAsSuperUser/action;"
    " else take `lock:` from the vault"
)
_MODES = {LockMode.COMPLIANCE: "Locked", LockMode.GOVERNANCE: "Unlocked"}


def of_request(lock: ObjectLock | None) -> dict[str, Any]:
    """The parameter of Put Blob and Put Block List that locks the blob at its creation."""
    return {} if lock is None else {"immutability_policy": _policy(lock)}


def of_blob(blob: Any) -> ObjectLock | None:
    """The policy in a blob's properties. A mode that is not known counts as one that can be taken off again."""
    policy = blob.immutability_policy
    mode, until = policy.policy_mode, policy.expiry_time
    if not mode or until is None:
        return None
    compliant = str(getattr(mode, "value", mode)).lower() == "locked"
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    return ObjectLock(LockMode.COMPLIANCE if compliant else LockMode.GOVERNANCE, until)


def require(store: AzureStore, path: str, wanted: ObjectLock | None, blob: Any, operation: str) -> None:
    """Refused unless the properties show the lock that was wanted, if one was."""
    if wanted is not None:
        require_lock(wanted, of_blob(blob), operation=operation, vault=store.vault, resource=path, hint=HINT)


@contextmanager
def hinted(wanted: ObjectLock | None) -> Iterator[None]:
    """A refusal that speaks of immutability says what to do about it."""
    try:
        yield
    except Refused as error:
        if wanted is not None and "immutab" in error.cause.lower():
            error.hint = HINT
        raise


def extend(store: AzureStore, path: str, until: datetime) -> None:
    """Set Blob Immutability Policy on the current version, read back; nothing is asked where the lock is long enough.

    https://learn.microsoft.com/rest/api/storageservices/set-blob-immutability-policy
    """
    operation = "azure Set Blob Immutability Policy"
    if store.lock is None:
        raise NotInThisVersion("this vault has no lock", operation=operation, vault=store.vault, resource=path)
    before = store.facts(path)
    found = of_blob(before)
    wanted = stronger(ObjectLock(store.lock.mode, whole_second(until)), found)
    if wanted == found:
        return
    version = str(before.version_id or "")
    named = {"version_id": version} if version else {}
    with hinted(wanted), store.mapped(operation, path):
        store.blob(path).set_immutability_policy(_policy(wanted), **named)
    require(store, path, wanted, store.facts(path, version), operation)


def require_none(store: AzureStore, path: str, blob: Any) -> None:
    """Refused while the blob's lock stands. A deletion would not be refused: it would hide the version."""
    lock = of_blob(blob)
    if lock is None:
        return
    where = {"operation": "azure Delete Blob", "vault": store.vault, "resource": path}
    free = Refused("")
    told = told_as_lock(free, lock, store.reckoned(), **where)
    if told is not free:
        raise told


def refused(store: AzureStore, path: str, version: str, error: Refused) -> Refused:
    """A refusal to delete a version, told as the lock that it comes from, if it does."""
    try:
        lock = of_blob(store.facts(path, version))
    except DrorchError:
        lock = None
    where = {"operation": "azure Delete Blob", "vault": store.vault, "resource": path}
    return told_as_lock(error, lock, store.reckoned(), **where)


def _policy(lock: ObjectLock) -> Any:
    from azure.storage.blob import ImmutabilityPolicy

    return ImmutabilityPolicy(expiry_time=lock.until, policy_mode=_MODES[lock.mode])
