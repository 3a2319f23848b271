"""The one form of JSON that records have, and its strict reader."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drorch.domain.canonical import LARGEST_RECORD, canonical_bytes, parse_canonical
from drorch.domain.errors import Damaged

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_leaf = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | _text
_value = st.recursive(_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3))


@given(st.dictionaries(_text, _value, max_size=5))
def test_what_was_written_is_read_and_written_again_byte_for_byte(content: dict[str, object]) -> None:
    data = canonical_bytes(content)
    assert parse_canonical(data) == content
    assert canonical_bytes(parse_canonical(data)) == data


def test_the_form() -> None:
    assert canonical_bytes({"b": [1, None, True], "a": "ü\n"}) == '{"a":"ü\\n","b":[1,null,true]}\n'.encode()


def test_tuples_are_lists() -> None:
    assert canonical_bytes({"a": (1, 2)}) == b'{"a":[1,2]}\n'


@pytest.mark.parametrize("value", [1.0, float("nan"), {1: 2}, b"bytes", {"deep": [{"er": 0.5}]}, {1, 2}])
def test_what_records_do_not_carry_is_a_fault(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_bytes({"a": value})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]\n",
        b'"text"',
        b"{",
        b'{"a":1.5}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"' + b"x" * LARGEST_RECORD + b'"}',
    ],
)
def test_bytes_of_a_stranger_are_damaged_never_a_crash(data: bytes) -> None:
    with pytest.raises(Damaged):
        parse_canonical(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_damaged(data: bytes) -> None:
    with contextlib.suppress(Damaged):
        assert isinstance(parse_canonical(data), dict)
