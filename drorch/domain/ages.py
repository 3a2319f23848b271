"""An application's status, told of a present that moves (`drorch.domain.present`), at any instant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from drorch.domain.model import FailureLevel
from drorch.domain.objective import ApplicationStatus, DatasetStatus, ResourceStatus, Standing
from drorch.domain.present import span_at

Levels = Mapping[FailureLevel, Standing]


class Ages:
    """Knows which standings of a status have ages that grow; every other part of it is the same at every instant.

    One pass asks this of every application, so that what does not change is found out once.
    """

    def __init__(self, told: ApplicationStatus) -> None:
        self._told = told
        self._moving: dict[int, Standing] = {}
        self._spans: dict[int, timedelta] = {}
        for levels in (told.levels, *(d.levels for d in told.datasets), *(r.levels for r in told.resources)):
            for standing in levels.values():
                self._find(standing)

    def at(self, now: datetime) -> ApplicationStatus:
        """The status with its ages as they are at that instant."""
        told, made = self._told, self._made(now)
        resources = [
            ResourceStatus(r.resource, r.kind, r.dataset, r.newest_cut_at, _aged(r.levels, made))
            for r in told.resources
        ]
        datasets = [DatasetStatus(d.dataset, d.resources, d.exempt, _aged(d.levels, made)) for d in told.datasets]
        levels = _aged(told.levels, made)
        return ApplicationStatus(told.application, told.policy_valid, levels, tuple(datasets), tuple(resources))

    def _made(self, now: datetime) -> dict[int, Standing]:
        """The standings of that instant, by those that they are made of."""
        made: dict[int, Standing] = {}
        ages = {key: span_at(span, now) for key, span in self._spans.items()}
        for key, was in self._moving.items():
            made[key] = Standing(
                ages.get(id(was.rpo_attained)),
                ages.get(id(was.rpo_verified)),
                was.rto_attained,
                was.objective,
                was.known,
                was.exempt,
                was.why,
                was.parts and tuple([made.get(id(part), part) for part in was.parts]),
                was.rto_basis,
                was.rto_breaks_at,
            )
        return made

    def _find(self, standing: Standing) -> bool:
        """Whether it moves, by itself or by its parts; those come before it."""
        of_parts = [self._find(part) for part in standing.parts]
        spans = [span for span in (standing.rpo_attained, standing.rpo_verified) if span is not None]
        self._spans.update((id(span), span) for span in spans)
        moves = bool(spans) or any(of_parts)
        if moves:
            self._moving.setdefault(id(standing), standing)
        return moves


def _aged(levels: Levels, made: Mapping[int, Standing]) -> Levels:
    return {level: made.get(id(was), was) for level, was in levels.items()}
