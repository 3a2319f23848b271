"""Every action on native points, met by what goes wrong at AWS: all kinds at once, another application beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_faults import STRIKES, Moulds, Strike, struck
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
