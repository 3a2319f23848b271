"""Which native copies AWS will make whole, and why: what a copy costs in time and money, said before it is begun.

A copy holds only what has changed when an earlier copy of the same source to the same region was completed, the most
recent one is still there, and all are of the same key (EC2 user guide, "Copy an Amazon EBS snapshot": incremental
snapshot copying; RDS user guide, "Copying a DB snapshot"). Aurora copies cluster snapshots whole (Aurora user guide).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from drorch.domain.model import Copy, CopyState, Member, RecoveryPoint
from drorch.domain.policy import ResourcePolicy, VaultRule

GIB = 1 << 30
_WHOLE = {"rds-cluster": "clusters are copied whole"}
_KEY_ID = re.compile(r"(?:arn:[^:]+:kms:[^:]*:[^:]*:key/)?((?:mrk-)?[0-9a-f-]{32,36})")


@dataclass(frozen=True, slots=True)
class FullCopy:
    """Why a copy will be full ("" when it is expected to be incremental), and at most how many GiB that is."""

    why: str = ""
    gib: int = 0

    @property
    def words(self) -> str:
        """For the end of a reason; "" when it is not full."""
        return f"; a full copy of up to {self.gib} GiB: {self.why}" if self.why else ""


def full_copy(
    points: Sequence[RecoveryPoint], point: RecoveryPoint, source: Copy, resource: ResourcePolicy, rule: VaultRule
) -> FullCopy:
    """What is known of the copy of `point` (its home copy is `source`) into the vault of `rule`.

    `points` are the resource's, newest first. Of each source the most recent copy there decides, whatever became of it.
    """
    whys: dict[str, None] = {}
    size = 0
    for member in source.members:
        why = _WHOLE.get(resource.kind) or _why_full(points, point, member, rule)
        if why:
            whys[why] = None
            size += member.bytes
    return FullCopy("; ".join(whys), -(-size // GIB))


def _why_full(points: Sequence[RecoveryPoint], point: RecoveryPoint, member: Member, rule: VaultRule) -> str:
    region = rule.vault.partition(".")[2]
    last = next((copy for copy in _copies_of(points, point, member.source_id, rule.vault)), None)
    if last is None:
        return f"the first of {member.source_id} in {region}"
    if last.gone or last.expired_at is not None:
        return f"the last copy of {member.source_id} in {region} is gone"
    if last.state is CopyState.FAILED:
        return f"the last copy of {member.source_id} in {region} failed"
    return _key_changed(last.kms_key, rule.kms_key or "", member.source_id, region)


def _copies_of(points: Sequence[RecoveryPoint], point: RecoveryPoint, source_id: str, vault: str) -> list[Copy]:
    """The copies of other points in the vault that hold the source, as the home's members know it; newest first."""
    found = []
    for other in points:
        copy = other.copy_in(vault)
        if copy is None or other.id == point.id or not _holds(other, copy, source_id):
            continue
        found.append(copy)
    return found


def _holds(point: RecoveryPoint, copy: Copy, source_id: str) -> bool:
    """A copy's members name the snapshots that they were made from; the other copies of the point name the source."""
    own = {member.source_id for member in copy.members}
    if source_id in own:
        return True
    made_from = {m.native_id for other in point.copies for m in other.members if m.source_id == source_id}
    return bool(own & made_from)


def _key_changed(was: str, wanted: str, source_id: str, region: str) -> str:
    """Only what is known: an alias does not tell which key it stands for."""
    if wanted and not was:
        return f"the last copy of {source_id} in {region} is not encrypted, and this one will be"
    before, now = _KEY_ID.fullmatch(was), _KEY_ID.fullmatch(wanted)
    if before and now and before[1] != now[1]:
        return f"the last copy of {source_id} in {region} is of another key"
    return ""
