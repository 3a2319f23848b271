"""Where commands that bring something back, and workers that drill, are killed: the rows of docs/kills.md.

A death is at a call that changes something at AWS: when it has arrived there (`asked`) or when it is done and nobody
has heard of it (`done`), or at a failpoint of the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from killing_cloud import ASKED, DONE

from drorch.domain.runbook import WORDS

FAILPOINT = "failpoint"


@dataclass(frozen=True)
class Death:
    """At which call or failpoint, and when of it."""

    where: str
    instant: str = FAILPOINT

    def __str__(self) -> str:
        return self.where if self.instant == FAILPOINT else f"{self.where} {self.instant}"


RESTORES: Mapping[str, tuple[str, ...]] = {
    "data": ("CreateVolume", "CreateVolume", "AttachVolume", "AttachVolume"),
    "web": ("RunInstances",),
    "jobs": ("CreateLaunchTemplateVersion",),
    "ledger": ("RestoreDBInstanceFromDBSnapshot",),
    "orders": ("RestoreDBClusterFromSnapshot", "CreateDBInstance", "CreateDBInstance"),
}
"""Resource -> every call by which its restore changes something, in their order. A test holds them against a restore
that nobody disturbs: one more call without its row fails.
"""

DRILLS: Mapping[str, tuple[str, ...]] = {
    "data": ("CreateVolume", "CreateVolume", "DeleteVolume", "DeleteVolume"),
    "web": ("RunInstances", "TerminateInstances", "DeleteVolume", "DeleteVolume"),
    "ledger": ("RestoreDBInstanceFromDBSnapshot", "DeleteDBInstance"),
    "orders": (
        "RestoreDBClusterFromSnapshot",
        *("CreateDBInstance", "CreateDBInstance"),
        *("DeleteDBInstance", "DeleteDBInstance", "DeleteDBCluster"),
    ),
}
"""The same of their drills, which clear away what they made."""

JOURNAL = ("restore.before-journal", "restore.journal-written")
"""All is there; nobody has been told, then the journal has. The same for every kind: died at in one restore."""

INSTANTS = ("before", "called", "recorded")
"""Of every sort of step: before the first look, after it, and when the step is over."""

RUNBOOK_CALLS: Mapping[str, tuple[str, ...]] = {
    "launch": ("CreateLaunchTemplateVersion", "UpdateAutoScalingGroup"),
    "record": ("Post rrset",),
}
"""What the steps change that are no restores."""


def of_calls(calls: tuple[str, ...]) -> tuple[Death, ...]:
    """When the first has arrived, and after each: what lies between two is the same to whoever comes next."""
    return (Death(calls[0], ASKED), *(Death(call, DONE) for call in calls))


def of_runbook() -> tuple[Death, ...]:
    """Every sort of step in the order of a runbook: its calls while they are still to be made, and its instants."""
    return tuple(death for word in WORDS for death in of_step(word))


def of_step(word: str) -> tuple[Death, ...]:
    """The deaths at one sort of step."""
    before, *after = (Death(f"step.{word}.{instant}") for instant in INSTANTS)
    return (before, *(of_calls(RUNBOOK_CALLS[word]) if word in RUNBOOK_CALLS else ()), *after)


def of_restore(resource: str) -> tuple[Death, ...]:
    """The deaths of one restore."""
    end = JOURNAL if resource == "ledger" else ()
    return (*of_calls(RESTORES[resource]), *(Death(failpoint) for failpoint in end))


def drill_deaths(resource: str) -> tuple[int, ...]:
    """After which calls of its drill a worker is killed: after each of those of volumes, of the others after the last
    that makes something or the first that lets something go. Every call is died at in the memory of one process
    (`tests/app/test_native_drill.py`).
    """
    calls = DRILLS[resource]
    first = next(number for number, call in enumerate(calls) if call.startswith(("Delete", "Terminate")))
    return tuple(range(len(calls))) if resource == "data" else (first - (resource == "ledger"),)
