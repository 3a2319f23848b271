"""IAM policy documents as values: statements, and documents within IAM's limits.

Grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from drorch.domain.errors import Refused

VERSION = "2012-10-17"
MOST_CHARACTERS = 6144
"""Of one managed policy, white space not counted (IAM user guide, "IAM and AWS STS quotas")."""

Conditions = Mapping[str, Mapping[str, str | Sequence[str]]]
"""operator -> key -> the value, or the values of which one is enough."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy document. `sid` is of letters and digits only."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions = field(default_factory=dict)
    effect: Literal["Allow", "Deny"] = "Allow"

    def body(self) -> dict[str, Any]:
        """As it stands in a document: actions and resources sorted, the same for the same rights."""
        body: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Action": sorted(set(self.actions)),
            "Resource": sorted(set(self.resources)),
        }
        if self.conditions:
            body["Condition"] = {
                operator: {key: value if isinstance(value, str) else sorted(value) for key, value in keys.items()}
                for operator, keys in self.conditions.items()
            }
        return body


def documents(statements: Sequence[Statement], most: int = MOST_CHARACTERS) -> tuple[dict[str, Any], ...]:
    """Documents that together say what `statements` say, in their order, each of at most `most` characters.

    A statement that is too long for a document of its own is divided by its resources. Refused when that is not enough.
    """
    found: list[list[Statement]] = []
    for statement in (part for whole in statements for part in _divided(whole, most)):
        if not found or characters(_document([*found[-1], statement])) > most:
            found.append([])
        found[-1].append(statement)
    return tuple(_document(group) for group in found)


def characters(document: Mapping[str, Any]) -> int:
    """The length of a document as IAM counts it."""
    return len(json.dumps(document, separators=(",", ":")))


def _document(statements: Sequence[Statement]) -> dict[str, Any]:
    return {"Version": VERSION, "Statement": [statement.body() for statement in statements]}


def _divided(statement: Statement, most: int) -> Iterator[Statement]:
    if characters(_document([statement])) <= most:
        yield statement
        return
    middle = len(statement.resources) // 2
    if not middle:
        raise Refused("the statement is too long for a policy of IAM", resource=statement.sid, cause=f"over {most}")
    for number, half in enumerate((statement.resources[:middle], statement.resources[middle:]), 1):
        yield from _divided(replace(statement, sid=f"{statement.sid}{number}", resources=half), most)
