"""Heavy actions (dumps, ships, drills, reading, repairs), each in a worker that inherits its resource's lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from drorch.app.carry import Scene
from drorch.app.damage import damage_error
from drorch.app.failpoint import reach
from drorch.app.jobs import Job
from drorch.app.locks import Lock
from drorch.app.passing import Finished
from drorch.app.runner import Handle as WorkerHandle
from drorch.app.runner import LocalRunner
from drorch.domain.action import Action
from drorch.domain.catalogue_point import RESTORABLE
from drorch.domain.errors import Damaged
from drorch.domain.record import noted_files

log = structlog.get_logger()


class LocalHands:
    """Starts workers on this host. `compose` turns an action into its job, secrets and all."""

    def __init__(self, runner: LocalRunner, compose: Callable[[Action, Scene], Job]) -> None:
        self._runner = runner
        self._compose = compose

    def start(self, action: Action, scene: Scene, lock: Lock) -> HeavyHandle:
        """Start the worker of one action. Raises what resolving its secrets raises, Unavailable."""
        job = self._compose(action, scene)
        reach(f"{action.name}.before")
        worker = self._runner.start(job, lock.descriptor)
        reach(f"{action.name}.called")
        return HeavyHandle(action, worker)


class HeavyHandle:
    """One action under way in a worker."""

    def __init__(self, action: Action, worker: WorkerHandle) -> None:
        self._action = action
        self._worker = worker

    @property
    def progress(self) -> Mapping[str, Any]:
        """What the worker reported last."""
        return self._worker.progress

    def poll(self) -> Finished | None:
        """How it ended, or None while it runs.

        A drill that failed and a turn that found damage are Damaged: their proofs are written all the same.
        """
        outcome = self._worker.poll()
        if outcome is None:
            return None
        if outcome.crash:
            log.error("worker crashed", action=self._action.name, point=self._action.point, stderr=outcome.crash)
        if outcome.error is not None:
            return Finished(self._action, "", outcome.error)
        result = outcome.result or {}
        if self._action.name == "drill" and result.get("outcome") not in ("passed", RESTORABLE):
            what = f"point {self._action.point}" if self._action.point else "the whole application"
            error = Damaged(
                f"the drill of {what} from {self._action.vault} failed",
                operation="drill",
                resource=self._action.resource,
                cause=str(result.get("why") or ""),
            )
            return Finished(self._action, "", error, result)
        if self._action.name == "verify" and result.get("damaged"):
            damaged = damage_error(self._action.vault, self._action.resource, result["damaged"])
            return Finished(self._action, "", damaged, result)
        return Finished(self._action, _words(self._action, result), None, result)

    def cancel(self) -> None:
        """Tell the worker to drop what it does; `poll` says when it is gone."""
        self._worker.cancel()


def _words(action: Action, result: Mapping[str, Any]) -> str:
    if action.name == "cut":
        lost = result.get("lost") or {}
        missed = f", not in {', '.join(sorted(lost))}" if lost else ""
        noted = "".join(f", {count} files {what}" for what, count in noted_files(result.get("manifest") or {}).items())
        return f"dumped as of {result['cut_at']} into {', '.join(result['vaults'])}{missed}{noted}"
    if action.name == "ship":
        return f"shipped {result['sent']} bytes into {result['vault']}"
    if action.name == "verify":
        return f"{result['points']} points read, {result['leaves']} leaves, {result['bytes']} bytes, nothing damaged"
    if action.name == "repair":
        objects = ", ".join(result["objects"])
        return f"{objects or 'nothing'} written again in {result['vault']}, {result['bytes']} bytes read back"
    return f"drill {result['outcome']} in {result['seconds'].get('total')} s"
