"""The hands that carry a runbook out: chosen here, opened when a step first needs them."""

from __future__ import annotations

from collections.abc import Mapping

from drorch.app.environment import child_environment
from drorch.app.runbook_hands import (
    Ask,
    CommandHand,
    Hand,
    LaunchHand,
    ManualHand,
    RecordHand,
    RestoreHand,
    Restores,
    WaitHand,
)
from drorch.aws import AwsAccounts
from drorch.domain.runbook import Recovery
from drorch.domain.runbook_order import launched, resource_of
from drorch.ports import Clock
from drorch.steps.command import LocalCommands
from drorch.steps.http import HttpAnswers
from drorch.steps.launch import AutoScalingLaunches
from drorch.steps.record import Route53Records


def runbook_hands(
    recovery: Recovery,
    restores: Restores,
    accounts: AwsAccounts,
    clock: Clock,
    ask: Ask,
    *,
    application: str,
    region: str,
    account: str,
    environ: Mapping[str, str],
) -> dict[str, Hand]:
    """One for every word of a step. `account` is the one whose hosted zones are meant, `environ` this process's own,
    of which a command sees what a child may see.
    """
    images = {step.name: resource_of(step) for step in recovery.steps}
    return {
        "restore": RestoreHand(restores, launched(recovery)),
        "launch": LaunchHand(AutoScalingLaunches(accounts), restores, images, region, application),
        "wait": WaitHand(HttpAnswers(), clock),
        "record": RecordHand(Route53Records(accounts, region), account),
        "manual": ManualHand(ask),
        "command": CommandHand(LocalCommands(child_environment(environ))),
    }
