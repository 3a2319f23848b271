"""How often a whole application is drilled, and where. A value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

REGION = "region"
"""The scenario: the region of the home is lost."""


@dataclass(frozen=True, slots=True)
class ScenarioRule:
    """``drill:`` of an application: its runbook is carried out in region `into`, `every` so often, and nothing of that
    is there for longer than `most`.
    """

    every: timedelta
    into: str
    most: timedelta = timedelta(hours=4)
