"""Every call that the contract makes an adapter make must be one that the adapter declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from declared import heard, undeclared


@pytest.fixture(scope="module", autouse=True)
def _calls() -> Iterator[set[tuple[str, str]]]:
    with heard() as calls:
        yield calls


@pytest.fixture(autouse=True)
def _no_undeclared_call(_calls: set[tuple[str, str]]) -> Iterator[None]:
    _calls.clear()
    yield
    assert undeclared(_calls) == set(), "an adapter calls what its PERMISSIONS do not have"
