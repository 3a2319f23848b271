"""A present that notes what it is compared with: it says what an instant says, and until when that is so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drorch.domain.instant import to_text
from drorch.domain.present import FAILS, Horizon, holds_present, span_at
from drorch.domain.schedule import Cron, Every
from drorch.domain.window import Window

NOW = datetime(2026, 3, 27, 9, 30, tzinfo=UTC)
INSTANT = timedelta.resolution
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")

Question = Callable[[datetime, datetime, timedelta], Any]
"""(now, an instant, a span) -> what is decided."""

QUESTIONS: dict[str, Question] = {
    "before": lambda now, at, _: now < at,
    "not after": lambda now, at, _: now <= at,
    "after": lambda now, at, _: now > at,
    "not before": lambda now, at, _: now >= at,
    "at": lambda now, at, _: now == at,
    "not at": lambda now, at, _: now != at,
    "the other way round": lambda now, at, _: (at < now, at <= now, at > now, at >= now, at == now),
    "moved": lambda now, at, span: (now + span < at, at <= now - span, span + now > at),
    "moved twice": lambda now, at, span: now + span - HOUR < at,
    "between": lambda now, at, span: at - abs(span) < now <= at,
    "two presents": lambda now, _, span: (now + span < now + HOUR, (now + span) - now),
    "age": lambda now, at, span: (now - at < span, now - at <= span, now - at > span, now - at >= span),
    "age alike": lambda now, at, span: (now - at == span, now - at != span, span < now - at),
    "age, moved": lambda now, at, span: (now + HOUR) - at > span,
    "ages": lambda now, at, span: (now - at < now - (at + span), max(now - at, now - NOW) == now - at),
    "not yet": lambda now, at, span: (at - now < span, at - now >= span, bool(at - now)),
    "any age": lambda now, at, _: bool(now - at),
    "whole spans": lambda now, at, span: (now - at) // (abs(span) + HOUR),
    "when it was": lambda now, at, _: now - (now - at),
    "when it was, moved": lambda now, at, span: (now + span) - (now - at),
    "slot": lambda now, _, span: Every(timedelta(hours=7), timedelta(hours=3)).slot_at(now + span),
    "next slot": lambda now, _, span: Every(timedelta(hours=7)).next_after(now + span),
    "fire": lambda now, _, span: Cron("15 */6 * * *", "Europe/Berlin").slot_at(now + span),
    "next fire": lambda now, _at, _: Cron("30 2 * * *", "Europe/Berlin").next_after(now),
    "window": lambda now, _, span: Window(22 * 60, 150, "Europe/Berlin").open_at(now + span),
    "next window": lambda now, _at, _: Window(60, 300, "Europe/Berlin", frozenset({5})).opens_after(now),
    "in UTC": lambda now, at, _: now.astimezone(UTC) < at,
}
near = st.one_of(
    st.sampled_from([timedelta(), INSTANT, -INSTANT, HOUR, -HOUR]),
    st.integers(-400, 400).map(lambda n: n * timedelta(minutes=13)),
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@settings(max_examples=60, deadline=None)
@given(ahead=near, span=near, part=st.floats(0, 1))
@example(ahead=timedelta(), span=timedelta(), part=0.0)
def test_the_answer_is_that_of_the_instant_and_stays_it_until_the_horizon(
    question: Question, ahead: timedelta, span: timedelta, part: float
) -> None:
    horizon = Horizon(NOW)
    answer = question(horizon.present(), NOW + ahead, span)
    assert answer == question(NOW, NOW + ahead, span)
    end = horizon.until or NOW + timedelta(days=2000)
    assert end > NOW
    for later in (end - INSTANT, NOW + (end - INSTANT - NOW) * part):
        assert question(later, NOW + ahead, span) == answer


@pytest.mark.parametrize("name", ["before", "not before", "moved", "age", "not yet", "whole spans", "slot", "fire"])
@settings(max_examples=60, deadline=None)
@given(ahead=near, span=near)
def test_at_the_horizon_or_right_after_it_the_answer_is_another_one(
    name: str, ahead: timedelta, span: timedelta
) -> None:
    horizon, question = Horizon(NOW), QUESTIONS[name]
    answer = question(horizon.present(), NOW + ahead, span)
    if horizon.until is not None and horizon.until > NOW + INSTANT:
        later = [question(horizon.until + off, NOW + ahead, span) for off in (timedelta(), INSTANT)]
        assert later != [answer, answer]


@pytest.mark.parametrize(
    "asks",
    [
        to_text,
        str,
        repr,
        hash,
        "{}".format,
        lambda now: now.year,
        lambda now: now.date(),
        lambda now: now.astimezone(BERLIN),
        lambda now: now.isoformat(),
        lambda now: now.replace(hour=0),
        lambda now: now < "2026",
        lambda now: now - NOW < now,
        lambda now: now + 1,
        lambda now: NOW + (now - NOW),
        lambda now: (now - NOW).total_seconds(),
        lambda now: (now - NOW).days,
        lambda now: str(now - NOW),
        lambda now: hash(now - NOW),
        lambda now: (now - NOW) / 2,
        lambda now: (now - NOW) // timedelta(),
        lambda now: (NOW - now) // HOUR,
        lambda now: now - NOW < NOW - now,
        lambda now: abs(now - NOW),
        lambda now: -(now - NOW),
        lambda now: now + timedelta(days=1) < datetime.min.replace(tzinfo=UTC),
    ],
)
def test_nothing_else_can_be_asked(asks: Callable[[Any], object]) -> None:
    with pytest.raises(FAILS):
        asks(Horizon(NOW).present())


def test_what_moves_with_the_present_is_found_wherever_it_is() -> None:
    present = Horizon(NOW).present()
    assert holds_present([1, (2, (present,))]) and holds_present([present - NOW])
    assert not holds_present([NOW, HOUR, "text", (1, 2)])


def test_a_span_is_as_long_as_it_is_at_each_instant() -> None:
    present = Horizon(NOW).present()
    assert span_at(present - NOW, NOW + HOUR) == HOUR
    assert span_at(NOW - present, NOW + HOUR) == -HOUR
    assert span_at(HOUR, NOW) == HOUR and span_at(None, NOW) is None
