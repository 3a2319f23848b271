"""Which native copies AWS will make whole, and why: what a copy costs in time and money, said before it is begun.

A copy holds only what has changed when an earlier copy of the same source to the same region was completed, the most
recent one is still there, and all are of the same key (EC2 user guide, "Copy an Amazon EBS snapshot": incremental
snapshot copying; RDS user guide, "Copying a DB snapshot"). Aurora copies cluster snapshots whole (Aurora user guide).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from drorch.domain.action import Copy
from drorch.domain.model import Copy as PointCopy
from drorch.domain.model import CopyState, Member, RecoveryPoint, place_of
from drorch.domain.policy import ResourcePolicy, VaultRule

GIB = 1 << 30
_WHOLE = {"rds-cluster": "clusters are copied whole"}
_KEY_ID = re.compile(r"(?:arn:[^:]+:kms:[^:]*:[^:]*:key/)?((?:mrk-)?[0-9a-f-]{32,36})")


def foretold(
    action: Copy,
    points: Sequence[RecoveryPoint],
    point: RecoveryPoint,
    resource: ResourcePolicy,
    rule: VaultRule,
    anchors: set[str],
) -> Copy:
    """The action with what is known of its size: why it will be full, and at most how many GiB that is.

    `points` are the resource's, newest first. Of each source the most recent copy in the vault decides, whatever became
    of it; copies of one source are made one after the other, so `anchors` gathers the sources that earlier actions of
    the same plan copy there.
    """
    source = point.copy_in(action.source)
    whys: dict[str, None] = {}
    size = 0
    for member in source.members if source else ():
        why = _WHOLE.get(resource.kind, "")
        if not why and member.source_id not in anchors:
            why = _why_full(points, member, rule)
        anchors.add(member.source_id)
        if why:
            whys[why] = None
            size += member.bytes
    if not whys:
        return action
    why, gib = "; ".join(whys), -(-size // GIB)
    return replace(action, reason=f"{action.reason}; a full copy of up to {gib} GiB: {why}", full=why, full_gib=gib)


def _why_full(points: Sequence[RecoveryPoint], member: Member, rule: VaultRule) -> str:
    region = place_of(rule.vault)[1]
    last = next(_copies_of(points, member.source_id, rule.vault), None)
    if last is None:
        return f"the first of {member.source_id} in {region}"
    if last.gone or last.expired_at is not None:
        return f"the last copy of {member.source_id} in {region} is gone"
    return _key_changed(last.kms_key, rule.kms_key or "", member.source_id, region)


def _copies_of(points: Sequence[RecoveryPoint], source_id: str, vault: str) -> Iterator[PointCopy]:
    """The vault's copies that hold the source, newest first; what failed never was one."""
    for point in points:
        copy = point.copy_in(vault)
        if copy is not None and (copy.gone or copy.state is not CopyState.FAILED) and _holds(point, copy, source_id):
            yield copy


def _holds(point: RecoveryPoint, copy: PointCopy, source_id: str) -> bool:
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
