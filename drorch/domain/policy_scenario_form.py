"""The shape of ``drill:`` of an application in a policy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StrictStr

from drorch.domain.duration import Duration
from drorch.domain.policy import Count, Frozen, Something


class ScenarioForm(Frozen):
    """``{every: 30d, scenario: region, into: us-west-2, max_hours: 4}``: `into` is a region of the runbook, left out
    where it maps one; nothing of a drill may be there for longer than `max_hours`.
    """

    every: Duration
    scenario: Literal["region"]
    into: Annotated[StrictStr | None, Something] = None
    max_hours: Annotated[Count | None, Something] = None
