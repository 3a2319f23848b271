"""The catalogue: a fold over what vaults and providers show, for one application.

Records say what was committed, listings say what is there; a point is usable only where both agree. What could not be
read in this pass keeps its last known state, and its view says that it is incomplete: unknown is not absent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from drorch.domain import layout
from drorch.domain.catalogue_intermediate import Intermediate, set_apart
from drorch.domain.catalogue_marks import LetGo
from drorch.domain.catalogue_native import NativeView, SnapshotSeen, ValidId, snapshots_of
from drorch.domain.catalogue_point import Drilled, Evidence, PointFold, Scattered, fold_point, not_believed
from drorch.domain.catalogue_runbook import Runbook, newest_runbook
from drorch.domain.catalogue_seen import SeenRecord, Trust, VaultView
from drorch.domain.catalogue_upkeep import Bygone, Head, Leftover, newest_heads, own_uploads, tampered, told_ids
from drorch.domain.model import Oddity, RecoveryPoint
from drorch.domain.record import RecordType

__all__ = [
    "Catalogue",
    "Drilled",
    "FoldMemory",
    "Head",
    "Leftover",
    "Scattered",
    "SeenRecord",
    "Trust",
    "VaultView",
    "fold",
]

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that is known of one application: points newest first, drills newest first, oddities, ids in use.

    `let_go` are the copies whose deletion began, `leftovers` data without a manifest, `head` the newest signed head.
    """

    application: str
    points: tuple[RecoveryPoint, ...] = ()
    drills: tuple[Drilled, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    taken: frozenset[str] = frozenset()
    scattered: tuple[Scattered, ...] = ()
    let_go: tuple[LetGo, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    head: Head | None = None
    ahead: Head | None = None
    """The newest head of the future: it says that a host with a wrong clock is at work, and nothing else."""
    digests: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(vault, point) -> digest of the signed record by which the copy counts: what a head says is live."""
    bygone: tuple[Bygone, ...] = ()
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    intermediates: tuple[Intermediate, ...] = ()
    """Native copies that are only steps to others; of no point a copy."""
    uploads: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    runbook: Runbook | None = None
    """The newest signed one."""

    def of(self, resource: str) -> tuple[RecoveryPoint, ...]:
        """The points of one resource, newest first."""
        return tuple(point for point in self.points if point.resource == resource)

    def find(self, point: str) -> RecoveryPoint | None:
        """The point with this id."""
        return next((candidate for candidate in self.points if candidate.id == point), None)


_Key = tuple[str, str]
"""(resource, point id)."""


class FoldMemory:
    """What points were folded to, so that those of which nothing has changed are not folded again: a catalogue with it
    is the same as one without. Holds about so many `points`; applications not asked for longest are forgotten first.
    """

    def __init__(self, points: int = 4_000) -> None:
        self._most = points
        self._held = 0
        self._folds: OrderedDict[str, Mapping[_Key, tuple[Evidence, PointFold]]] = OrderedDict()

    def folded(self, application: str, evidence: Mapping[_Key, Evidence], now: datetime) -> Mapping[_Key, PointFold]:
        """Every point's fold, of the same keys in the same order."""
        before = self._folds.pop(application, {})
        after: dict[_Key, tuple[Evidence, PointFold]] = {}
        for key, of_point in evidence.items():
            known = before.get(key)
            same = known is not None and not known[1].timed and known[0] == of_point
            after[key] = known if known is not None and same else (of_point, fold_point(of_point, now))
        self._folds[application] = after
        self._held += len(after) - len(before)
        while self._held > self._most and len(self._folds) > 1:
            self._held -= len(self._folds.popitem(last=False)[1])
        return {key: made for key, (_, made) in after.items()}


def fold(
    application: str,
    vaults: Sequence[VaultView],
    natives: Sequence[NativeView],
    valid_id: ValidId,
    now: datetime,
    memory: FoldMemory | None = None,
) -> Catalogue:
    """The catalogue of one application; `vaults` and `natives` may hold other applications' things, which are ignored.

    Raises nothing: what cannot be understood becomes an oddity.
    """
    records, lone = _by_point(application, vaults)
    recorded = _recorded(records)
    natives, steps = set_apart(application, natives, partial(_listed, records), recorded, valid_id)
    snapshots, strangers, taken = snapshots_of(application, natives, valid_id, recorded)
    evidence = _evidence(application, vaults, natives, records, snapshots)
    folds = (memory or FoldMemory()).folded(application, evidence, now)
    head, ahead = newest_heads(lone, now)
    made = tuple(folds.values())
    points = sorted((point for fold in made for point in fold.points), key=_newest_first, reverse=True)
    oddities = [
        *strangers,
        *(odd for fold in made for odd in fold.misfits),
        *not_believed(lone),
        *(odd for fold in made for odd in fold.unbelieved),
        *tampered(application, vaults),
    ]
    left = {point.id for point in points}
    return Catalogue(
        application=application,
        points=tuple(points),
        drills=tuple(sorted((d for fold in made for d in fold.drills), key=lambda drill: drill.at, reverse=True)),
        oddities=tuple(oddities),
        taken=frozenset(taken | {point for _, point in evidence} | told_ids(head)),
        scattered=tuple(sorted((s for fold in made for s in fold.scattered), key=lambda entry: entry.path)),
        let_go=tuple(entry for fold in made for entry in fold.let_go),
        leftovers=_leftovers(folds),
        head=head,
        ahead=ahead,
        digests={where: digest for fold in made for where, digest in fold.digests.items()},
        bygone=tuple(entry for fold in made for entry in fold.bygone if entry.point not in left),
        heads={view.vault.name: view.heads for view in vaults if view.heads},
        intermediates=steps,
        uploads={view.vault.name: own_uploads(application, view.uploads) for view in vaults if view.uploads},
        runbook=newest_runbook(lone, now),
    )


def _by_point(application: str, vaults: Sequence[VaultView]) -> tuple[dict[_Key, list[SeenRecord]], list[SeenRecord]]:
    """The application's records by the point of which they speak, and those that speak of none (heads, runbooks)."""
    groups: dict[_Key, list[SeenRecord]] = {}
    lone: list[SeenRecord] = []
    for view in vaults:
        for seen in view.records:
            record = seen.record
            if record.application != application:
                continue
            if record.point:
                groups.setdefault((record.resource, record.point), []).append(seen)
            else:
                lone.append(seen)
    return groups, lone


def _recorded(records: Mapping[_Key, Sequence[SeenRecord]]) -> frozenset[tuple[str, str, str]]:
    """The (resource, point, slot) that signed native records tell of."""
    return frozenset(
        (*key, seen.record.text("slot"))
        for key, of_point in records.items()
        for seen in of_point
        if seen.trust is Trust.SIGNED and seen.record.type == RecordType.NATIVE
    )


def _listed(records: Mapping[_Key, Sequence[SeenRecord]]) -> frozenset[str]:
    """The native ids that signed records list."""
    return frozenset(
        str(member["native_id"])
        for of_point in records.values()
        for seen in of_point
        if seen.trust is Trust.SIGNED and seen.record.type == RecordType.NATIVE
        for member in seen.record.body["members"]
    )


def _evidence(
    application: str,
    vaults: Sequence[VaultView],
    natives: Sequence[NativeView],
    records: Mapping[_Key, Sequence[SeenRecord]],
    snapshots: Mapping[_Key, Sequence[SnapshotSeen]],
) -> dict[_Key, Evidence]:
    """In the order of resources and ids. Objects that lie where no data do are not ours to read."""
    data: dict[_Key, list[tuple[str, str, int]]] = {}
    for view in vaults:
        for path, size in view.objects.items():
            named = layout.of_data(path)
            if named is not None and named[0] == application:
                key = named[1], named[2].partition("-")[2]
                data.setdefault(key, []).append((view.vault.name, path, size))
    listed = frozenset((view.kind, view.vault.name) for view in natives if view.complete or view.at is not None)
    locked = [view for view in vaults if view.locks]
    return {
        key: Evidence(
            application,
            *key,
            records=tuple(records.get(key, ())),
            data=tuple(data.get(key, ())),
            locks=tuple((view.vault.name, lock) for view in locked if (lock := view.locks.get(key[1])) is not None),
            snapshots=tuple(snapshots.get(key, ())),
            listed=listed,
        )
        for key in sorted(records.keys() | data.keys() | snapshots.keys())
    }


def _leftovers(folds: Mapping[_Key, PointFold]) -> tuple[Leftover, ...]:
    """Of data without a manifest; one under the same id in the same vault is enough, whatever resource it names."""
    committed = {(vault, point) for (_, point), fold in folds.items() for vault in fold.committed}
    found = [
        entry for fold in folds.values() for entry in fold.leftovers if (entry.vault, entry.point) not in committed
    ]
    return tuple(sorted(found, key=lambda entry: (entry.vault, entry.resource, entry.cut_at, entry.point)))


def _newest_first(point: RecoveryPoint) -> tuple[datetime, str]:
    return point.cut_at or _NEVER, point.id
