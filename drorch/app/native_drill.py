"""The drill of a native point: brought back under a drill's tags, waited for, measured, cleared away; its proof signed.

Without a probe that asked the data anything the proof says `restorable`: the provider made all of it from the copy, and
nobody looked inside. What a killed worker leaves is gone on with by the next one, and cleared away when its time is up
(`drorch.app.drill_sweep`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from drorch import __version__
from drorch.app.pauses import pauses
from drorch.app.signing import write_record
from drorch.crypto.minisign import SecretKey
from drorch.domain.catalogue_point import RESTORABLE
from drorch.domain.errors import DrorchError, NotFound, OutcomeUnknown, Refused, Unavailable
from drorch.domain.instant import from_text, to_text
from drorch.domain.model import place_of
from drorch.domain.native_drill import begun_of, drill_id, until_of
from drorch.domain.native_restore import READY, TAG_DRILL, TAG_EXPIRES, Made, NativeRestore, RestorePart
from drorch.domain.record import Record, RecordType, compose
from drorch.domain.recovery import Step
from drorch.ports import Clock, ObjectStore, RestoresSnapshots

FAILED = "failed"
FIRST_PAUSE = 1.0
"""Seconds between the first two looks."""
CLEARING = timedelta(minutes=30)
"""So long the things of a drill are asked to go before the sweeper is left with them."""


@dataclass(frozen=True, slots=True)
class NativeDrillOrder:
    """Which copy is drilled; `filed` is what its records are filed under. Nothing lives longer than `most`."""

    site: str
    application: str
    resource: str
    vault: str
    point: str
    cut_at: datetime
    parts: tuple[RestorePart, ...]
    bytes: int
    most: timedelta
    audit: str = ""
    """The seed that picked it, where it is a random audit."""

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        fields = {name: getattr(self, name) for name in ("site", "application", "resource", "vault", "point", "bytes")}
        parts = [
            {name: getattr(part, name) for name in RestorePart.__slots__} | {"settings": dict(part.settings)}
            for part in self.parts
        ]
        more = {"cut_at": to_text(self.cut_at), "most_s": self.most.total_seconds(), "audit": self.audit}
        return fields | more | {"parts": parts}

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> NativeDrillOrder:
        """The inverse of `to_json`."""
        fields = {name: body[name] for name in ("site", "application", "resource", "vault", "point", "bytes")}
        return cls(
            **fields,  # type: ignore[arg-type]
            cut_at=from_text(str(body["cut_at"])),
            parts=tuple(RestorePart(**part) for part in body["parts"]),  # type: ignore[attr-defined]
            most=timedelta(seconds=float(str(body["most_s"]))),
            audit=str(body.get("audit", "")),
        )


@dataclass(slots=True)
class _Found:
    why: str = ""
    made: tuple[Made, ...] = ()
    steps: list[Step] = field(default_factory=list)
    seconds: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NativeDrill:
    """Runs one. `report` hears of progress, `ticker` counts seconds; `cancel` ends it without a proof."""

    kind: RestoresSnapshots
    stores: Mapping[str, ObjectStore]
    clock: Clock
    key: SecretKey
    ticker: Callable[[], float]
    report: Callable[[Mapping[str, object]], None] = lambda _progress: None
    cancel: Event | None = None

    def run(self, order: NativeDrillOrder, options: object) -> dict[str, object]:
        """The outcome, as `DrillOutcome.to_json`; the proof goes to all of `stores`.

        Raises, and leaves no proof, when the point could not be judged: what the options name is not there, the region
        does not answer, an interruption. What was made is cleared away in any case, as far as it can be.
        """
        restore = self._restore(order, options)
        found, began = _Found(), self.ticker()
        try:
            self.kind.check_restore(restore)
            self._until_ready(restore, order, found)
        finally:
            left = self._clear(restore, found)
        found.seconds["total"] = math.ceil(self.ticker() - began)
        proof = _proof(order, found, self.clock.now())
        lost = write_record(proof, self.key, self.stores, self.stores.__getitem__)
        return {
            "outcome": FAILED if found.why else RESTORABLE,
            "application": order.application,
            "resource": order.resource,
            "point": order.point,
            "vault": order.vault,
            "cut_at": to_text(order.cut_at),
            "probes": [],
            "differences": [],
            "seconds": dict(found.seconds),
            "bytes": order.bytes,
            "steps": [step.to_json() for step in found.steps],
            "why": found.why or None,
            "unwritten": {vault: str(error) for vault, error in lost.items()},
            "left": [f"{made.what} {made.native_id}" for made in left],
            "proof": dict(proof.body),
        }

    def _restore(self, order: NativeDrillOrder, options: object) -> NativeRestore:
        """Under the tags of a drill that was begun and killed, if there is one; else of a new one."""
        account, region = place_of(order.vault)
        now = self.clock.now()
        there = [drill for drill, _ in self.kind.made(account, region, TAG_DRILL)]
        new = drill_id(order.site, order.application, order.resource, order.point, now + order.most)
        drill = begun_of(there, new.rpartition("/")[0] + "/", now) or new
        until = until_of(drill) or now + order.most
        return NativeRestore(
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
        )

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
            self._tell(order, found)
            self.clock.sleep(next(between))
        took = math.ceil(self.ticker() - began)
        found.seconds["create"] = took
        detail = found.why or f"{len(found.made)} made of point {order.point}"
        found.steps.append(Step("create", order.resource, detail, took_s=took, outcome=FAILED if found.why else "done"))

    def _tell(self, order: NativeDrillOrder, found: _Found) -> None:
        ready = sum(made.state == READY for made in found.made)
        self.report({"step": f"drill: {ready} of {len(found.made)} ready", "resource": order.resource, "done": ready})

    def _interrupted(self, order: NativeDrillOrder) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Unavailable("the drill was interrupted", operation="drill", resource=order.resource)

    def _clear(self, restore: NativeRestore, found: _Found) -> tuple[Made, ...]:
        """Everything goes; what is left after a while is told, and is the sweeper's."""
        began, deadline, left, between = self.ticker(), self.clock.now() + CLEARING, found.made, pauses(FIRST_PAUSE)
        while True:
            try:
                left = self.kind.discard(restore.account, restore.region, restore.tag, restore.id)
            except Refused:
                break
            except DrorchError:
                pass
            else:
                if not left:
                    break
            stopping = self.cancel is not None and self.cancel.is_set()
            if stopping or self.clock.now() >= deadline:
                break
            self.clock.sleep(next(between))
        took = math.ceil(self.ticker() - began)
        detail = f"{len(left)} left to the sweeper" if left else "everything that it made is gone"
        step = Step("clear", restore.resource, detail, took_s=took, outcome=FAILED if left else "done")
        found.steps.append(step)
        return left


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
        outcome=FAILED if found.why else RESTORABLE,
        why=found.why or None,
        probes=[],
        counts={"compared": 0, "differing": 0},
        seconds=dict(found.seconds),
        bytes=order.bytes,
        tools={"drorch": __version__},
        audit=order.audit or None,
    )
