"""The hands that carry out a runbook, with the adapters behind them chosen; and the runbook of a signed record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drorch.app.runbook_hands import (
    Ask,
    CommandHand,
    Hand,
    LaunchHand,
    Loads,
    ManualHand,
    RecordHand,
    RestoreHand,
    Restores,
    WaitHand,
)
from drorch.domain.runbook import Recovery
from drorch.domain.runbook_order import launched, resource_of
from drorch.domain.runbook_record import recovery_of
from drorch.wiring import adapters

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts
    from drorch.ports import Clock

_SEEN = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
"""What a command of a runbook sees of this process's environment: no credentials are among it."""


def build_hands(
    recovery: Recovery,
    accounts: AwsAccounts,
    clock: Clock,
    restores: Restores,
    ask: Ask,
    *,
    application: str,
    region: str,
    account: str,
    loads: Loads | None = None,
) -> dict[str, Hand]:
    """By the word of a step. `account` is that of the hosted zones. No SDK is imported before a hand is used."""
    from drorch.steps.command import LocalCommands
    from drorch.steps.http import HttpAnswers
    from drorch.steps.launch import AutoScalingLaunches
    from drorch.steps.record import Route53Records

    images = {step.name: resource_of(step) for step in recovery.steps if resource_of(step)}
    seen = {name: value for name in _SEEN if (value := os.environ.get(name))}
    return {
        "restore": RestoreHand(restores, launched(recovery), loads),
        "launch": LaunchHand(AutoScalingLaunches(accounts), restores, images, region, application),
        "record": RecordHand(Route53Records(accounts, region), account),
        "wait": WaitHand(HttpAnswers(), clock),
        "manual": ManualHand(ask),
        "command": CommandHand(LocalCommands({**seen, "DRORCH_APPLICATION": application, "DRORCH_REGION": region})),
    }


def recorded_runbook(content: Mapping[str, Any]) -> Recovery:
    """Of what a signed record says. NotInThisVersion for what this version does not know."""
    return recovery_of(
        content, {kind: adapters.restore_model(kind) for kind in (*adapters.SNAPSHOT_KINDS, *adapters.ENGINES)}
    )
