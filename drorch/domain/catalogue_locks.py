"""The part of the fold that tells what locks say of a native copy: all of its members are locked, or some, or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from drorch.domain.model import Copy, LockMode, ObjectLock
from drorch.domain.native import IMAGE

NEVER_LOCKED = ObjectLock(LockMode.GOVERNANCE, datetime(1970, 1, 1, tzinfo=UTC))
"""What is read back of something that has no lock, and of a copy of which a part has none."""


def weakest(locks: Collection[ObjectLock]) -> ObjectLock:
    """What holds of all of them: the mode that can be bypassed, the earliest end; `NEVER_LOCKED` for none."""
    if not locks:
        return NEVER_LOCKED
    governed = any(lock.mode is LockMode.GOVERNANCE for lock in locks)
    mode = LockMode.GOVERNANCE if governed else LockMode.COMPLIANCE
    return ObjectLock(mode, min(lock.until for lock in locks))


def with_locks(copy: Copy, locks: Mapping[tuple[str, str], ObjectLock]) -> Copy:
    """The copy with what is known of the locks of its members, by vault and id; an image itself has none.

    It is locked as far as every member is; where one was not asked for, nothing is said of the copy. `held_until` goes
    by what any member has: until then a deletion would take the others alone.
    """
    ids = [(copy.vault, member.native_id) for member in copy.members if member.role != IMAGE]
    known = [locks[where] for where in ids if where in locks]
    if not known:
        return copy
    last = max(lock.until for lock in known)
    found = replace(copy, held_until=last if last > NEVER_LOCKED.until else None)
    if len(known) < len(ids):
        return found
    whole = weakest(known)
    until = whole.until if whole.until > NEVER_LOCKED.until else None
    return replace(found, lock_mode=whole.mode, locked_until=until)
