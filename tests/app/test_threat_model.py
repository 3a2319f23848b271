"""Who may do what to us, and what still holds: one test for each thing an attacker can do with what he holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from lives import catalogue, holds, installed, lived, memory, paths, usable
from worlds import AWAY, EU, HOME, SITE, VOLUMES, WEST, Installation, outcomes

from drorch.app.passing import Guards
from drorch.app.signing import put_pair
from drorch.crypto.minisign import SecretKey
from drorch.domain import layout
from drorch.domain.action import Expire, Mark
from drorch.domain.canonical import canonical_bytes
from drorch.domain.instant import to_compact
from drorch.domain.model import CopyState, LockMode
from drorch.domain.policy import LockRule
from drorch.domain.record import MarkType, RecordType, compose, parse


def nothing_goes(world: Installation, days: int = 5) -> None:
    """For so many days no copy is deleted; cuts go on meanwhile."""
    before = outcomes(world, "expire")
    for _ in range(days):
        world.run(4, minutes=20)
        world.clock.turn(days=1)
    assert outcomes(world, "expire") == before


# --- one vault: write and delete --------------------------------------------------------------------------------------


def test_a_point_that_is_deleted_from_one_vault_is_seen_and_brought_back(tmp_path: Path) -> None:
    world = lived(tmp_path)
    before = usable(world, EU)
    for path in paths(world, EU, before[0]):
        memory(world, EU).objects.pop(path)
    assert [(h.vault, h.point) for h in holds(world, "removed")] == [(EU, before[0])]
    world.clock.turn(minutes=20)
    world.quiet()
    assert usable(world, EU) == before
    assert not holds(world, "removed")


def test_what_nobody_can_bring_back_stays_an_alarm_through_later_heads(tmp_path: Path) -> None:
    world = lived(tmp_path)
    gone = usable(world, EU)[0]
    for vault in (EU, WEST):
        for path in paths(world, vault, gone):
            memory(world, vault).objects.pop(path)
    for _ in range(4):
        world.clock.turn(hours=3)
        world.run(4)
    assert {(h.vault, h.point) for h in holds(world, "removed")} == {(EU, gone), (WEST, gone)}


def test_a_vault_that_is_emptied_is_filled_again_and_nothing_is_let_go_for_it(tmp_path: Path) -> None:
    world = lived(tmp_path, 3)
    kept = usable(world, WEST)[:2]
    memory(world, EU).objects.clear()
    assert {h.vault for h in holds(world, "removed")} == {EU}
    world.clock.turn(minutes=20)
    world.quiet()
    assert usable(world, EU) == kept
    assert usable(world, WEST)[:2] == kept


@pytest.mark.parametrize("part", ["manifest.json", ".minisig", ".zst.age"])
def test_what_is_hidden_under_delete_markers_is_read_and_reported(tmp_path: Path, part: str) -> None:
    world = lived(tmp_path, versioned=True)
    before = catalogue(world).points
    for path in paths(world, EU, part):
        memory(world, EU).hide(path)
    assert catalogue(world).points == before
    told = holds(world, "tampering")
    assert told and {h.vault for h in told} == {EU} and "deleted" in told[0].reason
    assert not holds(world, "removed")


def test_a_newer_version_over_a_committed_record_is_reported_and_not_read(tmp_path: Path) -> None:
    world = lived(tmp_path, versioned=True)
    before = catalogue(world).points
    for path in paths(world, EU, "manifest.json"):
        memory(world, EU).plant(path, b"{}\n")
    assert catalogue(world).points == before
    assert "wrote over" in holds(world, "tampering")[0].reason


def test_a_forged_point_counts_for_nothing_and_pushes_nothing_out(tmp_path: Path) -> None:
    world = lived(tmp_path)
    before = usable(world, EU)
    stranger = SecretKey.generate()
    for number in range(5):
        path = paths(world, EU, f"{before[0]}/manifest.json")[0]
        body = json.loads(memory(world, EU).objects[path][0]) | {
            "point": f"forged{number}",
            "slot": f"2026-12-0{number + 1}T00:00Z",
        }
        record = parse(canonical_bytes(body))
        memory(world, EU).put(record.path + layout.SIGNATURE, stranger.sign(record.data, record.comment))
        memory(world, EU).put(record.path, record.data)
    assert usable(world, EU) == before
    nothing = world.reconciler.look(fresh=True)
    assert not [a for a in world.actions(nothing, Mark, Expire) if a.vault == EU and a.point in before]


def test_a_genuine_record_replayed_elsewhere_counts_for_nothing(tmp_path: Path) -> None:
    world = lived(tmp_path)
    before = catalogue(world)
    store = memory(world, EU)
    for path in paths(world, EU, "manifest.json"):
        store.objects[path.replace("/desk/orders/", "/desk/ledger/")] = store.objects[path]
    after = catalogue(world)
    assert [p for p in after.points if p.usable] == [p for p in before.points if p.usable]


@pytest.mark.parametrize("mark", [MarkType.EXPIRING, MarkType.EXPIRED])
def test_forged_marks_let_nothing_go(tmp_path: Path, mark: MarkType) -> None:
    world = lived(tmp_path)
    plant_marks(world, mark, SecretKey.generate())
    assert {c.state for p in catalogue(world).points for c in p.copies} == {CopyState.USABLE}
    nothing_goes(world, 1)


def plant_marks(world: Installation, mark: MarkType, key: SecretKey, ago: timedelta = timedelta(days=30)) -> None:
    """A mark about every copy, dated back, in every vault."""
    for point in catalogue(world).points:
        for vault in world.stores:
            assert point.cut_at is not None
            record = compose(
                RecordType.MARK,
                site=SITE,
                at=world.clock.now() - ago,
                application=point.application,
                resource=point.resource,
                point=point.id,
                cut_at=point.cut_at,
                mark=mark.value,
                vault=vault,
                reason="no keep rule keeps it",
            )
            for store in world.stores.values():
                put_pair(store.inner, record.path, record.data, key.sign(record.data, record.comment))


def test_a_pin_that_is_deleted_from_one_vault_still_holds_and_comes_back(tmp_path: Path) -> None:
    world = lived(tmp_path)
    point = catalogue(world).points[-1]
    assert point.cut_at is not None
    pin = compose(
        RecordType.MARK,
        site=SITE,
        at=world.clock.now(),
        application="desk",
        resource="orders",
        point=point.id,
        cut_at=point.cut_at,
        mark="pin",
    )
    for store in world.stores.values():
        put_pair(store.inner, pin.path, pin.data, world.key.sign(pin.data, pin.comment))
    for path in paths(world, EU, "-pin.json"):
        memory(world, EU).objects.pop(path)
    assert [p.pinned for p in catalogue(world).points if p.id == point.id] == [True]
    world.clock.turn(minutes=20)
    world.quiet()
    assert paths(world, EU, "-pin.json")


def test_a_head_under_a_later_name_hides_nothing(tmp_path: Path) -> None:
    world = lived(tmp_path)
    genuine = catalogue(world).head
    assert genuine is not None
    later = layout.head_path("desk", world.clock.now() + timedelta(days=300))
    old = paths(world, EU, layout.HEADS)[0]
    for ending in ("", layout.SIGNATURE):
        memory(world, EU).put(later + ending, memory(world, EU).objects[old + ending][0])
    found = catalogue(world).head
    assert found is not None and (found.digest, found.seq) == (genuine.digest, genuine.seq)


def test_heads_that_are_deleted_from_one_vault_are_known_from_another(tmp_path: Path) -> None:
    world = lived(tmp_path)
    gone = usable(world, EU)[0]
    for path in (*paths(world, EU, layout.HEADS), *paths(world, EU, gone)):
        memory(world, EU).objects.pop(path)
    assert [(h.vault, h.point) for h in holds(world, "removed")] == [(EU, gone)]


@pytest.mark.parametrize("off", [timedelta(minutes=6), timedelta(hours=-1), timedelta(days=365)])
def test_a_vault_whose_clock_lies_stops_deletion_and_says_so(tmp_path: Path, off: timedelta) -> None:
    world = lived(tmp_path, 3)
    world.stores[EU].clock = off
    world.clock.turn(minutes=20)
    assert EU in world.reconciler.look(fresh=True).world.skewed
    nothing_goes(world)
    assert holds(world, "clock")


def test_a_vault_that_dates_marks_back_does_not_shorten_the_grace(tmp_path: Path) -> None:
    """The other vault, and the mark itself, say when it was written; the latest of them counts."""
    world = lived(tmp_path, 3)
    store = memory(world, EU)
    for path in paths(world, EU, "-expiring-"):
        store.objects[path] = (store.objects[path][0], world.clock.now() - timedelta(days=30))
    assert not world.actions(world.reconciler.look(fresh=True), Expire)


def test_a_vault_that_ends_its_listing_half_way_deletes_nothing_there(tmp_path: Path) -> None:
    world = lived(tmp_path, 6)
    world.clock.turn(hours=20)
    world.faults(EU).order("list", "half", times=1000)
    before = len(paths(world, EU, "manifest.json"))
    world.run(6, minutes=20)
    assert len(paths(world, EU, "manifest.json")) >= before


# --- the administrator of the home account ----------------------------------------------------------------------------


def test_snapshots_that_an_administrator_deletes_are_seen(tmp_path: Path) -> None:
    world = lived(tmp_path, 2, VOLUMES.replace("last: 3", "last: 2"))
    gone = usable(world, AWAY, "shop")[0]
    for snapshot in world.snapshots(AWAY):
        if snapshot.tags["drorch:point"] == gone:
            world.cloud.remove(snapshot)
    told = holds(world, "removed")
    assert [(h.vault, h.point) for h in told] == [(AWAY, gone)]
    world.quiet()
    assert usable(world, AWAY, "shop")[0] == gone, "it is copied again from its home"


def test_a_foreign_snapshot_that_bears_a_points_tags_is_never_deleted(tmp_path: Path) -> None:
    world = lived(tmp_path, 2, VOLUMES.replace("last: 3", "last: 2"))
    victim = world.snapshots(HOME)[0]
    place = world.cloud.reach("ec2", "prod", "us-east-1", "test")
    from dataclasses import replace

    foreign = replace(victim, native_id="snap-of-somebody-else")
    world.cloud.add(place, foreign)
    world.cloud.finish()
    for _ in range(10):
        world.clock.turn(days=1)
        world.quiet()
    left = {snapshot.native_id for snapshot in world.snapshots(HOME)}
    assert foreign.native_id in left
    assert victim.native_id not in left, "what was expired of the point itself is gone"
    assert any(foreign.native_id in hold.reason for hold in world.reconciler.look().holds)


# --- the backup host ---------------------------------------------------------------------------------------------


def test_marks_that_a_thief_of_the_key_dates_back_wait_for_the_stores_own_grace(tmp_path: Path) -> None:
    world = lived(tmp_path)
    before = usable(world, EU)
    plant_marks(world, MarkType.EXPIRING, world.key)
    seen = world.reconciler.look(fresh=True)
    assert not world.actions(seen, Expire)
    world.clock.turn(minutes=20)
    world.quiet()
    assert usable(world, EU) == before
    assert {c.state for p in catalogue(world).points for c in p.copies} == {CopyState.USABLE}, "taken back"


def test_what_is_locked_in_compliance_mode_cannot_be_deleted_by_whoever_holds_this_host(tmp_path: Path) -> None:
    world = installed(tmp_path, versioned=True)
    rule = LockRule(mode=LockMode.COMPLIANCE, for_=timedelta(days=30))
    memory(world, EU).lock = rule
    world.guards = Guards(host="backup1", locks={EU: rule})
    world.restart()
    world.quiet()
    (point,) = catalogue(world).points
    copy = point.copy_in(EU)
    assert copy is not None and copy.lock_mode is LockMode.COMPLIANCE
    assert copy.locked_until is not None and copy.locked_until >= world.clock.now() + timedelta(days=29)
    for path in [*paths(world, EU, "/data/"), *paths(world, EU, "manifest.json")]:
        with pytest.raises(Exception, match="locked"):
            memory(world, EU).delete(path)
        memory(world, EU).hide(path)
    assert usable(world, EU) == [point.id]


# --- a policy file ---------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Installation], object]] = {
    "the application's policy is gone": lambda world: setattr(world, "policies", ()),
    "its file is invalid": lambda world: world.stale.add("desk"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_without_a_valid_policy_nothing_is_let_go(tmp_path: Path, change: str) -> None:
    world = lived(tmp_path, 4)
    before = paths(world, EU, "manifest.json")
    CHANGES[change](world)
    nothing_goes(world)
    assert set(paths(world, EU, "manifest.json")) >= set(before)


def plant_head(world: Installation, host: str, ahead: timedelta = timedelta()) -> None:
    """The next head of the application, as a host would write it whose clock is so far ahead."""
    before = catalogue(world).head
    assert before is not None
    record = compose(
        RecordType.HEAD,
        site=SITE,
        at=world.clock.now() + ahead,
        application="desk",
        seq=before.seq + 1,
        host=host,
        live=before.live,
        lost={},
    )
    for store in world.stores.values():
        put_pair(store.inner, record.path, record.data, world.key.sign(record.data, record.comment))


def test_another_hosts_fresh_head_stops_everything_and_names_it(tmp_path: Path) -> None:
    world = lived(tmp_path, 4)
    world.clock.turn(minutes=10)
    plant_head(world, "backup2")
    world.clock.turn(minutes=20)
    seen = world.once()
    assert not seen.started
    world.clock.turn(days=1)
    world.clock.present -= timedelta(hours=23)
    told = holds(world, "other-host")
    assert told and all("backup2" in hold.reason for hold in told)
    world.clock.turn(hours=3)
    world.once()
    assert world.quiet() and not holds(world, "other-host")
    assert to_compact(world.clock.now())


def test_a_head_of_the_future_does_not_stand_in_the_way_of_later_ones(tmp_path: Path) -> None:
    """This host's own clock was a year ahead once, when no vault could be asked for the time."""
    world = lived(tmp_path)
    plant_head(world, "backup1", timedelta(days=365))
    world.clock.turn(hours=2)
    world.run(4)
    after = catalogue(world).head
    assert after is not None and after.at < world.clock.now() and after.live


def test_a_record_under_a_delete_marker_is_brought_to_a_vault_that_lost_everything(tmp_path: Path) -> None:
    world = lived(tmp_path, 2, VOLUMES.replace("last: 3", "last: 2"), versioned=True)
    records = paths(world, EU, "/native/")
    for path in records:
        memory(world, EU).hide(path)
    memory(world, WEST).objects.clear()
    memory(world, WEST)._versions.clear()
    world.clock.turn(minutes=20)
    world.quiet()
    assert paths(world, WEST, "/native/") == records
    assert not holds(world, "replicate-failed")


def test_another_host_whose_clock_is_ahead_is_seen_all_the_same(tmp_path: Path) -> None:
    world = lived(tmp_path)
    plant_head(world, "backup2", timedelta(hours=5))
    told = holds(world, "other-host")
    assert told and "backup2" in told[0].reason
    world.clock.turn(hours=8)
    assert not holds(world, "other-host")
