"""What is particular to EBS Snapshot Lock: its states as they count here, and refusals that are no lock's."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from botocore.awsrequest import AWSResponse
from native_clouds import ACCOUNT, HOME, EbsWorld, cut, listed

from drorch.domain.errors import Refused, Unavailable
from drorch.domain.model import LockMode
from drorch.domain.native import NativeSnapshot
from drorch.kinds.ebs import EbsSnapshots
from drorch.kinds.snapshot_locks import UNTOLD

DAY = timedelta(days=1)


def usable(world: EbsWorld) -> NativeSnapshot:
    world.source_with()
    cut(world)
    world.finish()
    (seen,) = listed(world)
    return seen


def kind(world: EbsWorld) -> EbsSnapshots:
    assert isinstance(world.kind, EbsSnapshots)
    return world.kind


def test_within_its_cooling_off_period_a_lock_counts_as_one_that_can_be_taken_off(ebs_world: EbsWorld) -> None:
    snapshot, ec2 = usable(ebs_world), ebs_world.client("ec2")
    ec2.lock_snapshot(SnapshotId=snapshot.native_id, LockMode="compliance", LockDuration=5, CoolOffPeriod=2)
    assert kind(ebs_world).locks(ACCOUNT, HOME)[snapshot.native_id].mode is LockMode.GOVERNANCE
    ebs_world.aws.turn_lock_clock(timedelta(hours=2))
    assert kind(ebs_world).locks(ACCOUNT, HOME)[snapshot.native_id].mode is LockMode.COMPLIANCE


def test_drorch_asks_for_no_cooling_off_period(ebs_world: EbsWorld) -> None:
    snapshot = usable(ebs_world)
    until = (datetime.now(UTC) + 5 * DAY).replace(microsecond=0)
    kind(ebs_world).lock(ACCOUNT, HOME, snapshot.native_id, LockMode.COMPLIANCE, until)
    (entry,) = ebs_world.client("ec2").describe_locked_snapshots()["Snapshots"]
    assert (entry["LockState"], entry["LockExpiresOn"]) == ("compliance", until)
    assert "CoolOffPeriod" not in entry


def test_a_lock_of_a_pending_snapshot_tells_no_end_and_counts_for_nothing_but_holding(ebs_world: EbsWorld) -> None:
    ebs_world.source_with()
    made = cut(ebs_world)
    ebs_world.client("ec2").lock_snapshot(SnapshotId=made.native_id, LockMode="compliance", LockDuration=5)
    lock = kind(ebs_world).locks(ACCOUNT, HOME)[made.native_id]
    assert (lock.mode, lock.until) == (LockMode.GOVERNANCE, UNTOLD)


def test_a_lock_that_has_run_out_is_told_with_its_end(ebs_world: EbsWorld) -> None:
    snapshot = usable(ebs_world)
    ebs_world.client("ec2").lock_snapshot(SnapshotId=snapshot.native_id, LockMode="compliance", LockDuration=5)
    before = kind(ebs_world).locks(ACCOUNT, HOME)
    ebs_world.aws.turn_lock_clock(6 * DAY)
    after = kind(ebs_world).locks(ACCOUNT, HOME)
    assert after[snapshot.native_id].until == before[snapshot.native_id].until


def test_other_refusals_keep_their_own_words(ebs_world: EbsWorld) -> None:
    snapshot = usable(ebs_world)
    image = ebs_world.use(snapshot)
    with pytest.raises(Refused, match=image):
        kind(ebs_world).expire(ACCOUNT, HOME, snapshot.native_id)
    ebs_world.let_go(image)
    ebs_world.aws.fail_next("DeleteSnapshot", "denied")
    with pytest.raises(Refused, match="allow") as refused:
        kind(ebs_world).expire(ACCOUNT, HOME, snapshot.native_id)
    assert "locked" not in str(refused.value)


@pytest.mark.parametrize("body", ["<snapshotSet><item><lockState>compliance</lockState></item></snapshotSet>", ""])
def test_a_listing_of_locks_that_cannot_be_read_is_unavailable_and_never_empty(ebs_world: EbsWorld, body: str) -> None:
    client = ebs_world.aws_accounts.client("ec2", ACCOUNT, HOME)
    name = "DescribeLockedSnapshotsResponse"
    xml = f'<{name} xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{body}</{name}>'

    class Raw:
        def stream(self, **_: object) -> list[bytes]:
            return [xml.encode()]

    def answer(**_: object) -> AWSResponse:
        return AWSResponse("http://ec2", 200, {}, Raw())

    client.meta.events.register("before-send.ec2.DescribeLockedSnapshots", answer)
    try:
        with pytest.raises(Unavailable):
            kind(ebs_world).locks(ACCOUNT, HOME)
    finally:
        client.meta.events.unregister("before-send.ec2.DescribeLockedSnapshots", answer)


def test_a_listing_that_goes_round_in_circles_ends(ebs_world: EbsWorld) -> None:
    client = ebs_world.aws_accounts.client("ec2", ACCOUNT, HOME)

    def circle(parsed: dict[str, object], **_: object) -> None:
        parsed["NextToken"] = base64.b64encode(b"from:0").decode()

    client.meta.events.register("after-call.ec2.DescribeLockedSnapshots", circle)
    try:
        ebs_world.aws.cap_pages(1)
        with pytest.raises(Unavailable):
            kind(ebs_world).locks(ACCOUNT, HOME)
    finally:
        client.meta.events.unregister("after-call.ec2.DescribeLockedSnapshots", circle)
