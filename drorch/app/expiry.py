"""Letting go: the one place that deletes copies. What is deleted here was marked, waited for its grace, was planned,
braked, looked at again on a fresh and complete view, and is deleted under its resource's lock.

A mark `expired` goes into every vault that can be reached before anything is deleted, so that no copy is ever missing
without a signed word. Then the manifest (what commits goes first), its signature, the data; of native copies every
member. What a crash leaves is told by the mark and ended by the next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from drorch.app.failpoint import reach
from drorch.app.native_locks import Locks, standing_locks
from drorch.app.signing import write_somewhere
from drorch.app.written import require_gone
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import Action, Expire, Mark, Sweep
from drorch.domain.catalogue_native import TAG_INTERMEDIATE, TAG_SITE, TAG_SOURCE
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.instant import to_text
from drorch.domain.model import Copy, RecoveryPoint, place_of
from drorch.domain.native import IMAGE, NativeSnapshot
from drorch.domain.record import MarkType, Record, RecordType, compose
from drorch.ports import ObjectStore, SnapshotKind

if TYPE_CHECKING:
    from drorch.app.carry import Scene

_OF_THE_POINT = frozenset({MarkType.SUSPECT.value, MarkType.CLEARED.value})


class ExpiryHands:
    """Marks copies and deletes them, for one site."""

    def __init__(
        self,
        site: str,
        kinds: Mapping[str, SnapshotKind],
        signing: Callable[[], SecretKey],
        store_of: Callable[[str], ObjectStore],
        met_locks: Callable[[str, str, Locks, datetime], None] = lambda _kind, _vault, _found, _now: None,
    ) -> None:
        self._met_locks = met_locks
        self._site = site
        self._kinds = kinds
        self._signing = signing
        self._store_of = store_of

    def mark(self, action: Mark, scene: Scene, now: datetime) -> str:
        """Sign the mark and write it wherever it can be written. Unavailable when that is nowhere."""
        point = _known(scene, action)
        reach("mark.before")
        self._sign(action.mark, action, point.filed_under, point.cut_at, now)
        reach("mark.called")
        where = f" in {action.vault}" if action.vault else ""
        return f"marked as {action.mark}{where}: {action.reason}"

    def expire(self, action: Expire, scene: Scene, now: datetime) -> str:
        """Delete the copy. Refused when a part of it is not provably drorch's, or does not let itself be deleted.

        Of a native copy nothing is deleted, and nothing signed, while a lock stands on any part of it.
        """
        point = scene.catalogue.find(action.point)
        copy = point.copy_in(action.vault) if point is not None else None
        if point is not None and copy is not None and copy.members and not copy.path:
            return self._expire_native(action, scene, point, copy, now)
        left = next(
            (e for e in scene.catalogue.leftovers if e.expired and (e.point, e.vault) == (action.point, action.vault)),
            None,
        )
        if point is not None and point.cut_at is not None and copy is not None and copy.path:
            if copy.expired_at is None:
                reach("expire.before")
                self._sign(MarkType.EXPIRED, action, point.filed_under, point.cut_at, now)
            names, cut_at = point.filed_under, point.cut_at
        elif left is not None:
            names, cut_at = (action.application, action.resource), left.cut_at
            names = next((n for path in left.paths if (n := _names(path)) is not None), names)
        else:
            raise Refused(f"there is nothing of {action.point} left to delete", operation="expire", vault=action.vault)
        reach("expire.marked")
        count = self._delete_dump(self._store_of(action.vault), names, cut_at, action.point)
        reach("expire.called")
        return f"{count} objects deleted from {action.vault}: {action.reason}"

    # --- dumps ---

    def _delete_dump(self, store: ObjectStore, names: tuple[str, str], cut_at: datetime, point: str) -> int:
        manifest = layout.manifest_path(*names, cut_at, point)
        folder = layout.data_folder(*names, cut_at, point)
        count = 0
        for path in (manifest, manifest + layout.SIGNATURE):  # as long as that is there, the manifest is known as ours
            store.delete(path)
            reach("expire.manifest-deleted")
            require_gone(store, path, "expire")
            count += 1
        for found in sorted({info.path for info in store.history(folder)}):
            store.delete(found)
            reach("expire.data-deleted")
            count += 1
        left = [info.path for info in store.list(folder)]
        if left:
            raise Unavailable(
                f"{len(left)} objects are still there after they were deleted",
                operation="expire",
                vault=store.vault,
                resource=folder,
                hint="the next pass deletes them again",
            )
        return count

    # --- native copies ---

    def _expire_native(self, action: Expire, scene: Scene, point: RecoveryPoint, copy: Copy, now: datetime) -> str:
        kind = self._kinds[scene.resource.kind]
        account, region = place_of(action.vault)
        there = kind.find(account, region, point.id)
        ours = {member.native_id for member in copy.members} & _ids(there)
        strange = sorted(m for m in ours if not _provably_ours(m, copy, point, scene))
        if strange:
            raise Refused(
                f"{', '.join(strange)} bear the point's tags, and no signed record lists them",
                operation="expire",
                resource=action.resource,
                vault=action.vault,
                hint="they are held until a record lists them; look at who may write tags",
            )
        locked = standing_locks(kind, account, region, sorted(ours))
        if locked:  # of a set whose one member cannot go the others stay, too
            self._met_locks(kind.kind, action.vault, locked, now)
            ends = to_text(max(lock.until for lock in locked.values()))
            return f"held, nothing deleted: {', '.join(sorted(locked))} locked until {ends}"
        if copy.expired_at is None:
            reach("expire.before")
            self._sign(MarkType.EXPIRED, action, point.filed_under, point.cut_at, now)
        reach("expire.marked")
        images = {member.native_id for member in copy.members if member.role == IMAGE} & ours
        parts = {member.native_id for member in copy.members if member.image}
        self._delete_members(kind, account, region, sorted(ours - parts), sorted(ours & parts))
        left = sorted(ours & _ids(kind.find(account, region, point.id)))
        if left:
            raise Unavailable(
                f"{', '.join(left)} still show after they were deleted",
                operation="expire",
                vault=action.vault,
                hint="the next pass looks again",
            )
        reach("expire.called")
        what = f"{len(images)} image(s) and {len(ours - images)} snapshots" if images else f"{len(ours)} snapshots"
        return f"{what} deleted from {action.vault}: {action.reason}"

    def let_step_go(self, action: Sweep, scene: Scene) -> str:
        """Delete intermediate copies, each by what a look at this moment shows of it. Refused for anything else."""
        kind = self._kinds[scene.resource.kind]
        account, region = place_of(action.vault)
        point = _known(scene, action)
        listed = {native_id for copy in point.copies for native_id in copy.listed}
        there = [s for s in kind.find(account, region, action.point) if s.native_id in action.paths]
        strange = [s.native_id for s in there if s.native_id in listed or not _is_step(s, self._site)]
        if strange:
            raise Refused(
                f"{', '.join(strange)} is no intermediate copy of this site, or is listed by a signed record",
                operation="sweep",
                resource=action.resource,
                vault=action.vault,
                hint="it is held; look at who may write tags",
            )
        reach("sweep.before")
        for snapshot in there:
            kind.expire(account, region, snapshot.native_id)
            reach("sweep.deleted")
        reach("sweep.called")
        return f"{len(there)} intermediate copies deleted from {action.vault}: {action.reason}"

    def _delete_members(
        self, kind: SnapshotKind, account: str, region: str, whole: Sequence[str], parts: Sequence[str]
    ) -> None:
        """Images before their `parts`, which cannot go while one uses them.

        A part that another image uses stays, and is told at the end: those beside it are of no use without their image.
        """
        for native_id in whole:
            kind.expire(account, region, native_id)
            reach("expire.member-deleted")
        kept: list[Refused] = []
        for native_id in parts:
            try:
                kind.expire(account, region, native_id)
            except Refused as error:
                kept.append(error)
            reach("expire.member-deleted")
        if kept:
            raise kept[0]

    def _sign(
        self, mark: str, action: Mark | Expire, names: tuple[str, str], cut_at: datetime | None, now: datetime
    ) -> Record:
        record = compose(
            RecordType.MARK,
            site=self._site,
            at=now,
            application=names[0],
            resource=names[1],
            point=action.point,
            cut_at=cut_at,
            mark=str(mark),
            vault=None if mark in _OF_THE_POINT else action.vault,
            reason=action.reason,
        )
        write_somewhere(record, self._signing(), action.into, self._store_of)
        return record


def _is_step(snapshot: NativeSnapshot, site: str) -> bool:
    tags = snapshot.tags
    return tags.get(TAG_SITE) == site and bool(tags.get(TAG_SOURCE)) and bool(tags.get(TAG_INTERMEDIATE))


def _known(scene: Scene, action: Action) -> RecoveryPoint:
    point = scene.catalogue.find(action.point)
    if point is None or point.cut_at is None:
        raise Refused(f"point {action.point} is not known any more", operation=action.name, resource=action.resource)
    return point


def _names(path: str) -> tuple[str, str] | None:
    named = layout.of_data(path)
    return None if named is None else (named[0], named[1])


def _ids(found: Sequence[NativeSnapshot]) -> set[str]:
    """The objects and the snapshots that images among them are made of."""
    return {native_id for s in found for native_id in (s.native_id, *(part.native_id for part in s.parts))}


def _provably_ours(native_id: str, copy: Copy, point: RecoveryPoint, scene: Scene) -> bool:
    """A signed record lists it; or, where no record speaks of this copy yet, its id verifies (else it were no member)
    and its source is the resource's: a source that is selected now, or, for a copy, a member that a record lists. The
    snapshots of an image are judged by its source.
    """
    if copy.listed:
        return native_id in copy.listed
    image = next((m.image for m in copy.members if m.native_id == native_id), "")
    source = next((m.source_id for m in copy.members if m.native_id == (image or native_id)), "")
    selected = {s.source_id for s in scene.sources}
    listed = {listed for other in point.copies for listed in other.listed}
    return bool(source) and source in selected | listed
