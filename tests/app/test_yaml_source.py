"""YAML as people mean it: plain data, the place of every part, and errors of form with theirs."""

from __future__ import annotations

import pytest
import yaml

from drorch.app import yaml_source
from drorch.app.yaml_source import YamlSource, read_yaml
from drorch.domain.explain import Problem


def source(text: str) -> YamlSource:
    found, findings = read_yaml(text, "f.yaml")
    assert found is not None, [str(finding) for finding in findings]
    return found


def wrong(text: str) -> list[str]:
    found, findings = read_yaml(text, "f.yaml")
    assert found is None
    return [str(finding) for finding in findings]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("0x1f", 31),
        ("0o17", 15),
        ("017", 17),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1:30", "1:30"),
        ("2026-11-20", "2026-11-20"),
        ("2026-11-20T09:00Z", "2026-11-20T09:00Z"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("'12'", "12"),
        ('"true"', "true"),
        ('""', ""),
        ("9" * 40, "9" * 40),
        ("=", "="),
        ("٣", "٣"),
    ],
)
def test_scalars_follow_the_core_schema(written: str, value: object) -> None:
    data = source(f"key: {written}\n").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert source("on: 1\n12: 2\ntrue: 3\n").data == {"on": 1, "12": 2, "true": 3}


def test_blocks_flows_and_folded_text() -> None:
    assert source("a: [1, {b: x}]\nc: |\n  two\n  lines\nd: >\n  one\n  line\n").data == {
        "a": [1, {"b": "x"}],
        "c": "two\nlines\n",
        "d": "one line\n",
    }


def test_an_alias_stands_for_the_whole_value_of_its_anchor() -> None:
    found = source("keep: &usual {daily: 14}\nlist:\n  - *usual\n  - *usual\n")
    assert found.data == {"keep": {"daily": 14}, "list": [{"daily": 14}, {"daily": 14}]}
    assert found.place(("list", 1, "daily")) == (1, 22)


# --- places --------------------------------------------------------------------------------------------------------

TEXT = """\
# a comment
top:
  - name: one
    deep: {inner: 5}
  - name: "zwölf", last: x
""".replace(", last: x", "\n    last: x")


@pytest.mark.parametrize(
    ("loc", "at_key", "place"),
    [
        ((), False, (2, 1)),
        (("top",), True, (2, 1)),
        (("top",), False, (3, 3)),
        (("top", 0), False, (3, 5)),
        (("top", 0, "deep"), False, (4, 11)),
        (("top", 0, "deep", "inner"), True, (4, 12)),
        (("top", 0, "deep", "inner"), False, (4, 19)),
        (("top", 1, "name"), False, (5, 11)),
        (("top", 1, "last"), False, (6, 11)),
        (("top", 1, "absent"), False, (5, 5)),
        (("top", 7, "absent"), False, (3, 3)),
        (("absent", "further"), True, (2, 1)),
    ],
)
def test_everything_has_a_line_and_a_column(loc: tuple[str | int, ...], at_key: bool, place: tuple[int, int]) -> None:
    assert source(TEXT).place(loc, at_key=at_key) == place


def test_columns_count_characters_not_bytes() -> None:
    assert source("{ä: 1, ö: 2}").place(("ö",)) == (1, 11)


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (Problem(("top", 0, "name"), "must be a number", "a hint"), "f.yaml:3:11: name must be a number (a hint)"),
        (Problem(("top", 1), "must be a list"), "f.yaml:5:5: entry 2 of top must be a list"),
        (Problem(("top", 0, "deep"), "unknown key deep", at_key=True), "f.yaml:4:5: unknown key deep"),
        (Problem((), "must be a list"), "f.yaml:2:1: must be a list"),
    ],
)
def test_a_problem_becomes_a_finding_with_its_subject(problem: Problem, shown: str) -> None:
    assert str(source(TEXT).finding(problem)) == shown


# --- errors of form ------------------------------------------------------------------------------------------------


def test_duplicate_keys_are_all_found_at_every_depth() -> None:
    assert wrong("a: 1\nb: {x: 1, x: 2}\na: 2\n") == [
        "f.yaml:2:11: x stands here twice (first in line 2)",
        "f.yaml:3:1: a stands here twice (first in line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("", "1:1", "the file is empty", "version: 1"),
        ("# nothing but a comment\n", "1:1", "the file is empty", "version: 1"),
        ("---\n", "2:1", "the file is empty", "version: 1"),
        ("- a\n- b\n", "1:1", "the file is not a mapping", "KEY: VALUE"),
        ("just text", "1:1", "the file is not a mapping", "KEY: VALUE"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document begins here", "one file, one document"),
        ("a: [1, 2\nb: 3\n", "2:2", "not YAML: ", ""),
        ("a: 1\n\tb: 2\n", "2:1", "not YAML: ", "indent with spaces, not tabs"),
        ("a:\n\t- 1\n", "2:1", "not YAML: ", "indent with spaces, not tabs"),
        ("a: 'open\n", "2:1", "not YAML: ", ""),
        ("a: b: c\n", "1:5", "not YAML: ", ""),
        ("a: *HUNTER2\n", "1:4", "this alias has no anchor before it", "text that begins with * stands in quotes"),
        ("a: &x [*x]\n", "1:8", "this alias has no anchor before it", ""),
        ("a: !!python/object:os.system x\n", "1:4", "tags are not read", "text that begins with ! stands in quotes"),
        ("a: !HUNTER2\n", "1:4", "tags are not read", "text that begins with ! stands in quotes"),
        ("a: !!str 5\n", "1:4", "tags are not read", "in quotes"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3", "merge keys are not read", "keep: *usual"),
        ("? [a, b]\n: c\n", "1:3", "a key must be text", ""),
        ("'': 1\n", "1:1", "a key must be text", ""),
        ("a: \x07\n", "1:4", "not YAML: ", ""),
        ("a: " + "[" * 100 + "]" * 100, "1:68", "nested more than 64 deep", ""),
    ],
)
def test_what_is_not_one_plain_mapping_is_refused_with_its_place(
    text: str, place: str, message: str, hint: str
) -> None:
    (line,) = wrong(text)
    assert line.startswith(f"f.yaml:{place}: {message}")
    assert hint in line
    assert "HUNTER2" not in line


def test_aliases_that_multiply_are_refused_before_they_are_followed() -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (line,) = wrong("\n".join(bomb))
    assert "aliases counted" in line


def test_a_merge_key_in_quotes_is_a_key() -> None:
    assert source("'<<': 1").data == {"<<": 1}


def test_without_the_c_parser_the_same_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, yes, &x {b: '2'}]\nc: *x\n"
    expected = source(text)
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    found = source(text)
    assert found.data == expected.data
    assert [found.place(loc) for loc in (("a", 2, "b"), ("c",))] == [
        expected.place(loc) for loc in (("a", 2, "b"), ("c",))
    ]
    assert wrong("a: 1\n\tb: 2\n")[0].startswith("f.yaml:2:1: not YAML: ")
    assert wrong("a: \x07\n")[0].startswith("f.yaml:1:4: not YAML: ")
