"""What a change of policies does to the drills of a whole application. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drorch.domain.duration import duration_text
from drorch.domain.policy import Policy
from drorch.domain.policy_changes import Change
from drorch.domain.scenario_rule import ScenarioRule


def changed_scenario(old: Policy, new: Policy) -> Iterator[Change]:
    """Whether it is drilled, how often, where, and for how long anything of that is there."""
    before, after = old.scenario, new.scenario
    if before == after:
        return
    lost, rarer = after is None, before is not None and after is not None and after.every > before.every
    kind = "drill-lost" if lost else "drill-added" if before is None else "drill-reduced" if rarer else "drill-changed"
    told = (
        "nothing proves any more that the whole application comes back" if lost else "the whole application is drilled"
    )
    text = f"{told}: {_said(before)} becomes {_said(after)}"
    yield Change(kind, new.application, text, before=_said(before), after=_said(after), risky=lost or rarer)


def _said(rule: ScenarioRule | None) -> str:
    if rule is None:
        return "none"
    return f"every {duration_text(rule.every)} in {rule.into}, {duration_text(rule.most)} at most"
