"""What is not signed while clocks differ: it would count for as long as the clock was ahead, or never."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from passes import OFF
from planning import NOW, USABLE, WEST, dumped, going, marks, only, orders, planned, point, seen, series, slot

from drorch.domain.action import Action, Cut, Drill, Ship, WriteHead
from drorch.domain.policy import DrillRule

OFF_BY_A_YEAR = "clocks differ: gcs-eu is 365d behind this host"
DRILLED = {"drill": DrillRule(every=timedelta(days=7), from_=(OFF,))}
TOTALS = {"tables": 1, "rows": 1_000, "bytes": 1_000, "cipher_bytes": 1_000}


def both(*points: Any, **changes: Any) -> tuple[list[Action], list[Action]]:
    """What is planned while clocks agree, and while they do not."""
    of = orders(OFF, **DRILLED)
    given = {"host": "backup-1"} | changes
    return planned(seen(*points, **given), of), planned(seen(*points, skewed=OFF_BY_A_YEAR, **given), of)


def test_a_copy_that_is_wanted_again_is_kept_without_a_mark() -> None:
    right, wrong = both(point(slot(0), going(OFF), of="orders"))
    assert marks(right, "kept")
    assert not marks(wrong, "kept") and not marks(wrong)


def test_nothing_is_marked_as_suspect() -> None:
    good = point(slot(2), dumped(OFF), of="orders", facts={"totals": TOTALS})
    empty = point(slot(1), dumped(OFF), of="orders", facts={"totals": TOTALS | {"rows": 0}})
    right, wrong = both(good, empty)
    assert marks(right, "suspect") == [empty.id]
    assert not marks(wrong, "suspect")


@pytest.mark.parametrize("sort", [Drill, WriteHead])
def test_no_proof_and_no_head_is_signed(sort: type[Action]) -> None:
    points = series(2, OFF)
    live = {"digests": {(OFF, p.id): "digest" for p in points}}
    right, wrong = both(*points, more=live)
    assert only(right, sort)
    assert not only(wrong, sort)


def test_a_cut_is_made_all_the_same() -> None:
    right, wrong = both(*series(2, OFF, start=1))
    assert only(right, Cut) and only(wrong, Cut)


def test_by_a_clock_that_is_behind_no_history_is_shipped() -> None:
    points = [point(slot(n), dumped(OFF, USABLE), of="orders") for n in range(1, 9)]
    before = NOW - timedelta(days=365)
    of = orders(OFF, WEST)
    assert only(planned(seen(*points, object_vaults=(OFF, WEST)), of), Ship)
    observed = seen(*points, object_vaults=(OFF, WEST), skewed=OFF_BY_A_YEAR)
    assert not only(planned(observed, of, before), Ship)
    assert only(planned(observed, of), Ship), "what is not of the future is brought while clocks differ"
