"""Which point to restore, from where, in which steps, and whether what came out is what went in. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from drorch.domain.catalogue import Catalogue, Drilled
from drorch.domain.errors import Damaged, DrorchError, NotFound, Refused, Unavailable
from drorch.domain.instant import from_compact, to_text
from drorch.domain.model import Copy, CopyState, RecoveryPoint
from drorch.domain.native import Inventory

SKEW = timedelta(hours=1)
"""How far the clocks of a source and a store may differ before a `cut_at` is implausible (formats: cut_at)."""

_LISTED = 10

_NEVER_BEHIND = timedelta(days=36500)
"""A copy of a snapshot says nothing by being late: queues and copies take what they take."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored. `vaults` are those that could be read, the preferred ones first; `unread`: vault -> why.

    Without `resource` the application's only dump; without `at` and `point` the newest usable point. `accept_unsigned`
    names the one point that is taken without a valid signature. `note` is a note, or a part of one that no other has.
    """

    application: str
    resource: str = ""
    vaults: tuple[str, ...] = ()
    at: datetime | None = None
    point: str = ""
    accept_unsigned: str = ""
    note: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    native: bool = False

    @property
    def named(self) -> str:
        """The point that was named, one way or the other."""
        return self.point or self.accept_unsigned


@dataclass(frozen=True, slots=True)
class Newer:
    """A point of the resource that is newer than the chosen one, and why it is not the chosen one."""

    point: str
    cut_at: datetime
    why: str

    def to_json(self) -> dict[str, object]:
        """The stable fields."""
        return {"point": self.point, "cut_at": to_text(self.cut_at), "why": self.why}


@dataclass(frozen=True, slots=True)
class Choice:
    """The point, the vaults that it can be restored from in order of preference, and what people must be told."""

    point: RecoveryPoint
    cut_at: datetime
    vaults: tuple[str, ...]
    newer: tuple[Newer, ...] = ()
    notes: tuple[str, ...] = ()

    def data_loss_s(self, now: datetime) -> int:
        """Seconds between the data and the present."""
        return max(0, int((now - self.cut_at).total_seconds()))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a restore; seconds are None while not known."""

    step: str
    resource: str
    detail: str
    estimate_s: int | None = None
    took_s: int | None = None
    outcome: str = ""

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4)."""
        return {
            "step": self.step,
            "resource": self.resource,
            "detail": self.detail,
            "estimate_s": self.estimate_s,
            "took_s": self.took_s,
            "outcome": self.outcome or None,
        }


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do, in order."""

    choice: Choice
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, object]:
        """The stable fields (contract, section 4), and more."""
        point = self.choice.point
        return {
            "application": point.application,
            "resource": point.resource,
            "point": point.id,
            "vault": self.choice.vaults[0],
            "cut_at": to_text(self.choice.cut_at),
            "note": point.note or None,
            "steps": [step.to_json() for step in self.steps],
            "newer": [newer.to_json() for newer in self.choice.newer],
            "notes": list(self.choice.notes),
        }


def choose_point(catalogue: Catalogue, wanted: Wanted, now: datetime) -> Choice:
    """The newest point that can be restored, or the one that was asked for.

    Raises NotFound with what there is, Unavailable when a vault that could not be read may hold it, Refused for a named
    point that is not signed and for a part of several different notes, Damaged for a named one whose objects are not
    those that were signed.
    """
    resource = wanted.resource or _only_dump(catalogue, wanted)
    points = [point for point in catalogue.of(resource) if point.cut_at is not None]
    if points and wanted.native == any(copy.path for point in points for copy in point.copies):
        raise _of_another_sort(points[0], wanted.native)
    longest = _NEVER_BEHIND if wanted.native else _longest_dump(points)
    if wanted.note:
        wanted = replace(wanted, note=_the_note(points, wanted, resource))
    if wanted.named:
        point = _named(points, wanted)
    else:
        candidates = (p for p in points if _restorable(p, wanted) and not _passed_over(p, wanted, longest, now))
        point = next(candidates, None) or _nothing(points, wanted, resource, longest, now)
    cut_at = point.cut_at or now
    notes = [f"vault {vault} could not be read: {why}" for vault, why in sorted(wanted.unread.items())]
    odd = _ahead(point, now) or _behind(point, longest)
    if odd:
        notes.append(f"point {point.id} is implausible: {odd}")
    if point.partial:
        notes.append(f"point {point.id} is not the whole database, {point.partial}")
    if point.suspect:
        notes.append(_suspect(point, points, wanted, longest, now))
    newer = _newer(catalogue, resource, points, cut_at, wanted, longest, now)
    return Choice(point, cut_at, _restorable(point, wanted), newer, tuple(notes))


def next_best(catalogue: Catalogue, choice: Choice, vaults: Collection[str]) -> str:
    """The newest point older than the choice that one of `vaults` has, as it is asked for, with its data time; ""."""
    for point in catalogue.of(choice.point.resource):
        older = point.cut_at is not None and point.cut_at < choice.cut_at
        if older and any(copy.vault in vaults and copy.usable and not copy.gone for copy in point.copies):
            return f"--point {point.id}, data as of {to_text(point.cut_at)}" if point.cut_at else ""
    return ""


def restore_plan(
    choice: Choice,
    drills: Iterable[Drilled],
    *,
    into: str,
    artefacts: Sequence[str],
    counted: bool,
    needs: Sequence[str] = (),
) -> RestorePlan:
    """The steps for a choice. `artefacts` are those to be loaded, `needs` extensions that the target must be able to
    have; estimates come from this resource's newest drill.
    """
    point, vault = choice.point, choice.vaults[0]
    copy = point.copy_in(vault)
    size = copy.bytes if copy else 0
    steps = [
        Step("locate", point.resource, f"point {point.id}, data as of {to_text(choice.cut_at)}, in vault {vault}"),
        Step("verify", point.resource, "signature, path and sizes of every object"),
        Step("prepare", point.resource, f"{into}: nothing that exists is overwritten{_needing(needs)}"),
    ]
    estimate = _load_seconds(drills, point.resource, vault, size)
    for number, name in enumerate(artefacts):
        last = number == len(artefacts) - 1
        steps.append(Step("load", point.resource, name, estimate if last else None))
    if counted:
        steps.append(Step("compare", point.resource, "row counts with the inventory of the dump"))
    steps.append(Step("complete", point.resource, f"{into} becomes real"))
    return RestorePlan(choice, tuple(steps))


def _needing(extensions: Sequence[str]) -> str:
    if not extensions:
        return ""
    return f"; the dump has the extensions {', '.join(extensions)}, which are looked for before any data"


def count_differences(expected: Inventory, found: Inventory) -> tuple[str, ...]:
    """What differs between the source as it was dumped and what was loaded, exactly counted tables only.

    A table counts rows, or what the inventory's detail `unit` says; where its detail `bytes_of` has bytes per table,
    these are compared, too.
    """
    differences = []
    unit = counted_unit(expected)
    sizes, loaded_sizes = _bytes_of(expected), _bytes_of(found)
    for table, count in sorted(expected.tables.items()):
        if count is None or table in expected.estimated:
            continue
        loaded = found.tables.get(table)
        if loaded is None:
            differences.append(f"{table} is missing ({count} {unit})")
        elif loaded != count:
            differences.append(f"{table} has {loaded} of {count} {unit}")
        elif sizes.get(table) != loaded_sizes.get(table):
            differences.append(f"{table} has {loaded_sizes.get(table, 0)} of {sizes.get(table, 0)} bytes")
    return tuple(differences)


def counted_unit(inventory: Inventory) -> str:
    """What the inventory counts per table: rows, or files."""
    return str(inventory.details.get("unit", "rows"))


def _bytes_of(inventory: Inventory) -> Mapping[str, object]:
    sizes = inventory.details.get("bytes_of")
    return sizes if isinstance(sizes, Mapping) else {}


# --- which point ---------------------------------------------------------------------------------------------------


def _of_another_sort(point: RecoveryPoint, native: bool) -> Refused:
    resource = f"{point.application}/{point.resource}"
    if native:
        hint = f"drorch restore {point.application} {point.resource} --into postgresql://, mariadb://, mysql:// or dir:"
        return Refused("its points are dumps, not snapshots", operation="restore", resource=resource, hint=hint)
    hint = f"drorch restore {point.application} {point.resource} --into region:NAME"
    return Refused(f"its points are snapshots ({point.kind})", operation="restore", resource=resource, hint=hint)


def _only_dump(catalogue: Catalogue, wanted: Wanted) -> str:
    """The application's only resource with dumps."""
    dumps = sorted({point.resource for point in catalogue.points if any(copy.path for copy in point.copies)})
    if len(dumps) == 1:
        return dumps[0]
    if dumps:
        raise Refused(
            f"{wanted.application} has dumps of several resources",
            operation="restore",
            hint=f"name one of {', '.join(dumps)}",
        )
    raise _absent(f"no dump of {wanted.application} was found", wanted, ())


def _named(points: Sequence[RecoveryPoint], wanted: Wanted) -> RecoveryPoint:
    point = next((p for p in points if p.id == wanted.named), None)
    if point is None:
        raise _absent(f"no point {wanted.named} was found", wanted, points)
    if _restorable(point, wanted):
        return point
    readable = [copy for vault in wanted.vaults if (copy := point.copy_in(vault))]
    why = "; ".join(_of_copy(copy) for copy in readable)
    if any(copy.state is CopyState.FAILED for copy in readable):
        raise Damaged(f"point {point.id} is damaged", operation="restore", cause=why)
    if any(copy.state is CopyState.UNSIGNED for copy in readable):
        raise Refused(
            f"point {point.id} is not signed by a trusted key",
            operation="restore",
            cause=why,
            hint=f"--trust names keys; --accept-unsigned {point.id} takes it nevertheless: its data may be anybody's",
        )
    raise _absent(f"point {point.id} has no usable copy in the vaults that could be read", wanted, points, why)


def _the_note(points: Sequence[RecoveryPoint], wanted: Wanted, resource: str) -> str:
    """The note that was meant, usable points or not: the same one, or the only one with the text in it."""
    notes = list(dict.fromkeys(point.note for point in points if wanted.note in point.note))
    if wanted.note in notes:
        return wanted.note
    if len(notes) > 1:
        raise Refused(
            f"points of {wanted.application}/{resource} have {len(notes)} different notes with {wanted.note!r} in them",
            operation="restore",
            hint=f"say which: {', '.join(repr(note) for note in notes[:_LISTED])}",
        )
    if not notes:
        raise _absent(
            f"no point of {wanted.application}/{resource} has a note with {wanted.note!r} in it",
            wanted,
            [point for point in points if point.note],
        )
    return notes[0]


def _nothing(
    points: Sequence[RecoveryPoint], wanted: Wanted, resource: str, longest: timedelta, now: datetime
) -> RecoveryPoint:
    what = f"no usable point of {wanted.application}/{resource}"
    if wanted.at is not None:
        what += f" as of {to_text(wanted.at)} or before"
    if wanted.note:
        what += f" with the note {wanted.note!r}"
        points = [point for point in points if point.note == wanted.note]
    damaged = [copy for p in points for copy in p.copies if copy.state is CopyState.FAILED]
    if points and damaged and not wanted.unread:
        raise Damaged(f"{what} was found", operation="restore", cause=_listed(points, wanted, longest, now))
    raise _absent(f"{what} was found", wanted, points, _listed(points, wanted, longest, now))


def _absent(message: str, wanted: Wanted, points: Sequence[RecoveryPoint], cause: str = "") -> DrorchError:
    """Unknown is not absent: where a vault could not be read, the point may well exist."""
    if wanted.unread:
        unread = "; ".join(f"vault {vault} could not be read: {why}" for vault, why in sorted(wanted.unread.items()))
        return Unavailable(message, operation="restore", cause="; ".join(filter(None, [cause, unread])))
    there = ", ".join(f"{p.id} ({to_text(p.cut_at)})" for p in points[:_LISTED] if p.cut_at)
    hint = f"there are {there}" if there else f"read: {', '.join(wanted.vaults) or 'no vault'}"
    return NotFound(message, operation="restore", cause=cause, hint=hint)


def _listed(points: Sequence[RecoveryPoint], wanted: Wanted, longest: timedelta, now: datetime) -> str:
    return "; ".join(f"{point.id}: {_why_not(point, wanted, longest, now)}" for point in points[:_LISTED])


def _restorable(point: RecoveryPoint, wanted: Wanted) -> tuple[str, ...]:
    """The readable vaults that a restore of this point could start from."""
    accepted = wanted.accept_unsigned == point.id
    return tuple(
        vault
        for vault in wanted.vaults
        if (copy := point.copy_in(vault))
        and (copy.members and not copy.gone if wanted.native else copy.path)
        and (copy.usable or (accepted and copy.state is CopyState.UNSIGNED))
    )


def _passed_over(point: RecoveryPoint, wanted: Wanted, longest: timedelta, now: datetime) -> str:
    """Why a restorable point is not taken unless it is named; "" when it may be."""
    if wanted.at is not None and point.cut_at is not None and point.cut_at > wanted.at:
        return f"it is newer than {to_text(wanted.at)}"
    if wanted.note and point.note != wanted.note:
        return f"its note is not {wanted.note!r}"
    if ahead := _ahead(point, now):
        return f"{ahead}; --point {point.id} takes it nevertheless"
    # A copy that was shipped later is behind, too: the newest point is taken with a note. But as the state of a given
    # time only a point counts that the store saw in time: whoever stole a key may have back-dated it.
    if wanted.at is not None and (behind := _behind(point, longest)):
        return f"{behind}; --point {point.id} takes it nevertheless"
    return ""


def _ahead(point: RecoveryPoint, now: datetime) -> str:
    seen = min((copy.usable_at for copy in point.copies if copy.usable_at), default=now)
    if point.cut_at is not None and point.cut_at > seen + SKEW:
        return f"its cut_at {to_text(point.cut_at)} lies after the store's own time {to_text(seen)}"
    return ""


def _behind(point: RecoveryPoint, longest: timedelta) -> str:
    seen = min((copy.usable_at for copy in point.copies if copy.usable_at), default=None)
    if point.cut_at is not None and seen is not None and seen - point.cut_at > longest + SKEW:
        return f"its cut_at {to_text(point.cut_at)} lies long before the store's own time {to_text(seen)}"
    return ""


def _suspect(
    point: RecoveryPoint, points: Sequence[RecoveryPoint], wanted: Wanted, longest: timedelta, now: datetime
) -> str:
    """What people must know who restore a point that is not believed to be everything: which is the last that is."""
    good = next(
        (p for p in points if not p.suspect and _restorable(p, wanted) and not _passed_over(p, wanted, longest, now)),
        None,
    )
    if good is None or good.cut_at is None:
        other = "there is no unsuspicious one in these vaults"
    else:
        other = f"the last unsuspicious one is {good.id}, as of {to_text(good.cut_at)}: --point {good.id} takes it"
    return f"point {point.id} is {_marked(point.suspect)}; {other}"


def _marked(why: str) -> str:
    """The reason of a mark, which may begin with the word itself."""
    return why if why.startswith("suspect") else f"suspect: {why}"


def _longest_dump(points: Iterable[RecoveryPoint]) -> timedelta:
    seconds = [value for p in points if isinstance(value := p.facts.get("dump_seconds"), int)]
    return timedelta(seconds=max(seconds, default=0))


# --- newer points --------------------------------------------------------------------------------------------------


def _newer(
    catalogue: Catalogue,
    resource: str,
    points: Sequence[RecoveryPoint],
    cut_at: datetime,
    wanted: Wanted,
    longest: timedelta,
    now: datetime,
) -> tuple[Newer, ...]:
    found = {
        point.id: Newer(point.id, point.cut_at, _why_not(point, wanted, longest, now))
        for point in points
        if point.cut_at is not None and point.cut_at > cut_at
    }
    for point_id, named_cut in _only_named(catalogue, resource):
        if named_cut > cut_at and not any(point.id == point_id for point in points):
            why = "records name it, but its data lie in no vault that could be read"
            found.setdefault(point_id, Newer(point_id, named_cut, why))
    return tuple(sorted(found.values(), key=lambda newer: (newer.cut_at, newer.point), reverse=True))


def _only_named(catalogue: Catalogue, resource: str) -> Iterable[tuple[str, datetime]]:
    """Points that proofs, marks and native records speak of."""
    for record in catalogue.scattered:
        if record.resource == resource:
            compact = record.path.split("/")[5].partition("-")[0]
            yield record.point, from_compact(compact)


def _why_not(point: RecoveryPoint, wanted: Wanted, longest: timedelta, now: datetime) -> str:
    if vaults := _restorable(point, wanted):
        usable = f"it is usable in {', '.join(vaults)}"
        return _passed_over(point, wanted, longest, now) or f"{usable}, but point {wanted.named} was asked for"
    elsewhere = [copy.vault for copy in point.copies if copy.vault not in wanted.vaults and copy.usable]
    if elsewhere:
        return f"its copy in {', '.join(elsewhere)} is not among the vaults to restore from"
    return "; ".join(_of_copy(copy) for copy in point.copies) or "it has no copy"


def _of_copy(copy: Copy) -> str:
    return f"{copy.state} in {copy.vault}" + (f" ({copy.why})" if copy.why else "")


def _load_seconds(drills: Iterable[Drilled], resource: str, vault: str, size: int) -> int | None:
    """Seconds to stream and load `size` bytes as fast as the newest passed drill, of this vault if there is one."""
    usable = [d for d in drills if d.resource == resource and d.passed and d.bytes > 0]
    usable.sort(key=lambda drill: (drill.vault == vault, drill.at), reverse=True)
    if not usable:
        return None
    seconds = sum(usable[0].seconds.get(phase, 0) for phase in ("download", "decrypt", "load"))
    return -(-size * seconds // usable[0].bytes)
