"""Drills of snapshots in a policy file: how they are brought back for it must be said whole, by them or the runbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ValidationError

from drorch.domain.explain import Problem, explain
from drorch.domain.model import place_of
from drorch.domain.policy import DrillRule
from drorch.domain.policy_resource import Draft
from drorch.domain.runbook import Recovery, said_of

TOUCHES_OTHERS = frozenset({"attach", "launch_template"})
"""What a drill never does, whatever a mapping says: it would change what is in use."""


def drill_said(
    model: type[BaseModel], mapped: Mapping[str, object], own: Mapping[str, object], point: str
) -> dict[str, object]:
    """How a point is brought back for a drill: as the runbook has it, then as the drill says, under a name of the
    drill's own and so that it can be cleared away.
    """
    fixed: dict[str, object] = {"name": f"drorch-drill-{point}", "deletion_protection": False}
    said = {key: value for key, value in {**mapped, **own}.items() if key not in TOUCHES_OTHERS}
    return {**said, **{key: value for key, value in fixed.items() if key in model.model_fields}}


def options_in(recovery: Recovery | None, region: str, resource: str) -> dict[str, object]:
    """What the runbook says of a resource in a region, as plain data."""
    options = recovery.options(region, resource) if recovery is not None else None
    return {} if options is None else said_of(options)


def wrong_drills(drafts: Sequence[Draft], recovery: Recovery | None) -> Iterator[Problem]:
    """What is wrong with the options of drills of snapshots, each once."""
    for draft in drafts:
        own: DrillRule | None = draft.drill
        if draft.words is None or not draft.words.native or own is None or draft.problems:
            continue
        place = (*draft.loc, "drill")
        if draft.words.restore is None:
            yield Problem(place, f"a drill of kind {draft.values['kind']} is not in this version", "leave it out")
            continue
        if own.probes and draft.words.probes and own.connect is None:
            hint = "connect: {password: {credential: NAME}}, of its master user or of the one that is named"
            yield Problem((*place, "probes"), "nobody says how the probes log on", hint)
        if own.connect is not None and not own.probes:
            yield Problem((*place, "connect"), "connect is for probes", "add probes:, or leave it out", at_key=True)
        for key in sorted(TOUCHES_OTHERS & own.options.keys()):
            yield Problem((*place, "options", key), f"a drill never does this ({key})", "leave it out", at_key=True)
        for vault in own.from_:
            mapped = options_in(recovery, place_of(vault)[1], str(draft.values["name"]))
            said = drill_said(draft.words.restore, mapped, own.options, "x" * 20)
            try:
                draft.words.restore.model_validate(said)
            except ValidationError as error:
                yield from explain(error, said, (*place, "options"), draft.words.restore)
                break
