"""What an hour of the journal tells: the worst of it, and the same again when it is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.errors import Damaged
from drorch.domain.instant import to_text
from drorch.domain.journal import APPLICATIONS, ApplicationHour, Figure, Held, Hour, figure_of, hour_in, hour_of, worse
from drorch.domain.objective import Standing
from drorch.domain.policy import Objective
from drorch.domain.record import RecordType, compose

AT = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
SECONDS = st.none() | st.integers(0, 10**8)
WHETHER = st.none() | st.booleans()
FIGURES = st.builds(Figure, SECONDS, SECONDS, WHETHER, SECONDS, SECONDS, WHETHER, st.text(max_size=5))


def hour(*names: str) -> Hour:
    made = Hour.begun(AT)
    for name in names:
        made.of_application(name).saw({"region": Figure(rpo=60)}, valid=True)
    return made


@given(FIGURES)
def test_a_figure_is_read_as_it_was_written(figure: Figure) -> None:
    assert Figure.of(figure.body()) == figure


@given(FIGURES, FIGURES, FIGURES)
def test_the_worst_does_not_depend_on_how_passes_are_taken_together(a: Figure, b: Figure, c: Figure) -> None:
    assert worse(worse(a, b), c) == worse(a, worse(b, c))


@given(FIGURES, FIGURES)
def test_nothing_is_prettier_for_a_pass_that_was_good(a: Figure, b: Figure) -> None:
    both = worse(a, b)
    assert (both.rpo_met is True) == (a.rpo_met is True and b.rpo_met is True)
    assert (both.rpo_met is False) == (a.rpo_met is False or b.rpo_met is False)
    if both.rpo_attained is not None:
        assert both.rpo_attained == max(a.rpo_attained or 0, b.rpo_attained or 0)
    else:
        assert None in (a.rpo_attained, b.rpo_attained)


@given(st.dictionaries(st.sampled_from(["region", "provider"]), FIGURES), st.booleans(), st.integers(0, 5))
def test_an_application_is_read_as_it_was_written(levels: dict[str, Figure], valid: bool, held: int) -> None:
    made = ApplicationHour(policy="ab", commit="")
    made.saw(levels, valid=valid)
    made.hold(Held("eu", f"p{n}", "orders", "mark", "why") for n in range(held))
    made.done["cut"] += held
    found = ApplicationHour.of(made.body())
    assert (found.levels, found.valid, found.held, +found.done) == (made.levels, made.valid, made.held, +made.done)


def test_a_started_second_counts_and_what_is_not_promised_is_no_figure() -> None:
    promised = Standing(timedelta(seconds=59.5), objective=Objective(rpo=timedelta(minutes=1)))
    assert figure_of(promised) == Figure(rpo=60, rpo_attained=60, rpo_met=True)
    assert figure_of(Standing(timedelta(seconds=5))) is None
    assert figure_of(Standing(exempt="rebuilt")) == Figure(exempt="rebuilt")


def test_beyond_a_hundred_held_deletions_are_counted() -> None:
    made = ApplicationHour()
    made.hold(Held("eu", f"p{n}", "orders", "mark", "why") for n in range(130))
    assert (len(made.held), made.held_more) == (100, 30)
    assert ApplicationHour.of(made.body()).held_more == 30


def test_very_many_applications_are_told_in_several_entries() -> None:
    bodies = hour(*(f"app{n}" for n in range(APPLICATIONS + 1))).bodies()
    assert [len(Hour.of(body).applications) for body in bodies] == [APPLICATIONS, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"hour": None},
        {"hour": "2026-11-20T09:30:00Z"},
        {"first": "2026-11-20T08:00:00Z"},
        {"last": "2026-11-20T10:00:00Z"},
        {"passes": -1},
        {"applications": []},
        {"applications": {"shop": 3}},
        {"applications": {"shop": {"levels": {"region": {"rpo": True}}}}},
        {"applications": {"shop": {"levels": {"region": {"rpo_met": 1}}}}},
        {"applications": {"shop": {"levels": {"region": {"rpo": 10**12}}}}},
        {"applications": {"shop": {"held": [{"vault": "eu"}]}}},
        {"applications": {"shop": {"held": 3}}},
        {"applications": {"shop": {"done": {"cut": "many"}}}},
        {"hour": to_text(AT.replace(year=2027, minute=0)), "first": to_text(AT.replace(year=2027)),
         "last": to_text(AT.replace(year=2027))},
    ],
)  # fmt: skip
def test_an_hour_that_no_host_writes_is_damaged(change: dict[str, Any]) -> None:
    body = hour("shop").bodies()[0]
    entry = {"event": "hour", "host": "dr1", "seq": 1, **body, **change}
    with pytest.raises(Damaged):
        hour_in(compose(RecordType.JOURNAL, site="acme", at=AT + timedelta(hours=1), **entry))


def test_an_hour_begins_on_the_hour() -> None:
    assert hour_of(AT) == AT.replace(minute=0)
