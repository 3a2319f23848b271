"""Carrying out one light action: a call or two at a provider or a vault, never a dump's bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drorch.app.expiry import ExpiryHands
from drorch.app.failpoint import reach
from drorch.app.locking import RememberLock, lock_copy
from drorch.app.native import NativeHands
from drorch.app.native_locks import lock_native
from drorch.app.observe import World
from drorch.app.reading import TrustedKey
from drorch.app.signing import replicate, write_somewhere
from drorch.app.sweep import sweep
from drorch.crypto.minisign import SecretKey
from drorch.domain.action import (
    INTERMEDIATE,
    Action,
    Copy,
    Cut,
    Expire,
    Lock,
    Mark,
    Replicate,
    Sweep,
    Unshare,
    WriteHead,
    WriteRecord,
    WriteRunbook,
)
from drorch.domain.catalogue import Catalogue
from drorch.domain.errors import DrorchError, Refused
from drorch.domain.head import head_content
from drorch.domain.instant import to_text
from drorch.domain.model import Member, RecoveryPoint
from drorch.domain.native import NativeSnapshot, Source
from drorch.domain.policy import Policy, ResourcePolicy
from drorch.domain.record import RecordType, compose
from drorch.domain.runbook_record import runbook_content
from drorch.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Scene:
    """What the planner saw when it decided: enough to carry an action out."""

    resource: ResourcePolicy
    catalogue: Catalogue
    world: World
    sources: tuple[Source, ...]
    note: str = ""
    policy: Policy | None = None
    """Of the application, where an action concerns the whole of it."""


class LightHands:
    """Cuts and copies native points, unshares, writes and replicates records, marks, locks, lets go and sweeps."""

    def __init__(
        self,
        *,
        site: str,
        native: NativeHands,
        signing: Callable[[], SecretKey],
        trusted: Sequence[TrustedKey],
        store_of: Callable[[str], ObjectStore],
        expiry: ExpiryHands,
        host: str = "",
        remember_lock: RememberLock = lambda *_: None,
        provenance: Callable[[str], Mapping[str, str]] = lambda _application: {},
        farewell: Callable[[Sweep, datetime], None] = lambda _action, _now: None,
    ) -> None:
        """`provenance` says the digest and the git commit of an application's policy; `farewell` hears of every sweep
        of records before it begins, and keeps it from beginning by what it raises.
        """
        self._site = site
        self._native = native
        self._expiry = expiry
        self._host = host
        self._provenance = provenance
        self._farewell = farewell
        self._remember_lock = remember_lock
        self._signing = signing
        self._trusted = tuple(trusted)
        self._store_of = store_of

    def carry_out(self, action: Action, scene: Scene, now: datetime) -> str:
        """Do it; words for the closing line. Raises the three kinds of errors."""
        if isinstance(action, Cut):
            return self._native.cut(action, scene.resource.kind, scene.sources, now)
        if isinstance(action, Copy):
            return self._copy(action, scene, now)
        if isinstance(action, Unshare):
            return self._native.unshare(action, scene.resource.kind)
        if isinstance(action, WriteRecord):
            return self._record(action, scene, now)
        if isinstance(action, Replicate):
            reach("replicate.before")
            replicate(self._store_of(action.source), self._store_of(action.vault), action.path, self._trusted)
            reach("replicate.called")
            return f"{action.path} written into {action.vault}"
        if isinstance(action, Mark):
            return self._expiry.mark(action, scene, now)
        if isinstance(action, Expire):
            return self._expiry.expire(action, scene, now)
        if isinstance(action, Sweep):
            if action.what == INTERMEDIATE:
                return self._expiry.let_step_go(action, scene)
            if action.what == "records":
                self._farewell(action, now)
            return sweep(action, self._store_of)
        if isinstance(action, Lock):
            return self._lock(action, scene, now)
        if isinstance(action, WriteHead):
            return self._head(action, scene, now)
        if isinstance(action, WriteRunbook):
            return self._runbook(action, scene, now)
        raise TypeError(f"{action.name} is not a light action")

    def _lock(self, action: Lock, scene: Scene, now: datetime) -> str:
        point = _point(scene.catalogue, action)
        if not scene.resource.native:
            return lock_copy(action, point, self._store_of(action.vault), self._remember_lock)
        rule = next((r.lock for r in scene.resource.targets if r.vault == action.vault), None)
        copy = point.copy_in(action.vault)
        if rule is None or copy is None:
            raise Refused("the copy to be locked is not there any more", operation="lock", vault=action.vault)
        return lock_native(action, copy, rule, self._native.kind(scene.resource.kind), now)

    def _head(self, action: WriteHead, scene: Scene, now: datetime) -> str:
        before = scene.catalogue.head
        live, lost = head_content(scene.catalogue, scene.world.unread, now)
        record = compose(
            RecordType.HEAD,
            site=self._site,
            at=now,
            application=action.application,
            seq=action.seq,
            previous=before.digest if before is not None else None,
            host=self._host,
            live=live,
            lost=lost,
        )
        reach("head.before")
        missed = write_somewhere(record, self._signing(), action.into, self._store_of)
        reach("head.called")
        return f"head {action.seq} written into {', '.join(sorted(set(action.into) - set(missed)))}"

    def _runbook(self, action: WriteRunbook, scene: Scene, now: datetime) -> str:
        if scene.policy is None:
            raise Refused("the policy is not known any more", operation="runbook", resource=action.application)
        record = compose(
            RecordType.RUNBOOK,
            site=self._site,
            at=now,
            application=action.application,
            policy=dict(self._provenance(action.application)) or None,
            **runbook_content(scene.policy),
        )
        reach("runbook.before")
        missed = write_somewhere(record, self._signing(), action.into, self._store_of)
        reach("runbook.called")
        return f"runbook written into {', '.join(sorted(set(action.into) - set(missed)))}"

    def _copy(self, action: Copy, scene: Scene, now: datetime) -> str:
        point = _point(scene.catalogue, action)
        source = point.copy_in(action.source)
        own = [m.native_id for m in source.members if not m.image] if source else []  # parts go with their image
        wanted = list(action.through) or own
        found = (scene.world.snapshot(action.source, native_id) for native_id in wanted)
        members = [snapshot for snapshot in found if snapshot is not None]
        if source is None or len(members) != len(wanted):
            raise Refused("the source of the copy is not there any more", operation="copy", vault=action.source)
        views = scene.world.natives_of(action.application)
        listed = [s for view in views if view.vault.name == action.vault for s in view.snapshots]
        return self._native.copy(action, scene.resource.kind, members, listed, now)

    def _record(self, action: WriteRecord, scene: Scene, now: datetime) -> str:
        point = _point(scene.catalogue, action)
        copy = point.copy_in(action.vault)
        if copy is None or point.cut_at is None:
            raise Refused("the copy to be recorded is not there any more", operation="record", vault=action.vault)
        snapshots = {m.native_id: scene.world.snapshot(action.vault, m.image or m.native_id) for m in copy.members}
        keys = sorted({s.kms_key for s in snapshots.values() if s is not None and s.kms_key})
        record = compose(
            RecordType.NATIVE,
            site=self._site,
            at=now,
            application=point.filed_under[0],
            resource=point.filed_under[1],
            point=point.id,
            cut_at=point.cut_at,
            vault=action.vault,
            kind=scene.resource.kind,
            slot=point.slot,
            note=point.note or scene.note or None,
            members=[_member(m, snapshots[m.native_id], scene) for m in copy.members],
            kms_keys=keys or None,
            usable_at=to_text(now),
        )
        reach("record.before")
        lost: dict[str, DrorchError] = write_somewhere(record, self._signing(), action.into, self._store_of)
        reach("record.called")
        missed = f", not into {', '.join(sorted(lost))}" if lost else ""
        return f"recorded in {', '.join(sorted(set(action.into) - set(lost)))}{missed}"


def _member(member: Member, snapshot: NativeSnapshot | None, scene: Scene) -> dict[str, object]:
    """As the record carries it: with the source's settings as they are now, as far as they were seen."""
    if member.image:
        return _part(member, snapshot)
    origin = _origin(member, snapshot, scene)
    source = next((s for s in scene.sources if s.source_id == origin), None)
    return {
        "native_id": member.native_id,
        "role": member.role,
        "source_id": member.source_id,
        "bytes": member.bytes,
        "device": source.device if source else member.device,
        "instance": source.instance if source else member.instance,
        "identity": source.identity if source else "",
        "settings": dict(source.settings) if source else {},
        "encrypted": snapshot.encrypted if snapshot else False,
    }


def _part(member: Member, image: NativeSnapshot | None) -> dict[str, object]:
    """A snapshot of an image: what a restore needs to know of its source stands beside the image."""
    return {
        "native_id": member.native_id,
        "role": member.role,
        "image": member.image,
        "source_id": member.source_id,
        "bytes": member.bytes,
        "device": member.device,
        "encrypted": any(part.encrypted for part in image.parts if part.native_id == member.native_id)
        if image
        else False,
    }


def _origin(member: Member, snapshot: NativeSnapshot | None, scene: Scene) -> str:
    """The volume or instance behind a member: for a copy, that of the snapshot it was made from."""
    if snapshot is None or member.source_id == snapshot.source_id:
        return member.source_id
    made_from = (scene.world.snapshot(view.vault.name, member.source_id) for view in scene.world.natives)
    return next((s.source_id for s in made_from if s is not None), member.source_id)


def _point(catalogue: Catalogue, action: Action) -> RecoveryPoint:
    point = catalogue.find(action.point)
    if point is None:
        raise Refused(f"point {action.point} is not known any more", operation=action.name, resource=action.resource)
    return point
