"""Locks of native copies: put, read back, listed once per place, and looked at before anything is deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from drorch.app.cache import Cache
from drorch.app.failpoint import reach
from drorch.domain.action import Lock
from drorch.domain.catalogue_locks import NEVER_LOCKED, weakest
from drorch.domain.catalogue_native import NativeView
from drorch.domain.errors import DrorchError, Refused
from drorch.domain.instant import floor_second, from_text, to_text
from drorch.domain.model import Copy, LockMode, ObjectLock, place_of
from drorch.domain.native import IMAGE
from drorch.domain.policy import LockRule
from drorch.ports import LocksCopies, SnapshotKind, TellsLocks

_LEAST = timedelta(days=1, minutes=5)
"""A provider takes no lock of less than a day, counted from when it gets the request (EC2 API, LockSnapshot)."""
_LATE = timedelta(minutes=5)

Locks = Mapping[str, ObjectLock]
"""Native id -> its lock."""


def lock_native(action: Lock, copy: Copy, rule: LockRule, kind: SnapshotKind, now: datetime) -> str:
    """Lock every member of a copy until `action.until`, by the provider's clock, and read each lock back.

    What is locked so already is left alone, and no lock is made shorter, or longer for good where the policy does not
    say so. Refused when a lock is not as it was asked for.
    """
    if not isinstance(kind, LocksCopies) or action.until is None:
        raise Refused(f"copies of kind {kind.kind} have no locks", operation="lock", vault=action.vault)
    account, region = place_of(action.vault)
    members = [member.native_id for member in copy.members if member.role != IMAGE]
    present = kind.now(account, region)
    until = floor_second(present + max(min(action.until - now, rule.for_), _LEAST))
    found = kind.locks(account, region, members)
    reach("lock.before")
    wanted: dict[str, ObjectLock] = {}
    for native_id in members:
        asked = _asked(found.get(native_id, NEVER_LOCKED), ObjectLock(rule.mode, until), rule, present, action)
        if asked is not None:
            kind.lock(account, region, native_id, asked.mode, asked.until)
            wanted[native_id] = asked
    reach("lock.called")
    after = kind.locks(account, region, members)
    locks = {native_id: after.get(native_id, NEVER_LOCKED) for native_id in members}
    for native_id, lock in locks.items():
        _require_as_asked(native_id, lock, wanted.get(native_id), action)
    held = weakest(locks.values())
    return f"locked in {action.vault} until {to_text(held.until)} ({held.mode}), read back"


def _asked(lock: ObjectLock, wanted: ObjectLock, rule: LockRule, present: datetime, action: Lock) -> ObjectLock | None:
    """What to ask for where `lock` is; None where it is to stay as it is."""
    stands = present < lock.until
    if not stands:
        return wanted
    if lock.mode is LockMode.COMPLIANCE:
        return wanted if rule.holds and lock.until < wanted.until else None
    if lock.mode is rule.mode:
        return wanted if lock.until < wanted.until else None
    if lock.until > present + rule.for_ + _LATE:
        raise Refused(
            "a copy is locked in governance mode for longer than the policy says",
            operation="lock",
            vault=action.vault,
            resource=action.resource,
            cause=f"until {to_text(lock.until)}",
            hint="unlock it by hand, or wait: it is not made irrevocable for so long",
        )
    return ObjectLock(wanted.mode, max(wanted.until, lock.until))


def _require_as_asked(native_id: str, lock: ObjectLock, asked: ObjectLock | None, action: Lock) -> None:
    if asked is None or (lock.mode is asked.mode and lock.until >= asked.until):
        return
    raise Refused(
        f"{native_id} is not locked as it was asked for",
        operation="lock",
        vault=action.vault,
        resource=action.resource,
        cause=f"read back: {lock.mode} until {to_text(lock.until)}, asked: {asked.mode} until {to_text(asked.until)}",
        hint="see who may unlock snapshots there; a cooling-off period counts as governance mode",
    )


# --- what is listed -------------------------------------------------------------------------------------------------


class LockListings:
    """The locks of a site's native copies: listed where a policy locks, and where a deletion met one.

    What was seen is remembered: while a listing fails the last one holds.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def with_locks(self, view: NativeView, kind: SnapshotKind, *, locking: bool, now: datetime) -> NativeView:
        """The view with the locks of its snapshots, asked for where there may be any."""
        known = self._known(view.kind, view.vault.name)
        stands = any(now < lock.until for lock in (known or {}).values())
        if not isinstance(kind, TellsLocks) or not (locking or stands):
            return view
        account, region = place_of(view.vault.name)
        try:
            listed = kind.locks(account, region)
        except DrorchError as error:
            return replace(view, locks=known, locks_why=str(error))
        ids = {snapshot.native_id for snapshot in view.snapshots}
        ids |= {part.native_id for snapshot in view.snapshots for part in snapshot.parts}
        ours = {native_id: lock for native_id, lock in listed.items() if native_id in ids}
        if ours != (known or {}):
            self._remember(view.kind, view.vault.name, ours, now)
        return replace(view, locks=ours)

    def met(self, kind: str, vault: str, found: Locks, now: datetime) -> None:
        """A deletion met these locks: from now on they are listed there, whatever the policies say."""
        self._remember(kind, vault, {**(self._known(kind, vault) or {}), **found}, now)

    def _known(self, kind: str, vault: str) -> dict[str, ObjectLock] | None:
        """As last seen; None when nothing was, or nothing was locked."""
        listing = self._cache.listing(_name(kind, vault))
        rows = json.loads(listing[1]) if listing is not None else []
        return {native_id: ObjectLock(LockMode(mode), from_text(until)) for native_id, mode, until in rows} or None

    def _remember(self, kind: str, vault: str, locks: Locks, now: datetime) -> None:
        rows = [[native_id, lock.mode.value, to_text(lock.until)] for native_id, lock in sorted(locks.items())]
        self._cache.set_listing(_name(kind, vault), to_text(now), json.dumps(rows, separators=(",", ":")))


def _name(kind: str, vault: str) -> str:
    return f"locks:{kind}:{vault}"


def standing_locks(kind: SnapshotKind, account: str, region: str, native_ids: Sequence[str]) -> Locks:
    """The locks that keep any of these snapshots from being deleted now, asked of the provider at this moment."""
    if not isinstance(kind, TellsLocks) or not native_ids:
        return {}
    found = kind.locks(account, region, native_ids)
    if not found:
        return {}
    present = kind.now(account, region)
    return {native_id: lock for native_id, lock in found.items() if present < lock.until}
