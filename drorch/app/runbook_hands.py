"""What carries out the steps of a runbook, one hand for each sort: it looks, does what can be done now, and returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from drorch.domain.duration import duration_text
from drorch.domain.errors import DrorchError, Refused, Unavailable
from drorch.domain.native_restore import FAILED, READY, RestoreProgress
from drorch.domain.runbook import Command, Launch, Manual, Restore, RunbookStep, StepProgress, SwitchRecord, Wait
from drorch.ports import (
    AnswersHttp,
    Clock,
    LaunchesImages,
    LaunchOrder,
    RecordOrder,
    RunningCommand,
    RunsCommands,
    SwitchesRecords,
)

Hand = Callable[[RunbookStep], StepProgress]
"""Looks at a step whose needs are over and goes on with it; called until it is done or has failed. Raises the kinds of
errors: after Unavailable and OutcomeUnknown it is called again, Refused ends the step."""

Ask = Callable[[str, str], bool | None]
"""(step, text) -> whether a person says that it is done; None while nobody has answered."""


_Deed = TypeVar("_Deed", Restore, Launch, Wait, SwitchRecord, Manual, Command)


def _deed(step: RunbookStep, sort: type[_Deed]) -> _Deed:
    if not isinstance(step.deed, sort):
        raise TypeError(f"step {step.name} is no {sort.__name__}")
    return step.deed


class Restores(Protocol):
    """Brings resources back in the region of the runbook."""

    def advance(self, resource: str) -> RestoreProgress:
        """As `RestoresSnapshots.advance`, of the point that was chosen for it."""

    def image(self, resource: str) -> tuple[str, str]:
        """(account, id) of the image whose copy in the region was chosen for it. NotFound."""


class Loads(Protocol):
    """Brings dumps back, each into its target."""

    def __contains__(self, resource: str) -> bool:
        """Whether the resource is one of them."""

    def advance(self, resource: str) -> StepProgress:
        """One look."""


@dataclass(frozen=True, slots=True)
class RestoreHand:
    """Brings a resource back: a dump by `loads`, else snapshots by `restores`. Of one that a later step launches
    (`launched`) nothing is made, its image is there.
    """

    restores: Restores
    launched: frozenset[str] = frozenset()
    loads: Loads | None = None

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        resource = _deed(step, Restore).resource
        if self.loads is not None and resource in self.loads:
            return self.loads.advance(resource)
        if resource in self.launched:
            return StepProgress(True, f"image {self.restores.image(resource)[1]}")
        progress = self.restores.advance(resource)
        if progress.failed:
            told = "; ".join(f"{m.what} {m.native_id}: {m.detail or m.state}" for m in progress.failed)
            return StepProgress(failed=f"the provider could not make it: {told}")
        if not progress.done:
            return StepProgress(detail=_under_way(progress))
        made = ", ".join(f"{m.what} {m.native_id}" for m in progress.made)
        return StepProgress(True, made, notes=progress.notes)


def _under_way(progress: RestoreProgress) -> str:
    """What it waits for, in a few words."""
    ready = sum(made.state == READY for made in progress.made)
    slow = next((made for made in progress.made if made.state not in (READY, FAILED)), None)
    doing = f"{slow.what} {slow.native_id} {slow.detail or slow.state}" if slow else progress.waiting
    return ", ".join(filter(None, [f"{ready} of {len(progress.made)} ready" if progress.made else "", doing]))


@dataclass(frozen=True, slots=True)
class LaunchHand:
    """Launches images; `images` maps the steps that bring them back to their resources."""

    launches: LaunchesImages
    restores: Restores
    images: Mapping[str, str]
    region: str
    application: str

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        deed = _deed(step, Launch)
        account, image = self.restores.image(self.images[deed.image])
        order = LaunchOrder(account, self.region, self.application, image, deed.group, deed.target_group, deed.capacity)
        return self.launches.advance(order)


@dataclass(frozen=True, slots=True)
class RecordHand:
    """Switches records of hosted zones of `account`."""

    records: SwitchesRecords
    account: str

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        deed = _deed(step, SwitchRecord)
        return self.records.advance(
            RecordOrder(self.account, deed.zone, deed.name, deed.type, deed.values, deed.ttl, deed.was)
        )


@dataclass
class WaitHand:
    """Asks an address. Its time begins with the first look of this process."""

    http: AnswersHttp
    clock: Clock
    _since: dict[str, datetime] = field(default_factory=dict)

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        deed = _deed(step, Wait)
        since = self._since.setdefault(step.name, self.clock.now())
        try:
            status = self.http.status(deed.http)
        except Unavailable as error:
            told = error.cause or error.message
        else:
            told = f"{deed.http} answers {status}"
            if status == deed.status:
                return StepProgress(True, told)
        if self.clock.now() - since >= deed.at_most:
            return StepProgress(failed=f"{told}, for {duration_text(deed.at_most)}")
        return StepProgress(detail=told)


@dataclass(frozen=True, slots=True)
class ManualHand:
    """Asks a person whether it is done."""

    ask: Ask

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        return asked(self.ask, step, _deed(step, Manual).text)


def asked(ask: Ask, step: RunbookStep, text: str) -> StepProgress:
    """What a person says of `text`, so far."""
    answer = ask(step.name, text)
    if answer is None:
        return StepProgress(detail="waits for a person's word")
    return (
        StepProgress(True, "a person says that it is done")
        if answer
        else StepProgress(failed="a person says that it is not done")
    )


@dataclass
class CommandHand:
    """Runs a program. It runs again when the runbook is begun again: nothing outside tells whether it has run."""

    commands: RunsCommands
    _running: dict[str, RunningCommand] = field(default_factory=dict)

    def __call__(self, step: RunbookStep) -> StepProgress:
        """One look."""
        deed = _deed(step, Command)
        running = self._running.get(step.name)
        if running is None:
            running = self._running[step.name] = self.commands.begin(deed.argv)
        ended, said = running.ended(), running.said()
        if ended is None:
            return StepProgress(detail=said or "runs")
        told = f"{deed.argv[0]} ended with {ended}" + (f": {said}" if said else "")
        return StepProgress(True, told) if ended == 0 else StepProgress(failed=told)


def commands_refused(*, configured: bool | None, allow_commands: bool) -> Refused | None:
    """Why no command of a runbook may run here; None when one may.

    `configured` is what the host configuration says, None under break glass; then `--allow-commands` alone decides,
    and only a signed runbook is carried out at all.
    """
    if configured or (configured is None and allow_commands):
        return None
    hint = "recovery: {commands: true} in drorch.yaml"
    if configured is None:
        hint = "--allow-commands, once you have read what it runs (--plan)"
    return Refused("the runbook runs commands, which is not allowed here", operation="restore", hint=hint)


class AskedBeside:
    """Asks a person in a thread, one question at a time, while other steps go on. `ask` blocks until there is a word:
    whether it is done.
    """

    def __init__(self, ask: Callable[[str, str], bool]) -> None:
        self._ask = ask
        self._turn = threading.Lock()
        self._begun: set[tuple[str, str]] = set()
        self._answers: dict[tuple[str, str], bool | DrorchError] = {}

    def __call__(self, step: str, text: str) -> bool | None:
        """The answer, once it is there. Raises what asking raised."""
        question = (step, text)
        if question not in self._begun:
            self._begun.add(question)
            threading.Thread(target=self._wait, args=question, daemon=True, name=f"ask {step}").start()
        answer = self._answers.get(question)
        if isinstance(answer, DrorchError):
            raise answer
        return answer

    @property
    def asking(self) -> bool:
        """Whether somebody is being asked, or will be next."""
        return len(self._begun) > len(self._answers)

    def _wait(self, step: str, text: str) -> None:
        with self._turn:
            try:
                self._answers[step, text] = self._ask(step, text)
            except DrorchError as error:
                self._answers[step, text] = error
            except Exception as error:  # noqa: BLE001  the thread's end must not leave the step waiting for ever
                cause = f"{type(error).__name__}: {error}"
                self._answers[step, text] = Refused("nobody could be asked", operation="restore", cause=cause)
