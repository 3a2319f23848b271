"""Object stores: one module per `type:` of the host configuration, each under the suite in tests/contract.

A module exports `Options` (importable without its SDK, with a `domain`), `open_store(name, options, ...)` and
`from_url(url)`. Adapters do not import each other; what they share is the bookkeeping below: prefix, parts,
clock, locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from drorch.domain.errors import AlreadyExists, DrorchError, OutcomeUnknown, Refused
from drorch.domain.instant import to_text
from drorch.domain.model import LockMode, ObjectLock
from drorch.ports import LockRule, StoreLimits, check_path

CLOCK_KEPT = 900.0
"""Seconds for which a store's clock is reckoned on by this host's own, instead of being asked again."""
SETTLE = 0.5
"""Seconds for which a store without an atomic conditional write is left alone before it is asked who won."""
_SETTLE_MOST = 20.0


def plain_prefix(prefix: str) -> str:
    """The prefix of a vault without slashes at its ends. ValueError for one that no path could begin with."""
    prefix = prefix.strip("/")
    try:
        return prefix and check_path(prefix)
    except Refused as error:
        raise ValueError(error.cause) from error


Prefix = Annotated[str, AfterValidator(plain_prefix)]
"""The folder of a bucket or container below which a vault lies; "" for all of it."""


def uncopied(part: bytes | bytearray | memoryview) -> bytes | bytearray:
    """A part for an SDK that takes no views: of a whole buffer that buffer, without a copy."""
    if not isinstance(part, memoryview):
        return part
    whole = part.obj
    return whole if isinstance(whole, bytes | bytearray) and len(whole) == part.nbytes else bytes(part)


class Parts:
    """What every upload must know about its parts: how many, how many bytes, and whether one more may follow."""

    def __init__(self, limits: StoreLimits, *, vault: str, resource: str) -> None:
        self.count = 0
        self.bytes = 0
        self._limits = limits
        self._short = False
        self._over = ""
        self._where = {"operation": "upload", "vault": vault, "resource": resource}

    def add(self, size: int) -> None:
        """Count the next part before it is sent. Refused when no part may follow, or not one of this size."""
        if self._over or self._short:
            raise Refused(f"no part may follow: {self._over or 'a shorter one was the last'}", **self._where)
        if size > self._limits.part_bytes:
            raise Refused(f"a part of {size} bytes is larger than {self._limits.part_bytes}", **self._where)
        if self.count == self._limits.max_parts:
            raise Refused(f"an object may have at most {self._limits.max_parts} parts", **self._where)
        self._short = size < self._limits.part_bytes
        self.count += 1
        self.bytes += size

    def end(self, why: str) -> None:
        """The upload is over: no part may follow, and it cannot be committed. The first reason stands."""
        self._over = self._over or why

    def commit(self) -> None:
        """The upload ends here, well. Refused when it is over already."""
        if self._over:
            raise Refused(f"it cannot be committed: {self._over}", **self._where)
        self._over = "it was committed"


class StoreClock:
    """A store's clock, which `ask` reads from a reply: asked at most every quarter of an hour for the ends of locks.

    The host's monotonic clock counts in between, so that setting this host's clock moves no lock.
    """

    def __init__(self, ask: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """From a reply of this moment."""
        began = self._monotonic()
        told = self._ask()
        self._known = (told, began)
        return told

    def reckoned(self) -> datetime:
        """The present by the last reply, and the time since that was asked for."""
        known = self._known
        if known is None or not 0 <= self._monotonic() - known[1] < CLOCK_KEPT:
            return self.now()
        return known[0] + timedelta(seconds=self._monotonic() - known[1])


def let_settle(began: float, least: float) -> None:
    """Wait until a write that a store let pass just before ours was there has ended, too.

    For stores that look whether the object is there, and do not look again when they have its bytes. What passed with
    ours takes about as long as ours did since `began` (monotonic): twice that is waited, `least` seconds at least.
    """
    time.sleep(min(max(least, 2 * (time.monotonic() - began)), _SETTLE_MOST))


def unsettled(error: DrorchError, unseen: DrorchError) -> DrorchError:
    """What to raise after `error`, an unknown outcome or a refusal, when `unseen` kept us from seeing what is there.

    "It exists already" may answer the SDK's own repetition of a write that was done: then it is ours, or it is not.
    """
    if not isinstance(error, AlreadyExists):
        return error
    return OutcomeUnknown(
        "something is there, and whose it is could not be seen",
        operation=error.operation,
        vault=error.vault,
        resource=error.resource,
        cause=str(unseen),
    )


def lock_from(rule: LockRule, now: datetime) -> ObjectLock:
    """What an object that is written `now` is to get."""
    return ObjectLock(rule.mode, whole_second(now + rule.for_))


def whole_second(when: datetime) -> datetime:
    """Not earlier than `when`: stores drop what is below a second."""
    return when if not when.microsecond else when.replace(microsecond=0) + timedelta(seconds=1)


def stronger(wanted: ObjectLock, found: ObjectLock | None) -> ObjectLock:
    """`wanted`, but never less than what is there: neither earlier nor in a weaker mode."""
    if found is None:
        return wanted
    kept = LockMode.COMPLIANCE if LockMode.COMPLIANCE in (wanted.mode, found.mode) else wanted.mode
    return ObjectLock(kept, max(wanted.until, found.until))


def require_lock(
    wanted: ObjectLock, found: ObjectLock | None, *, operation: str, vault: str, resource: str, hint: str
) -> None:
    """Refused unless what was read back is at least what was asked for."""
    if found is not None and found.mode in (wanted.mode, LockMode.COMPLIANCE) and found.until >= wanted.until:
        return
    told = "no lock" if found is None else f"{found.mode} until {to_text(found.until)}"
    raise Refused(
        "the vault claims a lock that it does not give",
        operation=operation,
        vault=vault,
        resource=resource,
        cause=f"asked for {wanted.mode} until {to_text(wanted.until)}, read back: {told}",
        hint=hint,
    )


def told_as_lock(error: Refused, lock: ObjectLock | None, now: datetime, **where: str) -> Refused:
    """A refusal to delete as what it is: the `lock` that was read of the object, where one stands; else `error` itself.

    `where` is operation, vault and resource.
    """
    if lock is None or lock.until <= now:
        return error
    return Refused("it is locked", cause=f"{lock.mode} until {to_text(lock.until)}", **where)
