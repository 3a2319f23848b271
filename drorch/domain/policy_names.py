"""Names that an application and its resources had before: whose history is carried on, and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drorch.domain.explain import Problem
from drorch.domain.policy_resource import Draft


def former_names(top: Mapping[str, Any], drafts: Sequence[Draft]) -> Iterator[Problem]:
    """What is wrong with `formerly`: names said twice, still in use, or claimed by two resources.

    A resource may name itself: its source was replaced, and its history goes on. An application may not.
    """
    named: tuple[str | None, ...] = top.get("formerly", ())
    for index, name in enumerate(named):
        if name is None:
            continue
        if name == top.get("application"):
            hint = "formerly has the names that it had before"
            yield Problem(("formerly", index), f"application {name} is called {name} now", hint)
        if name in named[:index]:
            yield Problem(("formerly", index), f"former name {name} twice")
    yield from _of_resources(drafts)


def _of_resources(drafts: Sequence[Draft]) -> Iterator[Problem]:
    present = {str(draft.values.get("name")) for draft in drafts}
    claimed: dict[str, str] = {}
    for draft in drafts:
        own = str(draft.values.get("name", ""))
        named: tuple[str | None, ...] = draft.values.get("formerly", ())
        for index, name in enumerate(named):
            loc = (*draft.loc, "formerly", index)
            if name is None:
                continue
            if name in named[:index]:
                yield Problem(loc, f"former name {name} twice")
            elif name != own and name in present:
                yield Problem(loc, f"{name} is still a resource here", "its history is its own")
            elif name in claimed:
                hint = "one history is carried on by one resource"
                yield Problem(loc, f"former name {name} is claimed by resource {claimed[name]} too", hint)
            else:
                claimed[name] = own
