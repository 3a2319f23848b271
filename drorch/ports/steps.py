"""What the core asks of the world when a runbook is carried out. Level-triggered: each call looks and returns at once,
so any process goes on where another was killed, and asking again makes nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drorch.domain.runbook import StepProgress


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """An image to be run in `account`.`region` by an Auto Scaling group that is there, behind its target group, by
    `capacity` instances at the least.
    """

    account: str
    region: str
    application: str
    image: str
    group: str
    target_group: str
    capacity: int = 2


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """A record of a hosted zone of `account` that is to have these values; before, it may have `was`, or not be."""

    account: str
    zone: str
    name: str
    type: str
    values: tuple[str, ...]
    ttl: int
    was: tuple[str, ...] = ()


class LaunchesImages(Protocol):
    """Runs images behind target groups."""

    def advance(self, order: LaunchOrder) -> StepProgress:
        """Look how far it is, do what can be done now. Done when enough targets are healthy, in two zones at least.

        Refused for groups that are not there, that span one zone, or that run something else that is not this
        application's. Unavailable, OutcomeUnknown: asking again is harmless.
        """


class SwitchesRecords(Protocol):
    """Changes DNS records."""

    def advance(self, order: RecordOrder) -> StepProgress:
        """Look whether the record is as ordered; change it where it is absent or as it `was`. Done once it is answered.

        Refused, and nothing is changed, where it is anything else: somebody else changed it. Unavailable.
        """


class AnswersHttp(Protocol):
    """Asks addresses."""

    def status(self, address: str) -> int:
        """The status that the address answers with; redirects are not followed. Unavailable when nobody answers."""


class RunsCommands(Protocol):
    """Runs programs of this host."""

    def begin(self, argv: Sequence[str]) -> RunningCommand:
        """Start it, without a shell, without input. Refused when it cannot be started."""


class RunningCommand(Protocol):
    """A program that was started."""

    def ended(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None while it runs."""

    def said(self) -> str:
        """The last line that it wrote; "" for none."""
