"""EBS Snapshot Lock: moto has none of its three calls, and deletes whatever it is told to.

Written from the API model and pages of LockSnapshot, UnlockSnapshot and DescribeLockedSnapshots, and
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html. The codes of what is refused are nowhere
documented: OperationNotPermitted, of EC2's common ones, stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, InvalidParameterCombination
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from drorch.demo.repairs.ec2 import in_pages
from drorch.demo.repairs.replacing import around, instead_of

COMPLIANCE, GOVERNANCE, COOLING, EXPIRED = "compliance", "governance", "compliance-cooloff", "expired"
_MOST_DAYS, _MOST_HOURS = 36_500, 72

ahead = timedelta()
"""How much later it is for locks than the system's clock says: a test turns it."""

_snapshot: Any = Snapshot
_snapshot.lock = None


@dataclass(slots=True)
class Lock:
    """The lock of one snapshot. A length counts from when the snapshot is completed; `starts` is None before."""

    mode: str
    created: datetime
    starts: datetime | None
    until: datetime | None
    days: int = 0
    cools_until: datetime | None = None
    cool_hours: int = 0

    def settle(self, snapshot: Any) -> None:
        """Its length begins when the snapshot is completed."""
        if self.starts is None and snapshot.status == "completed":
            self.starts = present()
            self.until = self.until or self.starts + timedelta(days=self.days)

    def state(self) -> str:
        """One of the four that the service tells."""
        if self.until is not None and self.until <= present():
            return EXPIRED
        cooling = self.cools_until is not None and present() < self.cools_until
        return COOLING if cooling else self.mode


def present() -> datetime:
    """Now, for locks."""
    return utcnow().replace(tzinfo=UTC) + ahead


@instead_of(ElasticBlockStore, "lock_snapshot")
def _lock_snapshot(self: Any) -> ActionResult:
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    asked = _asked(self, snapshot)
    self.error_on_dryrun()
    before = snapshot.lock
    if before is not None:
        before.settle(snapshot)
        if before.state() == COMPLIANCE:
            _require_longer(before, asked, snapshot)
            asked.created = before.created
    snapshot.lock = asked
    return ActionResult(_told(snapshot))


@instead_of(ElasticBlockStore, "unlock_snapshot")
def _unlock_snapshot(self: Any) -> ActionResult:
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    self.error_on_dryrun()
    if snapshot.lock is None:
        raise EC2ClientError("IncorrectState", f"The snapshot {snapshot.id} is not locked")
    if snapshot.lock.state() == COMPLIANCE:
        raise _not_permitted(snapshot, "is locked in compliance mode and cannot be unlocked")
    snapshot.lock = None
    return ActionResult({"SnapshotId": snapshot.id})


@instead_of(ElasticBlockStore, "describe_locked_snapshots")
def _describe_locked_snapshots(self: Any) -> ActionResult:
    """Of the account's own snapshots those that have or had a lock."""
    self.error_on_dryrun()
    ids, backend = self._get_param("SnapshotIds", []), self.ec2_backend
    chosen = [backend.get_snapshot(name) for name in ids] if ids else list(backend.snapshots.values())
    locked = [_told(snapshot) for snapshot in sorted(chosen, key=lambda s: str(s.id)) if snapshot.lock is not None]
    for item in self._get_param("Filters", []):
        if item["Name"] != "lock-state":
            raise EC2ClientError("InvalidParameterValue", f"The filter '{item['Name']}' is invalid")
        locked = [entry for entry in locked if entry["LockState"] in item["Values"]]
    reply: Any = in_pages(self, "Locks", locked, by_id=bool(ids)).result
    return ActionResult({"Snapshots": reply["Locks"], "NextToken": reply["NextToken"]})


@around(EBSBackend, "delete_snapshot")
def _delete_snapshot(original: Any, self: Any, snapshot_id: str) -> Any:
    snapshot = self.get_snapshot(snapshot_id)
    if snapshot.lock is not None:
        snapshot.lock.settle(snapshot)
        if snapshot.lock.state() != EXPIRED:
            raise _not_permitted(snapshot, "is locked and cannot be deleted")
    return original(self, snapshot_id)


def _asked(response: Any, snapshot: Any) -> Lock:
    """The lock that a request asks for."""
    mode, days, until, hours = (
        response._get_param(name) for name in ("LockMode", "LockDuration", "ExpirationDate", "CoolOffPeriod")
    )
    if mode not in (COMPLIANCE, GOVERNANCE):
        raise EC2ClientError("InvalidParameterValue", f"Invalid value '{mode}' for LockMode")
    if (days is None) == (until is None):
        raise InvalidParameterCombination("Specify either LockDuration or ExpirationDate")
    if hours is not None and (mode == GOVERNANCE or not 1 <= int(hours) <= _MOST_HOURS):
        raise EC2ClientError("InvalidParameterValue", "CoolOffPeriod is 1 to 72 hours, of compliance mode")
    now = present()
    end = None if until is None else _instant(until)
    if not (1 <= int(days) <= _MOST_DAYS if end is None else now < end <= now + timedelta(days=_MOST_DAYS)):
        raise EC2ClientError("InvalidParameterValue", "The lock ends too soon or too late")
    lock = Lock(mode, now, None, end, int(days or 0))
    if hours is not None:
        lock.cool_hours, lock.cools_until = int(hours), now + timedelta(hours=int(hours))
    lock.settle(snapshot)
    return lock


def _require_longer(before: Lock, asked: Lock, snapshot: Any) -> None:
    """After the cooling-off period a lock in compliance mode becomes longer, and nothing else."""
    if asked.cool_hours:
        raise EC2ClientError("InvalidParameterCombination", "The cooling-off period of the lock is over")
    later = asked.until is not None and before.until is not None and before.until < asked.until
    if asked.mode != COMPLIANCE or not later:
        raise _not_permitted(snapshot, "is locked in compliance mode: its lock can only be extended")


def _told(snapshot: Any) -> dict[str, Any]:
    """As a listing and the reply of LockSnapshot show it."""
    lock = snapshot.lock
    lock.settle(snapshot)
    entry = {
        "OwnerId": snapshot.owner_id,
        "SnapshotId": snapshot.id,
        "LockState": lock.state(),
        "LockDuration": lock.days or (lock.until - (lock.starts or lock.created)).days,
        "CoolOffPeriod": lock.cool_hours or None,
        "CoolOffPeriodExpiresOn": lock.cools_until,
        "LockCreatedOn": lock.created,
        "LockDurationStartTime": lock.starts,
        "LockExpiresOn": lock.until if lock.starts is not None else None,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _instant(given: Any) -> datetime:
    when = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _not_permitted(snapshot: Any, what: str) -> EC2ClientError:
    return EC2ClientError("OperationNotPermitted", f"The snapshot {snapshot.id} {what}")
