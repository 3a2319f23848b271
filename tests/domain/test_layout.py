"""Where things lie in a vault."""

from __future__ import annotations

from datetime import UTC, datetime

from drorch.domain import layout


def test_the_months_of_the_journal_are_all_those_that_a_span_touches() -> None:
    late, early = datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2027, 1, 1, 1, tzinfo=UTC)
    months = [f"{layout.JOURNAL}{month}/" for month in ("202611", "202612", "202701")]
    assert layout.journal_months(late, early) == months
    assert layout.journal_months(late, late) == months[:1]
