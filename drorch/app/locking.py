"""Locks of copies: extended for the newest of the floor, and always read back. A reply that says yes proves nothing."""

from __future__ import annotations

from collections.abc import Callable

from drorch.app.failpoint import reach
from drorch.domain import layout
from drorch.domain.action import Lock
from drorch.domain.catalogue_locks import NEVER_LOCKED, weakest
from drorch.domain.errors import Refused
from drorch.domain.instant import to_text
from drorch.domain.model import ObjectLock, RecoveryPoint
from drorch.ports import ObjectStore

RememberLock = Callable[[str, str, str, ObjectLock], None]
"""(vault, application that it is filed under, point, what was read back)."""


def lock_copy(action: Lock, point: RecoveryPoint, store: ObjectStore, remember: RememberLock) -> str:
    """Lock every object of a dump's copy (with `extend`), read each lock back, and remember the weakest.

    Refused when the store gave less than was asked for: the vault claims a lock that it does not have.
    """
    if store.lock is None or point.cut_at is None:
        raise Refused("this vault has no lock", operation="lock", vault=action.vault)
    until = store.now() + store.lock.for_
    folder = layout.data_folder(*point.filed_under, point.cut_at, point.id)
    manifest = layout.manifest_path(*point.filed_under, point.cut_at, point.id)
    paths = [*sorted(info.path for info in store.list(folder)), manifest + layout.SIGNATURE, manifest]
    reach("lock.before")
    locks: list[ObjectLock] = []
    for path in paths:
        if action.extend:
            store.extend_lock(path, until)
        lock = store.lock_of(path) or NEVER_LOCKED
        if action.extend and (lock.until < until.replace(microsecond=0) or lock.mode is not store.lock.mode):
            raise Refused(
                f"{path} is not locked as it was asked for",
                operation="lock",
                vault=action.vault,
                cause=f"read back: {lock.mode} until {to_text(lock.until)}, asked: {to_text(until)}",
                hint=f"drorch vault check {action.vault}",
            )
        locks.append(lock)
    reach("lock.called")
    found = weakest(locks)
    remember(action.vault, point.filed_under[0], point.id, found)
    return f"locked in {action.vault} until {to_text(found.until)} ({found.mode}), read back"
