"""The restore drill: a point is restored from one vault into scratch, asked its probes, and the proof of it is signed.

A drill that failed is proof, too. Only what says nothing about the point leaves none: a vault that could not be
reached, a scratch place that could not be made, an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drorch import __version__
from drorch.app import probing
from drorch.app.loading import Pace, Reader, beating, load_together
from drorch.app.progress import Meter, Steps
from drorch.app.restore import RestoreRequest, locate
from drorch.app.signing import write_record
from drorch.app.verifying import Ready, differing_counts, verify_point
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.errors import InvalidInput, NotInThisVersion, Refused, Unavailable, Usage
from drorch.domain.instant import to_text
from drorch.domain.policy import Probe
from drorch.domain.record import Record, RecordType, compose
from drorch.domain.recovery import Choice, Step
from drorch.ports import Engine, ObjectStore, ProbeResult, RestoreTarget

PASSED = "passed"
FAILED = "failed"
_PHASES = ("download", "decrypt", "load", "compare", "probe", "total")


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """Which point is drilled from which vault, and what is asked. Without `point` the newest usable one there.

    `audit` is the seed that picked it, where it is a random audit.
    """

    site: str
    application: str
    resource: str
    vault: str
    probes: tuple[Probe, ...] = ()
    point: str = ""
    audit: str = ""

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        return {
            "site": self.site,
            "application": self.application,
            "resource": self.resource,
            "vault": self.vault,
            "probes": [probe.model_dump(mode="json", exclude_none=True) for probe in self.probes],
            "point": self.point,
            "audit": self.audit,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> DrillOrder:
        """The inverse of `to_json`."""
        return cls(
            site=body["site"],
            application=body["application"],
            resource=body["resource"],
            vault=body["vault"],
            probes=tuple(Probe.model_validate(probe) for probe in body.get("probes", ())),
            point=body.get("point", ""),
            audit=body.get("audit", ""),
        )


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the drill restores to: the engine's own options (None: `private`) and the credentials they name."""

    options: object = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """What a drill found. `bytes` are of ciphertext.

    `seconds` are of download, decrypt (with decompression), load, compare, probe and in total, each rounded up: what
    took time is never 0, and the parts may add up to more than the total.
    `unwritten` names the vaults that did not take the proof; it is brought there later.
    """

    outcome: str
    application: str
    resource: str
    point: str
    vault: str
    cut_at: datetime
    probes: tuple[ProbeResult, ...]
    differences: tuple[str, ...]
    seconds: Mapping[str, int]
    bytes: int
    proof: Record
    steps: tuple[Step, ...]
    why: str = ""
    unwritten: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the point is verified now."""
        return self.outcome == PASSED

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4), and more."""
        return {
            "outcome": self.outcome,
            "application": self.application,
            "resource": self.resource,
            "point": self.point,
            "vault": self.vault,
            "cut_at": to_text(self.cut_at),
            "probes": [probing.told(probe) for probe in self.probes],
            "differences": list(self.differences),
            "seconds": dict(self.seconds),
            "bytes": self.bytes,
            "steps": [step.to_json() for step in self.steps],
            "why": self.why or None,
            "unwritten": dict(self.unwritten),
            "proof": dict(self.proof.body),
        }


def run_drill(
    order: DrillOrder,
    engine: Engine,
    scratch: Scratch,
    stores: Mapping[str, ObjectStore],
    reader: Reader,
    key: SecretKey,
) -> DrillOutcome:
    """Drill one point; the scratch place is gone when this returns. The proof goes to all of `stores`.

    Raises, and leaves no proof, when the point could not be judged: NotFound (there is none), Unavailable,
    OutcomeUnknown, and whatever keeps the scratch place from being made.
    """
    steps = Steps(None, reader.ticker)
    began = reader.ticker()
    with steps.step("locate", order.resource, f"vault {order.vault}"):
        choice = _choose(order, stores, reader)
        steps.detail(f"point {choice.point.id}, data as of {to_text(choice.cut_at)}")
    found = _Found()
    ready: Ready | None = None
    with _judged(found), steps.step("verify", order.resource, f"signature, path, sizes and key in vault {order.vault}"):
        ready = verify_point(choice, engine.kind, {order.vault: stores[order.vault]}, reader, with_globals=True)
    if ready is not None:
        with engine.scratch(scratch.options, scratch.secrets) as target:
            # What this refuses says something about the scratch place: it is empty, and nobody else's.
            with steps.step("prepare", order.resource, "scratch"):
                target.prepare(ready.facts)
            found.tools |= target.versions
            with _judged(found):
                _load_and_ask(order, choice, ready, target, reader, steps, found)
    if reader.cancel is not None and reader.cancel.is_set():
        raise Unavailable("the drill was interrupted", operation="drill", resource=order.resource)
    found.seconds["total"] = math.ceil(reader.ticker() - began)
    proof = _proof(order, choice, found, reader.clock.now())
    lost = write_record(proof, key, stores, stores.__getitem__)
    return DrillOutcome(
        outcome=FAILED if found.why else PASSED,
        application=order.application,
        resource=order.resource,
        point=choice.point.id,
        vault=order.vault,
        cut_at=choice.cut_at,
        probes=tuple(found.probes),
        differences=tuple(found.differences),
        seconds=found.seconds,
        bytes=found.bytes,
        proof=proof,
        steps=tuple(steps.taken),
        why=found.told or found.why,
        unwritten={vault: str(error) for vault, error in lost.items()},
    )


@dataclass(slots=True)
class _Found:
    """What has come to light so far. `why` is for the proof and names no table; `told` is for the people here."""

    why: str = ""
    told: str = ""
    bytes: int = 0
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    probes: list[ProbeResult] = field(default_factory=list)
    seconds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_PHASES, 0))
    tools: dict[str, str] = field(default_factory=lambda: {"drorch": __version__})

    def fail(self, why: str, told: str) -> None:
        """One more thing that is not as it should be."""
        self.why = f"{self.why}; {why}" if self.why else why
        self.told = f"{self.told}; {told}" if self.told else told


@contextmanager
def _judged(found: _Found) -> Iterator[None]:
    """A refusal in here is the drill's result. A mistake in what was asked for, or an outage, is not."""
    try:
        yield
    except (InvalidInput, Usage, NotInThisVersion):
        raise
    except Refused as error:
        found.fail(error.message, str(error))


def _choose(order: DrillOrder, stores: Mapping[str, ObjectStore], reader: Reader) -> Choice:
    if order.vault not in stores:
        raise InvalidInput(f"there is no vault {order.vault} to drill from")
    request = RestoreRequest(
        application=order.application,
        into="",
        resource=order.resource,
        vault=order.vault,
        point=order.point,
        site=order.site,
    )
    choice, _ = locate(request, {order.vault: stores[order.vault]}, reader)
    return choice


def _load_and_ask(
    order: DrillOrder,
    choice: Choice,
    ready: Ready,
    target: RestoreTarget,
    reader: Reader,
    steps: Steps,
    found: _Found,
) -> None:
    pace = Pace()
    try:
        for batch in layout.batches(ready.artefacts, lambda artefact: artefact.name):
            with steps.step("load", order.resource, ", ".join(artefact.name for artefact in batch)):
                load_together(ready.store, ready.manifest, batch, target, reader, pace)
            found.bytes += sum(artefact.bytes for artefact in batch)
    finally:
        spent = {"download": pace.download, "decrypt": pace.decrypt, "load": pace.load}
        found.seconds |= {phase: math.ceil(max(0.0, seconds)) for phase, seconds in spent.items()}
    if ready.counted:
        what, where = ready.counts
        began = reader.ticker()
        with steps.step("compare", order.resource, f"{what} of {ready.counted} {where}"):
            with beating(Meter("compare", order.resource, None, reader.clock.now()), reader):
                found.differences += differing_counts(ready, target)
            found.compared = ready.counted
            if found.differences:
                steps.fail()
        found.seconds["compare"] = math.ceil(reader.ticker() - began)
        if found.differences:
            why = f"{what} of {len(found.differences)} of {ready.counted} {where} differ"
            found.fail(why, f"{why}: {'; '.join(found.differences)}")
    began = reader.ticker()
    for probe in order.probes:
        with steps.step("probe", order.resource, probe.sql):
            found.probes.append(probing.put(probe, target.probe, choice.cut_at))
            if not found.probes[-1].met:
                steps.fail()
    found.seconds["probe"] = math.ceil(reader.ticker() - began)
    why, told = probing.unmet(found.probes)
    if why:
        found.fail(why, told)


def _proof(order: DrillOrder, choice: Choice, found: _Found, at: datetime) -> Record:
    """No table name but those in the probes, which the policy shows anyway: proofs are not encrypted."""
    return compose(
        RecordType.PROOF,
        site=order.site,
        at=at,
        application=order.application,
        resource=order.resource,
        point=choice.point.id,
        cut_at=choice.cut_at,
        vault=order.vault,
        outcome=FAILED if found.why else PASSED,
        why=found.why or None,
        probes=[probing.told(probe) for probe in found.probes],
        counts={"compared": found.compared, "differing": len(found.differences)},
        seconds=dict(found.seconds),
        bytes=found.bytes,
        tools=dict(found.tools),
        audit=order.audit or None,
    )
