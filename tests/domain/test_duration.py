"""Durations: the spellings that are read, those that are refused and why, and the short form for people."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drorch.domain.duration import Duration, duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("60s", timedelta(minutes=1)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("PT1H30M", timedelta(minutes=90)),
        ("P7D", timedelta(days=7)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT12H", timedelta(hours=36)),
        ("PT36H", timedelta(hours=36)),
    ],
)
def test_reads_the_short_and_the_iso_form(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("90", "a bare number has no unit"),
        ("1.5", "a bare number has no unit"),
        ("0", "a bare number has no unit"),
        ("-3h", "it is negative"),
        ("-PT3H", "it is negative"),
        ("PT-3H", "it is negative"),
        ("1:30", "a colon may mean minutes or hours"),
        ("1.5h", "fractions are not read"),
        ("0m", "no time at all"),
        ("PT0S", "no time at all"),
        ("P1M", "months and years have no fixed length"),
        ("P1Y", "months and years have no fixed length"),
        ("3mo", "months and years have no fixed length"),
        ("1M", "months and years have no fixed length"),
        ("999999999w", "longer than any calendar"),
        ("999999999d", "longer than a hundred years"),
        ("36525d1s", "longer than a hundred years"),
        ("", "is not a duration"),
        ("P", "is not a duration"),
        ("PT", "is not a duration"),
        ("P1DT", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("1h 30m", "is not a duration"),
        ("soon", "is not a duration"),
        ("٣h", "is not a duration"),
    ],
)
def test_refuses_what_could_be_misread_and_says_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="hint: ") as caught:
        parse_duration(text)
    assert reason in str(caught.value)
    assert "90m" in str(caught.value)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=7), "7d"),
        (timedelta(weeks=2), "14d"),
        (timedelta(hours=36), "1d12h"),
        (timedelta(seconds=45), "45s"),
        (timedelta(), "0s"),
        (timedelta(milliseconds=900), "0s"),
        (timedelta(hours=-2), "-2h"),
    ],
)
def test_writes_the_short_form(length: timedelta, text: str) -> None:
    assert duration_text(length) == text


@given(st.integers(min_value=1, max_value=400 * 86400))
def test_the_short_form_is_read_back_as_the_same_length(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert parse_duration(duration_text(length)) == length


@pytest.mark.parametrize("value", [90, 1.5, 0, -1, True, None, [], {}, timedelta(), timedelta(hours=-1)])
def test_a_model_takes_text_or_a_positive_length_only(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


def test_a_model_keeps_a_length_and_writes_json_in_the_short_form() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python(timedelta(hours=1)) == timedelta(hours=1)
    assert adapter.dump_json(adapter.validate_python("90m")) == b'"1h30m"'
