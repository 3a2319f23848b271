"""``drill:`` of an application: its runbook, carried out in another region under the tags of a drill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from pydantic import ValidationError

from drorch.domain.explain import Problem, near
from drorch.domain.policy import Policy
from drorch.domain.policy_drills import drill_said, options_in
from drorch.domain.policy_resource import Draft
from drorch.domain.policy_scenario_form import ScenarioForm
from drorch.domain.runbook import Recovery
from drorch.domain.scenario import rehearsed, scenario_steps
from drorch.domain.scenario_rule import ScenarioRule


def read_scenario(
    form: ScenarioForm | None, recovery: Recovery | None, drafts: Sequence[Draft]
) -> tuple[ScenarioRule | None, list[Problem]]:
    """What an application's drill says, and what of it cannot come about; None where there is none."""
    if form is None:
        return None, []
    if recovery is None or not recovery.regions or not recovery.steps:
        hint = "recovery: {regions: {...}, steps: [...]}"
        return None, [Problem(("drill",), "it carries out the runbook, and there is none", hint, at_key=True)]
    into = form.into or next(iter(recovery.regions))
    if form.into is None and len(recovery.regions) > 1:
        message = f"it is not said in which of the regions: {', '.join(recovery.regions)}"
        return None, [Problem(("drill",), message, f"into: {into}", at_key=True)]
    if into not in recovery.regions:
        message = f"{into} is no region of the runbook"
        return None, [Problem(("drill", "into"), message, near(into, list(recovery.regions)))]
    problems = list(_wrong_options(into, recovery, drafts))
    restored = [draft for draft in drafts if draft.values.get("name") in recovery.restored]
    if not any(draft.words is None or draft.words.native for draft in restored):
        hint = "a step that restores a resource"
        problems.append(Problem(("drill",), "no step of the runbook brings snapshots back", hint, at_key=True))
    most = {} if form.max_hours is None else {"most": timedelta(hours=form.max_hours)}
    return ScenarioRule(form.every, into, **most), problems


def _wrong_options(into: str, recovery: Recovery, drafts: Sequence[Draft]) -> Iterator[Problem]:
    """Resources that a drill could not bring back as it would have to: what they miss without what a drill leaves."""
    for draft in drafts:
        name = str(draft.values.get("name"))
        if name not in recovery.restored or draft.problems or draft.words is None or draft.words.restore is None:
            continue
        own = draft.drill.options if draft.drill is not None else {}
        said = drill_said(draft.words.restore, options_in(recovery, into, name), own, "x" * 20)
        try:
            draft.words.restore.model_validate(said)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
            hint = f"recovery: {{regions: {{{into}: {{{name}: ...}}}}}}, or drill: {{options: ...}} of {name}"
            yield Problem(("drill",), f"{name} cannot be brought back for a drill: {told}", hint, at_key=True)


def left_out_in_drills(policy: Policy) -> Iterator[tuple[str, str]]:
    """(step, why) of every step that a drill of the application leaves out, in their order."""
    if policy.scenario is None or policy.recovery is None:
        return
    for step in scenario_steps(policy.recovery, rehearsed(policy, policy.scenario.into)):
        if step.left_out:
            yield step.name, step.left_out
