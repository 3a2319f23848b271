"""Objectives and exemptions of a dataset: what its resources say, over what the application says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drorch.domain.duration import duration_text
from drorch.domain.explain import Loc, Problem
from drorch.domain.model import FailureLevel
from drorch.domain.policy import Objective

Objectives = Mapping[FailureLevel, Objective]
Exempt = Mapping[FailureLevel, str]


@dataclass(frozen=True, slots=True)
class Said:
    """What stands at one place of the file: the application's top or one resource."""

    loc: Loc
    name: str
    objectives: Objectives = field(default_factory=dict)
    exempt: Exempt = field(default_factory=dict)


def contradictions(dataset: str, said: Sequence[Said]) -> Iterator[Problem]:
    """Every level and field that two places of one dataset (or one place itself) say differently."""
    promised: dict[tuple[FailureLevel, str], tuple[Said, object]] = {}
    exempted: dict[FailureLevel, tuple[Said, str]] = {}
    for place in said:
        for level, objective in place.objectives.items():
            for name in ("rpo", "rto"):
                value = getattr(objective, name)
                if value is None:
                    continue
                first, other = promised.setdefault((level, name), (place, value))
                if other != value:
                    loc = (*place.loc, "objectives", level.value, name)
                    text = f"{name} {duration_text(value)} at {level} differs from that of {first.name}"
                    yield Problem(loc, text, f"both protect dataset {dataset}: say it once")
        for level, reason in place.exempt.items():
            first, known = exempted.setdefault(level, (place, reason))
            if known != reason:
                text = f"the exemption at {level} differs from that of {first.name}"
                yield Problem((*place.loc, "exempt", level.value), text, f"both protect dataset {dataset}: say it once")
    for level, (place, _) in exempted.items():
        if any(level in other.objectives for other in said):
            text = f"{level} is promised and exempt at once"
            hint = f"for dataset {dataset} keep one of them" if dataset else "keep one of them"
            yield Problem((*place.loc, "exempt", level.value), text, hint)


def merged(top: Said, said: Sequence[Said]) -> tuple[dict[FailureLevel, Objective], dict[FailureLevel, str]]:
    """The dataset's own words over the application's, level by level and field by field.

    A dataset that promises a level itself is not exempt there by the application's word.
    """
    objectives = dict(top.objectives)
    exempt = dict(top.exempt)
    for place in said:
        for level, objective in place.objectives.items():
            objectives[level] = over(objectives.get(level), objective)
            exempt.pop(level, None)
    for place in said:
        exempt.update(place.exempt)
    return objectives, exempt


def over(below: Objective | None, above: Objective) -> Objective:
    """The fields of `above`, those that it leaves out from `below`."""
    if below is None:
        return above
    return Objective(rpo=above.rpo or below.rpo, rto=above.rto or below.rto)
