"""Any world of one resource for the planner, as strategies of hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from passes import AWAY, HOME, OFF
from planning import (
    NOW,
    PENDING,
    VOLUME,
    WEST,
    data,
    dumped,
    hours,
    orders,
    planned,
    point,
    recorded,
    seen,
    slot,
)

from drorch.domain.action import Action
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.catalogue_upkeep import Leftover
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, RecoveryPoint
from drorch.domain.policy import BrakeRule, Keep, ResourcePolicy, Retired, VaultRule
from drorch.domain.retention import FUTURE


@dataclass(frozen=True)
class Drawn:
    """A world, and under which rules it is planned."""

    points: list[RecoveryPoint]
    of: ResourcePolicy
    given: dict[str, Any]
    now: datetime
    native: bool

    def plan(self, retired: Retired | None = None, **changes: Any) -> list[Action]:
        return planned(seen(*self.points, **(self.given | changes)), self.of, self.now, retired)

    @property
    def vaults(self) -> tuple[str, ...]:
        return tuple(rule.vault for rule in self.of.targets)

    def usable(self, vault: str) -> list[tuple[RecoveryPoint, PointCopy]]:
        """The usable and plausible copies of a vault, newest first."""
        there = [(p, c) for p in self.points if (c := p.copy_in(vault)) is not None and c.usable]
        plausible = [(p, c) for p, c in there if p.cut_at is not None and p.cut_at <= self.now + FUTURE]
        return sorted(plausible, key=lambda entry: (entry[0].cut_at, entry[0].id), reverse=True)


_ago = st.integers(-2, 200).map(lambda n: NOW - hours(n))
_native_kinds = (*["usable"] * 5, "marked", "pending", "half", "failed")
_dump_kinds = (*_native_kinds, "verified", "locked", "unsigned", "expired")


def _copy(kind: str, vault: str, since: datetime, *, native: bool) -> PointCopy:
    made = recorded(vault) if native else dumped(vault)
    changes: dict[str, dict[str, Any]] = {
        "usable": {},
        "marked": {"state": CopyState.EXPIRING, "marked_at": since, "expiring_since": since},
        "pending": {"state": PENDING},
        "half": {"state": PENDING if native else CopyState.FAILED, "expired_at": since},
        "failed": {"state": CopyState.FAILED},
        "verified": {"verified_at": since},
        "locked": {"state": CopyState.EXPIRING, "expiring_since": since, "locked_until": since + hours(100)},
        "unsigned": {"state": CopyState.UNSIGNED},
        "expired": {"state": CopyState.EXPIRING, "expiring_since": since, "expired_at": since},
    }
    return replace(made, **changes[kind])


@st.composite
def _points(draw: st.DrawFn, vaults: tuple[str, ...], *, native: bool) -> list[RecoveryPoint]:
    kinds = st.sampled_from(_native_kinds if native else _dump_kinds)
    found = {}
    for _ in range(draw(st.integers(2, 16))):
        hour, manual = draw(st.integers(-2, 20)) * draw(st.sampled_from([1, 7])), draw(st.integers(0, 9)) == 9
        copies = [
            replace(
                _copy(draw(kinds), vault, draw(_ago), native=native),
                kms_key=draw(st.sampled_from(["", "old"])) if native else "",
            )
            for vault in vaults
            if draw(st.integers(0, 3))
        ]
        made = point(
            f"manual:{slot(hour)[:16]}:00Z" if manual else slot(hour),
            *copies,
            of="data" if native else "orders",
            attempt=draw(st.integers(1, 2)),
            pinned=draw(st.integers(0, 9)) == 9,
            suspect="it shrank" if draw(st.integers(0, 29)) == 29 else "",
        )
        found[made.id] = made
    return list(found.values())


_more = {"daily": st.integers(1, 3), "within": st.just(hours(3))}
_keep = st.fixed_dictionaries({"last": st.integers(1, 3)}, optional=_more).map(lambda rules: Keep(**rules))
_every = st.sampled_from([None, None, hours(6)])
_brake = st.builds(BrakeRule, share=st.integers(1, 100), count=st.integers(1, 4))


@st.composite
def worlds(draw: st.DrawFn) -> Drawn:
    """Any world of one resource, with nothing in it that would hold deletions altogether."""
    native = draw(st.booleans())
    vaults = (HOME, AWAY) if native else (OFF, WEST)
    points = draw(_points(vaults, native=native))
    rules = tuple(
        VaultRule(vault=v, keep=draw(_keep), every=None if native else draw(_every), home=v == HOME) for v in vaults
    )
    make = data if native else orders
    of = make(targets=rules, floor=draw(st.integers(1, 3)), drill=None)
    pairs = [(v, p.id) for v in vaults for p in points]
    let_go = draw(st.lists(st.tuples(st.sampled_from(vaults), st.sampled_from("abc"), _ago), max_size=6))
    given = {
        "object_vaults": (OFF, WEST),
        "sources": {"data": VOLUME},
        "grace": draw(st.sampled_from([hours(1), hours(24)])),
        "brake": draw(_brake),
        "approved": frozenset(draw(st.lists(st.sampled_from(pairs), max_size=5))) if pairs else frozenset(),
        "more": {
            "let_go": tuple(LetGo(v, of.name, name, at, at, False, at) for v, name, at in let_go),
            "leftovers": tuple(Leftover(v, of.name, "x", NOW, ("data/x",), draw(st.booleans())) for v in vaults[:1]),
        },
    }
    return Drawn(points, of, given, NOW + hours(draw(st.sampled_from([0, 0, 0, 2, 40, -20]))), native)
