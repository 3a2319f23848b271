"""The drill of a native point: brought back under a drill's tags, waited for, measured, cleared away; its proof signed.

Its probes are put to what was made, over its endpoint: met, the proof says `passed`, and the point is verified. Without
any it says `restorable`: the provider made all of it from the copy, and nobody looked inside. What a killed worker
leaves the next one clears away before it begins anew; when none comes it goes when its time is up
(`drorch.app.drill_sweep`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event

from drorch import __version__
from drorch.app import probing
from drorch.app.clearing_away import FIRST_PAUSE, ClearingAway
from drorch.app.native_probes import Asking, NativeProbes
from drorch.app.pauses import pauses
from drorch.app.signing import write_record
from drorch.crypto.minisign import SecretKey
from drorch.domain.catalogue_point import RESTORABLE
from drorch.domain.errors import NotFound, NotInThisVersion, OutcomeUnknown, Refused, Unavailable
from drorch.domain.instant import floor_second, from_text, to_text
from drorch.domain.model import place_of
from drorch.domain.native_drill import asked_by, begun_before, drill_id, until_of
from drorch.domain.native_restore import READY, TAG_DRILL, TAG_EXPIRES, Isolation, Made, NativeRestore, RestorePart
from drorch.domain.policy import Probe
from drorch.domain.record import Record, RecordType, compose
from drorch.domain.recovery import Step
from drorch.ports import Clock, ObjectStore, ProbeResult, RestoresSnapshots

PASSED, FAILED = "passed", "failed"
"""So long the things of a drill are asked to go before the sweeper is left with them."""


@dataclass(frozen=True, slots=True)
class NativeDrillOrder:
    """Which copy is drilled, in which network, and what it is asked. Nothing of it lives longer than `most`."""

    site: str
    application: str
    resource: str
    vault: str
    point: str
    cut_at: datetime
    parts: tuple[RestorePart, ...]
    bytes: int
    most: timedelta
    probes: tuple[Probe, ...] = ()
    isolation: Isolation | None = None
    audit: str = ""
    """The seed that picked it, where it is a random audit."""

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        fields = {name: getattr(self, name) for name in ("site", "application", "resource", "vault", "point", "bytes")}
        parts = [
            {name: getattr(part, name) for name in RestorePart.__slots__} | {"settings": dict(part.settings)}
            for part in self.parts
        ]
        probes = [probe.model_dump(mode="json", exclude_none=True) for probe in self.probes]
        more = {"cut_at": to_text(self.cut_at), "parts": parts, "most_s": self.most.total_seconds(), "probes": probes}
        reach = list(self.isolation.reach_from) if self.isolation else None
        return fields | more | {"reach_from": reach, "audit": self.audit}

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> NativeDrillOrder:
        """The inverse of `to_json`."""
        fields = {name: body[name] for name in ("site", "application", "resource", "vault", "point", "bytes")}
        reach = body["reach_from"]
        return cls(
            **fields,  # type: ignore[arg-type]
            cut_at=from_text(str(body["cut_at"])),
            parts=tuple(RestorePart(**part) for part in body["parts"]),  # type: ignore[attr-defined]
            most=timedelta(seconds=float(str(body["most_s"]))),
            probes=tuple(Probe.model_validate(probe) for probe in body["probes"]),  # type: ignore[attr-defined]
            isolation=None if reach is None else Isolation(tuple(reach)),  # type: ignore[arg-type]
            audit=str(body.get("audit", "")),
        )


@dataclass(slots=True)
class _Found:
    why: str = ""
    told: str = ""
    probes: tuple[ProbeResult, ...] = ()
    made: tuple[Made, ...] = ()
    steps: list[Step] = field(default_factory=list)
    seconds: dict[str, int] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """Of the proof: what was asked nothing has not passed."""
        return FAILED if self.why else PASSED if self.probes else RESTORABLE


@dataclass(frozen=True, slots=True)
class NativeDrill:
    """Runs one. `report` hears of progress, `ticker` counts seconds; `cancel` ends it without a proof; `asking` is how
    probes get to what was made.
    """

    kind: RestoresSnapshots
    stores: Mapping[str, ObjectStore]
    clock: Clock
    key: SecretKey
    ticker: Callable[[], float]
    report: Callable[[Mapping[str, object]], None] = lambda _progress: None
    cancel: Event | None = None
    asking: Asking | None = None

    def run(self, order: NativeDrillOrder, options: object) -> dict[str, object]:
        """The outcome, as `DrillOutcome.to_json`; the proof goes to all of `stores`.

        Raises, and leaves no proof, when the point could not be judged: what the options name is not there, the region
        does not answer, an interruption. What was made is cleared away in any case, as far as it can be.
        NotInThisVersion, before anything is made, for probes of an engine that drorch does not ask.
        """
        self._check_probes(order)
        restore = self._restore(order, options)
        found, began = _Found(), self.ticker()
        try:
            self.kind.check_restore(restore)
            self._until_ready(restore, order, found)
            if order.probes and not found.why:
                self._ask(restore, order, found)
        finally:
            left = self._clear(restore, found)
        found.seconds["total"] = math.ceil(self.ticker() - began)
        proof = _proof(order, found, self.clock.now())
        lost = write_record(proof, self.key, self.stores, self.stores.__getitem__)
        return {
            "outcome": found.outcome,
            "application": order.application,
            "resource": order.resource,
            "point": order.point,
            "vault": order.vault,
            "cut_at": to_text(order.cut_at),
            "probes": [probing.told(probe) for probe in found.probes],
            "differences": [],
            "seconds": dict(found.seconds),
            "bytes": order.bytes,
            "steps": [step.to_json() for step in found.steps],
            "why": found.told or found.why or None,
            "unwritten": {vault: str(error) for vault, error in lost.items()},
            "left": [f"{made.what} {made.native_id}" for made in left],
            "proof": dict(proof.body),
        }

    def _restore(self, order: NativeDrillOrder, options: object) -> NativeRestore:
        """Under tags of its own, once what a killed worker left of such a drill is cleared away. That one may have been
        killed while it cleared away: what is on its way out would never become ready, and say nothing about the copy.
        """
        account, region = place_of(order.vault)
        there = {drill for drill, _ in self.kind.made(account, region, TAG_DRILL)}
        until = floor_second(self.clock.now() + order.most)
        while (drill := _id(order, until)) in there:
            until += timedelta(seconds=1)
        restore = NativeRestore(
            account=account,
            region=region,
            application=order.application,
            resource=order.resource,
            point=order.point,
            cut_at=order.cut_at,
            tag=TAG_DRILL,
            id=drill,
            tags={TAG_DRILL: drill, TAG_EXPIRES: to_text(until)},
            parts=order.parts,
            options=options,
            isolation=order.isolation,
        )
        for begun in begun_before(there, drill.rpartition("/")[0] + "/"):
            self._clear(replace(restore, id=begun), _Found())
        return restore

    def _until_ready(self, restore: NativeRestore, order: NativeDrillOrder, found: _Found) -> None:
        until, began, silent = until_of(restore.id) or self.clock.now(), self.ticker(), ""
        between = pauses(FIRST_PAUSE)
        while not found.why:
            self._interrupted(order)
            try:
                progress = self.kind.advance(restore)
            except NotFound as error:
                found.why = error.message  # the snapshot is gone: that says something about the copy
                break
            except (Unavailable, OutcomeUnknown) as error:
                silent = str(error)
            else:
                silent, found.made = "", progress.made
                if progress.failed:
                    found.why = "; ".join(f"{m.what} {m.detail or m.state}" for m in progress.failed)
                elif progress.done:
                    break
            if self.clock.now() >= until:
                if silent:
                    raise Unavailable("the region stopped answering", operation="drill", cause=silent)
                found.why = "it was not ready in the time that a drill may take"
                break
            self._tell(order, found, math.ceil(self.ticker() - began))
            self.clock.sleep(next(between))
        took = math.ceil(self.ticker() - began)
        found.seconds["create"] = took
        detail = found.why or f"{len(found.made)} made of point {order.point}"
        found.steps.append(Step("create", order.resource, detail, took_s=took, outcome=FAILED if found.why else "done"))

    def _check_probes(self, order: NativeDrillOrder) -> None:
        """The recorded engine tells whether it can be asked; where none is recorded, it turns out later."""
        if order.probes and self.asking is None:
            raise Refused("nobody says how the probes log on", operation="drill", resource=order.resource)
        engines = {str(part.settings["engine"]) for part in order.parts if part.settings.get("engine")}
        if order.probes and engines and not any(map(asked_by, engines)):
            message = f"probes of engine {', '.join(sorted(engines))} are not in this version"
            raise NotInThisVersion(message, operation="drill", resource=order.resource, hint="leave out probes:")

    def _ask(self, restore: NativeRestore, order: NativeDrillOrder, found: _Found) -> None:
        until, began = until_of(restore.id) or self.clock.now(), self.ticker()
        made = next((each for each in found.made if each.endpoint), None)
        self.report({"step": "drill: probes", "resource": order.resource, "done": 0})
        if made is None or self.asking is None:
            found.why = "it shows no endpoint that probes could be put to"
        else:
            asker = NativeProbes(self.asking, self.clock, lambda: self._interrupted(order))
            answers = asker.put(made, order.probes, order.cut_at, until)
            found.probes, found.why, found.told = answers.probes, answers.why, answers.told
        took = math.ceil(self.ticker() - began)
        found.seconds["probe"] = took
        detail = found.why or f"{len(found.probes)} of {len(order.probes)} probes met"
        found.steps.append(Step("probe", order.resource, detail, took_s=took, outcome=FAILED if found.why else "done"))

    def _tell(self, order: NativeDrillOrder, found: _Found, so_far: int) -> None:
        """The seconds move even while a provider shows nothing new: that is no worker that has stopped."""
        ready = sum(made.state == READY for made in found.made)
        told = f"drill: {ready} of {len(found.made)} ready"
        self.report({"step": told, "resource": order.resource, "seconds": so_far})

    def _interrupted(self, order: NativeDrillOrder) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Unavailable("the drill was interrupted", operation="drill", resource=order.resource)

    def _clear(self, restore: NativeRestore, found: _Found) -> tuple[Made, ...]:
        """Everything goes; what is left after a while is told, and is the sweeper's."""

        def discard() -> tuple[Made, ...]:
            return self.kind.discard(restore.account, restore.region, restore.tag, restore.id)

        name = restore.resource
        clearing = ClearingAway(self.clock, self.ticker, self.report, self.cancel)
        left, step = clearing.run({name: discard}, {name: found.made}, subject=name, resource=name)
        found.steps.append(step)
        return left


def _id(order: NativeDrillOrder, until: datetime) -> str:
    return drill_id(order.site, order.application, order.resource, order.point, until)


def _proof(order: NativeDrillOrder, found: _Found, at: datetime) -> Record:
    return compose(
        RecordType.PROOF,
        site=order.site,
        at=at,
        application=order.application,
        resource=order.resource,
        point=order.point,
        cut_at=order.cut_at,
        vault=order.vault,
        outcome=found.outcome,
        why=found.why or None,
        probes=[probing.told(probe) for probe in found.probes],
        counts={"compared": 0, "differing": 0},
        seconds=dict(found.seconds),
        bytes=order.bytes,
        tools={"drorch": __version__},
        audit=order.audit or None,
    )
