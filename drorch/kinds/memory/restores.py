"""Bringing back in a cloud in memory (RestoresSnapshots): one thing for each snapshot, or image, of the copy."""

from __future__ import annotations

from dataclasses import replace

from drorch.domain.errors import NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import CREATING, READY, TAG_DRILL, Made, NativeRestore, RestorePart, RestoreProgress
from drorch.kinds.memory.cloud import MemoryCloud, Place, Restored

_WHAT = {"ebs": "volume", "ami": "instance", "rds-instance": "database instance", "rds-cluster": "cluster"}


class MemoryRestores:
    """What is made is `creating` for as many looks as the cloud's snapshots are pending, then `ready`.

    A kind whose names are the key takes `options.name`, by default the recorded source's: Refused when something else
    of that name is there (`MemoryCloud.restored_things` shows what is).
    """

    cloud: MemoryCloud
    kind: str
    service: str
    _named: bool

    def check_restore(self, order: NativeRestore) -> tuple[str, ...]:
        """NotFound when a snapshot is gone; Refused for a name that is taken."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.account, order.region, "check_restore")
            self._require(place, order)
        return ()

    def advance(self, order: NativeRestore) -> RestoreProgress:
        """Make the next thing that is missing; one that is made moves on with every look."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, order.account, order.region, "advance")
            own = [r for r in place.restored if r.tags.get(order.tag) == order.id]
            for restored in own:
                self._look(restored)
            there = {restored.part for restored in own}
            missing = next((p for p in _wanted(order) if p.native_id not in there), None)
            if missing is not None:
                self._require(place, order)
                own.append(self._bring(place, order, missing))
            made = tuple(restored.made for restored in own)
        done = len(made) == len(_wanted(order)) and all(m.state == READY for m in made)
        return RestoreProgress(made, done)

    def made(self, account: str, region: str, tag: str, restore: str = "") -> tuple[tuple[str, Made], ...]:
        """All that bears the tag there."""
        with self.cloud.lock:
            place = self.cloud.reach(self.service, account, region, "made")
            found = [(r.tags[tag], r.made) for r in place.restored if tag in r.tags]
        return tuple((told, made) for told, made in found if restore in ("", told))

    def discard(self, account: str, region: str, tag: str, restore: str) -> tuple[Made, ...]:
        """Delete what bears the tag of a drill. Refused for any other."""
        if tag != TAG_DRILL:
            raise Refused("only what a drill made is discarded", operation="discard", resource=restore)
        with self.cloud.lock:
            place = self.cloud.reach(self.service, account, region, "discard")
            place.restored = [r for r in place.restored if r.tags.get(tag) != restore]
        return ()

    def _require(self, place: Place, order: NativeRestore) -> None:
        vault = native_vault_name(order.account, order.region)
        for part in _wanted(order):
            if part.native_id not in place.held:
                raise NotFound("the snapshot is gone", operation="restore", resource=part.native_id, vault=vault)
            name = self._restored_name(order, part)
            taken = [r for r in place.restored if r.made.native_id == name and r.tags.get(order.tag) != order.id]
            if self._named and (taken or name in place.sources):
                hint = "give it another name (name:), or remove what is there"
                raise Refused("the name is taken", operation="restore", resource=name, vault=vault, hint=hint)

    def _bring(self, place: Place, order: NativeRestore, part: RestorePart) -> Restored:
        made = Made(
            _WHAT.get(self.kind, "volume"), self._restored_name(order, part), CREATING, source_id=part.source_id
        )
        restored = Restored(made, dict(order.tags), part.native_id)
        place.restored.append(restored)
        return restored

    def _restored_name(self, order: NativeRestore, part: RestorePart) -> str:
        if self._named:
            return str(getattr(order.options, "name", "") or part.source_id)
        return f"made-of-{part.native_id}" + (f"-{order.id.rpartition('/')[2]}" if order.id.count("/") > 2 else "")

    def _look(self, restored: Restored) -> None:
        restored.looks += 1
        if self.cloud.pending_for is not None and restored.looks > self.cloud.pending_for:
            endpoint = f"{restored.made.native_id}.memory:5432" if self._named else ""
            restored.made = replace(restored.made, state=READY, endpoint=endpoint)


def _wanted(order: NativeRestore) -> tuple[RestorePart, ...]:
    """Each snapshot or image; the snapshots of an image come with it."""
    return tuple(part for part in order.parts if not part.image)
