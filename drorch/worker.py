"""``python -m drorch.worker``: one dump, ship, drill, verify, repair or question to servers, in a process of its own.

The job is one JSON line on standard input, secrets included; the pipe stays open, and when it closes the worker drops
what it does and is gone within seconds: no worker commits beside its daemon's successor. Events are JSON lines on
standard output (`drorch.app.worker_protocol`); standard error is for crashes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from drorch.app.clock import WorkerClock
from drorch.app.doctor import Answer, Check, examine, ok
from drorch.app.dump import DumpLimits, dump
from drorch.app.jobs import (
    DrillJob,
    DumpJob,
    HostSpec,
    ListJob,
    NativeDrillJob,
    RepairJob,
    ScenarioJob,
    ServerSpec,
    ShipJob,
    VaultSpec,
    VerifyJob,
    VersionsJob,
)
from drorch.app.processes import kill_session
from drorch.app.ship import ship
from drorch.app.worker_protocol import done_event, failed_event, fault_event, progress_event
from drorch.crypto.minisign import SecretKey
from drorch.domain.errors import DrorchError, InvalidInput, Refused, Unavailable
from drorch.ports import Engine, ListsDatabases, ObjectStore, RestoresSnapshots, TellsVersions
from drorch.wiring.builders import Wired

GRACE = 5.0
"""Seconds from the order to stop until the process is gone, whatever its threads are waiting for."""
_REPORT_EVERY = 0.5
_LARGEST_JOB = 64 * 1024 * 1024


class Builders(Protocol):
    """Who chooses adapters: `Wired`, or a test's own."""

    def store(self, spec: VaultSpec, /) -> ObjectStore:
        """The vault, opened."""

    def engine(self, kind: str, /) -> Engine:
        """The engine of a resource kind."""

    def engine_options(self, kind: str, options: Mapping[str, Any], /) -> object:
        """The engine's option model from its JSON."""

    def restoring(self, kind: str, /) -> RestoresSnapshots:
        """A kind of snapshots that can be brought back."""

    def restore_options(self, kind: str, options: Mapping[str, Any], /) -> object:
        """How, from the JSON of its own model."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job is given besides its own fields."""

    builders: Callable[[HostSpec], Builders]
    cancel: threading.Event
    report: Callable[[Mapping[str, Any]], None]


def run_dump(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Dump one point; a vault that cannot even be opened is lost from the start."""
    job = DumpJob.from_json(body)
    builders = context.builders(job.host)
    stores, lost = _open(job.vaults, builders)
    if not stores:
        causes = "; ".join(f"{vault}: {error}" for vault, error in lost.items())
        raise Unavailable("no vault can be written to", operation="dump", resource=job.order.resource, cause=causes)
    outcome = dump(
        job.order,
        builders.engine(job.order.kind),
        builders.engine_options(job.order.kind, job.options),
        job.secrets,
        stores,
        SecretKey.parse(job.signing_key),
        clock=WorkerClock(context.cancel),
        limits=DumpLimits(stall=job.stall, longest=job.longest),
        cancel=context.cancel,
        progress=lambda progress: context.report({"step": "dump", "resource": job.order.resource, **asdict(progress)}),
    )
    return outcome.to_json() | {"lost": {vault: str(error) for vault, error in lost.items()} | dict(outcome.lost)}


def run_ship(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Ship one point."""
    job = ShipJob.from_json(body)
    builders = context.builders(job.host)
    return ship(
        job.order,
        builders.store(job.source),
        builders.store(job.target),
        job.trusted,
        clock=WorkerClock(context.cancel),
        cancel=context.cancel,
        progress=lambda progress: context.report(progress.to_json()),
    ).to_json()


def run_drill(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Drill one point; needs the vault it is restored from, the others only for the proof."""
    from drorch.app import drill
    from drorch.app.loading import Reader

    job = DrillJob.from_json(body)
    order = drill.DrillOrder.from_json(job.order)
    builders = context.builders(job.host)
    stores, lost = _open(job.vaults, builders)
    if order.vault in lost:
        raise lost[order.vault]
    options = None if job.scratch is None else builders.engine_options(job.kind, job.scratch)
    outcome = drill.run_drill(
        order,
        builders.engine(job.kind),
        drill.Scratch(options, job.secrets),
        stores,
        Reader(
            keys=job.trusted,
            identities=job.identities,
            clock=WorkerClock(context.cancel),
            sink=lambda progress: context.report(progress.to_json()),
            cancel=context.cancel,
        ),
        SecretKey.parse(job.signing_key),
    )
    unwritten = {vault: str(error) for vault, error in lost.items()} | dict(outcome.unwritten)
    return outcome.to_json() | {"unwritten": unwritten}


def run_native_drill(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Drill one native point; the vaults are for the proof."""
    from drorch.app.drill_alone import drilling_in, require_alone
    from drorch.app.native_drill import NativeDrill, NativeDrillOrder
    from drorch.app.native_probes import asking_of
    from drorch.domain.model import place_of

    job = NativeDrillJob.from_json(body)
    builders = context.builders(job.host)
    stores, lost = _open(job.vaults, builders)
    asked = partial(asking_of, builders.engine, builders.engine_options, job.connect or {}, job.secrets)
    drill = NativeDrill(
        kind=builders.restoring(job.kind),
        stores=stores,
        clock=WorkerClock(context.cancel),
        key=SecretKey.parse(job.signing_key),
        ticker=time.monotonic,
        report=context.report,
        cancel=context.cancel,
        asking=asked if job.connect else None,
    )
    order, state = NativeDrillOrder.from_json(job.order), job.host.state
    with drilling_in(state, [place_of(order.vault)[0]], f"drill of {order.application}/{order.resource}"):
        ours = f"{order.site}/{order.application}/{order.resource}/"
        require_alone(builders.restoring, job.looks, [ours], drill.clock.now())
        outcome = drill.run(order, builders.restore_options(job.kind, job.options))
    unwritten: Any = outcome["unwritten"]
    return outcome | {"unwritten": {vault: str(error) for vault, error in lost.items()} | unwritten}


def run_scenario(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Drill a whole application; the vaults are for the proof, and those outside the lost region for the points."""
    from drorch.wiring.scenario import scenario_drill

    job = ScenarioJob.from_json(body)
    builders, clock = context.builders(job.host), WorkerClock(context.cancel)
    stores, lost = _open(job.vaults, builders)
    return scenario_drill(job, builders.restoring, stores, lost, clock, context.report, context.cancel)


def run_verify(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Read one turn; needs the vault that is read, the others only for the proofs of damage."""
    from drorch.app.damage import read_turn

    job = VerifyJob.from_json(body)
    stores, lost = _open_needed(job, context, job.order.vault)
    outcome = read_turn(
        job.order,
        stores,
        job.trusted,
        SecretKey.parse(job.signing_key),
        clock=WorkerClock(context.cancel),
        cancel=context.cancel,
        progress=lambda progress: context.report(progress.to_json()),
    )
    return outcome.to_json() | {"unwritten": (lost if outcome.damaged else {}) | dict(outcome.unwritten)}


def run_repair(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Repair one copy; needs its two vaults, the others only for the mark and the proof."""
    from drorch.app.repair import repair

    job = RepairJob.from_json(body)
    stores, lost = _open_needed(job, context, job.order.source, job.order.target)
    outcome = repair(
        job.order,
        stores,
        job.trusted,
        SecretKey.parse(job.signing_key),
        clock=WorkerClock(context.cancel),
        cancel=context.cancel,
        progress=lambda progress: context.report(progress.to_json()),
    )
    return outcome.to_json() | {"unwritten": lost | dict(outcome.unwritten)}


def _open_needed(
    job: VerifyJob | RepairJob, context: Context, *needed: str
) -> tuple[dict[str, ObjectStore], dict[str, str]]:
    stores, lost = _open(job.vaults, context.builders(job.host))
    for vault in needed:
        if vault in lost:
            raise lost[vault]
    return stores, {vault: str(error) for vault, error in lost.items()}


def run_list(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Ask every server which databases it has: in their order its answer, or why there is none."""
    job = ListJob.from_json(body)
    builders = context.builders(job.host)

    def ask(server: ServerSpec) -> Mapping[str, Any]:
        try:
            engine = builders.engine(server.kind)
            if not isinstance(engine, ListsDatabases):
                raise Refused(f"the engine {server.kind} lists no databases", operation="list")
            options = builders.engine_options(server.kind, server.options)
            return {"databases": list(engine.databases(options, server.secrets))}
        except DrorchError as error:
            return {"failed": failed_event(error)}

    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="list") as pool:
        return {"servers": list(pool.map(ask, job.servers))}


_ANSWERS_WITHIN = timedelta(seconds=20)
"""For one server; the whole job is over soon after it."""


def run_versions(body: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Ask every server for its version, and look for the programs that fit it: in their order a verdict and words."""
    job = VersionsJob.from_json(body)
    builders = context.builders(job.host)

    def ask(server: ServerSpec) -> Answer:
        engine = builders.engine(server.kind)
        if not isinstance(engine, TellsVersions):
            raise Refused(f"the engine {server.kind} tells no versions", operation="doctor")
        found = engine.versions(builders.engine_options(server.kind, server.options), server.secrets)
        return ok(", ".join(f"{name} {version}" for name, version in found.items()))

    checks = [Check("client", str(number), partial(ask, server)) for number, server in enumerate(job.servers)]
    answers = [finding.answer for finding in examine(checks, patience=_ANSWERS_WITHIN)]
    return {"servers": [{"verdict": a.verdict.value, "said": a.said, "hint": a.hint} for a in answers]}


JOBS: dict[str, Callable[[Mapping[str, Any], Context], Mapping[str, Any]]] = {
    "dump": run_dump,
    "ship": run_ship,
    "drill": run_drill,
    "native-drill": run_native_drill,
    "scenario-drill": run_scenario,
    "verify": run_verify,
    "repair": run_repair,
    "list": run_list,
    "versions": run_versions,
}


def _open(specs: Sequence[VaultSpec], builders: Builders) -> tuple[dict[str, ObjectStore], dict[str, DrorchError]]:
    stores: dict[str, ObjectStore] = {}
    lost: dict[str, DrorchError] = {}
    for spec in specs:
        try:
            stores[spec.name] = builders.store(spec)
        except DrorchError as error:
            lost[spec.name] = error
    return stores, lost


# --- the process ---------------------------------------------------------------------------------------------------


class _Process:
    """Both pipes, the cancel event, and the way out."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self._lock = threading.Lock()
        self._reported: tuple[float, object] = (0.0, None)
        # Both pipes move to descriptors that no child inherits. Whatever reads finds nothing from here on, and whatever
        # prints goes to standard error.
        self._control = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._events = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def job(self) -> dict[str, Any]:
        """The first line of the control pipe. Raises InvalidInput when it is no job."""
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < _LARGEST_JOB:
            piece = os.read(self._control, 65_536)
            if not piece:
                break
            line += piece
        try:
            body = json.loads(line)
        except ValueError as error:
            raise InvalidInput("no job came through the pipe", hint="drorch starts its workers itself") from error
        if not isinstance(body, dict) or body.get("job") not in JOBS:
            raise InvalidInput("this is not a job of this version", hint="the daemon must be of the same version")
        return body

    def watch(self) -> None:
        """Stop when the control pipe closes (whoever started us is gone, or wants it) or on SIGTERM."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.stop())
        threading.Thread(target=self._watch, name="control", daemon=True).start()

    def _watch(self) -> None:
        with suppress(OSError):
            while os.read(self._control, 4096):
                pass
        self.stop()

    def stop(self) -> None:
        """Cancel what runs; be gone in `GRACE` seconds in any case."""
        if not self.cancel.is_set():
            self.cancel.set()
            threading.Thread(target=self._end_late, name="grace", daemon=True).start()

    def _end_late(self) -> None:
        time.sleep(GRACE)
        self.leave(Unavailable.exit_code)

    def leave(self, status: int) -> None:
        """End now, with everything that was started from here; threads that hang in a vault are not waited for."""
        if os.getsid(0) == os.getpid():
            kill_session(os.getpid(), spare=os.getpid())
        os._exit(status)

    def emit(self, event: Mapping[str, Any]) -> None:
        """One line to whoever started us. When nobody listens any more, it is time to stop."""
        line = memoryview(json.dumps(event).encode() + b"\n")
        with self._lock:
            try:
                while line:
                    line = line[self._events.write(line) or 0 :]
            except OSError:
                self.stop()

    def report(self, progress: Mapping[str, Any]) -> None:
        """A look at the progress, now and then."""
        now = time.monotonic()
        when, what = self._reported
        if now - when >= _REPORT_EVERY or progress.get("step") != what:
            self._reported = (now, progress.get("step"))
            self.emit(progress_event(progress))


def main(builders: Callable[[HostSpec], Builders] = Wired) -> None:
    """Do the one job and leave; the exit status is the error's own (contract, section 4)."""
    process = _Process()
    try:
        body = process.job()
        process.watch()
        os.environ.update(body.pop("environment", {}))
        outcome = JOBS[body["job"]](body, Context(builders, process.cancel, process.report))
    except DrorchError as error:
        process.emit(failed_event(error))
        process.leave(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last place where a fault can be told in words
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
        process.emit(fault_event(error))
        process.leave(1)
    process.emit(done_event(outcome))
    process.leave(0)


if __name__ == "__main__":
    main()
