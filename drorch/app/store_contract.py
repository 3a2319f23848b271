"""What a vault must be able to do, by name: for the tests and for `drorch vault check` alike.

Every clause writes below a prefix of its own; what was written is removed again, where the store lets us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drorch.app import store_clauses as clauses
from drorch.app.store_clauses import RACERS
from drorch.app.store_clauses import ContractBroken as ContractBroken
from drorch.domain.errors import DrorchError, Refused
from drorch.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise. `run(store, prefix)` raises ContractBroken, or the store's own error where it must not fail."""

    name: str
    promise: str
    run: Callable[[ObjectStore, str], None]


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """What came of one clause; `detail` says what the store lacks, or what could not be removed afterwards."""

    name: str
    promise: str
    ok: bool
    detail: str = ""


def check_store(store: ObjectStore, prefix: str) -> tuple[ClauseResult, ...]:
    """Every clause against a live store, below `prefix` (unique, ending in ``/``).

    Raises the store's error when it cannot be listed at all: nothing is learned of a store that does not answer.
    """
    if any(True for _ in store.list(prefix)):
        raise Refused("the prefix for the check is not empty", operation="check", vault=store.vault, resource=prefix)
    results = []
    for clause in CLAUSES:
        detail = ""
        try:
            clause.run(store, f"{prefix}{clause.name}/")
        except DrorchError as error:
            detail = error.message if isinstance(error, ContractBroken) else str(error)
        results.append(ClauseResult(clause.name, clause.promise, not detail, detail))
    return (*results, _cleaned(store, prefix))


def clean(store: ObjectStore, prefix: str) -> None:
    """Remove what a check wrote. Raises the store's error, such as where the role may not delete."""
    for found in list(store.list(prefix)):
        store.delete(found.path)


def _cleaned(store: ObjectStore, prefix: str) -> ClauseResult:
    """A vault whose role may not delete is a good vault: what stays behind is told, and breaks nothing."""
    name, promise = "clean", "what the check wrote is removed again, where that is allowed"
    try:
        clean(store, prefix)
    except DrorchError as error:
        return ClauseResult(name, promise, True, f"objects below {prefix} stay: {error}")
    return ClauseResult(name, promise, True)


CLAUSES: tuple[Clause, ...] = (
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
    Clause("next-upload", "a failed upload does not spoil the next", clauses.next_upload),
)
