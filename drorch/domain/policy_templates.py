"""What a template of a policy file may not say, and the names that its databases could take from others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drorch.domain.explain import Problem
from drorch.domain.policy_resource import Draft
from drorch.domain.template import LONGEST_NAME, server_options


def wrong_templates(drafts: Sequence[Draft]) -> Iterator[Problem]:
    """What a template may not say, and the names that its databases could take from others."""
    for draft in drafts:
        if server_options(draft.options) is None or not (name := str(draft.values.get("name") or "")):
            continue
        yield from _own_words(draft, name)
        for other in drafts:
            if other is draft:
                continue
            for key in ("name", "dataset"):
                value = str(other.values.get(key) or "")
                if value.startswith(f"{name}_"):
                    message = f"{value} could be a database of {name}: names that begin with {name}_ belong to it"
                    yield Problem((*other.loc, key), message, f"rename it, or {name}")


def _own_words(draft: Draft, name: str) -> Iterator[Problem]:
    if draft.has("dataset"):
        hint = "leave it out: each database is a dataset of its own"
        yield Problem((*draft.loc, "dataset"), "several databases are no alternatives of each other", hint, True)
    if len(name) > LONGEST_NAME:
        message = f"the name is longer than {LONGEST_NAME}, and those of its databases follow it"
        yield Problem((*draft.loc, "name"), message, "a shorter name")
    for index, former in enumerate(draft.values.get("formerly", ())):
        if former is not None and former != name:
            hint = f"formerly: [{name}] says that another server has taken its place"
            yield Problem((*draft.loc, "formerly", index), "several databases carry on no single history", hint)
