"""YAML as plain data with the place of everything in it, so that every error can name its line and column.

Scalars follow the core schema of YAML 1.2 (chapter 10.3): ``yes``, ``on``, dates and ``1:30`` are text. Keys always
are. Refused: duplicate keys, several documents, tags, merge keys, aliases that grow without bound.
No error quotes a value: a password that begins with ``!`` or ``*`` and stands without quotes looks like a tag or alias.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from drorch.domain.errors import Finding
from drorch.domain.explain import Loc, Problem

MOST_NODES = 100_000
"""Nodes of one file, each alias counted as all that it stands for."""
MOST_DEPTH = 64

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class _Node:
    """One value with its place (line and column from 1), the places of its keys, and its inner values."""

    value: Any
    line: int
    column: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    inner: dict[str | int, _Node] = field(default_factory=dict)
    size: int = 1


@dataclass(frozen=True, slots=True)
class YamlSource:
    """The data of one file and the places of its parts."""

    file: str
    data: Any
    _top: _Node

    def place(self, loc: Loc, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column of what stands at `loc`, or of the innermost part of it that the file has."""
        node = self._top
        for depth, step in enumerate(loc):
            last = depth == len(loc) - 1
            if last and at_key and isinstance(step, str) and step in node.keys:
                return node.keys[step]
            if step not in node.inner:
                break
            node = node.inner[step]
        return node.line, node.column

    def finding(self, problem: Problem) -> Finding:
        """A problem of the data as an error of the file."""
        line, column = self.place(problem.loc, at_key=problem.at_key)
        message = problem.message
        if message.startswith(("must ", "needs ", "promises ", "keeps ", "is not in")):
            message = f"{_name(problem.loc)} {message}".strip()
        return Finding(self.file, line, column, message, problem.hint)


def _name(loc: Loc) -> str:
    """What stands at `loc`, as the subject of a sentence: ``owner``, ``entry 3 of resources``."""
    name = next((str(step) for step in reversed(loc) if isinstance(step, str)), "")
    return f"entry {loc[-1] + 1} of {name}" if loc and isinstance(loc[-1], int) else name


class _Wrong(Exception):
    """Ends the reading of a file at its first error of form."""

    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark, self.message, self.hint = mark, message, hint


def read_yaml(text: str, file: str) -> tuple[YamlSource | None, tuple[Finding, ...]]:
    """The one mapping that `text` holds. Errors of form end the reading; duplicate keys are all found."""
    reader = _Reader(file)
    try:
        top = reader.document(iter(yaml.parse(text, Loader=_LOADER)))
    except _Wrong as wrong:
        reader.found(wrong.mark, wrong.message, wrong.hint)
        return None, tuple(reader.findings)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        lines = text.split("\n")
        tab = mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]
        problem = " ".join(part for part in (error.context, error.problem) if part)
        reader.found(mark, f"not YAML: {problem}", "indent with spaces, not tabs" if tab else "")
        return None, tuple(reader.findings)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return None, (Finding(file, line, column, f"not YAML: {error.reason}"),)
    if reader.findings:
        return None, tuple(reader.findings)
    return YamlSource(file, top.value, top), ()


class _Reader:
    """Builds nodes from the parser's events, which bear marks, tags and anchors as written."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.anchors: dict[str, _Node] = {}
        self.nodes = 0

    def found(self, mark: Any, message: str, hint: str = "") -> None:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        self.findings.append(Finding(self.file, line, column, message, hint))

    def document(self, events: Iterator[Any]) -> _Node:
        top: _Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if top is not None:
                    raise _Wrong(event.start_mark, "a second document begins here", "one file, one document")
                first = next(events)
                top = self.node(first, events, 0)
                if not isinstance(top.value, dict):
                    what = "the file is empty" if top.value is None else "the file is not a mapping"
                    raise _Wrong(first.start_mark, what, "KEY: VALUE at its top, such as version: 1")
        if top is None:
            raise _Wrong(None, "the file is empty", "KEY: VALUE at its top, such as version: 1")
        return top

    def node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        if depth > MOST_DEPTH:
            raise _Wrong(event.start_mark, f"nested more than {MOST_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            node = self.alias(event)
        else:
            if event.tag is not None:
                raise _Wrong(event.start_mark, "tags are not read", "text that begins with ! stands in quotes")
            node = _Node(None, event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.MappingStartEvent):
                self.mapping(node, events, depth)
            elif isinstance(event, yaml.SequenceStartEvent):
                self.sequence(node, events, depth)
            else:
                node.value = event.value if event.style else _scalar(event.value)
            if event.anchor is not None:
                self.anchors[event.anchor] = node
        self.nodes += node.size if isinstance(event, yaml.AliasEvent) else 1
        if self.nodes > MOST_NODES:
            raise _Wrong(event.start_mark, f"more than {MOST_NODES} values, aliases counted", "write less by alias")
        return node

    def alias(self, event: Any) -> _Node:
        if event.anchor not in self.anchors:
            hint = "text that begins with * stands in quotes"
            raise _Wrong(event.start_mark, "this alias has no anchor before it", hint)
        return self.anchors[event.anchor]

    def sequence(self, node: _Node, events: Iterator[Any], depth: int) -> None:
        node.value = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            inner = self.node(event, events, depth + 1)
            node.inner[len(node.value)] = inner
            node.value.append(inner.value)
            node.size += inner.size

    def mapping(self, node: _Node, events: Iterator[Any], depth: int) -> None:
        node.value = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            if not isinstance(event, yaml.ScalarEvent) or not event.value:
                raise _Wrong(event.start_mark, "a key must be text")
            key = str(event.value)
            mark: Any = event.start_mark
            inner = self.node(next(events), events, depth + 1)
            if key == "<<" and not event.style:
                raise _Wrong(mark, "merge keys are not read", "an alias may stand for a whole value: keep: *usual")
            if key in node.value:
                self.found(mark, f"{key} stands here twice", f"first in line {node.keys[key][0]}")
                continue
            node.keys[key] = (mark.line + 1, mark.column + 1)
            node.inner[key] = inner
            node.value[key] = inner.value
            node.size += inner.size


def _scalar(text: str) -> object:
    """A plain scalar in the core schema. Numbers too long to be meant as such stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 30:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if re.fullmatch(r"0o[0-7]+|0x[0-9a-fA-F]+", text):
            return int(text, 0)
    return text
