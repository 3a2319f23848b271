"""From the data of a policy file to a Policy, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from drorch.domain.cadence import Ground, derived
from drorch.domain.duration import duration_text
from drorch.domain.explain import Loc, Problem, read_fields, unknown_keys
from drorch.domain.feasibility import Arithmetic, LockOutlasts, judge, outlasting
from drorch.domain.ignore import Ignore, wrong_places
from drorch.domain.model import FailureLevel
from drorch.domain.policy import Home, Policy, ResourcePolicy
from drorch.domain.policy_datasets import Said, contradictions, merged
from drorch.domain.policy_drills import wrong_drills
from drorch.domain.policy_form import DefaultsForm, PolicyForm
from drorch.domain.policy_names import former_names
from drorch.domain.policy_recovery import Application, read_recovery
from drorch.domain.policy_resource import Around, Draft, check_home, check_window, finish, read_resource
from drorch.domain.policy_scenario import read_scenario
from drorch.domain.policy_templates import wrong_templates
from drorch.domain.vocabulary import Vocabulary


def parse_policy(data: object, vocabulary: Vocabulary) -> tuple[Policy | None, tuple[Problem, ...]]:
    """The policy that `data` (plain mappings, lists, text, numbers) says, or None and all problems at once.

    Pure: what may be named comes in as `vocabulary`. Places of problems are paths into `data`.
    """
    top, problems = read_fields(PolicyForm, data, ())
    if not isinstance(data, Mapping):
        return None, tuple(problems)
    problems.extend(unknown_keys(data, PolicyForm.model_fields, ()))
    defaults = DefaultsForm.model_validate(dict(vocabulary.defaults))
    if "home" in data:
        problems.extend(check_home(data["home"], ("home",), vocabulary))
    around = Around(top.get("application", ""), top.get("home"), vocabulary, defaults)
    drafts = [read_resource(raw, ("resources", i), around) for i, raw in enumerate(top.get("resources", ()))]
    said = Said((), "the application", top.get("objectives", {}), top.get("exempt", {}))
    problems.extend(contradictions("", [said]))
    problems.extend(_same_names(drafts))
    problems.extend(former_names(top, drafts))
    problems.extend(wrong_templates(drafts))
    problems.extend(wrong_places(top.get("ignore", ()), vocabulary.accounts, vocabulary.regions))
    problems.extend(_nowhere(top.get("ignore", ()), top.get("home")))
    by_default = Said((), "the default", defaults.objectives)
    promises, _ = merged(by_default, [said])
    said = Said((), said.name, promises, said.exempt)
    problems.extend(_reaches_for_nothing(top, said, drafts))
    recovery, wrong = read_recovery(data.get("recovery"), Application(top.get("home"), said, drafts, vocabulary))
    problems.extend(wrong)
    problems.extend(wrong_drills(drafts, recovery))
    scenario, wrong = read_scenario(top.get("drill"), recovery, drafts)
    problems.extend(wrong)
    resources = list(_resources(drafts, said, problems, data, vocabulary, top.get("reach_back")))
    problems.extend(problem for draft in drafts for problem in draft.problems)
    if problems:
        return None, tuple(dict.fromkeys(problems))
    policy = Policy(
        version=top["version"],
        application=top["application"],
        owner=top.get("owner", ""),
        home=top["home"],
        objectives=dict(said.objectives),
        exempt=dict(said.exempt),
        resources=tuple(resources),
        retired=None if top["retired"] is None else top["retired"].retired,
        formerly=top["formerly"],
        reach_back=top["reach_back"],
        ignore=tuple(entry.at(top["home"].account or "", top["home"].region) for entry in top["ignore"]),
        recovery=recovery,
        scenario=scenario,
    )
    return policy, ()


def _same_names(drafts: Sequence[Draft]) -> Iterator[Problem]:
    seen: set[str] = set()
    for draft in drafts:
        name = draft.values.get("name")
        if name in seen:
            yield Problem((*draft.loc, "name"), f"resource {name} twice", "one name, one resource")
        elif name:
            seen.add(name)


def _nowhere(entries: Sequence[Ignore | None], home: Home | None) -> Iterator[Problem]:
    """What is ignored lies in AWS: an application at home elsewhere has to say where."""
    for index, entry in enumerate(entries):
        if entry is not None and home is not None and home.account is None and not (entry.account and entry.region):
            hint = "such as {kind: ebs, account: prod, region: us-east-1, ...}"
            yield Problem(("ignore", index), "needs account and region: the application's home is not in AWS", hint)


def _reaches_for_nothing(top: Mapping[str, Any], said: Said, drafts: Sequence[Draft]) -> Iterator[Problem]:
    if top.get("reach_back") is None:
        return
    if not any(FailureLevel.TAMPERING in place.objectives for place in (said, *(draft.said for draft in drafts))):
        hint = "promise it, such as objectives: {tampering: {rpo: 2d}}"
        yield Problem(("reach_back",), "reach_back is for level tampering, which nothing here promises", hint, True)


def _resources(
    drafts: Sequence[Draft],
    top: Said,
    problems: list[Problem],
    data: object,
    vocabulary: Vocabulary,
    reach_back: timedelta | None,
) -> Iterator[ResourcePolicy]:
    """The resolved resources of every dataset that is whole; contradictions and promises that cannot be kept."""
    by_dataset: dict[str, list[Draft]] = {}
    for draft in drafts:
        by_dataset.setdefault(draft.dataset, []).append(draft)
    resolved: dict[Loc, ResourcePolicy] = {}
    for name, members in by_dataset.items():
        said = [draft.said for draft in members]
        wrong = list(contradictions(name, said)) if name else []
        problems.extend(wrong)
        if wrong or any(draft.problems or draft.home is None for draft in members):
            continue
        objectives, exempt = merged(top, said)
        drafted = [finish(draft, objectives, exempt) for draft in members]
        whole = _scheduled(members, drafted, Ground(vocabulary.vaults, vocabulary.locks, reach_back))
        if whole is None:
            continue
        problems.extend(
            _infeasible(arithmetic, said, data)
            for arithmetic in judge(whole, vocabulary.vaults, locks=vocabulary.locks, reach_back=reach_back)
            if not arithmetic.feasible
        )
        problems.extend(
            _locked_too_long(draft, found)
            for draft, resource in zip(members, whole, strict=True)
            for found in outlasting(resource, vocabulary.locks, vocabulary.grace)
        )
        resolved.update(zip((draft.loc for draft in members), whole, strict=True))
    for draft in drafts:
        if draft.loc in resolved:
            yield resolved[draft.loc]


def _scheduled(
    drafts: Sequence[Draft], resources: Sequence[ResourcePolicy], ground: Ground
) -> Sequence[ResourcePolicy] | None:
    """A dataset's resources with their cadences; None, and problems in their drafts, where there is none for one."""
    whole, wrong = derived(resources, ground)
    for found in wrong:
        draft = drafts[found.index]
        at = ("schedule",) if draft.has("schedule") else ()
        draft.wrong(*at, message=found.message, hint=found.hint)
    for draft, resource in zip(drafts, whole, strict=True):
        if resource.cadence is not None and not wrong:
            check_window(draft, resource.schedule)
    return None if any(draft.problems for draft in drafts) else whole


def _infeasible(arithmetic: Arithmetic, said: Sequence[Said], data: object) -> Problem:
    level = arithmetic.level
    loc = _place_of(level, said, data)
    if arithmetic.total is None:
        message = f"{level} is promised, but {arithmetic.why}"
        if level is FailureLevel.TAMPERING:
            return Problem(loc, message, "leave the level out, or exempt: {tampering: REASON}")
        return Problem(loc, message, f"let one copy go where it does, or exempt: {{{level}: REASON}}")
    rpo = duration_text(arithmetic.rpo) if arithmetic.rpo is not None else ""
    if not arithmetic.late:
        longest = duration_text(arithmetic.lock_needed or timedelta())
        message = f"dataset {arithmetic.dataset} cannot keep its promise at {level}: {arithmetic.sum}"
        return Problem(loc, message, f"lock: {{for: {longest}}} at the least for vault {arithmetic.vault}")
    message = f"dataset {arithmetic.dataset} cannot keep rpo {rpo} at {level}: {arithmetic.sum}"
    total = duration_text(arithmetic.total)
    return Problem(loc, message, f"interval + allowance: cut or copy more often, or promise {total}")


def _locked_too_long(draft: Draft, found: LockOutlasts) -> Problem:
    within = duration_text(found.lock - found.grace)
    message = f"vault {found.vault} locks points for longer than they are kept: {found.sum}"
    where = "copies" if draft.words is not None and draft.words.native else "vaults"
    return Problem((*draft.loc, where, found.index), message, f"keep: {{within: {within}}} keeps every point so long")


def _place_of(level: FailureLevel, said: Sequence[Said], data: object) -> Loc:
    """Where the promise at `level` stands: at a resource of the dataset, at the top, else in the host's defaults."""
    for place in said:
        if level in place.objectives:
            return (*place.loc, "objectives", level.value)
    if isinstance(data, Mapping) and level.value in (data.get("objectives") or {}):
        return ("objectives", level.value)
    return said[0].loc
