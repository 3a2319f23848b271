"""EBS Snapshot Lock: what locks a snapshot, how its lock is read back, and how a deletion that a lock refused says so.

A locked snapshot can be deleted by nobody (https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html).
Nothing here takes a lock off or makes one shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drorch.aws import mapped
from drorch.domain.errors import DrorchError, NotFound, Refused, Unavailable
from drorch.domain.instant import floor_second, to_text
from drorch.domain.model import LockMode, ObjectLock, native_vault_name
from drorch.kinds import legible

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

LOOKING = ("ec2:DescribeLockedSnapshots",)
LOCKING = ("ec2:LockSnapshot",)
PERMISSIONS = (*LOOKING, *LOCKING)

LOCKS_PER_PAGE = 1000
"""The most of one page (EC2 API, DescribeLockedSnapshots, MaxResults)."""
UNTOLD = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of a lock that does not tell it: later than any other."""
_LISTING = "ec2 DescribeLockedSnapshots"


def locks_there(
    accounts: AwsAccounts, account: str, region: str, native_ids: Sequence[str] = ()
) -> Mapping[str, ObjectLock]:
    """Snapshot id -> its lock, of all that have or had one there, or of `native_ids` alone.

    Within a cooling-off period whoever may unlock can take a lock in compliance mode off: it is told as governance.
    """
    client, vault = accounts.client("ec2", account, region), native_vault_name(account, region)
    found: dict[str, ObjectLock] = {}
    # Ids come without pages, as those of DescribeSnapshots; the SDK knows no paginator of this listing.
    request: dict[str, Any] = {"SnapshotIds": list(native_ids)} if native_ids else {"MaxResults": LOCKS_PER_PAGE}
    token: str | None = ""
    while token is not None:
        with mapped(_LISTING, vault=vault):
            reply = client.describe_locked_snapshots(**request, **({"NextToken": token} if token else {}))
        with legible(_LISTING, vault):
            found |= {entry["SnapshotId"]: _lock(entry) for entry in reply["Snapshots"]}
        following = reply.get("NextToken") or None
        if following is not None and following == token:
            raise Unavailable("a listing goes on where it has been", operation=_LISTING, vault=vault)
        token = following
    return found


def lock_snapshot(
    accounts: AwsAccounts, account: str, region: str, native_id: str, mode: LockMode, until: datetime
) -> None:
    """LockSnapshot until `until`, without a cooling-off period; a date, no length: a repetition adds nothing."""
    client = accounts.client("ec2", account, region)
    vault = native_vault_name(account, region)
    with mapped("ec2 LockSnapshot", resource=native_id, vault=vault, mutates=True):
        client.lock_snapshot(SnapshotId=native_id, LockMode=mode.value, ExpirationDate=until)


@contextmanager
def told_if_locked(accounts: AwsAccounts, account: str, region: str, native_id: str) -> Iterator[None]:
    """Around a deletion: when it is refused, a lock that stands is named. AWS documents no code for that refusal."""
    try:
        yield
    except NotFound:
        raise
    except Refused as error:
        lock: ObjectLock | None = None
        with suppress(DrorchError):
            lock = locks_there(accounts, account, region, [native_id]).get(native_id)
            lock = lock if lock is not None and accounts.now(account, region) < lock.until else None
        if lock is None:
            raise
        raise Refused(
            f"the snapshot is locked ({lock.mode})",
            operation=error.operation,
            resource=native_id,
            vault=error.vault,
            cause=f"until {to_text(lock.until)}; AWS says: {error.cause}",
            hint="it can go when the lock has ended",
        ) from error


def _lock(entry: Mapping[str, Any]) -> ObjectLock:
    """The lock of a snapshot that was locked while it was pending does not tell its end before that is completed."""
    until = entry.get("LockExpiresOn")
    if until is None:
        return ObjectLock(LockMode.GOVERNANCE, UNTOLD)
    mode = LockMode.COMPLIANCE if entry["LockState"] == "compliance" else LockMode.GOVERNANCE
    return ObjectLock(mode, floor_second(until))
