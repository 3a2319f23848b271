"""Snapshot Lock on the embedded AWS, through boto3: its states, what may be changed in each, and what cannot go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import client, volume

from drorch.demo.aws import ACCOUNT, EmbeddedAws

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def made(aws: EmbeddedAws) -> str:
    return str(client(aws, "ec2").create_snapshot(VolumeId=volume(aws))["SnapshotId"])


def lock(aws: EmbeddedAws, snapshot: str, mode: str = "compliance", **how: Any) -> dict[str, Any]:
    given = how or {"LockDuration": 2}
    reply: dict[str, Any] = client(aws, "ec2").lock_snapshot(SnapshotId=snapshot, LockMode=mode, **given)
    return reply


def locked(aws: EmbeddedAws, **how: Any) -> dict[str, dict[str, Any]]:
    found = client(aws, "ec2").describe_locked_snapshots(**how)["Snapshots"]
    return {entry["SnapshotId"]: entry for entry in found}


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def deletion(aws: EmbeddedAws, snapshot: str) -> Callable[[], Any]:
    return lambda: client(aws, "ec2").delete_snapshot(SnapshotId=snapshot)


@pytest.mark.parametrize("mode", ["compliance", "governance"])
def test_a_locked_snapshot_stays_until_its_lock_ends_and_can_go_then(aws: EmbeddedAws, mode: str) -> None:
    snapshot = made(aws)
    told = lock(aws, snapshot, mode)
    assert (told["SnapshotId"], told["LockState"], told["LockDuration"]) == (snapshot, mode, 2)
    assert timedelta() <= told["LockExpiresOn"] - datetime.now(UTC) <= 2 * DAY
    assert refused(deletion(aws, snapshot)) == "OperationNotPermitted"
    aws.turn_lock_clock(2 * DAY - HOUR)
    assert refused(deletion(aws, snapshot)) == "OperationNotPermitted"
    aws.turn_lock_clock(HOUR)
    assert locked(aws)[snapshot]["LockState"] == "expired"
    deletion(aws, snapshot)()
    assert locked(aws) == {}


def test_what_never_was_locked_is_not_listed_and_can_go(aws: EmbeddedAws) -> None:
    snapshot, other = made(aws), made(aws)
    lock(aws, other)
    assert list(locked(aws)) == [other]
    assert locked(aws, SnapshotIds=[snapshot]) == {}
    assert locked(aws, SnapshotIds=[other])[other]["OwnerId"] == ACCOUNT
    deletion(aws, snapshot)()


def test_governance_mode_can_be_taken_off_shortened_and_made_compliance(aws: EmbeddedAws) -> None:
    snapshot, ec2 = made(aws), client(aws, "ec2")
    lock(aws, snapshot, "governance", LockDuration=9)
    assert lock(aws, snapshot, "governance", LockDuration=1)["LockDuration"] == 1
    ec2.unlock_snapshot(SnapshotId=snapshot)
    assert locked(aws) == {}
    assert refused(lambda: ec2.unlock_snapshot(SnapshotId=snapshot)) == "IncorrectState"
    lock(aws, snapshot, "governance")
    assert lock(aws, snapshot)["LockState"] == "compliance"


def test_compliance_mode_becomes_longer_and_nothing_else(aws: EmbeddedAws) -> None:
    snapshot, ec2 = made(aws), client(aws, "ec2")
    end = lock(aws, snapshot, LockDuration=5)["LockExpiresOn"]
    refusals = [
        lambda: ec2.unlock_snapshot(SnapshotId=snapshot),
        lambda: lock(aws, snapshot, "governance", LockDuration=9),
        lambda: lock(aws, snapshot, LockDuration=4),
        lambda: lock(aws, snapshot, ExpirationDate=end),
    ]
    assert [refused(call) for call in refusals] == ["OperationNotPermitted"] * 4
    assert refused(lambda: lock(aws, snapshot, LockDuration=9, CoolOffPeriod=1)) == "InvalidParameterCombination"
    assert locked(aws)[snapshot]["LockExpiresOn"] == end
    later = (end + DAY).replace(microsecond=0)
    lock(aws, snapshot, ExpirationDate=later)
    assert locked(aws)[snapshot]["LockExpiresOn"] == later


def test_within_its_cooling_off_period_a_lock_can_be_taken_off_and_still_holds(aws: EmbeddedAws) -> None:
    snapshot, other, ec2 = made(aws), made(aws), client(aws, "ec2")
    for name in (snapshot, other):
        told = lock(aws, name, LockDuration=5, CoolOffPeriod=2)
        assert (told["LockState"], told["CoolOffPeriod"]) == ("compliance-cooloff", 2)
    assert told["CoolOffPeriodExpiresOn"] - told["LockCreatedOn"] == 2 * HOUR
    assert refused(deletion(aws, snapshot)) == "OperationNotPermitted"
    ec2.unlock_snapshot(SnapshotId=other)
    aws.turn_lock_clock(2 * HOUR)
    assert locked(aws)[snapshot]["LockState"] == "compliance"
    assert refused(lambda: ec2.unlock_snapshot(SnapshotId=snapshot)) == "OperationNotPermitted"


def test_the_length_of_a_lock_on_a_pending_snapshot_begins_when_that_is_completed(aws: EmbeddedAws) -> None:
    aws.set_snapshot_transition("held")
    snapshot = made(aws)
    assert "LockExpiresOn" not in lock(aws, snapshot)
    assert refused(deletion(aws, snapshot)) == "OperationNotPermitted"
    aws.turn_lock_clock(5 * DAY)
    aws.finish_snapshots()
    told = locked(aws)[snapshot]
    assert told["LockExpiresOn"] - told["LockDurationStartTime"] == 2 * DAY
    assert told["LockState"] == "compliance"


@pytest.mark.parametrize(
    "how",
    [
        {"LockDuration": 2, "ExpirationDate": datetime(2140, 1, 1, tzinfo=UTC)},
        {"ExpirationDate": datetime(2140, 1, 1, tzinfo=UTC)},
        {"LockDuration": 36_501},
        {"LockDuration": 1, "ExpirationDate": datetime(2040, 1, 1, tzinfo=UTC)},
        {"ExpirationDate": datetime(2020, 1, 1, tzinfo=UTC)},
        {"LockDuration": 1, "CoolOffPeriod": 73},
    ],
)
def test_a_lock_that_is_no_lock_is_refused(aws: EmbeddedAws, how: dict[str, Any]) -> None:
    snapshot = made(aws)
    code = refused(lambda: lock(aws, snapshot, **how))
    assert code in ("InvalidParameterValue", "InvalidParameterCombination")
    assert locked(aws) == {}


def test_locks_come_in_pages_and_by_state(aws: EmbeddedAws) -> None:
    names = sorted(made(aws) for _ in range(7))
    for name in names:
        lock(aws, name, "governance" if name == names[0] else "compliance")
    ec2, found, token = client(aws, "ec2"), [], ""
    while True:
        reply = ec2.describe_locked_snapshots(MaxResults=5, **({"NextToken": token} if token else {}))
        found.append([entry["SnapshotId"] for entry in reply["Snapshots"]])
        token = reply.get("NextToken", "")
        if not token:
            break
    assert found == [names[:5], names[5:]]
    assert list(locked(aws, Filters=[{"Name": "lock-state", "Values": ["governance"]}])) == names[:1]


def test_a_dry_run_locks_nothing(aws: EmbeddedAws) -> None:
    snapshot = made(aws)
    assert refused(lambda: lock(aws, snapshot, LockDuration=1, DryRun=True)) == "DryRunOperation"
    assert locked(aws) == {}


def test_a_new_world_has_no_locks_and_its_clock_is_right_again(aws: EmbeddedAws) -> None:
    lock(aws, made(aws))
    aws.turn_lock_clock(9 * DAY)
    aws.reset()
    assert locked(aws) == {}
    fresh = made(aws)
    lock(aws, fresh)
    assert timedelta() < locked(aws)[fresh]["LockExpiresOn"] - datetime.now(UTC) <= 2 * DAY
