"""Whether policy documents allow a request: IAM's evaluation, as far as the documents of drorch go.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html: what is denied is denied,
what is allowed nowhere is denied, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any


def allowed(
    documents: Iterable[Mapping[str, Any]],
    action: str,
    resource: str = "*",
    context: Mapping[str, str | Sequence[str]] | None = None,
) -> bool:
    """Whether somebody with these documents may do `action` to `resource`, an ARN, under the keys of `context`."""
    fitting = [
        statement["Effect"]
        for document in documents
        for statement in document["Statement"]
        if any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(pattern == "*" or fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and _holds(statement.get("Condition", {}), context or {})
    ]
    return "Allow" in fitting and "Deny" not in fitting


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str | Sequence[str]]) -> bool:
    return all(
        _one(operator, context.get(key), [values] if isinstance(values, str) else values)
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )


def _one(operator: str, found: str | Sequence[str] | None, values: Sequence[str]) -> bool:
    if operator == "Null":
        return str(found is None).lower() in values
    if operator == "StringEqualsIfExists":
        return found is None or found in values
    if operator in ("StringEquals", "Bool"):
        return found in values
    if operator == "ForAnyValue:StringEquals":
        return found is not None and bool({found} & set(values) if isinstance(found, str) else set(found) & set(values))
    raise AssertionError(f"{operator} is not judged here")
