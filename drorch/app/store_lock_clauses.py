"""The clauses for vaults with a lock, of `store_contract` as the others: what is claimed is tried, for two minutes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from drorch.app.store_clauses import ContractBroken, pattern, raises, read, require, send
from drorch.domain.errors import Refused
from drorch.ports import LockRule, ObjectLock, ObjectStore

CHECK_LOCK = timedelta(minutes=2)
"""How long what a check writes is locked: a large upload over a slow line must end before."""
NO_LOCK = "no lock was asked for: whoever may delete here can take every copy"
_SLACK = timedelta(seconds=2)
"""Clocks of whole seconds, cut off."""


@runtime_checkable
class Lockable(Protocol):
    """An object store whose lock can be tried without keeping what is written for weeks."""

    def with_lock(self, rule: LockRule, below: str) -> ObjectStore:
        """The same store, which locks by `rule` what is written once below the prefix `below`, and nothing else."""


def overwritten(store: ObjectStore, prefix: str) -> str | None:
    """An object that may be written over is not locked. The first clause: what else is written would be, too."""
    if store.lock is None:
        return NO_LOCK
    path = prefix + "object"
    store.put(path, b"first", overwrite=True)
    found = store.lock_of(path)
    require(
        found is None,
        f"the bucket locks by itself ({found.mode if found else ''}): RESTORE.md and heads could not be removed; take "
        "the default retention from the bucket, `lock:` locks what is to be locked",
    )
    return None


def locked(store: ObjectStore, prefix: str) -> str | None:
    """A put is locked as read back, is not deleted, and its lock is never shortened."""
    if store.lock is None:
        return NO_LOCK
    briefly = _briefly(store, prefix)
    path = prefix + "object"
    begun = store.now()
    briefly.put(path, b"locked")
    found = _require_locked(briefly, path, begun + CHECK_LOCK)
    with raises(Refused, "a locked object can be deleted"):
        briefly.delete(path)
    require(read(store, path) == b"locked", "a refused deletion took a locked object away")
    briefly.extend_lock(path, found.until - CHECK_LOCK / 2)
    _require_locked(briefly, path, found.until)
    briefly.extend_lock(path, found.until + CHECK_LOCK / 4)
    _require_locked(briefly, path, found.until + CHECK_LOCK / 4)
    require(read(store, path) == b"locked", "a lock that was extended changed the object")
    return None


def locked_parts(store: ObjectStore, prefix: str) -> str | None:
    """An upload in parts is locked as read back, and not deleted."""
    if store.lock is None:
        return NO_LOCK
    briefly = _briefly(store, prefix)
    path = prefix + "object"
    begun = store.now()
    send(briefly, path, [pattern(store.limits.part_bytes, 8), b"end"])
    _require_locked(briefly, path, begun + CHECK_LOCK)
    with raises(Refused, "a locked object that was sent in parts can be deleted"):
        briefly.delete(path)
    require(store.stat(path).size == store.limits.part_bytes + 3, "a refused deletion took a locked object away")
    return None


def _briefly(store: ObjectStore, prefix: str) -> ObjectStore:
    if store.lock is None or not isinstance(store, Lockable):
        raise ContractBroken("it claims a lock that cannot be tried")
    return store.with_lock(LockRule(mode=store.lock.mode, for_=CHECK_LOCK), prefix)


def _require_locked(store: ObjectStore, path: str, until: datetime) -> ObjectLock:
    """The lock as it is read back: in the mode that was asked for, until then at least, and not for much longer."""
    found = store.lock_of(path)
    if found is None or store.lock is None:
        raise ContractBroken("the vault claims a lock that it does not give: read back, there is none")
    require(found.mode is store.lock.mode, f"asked for a {store.lock.mode} lock, it is {found.mode}")
    require(found.until >= until - _SLACK, f"locked until {found.until} only, not {until}")
    require(found.until <= store.now() + 2 * CHECK_LOCK, f"locked until {found.until}, much longer than asked for")
    return found
