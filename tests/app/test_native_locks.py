"""Locks of native copies in a world in memory: put once a copy is usable, extended, read back, never deleted over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from worlds import AWAY, HOME, IMAGES, VOLUMES, Installation, outcomes

from drorch.app.passing import Guards
from drorch.domain.action import Expire, Hold, Lock
from drorch.domain.errors import Refused, Unavailable
from drorch.domain.model import Copy, FailureLevel, LockMode, ObjectLock
from drorch.domain.native import NativeSnapshot
from drorch.domain.policy import BrakeRule

DAY = timedelta(days=1)
COMPLIANCE = VOLUMES.replace("region: us-west-2", "region: us-west-2, lock: {for: 10d, irrevocable: true}")
GOVERNANCE = VOLUMES.replace("region: us-west-2", "region: us-west-2, lock: {for: 10d, mode: governance}")
FREE = Guards(grace=DAY, brake=BrakeRule(share=100, count=1000))

World = Callable[..., Installation]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return lambda text=COMPLIANCE, **more: Installation(tmp_path, text, **({"guards": FREE} | more))


def live(world: Installation, days: int = 1) -> None:
    for _ in range(days):
        world.clock.turn(days=1)
        world.quiet(minutes=11)


def snapshots(world: Installation, vault: str = AWAY) -> list[NativeSnapshot]:
    """What lies in a native vault, the newest first."""
    found = [s for s in world.cloud.snapshots() if f"{s.account}.{s.region}" == vault]
    return sorted(found, key=lambda s: (s.started or world.clock.now(), s.native_id), reverse=True)


def locks(world: Installation, vault: str = AWAY) -> dict[str, ObjectLock]:
    account, _, region = vault.partition(".")
    return dict(world.kinds["ebs"].inner.locks(account, region))  # type: ignore[attr-defined]


def copies(world: Installation, vault: str = AWAY) -> list[Copy]:
    assert world.seen is not None
    (plan,) = world.seen.plans.values()
    return [copy for point in plan.catalogue.points if (copy := point.copy_in(vault)) is not None]


def holds(world: Installation, alarm: str) -> list[Hold]:
    assert world.seen is not None
    return [a for p in world.seen.plans.values() for a in p.actions if isinstance(a, Hold) and a.alarm == alarm]


def test_a_copy_is_locked_once_it_is_usable_and_its_source_never(world: World) -> None:
    made = world(pending_for=None)
    made.run(3)
    made.cloud.finish()
    made.run(2)
    assert [s.state for s in snapshots(made)] == ["pending"]
    assert locks(made) == {}, "a copy may still fail at the provider"
    made.cloud.finish()
    made.run(4)
    (copied,) = snapshots(made)
    (lock,) = locks(made).values()
    assert lock.mode is LockMode.COMPLIANCE
    assert abs(lock.until - made.clock.now() - 10 * DAY) < timedelta(hours=1)
    assert locks(made, HOME) == {}
    assert (copies(made)[0].locked_until, copies(made)[0].lock_mode) == (lock.until, LockMode.COMPLIANCE)
    assert copies(made, HOME)[0].lock_mode is None
    assert copied.native_id in locks(made)


def test_a_copy_that_failed_is_never_locked(world: World) -> None:
    made = world(pending_for=None)
    made.run(3)
    made.cloud.finish()
    made.run(2)
    made.cloud.fail(snapshots(made)[0], "the key is gone")
    made.run(4)
    assert [s.state for s in snapshots(made)][-1] == "failed"
    assert locks(made) == {}


def test_a_locked_world_comes_to_rest(world: World) -> None:
    made = world()
    live(made, 2)
    made.run(3)
    asked = made.faults("ebs").calls["lock"]
    assert asked == 3, "two copies, and the first again as one of the floor"
    made.run(6)
    assert made.faults("ebs").calls["lock"] == asked
    assert outcomes(made, "lock") == {"done": 3}


def test_the_floor_is_extended_every_day_and_nothing_is_ever_made_shorter(world: World) -> None:
    made = world(COMPLIANCE.replace("keep: {last: 3}", "keep: {within: 40d}"))
    live(made)
    first, ends = snapshots(made)[-1].native_id, []
    for _ in range(5):
        ends.append(locks(made)[first].until)
        live(made)
    assert ends == sorted(ends)
    assert ends[1] - ends[0] >= DAY - timedelta(hours=2), "one of the two newest of the floor"
    assert ends[-1] == ends[-2], "and then no more"
    assert ends[-1] > made.clock.now() + 4 * DAY


def test_tampering_is_survived_by_compliance_mode_alone(world: World, tmp_path: Path) -> None:
    made = world()
    live(made)
    (plan,) = made.once().plans.values()
    assert plan.status.levels[FailureLevel.TAMPERING].rpo_attained is not None
    assert f"newest locked copy in {AWAY}, locked until" in plan.status.levels[FailureLevel.TAMPERING].why
    other = Installation(tmp_path / "other", GOVERNANCE, guards=FREE)
    live(other)
    (plan,) = other.once().plans.values()
    standing = plan.status.levels[FailureLevel.TAMPERING]
    assert standing.rpo_attained is None
    assert f"locks in {AWAY} are of governance mode: an administrator can bypass them" in standing.why


def test_a_locked_copy_outlives_an_attacker_who_holds_every_key_of_the_host(world: World) -> None:
    made = world()
    live(made, 3)
    lost = {HOME: 0, AWAY: 0}
    for snapshot in made.cloud.snapshots():
        try:
            made.cloud.attack(snapshot)
        except Refused:
            continue
        lost[f"{snapshot.account}.{snapshot.region}"] += 1
    assert lost == {HOME: 3, AWAY: 0}
    made.restart(without=["cache", "intents"])
    made.run(3)
    assert [s.state for s in snapshots(made)] == ["usable"] * 3
    assert any(copy.usable and copy.lock_mode is LockMode.COMPLIANCE for copy in copies(made))


def test_what_is_locked_is_held_until_its_lock_ends_and_goes_then_without_a_failed_call(world: World) -> None:
    made = world(COMPLIANCE.replace("keep: {last: 3}", "keep: {last: 2}"))
    live(made)
    first = snapshots(made)[-1].native_id
    end = locks(made)[first].until
    while made.clock.now() + DAY < locks(made)[first].until:
        live(made)
        assert first in {s.native_id for s in snapshots(made)}
    assert locks(made)[first].until >= end
    assert [hold for hold in holds(made, "brake") if "it is locked until" in hold.reason]
    for _ in range(4):
        live(made)
    assert first not in {s.native_id for s in snapshots(made)}
    assert "failed" not in outcomes(made, "expire")


def test_a_lock_that_somebody_took_off_is_an_alarm_and_put_again(world: World) -> None:
    made = world(GOVERNANCE)
    live(made, 2)
    made.clock.turn(hours=3)
    victim = snapshots(made)[0]
    made.cloud.unlock(victim)
    made.once()
    (hold,) = holds(made, "lock-missing")
    assert hold.vault == AWAY and hold.reason.endswith("and has none")
    made.run(2)
    assert holds(made, "lock-missing") == []
    assert locks(made)[victim.native_id].until > made.clock.now() + 9 * DAY


def test_a_lock_that_is_not_put_though_the_provider_says_so_is_a_failure_that_is_told(world: World) -> None:
    made = world()
    made.faults("ebs").order("lock", "lose", times=1)
    live(made)
    assert outcomes(made, "lock").get("refused", 0) + outcomes(made, "lock").get("failed", 0) == 1
    made.run(8, minutes=10)
    assert len(locks(made)) == 1


@pytest.mark.parametrize("fault", ["before", "after", "timeout", "throttled"])
def test_a_lock_whose_call_goes_wrong_is_put_later(world: World, fault: str) -> None:
    made = world()
    made.faults("ebs").order("lock", fault)  # type: ignore[arg-type]
    live(made)
    made.run(8, minutes=10)
    assert len(locks(made)) == 1


def test_while_locks_cannot_be_listed_the_last_known_ones_count_and_it_is_told(world: World) -> None:
    made = world()
    live(made, 2)
    known = [copy.locked_until for copy in copies(made)]

    def denied() -> None:
        raise Unavailable("not now")

    made.faults("ebs").order("locks", denied, times=1)
    made.clock.turn(hours=2)
    made.once()
    (hold,) = holds(made, "locks-unread")
    assert "not now" in hold.reason and hold.vault == AWAY
    assert [copy.locked_until for copy in copies(made)] == known
    made.once()
    assert holds(made, "locks-unread") == []


def test_locks_are_listed_once_per_pass_where_a_policy_locks_and_nowhere_else(world: World, tmp_path: Path) -> None:
    made = world()
    live(made, 2)
    made.run(2)
    before = made.faults("ebs").calls["locks"]
    made.run(3)
    assert made.faults("ebs").calls["locks"] == before + 3
    other = Installation(tmp_path / "other", VOLUMES, guards=FREE)
    live(other, 2)
    assert other.faults("ebs").calls["locks"] == 0


def test_a_lock_that_somebody_else_put_holds_the_whole_set_and_is_named_until_it_ends(world: World) -> None:
    """One member of two is locked by hand: the other stays with it, and nothing is tried again and again."""
    made = world(VOLUMES.replace("keep: {last: 3}", "keep: {last: 2}"))
    made.cloud.put_sources("ec2", "prod", "us-east-1", [made.volume("vol-1", "i-1"), made.volume("vol-2", "i-1")])
    live(made)
    first = {s.native_id for s in snapshots(made)}
    assert len(first) == 2
    end = made.clock.now() + 12 * DAY
    made.kinds["ebs"].inner.lock("prod", "us-west-2", min(first), LockMode.GOVERNANCE, end)  # type: ignore[attr-defined]
    live(made, 8)
    assert first <= {s.native_id for s in snapshots(made)}, "the set is whole"
    assert made.seen is not None
    held = [a for p in made.seen.plans.values() for a in p.actions if "locked until" in a.reason and a.vault == AWAY]
    assert len(held) == 1 and isinstance(held[0], Hold)
    looked = made.faults("ebs").calls["locks"]
    made.run(3)
    assert made.faults("ebs").calls["locks"] == looked + 3, "one listing a pass, and no deletion that is refused"
    assert not [a for p in made.seen.plans.values() for a in p.actions if isinstance(a, Expire)]
    assert "failed" not in outcomes(made, "expire") and "refused" not in outcomes(made, "expire")
    live(made, 6)
    assert not first & {s.native_id for s in snapshots(made)}


def test_what_is_locked_for_longer_in_governance_mode_is_not_made_irrevocable(world: World) -> None:
    made = world(VOLUMES)
    live(made)
    (copied,) = snapshots(made)
    kind = made.kinds["ebs"].inner
    kind.lock("prod", "us-west-2", copied.native_id, LockMode.GOVERNANCE, made.clock.now() + 300 * DAY)  # type: ignore[attr-defined]
    made.policies = Installation(made.state.parent / "words", COMPLIANCE).policies
    made.run(4)
    assert locks(made)[copied.native_id].mode is LockMode.GOVERNANCE
    assert [hold for hold in holds(made, "lock-failed") if "not made irrevocable" in hold.reason]


def test_governance_locks_become_compliance_when_the_policy_says_so(world: World) -> None:
    made = world(GOVERNANCE)
    live(made, 2)
    ends = locks(made)
    made.policies = Installation(made.state.parent / "words", COMPLIANCE).policies
    made.run(4)
    for native_id, lock in locks(made).items():
        assert lock.mode is LockMode.COMPLIANCE
        assert lock.until >= ends[native_id].until


def test_a_policy_that_says_governance_does_not_extend_what_nobody_can_take_back(world: World) -> None:
    made = world()
    live(made, 2)
    ends = locks(made)
    made.policies = Installation(made.state.parent / "words", GOVERNANCE).policies
    for _ in range(3):
        made.clock.turn(days=1)
        made.run(3)
    assert {native_id: locks(made)[native_id] for native_id in ends} == ends


def test_nothing_is_locked_while_clocks_differ(world: World) -> None:
    made = world()
    made.drifts["cloud"].ahead = timedelta(minutes=9)
    live(made)
    assert locks(made) == {}
    assert not [a for p in made.once().plans.values() for a in p.actions if isinstance(a, Lock)]


def test_an_image_stays_registered_while_a_snapshot_of_it_is_locked(world: World) -> None:
    made = world(IMAGES.replace("keep: {last: 3}", "keep: {last: 2}"))
    live(made)
    (image,) = (s for s in made.cloud.snapshots() if f"{s.account}.{s.region}" == AWAY)
    lock = {image.parts[0].native_id: ObjectLock(LockMode.GOVERNANCE, made.clock.now() + 9 * DAY)}

    def locks_of(_account: str, _region: str, native_ids: Sequence[str] = ()) -> dict[str, ObjectLock]:
        return {name: found for name, found in lock.items() if not native_ids or name in native_ids}

    made.kinds["ami"].inner.locks = locks_of  # type: ignore[attr-defined]
    live(made, 8)
    assert image.native_id in {s.native_id for s in made.cloud.snapshots()}
    assert made.seen is not None
    assert [a for p in made.seen.plans.values() for a in p.actions if "locked until" in a.reason and a.vault == AWAY]
    live(made, 5)
    left = {s.native_id for s in made.cloud.snapshots()}
    assert not left & {image.native_id, *(part.native_id for part in image.parts)}
