"""``recovery:`` of a policy file, read against its resources: what it maps and does must be able to come about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from drorch.domain.canonical import canonical_bytes
from drorch.domain.dump_return import DumpReturn
from drorch.domain.explain import Loc, Problem, explain, near, read_fields
from drorch.domain.model import FailureLevel, place_of
from drorch.domain.policy import AWS, Home, Policy
from drorch.domain.policy_datasets import Said
from drorch.domain.policy_grants import not_granted
from drorch.domain.policy_recovery_form import RecoveryForm, StepForm
from drorch.domain.policy_resource import Draft, check_region
from drorch.domain.runbook import Recovery, RunbookStep, record_region, said_of
from drorch.domain.vocabulary import Vocabulary

IMAGE_KIND = "ami"
"""Whose points are images that instances can be launched from."""


@dataclass(frozen=True, slots=True)
class Application:
    """What ``recovery:`` is read within. `home` is None where it is wrong, `said` is what the application promises."""

    home: Home | None
    said: Said
    drafts: Sequence[Draft]
    vocabulary: Vocabulary

    def draft(self, name: str) -> Draft | None:
        """The resource of that name."""
        return next((draft for draft in self.drafts if draft.values.get("name") == name), None)

    @property
    def promises_provider(self) -> bool:
        """Whether anything is promised for the loss of the provider."""
        return any(FailureLevel.PROVIDER in said.objectives for said in (self.said, *(d.said for d in self.drafts)))


def read_recovery(raw: object, around: Application) -> tuple[Recovery | None, list[Problem]]:
    """What `raw`, the value of ``recovery:``, says, and what of it cannot come about; None where it says nothing.

    What is wrong with its form is not told again here.
    """
    if not isinstance(raw, Mapping):
        return None, []
    values, _ = read_fields(RecoveryForm, raw, ("recovery",))
    problems: list[Problem] = []
    said: Mapping[str, Mapping[str, Any]] = values.get("regions", {})
    forms: tuple[StepForm | None, ...] = values.get("steps", ())
    regions = {
        region: dict(_mapped(region, said[region], around, problems))
        for region in said
        if _elsewhere(region, around, problems)
    }
    steps = tuple(_steps(forms, raw.get("steps"), said, around, problems))
    for index, form in enumerate(forms):
        if form is not None and form.restore is not None:
            _brought_back(form, ("recovery", "steps", index), regions, around, problems)
    return Recovery(regions, steps), problems


def left_out(policy: Policy) -> Iterator[tuple[str, str]]:
    """(resource, region) of copies that the policy's runbook leaves where they are, by resource."""
    recovery = policy.recovery
    if recovery is None or not recovery.steps:
        return
    for resource in policy.resources:
        for rule in resource.targets:
            region = place_of(rule.vault)[1]
            if region in recovery.regions and not rule.home and resource.name not in recovery.restored:
                yield resource.name, region


# --- regions -------------------------------------------------------------------------------------------------------


def _elsewhere(region: str, around: Application, problems: list[Problem]) -> bool:
    """Whether it is a region, and not the home."""
    loc: Loc = ("recovery", "regions", region)
    wrong = [replace(problem, at_key=True) for problem in check_region(region, loc, around.vocabulary)]
    if around.home is not None and around.home.account and region == around.home.region:
        message = f"{region} is the home, which is lost when this is needed"
        wrong.append(Problem(loc, message, "a region that copies go to", at_key=True))
    problems.extend(wrong)
    return not wrong


def _mapped(
    region: str, said: Mapping[str, Any], around: Application, problems: list[Problem]
) -> Iterator[tuple[str, BaseModel]]:
    """The options of the resources in one region, as far as they are right."""
    for name, given in said.items():
        place: Loc = ("recovery", "regions", region, name)
        draft = around.draft(name)
        if draft is None:
            known = [str(d.values["name"]) for d in around.drafts if d.values.get("name")]
            problems.append(Problem(place, f"there is no resource {name}", near(name, known), at_key=True))
        elif not (why := _cannot_return(draft, region)):
            options = _options(draft, given, place, problems)
            if options is not None:
                yield name, options
        else:
            problems.append(Problem(place, *why, at_key=True))


def _cannot_return(draft: Draft, region: str) -> tuple[str, str] | None:
    """Why a resource cannot be brought back in a region, with a hint; None when it can, or is wrong itself."""
    name, words = draft.values["name"], draft.words
    if words is None:
        return None
    if not words.native and words.restore is None:
        hint = f"a manual step: drorch restore {draft.around.application} {name} --into TARGET"
        return f"a dump of kind {draft.values['kind']} in a runbook ({name}) is not in this version", hint
    if not words.native:
        return None
    if words.restore is None:
        return f"restoring kind {draft.values['kind']} in a runbook is not in this version", "leave it out"
    if draft.home is not None and draft.home.region == region:
        return f"{name} lives in {region}, which is lost when this is needed", "a region that its copies go to"
    if not draft.problems and all(place_of(rule.vault)[1] != region for rule in draft.targets):
        return f"no copy of {name} goes to {region}", f"copies: [{{region: {region}}}] on {name}"
    return None


def _options(draft: Draft, given: object, place: Loc, problems: list[Problem]) -> BaseModel | None:
    """The kind's options; they must be such as a record can carry."""
    form = None if draft.words is None else draft.words.restore
    if form is None:
        return None
    try:
        options = form.model_validate(given)
        canonical_bytes(said_of(options))
    except ValidationError as error:
        problems.extend(explain(error, given, place, form))
    except TypeError as error:
        problems.append(Problem(place, f"cannot stand in a record: {error}", "whole numbers and text"))
    else:
        credential = options.credential if isinstance(options, DumpReturn) else ""
        around = draft.around
        if not credential or (why := not_granted(credential, around.application, around.vocabulary)) is None:
            return options
        problems.append(Problem((*place, "password", "credential"), *why))
    return None


def _brought_back(
    form: StepForm,
    loc: Loc,
    regions: dict[str, dict[str, BaseModel]],
    around: Application,
    problems: list[Problem],
) -> None:
    """A resource that a step restores comes back in every region, under the defaults where nothing is mapped."""
    name = form.restore or ""
    draft = around.draft(name)
    if draft is None or draft.words is None:
        return
    model = draft.words.restore
    for region, mapped in regions.items():
        if name in mapped or any(p.loc[:4] == ("recovery", "regions", region, name) for p in problems):
            continue
        why = _cannot_return(draft, region)
        if why is not None or model is None:
            problems.extend([Problem((*loc, "restore"), *why)] if why is not None else ())
            continue
        try:
            mapped[name] = model.model_validate({})
        except ValidationError as error:
            lacking = ", ".join(str(detail["loc"][-1]) for detail in error.errors() if detail["loc"]) or "its options"
            message = f"{name}, which step {form.name} restores, is not mapped"
            problems.append(Problem(("recovery", "regions", region), message, f"{name}: with {lacking}", at_key=True))


# --- steps ---------------------------------------------------------------------------------------------------------


def _steps(
    forms: Sequence[StepForm | None],
    raw: object,
    regions: Collection[str],
    around: Application,
    problems: list[Problem],
) -> Iterator[RunbookStep]:
    """The steps that are right in themselves; `forms` has None for those that are not."""
    names = [_name(entry) for entry in raw] if isinstance(raw, list) else []
    earlier: dict[str, StepForm | None] = {}
    restored: dict[str, str] = {}
    for index, form in enumerate(forms):
        if form is not None:
            loc: Loc = ("recovery", "steps", index)
            if form.name in earlier:
                problems.append(Problem((*loc, "name"), f"step {form.name} twice", "one name, one step"))
            if form.restore in restored:
                message = f"{form.restore} is restored by step {restored[form.restore]} already"
                problems.append(Problem((*loc, "restore"), message, "one step brings a resource back"))
            elif form.restore is not None:
                restored[form.restore] = form.name
            problems.extend(_order(form, loc, earlier, names))
            problems.extend(_possible(form, loc, earlier, around))
            hint = f"a value for each of {', '.join(regions)}"
            problems.extend(Problem((*loc, *place), why, hint, at_key=True) for place, why in form.not_for(regions))
            yield form.step(next(reversed(earlier), ""), regions)
        earlier[names[index] if index < len(names) else ""] = form


def _name(entry: object) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else ""


def _order(form: StepForm, loc: Loc, earlier: Mapping[str, object], names: Sequence[str]) -> Iterator[Problem]:
    """Needs that are no earlier steps: as only those may be named, no step ever waits for itself."""
    named: list[tuple[Loc, str]] = [(("needs", index), name) for index, name in enumerate(form.needs or ())]
    if form.launch is not None:
        named.append((("launch", "image"), form.launch.image))
    for place, name in named:
        if name in earlier:
            continue
        later = name in names
        message = f"step {name} comes later" if later else f"there is no step {name}"
        hint = "needs names earlier steps" if later else near(name, [known for known in earlier if known])
        yield Problem((*loc, *place), message, hint)


def _possible(
    form: StepForm, loc: Loc, earlier: Mapping[str, StepForm | None], around: Application
) -> Iterator[Problem]:
    """What a step is about must be there, allowed, and reachable when it is needed."""
    if form.restore is not None and around.draft(form.restore) is None:
        known = [str(d.values["name"]) for d in around.drafts if d.values.get("name")]
        yield Problem((*loc, "restore"), f"there is no resource {form.restore}", near(form.restore, known))
    if form.launch is not None and (image := earlier.get(form.launch.image)) is not None:
        draft = None if image.restore is None else around.draft(image.restore)
        if image.restore is None or (draft is not None and draft.values.get("kind") not in (None, IMAGE_KIND)):
            hint = f"a step that restores a resource of kind {IMAGE_KIND}"
            yield Problem((*loc, "launch", "image"), f"step {image.name} restores no image", hint)
    if form.command is not None and around.vocabulary.commands is False:
        hint = "recovery: {commands: true} in drorch.yaml"
        yield Problem((*loc, "command"), "commands are not allowed on this host", hint, at_key=True)
    if form.record is not None and not form.fallback and (why := _record_lost(around)):
        hint = 'fallback: "what a person does instead"'
        yield Problem((*loc, "record"), f"Route 53 is changed {why}", hint, at_key=True)


def _record_lost(around: Application) -> str:
    """Why a Route 53 record may not be able to be changed on the day; "" when nothing promised takes that away."""
    regions = {home.region for home in _homes(around) if home.provider in (None, AWS)}
    for region in sorted(regions):
        control = record_region(region)
        if region == control:
            return f"from {control} alone, which is lost with the home"
    if around.promises_provider:
        return "by the provider alone, whose loss is promised for"
    return ""


def _homes(around: Application) -> Iterator[Home]:
    for home in (around.home, *(draft.values.get("home") for draft in around.drafts)):
        if home is not None:
            yield home
