"""What a vault must be able to do, by name: for the tests and for `drorch vault check` alike.

Every clause writes below a prefix of its own; what was written is removed again, where the store lets us.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from drorch.app import store_clauses as clauses
from drorch.app import store_history_clauses as history_clauses
from drorch.app import store_limit_clauses as limit_clauses
from drorch.app import store_lock_clauses as lock_clauses
from drorch.app.store_clauses import RACERS
from drorch.app.store_clauses import ContractBroken as ContractBroken
from drorch.domain.errors import DrorchError, Refused
from drorch.ports import ObjectStore

_LEFT_AFTER = timedelta(hours=1)
"""When what a check wrote is no running check's any more, by the store's clock."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise. `run(store, prefix)` raises ContractBroken, or the store's own error where it must not fail.

    What it returns is a limit of the store's own, in words: the promise holds, and says less there than elsewhere.
    """

    name: str
    promise: str
    run: Callable[[ObjectStore, str], str | None]


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """What came of one clause; `detail` says what the store lacks, or where it has a limit of its own (`ok` then)."""

    name: str
    promise: str
    ok: bool
    detail: str = ""


def check_store(store: ObjectStore, prefix: str) -> tuple[ClauseResult, ...]:
    """Every clause against a live store, below `prefix` (unique, ending in ``/``).

    Raises the store's error when it cannot be listed at all: nothing is learned of a store that does not answer. A
    store that locks by itself is not written to any further.
    """
    if any(True for _ in store.list(prefix)):
        raise Refused("the prefix for the check is not empty", operation="check", vault=store.vault, resource=prefix)
    results = []
    for clause in CLAUSES:
        result = run_clause(clause, store, prefix)
        results.append(result)
        if clause is LOCK_OVERWRITTEN and not result.ok:
            break
    return (*results, _cleaned(store, prefix))


def run_clause(clause: Clause, store: ObjectStore, prefix: str) -> ClauseResult:
    """One clause, below a folder of its own in `prefix`."""
    try:
        limit = clause.run(store, f"{prefix}{clause.name}/")
    except DrorchError as error:
        detail = error.message if isinstance(error, ContractBroken) else str(error)
        return ClauseResult(clause.name, clause.promise, False, detail)
    return ClauseResult(clause.name, clause.promise, True, limit or "")


def clean(store: ObjectStore, prefix: str) -> None:
    """Remove what a check wrote. Raises the store's error, such as where the role may not delete, or a lock stands.

    What can be removed is, whatever stands in the way of the rest.
    """
    kept: Refused | None = None
    for path in dict.fromkeys(version.path for version in list(store.history(prefix))):
        try:
            store.delete(path)
        except Refused as error:
            kept = kept or error
    if kept is not None:
        raise kept


def remove_left(store: ObjectStore, prefix: str) -> None:
    """Remove what earlier checks left below `prefix`: locked then, or cut short. What cannot be removed stays."""
    newest: dict[str, datetime] = {}
    for version in store.history(prefix):
        newest[version.path] = max(version.modified, newest.get(version.path, version.modified))
    now = store.now() if newest else None
    for path, modified in newest.items():
        if now is not None and modified + _LEFT_AFTER < now:
            with suppress(Refused):
                store.delete(path)


def _cleaned(store: ObjectStore, prefix: str) -> ClauseResult:
    """A vault whose role may not delete is a good vault: what stays behind is told, and breaks nothing."""
    name, promise = "clean", "what the check wrote is removed again, where that is allowed"
    later = "; what is locked a later check removes" if store.lock is not None else ""
    try:
        clean(store, prefix)
    except DrorchError as error:
        return ClauseResult(name, promise, True, f"objects below {prefix} stay: {error}{later}")
    return ClauseResult(name, promise, True)


LOCK_OVERWRITTEN = Clause(
    "lock-overwritten", "a vault with a lock does not lock what is written over", lock_clauses.overwritten
)
LOCK = Clause("lock", "a lock is read back as asked for, keeps the object, and never gets shorter", lock_clauses.locked)

CLAUSES: tuple[Clause, ...] = (
    LOCK_OVERWRITTEN,
    Clause("round-trip", "what is put is read back, with its size and time of writing", clauses.round_trip),
    Clause("write-once-put", "a put never replaces an object unless asked to", clauses.write_once_put),
    Clause(
        "write-once-upload", "an upload never replaces an object, whenever that was written", clauses.write_once_upload
    ),
    Clause(
        "racing-creates", f"of {RACERS} racing writers exactly one wins, the others are told", clauses.racing_creates
    ),
    Clause("overwrite", "an object is replaced where that is asked for", clauses.overwrite),
    Clause("invisible", "nothing of an upload is visible before its commit", clauses.invisible),
    Clause("abort", "an upload that is given up leaves nothing visible, and abort never harms", clauses.abort),
    Clause("large", "a large object of equal parts and a short last one comes back whole", clauses.large),
    Clause("whole-parts", "an object may end with a whole part, or with an empty one", clauses.whole_parts),
    Clause("empty", "an empty object is an object", clauses.empty),
    Clause("ranges", "any range is read exactly, and none behind the end", clauses.ranges),
    Clause("not-found", "absent is told as absent, and deleting it is harmless", clauses.not_found),
    Clause("listing", "a listing by prefix is complete and exact, with odd names", clauses.listing),
    Clause("consistency", "what was written is read and listed at once", clauses.consistency),
    Clause("illegal-paths", "a path outside the contract is refused by every call", clauses.illegal),
    Clause("wrong-parts", "parts of wrong size or order are refused", clauses.wrong_parts),
    Clause("most-parts", "no part is taken beyond the limit of parts", limit_clauses.most_parts),
    Clause(
        "pages", "a listing of several pages is complete, and none is spoilt by one left half-way", limit_clauses.pages
    ),
    Clause("given-up", "a listing that is given up, or one beside another, spoils none", limit_clauses.given_up),
    Clause("next-upload", "a failed upload does not spoil the next", clauses.next_upload),
    Clause("clock", "the store tells the time by which it dates its objects", history_clauses.clock),
    Clause("history", "every version is shown, the oldest first, and read by its name", history_clauses.history),
    Clause(
        "abandoned", "an upload that nobody ended is shown, where it can be, and dropped", history_clauses.abandoned
    ),
    Clause("gone", "what is deleted is gone with all its versions", history_clauses.gone),
    LOCK,
    Clause("lock-parts", "an object that was sent in parts is locked like any other", lock_clauses.locked_parts),
)
