"""The runbook as a signed record carries it, and back: what restores an application without its policy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from drorch.domain.errors import Damaged, NotInThisVersion
from drorch.domain.policy_recovery_form import RecoveryForm
from drorch.domain.runbook import Recovery, said_of

if TYPE_CHECKING:
    from drorch.domain.policy import Policy


def runbook_content(policy: Policy) -> dict[str, Any]:
    """The fields of the record: `regions`, `kinds` of the resources in them, `steps`; empty without a runbook."""
    recovery = policy.recovery or Recovery()
    regions = {
        region: {name: said_of(options) for name, options in of.items()} for region, of in recovery.regions.items()
    }
    mapped = {name for of in regions.values() for name in of}
    return {
        "regions": regions,
        "kinds": {r.name: r.kind for r in policy.resources if r.name in mapped},
        "steps": [step.to_json() for step in recovery.steps],
    }


def recovery_of(content: Mapping[str, Any], models: Mapping[str, type[BaseModel] | None]) -> Recovery:
    """The runbook in a signed record. `models` has the RestoreOptions of the kinds that this version restores.

    Raises NotInThisVersion for what a later version wrote: a kind, an option or a step that is not known here.
    """
    said = {key: content[key] for key in ("regions", "steps")}
    if not said["regions"]:
        return Recovery()
    try:
        form = RecoveryForm.model_validate(said)
        regions = {
            region: {name: _options(name, given, content["kinds"], models) for name, given in of.items()}
            for region, of in form.regions.items()
        }
        if wrong := [f"{step.name}: {why}" for step in form.steps for _, why in step.not_for(regions)]:
            raise Damaged("a runbook does not say whole what is done in its regions", cause="; ".join(wrong))
        return Recovery(regions, tuple(step.step("", regions) for step in form.steps))
    except ValidationError as error:
        cause = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)[:3])
        raise NotInThisVersion(
            "the signed runbook says what this version does not know", operation="restore", cause=cause
        ) from error


def _options(
    name: str, given: object, kinds: Mapping[str, str], models: Mapping[str, type[BaseModel] | None]
) -> BaseModel:
    kind = kinds.get(name)
    if kind is None:
        raise Damaged(f"a runbook maps {name} and does not say of which kind it is")
    model = models.get(kind)
    if model is None:
        raise NotInThisVersion(f"restoring kind {kind} in a runbook is not in this version", operation="restore")
    return model.model_validate(given)
