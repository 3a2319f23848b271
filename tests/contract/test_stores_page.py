"""The page that says what each store keeps says what the tests assert."""

from __future__ import annotations

from live_stores import STORES
from store_limits import LIMITS
from stores_page import PAGE, page
from wire_clauses import WIRE_CLAUSES
from wires import LOCKED, WIRES

from drorch.app.store_contract import CLAUSES


def test_page_of_the_stores_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it anew: python tests/stores_page.py"


def test_limits_are_of_clauses_and_stores_that_there_are() -> None:
    """An entry of a clause that has another name by now would be asserted nowhere."""
    asked = {(store, clause.name) for store in STORES for clause in CLAUSES}
    asked |= {(store, clause.name) for store in WIRES for clause in WIRE_CLAUSES}
    assert set(LIMITS) <= asked
    assert set(LOCKED) <= set(WIRES) <= set(STORES)
