"""Every action on native points, met by what goes wrong at AWS: all kinds at once, another application beside them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_faults import ABSENT, ACTIONS, FAULTS, STRIKES, Strike, struck
from estate import KINDS, SETS, Moulds
from fault_matrix_page import PAGE, page
from worlds import ROOM


@pytest.fixture(scope="module")
def moulds() -> Iterator[Moulds]:
    with tempfile.TemporaryDirectory(dir=ROOM) as folder:
        yield Moulds(Path(folder))


@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.name.replace(" ", "-"))
def test_after_the_strike_everything_is_made_once_and_whole_and_others_were_carried_on(
    strike: Strike, moulds: Moulds
) -> None:
    assert struck(strike, moulds) == []


def test_every_fault_meets_every_action_or_the_table_says_why_not() -> None:
    met = [(strike.fault, strike.action) for strike in STRIKES]
    assert len(met) == len(set(met))
    assert {*met, *ABSENT} == set(itertools.product(FAULTS, ACTIONS))
    assert not ABSENT.keys() & set(met)
    assert {strike.kinds for strike in STRIKES} == {KINDS, SETS}


def test_the_page_says_what_the_tests_run() -> None:
    assert PAGE.read_text() == page(), "write it anew: PYTHONPATH=tests:. python tests/fault_matrix_page.py"
