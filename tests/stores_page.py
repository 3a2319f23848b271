"""docs/stores.md: which clause which store keeps, and the limits that are its own. As a program it writes the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from live_stores import STORES
from store_limits import LIMITS
from wire_clauses import WIRE_CLAUSES, WireClause
from wires import WIRES

from drorch.app.store_contract import CLAUSES, Clause

PAGE = Path(__file__).parents[1] / "docs" / "stores.md"
_SHOWN = {
    "directory": "directory",
    "s3": "S3",
    "s3:locked": "S3 lock",
    "s3:compatible": "S3 compatible",
    "s3:swift": "S3 of Swift",
    "gcs": "GCS",
    "gcs:locked": "GCS lock",
    "azure": "Azure",
    "azure:locked": "Azure lock",
    "swift": "Swift",
}
_INTRODUCTION = """# What the stores keep

Made by `python tests/stores_page.py` of what the tests ask of every store (`tests/contract/`); a test fails when it is
out of date. The first table is the contract that `drorch vault check` runs against a live vault, too. `yes`: the clause
holds; a number: it holds but for this limit of the store's own, which the tests assert.

The servers are moto (S3), a GCS emulator, Azurite (Azure with locks: a stub of the documented exchange) and a real
Swift.
"""
_ON_A_BAD_LINE = """
## On a line that cuts, spoils and lies

Through a proxy between drorch and the server; what is said of locks is said of buckets that have them.
"""


def page() -> str:
    """The page as it is to be."""
    limits = list(dict.fromkeys(words for (store, _), words in LIMITS.items() if store in _SHOWN))
    lines = [_INTRODUCTION, *_table(CLAUSES, [store for store in STORES if store in _SHOWN], limits)]
    lines += [_ON_A_BAD_LINE, *_table(WIRE_CLAUSES, list(WIRES), limits), "\n## Limits\n"]
    lines += [f"{number}. {words}" for number, words in enumerate(limits, 1)]
    return "\n".join(lines) + "\n"


def _table(clauses: Sequence[Clause | WireClause], stores: Sequence[str], limits: Sequence[str]) -> list[str]:
    head = ["clause", "promise", *(_SHOWN[store] for store in stores)]
    rows = [head, ["---"] * len(head)]
    for clause in clauses:
        kept = [LIMITS.get((store, clause.name), "") for store in stores]
        rows.append([f"`{clause.name}`", clause.promise, *(str(limits.index(k) + 1) if k else "yes" for k in kept)])
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    PAGE.write_text(page())
