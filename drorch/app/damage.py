"""What reading found becomes a fact: a signed proof, `damaged` or `intact`, in every vault that takes it.

One turn of a resource in a vault is read here, point by point; each that is damaged is told at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from drorch import __version__
from drorch.app.progress import ProgressSink, ignore
from drorch.app.reading import TrustedKey, read_signed
from drorch.app.signing import write_record
from drorch.app.verify import Place, PointFound, State, VerifyReport, by_turn, verify_points
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.catalogue_marks import DAMAGED, INTACT
from drorch.domain.errors import Damaged, DrorchError, Refused, Unavailable
from drorch.domain.instant import floor_second, from_compact
from drorch.domain.record import Record, RecordType, compose
from drorch.ports import Clock, ObjectStore

_LONGEST_WHY = 500
"""Characters of what is wrong that go into the proof; the objects of one point are few."""
_SECOND = timedelta(seconds=1)


def proof_of(found: PointFound, *, site: str, at: datetime, seconds: float = 0.0) -> Record:
    """The proof that a point is damaged or intact. Names objects and leaves, and nothing of what is in them."""
    place = found.place
    return compose(
        RecordType.PROOF,
        site=site,
        at=at,
        application=place.application,
        resource=place.resource,
        point=place.point,
        cut_at=place.cut_at,
        vault=found.vault,
        outcome=DAMAGED if found.broken else INTACT,
        why=found.why[:_LONGEST_WHY] or None,
        seconds={"total": math.ceil(seconds)},
        bytes=found.bytes,
        tools={"drorch": __version__},
    )


def sign_proof(
    found: PointFound,
    stores: Mapping[str, ObjectStore],
    key: SecretKey,
    keys: Sequence[TrustedKey],
    *,
    site: str,
    now: datetime,
    seconds: float = 0.0,
) -> tuple[Record, dict[str, DrorchError]]:
    """Write the proof into all of `stores`; the errors of those that did not take it."""
    at = free_instant(stores[found.vault], found.place, "proofs/", found.vault, keys, now)
    proof = proof_of(found, site=site, at=at, seconds=seconds)
    return proof, write_record(proof, key, stores, stores.__getitem__)


def free_instant(
    store: ObjectStore, place: Place, below: str, about: str, keys: Sequence[TrustedKey], now: datetime
) -> datetime:
    """`now`, or the first second after every signed record of the point about vault `about`: the later one counts.

    A clock that was turned back, or two findings within a second, must not make the older one win.
    """
    folder = layout.records_folder(place.application, place.resource, place.cut_at, place.point) + below
    at = floor_second(now)
    taken: list[datetime] = []
    with suppress(DrorchError):  # a vault that cannot be listed takes the record later, or not at all
        for found in store.list(folder):
            when = _time_of(found.path, about)
            if when is not None and when >= at and _signed(store, found.path, keys):
                taken.append(when)
    return max((when + _SECOND for when in taken), default=at)


def _time_of(path: str, about: str) -> datetime | None:
    name = path.rpartition("/")[2]
    if not name.endswith(f"-{about}.json"):
        return None
    try:
        return from_compact(name.partition("-")[0])
    except ValueError:
        return None


def _signed(store: ObjectStore, path: str, keys: Sequence[TrustedKey]) -> bool:
    try:
        read_signed(store, path, keys)
    except Refused:
        return False
    return True


# --- one turn ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifyOrder:
    """Which hundredth of the leaves of which points is read in vault `vault`."""

    site: str
    application: str
    resource: str
    vault: str
    turn: int
    places: tuple[Place, ...]

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe."""
        names = {"site": self.site, "application": self.application, "resource": self.resource, "vault": self.vault}
        return {**names, "turn": self.turn, "places": [place.to_json() for place in self.places]}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> VerifyOrder:
        """The inverse of `to_json`."""
        return cls(**{**body, "places": tuple(Place.from_json(place) for place in body["places"])})


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """A turn that was read to its end. `unwritten` names the vaults that did not take a proof; it is brought there
    later.
    """

    order: VerifyOrder
    report: VerifyReport
    unwritten: Mapping[str, str] = field(default_factory=dict)

    @property
    def damaged(self) -> tuple[PointFound, ...]:
        """The points of which a proof says so now."""
        return self.report.broken

    def to_json(self) -> dict[str, object]:
        """As it goes through a pipe: the points that are not what was signed, and counts."""
        return {
            "vault": self.order.vault,
            "turn": self.order.turn,
            "points": len(self.report.points),
            "leaves": self.report.leaves,
            "bytes": self.report.bytes,
            "seconds": math.ceil(self.report.seconds),
            "damaged": [found.to_json() for found in self.damaged],
            "unwritten": dict(self.unwritten),
        }


def read_turn(
    order: VerifyOrder,
    stores: Mapping[str, ObjectStore],
    keys: Sequence[TrustedKey],
    key: SecretKey,
    *,
    clock: Clock,
    cancel: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    progress: ProgressSink = ignore,
) -> TurnOutcome:
    """Read one turn, and sign a proof `damaged` into all of `stores` for each point that is not what was signed.

    Raises when not every point could be read: Damaged when another of them is damaged (its proof is written),
    Unavailable else. The turn counts as unread then.
    """
    unwritten: dict[str, str] = {}

    def found(point: PointFound) -> None:
        if point.broken:
            _, lost = sign_proof(point, stores, key, keys, site=order.site, now=clock.now())
            unwritten.update({vault: str(error) for vault, error in lost.items()})

    report = verify_points(
        stores[order.vault],
        order.places,
        keys,
        by_turn(order.turn),
        site=order.site,
        clock=clock,
        cancel=cancel,
        monotonic=monotonic,
        progress=progress,
        found=found,
        label=order.resource,
    )
    outcome = TurnOutcome(order, report, unwritten)
    # A point that counted when the turn was ordered and is not there now is no damage; nor was it read.
    unread = [found for found in report.points if found.absent or found.state is State.UNAVAILABLE]
    if unread:
        raise _unread(outcome, unread)
    return outcome


def damage_error(vault: str, resource: str, points: Sequence[Mapping[str, Any]]) -> Damaged:
    """The damaged points of a turn's outcome, as an error (exit 6)."""
    return Damaged(
        f"{len(points)} damaged point(s): {', '.join(str(point['point']) for point in points)}",
        operation="verify",
        resource=resource,
        vault=vault,
        cause="; ".join(str(point["why"]) for point in points),
        hint="a copy in another vault is used to repair it; drorch points shows where there is one",
    )


def _unread(outcome: TurnOutcome, unread: Sequence[PointFound]) -> DrorchError:
    order = outcome.order
    if outcome.damaged:
        return damage_error(order.vault, order.resource, [found.to_json() for found in outcome.damaged])
    return Unavailable(
        f"{len(unread)} of {len(outcome.report.points)} points could not be read",
        operation="verify",
        resource=order.resource,
        vault=order.vault,
        cause=unread[0].why,
        hint="the turn is read again",
    )
