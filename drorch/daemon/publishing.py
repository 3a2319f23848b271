"""After every pass: alarms, metrics (in memory and as a text file) and one closing line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from drorch.app.observe import World
from drorch.app.passing import Finished, Pass
from drorch.domain.automated import STOPPED
from drorch.domain.errors import DrorchError
from drorch.domain.model import Vault
from drorch.domain.objective import growing
from drorch.telemetry.alarms import (
    DRILL_LEFT,
    FAILED_PASS,
    GROWING,
    INVALID_POLICY,
    UNPROVED_KEY,
    UNREAD_VAULT,
    Alarms,
)
from drorch.telemetry.exposition import write_page
from drorch.telemetry.metrics import ApplicationFacts, Facts, render

log = structlog.get_logger()

MISSING_POLICY = "policy-missing"
METRICS_FILE = "metrics.prom"


class Seen(Protocol):
    """What the metrics ask of the observer."""

    @property
    def vaults(self) -> Mapping[str, Vault]:
        """The object vaults."""

    def checked_at(self, vault: str) -> datetime | None:
        """When an object vault was last listed completely."""

    def never_read(self, world: World) -> frozenset[str]:
        """Vaults of which nothing at all is known."""


class Counts(Protocol):
    """What the reconciler has counted since the start."""

    @property
    def observer(self) -> Seen:
        """Whose vaults they are."""

    @property
    def outcomes(self) -> Mapping[tuple[str, str], int]:
        """(action, outcome) -> how many ended so."""

    @property
    def attempts(self) -> Mapping[tuple[str, str, str], datetime]:
        """(application, resource, outcome) -> when one last ended so."""


class Publisher:
    """Keeps the last good picture: after a pass that failed it is shown as the older picture that it is.

    `monotonic` gives seconds: what passed since the last pass ended is added to the ages of that picture.
    """

    def __init__(
        self,
        state: Path,
        version: str,
        counts: Counts,
        now: datetime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.alarms = Alarms()
        self._monotonic = monotonic
        self._shown: tuple[Facts, datetime, float] | None = None
        """The last facts that could be rendered, when, and on what second; replaced whole, read by other threads."""
        self._file = state / METRICS_FILE
        self._counts = counts
        self._facts = Facts(now, version)

    @property
    def page(self) -> str:
        """The metrics as of now, so that ages grow while a pass takes long; "" before the first pass has ended."""
        if self._shown is None:
            return ""
        facts, at, since = self._shown
        return render(facts, at + timedelta(seconds=max(self._monotonic() - since, 0.0)))

    def passed(self, seen: Pass, seconds: float, now: datetime) -> None:
        """A pass ended well."""
        self.alarms.settle(alarms_of(seen))
        self._facts = _facts(seen, self._counts, self._facts.version)
        self._publish(seconds, now)
        log.info(
            "pass ended",
            seconds=round(seconds, 1),
            started=dict(Counter(action.name for action in seen.started)),
            finished=_counted(seen.finished),
            waiting=len(seen.waiting),
            running=seen.running,
            holds=len(seen.holds),
            alarms=sorted(self.alarms.kinds),
        )

    def failed(self, error: Exception, seconds: float, now: datetime) -> None:
        """A pass ended in an error: the daemon goes on, what is wrong is logged and stands as an alarm."""
        known = isinstance(error, DrorchError)
        self.alarms.also(FAILED_PASS, "the loop", str(error) if known else f"{type(error).__name__}: {error}")
        self._publish(seconds, now)
        # Words for what was foreseen; for a fault of drorch itself the traceback, in the journal's one line.
        more = {} if known else {"exc_info": error}
        log.error("pass failed", seconds=round(seconds, 1), error=str(error), kind=type(error).__name__, **more)

    def _publish(self, seconds: float, now: datetime) -> None:
        self._facts = replace(
            self._facts,
            outcomes=dict(self._counts.outcomes),
            attempts=dict(self._counts.attempts),
            alarms=self.alarms.kinds,
            pass_seconds=seconds,
            pass_ended=now,
        )
        try:
            text = render(self._facts, now)
            self._shown = (self._facts, now, self._monotonic())
            write_page(self._file, text)
        except DrorchError as error:
            log.warning("metrics file not written", error=str(error))
        except Exception as error:
            log.error("metrics not computed", error=str(error), exc_info=error)


def alarms_of(seen: Pass) -> dict[tuple[str, str], str]:
    """(kind, subject) -> why, for all that a person has to look at."""
    found: dict[tuple[str, str], str] = {}
    for hold in seen.holds:
        if hold.alarm and hold.alarm != UNREAD_VAULT:  # told once per vault, below
            where = f" in {hold.vault}" if hold.vault else ""
            found[(hold.alarm, f"{hold.application}/{hold.resource}{where}")] = hold.reason
    found.update({(UNREAD_VAULT, vault): why for vault, why in seen.world.unread.items()})
    for invalid in seen.policies.invalid:
        findings = [str(finding) for finding in seen.policies.findings if Path(finding.file).name == invalid.file]
        found[(INVALID_POLICY, invalid.file)] = "; ".join(findings[:3]) or "it is not a valid policy"
    for application in seen.policies.missing:
        found[(MISSING_POLICY, application)] = "its file is gone; nothing of it is deleted, and nothing is cut"
    for (application, resource), kept in seen.automated.items():
        for where, why in kept.wrong:
            found[(STOPPED, f"{application}/{resource} in {where}")] = why
    found.update({(DRILL_LEFT, left.subject): left.why for left in seen.drills_left})
    for application, plan in seen.plans.items():
        for dataset, level, why in growing(plan.status, seen.at):
            found[(GROWING, f"{application}/{dataset} at {level}")] = why
    if seen.keys is not None:
        for key in seen.keys.standing:
            if why := key.overdue(seen.keys.every, seen.at):
                found[(UNPROVED_KEY, key.recipient)] = why
    return found


def _facts(seen: Pass, counts: Counts, version: str) -> Facts:
    valid = {loaded.policy.application: not loaded.stale for loaded in seen.policies.valid}
    lost = {invalid.application: False for invalid in seen.policies.invalid if invalid.application}
    gone = dict.fromkeys(seen.policies.missing, False)
    observer = counts.observer
    checked = {name: at for name in observer.vaults if (at := observer.checked_at(name)) is not None}
    for view in seen.world.natives:  # one per kind: the oldest counts
        if view.at is not None:
            checked[view.vault.name] = min(view.at, checked.get(view.vault.name, view.at))
    return Facts(
        at=seen.at,
        version=version,
        applications=tuple(
            ApplicationFacts(
                plan.policy, plan.catalogue, plan.status, plan.actions, plan.observed.unread, plan.observed.turns
            )
            for plan in seen.plans.values()
        ),
        policies={**gone, **lost, **valid},
        vaults_checked=checked,
        never_read=observer.never_read(seen.world),
        keys=seen.keys,
        unprotected={place: len(found) for place, found in seen.unprotected.found.items()} if seen.unprotected else {},
    )


def _counted(finished: tuple[Finished, ...]) -> dict[str, int]:
    return dict(Counter(f"{each.action.name} {each.outcome}" for each in finished))
