"""The stores' own limits, clause by clause: what a clause of the contract returns there, and nowhere else.

The tests ask every clause of every store, and compare; docs/stores.md is made of it.
"""

from __future__ import annotations

from wire_clauses import BELIEVED, LARGE, SMALL, UNSEEN

from drorch.app.store_history_clauses import NOT_SHOWN, ONE_VERSION
from drorch.app.store_lock_clauses import NO_LOCK

UNVERSIONED = ("memory", "memory:faulty", "directory", "s3", "s3:compatible", "s3:swift", "gcs", "azure", "swift")
"""Buckets without versions, and what keeps none."""
UNLOCKED = UNVERSIONED
_ANY = f"{SMALL} and {LARGE}"

LIMITS: dict[tuple[str, str], str] = {
    **{(store, "history"): ONE_VERSION for store in UNVERSIONED},
    **{(store, "abandoned"): NOT_SHOWN for store in ("gcs", "gcs:locked")},
    **{(store, clause): NO_LOCK for store in UNLOCKED for clause in ("lock-overwritten", "lock", "lock-parts")},
    **{(store, "idle-lock"): NO_LOCK for store in ("s3:swift", "swift")},
    ("swift", "short-reply"): UNSEEN.format(LARGE),
    **{("swift", clause): UNSEEN.format(LARGE) for clause in ("spoilt-reply", "reply-digest")},
    **{
        (s, clause): UNSEEN.format(_ANY)
        for s in ("s3", "s3:swift", "azure")
        for clause in ("spoilt-reply", "reply-digest")
    },
    **{(store, "idle-put"): BELIEVED.format("put") for store in ("s3", "gcs", "azure")},
    **{(s, "idle-delete"): BELIEVED.format("deletion") for s in ("s3", "s3:swift", "gcs", "azure", "swift")},
}
"""By store (of `live_stores.STORES` and `wires.WIRES`) and clause."""
