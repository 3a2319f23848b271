"""Drills of snapshots in a policy file: how they are brought back for it must be said whole, by them or the runbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ValidationError

from drorch.domain.explain import Problem, explain
from drorch.domain.model import place_of
from drorch.domain.native_restore import Isolation
from drorch.domain.policy import DrillRule
from drorch.domain.policy_resource import Draft
from drorch.domain.runbook import Recovery
from drorch.domain.vocabulary import KindWords

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


def isolation_of(
    model: type[BaseModel], mapped: Mapping[str, object], own: DrillRule | None, *, probes: bool
) -> Isolation | None:
    """The network of a drill's own; None where others' security groups are taken, and of what is no database.

    `probes` says that the kind's drills can be asked. The runbook's groups are those of production come back: they give
    way where the policy says `isolation: own`.
    """
    said = own.options if own else {}
    chosen = "security_groups" in {**mapped, **said} and not (own and own.isolation)
    if not probes or chosen or "security_groups" not in model.model_fields:
        return None
    return Isolation(own.reach_from if own else ())


def options_in(recovery: Recovery | None, region: str, resource: str) -> dict[str, object]:
    """What the runbook says of a resource in a region, as plain data."""
    return {} if recovery is None else recovery.said(region, resource)


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
        yield from _wrong_network(draft, draft.words, own, recovery)
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


def _wrong_network(draft: Draft, words: KindWords, own: DrillRule, recovery: Recovery | None) -> Iterator[Problem]:
    place = (*draft.loc, "drill")
    if words.restore is None or not (own.isolation or own.reach_from):
        return
    key = "isolation" if own.isolation else "reach_from"
    if not words.probes:
        yield Problem((*place, key), f"{key} is for drills of databases", "leave it out", at_key=True)
        return
    if own.isolation and "security_groups" in own.options:
        hint = "isolation: own makes one for the drill; or leave isolation out"
        yield Problem((*place, "options", "security_groups"), "the drill has a group of its own", hint, at_key=True)
        return
    for vault in own.from_:
        mapped = options_in(recovery, place_of(vault)[1], str(draft.values["name"]))
        if isolation_of(words.restore, mapped, own, probes=words.probes) is None:
            hint = "isolation: own, or let the security groups that are named let the probes in"
            yield Problem((*place, "reach_from"), "reach_from is for isolation: own", hint, at_key=True)
            return
