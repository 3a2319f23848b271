"""Whatever stands in a policy or configuration: values or findings come out, never another error, never a secret."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_words import words

from drorch.app.config import load_config
from drorch.app.yaml_source import read_yaml
from drorch.domain.errors import InvalidInput
from drorch.domain.policy_file import parse_policy
from drorch.wiring import adapters

ROOT = Path(__file__).parents[2]
SHOP = (ROOT / "policies" / "shop.yaml").read_text()
CONFIG = (ROOT / "docs" / "drorch.example.yaml").read_text()

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["P", "0 0 30 2 *", "private", "age1", "9" * 30 + "h", "\x00", "ä", "[::]:1", "2026-01-01", "..", "/"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.none(), max_size=2),
)


def paths(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place below `value`."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def spoiled(data: Any, changes: list[tuple[int, str, Any]]) -> Any:
    """A copy of `data` in which some places are replaced, removed, renamed or doubled."""
    data = copy.deepcopy(data)
    for number, how, value in changes:
        places = list(paths(data))
        if not places:
            break
        *above, last = places[number % len(places)]
        holder = data
        for step in above:
            holder = holder[step]
        if how == "remove":
            del holder[last]
        elif how == "rename" and isinstance(holder, dict):
            holder[str(value)[:6]] = holder.pop(last)
        elif how == "double" and isinstance(holder, list):
            holder.append(holder[last])
        else:
            holder[last] = value
    return data


@functools.cache
def data_of(text: str) -> Any:
    """What stands in `text`; every caller gets the same, to be left as it is."""
    source, _ = read_yaml(text, "f.yaml")
    assert source is not None
    return source.data


changes = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["replace", "remove", "rename", "double"]), junk),
    min_size=1,
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(changes)
def test_any_spoiled_policy_is_a_policy_or_a_list_of_problems(spoil: list[tuple[int, str, Any]]) -> None:
    vocabulary = words(kinds=adapters.vocabulary().kinds)
    data = spoiled(data_of(SHOP), spoil)
    policy, problems = parse_policy(data, vocabulary)
    assert (policy is None) == bool(problems)
    assert all(problem.message and "\n" not in problem.message.partition("'")[0] for problem in problems)


@settings(max_examples=150, deadline=None)
@given(changes)
def test_any_spoiled_configuration_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, spoil: list[tuple[int, str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "spoiled.yaml"
    text = yaml.safe_dump(spoiled(data_of(CONFIG), spoil), allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    try:
        config = load_config(path, vault_options=adapters.store_options(), regions=frozenset({"us-west-2"}))
    except InvalidInput as refused:
        assert refused.findings
        lines = text.count("\n") + 1
        assert all(1 <= finding.line <= lines and finding.column >= 1 for finding in refused.findings)
    else:
        assert config.site


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{},&*!#|>'\"? \n\t\\%@`\x00é\x85", max_size=60))
def test_any_text_is_data_or_findings(text: str) -> None:
    source, findings = read_yaml(text, "f.yaml")
    assert (source is None) == bool(findings)
    if source is not None:
        assert isinstance(source.data, dict)
        for loc in paths(source.data):
            line, column = source.place(loc)
            assert line >= 1
            assert column >= 1


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_in_a_file_are_a_finding_or_text(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        load_config(path, vault_options={})
    assert caught.value.findings
